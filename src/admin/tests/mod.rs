//! The admin listener, called in-process on a store in memory.

mod access;
mod listing;
mod replay;
mod store;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, Response, header},
};
use bytes::Bytes;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) use self::store::MemoryStore;
use super::{AdminContext, router};
use crate::{
    Route, Source, SourceFilter,
    clock::{ManualClock, Timestamp},
    delivery::{DeliveryId, IdGenerator},
    ingress::RefusedLog,
    journal::{DeliveryRecord, DeliveryState, DeliverySummary, EventRecord, JobRecord, JobState},
    live::Live,
    metrics::Metrics,
    provider::{self, Parsed, ParsedEvent, Provider, Refusal, Secrets, Unparsable},
};

pub(crate) const TOKEN: &str = "opensesame";
pub(crate) const START: Timestamp = Timestamp::from_millis(1_767_168_200_000);

/// An admin listener with two sources (`cafe`, `shop`) and two routes (`stock` for `stock.*`, `all-cafe` for whatever
/// comes from `cafe`).
pub(crate) struct Fixture {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) live: Live,
    pub(crate) context: AdminContext,
    ids: IdGenerator,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let store = Arc::new(MemoryStore::default());
        let live = Live::new();
        let context = AdminContext {
            store: store.clone(),
            sources: Arc::new(HashMap::from([
                ("cafe".to_owned(), Source::new(Lines)),
                ("shop".to_owned(), Source::new(Lines)),
            ])),
            routes: Arc::new([
                route("stock", SourceFilter::Any, "stock.*"),
                route("all-cafe", SourceFilter::Named(vec!["cafe".into()]), "*"),
            ]),
            metrics: Metrics::new(),
            refused: Arc::new(RefusedLog::default()),
            live: live.clone(),
            clock: Arc::new(ManualClock::at(START)),
            workers: Arc::new(|| None),
            redis: None,
            token: Secrets::from([TOKEN, "older"]),
            mask: Arc::new(|body| String::from_utf8_lossy(body).replace("hush", "[REDACTED]").into_bytes()),
            draining: Arc::new(AtomicBool::new(false)),
        };
        Self { store, live, context, ids: IdGenerator::new().unwrap() }
    }

    pub(crate) fn router(&self) -> Router {
        router(self.context.clone())
    }

    /// Stores a delivery whose events are of these kinds, each with jobs in these states.
    pub(crate) fn add(&self, source: &str, events: &[(&str, &[(&str, JobState)])]) -> DeliveryId {
        let body = events.iter().map(|(kind, _)| *kind).collect::<Vec<_>>().join("\n");
        self.add_as(source, DeliveryState::Accepted, body.into_bytes(), events)
    }

    /// Stores a delivery that is quarantined, with this body.
    pub(crate) fn add_quarantined(&self, source: &str, body: &str) -> DeliveryId {
        self.add_as(source, DeliveryState::Quarantined, body.into(), &[])
    }

    pub(crate) fn add_as(
        &self,
        source: &str,
        state: DeliveryState,
        body: Vec<u8>,
        events: &[(&str, &[(&str, JobState)])],
    ) -> DeliveryId {
        let mut held = self.store.held();
        let received_at = START.plus(Duration::from_secs(held.deliveries.len() as u64));
        let id = self.ids.next(received_at, events.len().max(3));
        let mut jobs = Vec::new();
        let events = (0..).zip(events).map(|(index, (kind, states))| {
            let event = EventRecord {
                id: id.event(index),
                kind: (*kind).to_owned(),
                subject: None,
                occurred_at: None,
                unrouted: states.is_empty(),
            };
            jobs.extend(
                states
                    .iter()
                    .map(|(route, state)| JobRecord { state: *state, ..store::queued(id, &event, route) }),
            );
            event
        });
        let events = events.collect();
        let summary = DeliverySummary {
            id,
            source: source.to_owned(),
            provider: "lines".to_owned(),
            state,
            received_at,
            sender_id: None,
            reason: (state == DeliveryState::Quarantined).then(|| "it was unreadable".to_owned()),
            size: body.len(),
            events,
            jobs,
        };
        let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
        held.deliveries.push(DeliveryRecord {
            summary,
            headers,
            body: Bytes::from(body),
            attempts: Vec::new(),
        });
        id
    }

    pub(crate) fn summary(&self, id: DeliveryId) -> DeliverySummary {
        let held = self.store.held();
        held.deliveries.iter().find(|record| record.summary.id == id).unwrap().summary.clone()
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Body::empty()).await
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.send("POST", path, body.into()).await
    }

    async fn send(&self, method: &str, path: &str, body: Body) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(body)
            .unwrap();
        Answer::of(self.router().oneshot(request).await.unwrap()).await
    }
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: Response<Body>) -> Self {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    /// Asserts that this is a problem of that status whose detail holds these words.
    #[track_caller]
    fn is_problem(&self, status: u16, words: &[&str]) {
        assert_eq!(
            (self.status, self.header("content-type")),
            (status, "application/problem+json"),
            "{self:?}"
        );
        let body = self.json();
        assert_eq!(body["status"], status);
        assert!(body["type"].is_string() && body["title"].is_string(), "{self:?}");
        for word in words {
            assert!(body["detail"].as_str().unwrap().contains(word), "{word:?} in {self:?}");
        }
    }
}

fn route(name: &str, sources: SourceFilter, pattern: &str) -> Route {
    Route { name: name.into(), sources, ..Route::new("*", pattern) }
}

/// A sender whose deliveries have one event a line: its kind. `garbage` can't be read, `test` is a test.
#[derive(Debug)]
struct Lines;

impl Provider for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn authenticate(&self, _: &provider::Request<'_>, _: Timestamp) -> Result<(), Refusal> {
        Err(Refusal::MissingProof("signature".into()))
    }

    fn parse(&self, request: &provider::Request<'_>) -> Result<Parsed, Unparsable> {
        assert_eq!(request.header("content-type"), Some("text/plain"));
        match std::str::from_utf8(request.body) {
            Ok("test") => Ok(Parsed::Test),
            Ok(text) if text != "garbage" => Ok(Parsed::Events {
                sender_id: None,
                events: text
                    .lines()
                    .map(|kind| ParsedEvent {
                        kind: kind.into(),
                        subject: None,
                        occurred_at: None,
                        data: provider::Slices::WHOLE,
                    })
                    .collect(),
            }),
            _ => Err(Unparsable::new("this is garbage")),
        }
    }
}
