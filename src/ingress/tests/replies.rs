//! What each outcome is answered with, stored as and counted as.

use tower::ServiceExt;

use super::support::{Harness, Script, good, post};
use crate::{delivery::IdGenerator, ingress::router, journal::NewContent, live::LiveItem};

#[tokio::test]
async fn a_delivery_is_stored_whole_and_answered_as_its_sender_needs() {
    let mut harness = Harness::start();
    let mut live = harness.live.watch();
    let request = post(
        "/in/plain?requestId=7",
        "x-proof: right\r\nx-id: 7\r\nAuthorization: Basic abc\r\nCookie: a=b\r\nX-Forwarded-For: 192.0.2.1\r\n",
        "stock.changed,order.created",
    );
    let answer = harness.send(&request).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, r#"{"status":"toy"}"#));
    assert_eq!(answer.header("content-type"), Some("application/json"));

    let stored = harness.stored.recv().await.unwrap();
    assert_eq!(answer.header("doorbell-delivery"), Some(stored.id.to_string().as_str()));
    assert_eq!((&*stored.source, &*stored.provider), ("plain", "toy"));
    assert_eq!(stored.sender_id.as_deref(), Some("7"));
    assert_eq!(stored.body, "stock.changed,order.created");
    assert!(!stored.dedupe.unwrap().key.is_fallback());
    let headers: Vec<(String, String)> = serde_json::from_str(&stored.headers).unwrap();
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "content-length", "x-proof", "x-id", "x-forwarded-for"]);
    let NewContent::Events(events) = stored.content else { panic!("events were to be stored") };
    let routed: Vec<_> = events
        .iter()
        .map(|new| (new.event.kind.as_str(), new.routes.iter().map(|route| &**route).collect::<Vec<_>>()))
        .collect();
    assert_eq!(routed, [("stock.changed", vec!["stock", "all"]), ("order.created", vec!["all"])]);

    assert_eq!(harness.count("plain", "accepted"), 1);
    let LiveItem::Delivery { outcome, id, kinds, .. } = live.recv().await.unwrap() else { panic!() };
    assert_eq!((outcome, id), ("accepted", Some(stored.id)));
    assert_eq!(kinds, ["stock.changed", "order.created"]);
}

#[tokio::test]
async fn an_event_that_no_route_wants_is_stored_all_the_same() {
    let mut harness = Harness::start();
    assert_eq!(harness.send(&post("/in/locked/s2", "", "order.created")).await.status(), 200);
    let NewContent::Events(events) = harness.stored.recv().await.unwrap().content else { panic!() };
    assert!(events[0].routes.is_empty());
}

#[tokio::test]
async fn a_duplicate_gets_the_success_reply_with_the_originals_id() {
    let harness = Harness::start();
    let original = IdGenerator::new().unwrap().next(crate::clock::Timestamp::from_seconds(1), 0);
    harness.script(Script::Duplicate(original));
    let answer = harness.send(&good("a")).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, r#"{"status":"toy"}"#));
    assert_eq!(answer.header("doorbell-delivery"), Some(original.to_string().as_str()));
    assert_eq!(harness.count("plain", "duplicate"), 1);
    assert_eq!(harness.metrics.duplicate_after_ack.get_or_create(&Harness::labels("plain")).get(), 1);
    assert_eq!(harness.count("plain", "accepted"), 0);
}

#[tokio::test]
async fn an_id_that_comes_with_another_body_is_its_own_delivery_and_counted() {
    let harness = Harness::start();
    harness.script(Script::IdReused);
    assert_eq!(harness.send(&good("a")).await.status(), 200);
    assert_eq!(harness.metrics.id_reused.get_or_create(&Harness::labels("plain")).get(), 1);
    assert_eq!(harness.count("plain", "accepted"), 1);
}

#[tokio::test]
async fn what_is_proved_but_can_not_be_read_is_kept_aside_and_answered_with_success() {
    let mut harness = Harness::start();
    for (body, expected) in [("odd", "odd"), ("bug", "the provider panicked while reading this body")] {
        let answer = harness.send(&good(body)).await;
        assert_eq!((answer.status(), answer.body.as_str()), (200, r#"{"status":"toy"}"#));
        let stored = harness.stored.recv().await.unwrap();
        assert_eq!(stored.body, body);
        let NewContent::Quarantined { reason } = stored.content else { panic!("to be quarantined") };
        assert_eq!(reason, expected);
    }
    assert_eq!(harness.count("plain", "quarantined"), 2);
}

#[tokio::test]
async fn a_test_is_stored_as_one_and_never_taken_for_a_repetition() {
    let mut harness = Harness::start();
    assert_eq!(harness.send(&good("test")).await.status(), 200);
    let stored = harness.stored.recv().await.unwrap();
    assert!(matches!(stored.content, NewContent::Test) && stored.dedupe.is_none());
    assert_eq!(harness.count("plain", "test"), 1);
}

#[tokio::test]
async fn what_proves_nothing_is_refused_alike_and_not_stored() {
    let mut harness = Harness::start();
    let missing = harness.send(&post("/in/plain", "x-api-key: k\r\nuser-agent: u\r\n", "a")).await;
    let wrong = harness.send(&post("/in/plain", "x-proof: wrong\r\n", "a")).await;
    assert_eq!(missing.status(), 401);
    assert_eq!(missing.bytes(), wrong.bytes());
    assert_eq!(missing.body, "");
    assert_eq!(harness.count("plain", "refused"), 2);
    assert_eq!(harness.refusals("plain", "missing_proof"), 1);
    assert_eq!(harness.refusals("plain", "wrong_proof"), 1);
    assert!(harness.begun.try_recv().is_err());

    let refused = harness.refused.newest_first();
    let [newest, oldest] = refused.as_slice() else { panic!("two are kept") };
    assert_eq!((newest.reason.as_str(), oldest.reason.as_str()), ("wrong_proof", "missing_proof"));
    assert_eq!(oldest.size, 1);
    assert_eq!(oldest.digest, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb");
    assert!(oldest.headers.contains(&("user-agent".into(), "u".into())));
    assert!(oldest.headers.contains(&("x-api-key".into(), "[REDACTED]".into())));
    assert!(newest.headers.contains(&("x-proof".into(), "[REDACTED]".into())));
}

#[tokio::test]
async fn what_can_not_be_stored_is_answered_with_503() {
    let harness = Harness::start();
    for script in [Script::Unavailable, Script::TooLate] {
        harness.script(script);
        let answer = harness.send(&good("a")).await;
        assert_eq!((answer.status(), answer.body.as_str()), (503, ""));
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.header("doorbell-delivery"), None);
    }
    assert_eq!(harness.count("plain", "failed"), 2);
}

#[tokio::test]
async fn senders_of_all_manners_are_answered() {
    let mut harness = Harness::start();

    // HTTP/1.0 closes after its reply.
    let mut client = harness.connect().await;
    client.write("POST /in/plain HTTP/1.0\r\nx-proof: right\r\ncontent-length: 1\r\n\r\na").await;
    assert_eq!(client.answer().await.status(), 200);
    client.closed().await;

    // Who asks first is told to go on.
    let mut client = harness.connect().await;
    client
        .write(
            "POST /in/plain HTTP/1.1\r\nhost: h\r\nx-proof: right\r\nexpect: 100-continue\r\n\
             content-length: 1\r\n\r\n",
        )
        .await;
    assert!(client.head().await.unwrap().starts_with("HTTP/1.1 100 "));
    client.write("b").await;
    assert_eq!(client.answer().await.status(), 200);

    // Chunks, with an extension and trailers.
    let chunked = "POST /in/plain HTTP/1.1\r\nhost: h\r\nx-proof: right\r\ntransfer-encoding: chunked\r\n\r\n\
                   2\r\nab\r\n1;x=y\r\nc\r\n0\r\nx-trailer: t\r\n\r\n";
    assert_eq!(harness.send(chunked).await.status(), 200);

    // Who has closed its own side still gets its reply.
    let mut client = harness.connect().await;
    client.write(&good("d")).await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.0).await.unwrap();
    assert_eq!(client.answer().await.status(), 200);
    client.closed().await;

    // A body is taken as it is, whatever coding it claims.
    let zipped = post("/in/plain", "x-proof: right\r\ncontent-encoding: gzip\r\n", "e");
    assert_eq!(harness.send(&zipped).await.status(), 200);

    for body in ["a", "b", "abc", "d", "e"] {
        assert_eq!(harness.stored.recv().await.unwrap().body, body);
    }
}

#[tokio::test]
async fn it_can_be_nested_in_an_axum_application() {
    let mut harness = Harness::start();
    let app = axum::Router::new()
        .nest("/hooks", router(&harness.ingress))
        .merge(axum::Router::new().route("/", axum::routing::get(|| async { "home" })));
    let request = |method: &str, path: &str| {
        let request = http::Request::builder().method(method).uri(path.to_owned()).header("x-proof", "right");
        app.clone().oneshot(request.body(axum::body::Body::from("stock.changed")).unwrap())
    };
    let answer = request("POST", "/hooks/in/plain").await.unwrap();
    let stored = harness.stored.recv().await.unwrap();
    assert_eq!(answer.headers()["doorbell-delivery"], stored.id.to_string().as_str());
    assert_eq!(request("POST", "/hooks/in/none").await.unwrap().status(), 404);
    assert_eq!(request("GET", "/hooks/in/plain").await.unwrap().status(), 200);
    assert_eq!(request("GET", "/").await.unwrap().status(), 200);
}
