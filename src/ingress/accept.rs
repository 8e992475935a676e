//! The accept loop: takes connections in, keeps room for new ones, and lets them end in order.

use std::{
    collections::HashMap,
    convert::Infallible,
    io,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::{
    net::TcpStream,
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};

use super::{
    answer::Ingress,
    connection::{Order, PATIENCE, Phase, Watch, drive},
    listener::Listener,
};
use crate::{clock, metrics::Metrics};

/// How long to wait before the next try when the system has no room for another connection.
const BACK_OFF: Duration = Duration::from_millis(20);

/// Accepts connections and answers their requests until `shutdown` resolves; then lets them end and returns.
///
/// The end goes in steps. Every reply says `Connection: close`, and for a moment connections are still taken in, so
/// that a sender on a kept-alive one is told before it is closed under its request. Then no more are accepted: what
/// is in the backlog of an inherited listener waits for the successor, what is in that of our own is still answered.
/// Requests under way have [`shutdown_grace`](super::IngressContext::shutdown_grace).
pub(crate) async fn serve(listener: Listener, ingress: Ingress, shutdown: impl Future<Output = ()>) {
    let (server, mut all_ended) = Server::new(ingress);
    let mut shutdown = pin!(shutdown);
    tokio::select! {
        biased;
        () = &mut shutdown => {}
        () = server.accept_all(&listener) => {}
    }
    server.closing.store(true, Ordering::Relaxed);
    server.hurry.store(true, Ordering::Relaxed);
    let farewell = async {
        while server.any(|phase| phase == Phase::Idle) {
            server.ended_or(PATIENCE / 10).await;
        }
    };
    tokio::select! {
        biased;
        _ = timeout(PATIENCE, farewell) => {}
        () = server.accept_all(&listener) => {}
    }
    if !listener.inherited {
        while let Some(accepted) = listener.socket.accept().now_or_never() {
            server.take(accepted.map(|(stream, _)| stream)).await;
        }
    }
    drop(listener);
    server.command_all(Order::Yield);
    let grace = server.ingress.shared().shutdown_grace;
    let Server { open, alive, .. } = server;
    drop(alive);
    if timeout(grace, all_ended.recv()).await.is_err() {
        open.lock().values().for_each(|watch| watch.command(Order::Abort));
        // Nothing of it can be blocked: aborting is dropping.
        all_ended.recv().await;
    }
}

struct Server {
    ingress: Ingress,
    /// Whether connections should end when their request is answered.
    hurry: Arc<AtomicBool>,
    /// Whether the server is about to end, so that there is hurry whatever the room.
    closing: AtomicBool,
    open: Arc<Open>,
    /// Each connection holds a clone; the channel closes when the last has ended.
    alive: mpsc::Sender<Infallible>,
    epoch: Instant,
    most: usize,
}

/// The open connections. Locked when one begins or ends, never on the way of a request.
struct Open {
    watches: Mutex<HashMap<u64, Arc<Watch>>>,
    ended: Notify,
    metrics: Metrics,
}

impl Server {
    fn new(ingress: Ingress) -> (Self, mpsc::Receiver<Infallible>) {
        let (alive, all_ended) = mpsc::channel(1);
        let open = Open {
            watches: Mutex::default(),
            ended: Notify::new(),
            metrics: ingress.shared().metrics.clone(),
        };
        let server = Self {
            most: ingress.shared().limits.connections.max(1),
            ingress,
            hurry: Arc::default(),
            closing: AtomicBool::new(false),
            open: Arc::new(open),
            alive,
            epoch: clock::instant(),
        };
        (server, all_ended)
    }

    /// Takes connections in, for ever.
    async fn accept_all(&self, listener: &Listener) {
        loop {
            self.take(listener.socket.accept().await.map(|(stream, _)| stream)).await;
        }
    }

    async fn take(&self, accepted: io::Result<TcpStream>) {
        match accepted {
            Ok(stream) => {
                self.begin(stream);
                self.keep_room().await;
            }
            Err(error) if is_only_that_connections(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection now; closing idle ones");
                self.make_room(self.most / 16 + 1);
                sleep(BACK_OFF).await;
            }
        }
    }

    fn begin(&self, stream: TcpStream) {
        // It only costs time if it fails; a connection that is dead already ends by itself.
        let _ = stream.set_nodelay(true);
        let watch = Arc::new(Watch::new(self.epoch));
        let registered = self.open.clone().register(watch.clone());
        let (ingress, hurry, alive) = (self.ingress.clone(), self.hurry.clone(), self.alive.clone());
        tokio::spawn(async move {
            // In this order: who waits for `alive` finds the connection gone.
            let _alive = alive;
            let _registered = registered;
            drive(stream, watch, ingress, hurry).await;
        });
    }

    /// Returns when there is room for another connection. An eighth is kept free as long as something can be closed
    /// that does no harm.
    async fn keep_room(&self) {
        let enough = self.most - self.most / 8;
        loop {
            let count = self.open.lock().len();
            if count < enough {
                self.hurry.store(self.closing.load(Ordering::Relaxed), Ordering::Relaxed);
                return;
            }
            self.hurry.store(true, Ordering::Relaxed);
            self.make_room(count - enough + self.most / 16 + 1);
            if count < self.most {
                return;
            }
            self.ended_or(BACK_OFF).await;
        }
    }

    /// Closes up to `count` connections: the longest-idle ones, then those that dawdle over their headers.
    fn make_room(&self, count: usize) {
        let now = clock::instant();
        let mut closable: Vec<_> = self
            .open
            .lock()
            .values()
            .filter_map(|watch| {
                let (phase, since) = watch.phase();
                let dawdles = phase == Phase::Head && now.saturating_duration_since(since) >= PATIENCE;
                (dawdles || matches!(phase, Phase::Idle | Phase::Lingering))
                    .then(|| (dawdles, since, watch.clone()))
            })
            .collect();
        closable.sort_unstable_by_key(|&(dawdles, since, _)| (dawdles, since));
        closable.iter().take(count).for_each(|(.., watch)| watch.command(Order::Yield));
    }

    fn any(&self, doing: impl Fn(Phase) -> bool) -> bool {
        self.open.lock().values().any(|watch| doing(watch.phase().0))
    }

    fn command_all(&self, order: Order) {
        self.open.lock().values().for_each(|watch| watch.command(order));
    }

    /// Waits until a connection has ended, or this long.
    async fn ended_or(&self, long: Duration) {
        let _ = timeout(long, self.open.ended.notified()).await;
    }
}

impl Open {
    fn register(self: Arc<Self>, watch: Arc<Watch>) -> impl Drop {
        struct Registered(Arc<Open>, u64);

        impl Drop for Registered {
            fn drop(&mut self) {
                self.0.lock().remove(&self.1);
                self.0.metrics.connections.dec();
                self.0.ended.notify_one();
            }
        }

        // The watch lives as long as it is registered, so its address is a key that no other has.
        let key = Arc::as_ptr(&watch) as u64;
        self.lock().insert(key, watch);
        self.metrics.connections.inc();
        Registered(self, key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Watch>>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the error concerns only the connection that was about to be accepted: the next may be fine.
fn is_only_that_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::tests::support::{Client, Harness, good};

    #[tokio::test]
    async fn a_system_without_room_costs_idle_connections_not_the_loop() {
        let (server, _all_ended) = Server::new(Harness::start().ingress);
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        let mut client = Client(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        server.take(listener.socket.accept().await.map(|(stream, _)| stream)).await;
        client.write(&good("a")).await;
        assert_eq!(client.answer().await.status(), 200);

        server.take(Err(io::ErrorKind::ConnectionAborted.into())).await;
        client.write(&good("a")).await;
        assert_eq!(client.answer().await.status(), 200);

        // EMFILE
        server.take(Err(io::Error::from_raw_os_error(24))).await;
        client.closed().await;
    }
}
