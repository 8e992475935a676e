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
    /// dropped. Calls begin in the order in which they came: each has its units set aside, and waits until they are there.
    /// So a dear one is not passed by cheap ones. One that is cancelled while it waits leaves a gap.
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
            let wait =
                self.set_aside(units, left.saturating_sub(now.saturating_duration_since(began)), now)?;
            if !wait.is_zero() {
                timer.sleep(wait).await;
            }
            // If the vendor has asked for a rest meanwhile, calls go on after it at the pace, and not all at once.
            if self.state().paused_until.is_none_or(|until| until <= timer.instant()) {
                return Ok(slot);
            }
        }
    }

    /// The vendor has asked to be left alone for that long.
    pub(super) fn pause(&self, rest: Duration, now: Instant) {
        let mut state = self.state();
        state.paused_until = state.paused_until.max(now.checked_add(rest));
    }

    /// Sets the units aside and says how long it is until they are there, unless that is longer than `left`.
    fn set_aside(&self, units: usize, left: Duration, now: Instant) -> Result<Duration, NoRoom> {
        let mut state = self.state();
        let from = state.paused_until.map_or(now, |until| until.max(now));
        let turn = state.bucket.as_ref().map(|bucket| bucket.ready_in(units, from)).unwrap_or_default();
        let wait = from.saturating_duration_since(now).saturating_add(turn);
        if wait > left {
            return Err(NoRoom(Some(wait)));
        }
        if let Some(bucket) = &mut state.bucket {
            bucket.take(units, from);
        }
        Ok(wait)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
