//! The one place where the parts are put together.

mod assemble;
mod builder;
mod check;
mod error;
mod queue;
mod settings;
mod store;
mod sweeper;

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};

#[cfg(feature = "redis")]
pub use self::queue::RedisQueue;
pub use self::{
    builder::Builder,
    error::{BuildError, ServeError},
    queue::{Queue, Role},
};
use self::{settings::Settings, store::Closing};
use crate::{
    ingress::{self, Ingress, Listener, Threads},
    journal::Store,
    live::Live,
};

/// Takes deliveries in, makes them durable, acknowledges them, and has their jobs run.
///
/// Made by [`Receiver::builder`]. From then on its workers run, whichever way deliveries come in:
/// [`serve`](Self::serve) brings its own listener, [`router`](Self::router) goes into an axum application.
pub struct Receiver {
    settings: Settings,
    ingress: Ingress,
    live: Live,
    draining: Arc<AtomicBool>,
    #[cfg(feature = "admin")]
    admin: axum::Router,
    workers: Option<Background>,
    sweeper: Background,
    closing: Closing,
    /// Closes when nobody uses it any more.
    store: Arc<dyn Store>,
}

/// A receiver whose sockets are bound: its addresses are known, and nothing is accepted yet.
pub struct Bound {
    receiver: Receiver,
    /// `None` where the role takes nothing in.
    door: Option<Door>,
    #[cfg(feature = "admin")]
    admin: Option<tokio::net::TcpListener>,
}

/// Where deliveries come in, and the threads that serve it.
struct Door {
    listener: Listener,
    threads: Threads,
}

/// A task that ends when it is told to.
#[derive(Debug)]
struct Background {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Receiver {
    /// Begins a receiver: sources, handlers, state, then [`build`](Builder::build).
    pub fn builder<S>() -> Builder<S> {
        Builder::new()
    }

    /// The ingress, to merge into or nest in an axum application, whatever its state. It owns `/in` and everything under
    /// it.
    ///
    /// The deadline then counts from when a request reaches the router, and the limits on headers and connections are
    /// the application's own. It runs on the application's threads, too: a handler that blocks one (use
    /// [`spawn_blocking`](tokio::task::spawn_blocking)) holds up acknowledgements, which it can't where the receiver listens
    /// [by itself](Self::serve). Two things have to end in their order: first the application's server, so that nothing more
    /// comes in; then the workers, by [`shutdown`](Self::shutdown).
    ///
    /// A [`Role::Worker`] has no journal in which a delivery would be durable. Its router answers each with 503 and
    /// `Retry-After`, so that what a proxy sends the wrong way is tried again, and counts it as refused.
    ///
    /// ```no_run
    /// use axum::{Router, extract::State, routing::get};
    /// # use doorbell::Receiver;
    ///
    /// #[derive(Clone)]
    /// struct App;
    ///
    /// # async fn run(receiver: Receiver) -> std::io::Result<()> {
    /// let app = Router::new()
    ///     .route("/", get(|_: State<App>| async { "mine" }))
    ///     .nest("/hooks", receiver.router()) // senders call /hooks/in/<source>
    ///     .with_state(App);
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// let stopped = async { drop(tokio::signal::ctrl_c().await) };
    /// axum::serve(listener, app).with_graceful_shutdown(stopped).await?;
    /// receiver.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        ingress::router(&self.ingress)
    }

    /// The admin API as a router, for the command line where no service runs.
    #[cfg(feature = "cli")]
    pub(crate) fn admin_router(&self) -> axum::Router {
        self.admin.clone()
    }

    /// Binds the sockets: the one that a supervisor hands over in `LISTEN_FDS`, or else the configured address.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// use doorbell::{Receiver, provider::Poster};
    ///
    /// let receiver = Receiver::builder()
    ///     .source("cafe", Poster::new("a-made-up-secret"))
    ///     .listen(([127, 0, 0, 1], 0).into()) // any free port
    /// #   .data_dir(folder.path())
    ///     .build()
    ///     .await?;
    /// let receiver = receiver.bind().await?;
    /// println!("POST http://{}/in/cafe", receiver.local_addr()?);
    /// # let stopped = async {};
    /// receiver.serve(stopped).await;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// An address can't be listened on.
    #[cfg_attr(
        not(feature = "admin"),
        expect(clippy::unused_async, reason = "with the admin listener there is something to wait for")
    )]
    pub async fn bind(self) -> Result<Bound, ServeError> {
        let address = self.settings.listen;
        let door = self.settings.takes_in.then(|| Door::open(address)).transpose()?;
        #[cfg(feature = "admin")]
        let admin = match &self.settings.admin {
            Some((address, _)) => Some(
                tokio::net::TcpListener::bind(address)
                    .await
                    .map_err(|source| ServeError::Listen { address: *address, source })?,
            ),
            None => None,
        };
        Ok(Bound {
            receiver: self,
            door,
            #[cfg(feature = "admin")]
            admin,
        })
    }

    /// Binds the sockets and serves until `shutdown` resolves and everything under way has ended.
    ///
    /// Deliveries are taken in by threads of their own, one a core; handlers run on the caller's.
    ///
    /// # Errors
    /// An address can't be listened on.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), ServeError> {
        self.bind().await?.serve(shutdown).await;
        Ok(())
    }

    /// Ends the workers, for a receiver that was mounted by [`router`](Self::router): nothing more is started, what runs
    /// ends within the [grace](Builder::shutdown_times) or is cut off and runs again later.
    ///
    /// [`router`](Self::router) shows it in its place. A receiver that is merely dropped tells its workers to stop,
    /// too, but nobody waits for them: what they have not ended when the process ends runs again.
    pub async fn shutdown(self) {
        self.live.close();
        if let Some(workers) = self.workers {
            workers.end().await;
        }
        self.sweeper.end().await;
        self.closing.close().await;
    }
}

impl Bound {
    /// The address at which deliveries come in.
    ///
    /// # Errors
    /// The system does not say, or the [role](Role) takes nothing in.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        let nowhere = || std::io::Error::new(std::io::ErrorKind::NotConnected, "a worker takes nothing in");
        self.door.as_ref().ok_or_else(nowhere)?.listener.local_addr()
    }

    /// Whether its role takes deliveries in.
    #[cfg(feature = "cli")]
    pub(crate) fn takes_in(&self) -> bool {
        self.door.is_some()
    }

    /// Whether a supervisor keeps the socket open over restarts.
    pub fn is_inherited(&self) -> bool {
        self.door.as_ref().is_some_and(|door| door.listener.inherited)
    }

    /// The address of the admin listener, if there is one.
    #[cfg(feature = "admin")]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Serves until `shutdown` resolves and everything under way has ended.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send) {
        let drain = self.receiver.settings.drain;
        self.serve_until(async move {
            shutdown.await;
            drain
        })
        .await;
    }

    /// The same; `shutdown` says for how long to go on accepting while readiness is withdrawn.
    pub(crate) async fn serve_until(self, shutdown: impl Future<Output = Duration> + Send) {
        let Self { receiver, door, .. } = self;
        let (stop, stopped) = watch::channel(false);
        #[cfg(feature = "admin")]
        let admin = self.admin.map(|listener| {
            let router = receiver.admin.clone();
            tokio::spawn(serve_admin(listener, router, stopped.clone()))
        });
        let draining_time = door.as_ref().is_some_and(|door| !door.listener.inherited);
        let draining = receiver.draining.clone();
        let mut workers = None;
        let Receiver { ingress, live, workers: running, sweeper, closing, store, .. } = receiver;
        let stopping = async {
            let drain = shutdown.await;
            draining.store(true, Ordering::SeqCst);
            if draining_time {
                tracing::info!(?drain, "shutting down: still accepting while load balancers look away");
                tokio::time::sleep(drain).await;
            }
            // The jobs under way and the requests under way end at the same time.
            workers = running.map(|running| tokio::spawn(running.end()));
        };
        match door {
            Some(door) => door.serve(ingress, stopping).await,
            None => stopping.await,
        }
        if let Some(workers) = workers {
            // It ends by itself; a panic in there has been reported.
            let _ = workers.await;
        }
        sweeper.end().await;
        closing.close().await;
        live.close();
        // Without a receiver there is no admin listener to stop.
        let _ = stop.send(true);
        #[cfg(feature = "admin")]
        if let Some(admin) = admin {
            let _ = tokio::time::timeout(Duration::from_secs(2), admin).await;
        }
        drop(stopped);
        drop(store);
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bound").field("listener", &self.local_addr()).finish_non_exhaustive()
    }
}

impl Door {
    fn open(address: SocketAddr) -> Result<Self, ServeError> {
        let threads = Threads::start().map_err(ServeError::Threads)?;
        let entered = threads.enter();
        let listener = Listener::inherit_or_bind(address);
        drop(entered);
        Ok(Self { listener: listener.map_err(|source| ServeError::Listen { address, source })?, threads })
    }

    /// Serves until `shutdown` resolves, and what is under way then has ended.
    async fn serve(self, ingress: Ingress, shutdown: impl Future<Output = ()>) {
        let Self { listener, threads } = self;
        let (stop, stopped) = oneshot::channel::<()>();
        let told = async { drop(stopped.await) };
        let mut serving = threads.spawn(ingress::serve(listener, ingress, told));
        let ended = tokio::select! {
            biased;
            () = shutdown => {
                drop(stop);
                serving.await
            }
            ended = &mut serving => ended,
        };
        if let Err(error) = ended
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Background {
    fn start<F: Future<Output = ()> + Send + 'static>(work: impl FnOnce(oneshot::Receiver<()>) -> F) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(work(stopped)) }
    }

    async fn end(self) {
        drop(self.stop);
        // A panic in there has been reported by the panic hook.
        let _ = self.task.await;
    }
}

#[cfg(feature = "admin")]
async fn serve_admin(
    listener: tokio::net::TcpListener,
    router: axum::Router,
    mut stop: watch::Receiver<bool>,
) {
    let stopped = async move {
        // An error means that nobody can stop it any more, and so does a stop.
        let _ = stop.wait_for(|stop| *stop).await;
    };
    if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
        tracing::error!(%error, "the admin listener failed");
    }
}
