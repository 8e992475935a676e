//! When a host claims.

use super::{DAY, PATIENCE, Server, Slots, open, options};
use crate::{
    clock::ManualClock,
    delivery::IdGenerator,
    journal::{
        Demand, Outcome, Shared as _, Store,
        conformance::{START, event, prepare, sent},
        redis::RedisOptions,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_is_freed_is_filled_at_once() {
    const MANY: usize = 100;
    let server = Server::start(&[]);
    let clock = ManualClock::at(START);
    // Looking at all without being told comes far too late.
    let store = open(RedisOptions { lease: DAY, ..options(&server, 1) }, &clock, "host").await;
    let ids = IdGenerator::new().unwrap();
    for _ in 0..MANY {
        store.accept(prepare(&sent("{}"), &clock, &ids)).await.unwrap();
    }
    let slots = Slots::new(&[("a", 2)]);
    let mut jobs = store.claims(slots.clone());
    for _ in 0..MANY {
        let job = tokio::time::timeout(PATIENCE, jobs.recv()).await;
        let job = job.expect("the slot is filled again").unwrap();
        // As a worker does it: the slot is free when the handler has ended.
        slots.not_claimed(0, 1);
        store.settle(job.lease, Outcome::Done).await.unwrap();
    }
    assert_eq!(store.stats().await.unwrap().jobs, [0, 0, 0, MANY as u64, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_is_told_how_many_jobs_begin_before_its_own() {
    let server = Server::start(&[]);
    let clock = ManualClock::at(START);
    let store = open(options(&server, 1), &clock, "host").await;
    let ids = IdGenerator::new().unwrap();
    let ahead = async |events: &[&[&str]]| {
        let deliveries = events.iter().map(|routes| sent("{}").events(vec![event("x", routes)]));
        let batch = deliveries.map(|sent| prepare(&sent, &clock, &ids)).collect();
        store.take_in(batch).await.unwrap().ahead
    };
    assert_eq!(ahead(&[&["a"], &["a"], &["a"]]).await, Some(0));
    assert_eq!(ahead(&[&["a"]]).await, Some(3));
    assert_eq!(ahead(&[&["a", "b"], &["b"]]).await, Some(0), "where they are fewest");
    assert_eq!(ahead(&[&["b"], &["a"]]).await, Some(2));
    assert_eq!(ahead(&[&[]]).await, None, "nobody waits for what no route wants");
    let mut jobs = store.claims(Slots::new(&[("a", 4), ("b", 1)]));
    for _ in 0..5 {
        tokio::time::timeout(PATIENCE, jobs.recv()).await.expect("they are due").unwrap();
    }
    assert_eq!(ahead(&[&["b"], &["a"]]).await, Some(2), "those that run stand in line no more");
}
