//! That a round of the sweep ends.

use std::time::Duration;

use super::Embedded;
use crate::journal::{
    Retention,
    conformance::{World, sent},
};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_round_ends_when_both_hands_have_come_round_however_unlike_their_ways_are() {
    let world = World::<Embedded>::new().await;
    // Three steps over the deliveries, two over the keys: the hands never come round in the same step.
    for number in 0..600 {
        let sent = sent("{}");
        let known = number < 300;
        world.add(&if known { sent.signed_id(&number.to_string()) } else { sent }).await;
    }
    crate::journal::conformance::Fixture::mature(&world.fixture).await;
    world.pass(DAY).await;
    let retention = Retention { done: Some(Duration::from_secs(1)), failed: None };
    for _ in 0..2 {
        let mut steps = 1;
        while !world.store().sweep(retention).await.unwrap().finished {
            steps += 1;
            assert!(steps < 10, "the round does not end");
        }
        assert_eq!(steps, 3);
    }
}
