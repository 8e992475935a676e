//! The ingress' outer contract, over real sockets.

mod connections;
mod deadlines;
#[cfg(unix)]
mod inheriting;
mod limits;
mod paths;
mod replies;
mod shutdown;
pub(in crate::ingress) mod support;
mod vendors;
