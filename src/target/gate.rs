//! How many jobs a target takes now: its concurrency, its rate, its breaker, and its own wish to be left alone.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{
    breaker::{Breaker, BreakerSettings, Passage, Ticket},
    rate::Rate,
};
use crate::{clock::instant, handler::Capacity, rate::TokenBucket};

/// What stands before a target. One for each target, so that none closes another's.
#[derive(Debug)]
pub(super) struct Gate {
    concurrency: NonZeroUsize,
    state: Mutex<GateState>,
}

#[derive(Debug)]
struct GateState {
    bucket: Option<TokenBucket>,
    breaker: Breaker,
    /// The target has asked to be left alone until then.
    paused_until: Option<Instant>,
}

impl Gate {
    pub(super) fn new(concurrency: NonZeroUsize, rate: Option<Rate>, breaker: BreakerSettings) -> Self {
        Self {
            concurrency,
            state: Mutex::new(GateState {
                bucket: rate.map(|rate| TokenBucket::full(rate.pace(), instant())),
                breaker: Breaker::new(breaker),
                paused_until: None,
            }),
        }
    }

    /// How many more jobs may start beside the `running` ones.
    pub(super) fn capacity(&self, running: usize, now: Instant) -> Capacity {
        let mut state = self.state();
        if let Some(until) = state.paused_until {
            let left = until.saturating_duration_since(now);
            if !left.is_zero() {
                return Capacity::closed_for(left);
            }
            state.paused_until = None;
        }
        let slots = match state.breaker.passage(now) {
            Passage::All => self.concurrency.get().saturating_sub(running),
            Passage::OneProbe => 1_usize.saturating_sub(running),
            Passage::None(rest) => return Capacity::closed_for(rest),
        };
        match &state.bucket {
            Some(bucket) if bucket.free(now) < slots => {
                Capacity { free: bucket.free(now), ask_again: Some(bucket.next_in(now)) }
            }
            _ => Capacity::free(slots),
        }
    }

    /// That many jobs are about to start.
    pub(super) fn starting(&self, jobs: usize, now: Instant) {
        if let Some(bucket) = &mut self.state().bucket {
            bucket.take(jobs, now);
        }
    }

    /// A request begins. Its [`Passing`] must be told how it ended; dropping it counts as a failure.
    pub(super) fn enter(self: &Arc<Self>) -> Passing {
        let ticket = self.state().breaker.begin();
        Passing { gate: self.clone(), ticket, settled: false }
    }

    /// The target has asked to be left alone for that long.
    pub(super) fn pause(&self, rest: Duration, now: Instant) {
        let until = now.checked_add(rest);
        let mut state = self.state();
        state.paused_until = state.paused_until.max(until);
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        // A panic under the lock leaves counters behind that are at worst a little off.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way. One that is dropped without a word was cut off by its time limit: the target did not answer,
/// and that counts like any other failure.
#[derive(Debug)]
pub(super) struct Passing {
    gate: Arc<Gate>,
    ticket: Ticket,
    settled: bool,
}

impl Passing {
    /// The target answered: it is alive.
    pub(super) fn succeeded(mut self) {
        self.settled = true;
        self.gate.state().breaker.succeeded(self.ticket);
    }

    /// The target is out of reach or broken.
    pub(super) fn failed(self) {
        drop(self);
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if !self.settled {
            self.gate.state().breaker.failed(self.ticket, instant());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So long that no test is too slow for it.
    const HOUR: Duration = Duration::from_secs(3600);

    fn gate(rate: Option<f64>) -> Arc<Gate> {
        let rate = rate.map(|rate| Rate::per_second(rate).unwrap());
        let breaker = BreakerSettings { min_rest: HOUR, max_rest: HOUR, ..BreakerSettings::default() };
        Arc::new(Gate::new(NonZeroUsize::new(4).unwrap(), rate, breaker))
    }

    #[test]
    fn concurrency_is_what_is_left_beside_the_running_ones() {
        let gate = gate(None);
        let now = instant();
        assert_eq!(gate.capacity(0, now), Capacity::free(4));
        assert_eq!(gate.capacity(3, now), Capacity::free(1));
        assert_eq!(gate.capacity(9, now), Capacity::free(0));
    }

    #[test]
    fn the_rate_says_when_to_ask_again() {
        let gate = gate(Some(20.0));
        let now = instant();
        assert_eq!(gate.capacity(0, now), Capacity { free: 2, ask_again: Some(Duration::from_millis(50)) });
        gate.starting(2, now);
        assert_eq!(gate.capacity(2, now), Capacity::closed_for(Duration::from_millis(50)));
        // Where the slots are the narrower place, an ending job is what to wait for.
        assert_eq!(gate.capacity(4, now), Capacity::free(0));
    }

    #[test]
    fn a_request_cut_off_counts_as_a_failure() {
        let gate = gate(None);
        for _ in 0..5 {
            assert_eq!(gate.capacity(0, instant()), Capacity::free(4));
            drop(gate.enter());
        }
        let closed = gate.capacity(0, instant());
        assert!(closed.free == 0 && closed.ask_again.is_some(), "{closed:?}");
        let later = instant() + HOUR;
        assert_eq!(gate.capacity(0, later), Capacity::free(1));
        assert_eq!(gate.capacity(1, later), Capacity::free(0));
    }

    #[test]
    fn a_pause_ends_by_itself_and_the_longest_counts() {
        let gate = gate(None);
        let now = instant();
        gate.pause(Duration::from_secs(9), now);
        gate.pause(Duration::from_secs(3), now);
        assert_eq!(gate.capacity(0, now), Capacity::closed_for(Duration::from_secs(9)));
        assert_eq!(gate.capacity(0, now + Duration::from_secs(9)), Capacity::free(4));
    }
}
