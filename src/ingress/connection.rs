//! One connection: hyper's HTTP/1, and a watch on how long it takes for what.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures_util::task::AtomicWaker;
use http::{HeaderValue, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep_until,
};

use super::{answer::Ingress, limits::Limits};
use crate::clock;

/// How long a connection that is in the way may still take to bring its headers.
pub(super) const PATIENCE: Duration = Duration::from_millis(250);

/// Bodies are read in pieces of at most this size.
const READ_BUFFER: usize = 64 << 10;

/// Serves the requests of one connection until either side closes it or it exceeds a limit.
///
/// `hurry` is set when the server wants connections to end: each reply then says so.
pub(super) async fn drive(stream: TcpStream, watch: Arc<Watch>, ingress: Ingress, hurry: Arc<AtomicBool>) {
    let limits = ingress.shared().limits.clone();
    let service = service_fn(|request: Request<Incoming>| {
        let began = watch.request_begins();
        let answer = ingress.answer(request, began);
        let (watch, hurry) = (&watch, &hurry);
        async move {
            let mut reply = answer.await;
            if reply.headers().contains_key(header::CONNECTION) {
                watch.unread.store(true, Ordering::Relaxed);
            } else if hurry.load(Ordering::Relaxed) || watch.order() != Order::None {
                reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            watch.set(Phase::Idle);
            Ok::<_, Infallible>(reply)
        }
    });
    let io = TokioIo::new(Watched { stream, watch: watch.clone() });
    let mut connection = pin!(
        http1::Builder::new()
            // A sender that closes its side has still a right to its reply, and must not cancel what is under way.
            .half_close(true)
            // The watch measures this: hyper's timer also runs on idle connections.
            .header_read_timeout(None)
            // Replies are a few words: copied together they cost less than two pieces cost the system.
            .writev(false)
            .max_header_size(limits.header_bytes)
            .max_buf_size(READ_BUFFER.max(limits.header_bytes))
            .serve_connection(io, service)
    );
    let mut armed = watch.due(&limits);
    let mut timer = pin!(sleep_until(armed.into()));
    poll_fn(|context| {
        watch.waker.register(context.waker());
        // An error is the other side's: it hung up, or what it sent was no HTTP, which hyper has answered.
        if connection.as_mut().poll(context).is_ready() || watch.order() == Order::Abort {
            return Poll::Ready(());
        }
        loop {
            let due = watch.due(&limits);
            // A timer that rings too early is cheaper than one that is set anew for each request.
            if due < armed {
                armed = due;
                timer.as_mut().reset(armed.into());
            }
            ready!(timer.as_mut().poll(context));
            if due <= clock::instant() {
                return Poll::Ready(());
            }
            armed = due;
            timer.as_mut().reset(armed.into());
        }
    })
    .await;
}

/// What a connection is doing, and since when. Written by its own task, read by the accept loop.
#[derive(Debug)]
pub(super) struct Watch {
    epoch: Instant,
    /// Microseconds since `epoch`, and the phase in the lowest two bits.
    state: AtomicU64,
    order: AtomicU8,
    /// Whether the sender may still be sending a body that nobody reads.
    unread: AtomicBool,
    waker: AtomicWaker,
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waiting for a request, after one was answered.
    Idle = 0,
    /// A request's headers are coming. A new connection begins here.
    Head = 1,
    /// A request is being answered.
    Busy = 2,
    /// All is said; the sender's last bytes are thrown away so that it gets to read our reply.
    Lingering = 3,
}

/// What the server wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Nothing.
    None = 0,
    /// To end, unless a request is being answered or has just begun to come.
    Yield = 1,
    /// To end at once.
    Abort = 2,
}

impl Watch {
    /// For a connection that was accepted now; `epoch` is some time before.
    pub(super) fn new(epoch: Instant) -> Self {
        let watch = Self {
            epoch,
            state: AtomicU64::new(0),
            order: AtomicU8::new(0),
            unread: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        };
        watch.set(Phase::Head);
        watch
    }

    /// What the connection is doing, and since when.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let state = self.state.load(Ordering::Relaxed);
        let phase = match state & 3 {
            0 => Phase::Idle,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Lingering,
        };
        (phase, self.epoch + Duration::from_micros(state >> 2))
    }

    /// Tells the connection what is wanted of it.
    pub(super) fn command(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::Relaxed);
        self.waker.wake();
    }

    fn order(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::None,
            1 => Order::Yield,
            _ => Order::Abort,
        }
    }

    fn set(&self, phase: Phase) {
        let since = clock::instant().saturating_duration_since(self.epoch).as_micros();
        let since = u64::try_from(since).unwrap_or(u64::MAX >> 2);
        self.state.store((since << 2) | phase as u64, Ordering::Relaxed);
    }

    /// A request's headers are complete. Returns when its sender's deadline began to run: when the connection was
    /// accepted, when the first byte came on a kept-alive one, or, if the request had come along with the one before,
    /// when that was answered.
    fn request_begins(&self) -> Instant {
        let (_, began) = self.phase();
        self.set(Phase::Busy);
        began
    }

    /// When the connection has taken too long for what it is doing.
    fn due(&self, limits: &Limits) -> Instant {
        let yielding = self.order() == Order::Yield;
        let (phase, since) = self.phase();
        since
            + match phase {
                Phase::Idle | Phase::Lingering if yielding => Duration::ZERO,
                Phase::Idle => limits.keep_alive,
                Phase::Head if yielding => limits.header_time.min(PATIENCE),
                Phase::Head => limits.header_time,
                // The body, the store and the deadline have their own limits on the way of an answer.
                Phase::Busy => return clock::instant() + limits.keep_alive,
                Phase::Lingering => limits.body_time,
            }
    }
}

/// A stream that tells its watch when bytes come, and lingers before it closes if some may still come.
struct Watched {
    stream: TcpStream,
    watch: Arc<Watch>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && self.watch.phase().0 == Phase::Idle {
            self.watch.set(Phase::Head);
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Closing a socket while bytes are unread resets the connection, and the sender may never see the reply. So our
    /// side is closed first, and what still comes is thrown away until the sender closes its side; the watch ends it.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.watch.phase().0 != Phase::Lingering {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            if !self.watch.unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
            self.watch.set(Phase::Lingering);
        }
        let mut waste = [0; 8 << 10];
        // The time limit must get its turn also while bytes come faster than they can be thrown away.
        for _ in 0..16 {
            let mut waste = ReadBuf::new(&mut waste);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut waste))?;
            if waste.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
