//! What is counted, and what was turned away.

use axum::{Json, extract::State, http::header, response::IntoResponse};
use serde_json::{Map, Value, json};

use super::{Context, problem::Problem};
use crate::journal::{JobState, RelayState};

/// `GET /api/stats`: read from maintained counters, so asking often costs little.
pub(super) async fn stats(State(context): State<Context>) -> Result<Json<Value>, Problem> {
    // First: what is moved meanwhile is then counted on both sides, and never on none.
    let relay = context.store.relay();
    let stats = context.store.stats().await?;
    let jobs: Map<_, _> = JobState::ALL
        .into_iter()
        .map(|state| (state.as_str().to_owned(), Value::from(stats.jobs_in(state))))
        .collect();
    Ok(Json(json!({
        "at": context.clock.now(),
        "deliveries": {
            "accepted": stats.accepted,
            "duplicate": stats.duplicate,
            // Refused requests are not stored, so this is since the process started.
            "refused": context.refused.total(),
            "quarantined": stats.quarantined,
            "id_reused": stats.id_reused,
        },
        "events": { "unrouted": stats.unrouted },
        "jobs": jobs,
        "relay": relay_state(relay),
    })))
}

/// How far the relay is behind. On the embedded queue the journal is the queue: nothing waits to be moved.
pub(super) fn relay_state(relay: RelayState) -> Value {
    json!({
        "backlog": relay.backlog,
        "oldest_seconds": relay.oldest.as_secs(),
        "redis": relay.queue.as_str(),
    })
}

/// `GET /api/refused`: the last refused requests, the newest first.
pub(super) async fn refused(State(context): State<Context>) -> Json<Value> {
    Json(json!({ "refused": context.refused.newest_first(), "total": context.refused.total() }))
}

/// `GET /metrics`: with what the process itself counted even while the store is out of reach.
pub(super) async fn metrics(State(context): State<Context>) -> Result<impl IntoResponse, Problem> {
    let relay = context.store.relay();
    let stats = context.store.stats().await.ok();
    let text = context
        .metrics
        .render(stats.as_ref(), relay)
        .map_err(|_| Problem::internal("the metrics can't be written as text"))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}
