//! Several hosts at one Redis, and what becomes of the work of one that is gone.

use std::{collections::BTreeSet, time::Duration};

use doorbell::clock::instant;

use crate::{
    http::Connection,
    redis::{
        Site, at, backlog, goes_on, ingress, ingress_in, is_relayed, knows_that_redis_is,
        servers::RedisServer, vendors::Vendors, worker,
    },
    sender::{delivery, is_success},
    service::{Service, Setup},
    sink::Sink,
    until,
};

/// How long a lease lasts.
const LEASE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_adopts_the_slot_of_one_that_is_gone_for_good() {
    let mut redis = RedisServer::start_durable(&[]);
    let sink = Sink::start().await;
    let volume = tempfile::tempdir().unwrap();
    let setups = [1, 2].map(|_| ingress_in(&sink, &at(&redis), volume.path().join("data")));
    let works = worker(&sink, &at(&redis));
    let (stays, worker) = tokio::join!(setups[0].start(), works.start());
    let goes = setups[1].start().await;
    let vendors = Vendors::start(&[&goes, &stays]);
    goes_on(&vendors, 50).await;
    redis.kill();
    knows_that_redis_is(&goes, "down").await;
    goes_on(&vendors, 100).await;
    assert!(backlog(&goes).await > 50 && backlog(&stays).await == 0, "all are sent to the first one");
    goes.kill().await;
    // Whoever was just being answered asks again, and another ingress answers.
    goes_on(&vendors, 50).await;
    redis.restart();
    let acknowledged = vendors.stop_after_trouble().await;
    sink.has(&acknowledged).await;
    is_relayed(&stays).await;
    worker.is_idle().await;
    assert!(stays.log().iter().any(|line| line.contains("adopted a slot")), "{:#?}", stays.log());
    assert_eq!(sink.repeated(), [].into());
    tokio::join!(stays.stop(), worker.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_jobs_run_again_within_the_lease() {
    const JOBS: u64 = 5;
    let redis = RedisServer::start_durable(&[]);
    let mut site = Site::start(&at(&redis)).await;
    site.sink.hold(true);
    for number in 1..=JOBS {
        send(&site.ingress, number).await;
    }
    site.sink.has(&(1..=JOBS).collect()).await;
    // Who takes jobs over has to have been there for a lease, so the lease and that time are about the same.
    let another = worker(&site.sink, &at(&redis));
    let after = another.start().await;
    let killed = instant();
    std::mem::replace(&mut site.worker, after).kill().await;
    site.sink.hold(false);
    let jobs = usize::try_from(JOBS).unwrap();
    until("a job runs again", async || site.sink.effects().len() > jobs).await;
    let waited = killed.elapsed();
    assert!(waited > LEASE / 2, "a lease is nobody else's before it has run out: {waited:?}");
    until("all jobs run again", async || site.sink.effects().len() == 2 * jobs).await;
    let waited = killed.elapsed();
    println!("they ran again after {waited:?}");
    // Renewed by the one that was killed just before, they end a lease later; then come the looks at them, and they run
    // one after the other.
    assert!(waited < LEASE + LEASE / 2, "{waited:?}");
    site.worker.is_idle().await;
    let effects = site.sink.effects();
    let (first, again) = effects.split_at(jobs);
    assert!(first.iter().all(|effect| effect.attempt == 1) && again.iter().all(|effect| effect.attempt == 2));
    for effect in first {
        let delivery = site.worker.json(&format!("/api/deliveries/{}", effect.job)).await;
        let job = &delivery["jobs"][0];
        assert_eq!((&job["attempts"], &job["crashes"]), (&2.into(), &1.into()), "{job}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_hosts_job_runs_again_as_soon_as_it_is_back() {
    let redis = RedisServer::start_durable(&[]);
    let sink = Sink::start().await;
    let setup = Setup::with_sink(&sink).queued(&at(&redis));
    let service = setup.start().await;
    sink.hold(true);
    send(&service, 1).await;
    sink.has(&[1].into()).await;
    service.kill().await;
    sink.hold(false);
    let killed = instant();
    let service = setup.start().await;
    until("the job runs again", async || sink.effects().len() == 2).await;
    let waited = killed.elapsed();
    assert!(waited < LEASE / 2, "its slot's lock proves that nobody runs it: {waited:?}");
    service.is_idle().await;
    assert_eq!(sink.repeated().len(), 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingress_is_killed_again_and_again_while_it_relays() {
    let redis = RedisServer::start_durable(&[]);
    let sink = Sink::start().await;
    let setups = [1, 2].map(|_| ingress(&sink, &at(&redis)));
    let works = worker(&sink, &at(&redis));
    let (mut dies, lives, worker) = tokio::join!(setups[0].start(), setups[1].start(), works.start());
    let vendors = Vendors::start(&[&dies, &lives]);
    for _ in 0..8 {
        goes_on(&vendors, 20).await;
        let millis = u64::from(getrandom::u32().unwrap()) % 200;
        tokio::time::sleep(Duration::from_millis(millis)).await;
        dies.kill().await;
        goes_on(&vendors, 5).await;
        dies = setups[0].start().await;
        vendors.send_to(&[&dies, &lives]);
    }
    let acknowledged = vendors.stop_after_trouble().await;
    sink.has(&acknowledged).await;
    tokio::join!(is_relayed(&dies), is_relayed(&lives));
    worker.is_idle().await;
    assert_eq!(sink.repeated(), [].into(), "what is offered twice is taken once");
    tokio::join!(dies.stop(), lives.stop(), worker.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_at_two_ingresses_at_once_takes_effect_once() {
    const EVENTS: u64 = 1_000;
    const AT_ONCE: u64 = 4;
    let redis = RedisServer::start_durable(&[]);
    let sink = Sink::start().await;
    let setups = [1, 2].map(|_| ingress(&sink, &at(&redis)));
    let works = worker(&sink, &at(&redis));
    let (one, two, worker) = tokio::join!(setups[0].start(), setups[1].start(), works.start());
    let addresses = [one.ingress(), two.ingress()];
    let mut senders = tokio::task::JoinSet::new();
    for sender in 0..AT_ONCE {
        senders.spawn(async move {
            let [to_one, to_two] = addresses.map(Connection::open);
            let (mut to_one, mut to_two) = (to_one.await.unwrap(), to_two.await.unwrap());
            for number in (1..=EVENTS).filter(|number| number % AT_ONCE == sender) {
                let request = delivery(number);
                let (one, two) = tokio::join!(to_one.exchange(&request), to_two.exchange(&request));
                assert!(is_success(&one.unwrap()) && is_success(&two.unwrap()));
            }
        });
    }
    senders.join_all().await;
    let all: BTreeSet<u64> = (1..=EVENTS).collect();
    sink.has(&all).await;
    tokio::join!(is_relayed(&one), is_relayed(&two));
    worker.is_idle().await;
    assert_eq!(sink.repeated(), [].into());
    let stats = worker.json("/api/stats").await;
    assert_eq!(stats["deliveries"]["accepted"], EVENTS, "{stats}");
    assert_eq!(stats["deliveries"]["duplicate"], EVENTS, "{stats}");
    tokio::join!(one.stop(), two.stop(), worker.stop());
}

/// Sends one delivery that must be taken.
async fn send(ingress: &Service, number: u64) {
    let mut connection = Connection::open(ingress.ingress()).await.unwrap();
    let reply = connection.exchange(&delivery(number)).await.unwrap();
    assert!(is_success(&reply), "{reply:?}");
}
