//! What came in and what became of it.

use axum::{Json, extract::State};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    AdminContext, Context,
    extract::{Id, ListParams, Params},
    problem::Problem,
    view::{DeliveriesPage, DeliveryView, JobsPage},
};
use crate::{
    delivery::JobId,
    journal::{DeliveryRecord, Discarded, Health, QueueState},
};

/// `GET /api/deliveries`
pub(super) async fn deliveries(
    State(context): State<Context>,
    Params(params): Params<ListParams>,
) -> Result<Json<DeliveriesPage>, Problem> {
    let page = context.store.deliveries(params.filter()?).await?;
    Ok(Json(DeliveriesPage { deliveries: page.items, next: page.next, warning: missing(&context) }))
}

/// Why a page may lack something: what only the shared queue has is not shown while that does not answer.
fn missing(context: &AdminContext) -> Option<String> {
    let Health { trouble, warning } = context.store.health();
    let why = trouble.or(warning).filter(|_| context.store.relay().queue == QueueState::Down)?;
    Some(format!("what is in Redis alone may be missing here ({why})"))
}

/// `GET /api/deliveries/{id}`
pub(super) async fn delivery(
    State(context): State<Context>,
    Id(id): Id,
) -> Result<Json<DeliveryView>, Problem> {
    Ok(Json(shown(&context, find(&context, id).await?)))
}

/// The delivery to which an id of any kind belongs.
pub(super) async fn find(context: &AdminContext, id: Uuid) -> Result<DeliveryRecord, Problem> {
    let found = match context.store.locate(id).await? {
        Some(delivery) => context.store.delivery(delivery).await?,
        None => None,
    };
    found.ok_or_else(|| {
        Problem::not_found(format!(
            "there is no delivery, event or job {id}; it may be older than the retention time"
        ))
    })
}

fn shown(context: &AdminContext, record: DeliveryRecord) -> DeliveryView {
    let body = (context.mask)(&record.body);
    let masked = body != record.body;
    let (body, body_base64) = match String::from_utf8(body) {
        Ok(text) => (text, None),
        Err(error) => {
            let bytes = error.as_bytes();
            (String::from_utf8_lossy(bytes).into_owned(), Some(BASE64_STANDARD.encode(bytes)))
        }
    };
    DeliveryView {
        summary: record.summary,
        headers: record.headers,
        body,
        body_base64,
        masked,
        attempts: record.attempts,
    }
}

/// `GET /api/jobs`
pub(super) async fn jobs(
    State(context): State<Context>,
    Params(params): Params<ListParams>,
) -> Result<Json<JobsPage>, Problem> {
    let page = context.store.jobs(params.filter()?).await?;
    Ok(Json(JobsPage { jobs: page.items, next: page.next, warning: missing(&context) }))
}

/// `POST /api/jobs/{id}/discard`
pub(super) async fn discard(State(context): State<Context>, Id(id): Id) -> Result<Json<Value>, Problem> {
    match context.store.discard(JobId::from(id)).await? {
        Discarded::Yes => Ok(Json(json!({ "discarded": 1 }))),
        Discarded::NotFound => Err(no_such_job(id)),
        Discarded::NotWaiting(state) => Err(Problem::conflict(format!(
            "job {id} is {state}; only a job that still waits, or a dead one, can be discarded"
        ))
        .with("state", state.as_str())),
    }
}

pub(super) fn no_such_job(id: Uuid) -> Problem {
    Problem::not_found(format!("there is no job {id}; it may be older than the retention time"))
}
