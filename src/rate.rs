//! A token bucket that is told the time.

use std::time::{Duration, Instant};

/// How fast something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// How long after one token the next one comes.
    pub(crate) interval: Duration,
    /// How many tokens are kept at most: so many may be taken at once after a pause.
    pub(crate) burst: u32,
}

/// The bucket, kept as the moment at which it will be full again: exact, and without a task that refills it.
#[derive(Debug, Clone)]
pub(crate) struct TokenBucket {
    pace: Pace,
    full_at: Instant,
}

impl TokenBucket {
    /// A bucket that is full now.
    pub(crate) fn full(pace: Pace, now: Instant) -> Self {
        Self { pace, full_at: now }
    }

    /// How many tokens can be taken now.
    #[cfg(any(test, feature = "receiver"))]
    pub(crate) fn free(&self, now: Instant) -> usize {
        let missing = self.full_at.saturating_duration_since(now).as_nanos();
        let missing = missing.div_ceil(self.pace.interval.as_nanos());
        usize::try_from(u128::from(self.pace.burst).saturating_sub(missing)).unwrap_or(usize::MAX)
    }

    /// How long until one more can be taken than now; an interval if the bucket is full.
    #[cfg(any(test, feature = "receiver"))]
    pub(crate) fn next_in(&self, now: Instant) -> Duration {
        let missing = self.full_at.saturating_duration_since(now);
        if missing.is_zero() {
            return self.pace.interval;
        }
        let spare = u32::try_from(self.free(now)).unwrap_or(u32::MAX);
        let room = self.pace.burst.saturating_sub(spare.saturating_add(1));
        missing.saturating_sub(self.pace.interval.saturating_mul(room))
    }

    /// How long until so many can be taken; as many as the burst at most.
    #[cfg(feature = "client")]
    pub(crate) fn ready_in(&self, tokens: usize, now: Instant) -> Duration {
        let spare = self.pace.burst.saturating_sub(u32::try_from(tokens).unwrap_or(u32::MAX));
        self.full_at.saturating_duration_since(now).saturating_sub(self.pace.interval.saturating_mul(spare))
    }

    /// Takes tokens, also such as are not there yet: what was started despite the limit is paid for by waiting.
    pub(crate) fn take(&mut self, tokens: usize, now: Instant) {
        let tokens = u32::try_from(tokens).unwrap_or(u32::MAX);
        let from = self.full_at.max(now);
        self.full_at = from.checked_add(self.pace.interval.saturating_mul(tokens)).unwrap_or(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    fn bucket(interval: u64, burst: u32) -> (TokenBucket, Instant) {
        let now = instant();
        (TokenBucket::full(Pace { interval: Duration::from_millis(interval), burst }, now), now)
    }

    #[test]
    fn ten_a_second_are_one_every_tenth() {
        let (mut bucket, now) = bucket(100, 1);
        assert_eq!(bucket.free(now), 1);
        bucket.take(1, now);
        assert_eq!((bucket.free(now), bucket.next_in(now)), (0, Duration::from_millis(100)));
        let almost = now + Duration::from_millis(99);
        assert_eq!((bucket.free(almost), bucket.next_in(almost)), (0, Duration::from_millis(1)));
        assert_eq!(bucket.free(now + Duration::from_millis(100)), 1);
        // A pause saves up no more than the burst.
        assert_eq!(bucket.free(now + Duration::from_secs(3600)), 1);
    }

    #[test]
    fn over_a_second_no_more_start_than_the_rate_and_one_burst() {
        let (mut bucket, start) = bucket(5, 20);
        assert_eq!(bucket.free(start), 20);
        let (mut now, mut started) = (start, 0);
        while now < start + Duration::from_secs(1) {
            let free = bucket.free(now);
            bucket.take(free, now);
            started += free;
            now += bucket.next_in(now);
        }
        assert!((200..=220).contains(&started), "{started}");
    }

    #[test]
    fn a_slow_rate_waits_for_seconds() {
        let (mut bucket, now) = bucket(2_000, 1);
        bucket.take(1, now);
        assert_eq!(bucket.next_in(now), Duration::from_secs(2));
        assert_eq!(bucket.free(now + Duration::from_secs(2)), 1);
    }

    #[test]
    fn what_was_taken_too_much_is_waited_for() {
        let (mut bucket, now) = bucket(100, 1);
        bucket.take(3, now);
        assert_eq!(bucket.next_in(now), Duration::from_millis(300));
        assert_eq!(bucket.free(now + Duration::from_millis(299)), 0);
        assert_eq!(bucket.free(now + Duration::from_millis(300)), 1);
        bucket.take(usize::MAX, now);
        assert_eq!(bucket.free(now), 0);
    }
}
