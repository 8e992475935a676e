//! Listings, the parts of a delivery, counters and the feed.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Request, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::StreamExt;
use serde_json::json;
use tower::ServiceExt;

use super::{Fixture, START};
use crate::{
    ingress::RefusedRequest,
    journal::{DeliveryState, JobState::*},
    live::LiveItem,
};

#[tokio::test]
async fn deliveries_are_listed_by_filter_in_pages() {
    let fixture = Fixture::new();
    let ids: Vec<_> = (0..5).map(|_| fixture.add("cafe", &[("stock.changed", &[("stock", Done)])])).collect();
    let dead = fixture.add("shop", &[("order.created", &[("orders", Dead)])]);

    let page = fixture.get("/api/deliveries?limit=2&source=&q=").await;
    assert_eq!(page.header("cache-control"), "no-store");
    let page = page.json();
    let listed: Vec<_> =
        page["deliveries"].as_array().unwrap().iter().map(|item| item["id"].clone()).collect();
    assert_eq!(listed, [json!(dead), json!(ids[4])]);
    let next = page["next"].as_str().unwrap();
    let page = fixture.get(&format!("/api/deliveries?limit=3&cursor={next}")).await.json();
    assert_eq!(page["deliveries"][0]["id"], json!(ids[3]));

    let page = fixture.get("/api/deliveries?state=dead&source=shop&kind=order.*").await.json();
    assert_eq!(page["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(page["deliveries"][0]["jobs"][0]["state"], "dead");
    let page = fixture.get("/api/jobs?state=dead").await.json();
    assert_eq!(page["jobs"][0]["id"], json!(fixture.summary(dead).jobs[0].id));

    let last =
        fixture.get(&format!("/api/deliveries?since={}", START.plus(Duration::from_secs(5)))).await.json();
    assert_eq!(last["deliveries"].as_array().unwrap().len(), 1);
    let end = fixture.get("/api/deliveries?cursor=1").await.json();
    assert_eq!((end["deliveries"].as_array().unwrap().len(), &end["next"]), (1, &json!(null)));
}

#[tokio::test]
async fn a_wrong_query_names_what_is_wrong() {
    let fixture = Fixture::new();
    for (query, words) in [
        ("sate=dead", ["sate", "state"]),
        ("state=deaf", ["\"deaf\"", "discarded"]),
        ("limit=0", ["limit", "500"]),
        ("limit=many", ["\"many\"", "500"]),
        ("since=yesterday", ["since", "2026-01-23T09:48:17Z"]),
        ("cursor=x", ["cursor", "listing"]),
    ] {
        fixture.get(&format!("/api/deliveries?{query}")).await.is_problem(400, &words);
        fixture.get(&format!("/api/jobs?{query}")).await.is_problem(400, &words);
    }
    fixture.get("/api/deliveries/not-an-id").await.is_problem(400, &["not-an-id", "UUID"]);
    fixture.store.held().trouble = Some("disk full".into());
    fixture.get("/api/deliveries").await.is_problem(503, &["disk full"]);
}

#[tokio::test]
async fn a_delivery_is_shown_by_any_of_its_ids_and_masked() {
    let fixture = Fixture::new();
    let body = b"a hush b".to_vec();
    let states: &[_] = &[("stock", Retrying)];
    let id = fixture.add_as("cafe", DeliveryState::Accepted, body, &[("stock.changed", states)]);
    let job = fixture.summary(id).jobs[0].id;
    for any in [id.to_string(), id.event(0).to_string(), job.to_string()] {
        let shown = fixture.get(&format!("/api/deliveries/{any}")).await.json();
        assert_eq!(shown["id"], json!(id));
        assert_eq!((&shown["body"], &shown["masked"]), (&json!("a [REDACTED] b"), &json!(true)));
        assert_eq!(shown["headers"], json!([["content-type", "text/plain"]]));
        assert_eq!((&shown["jobs"][0]["state"], &shown["attempts"]), (&json!("retrying"), &json!([])));
        assert!(shown.get("body_base64").is_none());
    }
    let none = uuid::Uuid::nil();
    fixture.get(&format!("/api/deliveries/{none}")).await.is_problem(404, &[&none.to_string()]);
}

#[tokio::test]
async fn a_body_that_is_no_text_is_shown_in_base64_too() {
    let mut fixture = Fixture::new();
    fixture.context.mask = std::sync::Arc::new(<[u8]>::to_vec);
    let id = fixture.add_as("cafe", DeliveryState::Quarantined, b"a\xff".to_vec(), &[]);
    let shown = fixture.get(&format!("/api/deliveries/{id}")).await.json();
    assert_eq!(shown["body"], "a\u{fffd}");
    assert_eq!(shown["body_base64"], BASE64_STANDARD.encode(b"a\xff"));
    assert_eq!((&shown["masked"], &shown["reason"]), (&json!(false), &json!("it was unreadable")));
}

#[tokio::test]
async fn counters_and_refused_requests() {
    let fixture = Fixture::new();
    fixture.add("cafe", &[("stock.changed", &[("stock", Dead), ("all-cafe", Done)])]);
    for at in [START, START.plus(Duration::from_secs(1))] {
        fixture.context.refused.add(RefusedRequest {
            at,
            source: "cafe".into(),
            reason: "wrong_proof".into(),
            detail: "verify matches none of the valid secrets".into(),
            headers: vec![],
            size: 3,
            digest: String::new(),
        });
    }
    let stats = fixture.get("/api/stats").await.json();
    for (pointer, value) in [
        ("/deliveries/accepted", json!(1)),
        ("/deliveries/duplicate", json!(7)),
        ("/deliveries/refused", json!(2)),
        ("/deliveries/quarantined", json!(0)),
        ("/events/unrouted", json!(0)),
        ("/jobs/dead", json!(1)),
        ("/jobs/discarded", json!(0)),
        ("/relay", json!({ "backlog": 0, "oldest_seconds": 0, "redis": "off" })),
    ] {
        assert_eq!(stats.pointer(pointer), Some(&value), "{pointer}");
    }
    let refused = fixture.get("/api/refused").await.json();
    assert_eq!(refused["refused"][0]["at"], "2025-12-31T08:03:21.000Z");

    let metrics = fixture.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(metrics.text.contains("doorbell_jobs{state=\"dead\"} 1\n"), "{}", metrics.text);
    fixture.store.held().trouble = Some("disk full".into());
    assert!(fixture.get("/metrics").await.text.contains("doorbell_queue_up 0\n"));
}

#[tokio::test]
async fn discarding_takes_only_jobs_that_wait() {
    let fixture = Fixture::new();
    let id = fixture.add("cafe", &[("stock.changed", &[("stock", Dead), ("all-cafe", Running)])]);
    let jobs = fixture.summary(id).jobs;
    let answer = fixture.post(&format!("/api/jobs/{}/discard", jobs[0].id), "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "discarded": 1 })));
    let answer = fixture.post(&format!("/api/jobs/{}/discard", jobs[1].id), "").await;
    answer.is_problem(409, &["running"]);
    fixture.post(&format!("/api/jobs/{}/discard", uuid::Uuid::nil()), "").await.is_problem(404, &["no job"]);
    assert_eq!(fixture.store.job_states(), [Discarded, Running]);
}

#[tokio::test]
async fn the_feed_tells_what_happens_and_ends_with_the_service() {
    let fixture = Fixture::new();
    let request = Request::builder()
        .uri("/api/live")
        .header(header::AUTHORIZATION, "Bearer opensesame")
        .body(Body::empty())
        .unwrap();
    let response = fixture.router().oneshot(request).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut events = response.into_body().into_data_stream();

    fixture.live.tell(|| LiveItem::Delivery {
        at: START,
        source: "cafe".into(),
        outcome: "accepted",
        id: None,
        kinds: vec!["stock.changed".into()],
        ack_micros: 812,
    });
    let event = events.next().await.unwrap().unwrap();
    let event = std::str::from_utf8(&event).unwrap();
    assert!(event.starts_with("event: delivery\ndata: {") && event.ends_with("}\n\n"), "{event}");
    assert!(event.contains("\"kinds\":[\"stock.changed\"]"), "{event}");

    fixture.live.close();
    assert!(events.next().await.is_none());
}
