//! The clients against fake vendors on the loopback, which keep to the rules that the vendors document. Waiting takes
//! no time here.
#![cfg(feature = "receiver")]

mod calls;
mod kladana;
mod poster;
mod shareactor;
mod throttle;

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    io::Write as _,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use flate2::{Compression, write::GzEncoder};
use http::{StatusCode, header, request::Parts};
use tokio::net::{TcpListener, TcpSocket};

use super::{timer::Timer, *};
use crate::{
    clock::{Timestamp, instant},
    provider::kladana::EntityRef,
};

const TOKEN: &str = "687409:4164553abf6a031302898da7800b59fb";
const PRODUCT: &str = "75c8aa10-db16-11eb-0a80-0d0000000001";
/// Moscow time 10:45:00 on the day of the samples.
const NOW: &str = "2026-01-23T07:45:00Z";

/// A vendor that answers by a function, and keeps what it was asked.
struct Vendor {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Parts>>>,
}

impl Vendor {
    async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Parts) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Response> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Parts>>>::default();
        let seen = asked.clone();
        let app = Router::new().fallback(move |request: Request| {
            let (parts, _) = request.into_parts();
            seen.lock().unwrap().push(parts.clone());
            let answer = answer(parts);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, asked }
    }

    /// One that gives these answers, one after the other; asked once more, it answers 599.
    async fn answers<R: IntoResponse>(answers: impl IntoIterator<Item = R>) -> Self {
        let answers: VecDeque<_> = answers.into_iter().map(IntoResponse::into_response).collect();
        let answers = Arc::new(Mutex::new(answers));
        Self::start(move |_| {
            let beyond = || StatusCode::from_u16(599).unwrap().into_response();
            std::future::ready(answers.lock().unwrap().pop_front().unwrap_or_else(beyond))
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn requests(&self) -> Vec<Parts> {
        self.asked.lock().unwrap().clone()
    }

    /// Paths and queries, as they came.
    fn targets(&self) -> Vec<String> {
        self.requests().iter().map(|parts| parts.uri.to_string()).collect()
    }
}

/// A time in which waiting takes none, and which keeps what was waited for.
#[derive(Debug)]
struct FastTimer {
    start: Instant,
    passed: Mutex<Duration>,
    waits: Mutex<Vec<Duration>>,
}

impl FastTimer {
    fn new() -> Arc<Self> {
        Arc::new(Self { start: instant(), passed: Mutex::default(), waits: Mutex::default() })
    }

    fn passed(&self) -> Duration {
        *self.passed.lock().unwrap()
    }

    fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }
}

impl Timer for FastTimer {
    fn now(&self) -> Timestamp {
        Timestamp::parse_rfc3339(NOW).unwrap().plus(self.passed())
    }

    fn instant(&self) -> Instant {
        self.start + self.passed()
    }

    fn sleep(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        *self.passed.lock().unwrap() += time;
        self.waits.lock().unwrap().push(time);
        Box::pin(tokio::task::yield_now())
    }
}

/// An address where nobody listens, as long as the socket is kept.
fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// JSON with status 200, compressed.
fn json(body: impl AsRef<[u8]>) -> Response {
    ([(header::CONTENT_ENCODING, "gzip")], gzipped(body.as_ref())).into_response()
}

fn product() -> EntityRef {
    EntityRef::new("product", PRODUCT)
}

/// The error and all of its causes, in every form in which they may get into a log.
fn all_of(error: &ClientError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(|error| format!("{error} {error:?}\n")).collect::<Vec<_>>().concat()
}
