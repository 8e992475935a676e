use std::{
    fmt,
    future::Future,
    pin::Pin,
    time::{Duration, Instant},
};

use crate::clock::{self, Clock, SystemClock, Timestamp};

/// What a client knows of time. Tests put one in its place in which waiting takes none.
pub(super) trait Timer: fmt::Debug + Send + Sync {
    /// When it is.
    fn now(&self) -> Timestamp;

    /// For measuring how long something takes.
    fn instant(&self) -> Instant;

    /// Waits.
    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The machine's time.
#[derive(Debug)]
pub(super) struct SystemTimer;

impl Timer for SystemTimer {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn instant(&self) -> Instant {
        clock::instant()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(time))
    }
}
