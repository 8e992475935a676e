//! The contract of the HTTP target, against a real server on the loopback.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method, StatusCode, Uri, request::Parts};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::*;
use crate::clock::{ManualClock, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_767_168_201_900);
const HOUR: Duration = Duration::from_secs(3600);
const KEYS: [&str; 2] = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];

/// A target that answers as it is told (200 by default) and shows what it was asked.
struct Server {
    address: SocketAddr,
    script: Arc<Script>,
    requests: UnboundedReceiver<(Parts, Bytes)>,
}

struct Script {
    replies: Mutex<VecDeque<Response>>,
    requests: UnboundedSender<(Parts, Bytes)>,
}

impl Server {
    async fn start() -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn start_on(listener: TcpListener) -> Self {
        let (requests, received) = unbounded_channel();
        let script = Arc::new(Script { replies: Mutex::default(), requests });
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, script, requests: received }
    }

    fn reply(&self, response: impl IntoResponse) {
        self.script.replies.lock().unwrap().push_back(response.into_response());
    }

    fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Posts the sample job, which the server answers with `response`.
    async fn answers(&self, response: impl IntoResponse) -> Result<(), HandlerError> {
        self.reply(response);
        handler(&self.url(), HttpOptions::default()).handle(Job::sample()).await
    }
}

async fn answer(State(script): State<Arc<Script>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    script.requests.send((parts, body)).unwrap();
    script.replies.lock().unwrap().pop_front().unwrap_or_default()
}

fn client() -> HttpClient {
    HttpClient::new(Arc::new(ManualClock::at(NOW))).unwrap()
}

fn handler(url: &str, options: HttpOptions) -> HttpHandler {
    HttpTarget::new(url, options).unwrap().into_handler(&client())
}

#[track_caller]
fn retry(result: Result<(), HandlerError>) -> (Option<Duration>, String) {
    match result {
        Err(HandlerError::Retry { after, source }) => (after, source.to_string()),
        other => panic!("expected a retry, got {other:?}"),
    }
}

#[tokio::test]
async fn a_request_is_the_contract_to_the_header() {
    let mut server = Server::start().await;
    let options = HttpOptions { secrets: KEYS.into(), ..HttpOptions::default() };
    let mut job = Job::sample();
    job.subject = Some("товар/512 \"new\"".into());
    job.content_type = Some("application/json; charset=utf-8".into());
    job.attempt.number = 4;
    job.attempt.replay = 2;
    handler(&format!("{}?tenant=7", server.url()), options).handle(job.clone()).await.unwrap();

    let (parts, body) = server.requests.recv().await.unwrap();
    assert_eq!(parts.method, Method::POST);
    assert_eq!(parts.uri, Uri::from_static("/hooks?tenant=7"));
    assert_eq!(body, job.data);

    let id = job.id.to_string();
    let signatures: Vec<_> = KEYS
        .iter()
        .map(|key| {
            let key = STANDARD.decode(key.strip_prefix("whsec_").unwrap()).unwrap();
            let signed = [id.as_bytes(), b".1767168201.", &body].concat();
            let mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap().chain_update(signed).finalize();
            format!("v1,{}", STANDARD.encode(mac.into_bytes()))
        })
        .collect();
    let expected = [
        ("ce-specversion", "1.0"),
        ("ce-id", &job.event_id.to_string()),
        ("ce-source", "/doorbell/cafe"),
        ("ce-type", "poster.stock.changed"),
        ("ce-subject", "%D1%82%D0%BE%D0%B2%D0%B0%D1%80/512%20%22new%22"),
        ("ce-time", "2025-12-31T08:03:19.000Z"),
        ("content-type", "application/json; charset=utf-8"),
        ("content-length", &body.len().to_string()),
        ("doorbell-attempt", "4"),
        ("doorbell-replay", "2"),
        ("host", &server.address.to_string()),
        ("user-agent", concat!("doorbell/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", &id),
        ("webhook-signature", &signatures.join(" ")),
        ("webhook-timestamp", "1767168201"),
    ];
    for (name, value) in expected {
        assert_eq!(parts.headers[name], *value, "{name}");
    }
    let traceparent = parts.headers["traceparent"].to_str().unwrap();
    assert!(traceparent.starts_with(&format!("00-{}-", id.replace('-', ""))), "{traceparent}");
    // Nothing else is told, above all nothing of the sender's own headers.
    let mut names: Vec<_> = expected.iter().map(|(name, _)| *name).chain(["accept", "traceparent"]).collect();
    names.sort_unstable();
    let mut sent: Vec<_> = parts.headers.keys().map(http::HeaderName::as_str).collect();
    sent.sort_unstable();
    assert_eq!(sent, names);
}

#[tokio::test]
async fn any_2xx_is_done() {
    let server = Server::start().await;
    for status in [StatusCode::OK, StatusCode::CREATED, StatusCode::ACCEPTED, StatusCode::NO_CONTENT] {
        server.answers(status).await.unwrap();
    }
}

#[tokio::test]
async fn gone_is_dead() {
    let error = Server::start().await.answers((StatusCode::GONE, "moved out")).await.unwrap_err();
    assert!(matches!(error, HandlerError::Dead { .. }), "{error:?}");
    assert!(error.to_string().contains("410 Gone: moved out"), "{error}");
}

#[tokio::test]
async fn other_statuses_are_tried_again_with_status_and_body_in_the_error() {
    let server = Server::start().await;
    for status in [400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504] {
        let status = StatusCode::from_u16(status).unwrap();
        let (after, error) = retry(server.answers((status, "no\r\n\tstock\x1b[31m here")).await);
        assert_eq!(after, None);
        assert_eq!(error, format!("http://{} answered {status}: no stock [31m here", server.address));
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_on_429_and_503_only() {
    let server = Server::start().await;
    // NOW is 08:03:21.900.
    let date = "Wed, 31 Dec 2025 08:04:21 GMT";
    for (status, value, expected) in [
        (429, "120", Some(Duration::from_secs(120))),
        (503, "7", Some(Duration::from_secs(7))),
        (429, date, Some(Duration::from_millis(59_100))),
        (503, date, Some(Duration::from_millis(59_100))),
        (503, "31536000", Some(Duration::from_secs(24 * 3600))),
        (503, "0", None),
        (503, "Wed, 31 Dec 2025 08:00:00 GMT", None),
        (503, "whenever", None),
        (500, "120", None),
        (404, "120", None),
    ] {
        let response = (StatusCode::from_u16(status).unwrap(), [("retry-after", value)]);
        assert_eq!(retry(server.answers(response).await).0, expected, "{status} {value}");
    }
}

#[tokio::test]
async fn too_many_requests_makes_the_whole_target_rest() {
    let server = Server::start().await;
    for (value, most) in [("50", 50), ("3600", 60)] {
        let handler = handler(&server.url(), HttpOptions::default());
        server.reply((StatusCode::TOO_MANY_REQUESTS, [("retry-after", value)]));
        retry(handler.handle(Job::sample()).await);
        let now = instant();
        let closed = handler.0.gate.capacity(0, now);
        assert!(closed.free == 0 && closed.ask_again <= Some(Duration::from_secs(most)), "{closed:?}");
        assert_eq!(handler.0.gate.capacity(0, now + Duration::from_secs(most)), Capacity::free(32));
    }
}

#[tokio::test]
async fn redirects_are_failures_that_say_so() {
    let mut server = Server::start().await;
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = "https://user:hunter2@elsewhere.example/hooks?token=hunter2";
        let status = StatusCode::from_u16(status).unwrap();
        let (_, error) = retry(server.answers((status, [("location", elsewhere)])).await);
        assert!(error.contains("redirects are not followed"), "{error}");
        assert!(error.contains("https://elsewhere.example") && !error.contains("hunter2"), "{error}");
        server.reply((status, [("location", "/hooks2")]));
        retry(handler(&server.url(), HttpOptions::default()).handle(Job::sample()).await);
        for _ in 0..2 {
            assert_eq!(server.requests.recv().await.unwrap().0.uri, "/hooks");
        }
    }
    assert!(server.requests.try_recv().is_err(), "nobody called the other address");
}

#[tokio::test]
async fn an_endless_reply_is_read_to_a_bound() {
    let server = Server::start().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let endless = stream::repeat_with(move || {
        counter.fetch_add(1000, Ordering::Relaxed);
        Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 1000]))
    });
    let (_, error) =
        retry(server.answers((StatusCode::INTERNAL_SERVER_ERROR, Body::from_stream(endless))).await);
    assert!(error.ends_with(&"x".repeat(500)), "{error}");
    assert!(error.len() < 600, "{error}");
    // What the sockets' buffers take is not in our hands.
    assert!(sent.load(Ordering::Relaxed) < 64 << 20);
}

#[tokio::test]
async fn a_reply_whose_body_never_comes_counts_by_its_status() {
    let server = Server::start().await;
    let never = || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    server.answers((StatusCode::OK, never())).await.unwrap();
    let (_, error) = retry(server.answers((StatusCode::BAD_GATEWAY, never())).await);
    assert!(error.ends_with("502 Bad Gateway"), "{error}");
}

#[tokio::test]
async fn nothing_of_a_job_changes_where_it_goes() {
    let mut server = Server::start().await;
    let mut job = Job::sample();
    job.kind = "http://127.0.0.2/../x?y#z".into();
    job.subject = Some("@127.0.0.2:1/%2e%2e".into());
    job.data = Bytes::from_static(br#"{"href":"http://127.0.0.2/","url":"http://127.0.0.2/"}"#);
    handler(&server.url(), HttpOptions::default()).handle(job).await.unwrap();
    let (parts, _) = server.requests.recv().await.unwrap();
    assert_eq!(parts.uri, "/hooks");
    assert_eq!(parts.headers["host"], server.address.to_string());
}

#[tokio::test]
async fn a_url_with_a_password_authenticates_and_shows_it_nowhere() {
    let mut server = Server::start().await;
    let url = format!("http://shop:hunter2@{}/hunter2?token=hunter2", server.address);
    let target = HttpTarget::new(&url, HttpOptions::default()).unwrap();
    let shown = format!("{target:?}");
    let handler = target.into_handler(&client());
    server.reply(StatusCode::NOT_FOUND);
    let (_, error) = retry(handler.handle(Job::sample()).await);
    let (parts, _) = server.requests.recv().await.unwrap();
    assert_eq!(parts.headers["authorization"], format!("Basic {}", STANDARD.encode("shop:hunter2")));

    let (_socket, nobody) = nobody();
    let nobody = format!("http://shop:hunter2@{nobody}/hunter2?token=hunter2");
    let refused = patient(&nobody).handle(Job::sample()).await.unwrap_err();
    for text in [shown, format!("{handler:?}"), error, refused.to_string(), format!("{refused:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

/// A handler whose breaker rests for hours, so that no test is too slow for it.
fn patient(url: &str) -> HttpHandler {
    let breaker = BreakerSettings { min_rest: HOUR, max_rest: 24 * HOUR, ..BreakerSettings::default() };
    handler(url, HttpOptions { breaker, ..HttpOptions::default() })
}

/// An address where nobody listens, as long as the socket is kept and does not.
fn nobody() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test]
async fn a_dead_target_is_left_alone_until_a_probe_finds_it_alive() {
    let (socket, address) = nobody();
    let dead = patient(&format!("http://{address}/hooks"));
    let mut other = Server::start().await;
    let alive = patient(&other.url());

    for _ in 0..5 {
        assert_eq!(dead.capacity(0), Capacity::free(32));
        let error = dead.handle(Job::sample()).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("http://{address} did not answer: ")), "{error}");
        assert!(error.to_lowercase().contains("refused"), "{error}");
    }
    // Open: no job of this target is claimed, and another target's as ever.
    let now = instant();
    let closed = dead.0.gate.capacity(0, now);
    assert!(closed.free == 0 && closed.ask_again <= Some(HOUR), "{closed:?}");
    assert_eq!(alive.capacity(0), Capacity::free(32));
    alive.handle(Job::sample()).await.unwrap();
    assert!(other.requests.try_recv().is_ok());

    // Half-open: one job, and after its failure a rest that is twice as long.
    let mut later = now + HOUR;
    assert_eq!(dead.0.gate.capacity(0, later), Capacity::free(1));
    assert_eq!(dead.0.gate.capacity(1, later), Capacity::free(0));
    dead.handle(Job::sample()).await.unwrap_err();
    later = instant();
    let rest = dead.0.gate.capacity(0, later).ask_again.unwrap();
    assert!(rest > HOUR && rest <= 2 * HOUR, "{rest:?}");

    // The target is back: the next probe opens the way for all.
    let back = Server::start_on(socket.listen(16).unwrap());
    assert_eq!(dead.0.gate.capacity(0, later + 2 * HOUR), Capacity::free(1));
    dead.handle(Job::sample()).await.unwrap();
    assert_eq!(dead.capacity(0), Capacity::free(32));
    drop(back);
}

#[tokio::test]
async fn outages_open_the_breaker_and_refusals_of_a_job_do_not() {
    let server = Server::start().await;
    for (status, opens) in [(500, true), (503, true), (400, false), (404, false), (410, false), (302, false)]
    {
        let handler = patient(&server.url());
        for _ in 0..5 {
            server.reply(StatusCode::from_u16(status).unwrap());
            handler.handle(Job::sample()).await.unwrap_err();
        }
        assert_eq!(handler.capacity(0).free == 0, opens, "{status}");
    }
}

#[tokio::test]
async fn attempts_cut_off_by_their_time_limit_open_the_breaker() {
    // Takes connections (the backlog does) and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let handler = patient(&format!("http://{}/", silent.local_addr().unwrap()));
    for _ in 0..5 {
        assert_eq!(handler.capacity(0), Capacity::free(32));
        let mut attempt = Box::pin(handler.handle(Job::sample()));
        tokio::select! {
            result = &mut attempt => panic!("nobody answers, but: {result:?}"),
            connection = silent.accept() => drop(connection.map(std::mem::forget)),
        }
        drop(attempt);
    }
    assert_eq!(handler.capacity(0).free, 0);
}

#[tokio::test]
async fn requests_share_connections() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peers = Arc::new(Mutex::new(std::collections::HashSet::new()));
    let seen = peers.clone();
    let app = Router::new().fallback(
        move |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<SocketAddr>, _: HeaderMap| async move {
            seen.lock().unwrap().insert(peer);
            "thank you"
        },
    );
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let client = client();
    for path in ["one", "two"] {
        let target = HttpTarget::new(&format!("http://{address}/{path}"), HttpOptions::default()).unwrap();
        let handler = target.into_handler(&client);
        for _ in 0..5 {
            handler.handle(Job::sample()).await.unwrap();
        }
    }
    // One that is not back in the pool yet when the next request begins is not waited for.
    assert!(peers.lock().unwrap().len() < 10);
}

#[test]
fn rate_and_concurrency_are_seen_in_the_capacity() {
    let options = HttpOptions {
        concurrency: NonZeroUsize::new(3).unwrap(),
        rate: Some(Rate::per_second(0.001).unwrap()),
        ..HttpOptions::default()
    };
    let target = HttpTarget::new("http://127.0.0.1:1/", options).unwrap();
    assert_eq!(target.gate.capacity(0, instant()).free, 1);
    assert_eq!(target.gate.capacity(3, instant()).free, 0);
    target.gate.starting(1, instant());
    let closed = target.gate.capacity(0, instant());
    assert!(closed.free == 0 && closed.ask_again > Some(Duration::from_secs(900)), "{closed:?}");
}

#[test]
fn a_url_that_is_none_is_named_without_its_secrets() {
    for (wrong, shown, reason) in [
        ("", "", "relative"),
        ("127.0.0.1:3000/hooks", "127.0.0.1:3000/hooks", "relative"),
        ("/hooks", "/hooks", "relative"),
        ("ftp://shop:hunter2@host/", "ftp://…@host/", "\"ftp\", not http or https"),
        ("file:///etc/passwd", "file:///etc/passwd", "\"file\", not http or https"),
        ("http://shop:hunter2@:x/?token=hunter2", "http://…@:x/", ""),
        ("http://", "http://", "empty host"),
    ] {
        let error = HttpTarget::new(wrong, HttpOptions::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("{shown:?}")) && text.contains(reason), "{wrong}: {text}");
        assert!(!text.contains("hunter2") && text.contains("http://127.0.0.1:3000/hooks"), "{text}");
    }
}

#[test]
fn an_empty_secret_is_refused_and_does_not_leave_what_is_posted_unsigned() {
    for secrets in [[""].as_slice(), &[KEYS[0], ""]] {
        let options = HttpOptions { secrets: secrets.iter().copied().collect(), ..HttpOptions::default() };
        let wrong = HttpTarget::new("http://u:hunter2@127.0.0.1:3000/hooks", options).unwrap_err();
        assert_eq!(wrong, TargetError::EmptySecret { shown: "http://127.0.0.1:3000".into() });
        assert!(wrong.to_string().contains("environment variable"), "{wrong}");
    }
}
