//! Step 1: HTTP in, acknowledgement out.
//!
//! A request's way: the path says which source is meant, the body is read within its limits, the provider says
//! whether the origin is proved, the store makes the delivery durable, and the sender gets the reply that it takes for
//! success. All of it within the sender's deadline, or the reply is 503.
//!
//! [`Ingress`] answers one request; [`serve`] is the accept loop for it; [`router`] mounts it in an axum application.

mod accept;
mod answer;
mod body;
mod connection;
mod fan_out;
mod filing;
mod headers;
mod inlet;
mod limits;
mod listener;
mod paths;
mod refused;
#[cfg(test)]
mod tests;
mod threads;
mod unacknowledged;

#[cfg(feature = "admin")]
pub(crate) use self::fan_out::FanOut;
pub use self::limits::Limits;
#[cfg(all(test, feature = "admin"))]
pub(crate) use self::refused::RefusedRequest;
pub(crate) use self::{
    accept::serve,
    answer::{Ingress, IngressContext},
    listener::Listener,
    refused::RefusedLog,
    threads::Threads,
};

/// The ingress as a router, to merge into or nest in an axum application. It owns `/in` and everything under it.
///
/// There the deadline counts from when a request reaches the router, and the limits on headers and connections are the
/// application's own.
pub(crate) fn router<S: Clone + Send + Sync + 'static>(ingress: &Ingress) -> axum::Router<S> {
    ["/in", "/in/", "/in/{*path}"]
        .into_iter()
        .fold(axum::Router::new(), |router, path| router.route_service(path, ingress.clone()))
}
