//! A circuit breaker that is told the time.

use std::{
    num::NonZeroU32,
    time::{Duration, Instant},
};

/// When a target counts as dead, and how long it is then left alone.
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::target::{BreakerSettings, HttpOptions};
///
/// let mut options = HttpOptions::default();
/// options.breaker = BreakerSettings { max_rest: Duration::from_secs(300), ..BreakerSettings::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerSettings {
    /// After this many failures in a row (no connection, no answer in time, a 5xx status) no job is started; 5 by
    /// default.
    pub failures: NonZeroU32,
    /// How long the target is left alone the first time, before one job probes it; 1 s by default.
    pub min_rest: Duration,
    /// Each failed probe doubles the rest, up to this; 60 s by default.
    pub max_rest: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::MIN.saturating_add(4),
            min_rest: Duration::from_secs(1),
            max_rest: Duration::from_secs(60),
        }
    }
}

/// Closed (all is well) → open (left alone) → half-open (one probe) → closed or open again.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: BreakerSettings,
    state: State,
    /// Counts the changes of state.
    era: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, rest: Duration },
    HalfOpen { rest: Duration },
}

/// In which era a request was begun. What became of it counts only in that one: the failures of requests that were
/// under way when the breaker opened say nothing new.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

/// What a breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// Everything.
    All,
    /// One job, to probe the target.
    OneProbe,
    /// Nothing for this long.
    None(Duration),
}

impl Breaker {
    /// A closed one.
    pub(super) fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed { failures: 0 }, era: 0 }
    }

    /// What may pass now. An open breaker whose rest is over half-opens.
    pub(super) fn passage(&mut self, now: Instant) -> Passage {
        if let State::Open { until, rest } = self.state {
            let left = until.saturating_duration_since(now);
            if !left.is_zero() {
                return Passage::None(left);
            }
            self.enter(State::HalfOpen { rest });
        }
        match self.state {
            State::Closed { .. } => Passage::All,
            State::Open { .. } | State::HalfOpen { .. } => Passage::OneProbe,
        }
    }

    /// A request begins.
    pub(super) fn begin(&self) -> Ticket {
        Ticket(self.era)
    }

    /// The target answered: it is alive, whatever it thinks of the job.
    pub(super) fn succeeded(&mut self, ticket: Ticket) {
        if ticket.0 != self.era {
            return;
        }
        match &mut self.state {
            State::Closed { failures } => *failures = 0,
            // A job that had been claimed before the breaker opened, and was sent after: news all the same.
            State::Open { .. } | State::HalfOpen { .. } => self.enter(State::Closed { failures: 0 }),
        }
    }

    /// The target could not be reached, did not answer, or answered that it is broken.
    pub(super) fn failed(&mut self, ticket: Ticket, now: Instant) {
        if ticket.0 != self.era {
            return;
        }
        match &mut self.state {
            State::Closed { failures } => {
                *failures += 1;
                if *failures >= self.settings.failures.get() {
                    self.open(self.settings.min_rest, now);
                }
            }
            State::HalfOpen { rest } => {
                let rest = rest.saturating_mul(2).min(self.settings.max_rest);
                self.open(rest, now);
            }
            State::Open { .. } => {}
        }
    }

    fn open(&mut self, rest: Duration, now: Instant) {
        self.enter(State::Open { until: now.checked_add(rest).unwrap_or(now), rest });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    fn breaker(failures: u32) -> (Breaker, Instant) {
        let failures = NonZeroU32::new(failures).unwrap();
        (Breaker::new(BreakerSettings { failures, ..BreakerSettings::default() }), instant())
    }

    fn fail(breaker: &mut Breaker, now: Instant) {
        let ticket = breaker.begin();
        breaker.failed(ticket, now);
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let (mut breaker, now) = breaker(3);
        for _ in 0..10 {
            fail(&mut breaker, now);
            fail(&mut breaker, now);
            let ticket = breaker.begin();
            breaker.succeeded(ticket);
        }
        assert_eq!(breaker.passage(now), Passage::All);
        for _ in 0..3 {
            assert_eq!(breaker.passage(now), Passage::All);
            fail(&mut breaker, now);
        }
        assert_eq!(breaker.passage(now), Passage::None(Duration::from_secs(1)));
    }

    #[test]
    fn rests_double_to_the_longest_and_a_good_probe_closes() {
        let (mut breaker, mut now) = breaker(1);
        fail(&mut breaker, now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            let rest = Duration::from_secs(seconds);
            assert_eq!(breaker.passage(now), Passage::None(rest));
            now += rest;
            assert_eq!(breaker.passage(now), Passage::OneProbe);
            fail(&mut breaker, now);
        }
        now += Duration::from_secs(60);
        assert_eq!(breaker.passage(now), Passage::OneProbe);
        let ticket = breaker.begin();
        breaker.succeeded(ticket);
        assert_eq!(breaker.passage(now), Passage::All);
        // All is forgotten: the next rest is the shortest again.
        fail(&mut breaker, now);
        assert_eq!(breaker.passage(now), Passage::None(Duration::from_secs(1)));
    }

    #[test]
    fn requests_from_before_it_opened_change_nothing() {
        let (mut breaker, now) = breaker(2);
        let (old_success, old_failure) = (breaker.begin(), breaker.begin());
        fail(&mut breaker, now);
        fail(&mut breaker, now);
        breaker.succeeded(old_success);
        assert_eq!(breaker.passage(now), Passage::None(Duration::from_secs(1)));
        let later = now + Duration::from_secs(1);
        assert_eq!(breaker.passage(later), Passage::OneProbe);
        breaker.failed(old_failure, later);
        assert_eq!(breaker.passage(later), Passage::OneProbe);
    }

    #[test]
    fn a_success_of_a_request_sent_while_open_closes() {
        let (mut breaker, now) = breaker(1);
        fail(&mut breaker, now);
        let sent_while_open = breaker.begin();
        fail(&mut breaker, now + Duration::from_millis(500));
        assert_eq!(
            breaker.passage(now),
            Passage::None(Duration::from_secs(1)),
            "a failure does not prolong it"
        );
        breaker.succeeded(sent_while_open);
        assert_eq!(breaker.passage(now), Passage::All);
    }
}
