//! When a claim, or an outcome, is worth a call.
//!
//! Where jobs end as soon as they begin, the slots of a claim are free again before the outcomes of the claim before are
//! recorded. Whoever asked at once would ask in turns for nearly all slots and for the few others, for ever; half of the
//! calls, and of Redis' fsyncs, would be for a handful of jobs.

use std::time::{Duration, Instant};

/// For how long what is few waits for more. Jobs that run for longer are not waited for.
pub(super) const LONGEST: Duration = Duration::from_millis(2);

/// How many of so many are enough for a call.
pub(super) fn most(of: usize) -> usize {
    of - of / 4
}

/// Slots gather after a claim that has filled them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gathering {
    until: Instant,
    /// So many free slots are worth a call before that.
    enough: usize,
}

impl Gathering {
    /// After a claim that has filled so many slots of a route.
    pub(super) fn after(claimed: usize, now: Instant) -> Self {
        Self { until: now + LONGEST, enough: most(claimed) }
    }

    /// It, unless it is over.
    pub(super) fn going_on(self, now: Instant) -> Option<Self> {
        (now < self.until).then_some(self)
    }

    /// Whether so few free slots have to wait for others.
    pub(super) fn holds(self, free: usize) -> bool {
        free < self.enough
    }

    /// When it is over.
    pub(super) fn until(self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn few_slots_wait_until_most_are_free_or_for_a_moment() {
        let now = clock::instant();
        let gathering = Gathering::after(64, now);
        assert!(gathering.holds(11) && gathering.holds(47));
        assert!(!gathering.holds(48));
        assert!(gathering.going_on(now + LONGEST / 2).is_some());
        assert!(gathering.going_on(now + LONGEST).is_none());
    }

    #[test]
    fn the_only_slot_waits_for_itself() {
        let gathering = Gathering::after(1, clock::instant());
        assert!(gathering.holds(0) && !gathering.holds(1));
    }
}
