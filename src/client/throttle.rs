//! How many calls a vendor allows: at once, and in which time.

use std::{
    num::NonZeroUsize,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::timer::Timer;
use crate::rate::{Pace, TokenBucket};

/// What all calls of a client, and of its clones, pass through.
#[derive(Debug)]
pub(super) struct Throttle {
    slots: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bucket: Option<TokenBucket>,
    /// The vendor has asked to be left alone until then.
    paused_until: Option<Instant>,
}

/// There is no room for the call within its time. Holds after how long there would be, if that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoRoom(pub(super) Option<Duration>);

impl Throttle {
    /// So many calls at once, at this pace if any.
    pub(super) fn new(parallel: NonZeroUsize, pace: Option<Pace>, now: Instant) -> Self {
        Self {
            slots: Semaphore::new(parallel.get().min(Semaphore::MAX_PERMITS)),
            state: Mutex::new(State {
                bucket: pace.map(|pace| TokenBucket::full(pace, now)),
                paused_until: None,
            }),
        }
    }

    /// Waits for `left` at most until a call that costs `units` may begin. The call is under way until the permit is
    /// dropped.
    pub(super) async fn enter(
        &self,
        units: usize,
        left: Duration,
        timer: &dyn Timer,
    ) -> Result<SemaphorePermit<'_>, NoRoom> {
        let began = timer.instant();
        // An error of the inner result can't be: nothing closes the semaphore.
        let slot = tokio::time::timeout(left, self.slots.acquire()).await;
        let slot = slot.ok().and_then(Result::ok).ok_or(NoRoom(None))?;
        loop {
            let now = timer.instant();
            let Some(wait) = self.take(units, now) else { return Ok(slot) };
            if now.saturating_duration_since(began).saturating_add(wait) > left {
                return Err(NoRoom(Some(wait)));
            }
            timer.sleep(wait).await;
        }
    }

    /// The vendor has asked to be left alone for that long.
    pub(super) fn pause(&self, rest: Duration, now: Instant) {
        let mut state = self.state();
        state.paused_until = state.paused_until.max(now.checked_add(rest));
    }

    /// Takes the units, or says how long to wait before asking again.
    fn take(&self, units: usize, now: Instant) -> Option<Duration> {
        let mut state = self.state();
        let rest = state.paused_until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
        if !rest.is_zero() {
            return Some(rest);
        }
        let bucket = state.bucket.as_mut()?;
        if bucket.free(now) < units {
            return Some(bucket.next_in(now));
        }
        bucket.take(units, now);
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
