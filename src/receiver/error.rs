use std::{error::Error, io, net::SocketAddr};

use crate::{journal::OpenError, target::TargetError};

/// Why a receiver can't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Two sources have the same name.
    #[error("two sources are named {0:?}; a source's name is part of its URL and must be its own")]
    DuplicateSource(String),
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
}
