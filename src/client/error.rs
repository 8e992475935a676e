use std::time::Duration;

use http::StatusCode;

/// Why a call of a vendor's API brought no result. Says what was called, never a secret.
///
/// In a handler, `?` makes of it what is likely right, also where an error type of your own has it as its source:
///
/// | case | the job |
/// | --- | --- |
/// | [`RateLimited`](Self::RateLimited), [`Unavailable`](Self::Unavailable) | is tried again when the vendor says, otherwise by the route's schedule |
/// | [`NoAnswer`](Self::NoAnswer), [`Redirected`](Self::Redirected), [`Vendor`](Self::Vendor) | is tried again by the route's schedule |
/// | [`Unauthorized`](Self::Unauthorized) | the same. Wrong credentials are wrong for every job, and are set right within the hours that the schedule spans; as dead letters all of them would have to be replayed |
/// | [`NotFound`](Self::NotFound) | the same, as a vendor's replicas may lag behind its notifications. Whether it is good news is for the handler to say: [`optional`](OptionalExt::optional) |
/// | [`Unusable`](Self::Unusable), [`TooLarge`](Self::TooLarge), [`Unreadable`](Self::Unreadable) in its shape | is a dead letter at once: no repetition mends it |
///
/// Each case may come to say more, so match it with `..`.
///
/// ```
/// use doorbell::client::ClientError;
///
/// fn explain(error: &ClientError) -> String {
///     match error {
///         ClientError::RateLimited { code: Some(1073), .. } => "too many calls of ours at once".into(),
///         _ if error.is_permanent() => format!("mend the code: {error}"),
///         _ => match error.retry_after() {
///             Some(time) => format!("again in {} s: {error}", time.as_secs()),
///             None => format!("again soon: {error}"),
///         },
///     }
/// }
/// # let error = doorbell::client::Kladana::new("", "a token").unwrap_err();
/// # assert!(explain(&error).starts_with("mend the code: "), "{error}");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The credentials are wrong, expired or revoked.
    #[error("{call}: the credentials were refused ({status}{}); set valid ones", detail(.message))]
    #[non_exhaustive]
    Unauthorized {
        /// What was called: the vendor and the path.
        call: String,
        /// The answer's status.
        status: StatusCode,
        /// What the vendor said.
        message: String,
    },
    /// What was asked for is not there, or not any more.
    #[error("{call}: not found{}", detail(.message))]
    #[non_exhaustive]
    NotFound {
        /// What was called.
        call: String,
        /// What the vendor said.
        message: String,
    },
    /// The vendor gets too many calls, or the call would have had to wait for longer than it may take to keep to the
    /// vendor's limits.
    #[error("{call}: too many calls{}{}{}", .code.map(|code| format!(" (code {code})")).unwrap_or_default(), detail(.message), wait(*.after))]
    #[non_exhaustive]
    RateLimited {
        /// What was called.
        call: String,
        /// The vendor's code: some tell too many calls in a time from too many at once. `None` where it gave none, or was not
        /// even asked.
        code: Option<i64>,
        /// What the vendor said. Empty where it was not even asked.
        message: String,
        /// When to come again.
        after: Option<Duration>,
    },
    /// The vendor's trouble: a status 5xx, or 408.
    #[error("{call}: the vendor is in trouble ({status}{}){}", detail(.message), wait(*.after))]
    #[non_exhaustive]
    Unavailable {
        /// What was called.
        call: String,
        /// The answer's status.
        status: StatusCode,
        /// What the vendor said.
        message: String,
        /// When to come again, if the vendor said so.
        after: Option<Duration>,
    },
    /// There was no answer, or not all of it, in time.
    #[error("{call}: no whole answer")]
    #[non_exhaustive]
    NoAnswer {
        /// What was called.
        call: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The vendor points elsewhere. Redirects are not followed: they would take the credentials along.
    #[error(
        "{call}: answered {status}, a redirect{}; redirects are not followed, so the base URL must be the final one",
        .to.as_deref().map(|to| format!(" to {to}")).unwrap_or_default()
    )]
    #[non_exhaustive]
    Redirected {
        /// What was called.
        call: String,
        /// The answer's status.
        status: StatusCode,
        /// The origin that it points to, if it is another one's.
        to: Option<String>,
    },
    /// The vendor refuses the call for a reason of its own.
    #[error("{call}: refused ({status}{}{})", .code.map(|code| format!(", code {code}")).unwrap_or_default(), detail(.message))]
    #[non_exhaustive]
    Vendor {
        /// What was called.
        call: String,
        /// The answer's status: some vendors refuse with 200.
        status: StatusCode,
        /// The vendor's code for the first error.
        code: Option<i64>,
        /// What the vendor said, all of its errors.
        message: String,
    },
    /// The answer is larger than [`ClientOptions::body_limit`](super::ClientOptions::body_limit).
    #[error("{call}: the answer has more than {limit} bytes; raise `body_limit` or ask for less")]
    #[non_exhaustive]
    TooLarge {
        /// What was called.
        call: String,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is not what it should be read as.
    #[error("{call}: the answer can't be read as asked for: {reason}")]
    #[non_exhaustive]
    Unreadable {
        /// What was called.
        call: String,
        /// What is wrong in it.
        reason: String,
        /// Whether it is JSON of another shape, which no repetition mends; otherwise it is no JSON.
        in_shape: bool,
    },
    /// This can't be asked for, or a client not be made of it: nothing was called.
    #[error("{field} {value:?} can't be used: expected {expected}")]
    #[non_exhaustive]
    Unusable {
        /// What is wrong: `the entity's type`.
        field: &'static str,
        /// What it is; a secret is left out.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The HTTP client can't be made: there is something wrong with TLS on this machine.
    #[error("the HTTP client can't be made")]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl ClientError {
    /// When to come again, if the vendor, or a limit that the client keeps to, says so.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { after, .. } | Self::Unavailable { after, .. } => *after,
            _ => None,
        }
    }

    /// Whether no repetition of the same call can mend it.
    pub const fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Unusable { .. } | Self::TooLarge { .. } | Self::Unreadable { in_shape: true, .. }
        )
    }

    /// What was given by others can't be used. It may be of any length: its beginning says enough.
    pub(super) fn unusable(field: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Unusable { field, value: value.chars().take(64).collect(), expected }
    }

    /// The failed call that `error` is, or that caused it.
    #[cfg(feature = "receiver")]
    pub(crate) fn within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a Self> {
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }
}

/// `None` for what is not there, so that a handler can say what that means to it.
///
/// ```no_run
/// # async fn run(kladana: doorbell::client::Kladana, product: doorbell::provider::kladana::EntityRef)
/// # -> Result<(), doorbell::client::ClientError> {
/// use doorbell::client::OptionalExt;
/// use serde_json::Value;
///
/// match kladana.fetch::<Value>(&product).await.optional()? {
///     Some(product) => println!("it is now {}", product["name"]),
///     None => println!("it is gone"),
/// }
/// # Ok(())
/// # }
/// ```
pub trait OptionalExt<T> {
    /// Turns [`ClientError::NotFound`] into `None`.
    ///
    /// # Errors
    /// All others.
    fn optional(self) -> Result<Option<T>, ClientError>;
}

impl<T> OptionalExt<T> for Result<T, ClientError> {
    fn optional(self) -> Result<Option<T>, ClientError> {
        match self {
            Ok(found) => Ok(Some(found)),
            Err(ClientError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn detail(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn wait(after: Option<Duration>) -> String {
    after.map(|after| format!("; again in {after:?}")).unwrap_or_default()
}
