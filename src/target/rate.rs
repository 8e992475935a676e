//! A token bucket that is told the time.

use std::time::{Duration, Instant};

use super::TargetError;

/// How many jobs a second a target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How long after one job the next one may start, on average.
    interval: Duration,
    /// How many may start at once after a pause.
    burst: u32,
}

impl Rate {
    /// The highest rate that can be asked for, in jobs a second.
    pub const MAX: f64 = 1_000_000.0;

    /// This many jobs a second; 0.5 is one every two seconds. At most a tenth of a second's worth (at least one job)
    /// starts at once, so that a target with a limit of its own does not see twice its limit after a pause.
    ///
    /// # Errors
    /// The rate is not above zero, not a number, above [`MAX`](Self::MAX), or so low that it is next to never.
    pub fn per_second(jobs: f64) -> Result<Self, TargetError> {
        let refused = || TargetError::Rate { given: jobs };
        if !(jobs > 0.0 && jobs <= Self::MAX) {
            return Err(refused());
        }
        let interval = Duration::try_from_secs_f64(1.0 / jobs).map_err(|_| refused())?;
        if interval > Self::LONGEST {
            return Err(refused());
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to MAX / 10")]
        let burst = (jobs / 10.0).ceil() as u32;
        Ok(Self { interval, burst })
    }

    const LONGEST: Duration = Duration::from_secs(24 * 3600);
}

/// The bucket, kept as the moment at which it will be full again: exact, and without a task that refills it.
#[derive(Debug, Clone)]
pub(super) struct TokenBucket {
    rate: Rate,
    full_at: Instant,
}

impl TokenBucket {
    /// A bucket that is full now.
    pub(super) fn full(rate: Rate, now: Instant) -> Self {
        Self { rate, full_at: now }
    }

    /// How many jobs may start now.
    pub(super) fn free(&self, now: Instant) -> usize {
        let missing = self.full_at.saturating_duration_since(now).as_nanos();
        let missing = missing.div_ceil(self.rate.interval.as_nanos());
        usize::try_from(u128::from(self.rate.burst).saturating_sub(missing)).unwrap_or(usize::MAX)
    }

    /// How long until one more job may start than now; an interval if the bucket is full.
    pub(super) fn next_in(&self, now: Instant) -> Duration {
        let missing = self.full_at.saturating_duration_since(now);
        if missing.is_zero() {
            return self.rate.interval;
        }
        let spare = u32::try_from(self.free(now)).unwrap_or(u32::MAX);
        let room = self.rate.burst.saturating_sub(spare.saturating_add(1));
        missing.saturating_sub(self.rate.interval.saturating_mul(room))
    }

    /// Takes `jobs` tokens, also such as are not there yet: what was started despite the limit is paid for by waiting.
    pub(super) fn take(&mut self, jobs: usize, now: Instant) {
        let jobs = u32::try_from(jobs).unwrap_or(u32::MAX);
        let from = self.full_at.max(now);
        self.full_at = from.checked_add(self.rate.interval.saturating_mul(jobs)).unwrap_or(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::instant;

    fn bucket(per_second: f64) -> (TokenBucket, Instant) {
        let now = instant();
        (TokenBucket::full(Rate::per_second(per_second).unwrap(), now), now)
    }

    #[test]
    fn ten_a_second_are_one_every_tenth() {
        let (mut bucket, now) = bucket(10.0);
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
        let (mut bucket, start) = bucket(200.0);
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
        let (mut bucket, now) = bucket(0.5);
        bucket.take(1, now);
        assert_eq!(bucket.next_in(now), Duration::from_secs(2));
        assert_eq!(bucket.free(now + Duration::from_secs(2)), 1);
    }

    #[test]
    fn what_was_taken_too_much_is_waited_for() {
        let (mut bucket, now) = bucket(10.0);
        bucket.take(3, now);
        assert_eq!(bucket.next_in(now), Duration::from_millis(300));
        assert_eq!(bucket.free(now + Duration::from_millis(299)), 0);
        assert_eq!(bucket.free(now + Duration::from_millis(300)), 1);
        bucket.take(usize::MAX, now);
        assert_eq!(bucket.free(now), 0);
    }

    #[test]
    fn rates_that_are_none_are_refused_by_value() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9, 1e-300] {
            let error = Rate::per_second(wrong).unwrap_err().to_string();
            assert!(error.contains(&wrong.to_string()) && error.contains("jobs a second"), "{error}");
        }
    }
}
