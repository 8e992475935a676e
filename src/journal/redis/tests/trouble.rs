//! A Redis that refuses, hangs, or is another one.

use std::{sync::Arc, time::Duration};

use futures_util::future::join;

use super::{
    super::{Redis, RedisAddress, RedisOptions, answer},
    Core, DAY, PATIENCE, Server, Shared, Slots, bundle_key,
    bundles::evict,
    open, options, sealed,
};
use crate::{
    clock::{ManualClock, instant},
    journal::{
        Accepted, Outcome, Shared as _, Stats, Store, StoreError,
        conformance::{START, Workers, World, sent},
        redis::RedisOpenError,
    },
};

impl<const LANES: u32> Shared<LANES> {
    pub(super) async fn set(&self, name: &str, value: &str) {
        let mut command = redis::cmd("CONFIG");
        command.arg("SET").arg(name).arg(value);
        self.redis().core.link.command(0, &command).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_refuses_a_delivery_whole_and_lets_jobs_go_on() {
    let world = World::<Shared<1>>::new().await;
    for _ in 0..3 {
        world.add(&sent("{}")).await;
    }
    world.fixture.set("maxmemory", "1").await;
    let refused = sent("{}").signed_id("1");
    let before = world.stats().await;
    let (_, answer) = world.accept(&refused).await;
    assert!(matches!(&answer, Err(StoreError::Unavailable(why)) if why.contains("maxmemory")), "{answer:?}");
    assert_eq!(world.stats().await, before);
    let mut workers = Workers::start(&world, &[("a", 3)]);
    let jobs = workers.all(&world).await;
    assert_eq!(jobs.len(), 3);
    for job in jobs {
        assert_eq!(world.store().renew(vec![job.lease.clone()]).await.unwrap(), []);
        world.store().settle(job.lease, Outcome::Done).await.unwrap();
    }
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 3, 0, 0]);
    world.fixture.set("maxmemory", "0").await;
    assert_eq!(world.accept(&refused).await.1.ok(), Some(Accepted::New { id_reused: false }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_delivery_was_evicted_is_dead_though_it_was_never_claimed() {
    let world = World::<Shared<1>>::new().await;
    world.add(&sent("{}")).await;
    evict(&world).await;
    let kept = world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 2)]);
    let jobs = workers.all(&world).await;
    assert_eq!(jobs.iter().map(|job| job.lease.delivery).collect::<Vec<_>>(), [kept]);
    assert_eq!(world.jobs_by_state().await, [0, 1, 0, 0, 1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_chance_whose_delivery_is_gone_holds_up_nobody() {
    let server = Server::start(&[]);
    let world = World::<Shared<1>>::new().await;
    // Looking at all without being told comes far too late for this test.
    let options = || RedisOptions { lease: DAY, max_crashes: 2, ..options(&server, 1) };
    let store = open(options(), &world.clock, "host").await;
    store.accept(world.prepare(&sent("{}"))).await.unwrap();
    let lost = store.claims(Slots::new(&[("a", 1)])).recv().await.unwrap().lease.delivery;
    drop(store);
    // It has crashed once, and may do so once more if nothing else runs.
    let store = open(options(), &world.clock, "host").await;
    server.command(&[&b"DEL"[..], &bundle_key(&store, lost).await]);
    store.accept(world.prepare(&sent("{}"))).await.unwrap();
    store.pass().await;
    let mut jobs = store.claims(Slots::new(&[("a", 1)]));
    let job = tokio::time::timeout(PATIENCE, jobs.recv()).await.expect("the other one runs").unwrap();
    assert_ne!(job.lease.delivery, lost);
    assert_eq!(store.stats().await.unwrap().jobs, [0, 1, 0, 0, 1, 0]);
}

/// What only one user of an access list may do.
fn user(server: &Server, name: &str, rights: &[&str]) -> RedisOptions {
    server.command(&[&["ACL", "SETUSER", name, "on", "nopass", "~{doorbell:*"], rights].concat());
    let address = RedisAddress::new([server.url().replace("redis://", &format!("redis://{name}:any@"))]);
    RedisOptions { address, ..options(server, 1) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_publish_has_written_what_was_written() {
    let server = Server::start(&[]);
    let world = World::<Shared<1>>::new().await;
    let options = user(&server, "mute", &["resetchannels", "+@all", "-@admin"]);
    let store = open(options, &world.clock, "host").await;
    let taken = store.take_in(sealed(&[world.prepare(&sent("{}"))])).await.unwrap();
    assert_eq!(taken.answers[0].as_ref().ok(), Some(&Accepted::New { id_reused: false }));
    let job = store.claims(Slots::new(&[("a", 1)])).recv().await.unwrap();
    store.settle(job.lease, Outcome::Released).await.unwrap();
    assert_eq!(store.stats().await.unwrap().jobs, [1, 0, 0, 0, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_who_may_not_ask_which_server_it_is_writes_nothing() {
    let server = Server::start(&[]);
    let world = World::<Shared<1>>::new().await;
    let options = user(&server, "blind", &["&doorbell:*", "+@all", "-@admin", "-info"]);
    let store = open(options, &world.clock, "host").await;
    let refused = store.take_in(sealed(&[world.prepare(&sent("{}"))])).await.map(drop);
    assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("command")), "{refused:?}");
    assert_eq!(store.stats().await.unwrap(), Stats::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_number_of_lanes_is_refused() {
    let world = World::<Shared<4>>::new().await;
    let clock: Arc<ManualClock> = ManualClock::at(START).into();
    for (lanes, expected) in [(2, "made with lanes = 4"), (0, "lanes = 0"), (257, "lanes = 257")] {
        let opened = match Core::new(options(&world.fixture.server, lanes), clock.clone(), "host", true) {
            Ok(core) => Redis::start(core, PATIENCE).await.map(drop),
            Err(error) => Err(error),
        };
        let error: RedisOpenError = opened.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

fn impatient_options(server: &Server) -> RedisOptions {
    let mut options = options(server, 1);
    options.address.timeout = Duration::from_secs(1);
    options
}

/// A store with one job, that soon gives up on a server which does not answer.
async fn impatient(server: &Server) -> (Redis, World<Shared<1>>) {
    let world = World::<Shared<1>>::new().await;
    let options = impatient_options(server);
    let store = open(options, &world.clock, "host").await;
    store.accept(world.prepare(&sent("{}"))).await.unwrap();
    (store, world)
}

/// Waits until the store has noticed that it has no answer.
async fn given_up(store: &Redis) {
    while store.health().trouble.is_none() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_whose_answer_is_lost_is_put_back_and_does_not_count() {
    let server = Server::start(&[]);
    let (store, _world) = impatient(&server).await;
    store.pass().await;
    server.freeze();
    let mut jobs = store.claims(Slots::new(&[("a", 1)]));
    given_up(&store).await;
    // Now the server reads what was sent to it, and answers nobody.
    server.thaw();
    let job = jobs.recv().await.unwrap();
    assert_eq!((job.attempt, job.crashes), (1, 0));
    store.settle(job.lease, Outcome::Done).await.unwrap();
    assert_eq!(store.stats().await.unwrap().jobs, [0, 0, 0, 1, 0, 0]);
    let put_back = redis::cmd("KEYS").arg("*given-up*").to_owned();
    assert_eq!(answer::list(store.core.link.command(0, &put_back).await.unwrap()).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_whose_answer_is_lost_is_recorded_once() {
    let server = Server::start(&[]);
    let (store, _world) = impatient(&server).await;
    let job = store.claims(Slots::new(&[("a", 1)])).recv().await.unwrap();
    server.freeze();
    let (settled, ()) = join(store.settle(job.lease.clone(), Outcome::Done), async {
        given_up(&store).await;
        server.thaw();
    })
    .await;
    settled.unwrap();
    assert_eq!(store.stats().await.unwrap().jobs, [0, 0, 0, 1, 0, 0]);
    let again = store.settle(job.lease, Outcome::Done).await;
    assert!(matches!(again, Err(StoreError::LeaseLost)), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_at_the_start_is_waited_for() {
    let server = Server::start(&[]);
    server.freeze();
    let clock = ManualClock::at(START);
    let world = World::<Shared<1>>::new().await;
    let options = impatient_options(&server);
    let store = open(options, &clock, "host").await;
    assert!(store.health().trouble.is_some());
    let answer = store.accept(world.prepare(&sent("{}"))).await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    let mut jobs = store.claims(Slots::new(&[("a", 1)]));
    server.thaw();
    // A call may still share what became of an attempt to connect that was under way.
    while store.accept(world.prepare(&sent("{}"))).await.is_err() {}
    jobs.recv().await.unwrap();
    assert_eq!(store.health().trouble, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_hangs_holds_up_no_start() {
    let server = Server::start(&[]);
    server.freeze();
    let world = World::<Shared<1>>::new().await;
    let mut options = options(&server, 1);
    options.address.timeout = 60 * PATIENCE;
    let opening = Redis::open(options, Arc::new(world.clock.clone()), "host");
    let store = tokio::time::timeout(PATIENCE, opening).await.expect("it opens without Redis").unwrap();
    assert_eq!(store.health().trouble.as_deref(), Some("Redis does not answer"));
    server.thaw();
    store.accept(world.prepare(&sent("{}"))).await.unwrap();
    assert_eq!(store.health().trouble, None);
}

/// What a waiting job costs beside its body. Poster's deliveries, as they come. Redis 8 takes some 150 bytes more for it than
/// Redis 7, and Valkey 150 less.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_job_takes_less_than_a_kibibyte_beside_its_body() {
    let world = World::<Shared<1>>::new().await;
    let told = async |section: &str, name: &str| {
        let info = redis::cmd("INFO").arg(section).clone();
        let info = world.fixture.redis().core.link.command(0, &info).await.unwrap();
        let info = answer::text(info).unwrap();
        info.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
    };
    let used = async || {
        let number = async |name| told("memory", name).await.unwrap().parse::<usize>().unwrap();
        let (mut least, mut since) = (usize::MAX, instant());
        // What is on the way to it does not stay; Redis counts it anew about once a second.
        while since.elapsed() < Duration::from_secs(2) {
            let now = number("used_memory:").await - number("mem_clients_normal:").await;
            if now < least {
                (least, since) = (now, instant());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        least
    };
    let is_valkey = told("server", "valkey_version:").await.is_some();
    let is_redis_8 =
        !is_valkey && told("server", "redis_version:").await.is_some_and(|version| !version.starts_with('7'));
    let limit = if is_redis_8 { 1152 } else { 1024 };
    let before = used().await;
    let (many, body) = (10_000, "x".repeat(250));
    let batch: Vec<_> =
        (0..many).map(|n| world.prepare(&sent(&body).signed_id(&format!("{n:064x}")))).collect();
    world.fixture.redis().take_in(sealed(&batch)).await.unwrap();
    let each = (used().await - before) / many - body.len();
    println!("{each} bytes beside the body");
    assert!(each <= limit, "{each} bytes");
}
