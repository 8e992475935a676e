//! Whether this process lives, and whether it can do its work.

use std::sync::atomic::Ordering;

use axum::{
    Json,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{AdminContext, Context, auth, problem::Problem, stats};
use crate::journal::Health;

/// `GET /livez`: 200 as long as this process can answer at all.
pub(super) async fn livez() -> impl IntoResponse {
    Json(json!({ "status": "alive" }))
}

/// `GET /readyz`: 200 while this process can commit durably and means to go on, 503 otherwise.
///
/// Trouble with the workers does not make it 503: what comes in is kept, and turning it away would lose it.
pub(super) async fn readyz(
    State(context): State<Context>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let readiness = Readiness::of(&context);
    let verbose =
        form_urlencoded::parse(query.unwrap_or_default().as_bytes()).any(|(key, _)| key == "verbose");
    let mut body = json!({ "status": readiness.word() });
    if verbose {
        auth::check(&context, &headers)?;
        body["at"] = json!(context.clock.now());
        body["draining"] = json!(readiness.draining);
        body["journal"] =
            json!({ "trouble": readiness.journal.trouble, "warning": readiness.journal.warning });
        body["relay"] = stats::relay_state(context.store.relay());
        body["workers"] = json!({ "trouble": readiness.workers });
        if let Some(ask) = &context.redis {
            body["redis"] = json!({ "findings": ask().await });
        }
    }
    Ok((readiness.status(), Json(body)).into_response())
}

struct Readiness {
    draining: bool,
    journal: Health,
    workers: Option<String>,
}

impl Readiness {
    fn of(context: &AdminContext) -> Self {
        Self {
            draining: context.draining.load(Ordering::Relaxed),
            journal: context.store.health(),
            workers: (context.workers)(),
        }
    }

    fn word(&self) -> &'static str {
        if self.journal.trouble.is_some() {
            "unavailable"
        } else if self.draining {
            "draining"
        } else if self.workers.is_some() || self.journal.warning.is_some() {
            "degraded"
        } else {
            "ready"
        }
    }

    fn status(&self) -> StatusCode {
        if self.journal.trouble.is_some() || self.draining {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::OK
        }
    }
}
