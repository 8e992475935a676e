#[cfg(feature = "redis")]
use std::time::Duration;
use std::{error::Error, io, net::SocketAddr};

use crate::{journal::OpenError, source::NAME, target::TargetError};

/// Why a receiver can't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two sources have the same name.
    #[error("two sources are named {0:?}; a source's name is part of its URL and must be its own")]
    DuplicateSource(String),
    /// A source has a name that can't stand in its URL.
    #[error("the source {0:?} can't be named so: its name is part of its URL; expected {NAME}")]
    SourceName(String),
    /// A source has no secret to check its sender's proof by, or an empty one.
    #[error(
        "the source {0:?} has no secret, or an empty one, by which anybody could sign; give its provider the secret that the \
         sender signs with (if it comes from an environment variable: that is set, and empty)"
    )]
    NoSecret(String),
    /// A source is given an empty path secret.
    #[error(
        "the source {0:?} is given an empty path secret, which proves nothing; give `.path_secret(…)` a secret text, such as \
         `openssl rand -hex 16` makes (if it comes from an environment variable: that is set, and empty)"
    )]
    EmptyPathSecret(String),
    /// Nothing but a path secret could prove a source's requests, and it has none: each would be refused.
    #[error(
        "the source {0:?} would refuse every request: nothing but a secret in the path can prove who calls, and it has none; \
         add one, `Source::new(provider).path_secret(…)`, such as `openssl rand -hex 16` makes, and give the sender the URL \
         /in/{0}/<secret>, or give the provider another proof"
    )]
    NoPathSecret(String),
    /// The admin listener is given an empty token.
    #[cfg(feature = "admin")]
    #[error(
        "the admin listener at {0} is given an empty token, which opens nothing; give `.admin(…)` a secret text, such as \
         `openssl rand -hex 16` makes (if it comes from an environment variable: that is set, and empty)"
    )]
    EmptyAdminToken(SocketAddr),
    /// Two routes have the same name.
    #[error(
        "two routes are named {0:?}; give one of them another name with `.named(…)`: it is part of every job's id"
    )]
    DuplicateRoute(String),
    /// A route listens to a source that does not exist.
    #[error("the route {route:?} listens to the source {wanted:?}, which does not exist; there are: {known}")]
    UnknownSource {
        /// The route.
        route: String,
        /// The source that it wants.
        wanted: String,
        /// The sources that there are.
        known: String,
    },
    /// A route's pattern fits nothing that its sources are known to send.
    #[error("the route {route:?} waits for {pattern:?}, which {reason}")]
    UnknownKind {
        /// The route.
        route: String,
        /// Its pattern.
        pattern: String,
        /// What is known to be sent, and what may have been meant.
        reason: String,
    },
    /// A route is tried in a way that makes no sense.
    #[error("the route {route:?} has {setting}; {expected} expected")]
    RouteSetting {
        /// The route.
        route: String,
        /// The setting, and its value.
        setting: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A method that changes the last route was called where there was none yet.
    #[error(
        "`.{0}(…)` changes the route before it, and there is none; call it after `.on(…)`, `.route(…)` or `.target(…)`"
    )]
    NoRouteYet(&'static str),
    /// A route's target can't be made.
    #[error("the route {route:?}: {source}")]
    Target {
        /// The route.
        route: String,
        /// Why.
        source: TargetError,
    },
    /// The embedded queue is one process' own.
    #[error("a worker alone needs a queue that machines share; give it Redis, or let one process do both")]
    WorkerWithoutRedis,
    /// Deliveries would be forgotten while they may still be offered to Redis again.
    #[cfg(feature = "redis")]
    #[error(
        "`.retention(…)` keeps {deliveries} deliveries for {retention:?}, which is shorter than the queue's `.keep({keep:?})`: a \
         Redis that has lost writes is offered all deliveries of that time again, and would run those that it has forgotten; \
         expected at least {keep:?}, or a shorter keep"
    )]
    RetentionBelowKeep {
        /// Which of them: done or failed.
        deliveries: &'static str,
        /// How long they are kept.
        retention: Duration,
        /// How long journals keep what they moved to Redis.
        keep: Duration,
    },
    /// A sender would have given up before Redis had to be done without.
    #[cfg(feature = "redis")]
    #[error(
        "`.ack_both({timeout:?})` is no shorter than the sender of the source {sender:?} waits for its reply ({deadline:?}); \
         expected less, such as 300ms"
    )]
    AckTimeout {
        /// The name of the source whose sender is the first to give up.
        sender: String,
        /// How long that one waits.
        deadline: Duration,
        /// How long an acknowledgement would wait for Redis.
        timeout: Duration,
    },
    /// The journal can't be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The queue in Redis is laid out otherwise than the options say, or they make no sense.
    #[cfg(feature = "redis")]
    #[error("{0}")]
    Redis(String),
    /// The system has no randomness to offer.
    #[error("the system's random numbers can't be read: {0}")]
    Random(String),
    /// The client for HTTP targets can't be made.
    #[error("the HTTP client for targets can't be made: {0}")]
    HttpClient(#[source] Box<dyn Error + Send + Sync>),
}

/// Why a receiver can't serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address can't be listened on.
    #[error("can't listen on {address}: {source}; stop what listens there, or choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The threads that take deliveries in can't be started.
    #[error(
        "can't start the threads that take deliveries in: {0}; raise the limits on processes and open files"
    )]
    Threads(#[source] io::Error),
}
