//! A provider as an axum extractor, asked as the senders ask.

#![cfg(feature = "axum")]
#![expect(clippy::unwrap_used, reason = "in tests, a panic is the message")]

#[path = "support/switchboard.rs"]
mod switchboard;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{DefaultBodyLimit, FromRef, Request, State},
    http::{HeaderMap, Method, StatusCode},
    routing::any,
};
use doorbell::{
    Verified, Verifier, VerifierBuilder, VerifierError, VerifyRejection,
    clock::{ManualClock, Timestamp},
    provider::{
        FromEvent, Hmac, Kladana, Poster, Preset, Quable, Reply, Secret, Secrets, Shareactor, poster, quable,
    },
    testing::{Sample, SignedRequest},
};
use switchboard::Switchboard;
use tower::ServiceExt;

const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";
const NOW: Timestamp = Timestamp::from_seconds(1_767_168_200);

/// What a handler was given: kinds, the sender's id, why it can't be read, the body.
type Given = (Vec<String>, Option<String>, Option<String>, Bytes);

#[derive(Clone, FromRef)]
struct Hook {
    given: Arc<Mutex<Vec<Given>>>,
    verifier: Verifier,
}

async fn note<T>(State(given): State<Arc<Mutex<Vec<Given>>>>, hook: Verified<T>) -> Reply {
    assert_eq!(hook.is_test(), hook.is_empty() && hook.quarantined.is_none());
    let kinds = hook.iter().map(|event| event.kind.clone()).collect();
    let id = hook.sender_id.clone().map(|id| id.value);
    let why = hook.quarantined.clone().map(|unparsable| unparsable.reason);
    given.lock().unwrap().push((kinds, id, why, hook.body.clone()));
    hook.accepted()
}

/// An application with one hook, and what its handler was given.
fn app<T: FromEvent + Send + 'static>(verifier: VerifierBuilder) -> (Router, Arc<Mutex<Vec<Given>>>) {
    let given = Arc::<Mutex<Vec<Given>>>::default();
    let hook = Hook { given: given.clone(), verifier: verifier.clock(ManualClock::at(NOW)).build().unwrap() };
    let routes = Router::new().route("/hook", any(note::<T>)).route("/hook/{secret}", any(note::<T>));
    (Router::new().nest("/app", routes.with_state(hook)), given)
}

fn sample(name: &str, unique: u128) -> SignedRequest {
    let secret = match name {
        "svix" | "standard-webhooks" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        _ => SECRET,
    };
    name.parse::<Sample>().unwrap().request(Some(&Secret::from(secret)), NOW, unique).unwrap()
}

fn post(path: &str, sent: SignedRequest) -> Request {
    let query = sent.query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = Request::post(format!("{path}{query}")).body(Body::from(sent.body)).unwrap();
    *request.headers_mut() = sent.headers;
    request
}

async fn ask(app: &Router, request: Request) -> (StatusCode, HeaderMap, Bytes) {
    let reply = app.clone().oneshot(request).await.unwrap();
    let (head, body) = reply.into_parts();
    (head.status, head.headers, to_bytes(body, 1 << 20).await.unwrap())
}

#[tokio::test]
async fn each_sender_is_taken_in_and_answered_as_it_needs() {
    let hmac = |preset, secret| Verifier::builder(Hmac::preset(preset, secret).unwrap());
    let whsec = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (name, verifier, kinds, reply) in [
        ("poster", Verifier::builder(Poster::new(SECRET)), &["stock.changed"][..], r#"{"status":"accept"}"#),
        (
            "kladana-several",
            Verifier::builder(Kladana::new()).path_secret([SECRET, "older"]),
            &["product.update"; 3],
            r#"{"status":"ok"}"#,
        ),
        ("quable", Verifier::builder(Quable::new(SECRET)), &["document.update"], ""),
        ("shareactor", Verifier::builder(Shareactor::new(SECRET)), &["order.created"], ""),
        ("github", hmac(Preset::Github, SECRET), &["push"], ""),
        ("stripe", hmac(Preset::Stripe, SECRET), &["invoice.paid"], ""),
        ("standard-webhooks", hmac(Preset::StandardWebhooks, whsec), &["invoice.paid"], ""),
    ] {
        let path = if name.starts_with("kladana") { "/app/hook/older" } else { "/app/hook" };
        let (app, given) = app::<serde_json::Value>(verifier);
        let sent = sample(name, 1);
        let body = Bytes::from(sent.body.clone());
        let (status, headers, answer) = ask(&app, post(path, sent)).await;
        assert_eq!((status, &*answer), (StatusCode::OK, reply.as_bytes()), "{name}");
        assert_eq!(headers.get("content-type").is_some(), !reply.is_empty(), "{name}");
        let given = given.lock().unwrap();
        let [(got, id, None, got_body)] = given.as_slice() else { panic!("{name}: {given:?}") };
        assert_eq!((got.as_slice(), got_body), (kinds.map_to_strings().as_slice(), &body), "{name}");
        assert!(id.is_some(), "{name}");
    }
}

trait MapToStrings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl MapToStrings for &[&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(ToString::to_string).collect()
    }
}

#[tokio::test]
async fn tests_and_probes_get_the_success_reply_and_bring_no_events() {
    let (app, given) = app::<poster::Event>(Verifier::builder(Poster::new(SECRET)));
    let probe = |method| Request::builder().method(method).uri("/app/hook").body(Body::empty()).unwrap();
    for request in [
        post("/app/hook", sample("poster-test", 1)),
        post("/app/hook", sample("poster-test-form", 1)),
        probe(Method::GET),
        probe(Method::HEAD),
    ] {
        let head = *request.method() == Method::HEAD;
        let (status, _, answer) = ask(&app, request).await;
        assert_eq!(status, StatusCode::OK);
        assert!(head || answer == r#"{"status":"accept"}"#);
    }
    let given = given.lock().unwrap();
    assert!(given.len() == 4 && given.iter().all(|(kinds, _, why, _)| kinds.is_empty() && why.is_none()));
}

#[tokio::test]
async fn what_is_proved_and_unreadable_is_given_to_be_kept_and_is_no_error() {
    let (app, given) = app::<serde_json::Value>(Verifier::builder(Quable::new(SECRET)));
    let mut odd = sample("quable", 1);
    odd.body = b"no JSON".to_vec();
    assert_eq!(ask(&app, post("/app/hook", odd)).await.0, StatusCode::OK);
    let given = given.lock().unwrap();
    let [(kinds, _, Some(_), body)] = given.as_slice() else { panic!("{given:?}") };
    assert!(kinds.is_empty() && body == "no JSON");
}

#[tokio::test]
async fn what_is_not_of_the_type_that_the_handler_takes_is_quarantined_too() {
    let (app, given) = app::<poster::Stock>(Verifier::builder(Poster::new(SECRET)));
    let body = br#"{"account":"demo","object":"dish","object_id":1,"action":"added","time":"1767168200","verify":""}"#;
    let sent = doorbell::testing::Sender::Poster.sign(Some(&SECRET.into()), NOW, 1, body.to_vec()).unwrap();
    assert_eq!(ask(&app, post("/app/hook", sent)).await.0, StatusCode::OK);
    let given = given.lock().unwrap();
    let [(kinds, Some(_), Some(why), _)] = given.as_slice() else { panic!("{given:?}") };
    assert!(kinds.is_empty() && why.contains("dish.added"), "{why}");
}

#[tokio::test]
async fn who_proves_nothing_is_told_nothing() {
    let stripe = Verifier::builder(Hmac::preset(Preset::Stripe, SECRET).unwrap());
    let (app, given) = app::<serde_json::Value>(stripe);
    let (mut forged, mut unsigned) = (sample("stripe", 1), sample("stripe", 1));
    forged.body = b"{}".to_vec();
    unsigned.headers.clear();
    let earlier = NOW.minus(Duration::from_secs(301));
    let stale = Sample::Stripe.request(Some(&SECRET.into()), earlier, 1).unwrap();
    for sent in [forged, unsigned, stale] {
        let (status, _, answer) = ask(&app, post("/app/hook", sent)).await;
        assert_eq!((status, answer.len()), (StatusCode::UNAUTHORIZED, 0));
    }
    assert!(given.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_path_secret_is_a_path_that_does_not_exist() {
    let (app, given) = app::<serde_json::Value>(Verifier::builder(Kladana::new()).path_secret("s/1"));
    for (path, expected) in [
        ("/app/hook/s%2F1", StatusCode::OK),
        ("/app/hook/wrong", StatusCode::NOT_FOUND),
        ("/app/hook", StatusCode::NOT_FOUND),
    ] {
        let nowhere = ask(&app, Request::get("/app/nowhere").body(Body::empty()).unwrap()).await;
        for request in [post(path, sample("kladana", 1)), Request::get(path).body(Body::empty()).unwrap()] {
            let mut reply = ask(&app, request).await;
            assert_eq!(reply.0, expected, "{path}");
            // Which a server adds to the other, too.
            reply.1.remove("content-length");
            assert!(expected == StatusCode::OK || reply == nowhere, "{path}: {reply:?}");
        }
    }
    assert_eq!(given.lock().unwrap().len(), 2);
    // Nothing in the path is a proof if nothing was demanded.
    let shareactor = Verifier::builder(Shareactor::new(SECRET));
    let (open, _) = self::app::<serde_json::Value>(shareactor);
    let mut unsigned = sample("shareactor", 1);
    unsigned.headers.clear();
    assert_eq!(ask(&open, post("/app/hook/s", unsigned)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn bodies_have_the_limit_of_the_application() {
    let (app, given) = app::<serde_json::Value>(Verifier::builder(Poster::new(SECRET)));
    let size = sample("poster", 1).body.len();
    for (limit, expected) in [(size, StatusCode::OK), (size - 1, StatusCode::PAYLOAD_TOO_LARGE)] {
        let app = app.clone().layer(DefaultBodyLimit::max(limit));
        let (status, _, answer) = ask(&app, post("/app/hook", sample("poster", 1))).await;
        assert_eq!(status, expected);
        assert!(status.is_success() || answer.is_empty());
    }
    let put = Request::put("/app/hook").body(Body::empty()).unwrap();
    let (status, headers, _) = ask(&app, put).await;
    assert_eq!(
        (status, &headers["allow"]),
        (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD, POST".parse().unwrap())
    );
    assert_eq!(given.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_application_may_look_at_the_refusal() {
    async fn hook(
        hook: Result<Verified<poster::Event>, VerifyRejection>,
    ) -> Result<Reply, (StatusCode, String)> {
        match hook {
            Ok(hook) => Ok(hook.accepted()),
            Err(rejection) => Err((rejection.status(), rejection.to_string())),
        }
    }
    let app = Router::new()
        .route("/", any(hook))
        .with_state(Verifier::builder(Poster::new("another secret")).build().unwrap());
    let (status, _, why) = ask(&app, post("/", sample("poster", 1))).await;
    assert_eq!(
        (status, &*why),
        (StatusCode::UNAUTHORIZED, &b"`verify` matches none of the valid secrets"[..])
    );
}

#[test]
fn what_would_prove_nothing_is_said_when_it_is_built() {
    let wrong = |builder: VerifierBuilder| builder.build().unwrap_err();
    for (provider, builder) in [
        ("poster", Verifier::builder(Poster::new(""))),
        ("poster", Verifier::builder(Poster::new(["new", ""]))),
        ("poster", Verifier::builder(Poster::new(Secrets::none())).path_secret(SECRET)),
        // Else another proof than was meant would do, or none.
        ("quable", Verifier::builder(Quable::new("")).path_secret(SECRET)),
        ("quable", Verifier::builder(Quable::new("").insecure())),
        ("shareactor", Verifier::builder(Shareactor::new("")).path_secret(SECRET)),
        (
            "shareactor",
            Verifier::builder(Shareactor::new(Secrets::none()).require_signature(true)).path_secret(SECRET),
        ),
    ] {
        let wrong = wrong(builder);
        assert_eq!(wrong, VerifierError::NoSecret(provider.into()));
        let text = wrong.to_string();
        assert!(text.contains(&format!("{provider:?}")) && text.contains("environment variable"), "{text}");
    }
    for builder in [
        Verifier::builder(Poster::new(SECRET)).path_secret(""),
        Verifier::builder(Poster::new(SECRET)).path_secret([SECRET, ""]),
    ] {
        let wrong = wrong(builder);
        assert_eq!(wrong, VerifierError::EmptyPathSecret("poster".into()));
        assert!(wrong.to_string().contains("`.path_secret(…)`"), "{wrong}");
    }
    let bare = wrong(Verifier::builder(Kladana::new()));
    assert_eq!(bare, VerifierError::NoPathSecret("kladana".into()));
    assert!(bare.to_string().contains("`Verifier::builder(provider).path_secret(…)`"), "{bare}");
    assert!(Verifier::builder(Kladana::new().insecure()).build().is_ok());
}

#[tokio::test]
async fn a_sender_that_signs_its_url_signs_what_the_router_is_nested_under_too() {
    let (app, given) = app::<serde_json::Value>(Verifier::builder(Switchboard).path_secret("s/1"));
    let app = Router::new().nest("/shop", app);
    for (signed, expected) in [
        ("POST /shop/app/hook/s%2F1?a=%20b&c", StatusCode::OK),
        ("POST /hook/s%2F1?a=%20b&c", StatusCode::UNAUTHORIZED),
        ("POST /shop/app/hook/s/1?a=%20b&c", StatusCode::UNAUTHORIZED),
    ] {
        let request = Request::post("/shop/app/hook/s%2F1?a=%20b&c").header("x-signed", signed);
        let (status, ..) = ask(&app, request.body(Body::from("{}")).unwrap()).await;
        assert_eq!(status, expected, "{signed}");
    }
    assert_eq!(given.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_printed_says_what_came_and_not_what_is_in_it() {
    use axum::extract::FromRequest;

    let verifier = Verifier::builder(Quable::new(SECRET)).clock(ManualClock::at(NOW)).build().unwrap();
    let sent = sample("quable", 1);
    let size = format!("{} bytes", sent.body.len());
    let printed = format!("{sent:?}");
    assert!(printed.contains(&size) && printed.contains("authorization"), "{printed}");
    assert!(!printed.contains(SECRET) && !printed.contains("resource"), "{printed}");
    let hook = Verified::<quable::Event>::from_request(post("/hook", sent), &verifier).await.unwrap();
    let printed = format!("{hook:?}");
    assert!(printed.contains(&size) && printed.contains(&hook[0].kind), "{printed}");
    assert!(!printed.contains("resource"), "{printed}");
}
