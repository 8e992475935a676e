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

#[tokio::test]
async fn a_dear_call_is_not_passed_by_cheap_ones() {
    let timer = FastTimer::new();
    let second = Duration::from_secs(1);
    let pace = Pace { interval: second, burst: 5 };
    let throttle = Throttle::new(NonZeroUsize::MIN.saturating_add(1), Some(pace), timer.instant());
    drop(throttle.enter(5, HOUR, &*timer).await.unwrap());
    let refused = throttle.enter(5, 2 * second, &*timer).await;
    assert_eq!(refused.err(), Some(NoRoom(Some(5 * second))), "that is when there are five, not one");
    let (began, order) = (timer.passed(), Mutex::new(Vec::new()));
    let call = |units| {
        let (throttle, timer, order) = (&throttle, &timer, &order);
        async move {
            drop(throttle.enter(units, HOUR, &**timer).await.unwrap());
            order.lock().unwrap().push(units);
        }
    };
    let cheap = async {
        for _ in 0..20 {
            call(1).await;
        }
    };
    tokio::join!(call(5), cheap);
    let order = order.into_inner().unwrap();
    assert!(order[..2].contains(&5), "{order:?}");
    assert!(timer.passed() >= began + 25 * second, "{:?}", timer.passed());
}
