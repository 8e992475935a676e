//! Handlers that are not functions: an HTTP endpoint, a command, a line in the log.
//!
//! Operators choose targets, payloads never do: an address or a command is fixed when the target is made, and nothing
//! of a job has a part in it. What a job brings goes into the request's body and headers, or into the command's
//! standard input and environment, and nowhere else. So a sender cannot make Doorbell call what it likes (SSRF), and
//! nothing a notification names is ever called with our credentials.

mod breaker;
mod exec;
mod gate;
mod http;
mod log;
mod rate;

use std::sync::Arc;

pub use self::{
    breaker::BreakerSettings,
    exec::ExecTarget,
    http::{HttpClient, HttpHandler, HttpOptions, HttpTarget},
    log::LogTarget,
    rate::Rate,
};
use crate::handler::SharedHandler;

/// Where a route's jobs go, if not to a function.
#[derive(Debug)]
#[non_exhaustive]
pub enum Target {
    /// Each job is posted to a URL.
    Http(HttpTarget),
    /// Each job is given to a command.
    Exec(ExecTarget),
    /// Each job is a line in the log.
    Log(LogTarget),
}

impl Target {
    /// Posts each job to `url`.
    ///
    /// # Errors
    /// The URL is not an absolute one with `http` or `https`, or a secret is not `whsec_` and base64.
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

    /// Writes a line about each job into the log.
    pub const fn log() -> Self {
        Self::Log(LogTarget)
    }

    /// Whether [`Target::Http`] is what it is, so that someone has to make an [`HttpClient`].
    pub const fn needs_http(&self) -> bool {
        matches!(self, Self::Http(_))
    }

    /// The handler that this target is. All HTTP targets of a receiver share one client.
    pub(crate) fn into_handler(self, client: &HttpClient) -> SharedHandler {
        match self {
            Self::Http(target) => Arc::new(target.into_handler(client)),
            Self::Exec(target) => Arc::new(target),
            Self::Log(target) => Arc::new(target),
        }
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
}
