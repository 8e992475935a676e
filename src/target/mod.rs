//! Handlers that are not functions: an HTTP endpoint, a command, a Redis stream, a line in the log.
//!
//! Operators choose targets, payloads never do: an address or a command is fixed when the target is made, and nothing
//! of a job has a part in it. What a job brings goes into the request's body and headers, or into the command's
//! standard input and environment, and nowhere else. So a sender cannot make Doorbell call what it likes (SSRF), and
//! nothing a notification names is ever called with our credentials.
//!
//! # The contract with consumers
//!
#![doc = include_str!("cloudevents.md")]

mod breaker;
mod cloudevents;
mod exec;
mod gate;
mod http;
mod log;
mod rate;
#[cfg(feature = "redis")]
mod redis_stream;

use std::sync::Arc;

pub(crate) use self::http::HttpClient;
#[cfg(feature = "redis")]
pub use self::redis_stream::RedisStreamTarget;
pub use self::{
    breaker::BreakerSettings,
    exec::ExecTarget,
    http::{HttpOptions, HttpTarget},
    log::LogTarget,
    rate::Rate,
};
use crate::handler::SharedHandler;
#[cfg(feature = "redis")]
use crate::{clock::Clock, journal::Streams};

/// Where a route's jobs go, if not to a function.
///
/// ```
/// use doorbell::{Receiver, Route, target::{HttpOptions, Target}};
///
/// let builder = Receiver::builder::<()>()
///     .target(Route::new("cafe", "stock.*"), Target::http("http://127.0.0.1:3000/hooks", HttpOptions::default())?)
///     .target(Route::new("erp", "product.*"), Target::exec(["/usr/local/bin/import", "--quiet"])?)
///     .target(Route::new("*", "*"), Target::log());
/// # Ok::<(), doorbell::target::TargetError>(())
/// ```
///
/// What each of them offers beyond that is set on its own type: [`HttpOptions`], [`ExecTarget`], [`RedisStreamTarget`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Target {
    /// Each job is posted to a URL.
    Http(HttpTarget),
    /// Each job is given to a command.
    Exec(ExecTarget),
    /// Each job is added to a Redis stream.
    #[cfg(feature = "redis")]
    RedisStream(RedisStreamTarget),
    /// Each job is a line in the log.
    Log(LogTarget),
}

/// What targets work with; all of a receiver share it.
pub(crate) struct Means {
    pub(crate) client: HttpClient,
    #[cfg(feature = "redis")]
    pub(crate) clock: Arc<dyn Clock>,
    /// The streams of the queue's own Redis, if it has one.
    #[cfg(feature = "redis")]
    pub(crate) streams: Option<Arc<Streams>>,
}

impl Target {
    /// Posts each job to `url`.
    ///
    /// # Errors
    /// The URL is not an absolute one with `http` or `https`, or a secret is empty or not `whsec_` and base64.
    pub fn http(url: &str, options: HttpOptions) -> Result<Self, TargetError> {
        HttpTarget::new(url, options).map(Self::Http)
    }

    /// Gives each job to this command: the program, then its arguments. No shell reads them.
    ///
    /// # Errors
    /// The command is empty, or holds a NUL byte.
    pub fn exec(command: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, TargetError> {
        ExecTarget::new(command).map(Self::Exec)
    }

    /// Adds each job to the stream of this name in the queue's own Redis.
    ///
    /// # Errors
    /// The name is empty, holds control characters, or is one of the queue's own.
    #[cfg(feature = "redis")]
    pub fn redis_stream(name: &str) -> Result<Self, TargetError> {
        RedisStreamTarget::new(name).map(Self::RedisStream)
    }

    /// Writes a line about each job into the log.
    pub const fn log() -> Self {
        Self::Log(LogTarget)
    }

    /// The handler that this target is.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unnecessary_wraps, reason = "the others always work"))]
    pub(crate) fn into_handler(self, means: &Means) -> Result<SharedHandler, TargetError> {
        Ok(match self {
            Self::Http(target) => Arc::new(target.into_handler(&means.client)),
            Self::Exec(target) => Arc::new(target),
            #[cfg(feature = "redis")]
            Self::RedisStream(target) => {
                Arc::new(target.into_handler(means.streams.as_ref(), means.clock.clone())?)
            }
            Self::Log(target) => Arc::new(target),
        })
    }
}

impl From<HttpTarget> for Target {
    fn from(target: HttpTarget) -> Self {
        Self::Http(target)
    }
}

impl From<ExecTarget> for Target {
    fn from(target: ExecTarget) -> Self {
        Self::Exec(target)
    }
}

#[cfg(feature = "redis")]
impl From<RedisStreamTarget> for Target {
    fn from(target: RedisStreamTarget) -> Self {
        Self::RedisStream(target)
    }
}

impl From<LogTarget> for Target {
    fn from(target: LogTarget) -> Self {
        Self::Log(target)
    }
}

/// Why a target can't be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The URL can't be posted to.
    #[error(
        "the target's url {shown:?} is not usable: {reason}; expected an absolute URL like http://127.0.0.1:3000/hooks"
    )]
    Url {
        /// The URL, without what could be secret in it.
        shown: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A secret is not a Standard Webhooks key.
    #[error(
        "the target's secret number {number} is not a Standard Webhooks key: expected whsec_ followed by base64, as \
         `echo whsec_$(openssl rand -base64 32)` makes"
    )]
    Secret {
        /// Which one of the target's secrets, from 1.
        number: usize,
    },
    /// A secret is an empty text: what is posted would go unsigned.
    #[error(
        "a secret of the target {shown} is empty, so that what is posted would go unsigned; give it one such as \
         `echo whsec_$(openssl rand -base64 32)` makes (if it comes from an environment variable: that is set, and empty), \
         or none at all"
    )]
    EmptySecret {
        /// The target: scheme, host and port.
        shown: String,
    },
    /// The rate is no rate.
    #[error(
        "the target's rate {given} is not usable: expected a number of jobs a second between one a day and {max}",
        max = Rate::MAX
    )]
    Rate {
        /// The rate, in jobs a second.
        given: f64,
    },
    /// The command is no command.
    #[error(
        "the target's command {shown:?} is not usable: {reason}; expected [\"program\", \"argument\", …]"
    )]
    Command {
        /// The program, without its arguments.
        shown: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The stream's name is no such name.
    #[cfg(feature = "redis")]
    #[error("the stream's name {shown:?} is not usable: {reason}; expected a name such as \"orders\"")]
    Stream {
        /// The name.
        shown: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The stream's Redis can't be reached at what its address says.
    #[cfg(feature = "redis")]
    #[error("the address of the Redis with the stream {stream:?} is not usable: {reason}")]
    Redis {
        /// The stream.
        stream: String,
        /// What is wrong with the address, without a password.
        reason: String,
    },
    /// The stream is to be in the queue's own Redis, and the queue is embedded.
    #[cfg(feature = "redis")]
    #[error(
        "the stream {stream:?} is in no Redis: the queue is embedded, and has none of its own; name one, by \
         `RedisStreamTarget::at` or `url` beside `redis_stream`"
    )]
    NoRedis {
        /// The stream.
        stream: String,
    },
}
