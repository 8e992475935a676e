//! What a vendor's answers mean.

use std::{fmt, time::Duration};

use http::{HeaderMap, StatusCode};

use crate::{clock::Timestamp, outbound, rate::Pace};

/// How a vendor says what went wrong, and when to come again. What is not said here goes by the answer's status.
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// The vendor, as errors and the log call it.
    fn name(&self) -> &'static str;

    /// What went wrong; `None` if nothing did.
    fn fault(&self, answer: &Answer) -> Option<Fault>;

    /// When the vendor wants to be asked again.
    fn retry_after(&self, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
        outbound::retry_after(headers, now)
    }

    /// For how long no call at all should be made, given an answer to one that cost `units`.
    fn rest(&self, answer: &Answer, units: usize) -> Option<Duration> {
        let _ = (answer, units);
        None
    }

    /// How many calls are allowed in which time.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// How long a URL may be, in bytes.
    fn url_limit(&self) -> usize {
        usize::MAX
    }
}

/// What went wrong.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// The vendor's code.
    pub(super) code: Option<i64>,
    /// What the vendor said.
    pub(super) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    Unauthorized,
    NotFound,
    RateLimited,
    Unavailable,
    Refused,
}

impl FaultKind {
    /// What a status means where the vendor says no more; `None` for success.
    pub(super) fn of(status: StatusCode) -> Option<Self> {
        match status {
            _ if status.is_success() => None,
            StatusCode::UNAUTHORIZED => Some(Self::Unauthorized),
            StatusCode::NOT_FOUND | StatusCode::GONE => Some(Self::NotFound),
            StatusCode::TOO_MANY_REQUESTS => Some(Self::RateLimited),
            StatusCode::REQUEST_TIMEOUT => Some(Self::Unavailable),
            _ if status.is_server_error() => Some(Self::Unavailable),
            _ => Some(Self::Refused),
        }
    }
}

/// A whole answer, decompressed.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}
