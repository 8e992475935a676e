//! The only place that asks the time.

use std::time::{Duration, Instant, SystemTime};

/// The monotonic time now: how long something takes.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub(crate) fn instant() -> Instant {
    Instant::now()
}

/// The time since 1970 began in UTC: when something happens, comparable between processes.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks")]
pub(crate) fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
