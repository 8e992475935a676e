//! Whether what was taken in is as safe as was asked for.

use std::{sync::Arc, time::Duration};

use super::{super::RedisOptions, open, options, sealed, servers::RedisServer as Server};
use crate::{
    clock::ManualClock,
    delivery::IdGenerator,
    journal::{
        Shared,
        conformance::{START, prepare, sent},
    },
};

const LANES: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_answer_of_a_server_is_about_all_lanes() {
    let (primary, replica) = (Arc::new(Server::start(&[])), Server::start(&[]));
    let (clock, ids) = (ManualClock::at(START), IdGenerator::new().unwrap());
    let mut options = RedisOptions { wait_replicas: 1, ..options(&primary, LANES) };
    // No wait for a replica takes more than half of it.
    options.address.timeout = Duration::from_secs(10);
    let store = open(options, &clock, "host").await;
    assert!(store.has_to_be_safe());
    let batch: Vec<_> = (0..100).map(|_| prepare(&sent("{}"), &clock, &ids)).collect();
    let taken = store.take_in(sealed(&batch)).await.unwrap();
    assert_eq!(taken.histories.len(), LANES as usize);
    assert!(taken.answers.iter().all(Result::is_ok), "nobody waits for the replica");
    let short = store.make_safe().await.unwrap().short.unwrap();
    assert!(short.contains("0 of 1 replicas"), "{short}");

    let _replica = tokio::task::spawn_blocking({
        let primary = primary.clone();
        move || {
            replica.replica_of(&primary);
            replica
        }
    })
    .await
    .unwrap();
    let safe = store.make_safe().await.unwrap();
    assert_eq!(safe.short, None);
    let copies = store.take_in(Vec::new()).await.unwrap().histories;
    assert_eq!(safe.histories, copies[..1], "it names the copy that it speaks of");
}
