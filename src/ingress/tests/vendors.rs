//! The vendors' own requests, answered in their own words.

use std::time::Duration;

use super::support::{Harness, post};
use crate::{
    ingress::Limits,
    journal::NewContent,
    provider::{Kladana, Poster},
    source::Source,
};

#[tokio::test]
async fn kladana() {
    let source = Source::new(Kladana::new()).path_secret("hush");
    let mut harness = Harness::with(Limits::default(), [("erp", source)]);
    let body = include_str!("../../../tests/samples/kladana_entity_multi_events.json");
    let headers = "connection: close\r\ncontent-type: application/json; charset=UTF-8\r\n";
    let answer = harness.send(&post("/in/erp/hush?requestId=r1", headers, body)).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, r#"{"status":"ok"}"#));
    let stored = harness.stored.recv().await.unwrap();
    assert_eq!(stored.sender_id.as_deref(), Some("r1"));
    assert_eq!(stored.body, body);
    assert!(stored.give_up_at <= crate::clock::instant() + Duration::from_millis(1400));
    let NewContent::Events(events) = stored.content else { panic!("events were to be stored") };
    assert!(events.len() > 1);

    // Authentic and odd: an error would cost the sender's whole webhook.
    let answer = harness.send(&post("/in/erp/hush", headers, "<html>")).await;
    assert_eq!((answer.status(), answer.body.as_str()), (200, r#"{"status":"ok"}"#));
    assert!(matches!(harness.stored.recv().await.unwrap().content, NewContent::Quarantined { .. }));
}

#[tokio::test]
async fn poster() {
    let harness = Harness::with(Limits::default(), [("cafe", Source::new(Poster::new("secret")))]);
    // The dashboard's "check" button.
    let probe = harness.send("GET /in/cafe HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((probe.status(), probe.body.as_str()), (200, r#"{"status":"accept"}"#));
    // The proof stands in the body, so what can't be read proves nothing.
    for body in ["", "<html>", "{}", include_str!("../../../tests/samples/poster_stock_changed.json")] {
        let answer = harness.send(&post("/in/cafe", "", body)).await;
        assert_eq!((answer.status(), answer.body.as_str()), (401, ""), "{body}");
    }
    assert_eq!(harness.count("cafe", "refused"), 4);
}
