//! Step 6: the user's code, and everything else that takes a job.

mod error;
mod function;
mod job;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, FutureExt};

pub(crate) use self::function::FunctionHandler;
pub use self::{
    error::HandlerError,
    function::{Event, FromJob, HandlerFn, Json, Raw, State},
    job::{Attempt, Delivery, Job},
};

/// Something that takes jobs and is more than a function: it says how many of them it would start.
///
/// Functions need not implement this; [`Builder::on`](crate::Builder::on) takes them as they are. This one goes into
/// [`Builder::route`](crate::Builder::route):
///
/// ```
/// use doorbell::{Capacity, Handler, HandlerError, Job, Receiver, Route, provider::{FromEvent, Poster, poster}};
///
/// /// Sends mail over a server that takes two at a time.
/// struct Mailer {
///     to: String,
/// }
///
/// impl Handler for Mailer {
///     async fn handle(&self, job: Job) -> Result<(), HandlerError> {
///         let event = poster::Event::from_event(&job.kind, &job.data).map_err(HandlerError::dead)?;
///         self.mail(format!("{} {} was {}", event.object, event.object_id, event.action)).await?;
///         Ok(())
///     }
///
///     fn capacity(&self, running: usize) -> Capacity {
///         Capacity::free(2_usize.saturating_sub(running))
///     }
/// }
///
/// # impl Mailer {
/// #     async fn mail(&self, text: String) -> std::io::Result<()> { println!("{}: {text}", self.to); Ok(()) }
/// # }
/// # async fn run(secret: &str) -> Result<(), Box<dyn std::error::Error>> {
/// let receiver = Receiver::builder::<()>()
///     .source("cafe", Poster::new(secret))
///     .route(Route::new("cafe", "incoming_order.*"), Mailer { to: "chef@example.com".into() })
///     .build()
///     .await?;
/// # Ok(())
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `Handler`",
    note = "implement `Handler` for it; an async function goes into `on(…)`, which needs no trait"
)]
pub trait Handler: Send + Sync + 'static {
    /// Handles one attempt at a job. `Ok` settles it as done; an error says whether it is tried again. To be written as
    /// `async fn handle(&self, job: Job) -> Result<(), HandlerError>`.
    ///
    /// Dropping the future cancels the attempt (at its time limit, or when a shutdown's grace is over).
    fn handle(&self, job: Job) -> impl Future<Output = Result<(), HandlerError>> + Send;

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
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::Capacity;
///
/// // Two at most, and more in a second, although none may have ended by then.
/// let mut capacity = Capacity::free(2);
/// capacity.ask_again = Some(Duration::from_secs(1));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
pub(crate) type SharedHandler = Arc<dyn AnyHandler>;

/// Any [`Handler`], behind a pointer.
pub(crate) trait AnyHandler: Send + Sync {
    fn handle(&self, job: Job) -> BoxFuture<'_, Result<(), HandlerError>>;
    fn capacity(&self, running: usize) -> Capacity;
    fn starting(&self, jobs: usize);
}

impl<H: Handler> AnyHandler for H {
    fn handle(&self, job: Job) -> BoxFuture<'_, Result<(), HandlerError>> {
        Handler::handle(self, job).boxed()
    }

    fn capacity(&self, running: usize) -> Capacity {
        Handler::capacity(self, running)
    }

    fn starting(&self, jobs: usize) {
        Handler::starting(self, jobs);
    }
}

impl fmt::Debug for dyn AnyHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}
