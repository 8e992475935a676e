//! Doing it again: jobs are queued afresh, and what could not be read, or what no route wanted, is read and routed
//! afresh by the providers and routes of today.

mod afresh;
mod plan;

use axum::{Json, extract::State};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use uuid::Uuid;

use self::{afresh::Trouble, plan::Wanted};
use super::{
    AdminContext, Context,
    extract::{Body, Conditions, Id, Params},
    listing,
    problem::Problem,
    view::Replayed,
};
use crate::{
    delivery::JobId,
    journal::{DeliveryState, DeliverySummary, Filter, ItemState, JobState, ReplayJobs, StoreError},
};

/// How many deliveries a bulk replay looks at in one step.
const STEP: usize = 200;
/// How many of them it replays at once, so that they share the store's commits.
const AT_ONCE: usize = 32;

/// What narrows the replay of one delivery.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeliveryParams {
    route: Option<String>,
}

/// `POST /api/deliveries/{id}/replay`: of a delivery or, by an event's or a job's id, of that alone.
pub(super) async fn delivery(
    State(context): State<Context>,
    Id(id): Id,
    Params(params): Params<DeliveryParams>,
) -> Result<Json<Replayed>, Problem> {
    let record = listing::find(&context, id).await?;
    let summary = &record.summary;
    let wanted = Wanted {
        route: params.route.filter(|route| !route.is_empty()),
        event: summary.events.iter().map(|event| event.id).find(|&event| Uuid::from(event) == id),
        job: summary.jobs.iter().map(|job| job.id).find(|&job| Uuid::from(job) == id),
        ..Wanted::default()
    };
    let mut done = Replayed::default();
    let mut trouble = None;
    if afresh::is_needed(summary, &wanted) {
        match afresh::route(&context, &record, &wanted).await {
            Ok(routed) => done = routed,
            Err(why) => trouble = Some(why),
        }
    }
    done.replayed += replay_jobs(&context, summary, &wanted).await?;
    match trouble {
        // What could be done is done.
        _ if done.replayed > 0 => {
            done.deliveries = 1;
            Ok(Json(done))
        }
        Some(why) => Err(why.into()),
        // Read and routed afresh, and still wanted by nobody: that is an answer, no error.
        None if done.unrouted > 0 => Ok(Json(done)),
        None => Err(nothing_to_replay(summary, &wanted)),
    }
}

fn nothing_to_replay(summary: &DeliverySummary, wanted: &Wanted) -> Problem {
    let id = summary.id;
    if summary.state == DeliveryState::Test {
        return Problem::conflict(format!("delivery {id} is the sender's test: there is nothing to run"));
    }
    match &wanted.route {
        Some(route) if !summary.jobs.iter().any(|job| wanted.covers(job)) => {
            let mut routes: Vec<_> = summary.jobs.iter().map(|job| job.route.as_str()).collect();
            routes.sort_unstable();
            routes.dedup();
            let routes = if routes.is_empty() { "none".to_owned() } else { routes.join(", ") };
            Problem::not_found(format!("route: {id} has no job for {route:?}; it has jobs for: {routes}"))
        }
        _ if summary.jobs.is_empty() => {
            Problem::conflict(format!("delivery {id} holds no events: there is nothing to run"))
        }
        _ => Problem::conflict(format!("the jobs of {id} are queued or running, and will run anyway")),
    }
}

/// `POST /api/jobs/{id}/replay`: this job, whatever became of it.
pub(super) async fn job(State(context): State<Context>, Id(id): Id) -> Result<Json<Replayed>, Problem> {
    let job = context.store.job(JobId::from(id)).await?.ok_or_else(|| listing::no_such_job(id))?;
    match context.store.replay(job.delivery_id, ReplayJobs::One(job.id)).await? {
        0 => Err(Problem::conflict(format!("job {id} is {}, and will run anyway", job.state))
            .with("state", job.state.as_str())),
        replayed => Ok(Json(Replayed { replayed, deliveries: 1, ..Replayed::default() })),
    }
}

/// `POST /api/replay`: everything that fulfils the conditions. Of a delivery with events of several kinds, or with jobs
/// in several states, only those that fulfil them.
///
/// Goes from the newest delivery to the oldest, so what comes in meanwhile is not reached.
pub(super) async fn bulk(
    State(context): State<Context>,
    Body(conditions): Body<Conditions>,
) -> Result<Json<Replayed>, Problem> {
    let mut filter = replayable(conditions.filter()?)?;
    filter.limit = STEP;
    let mut done = Replayed::default();
    loop {
        let next = bulk_step(&context, &filter, &mut done).await.map_err(|error| {
            // What was replayed so far stays so, and whoever asked needs to know.
            Problem::from(error).with("replayed", done.replayed).with("deliveries", done.deliveries)
        })?;
        match next {
            Some(next) => filter.cursor = Some(next),
            None => return Ok(Json(done)),
        }
    }
}

fn replayable(filter: Filter) -> Result<Filter, Problem> {
    if filter == Filter::default() {
        return Err(Problem::bad_request(
            "no condition given; at least one of source, kind, state, since and q is expected, so that nobody replays \
             everything by mistake",
        ));
    }
    match filter.state {
        Some(
            ItemState::Delivery(DeliveryState::Test) | ItemState::Job(JobState::Queued | JobState::Running),
        ) => Err(Problem::bad_request(
            "state: a test has nothing to run, and queued and running jobs run anyway; expected dead, retrying, \
                 done, discarded, quarantined, unrouted or accepted",
        )),
        _ => Ok(filter),
    }
}

/// Replays one page of deliveries; returns where the next one begins.
async fn bulk_step(
    context: &AdminContext,
    filter: &Filter,
    done: &mut Replayed,
) -> Result<Option<String>, StoreError> {
    let page = context.store.deliveries(filter.clone()).await?;
    let mut steps = stream::iter(page.items)
        .map(|summary| async move { bulk_one(context, &summary, filter).await })
        .buffer_unordered(AT_ONCE);
    let mut failed = None;
    // If one fails, those under way are seen through all the same: only so is the count right.
    while let Some(step) = steps.next().await {
        match step {
            Ok(replayed) => *done = done.and(replayed),
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(page.next), Err)
}

async fn bulk_one(
    context: &AdminContext,
    summary: &DeliverySummary,
    filter: &Filter,
) -> Result<Replayed, StoreError> {
    let state = match filter.state {
        Some(ItemState::Job(state)) => Some(state),
        _ => None,
    };
    let wanted = Wanted { kind: filter.kind.clone(), state, ..Wanted::default() };
    let mut done = Replayed::default();
    if afresh::is_needed(summary, &wanted)
        && let Some(record) = context.store.delivery(summary.id).await?
    {
        match afresh::route(context, &record, &wanted).await {
            Ok(routed) => done = routed,
            Err(Trouble::Store(error)) => return Err(error),
            Err(Trouble::NoSource(_) | Trouble::Unreadable(_)) => done.unreadable = 1,
        }
    }
    let only_afresh =
        matches!(filter.state, Some(ItemState::Unrouted | ItemState::Delivery(DeliveryState::Quarantined)));
    if !only_afresh {
        done.replayed += replay_jobs(context, summary, &wanted).await?;
    }
    done.deliveries = usize::from(done.replayed > 0);
    Ok(done)
}

async fn replay_jobs(
    context: &AdminContext,
    summary: &DeliverySummary,
    wanted: &Wanted,
) -> Result<usize, StoreError> {
    let mut replayed = 0;
    for step in plan::steps(&summary.jobs, wanted) {
        replayed += context.store.replay(summary.id, step).await?;
    }
    Ok(replayed)
}
