//! A way to a server that is worse than the loopback interface.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// Listens on a port of its own and passes on what comes. Gone when it is dropped.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<watch::Sender<State>>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy)]
struct State {
    /// The port that it leads to.
    to: u16,
    /// How long answers take longer.
    delay: Duration,
    refuses: bool,
    /// Connections of earlier generations are cut.
    generation: u64,
}

impl Proxy {
    /// Leads to this port.
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state =
            Arc::new(watch::Sender::new(State { to, delay: Duration::ZERO, refuses: false, generation: 0 }));
        let task = tokio::spawn(serve(listener, state.clone()));
        Self { port, state, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on it leads to this port; connections to the one before are cut.
    pub(crate) fn lead_to(&self, to: u16) {
        self.state.send_modify(|state| state.to = to);
        self.cut();
    }

    /// From now on each answer comes so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state.send_modify(|state| state.delay = delay);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| state.generation += 1);
    }

    /// From now on new connections end at once, and those that were open are cut; or they are let through again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.state.send_modify(|state| state.refuses = refuses);
        if refuses {
            self.cut();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<watch::Sender<State>>) {
    // They end with this task.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if !state.borrow().refuses {
            connections.spawn(pass(client, state.subscribe()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(client: TcpStream, mut state: watch::Receiver<State>) {
    let State { to, generation, .. } = *state.borrow();
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    let delays = state.clone();
    // An error means that nobody is left who could cut it.
    let cut = async { drop(state.wait_for(|state| state.generation != generation).await) };
    tokio::select! {
        _ = forward(from_client, to_server, || Duration::ZERO) => {}
        _ = forward(from_server, to_client, || delays.borrow().delay) => {}
        () = cut => {}
    }
}

/// Each piece arrives so much later as the delay is when it comes; so do those behind it, and no later than that.
async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: impl Fn() -> Duration,
) -> io::Result<()> {
    let (sender, mut pieces) = tokio::sync::mpsc::unbounded_channel();
    let read = async {
        loop {
            let mut piece = Vec::with_capacity(64 << 10);
            if from.read_buf(&mut piece).await? == 0 {
                return Ok(());
            }
            // The wait of each begins when it comes, not when those before it have gone.
            let arrived = tokio::spawn(sleep(delay()));
            let _ = sender.send((piece, arrived));
        }
    };
    let write = async {
        while let Some((piece, arrived)) = pieces.recv().await {
            let _ = arrived.await;
            to.write_all(&piece).await?;
        }
        Ok(())
    };
    tokio::select! {
        read = read => read,
        written = write => written,
    }
}
