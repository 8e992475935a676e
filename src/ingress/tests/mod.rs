//! The ingress' outer contract, over real sockets.

mod connections;
mod deadlines;
mod limits;
mod paths;
mod replies;
mod shutdown;
mod support;
