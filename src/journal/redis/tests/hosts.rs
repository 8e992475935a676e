//! Several hosts at one Redis.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::{join, join_all};

use super::{DAY, PATIENCE, Shared, open, options, sealed};
use crate::{
    clock::{Clock, ManualClock, Timestamp},
    journal::{
        Accepted, JobState, Lease, Outcome, Shared as _, Store,
        conformance::{LEASE, START, Workers, World, event, sent},
        redis::RedisOptions,
    },
};

/// How many jobs are in each state.
async fn states(store: &impl Store) -> [u64; 6] {
    store.stats().await.unwrap().jobs
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_share_the_jobs_and_run_none_twice() {
    let one = World::<Shared<4>>::new().await;
    let two = one.fixture.beside("two").await;
    for _ in 0..300 {
        one.add(&sent("{}")).await;
    }
    let run = async |world: &World<Shared<4>>| {
        let mut workers = Workers::start(world, &[("a", 20)]);
        let mut ran = Vec::new();
        loop {
            let jobs = workers.all(world).await;
            if jobs.is_empty() {
                return ran;
            }
            for job in jobs {
                ran.push((job.lease.delivery, job.lease.event));
                world.store().settle(job.lease, Outcome::Done).await.unwrap();
                workers.free(world, "a", 1);
            }
        }
    };
    let (by_one, by_two) = join(run(&one), run(&two)).await;
    let all: BTreeSet<_> = by_one.iter().chain(&by_two).collect();
    assert_eq!((all.len(), by_one.len() + by_two.len()), (300, 300));
    assert_eq!(one.jobs_by_state().await, [0, 0, 0, 300, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_of_another_host_are_taken_over_after_a_full_lease_of_contact() {
    let dead = World::<Shared<1>>::new().await;
    dead.add(&sent("{}")).await;
    let mut workers = Workers::start(&dead, &[("a", 1)]);
    let job = workers.next().await;
    let clock = dead.clock.clone();
    clock.advance(LEASE * 2 / 3);
    let other = dead.fixture.beside("other").await;
    drop(dead);
    for _ in 0..2 {
        other.pass(LEASE / 3).await;
        assert_eq!(other.jobs_by_state().await, [0, 1, 0, 0, 0, 0], "it has run out, and is not proved dead");
    }
    other.pass((LEASE / 3).saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(other.jobs_by_state().await, [0, 1, 0, 0, 0, 0]);
    other.pass(Duration::from_millis(1)).await;
    assert_eq!(other.jobs_by_state().await, [0, 0, 1, 0, 0, 0]);
    let mut workers = Workers::start(&other, &[("a", 1)]);
    let again = workers.next().await;
    assert_eq!((again.lease.delivery, again.attempt, again.crashes), (job.lease.delivery, 2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_host_gives_back_another_one_begins_at_once() {
    let server = super::Server::start(&[]);
    let world = World::<Shared<1>>::new().await;
    let options = || RedisOptions { lease: DAY, ..options(&server, 1) };
    let (one, two) = (open(options(), &world.clock, "one").await, open(options(), &world.clock, "two").await);
    let at_once = Outcome::Retry { after: Duration::ZERO, error: "once more".into() };
    for outcome in [Outcome::Released, at_once] {
        one.accept(world.prepare(&sent("{}"))).await.unwrap();
        let job = one.claims(super::Slots::new(&[("a", 1)])).recv().await.unwrap();
        let mut others = two.claims(super::Slots::new(&[("a", 1)]));
        two.pass().await;
        while server.command(&["PUBSUB", "NUMSUB", "doorbell:wake"]) != subscribed(2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // The shutdown of a worker: it claims nothing more.
        let id = job.lease.delivery;
        one.settle(job.lease, outcome).await.unwrap();
        let again = tokio::time::timeout(PATIENCE, others.recv()).await.expect("it is told").unwrap();
        assert_eq!(again.lease.delivery, id);
        two.settle(again.lease, Outcome::Done).await.unwrap();
    }
    assert_eq!(states(&one).await, [0, 0, 0, 2, 0, 0]);
}

/// How Redis says that so many listen to what becomes ready.
fn subscribed(hosts: i64) -> redis::Value {
    let channel = redis::Value::BulkString(b"doorbell:wake".to_vec());
    redis::Value::Array(vec![channel, redis::Value::Int(hosts)])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_hosts_leases_are_not_recovered_at_start() {
    let one = World::<Shared<1>>::new().await;
    one.add(&sent("{}")).await;
    let mut workers = Workers::start(&one, &[("a", 1)]);
    let job = workers.next().await;
    // Not even those of a host whose name begins alike.
    let two = one.fixture.beside("hos").await;
    assert_eq!(two.jobs_by_state().await, [0, 1, 0, 0, 0, 0]);
    one.store().settle(job.lease, Outcome::Done).await.unwrap();
}

/// A machine whose own time stands while Redis' time can be moved.
#[derive(Debug, Clone)]
struct TwoClocks {
    redis: ManualClock,
    machine: ManualClock,
}

impl Clock for TwoClocks {
    fn now(&self) -> Timestamp {
        self.redis.now()
    }

    fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }
}

impl TwoClocks {
    fn advance(&self, by: Duration) {
        self.redis.advance(by);
        self.machine.advance(by);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_redis_time_jumps_nothing_is_taken_over_at_once() {
    let server = super::Server::start(&[]);
    let clocks = TwoClocks { redis: ManualClock::at(START), machine: ManualClock::at(START) };
    let one = open(options(&server, 1), &clocks, "one").await;
    let two = open(options(&server, 1), &clocks, "two").await;
    let world = World::<Shared<1>>::new().await;
    one.accept(world.prepare(&sent("{}"))).await.unwrap();
    let slots = super::Slots::new(&[("a", 1)]);
    let job = one.claims(slots).recv().await.unwrap();
    // So long that both could take over what has run out.
    let renew = async |lease: &Lease| {
        one.pass().await;
        two.pass().await;
        assert_eq!(one.renew(vec![lease.clone()]).await.unwrap(), []);
    };
    for _ in 0..3 {
        clocks.advance(LEASE / 2);
        renew(&job.lease).await;
    }
    clocks.redis.advance(Duration::from_secs(3600));
    one.pass().await;
    two.pass().await;
    assert_eq!(states(&one).await, [0, 1, 0, 0, 0, 0]);
    // Who lives has a lease's time to say so, by the time as it is now.
    renew(&job.lease).await;
    clocks.advance(LEASE);
    two.pass().await;
    assert_eq!(states(&one).await, [0, 0, 1, 0, 0, 0], "and who does not is taken over after all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_at_two_hosts_at_once_takes_effect_once() {
    let one = World::<Shared<4>>::new().await;
    let two = one.fixture.beside("two").await;
    let many = 1_000;
    let both = join_all((0..many).map(async |number| {
        let sent = sent("{}").signed_id(&number.to_string());
        join(one.accept(&sent), two.accept(&sent)).await
    }))
    .await;
    for ((id_one, at_one), (id_two, at_two)) in both {
        match (at_one.unwrap(), at_two.unwrap()) {
            (Accepted::New { .. }, Accepted::Duplicate { original }) => assert_eq!(original, id_one),
            (Accepted::Duplicate { original }, Accepted::New { .. }) => assert_eq!(original, id_two),
            both => panic!("{both:?}"),
        }
    }
    let stats = one.stats().await;
    assert_eq!((stats.accepted, stats.duplicate, stats.jobs_in(JobState::Queued)), (many, many, many));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_offered_again_changes_nothing() {
    let world = World::<Shared<4>>::new().await;
    let mut batch: Vec<_> = (0..50).map(|n| world.prepare(&sent("{}").unsigned_id(&n.to_string()))).collect();
    batch.extend((0..50).map(|_| world.prepare(&sent("{}"))));
    batch.push(world.prepare(&sent("equal").by_body()));
    // The same request again, as a delivery of its own.
    batch.push(world.prepare(&sent("equal").by_body()));
    let taken = world.fixture.redis().take_in(sealed(&batch)).await.unwrap();
    let new = |answer: &&Result<Accepted, _>| matches!(answer, Ok(Accepted::New { id_reused: false }));
    assert_eq!(taken.answers.iter().filter(new).count(), 101);
    assert_eq!(
        taken.answers.last().unwrap().as_ref().ok(),
        Some(&Accepted::Duplicate { original: batch[100].id })
    );
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.duplicate), (101, 1));
    batch.pop();
    // Even when the time in which equal bodies are duplicates is over.
    world.pass(Duration::from_secs(60)).await;
    let again = world.fixture.redis().take_in(sealed(&batch)).await.unwrap();
    for (new, answer) in batch.iter().zip(again.answers) {
        assert_eq!(answer.ok(), Some(Accepted::Duplicate { original: new.id }));
    }
    assert_eq!(world.stats().await, stats);
    let copies = world.fixture.redis().take_in(Vec::new()).await.unwrap().histories;
    assert_eq!(copies.iter().map(|(lane, _)| *lane).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(copies.iter().all(|(_, id)| id.len() == 40), "{copies:?}");
    assert_eq!(copies, again.histories);
}

/// When a job is due that was to be tried again so long after the beginning, as scores are written.
fn due(later: Duration) -> String {
    START.plus(later).as_millis().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_jobs_that_are_due_at_once_drain() {
    let world = World::<Shared<4>>::new().await;
    let (many, each) = (100_000, 1_000);
    let events: Vec<_> = (0..each).map(|_| event("x", &["a"])).collect();
    for _ in 0..many / each {
        world.add(&sent("{}").events(events.clone())).await;
    }
    let mut workers = Workers::start(&world, &[("a", 2_000)]);
    let mut run_all = async |outcome: Outcome| {
        let mut ran = 0;
        while ran < many {
            let jobs = workers.all(&world).await;
            assert!(!jobs.is_empty(), "{ran} of {many} ran");
            ran += jobs.len();
            let freed = jobs.len();
            let settled = jobs.into_iter().map(|job| world.store().settle(job.lease, outcome.clone()));
            assert!(join_all(settled).await.iter().all(Result::is_ok));
            workers.free(&world, "a", freed);
        }
    };
    // As after an outage of their target: all of them fail, and are to be tried again at the same moment.
    let later = Duration::from_secs(60);
    run_all(Outcome::Retry { after: later, error: "away".into() }).await;
    assert_eq!(world.jobs_by_state().await, [0, 0, many as u64, 0, 0, 0]);
    let due_in = |lane: u32| {
        let ready = format!("{{doorbell:{lane}}}:ready:a");
        match world.fixture.server.command(&["ZCOUNT", &ready, &due(later), &due(later)]) {
            redis::Value::Int(jobs) => usize::try_from(jobs).unwrap(),
            answer => panic!("{answer:?}"),
        }
    };
    assert_eq!((0..4).map(due_in).sum::<usize>(), many, "all of them are due at one moment");
    world.pass(later).await;
    run_all(Outcome::Done).await;
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, many as u64, 0, 0]);
}
