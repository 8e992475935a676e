//! The only place that asks the time.
//!
//! Two kinds of time are kept apart: a [`Timestamp`] says *when* (it is stored, shown and compared with what a
//! sender claims), an [`Instant`] says *how long* (deadlines and intervals; it never jumps). Everything that
//! reasons about time takes it as an argument, so tests pass any time they like.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment in UTC, in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Prints and serialises as RFC 3339 (`2026-01-23T09:48:17.000Z`).
///
/// ```
/// use doorbell::clock::Timestamp;
/// use std::time::Duration;
///
/// let sent = Timestamp::parse_rfc3339("2026-01-23T12:48:17+03:00").ok_or("no time")?;
/// assert_eq!(sent.to_string(), "2026-01-23T09:48:17.000Z");
/// let came = sent.plus(Duration::from_millis(250));
/// assert_eq!(came.since(sent), Duration::from_millis(250));
/// assert!(Timestamp::from_seconds(1_767_168_200) < sent);
/// # Ok::<(), &str>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `millis` milliseconds after 1970 began in UTC; negative for earlier ones.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// The moment `seconds` seconds after 1970 began in UTC, held within what milliseconds can express.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since 1970 began in UTC.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 began in UTC, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads RFC 3339 with an offset, such as `2026-01-23T09:48:17+00:00`. `None` if it is not that.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|at| Self(at.as_millisecond()))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment, moved into the future by `by` (held at the largest moment there is).
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment, moved into the past by `by` (held at the smallest moment there is).
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            // Outside the years -9999 to 9999: better an honest number than a wrong date.
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(0).plus(after),
            Err(before) => Self(0).minus(before.duration()),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse_rfc3339(&text)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is not a time like 2026-01-23T09:48:17Z")))
    }
}

/// Tells what time it is. Tests put a [`ManualClock`] in its place.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// The time since some fixed moment. Unlike [`now`](Self::now) it never jumps and is never set back.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(instant).elapsed()
    }
}

/// A clock that stands still until it is moved.
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::clock::{Clock, ManualClock, Timestamp};
///
/// let clock = ManualClock::at(Timestamp::from_seconds(1_767_168_200));
/// let shared = clock.clone(); // shows the same time
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(shared.now(), Timestamp::from_seconds(1_767_168_260));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn at(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_millis())))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.now().since(Timestamp(0))
    }
}

/// The monotonic time now, for deadlines and intervals.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub fn instant() -> Instant {
    Instant::now()
}

/// Measures how far Tokio's clock is moved while it is paused (`tokio::time::pause`), as tests do.
#[cfg(feature = "receiver")]
#[derive(Debug)]
pub(crate) struct PausedTime(Option<tokio::time::Instant>);

#[cfg(feature = "receiver")]
impl PausedTime {
    /// Begins to measure.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
    pub(crate) fn begin() -> Self {
        let (began, real) = (tokio::time::Instant::now(), instant());
        // As soon as the real clock has moved, one that is not paused has moved, too.
        while instant() == real {
            std::hint::spin_loop();
        }
        Self((tokio::time::Instant::now() == began).then_some(began))
    }

    /// How far it was moved since; nothing, if it is not paused.
    pub(crate) fn passed(&self) -> Duration {
        self.0.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_rfc3339_with_milliseconds() {
        assert_eq!(Timestamp::from_millis(1_767_168_200_045).to_string(), "2025-12-31T08:03:20.045Z");
    }

    #[test]
    fn extremes_do_not_panic() {
        for millis in [i64::MIN, -1, 0, i64::MAX] {
            let at = Timestamp::from_millis(millis);
            assert!(!at.to_string().is_empty());
            let _ = (at.plus(Duration::MAX), at.minus(Duration::MAX), at.since(Timestamp::from_millis(0)));
        }
        assert_eq!(Timestamp::from_seconds(i64::MAX).as_millis(), i64::MAX);
    }

    #[test]
    fn reads_offsets() {
        let moscow = Timestamp::parse_rfc3339("2026-01-23T10:44:23+03:00");
        assert_eq!(moscow, Timestamp::parse_rfc3339("2026-01-23T07:44:23Z"));
        assert_eq!(Timestamp::parse_rfc3339("2026-01-23 10:44:23"), None);
    }
}
