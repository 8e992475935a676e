//! How long a relay lets acknowledgements go first. Pure.
//!
//! Where journal, relay and queue share a machine, what is moved is paid for with what could have been acknowledged. Senders
//! do not wait and jobs do; and a delivery for which thousands of jobs stand in line makes none begin sooner. So while a
//! burst comes in faster than it is worked off, it piles up in the journal first. As soon as a worker could run out of
//! jobs, or the burst is over, or the journal has been its only place for too long, all speed is for moving it.

use std::time::Duration;

/// What came in between two batches counts as much from here on.
const MANY: i64 = 64;

/// How long to rest between two batches that nobody waits for.
const REST: Duration = Duration::from_millis(100);

/// So many jobs keep all workers of a queue busy for longer than that.
const DEEP: u64 = 8_192;

/// For how long a delivery may wait where others are acknowledged before it is moved: what a lost disk costs is bounded.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// A batch that the queue has taken in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// How many rows it had.
    pub(super) moved: i64,
    /// How many came in since the one before.
    pub(super) came_in: i64,
    /// For how long the first of its rows had waited.
    pub(super) waited: Duration,
    /// How many jobs stand in line before those of the batch, on the route where they are fewest. `None`: it had no jobs.
    pub(super) ahead: Option<u64>,
}

impl Round {
    /// How long to wait before the next batch, which can have so many rows. `gather`: for how long to let rows gather while
    /// many come in.
    pub(super) fn pause(&self, full: i64, gather: Duration) -> Option<Duration> {
        if self.moved < full {
            // Fewer and larger batches leave the disk, which Redis may share, to the journal.
            (self.moved >= MANY).then_some(gather)
        } else {
            self.is_in_no_hurry().then_some(REST)
        }
    }

    fn is_in_no_hurry(&self) -> bool {
        let nobody_waits = self.ahead.is_none_or(|ahead| ahead >= DEEP);
        self.came_in >= MANY && nobody_waits && self.waited < LONGEST_WAIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: i64 = 256;
    const GATHER: Duration = Duration::from_millis(10);

    /// In the middle of a burst that nobody works off yet.
    const BURST: Round =
        Round { moved: FULL, came_in: 300, waited: Duration::from_secs(3), ahead: Some(100_000) };

    fn pause(round: Round) -> Option<Duration> {
        round.pause(FULL, GATHER)
    }

    #[test]
    fn in_a_burst_that_piles_up_acknowledgements_have_most_of_the_time() {
        assert_eq!(pause(BURST), Some(REST));
        assert_eq!(pause(Round { ahead: None, ..BURST }), Some(REST));
    }

    #[test]
    fn no_worker_runs_out_of_jobs_for_it() {
        assert_eq!(pause(Round { ahead: Some(0), ..BURST }), None);
        assert_eq!(pause(Round { ahead: Some(DEEP - 1), ..BURST }), None);
        assert_eq!(pause(Round { ahead: Some(DEEP), ..BURST }), Some(REST));
    }

    #[test]
    fn a_backlog_is_moved_at_full_speed_when_little_comes_in() {
        assert_eq!(pause(Round { came_in: 63, ..BURST }), None);
        assert_eq!(pause(Round { came_in: 0, ..BURST }), None);
    }

    #[test]
    fn nothing_is_held_back_for_long() {
        assert_eq!(pause(Round { waited: Duration::from_millis(9_999), ..BURST }), Some(REST));
        assert_eq!(pause(Round { waited: LONGEST_WAIT, ..BURST }), None);
    }

    #[test]
    fn rows_gather_while_many_come_in_and_none_waits_alone() {
        assert_eq!(pause(Round { moved: FULL - 1, ahead: Some(0), ..BURST }), Some(GATHER));
        assert_eq!(pause(Round { moved: MANY, ahead: Some(0), ..BURST }), Some(GATHER));
        assert_eq!(pause(Round { moved: MANY - 1, ..BURST }), None);
        assert_eq!(pause(Round { moved: 0, ..BURST }), None);
    }
}
