//! `doorbell list`: what came in.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    client::{Api, ApiError, shaped},
    conditions::{self, Conditions},
    output::{Output, line, table},
};
use crate::{
    admin::view::DeliveriesPage,
    journal::{DeliveryState, DeliverySummary, JobState},
};

/// List deliveries, the newest first
#[derive(Debug, Clone, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) conditions: Conditions,
    /// Only what is, or has an event or a job, in this state: accepted, quarantined, test, unrouted, queued, running,
    /// retrying, done, dead, discarded
    #[arg(long, value_parser = conditions::state)]
    pub(crate) state: Option<String>,
    /// At most this many
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
}

/// Lists deliveries.
pub(crate) async fn run(args: ListArgs, api: &Api, out: Output) -> Result<ExitCode, ApiError> {
    let mut query = args.conditions.to_query();
    query.extend(args.state.map(|state| ("state", state)));
    let page = conditions::gather(api, "deliveries", &query, args.limit as usize).await?;
    out.answer(&page, text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn text(page: &Value) -> Result<String, ApiError> {
    let page: DeliveriesPage = shaped(page)?;
    if page.deliveries.is_empty() {
        return Ok("No deliveries.\n".to_owned());
    }
    let rows: Vec<_> = page
        .deliveries
        .iter()
        .map(|delivery| {
            [
                delivery.received_at.to_string(),
                delivery.id.to_string(),
                delivery.source.clone(),
                kinds(delivery),
                state(delivery),
            ]
        })
        .collect();
    let mut text = table(["RECEIVED", "ID", "SOURCE", "KIND", "STATE"], &rows);
    if page.next.is_some() {
        line(&mut text, "There are more; see --limit.");
    }
    Ok(text)
}

fn kinds(delivery: &DeliverySummary) -> String {
    match delivery.events.as_slice() {
        [] => "-".to_owned(),
        [one] => one.kind.clone(),
        [first, rest @ ..] => format!("{} +{}", first.kind, rest.len()),
    }
}

/// In what state a delivery's parts are: `done`, or `2 done, 1 dead`.
pub(super) fn state(delivery: &DeliverySummary) -> String {
    match delivery.state {
        DeliveryState::Quarantined => return "quarantined".to_owned(),
        DeliveryState::Test => return "test".to_owned(),
        DeliveryState::Accepted => {}
    }
    let unrouted = delivery.events.iter().filter(|event| event.unrouted).count();
    let of_jobs = JobState::ALL
        .into_iter()
        .map(|state| (state.as_str(), delivery.jobs.iter().filter(|job| job.state == state).count()));
    let counts: Vec<_> = of_jobs.chain([("unrouted", unrouted)]).filter(|(_, count)| *count > 0).collect();
    match counts.as_slice() {
        [] => "accepted".to_owned(),
        [(state, 1)] => (*state).to_owned(),
        several => {
            several.iter().map(|(state, count)| format!("{count} {state}")).collect::<Vec<_>>().join(", ")
        }
    }
}
