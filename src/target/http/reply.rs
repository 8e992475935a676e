//! What a target's reply means for the job.

use std::time::Duration;

use http::{HeaderMap, StatusCode};

use crate::{clock::Timestamp, handler::HandlerError, outbound, text::one_line};

/// The part of a reply that decides.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    retry_after: Option<Duration>,
    /// The origin that a redirect points to; `None` if it is not another one's address.
    elsewhere: Option<String>,
}

/// What becomes of the job.
#[derive(Debug)]
pub(super) enum Settled {
    /// The target has it.
    Done,
    /// It does not.
    Failed(HandlerError),
}

impl Reply {
    /// Reads status and headers of a reply that came at `now`.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Self {
        let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
        Self {
            status,
            retry_after: outbound::retry_after(headers, now).filter(|_| waits),
            elsewhere: outbound::redirect_origin(headers).filter(|_| status.is_redirection()),
        }
    }

    /// Whether the target is broken, and not only unwilling to take this job.
    pub(super) fn is_outage(&self) -> bool {
        self.status.is_server_error()
    }

    /// For how long the target wants no jobs at all: it says that it gets too many.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.retry_after.filter(|_| self.status == StatusCode::TOO_MANY_REQUESTS)
    }

    /// What becomes of the job, given how the reply's body begins.
    pub(super) fn settle(&self, origin: &str, excerpt: &str) -> Settled {
        if self.status.is_success() {
            return Settled::Done;
        }
        let mut error = format!("{origin} answered {}", self.status);
        if self.status.is_redirection() {
            error.push_str("; redirects are not followed, so the target's url must be the final one");
            if let Some(elsewhere) = &self.elsewhere {
                error.extend([" (it points to ", elsewhere, ")"]);
            }
        }
        if !excerpt.is_empty() {
            error.extend([": ", excerpt]);
        }
        Settled::Failed(match (self.status, self.retry_after) {
            (StatusCode::GONE, _) => HandlerError::dead(error),
            (_, Some(after)) => HandlerError::retry_after(after, error),
            (_, None) => HandlerError::retry(error),
        })
    }
}

/// How much of a reply's body is kept, in bytes.
const EXCERPT: usize = 500;
/// How much of it is read: what is short is read to its end, so that the connection can be used again.
const READ: usize = 64 * 1024;
/// How long is waited for what explains a failure.
const READ_TIME: Duration = Duration::from_secs(1);
/// How long is waited for what a success has to say: only so that its connection can be used again.
const DRAIN_TIME: Duration = Duration::from_millis(100);

/// The beginning of the reply's body, as one line of text. What does not come is not waited for: the status has
/// already said what becomes of the job.
pub(super) async fn excerpt(mut response: reqwest::Response) -> String {
    let time = if response.status().is_success() { DRAIN_TIME } else { READ_TIME };
    let mut start = Vec::new();
    let read = async {
        let mut read = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = EXCERPT - start.len();
            start.extend_from_slice(&chunk[..chunk.len().min(room)]);
            read += chunk.len();
            if read > READ {
                break;
            }
        }
    };
    // Too late or not, what came by then is the excerpt.
    let _ = tokio::time::timeout(time, read).await;
    one_line(&start)
}
