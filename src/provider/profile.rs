//! What a sender expects of a receiver.

use std::time::Duration;

use http::StatusCode;

#[cfg(feature = "axum")]
use super::Secrets;

/// What a provider's sender expects of a receiver.
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::provider::{Profile, Reply};
///
/// let mut profile = Profile::default();
/// profile.deadline = Duration::from_secs(3);
/// profile.success = Reply::json(r#"{"received":true}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// How long the sender waits for the reply, from the moment it connected.
    pub deadline: Duration,
    /// The reply that means "delivered" to it.
    pub success: Reply,
    /// Deliveries without a sender's id are taken for the same if their bodies are equal and no more than this lies
    /// between them. Zero: never.
    pub dedupe_fallback: Duration,
    /// Whether the sender's requests carry no proof of their own, so that the path must hold a secret.
    pub needs_path_secret: bool,
    /// Whether a secret that the provider goes by is missing or an empty text. No receiver and no `Verifier` is built with
    /// it then.
    pub lacks_secret: bool,
}

impl Profile {
    /// What is missing to prove this sender's requests by, beside these secrets in the path.
    #[cfg(feature = "axum")]
    pub(crate) fn gap(&self, path_secrets: &Secrets) -> Option<Gap> {
        if self.lacks_secret {
            Some(Gap::Secret)
        } else if path_secrets.had_empty() {
            Some(Gap::EmptyPathSecret)
        } else if self.needs_path_secret && path_secrets.is_empty() {
            Some(Gap::PathSecret)
        } else {
            None
        }
    }
}

/// Why nothing, or not all that was meant to, would prove a sender's requests.
#[cfg(feature = "axum")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The provider has no secret, or an empty one.
    Secret,
    /// A path secret is an empty text.
    EmptyPathSecret,
    /// Nothing but a path secret could prove them, and there is none.
    PathSecret,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            success: Reply::EMPTY_OK,
            dedupe_fallback: Duration::from_secs(10),
            needs_path_secret: false,
            lacks_secret: false,
        }
    }
}

/// A reply that a sender takes for success.
///
/// ```
/// use doorbell::provider::Reply;
///
/// let mut reply = Reply::json(r#"{"received":true}"#);
/// reply.status = http::StatusCode::ACCEPTED;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body, which is JSON; empty for none.
    pub body: &'static str,
}

impl Reply {
    /// 200 with an empty body.
    pub const EMPTY_OK: Self = Self { status: StatusCode::OK, body: "" };

    /// 200 with this JSON body.
    pub const fn json(body: &'static str) -> Self {
        Self { status: StatusCode::OK, body }
    }
}
