//! Step 6: the user's code, and everything else that takes a job.

mod error;
mod function;
mod job;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;

pub(crate) use self::function::FunctionHandler;
pub use self::{
    error::HandlerError,
    function::{Event, FromJob, HandlerFn, Raw, State},
    job::{Attempt, Job},
};

/// Something that takes jobs: a target, or a function with its state.
///
/// Functions need not implement this; [`Builder::on`](crate::Builder::on) takes them as they are.
pub trait Handler: Send + Sync + 'static {
    /// Handles one attempt at a job. `Ok` settles it as done; an error says whether it is tried again.
    ///
    /// Dropping the future cancels the attempt (at its time limit, or when a shutdown's grace is over).
    fn handle(&self, job: Job) -> BoxFuture<'static, Result<(), HandlerError>>;

    /// How many more jobs this handler would start now, beside the `running` ones. Jobs that it would not start stay
    /// in the queue without costing an attempt.
    fn capacity(&self, running: usize) -> Capacity {
        let _ = running;
        Capacity::UNLIMITED
    }

    /// Says that `jobs` more jobs are about to be started, so that a rate limit can count them.
    fn starting(&self, jobs: usize) {
        let _ = jobs;
    }
}

/// How many more jobs a handler would start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// How many more it would start.
    pub free: usize,
    /// When to ask again, although no job has ended by then (a rate limit refills, a breaker half-opens).
    pub ask_again: Option<Duration>,
}

impl Capacity {
    /// As many as there are.
    pub const UNLIMITED: Self = Self { free: usize::MAX, ask_again: None };

    /// At most this many.
    pub const fn free(free: usize) -> Self {
        Self { free, ask_again: None }
    }

    /// None before this time is over.
    pub const fn closed_for(time: Duration) -> Self {
        Self { free: 0, ask_again: Some(time) }
    }
}

/// A handler that many routes and workers share.
pub(crate) type SharedHandler = Arc<dyn Handler>;

impl fmt::Debug for dyn Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}
