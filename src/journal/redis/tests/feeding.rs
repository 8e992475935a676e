//! When a host claims.

use super::{DAY, PATIENCE, Server, Slots, open, options};
use crate::{
    clock::ManualClock,
    delivery::IdGenerator,
    journal::{
        Demand, Outcome, Store,
        conformance::{START, prepare, sent},
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
