use std::{fmt, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

#[cfg(all(feature = "redis", feature = "cli"))]
use super::store;
use super::{BuildError, Queue, Receiver, Role, Settings};
use crate::{
    handler::{FromJob, FunctionHandler, Handler, HandlerError, HandlerFn, SharedHandler},
    ingress::Limits,
    route::{RetryPolicy, Route},
    source::Source,
    target::{Means, Target, TargetError},
};

/// Puts a [`Receiver`] together.
///
/// `S` is the state that handlers take with [`State`](crate::State): the builder wants it until
/// [`with_state`](Self::with_state) has given it.
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::{
///     Event, HandlerError, Job, Limits, Receiver, RetryPolicy, Route, Source, State,
///     provider::{Kladana, Poster, poster::Stock},
///     target::{HttpOptions, Target},
/// };
///
/// #[derive(Clone)]
/// struct Shop;
///
/// async fn stock_changed(stock: Event<Stock>, _shop: State<Shop>) -> Result<(), HandlerError> {
///     println!("item {}: {} left", stock.element_id, stock.value_absolute);
///     Ok(())
/// }
///
/// async fn anything_else(job: Job) -> Result<(), HandlerError> {
///     Err(HandlerError::discard(format!("{} is of no use here", job.kind)))
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let receiver = Receiver::builder()
///     // Who sends,
///     .source("cafe", Poster::new("a-made-up-secret"))
///     .source("erp", Source::new(Kladana::new()).path_secret("0f1e2d3c4b5a"))
///     // what is done about it: by a function, and how its failures are retried,
///     .on("cafe", "stock.*", stock_changed)
///     .named("stock-to-shop")
///     .retry(RetryPolicy { max_attempts: 10, ..RetryPolicy::default() })
///     .timeout(Duration::from_secs(10))
///     // by something else, over HTTP,
///     .target(Route::new("erp", "product.*"), Target::http("http://127.0.0.1:3000/hooks", HttpOptions::default())?)
///     // and by whoever takes the rest;
///     .fallback(anything_else)
///     // how all of it is run.
///     .data_dir(folder)
///     .limits(Limits { body_bytes: 4 << 20, ..Limits::default() })
///     .concurrency(16)
///     .retention(Some(Duration::from_secs(7 * 24 * 3600)), None)
///     .shutdown_times(Duration::ZERO, Duration::from_secs(10))
///     .with_state(Shop)
///     .build()
///     .await?;
/// # receiver.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct Builder<S = ()> {
    pub(super) sources: Vec<(String, Source)>,
    pub(super) routes: Vec<PendingRoute<S>>,
    pub(super) settings: Settings,
    /// The first method that changes a route and was called before there was one.
    pub(super) misplaced: Option<&'static str>,
}

pub(super) struct PendingRoute<S> {
    pub(super) route: Route,
    pub(super) handler: MakeHandler<S>,
}

impl<S> fmt::Debug for Builder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("sources", &self.sources)
            .field("routes", &self.routes.iter().map(|pending| &pending.route).collect::<Vec<_>>())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Makes a route's handler, once there are a state and the means for targets; without means, a target's jobs are simply
/// done.
type MakeHandler<S> = Box<dyn FnOnce(&S, Option<&Means>) -> Result<SharedHandler, TargetError> + Send>;

impl<S> Builder<S> {
    pub(super) fn new() -> Self {
        Self { sources: Vec::new(), routes: Vec::new(), settings: Settings::default(), misplaced: None }
    }

    /// Takes deliveries at `/in/<name>`. A provider is a source with the provider's defaults; [`Source`] has the rest.
    pub fn source(mut self, name: impl Into<String>, source: impl Into<Source>) -> Self {
        self.sources.push((name.into(), source.into()));
        self
    }

    /// Has a function handle the events of a source (`*`: of every source) whose kind fits the pattern.
    ///
    /// The route that this makes is named `source:pattern`; [`named`](Self::named), [`retry`](Self::retry) and
    /// [`timeout`](Self::timeout) after it change that route.
    ///
    /// ```
    /// use doorbell::{Event, HandlerError, Job, Receiver};
    /// use serde_json::Value;
    ///
    /// async fn pushed(event: Event<Value>, job: Job) -> Result<(), HandlerError> {
    ///     println!("{}: attempt {} at {}", event["ref"], job.attempt.number, job.id);
    ///     Ok(())
    /// }
    ///
    /// let builder = Receiver::builder::<()>()
    ///     .on("repo", "push", pushed)
    ///     .on("*", "order.*", async |job: Job| -> Result<(), HandlerError> { Ok(println!("{} came in", job.kind)) });
    /// ```
    pub fn on<F, Args>(self, source: &str, pattern: &str, handler: F) -> Self
    where
        F: HandlerFn<Args, Future: Future<Output = Result<(), HandlerError>> + Send> + Send + Sync + 'static,
        Args: FromJob<S> + 'static,
        S: Clone + Send + Sync + 'static,
    {
        self.function(Route::new(source, pattern), handler)
    }

    /// Has a function handle the events that no other route wants, of whatever source: without it they are kept as
    /// unrouted.
    ///
    /// It is one more route, named `fallback`, and decided when a delivery comes in: an event that was handled by it stays
    /// so, although a route of its own may come later. For the rest of one source alone, set
    /// [`Route::fallback`](Route#structfield.fallback) and pass the route to [`route`](Self::route).
    pub fn fallback<F, Args>(self, handler: F) -> Self
    where
        F: HandlerFn<Args, Future: Future<Output = Result<(), HandlerError>> + Send> + Send + Sync + 'static,
        Args: FromJob<S> + 'static,
        S: Clone + Send + Sync + 'static,
    {
        self.function(Route { name: "fallback".into(), fallback: true, ..Route::new("*", "*") }, handler)
    }

    /// Has a [`Handler`] of your own, which is no function, handle a route's events.
    ///
    /// ```no_run
    /// # use doorbell::{Handler, HandlerError, Job, Receiver, Route};
    /// # struct Mailer;
    /// # impl Handler for Mailer {
    /// #     async fn handle(&self, _: Job) -> Result<(), HandlerError> { Ok(()) }
    /// # }
    /// let builder = Receiver::builder::<()>().route(Route::new("cafe", "incoming_order.*"), Mailer).named("mail");
    /// ```
    pub fn route(self, route: Route, handler: impl Handler) -> Self {
        self.push(route, |_, _| Ok(Arc::new(handler)))
    }

    /// Sends a route's events to a target.
    ///
    /// ```
    /// use doorbell::{Receiver, Route, target::{HttpOptions, Target}};
    ///
    /// let mut options = HttpOptions::default();
    /// options.secrets = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into(); // signs what is posted
    /// let builder = Receiver::builder::<()>()
    ///     .target(Route::new("cafe", "stock.*"), Target::http("http://127.0.0.1:3000/hooks", options)?)
    ///     .named("stock-to-erp");
    /// # Ok::<(), doorbell::target::TargetError>(())
    /// ```
    pub fn target(self, route: Route, target: impl Into<Target>) -> Self {
        let target = target.into();
        self.push(route, |_, means| match means {
            Some(means) => target.into_handler(means),
            None => Ok(Arc::new(FunctionHandler::<_, (), ()>::new(async || Ok(()), ()))),
        })
    }

    fn function<F, Args>(self, route: Route, function: F) -> Self
    where
        F: HandlerFn<Args, Future: Future<Output = Result<(), HandlerError>> + Send> + Send + Sync + 'static,
        Args: FromJob<S> + 'static,
        S: Clone + Send + Sync + 'static,
    {
        self.push(route, |state, _| Ok(Arc::new(FunctionHandler::new(function, state.clone()))))
    }

    fn push(
        mut self,
        route: Route,
        handler: impl FnOnce(&S, Option<&Means>) -> Result<SharedHandler, TargetError> + Send + 'static,
    ) -> Self {
        self.routes.push(PendingRoute { route, handler: Box::new(handler) });
        self
    }

    /// Names the last route. The name is part of its jobs' ids, so a renamed route is a new one.
    pub fn named(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.change("named", |route| route.name = name)
    }

    /// How the last route's failures are retried.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.change("retry", |route| route.retry = policy)
    }

    /// How long one attempt at a job of the last route may take. 30 s where nothing is said.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change("timeout", |route| route.timeout = timeout)
    }

    fn change(mut self, method: &'static str, change: impl FnOnce(&mut Route)) -> Self {
        match self.routes.last_mut() {
            Some(last) => change(&mut last.route),
            None => self.misplaced = self.misplaced.or(Some(method)),
        }
        self
    }

    /// Where the journal is kept. `data` where nothing is said.
    pub fn data_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.settings.data_dir = dir.into();
        self
    }

    /// The address that [`Receiver::serve`] listens on. `127.0.0.1:8080` where nothing is said.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.settings.listen = address;
        self
    }

    /// Serves the admin API at this address, to whoever has one of the tokens. An empty text is none, and no receiver is
    /// built with it.
    #[cfg(feature = "admin")]
    pub fn admin(mut self, address: SocketAddr, tokens: impl Into<crate::provider::Secrets>) -> Self {
        self.settings.admin = Some((address, tokens.into()));
        self
    }

    /// What one sender may cost.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
        self
    }

    /// How many jobs run at once. 64 where nothing is said.
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.settings.concurrency = jobs.max(1);
        self
    }

    /// For how long a shutdown goes on accepting while readiness is withdrawn, and how long requests and jobs under
    /// way may then take. Nothing and 25 s where nothing is said.
    pub fn shutdown_times(mut self, drain: Duration, grace: Duration) -> Self {
        self.settings.drain = drain;
        self.settings.shutdown_grace = grace;
        self
    }

    /// How long deliveries are kept after their last job has ended, those that failed (dead jobs, unrouted events, quarantined) apart; `None`:
    /// for ever. 30 and 90 days where nothing is said.
    pub fn retention(mut self, done: Option<Duration>, failed: Option<Duration>) -> Self {
        self.settings.retention = crate::journal::Retention { done, failed };
        self
    }

    /// How large the journal may grow, in bytes; then deliveries are refused. 10 GiB where nothing is said.
    pub fn max_size(mut self, bytes: u64) -> Self {
        self.settings.max_size = bytes;
        self
    }

    /// Where jobs wait. In the journal itself where nothing is said.
    pub fn queue(mut self, queue: impl Into<Queue>) -> Self {
        self.settings.queue = queue.into();
        self
    }

    /// What this process does. Everything where nothing is said.
    pub fn role(mut self, role: Role) -> Self {
        self.settings.takes_in = role.takes_in();
        self.settings.runs_jobs = role.runs_jobs();
        self
    }

    /// Neither takes anything in nor runs jobs: for whoever only looks.
    #[cfg(feature = "cli")]
    pub(crate) fn idle(mut self) -> Self {
        self.settings.takes_in = false;
        self.settings.runs_jobs = false;
        self
    }

    /// After how many crashes of its process a job ends as dead. 5 where nothing is said.
    pub fn max_crashes(mut self, crashes: u32) -> Self {
        self.settings.max_crashes = crashes.max(1);
        self
    }

    #[cfg(feature = "cli")]
    pub(crate) fn mask(mut self, mask: crate::provider::Mask) -> Self {
        self.settings.mask = mask;
        self
    }

    /// Opens the journal and starts the workers. To be called inside a Tokio runtime, and if handlers take a
    /// [`State`](crate::State) after [`with_state`](Self::with_state).
    ///
    /// # Errors
    /// What does not fit together, or why the journal can't be opened.
    pub async fn build(self) -> Result<Receiver, BuildError>
    where
        Self: HasState,
    {
        self.complete().start().await
    }

    /// Gives the handlers their state.
    pub fn with_state(mut self, state: S) -> Builder<()>
    where
        S: Clone + Send + Sync + 'static,
    {
        let routes = std::mem::take(&mut self.routes).into_iter().map(|pending| {
            let state = state.clone();
            PendingRoute {
                route: pending.route,
                handler: Box::new(move |(): &(), means: Option<&Means>| (pending.handler)(&state, means))
                    as Box<_>,
            }
        });
        let routes = routes.collect();
        let Self { sources, settings, misplaced, .. } = self;
        Builder { sources, routes, settings, misplaced }
    }
}

/// A builder whose handlers want no state, or have it. A bound of its own for what the compiler says where it is missing.
#[diagnostic::on_unimplemented(
    message = "a handler takes a state, which `{Self}` has not been given",
    label = "call `with_state(…)` before"
)]
pub trait HasState {
    #[doc(hidden)]
    fn complete(self) -> Builder<()>;
}

impl HasState for Builder<()> {
    fn complete(self) -> Builder<()> {
        self
    }
}

#[cfg(all(feature = "redis", feature = "cli"))]
impl Builder<()> {
    /// Moves what the data folder's journals hold to the shared queue, until nothing is left or the time is over; `tell`
    /// is told how far it has come. `None` where the queue is the journal itself.
    pub(crate) async fn drain(
        self,
        give_up_at: Option<std::time::Instant>,
        tell: impl FnMut(&crate::journal::Drained) + Send,
    ) -> Result<Option<crate::journal::Drained>, BuildError> {
        match &self.settings.queue {
            Queue::Embedded => Ok(None),
            Queue::Redis(queue) => {
                Box::pin(store::drain(&self.settings, queue, give_up_at, tell)).await.map(Some)
            }
        }
    }
}
