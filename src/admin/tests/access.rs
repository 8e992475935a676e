//! Who may look, whether the process is healthy, and that every path is documented.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use axum::{
    body::Body,
    http::{Request, header},
};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    super::{guarded_endpoints, open_endpoints},
    Answer, Fixture,
};

async fn get_with(fixture: &Fixture, path: &str, authorization: Option<&str>) -> Answer {
    let mut request = Request::builder().uri(path);
    if let Some(value) = authorization {
        request = request.header(header::AUTHORIZATION, value);
    }
    Answer::of(fixture.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()).await
}

#[tokio::test]
async fn everything_needs_the_token() {
    let fixture = Fixture::new();
    for path in
        ["/api/deliveries", "/api/stats", "/metrics", "/api/openapi.json", "/nowhere", "/readyz?verbose"]
    {
        for wrong in
            [None, Some("Bearer wrong"), Some("Bearer "), Some("Basic opensesame"), Some("opensesame")]
        {
            let answer = get_with(&fixture, path, wrong).await;
            answer.is_problem(401, &["admin token"]);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert_eq!(answer.header("cache-control"), "no-store");
        }
    }
    // Nor does the listener say without it which methods a path takes.
    let post = Request::builder().method("POST").uri("/api/stats").body(Body::empty()).unwrap();
    Answer::of(fixture.router().oneshot(post).await.unwrap()).await.is_problem(401, &[]);
    for right in ["Bearer opensesame", "bearer older"] {
        assert_eq!(get_with(&fixture, "/api/stats", Some(right)).await.status, 200);
    }
}

#[tokio::test]
async fn without_a_token_the_listener_stays_shut() {
    let mut fixture = Fixture::new();
    fixture.context.token = crate::provider::Secrets::none();
    get_with(&fixture, "/api/stats", Some("Bearer ")).await.is_problem(401, &[]);
}

#[tokio::test]
async fn ready_while_it_can_commit() {
    let mut fixture = Fixture::new();
    let word = async |fixture: &Fixture| {
        let answer = get_with(fixture, "/readyz", None).await;
        (answer.status, answer.json())
    };
    assert_eq!(word(&fixture).await, (200, json!({ "status": "ready" })));

    fixture.context.workers = Arc::new(|| Some("worker stock stands still".into()));
    assert_eq!(word(&fixture).await, (200, json!({ "status": "degraded" })));
    let verbose = fixture.get("/readyz?verbose").await;
    assert_eq!(verbose.json()["workers"]["trouble"], "worker stock stands still");

    assert_eq!(verbose.json()["redis"], json!(null));

    let found = json!([{ "level": "error", "subject": "maxmemory-policy", "text": "it deletes jobs" }]);
    let findings = found.clone();
    fixture.context.redis = Some(Arc::new(move || Box::pin(std::future::ready(findings.clone()))));
    assert_eq!(fixture.get("/readyz?verbose").await.json()["redis"], json!({ "findings": found }));

    fixture.store.held().warning = Some("nearly full".into());
    fixture.context.workers = Arc::new(|| None);
    assert_eq!(word(&fixture).await, (200, json!({ "status": "degraded" })));

    fixture.context.draining.store(true, Ordering::Relaxed);
    assert_eq!(word(&fixture).await, (503, json!({ "status": "draining" })));

    fixture.store.held().trouble = Some("disk full".into());
    assert_eq!(word(&fixture).await, (503, json!({ "status": "unavailable" })));
    assert_eq!(fixture.get("/readyz?verbose").await.json()["journal"]["trouble"], "disk full");
    assert_eq!(get_with(&fixture, "/livez", None).await.status, 200);
}

#[tokio::test]
async fn wrong_paths_and_methods_are_problems() {
    let fixture = Fixture::new();
    fixture.get("/nowhere").await.is_problem(404, &["openapi"]);
    for (method, path, allowed) in
        [("POST", "/api/stats", "GET"), ("GET", "/api/replay", "POST"), ("POST", "/readyz", "GET")]
    {
        let answer = fixture.send(method, path, Body::empty()).await;
        answer.is_problem(405, &[]);
        assert!(answer.header("allow").contains(allowed), "{answer:?}");
    }
}

#[tokio::test]
async fn every_path_is_documented_and_every_documented_path_is_there() {
    let fixture = Fixture::new();
    let document = fixture.get("/api/openapi.json").await.json();
    let documented = document["paths"].as_object().unwrap();
    let routed: BTreeSet<_> =
        open_endpoints().iter().chain(&guarded_endpoints()).map(|(path, _)| *path).collect();
    assert_eq!(documented.keys().map(String::as_str).collect::<BTreeSet<_>>(), routed);
    for (path, methods) in documented {
        for method in ["get", "post", "put", "delete"] {
            let answer = fixture
                .router()
                .oneshot(
                    Request::builder()
                        .method(method.to_uppercase().as_str())
                        .uri(path.replace("{id}", "none"))
                        .header(header::AUTHORIZATION, "Bearer opensesame")
                        .body(Body::empty())
                        .unwrap(),
                )
                .await
                .unwrap();
            assert_eq!(answer.status().as_u16() != 405, methods.get(method).is_some(), "{method} {path}");
        }
    }
    references_exist(&document, &document);
}

fn references_exist(document: &Value, part: &Value) {
    match part {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            members.values().for_each(|member| references_exist(document, member));
        }
        Value::Array(items) => items.iter().for_each(|item| references_exist(document, item)),
        _ => {}
    }
}
