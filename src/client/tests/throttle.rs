//! What a client allows itself.

use std::num::NonZeroUsize;

use super::*;
use crate::{
    client::throttle::{NoRoom, Throttle},
    rate::Pace,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_slot_is_waited_for_no_longer_than_the_call_may_take() {
    let timer = FastTimer::new();
    let throttle = Throttle::new(NonZeroUsize::MIN, None, timer.instant());
    let held = throttle.enter(1, HOUR, &*timer).await.unwrap();
    let late = throttle.enter(1, Duration::from_millis(1), &*timer).await;
    assert_eq!(late.err(), Some(NoRoom(None)));
    drop(held);
    assert!(throttle.enter(1, Duration::ZERO, &*timer).await.is_ok());
}

#[tokio::test]
async fn units_come_back_at_the_pace_and_a_wait_too_long_is_said() {
    let timer = FastTimer::new();
    let second = Duration::from_secs(1);
    let pace = Pace { interval: second, burst: 2 };
    let throttle = Throttle::new(NonZeroUsize::MIN, Some(pace), timer.instant());
    for _ in 0..3 {
        drop(throttle.enter(2, HOUR, &*timer).await.unwrap());
    }
    assert_eq!(timer.passed(), 4 * second);
    let refused = throttle.enter(1, Duration::from_millis(10), &*timer).await;
    assert_eq!(refused.err(), Some(NoRoom(Some(second))));
}

#[tokio::test]
async fn a_pause_holds_for_all_and_the_longest_counts() {
    let timer = FastTimer::new();
    let throttle = Throttle::new(NonZeroUsize::MIN, None, timer.instant());
    throttle.pause(Duration::from_secs(9), timer.instant());
    throttle.pause(Duration::from_secs(3), timer.instant());
    drop(throttle.enter(1, HOUR, &*timer).await.unwrap());
    assert_eq!(timer.passed(), Duration::from_secs(9));
}
