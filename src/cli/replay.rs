//! `doorbell replay`: do it again.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    client::{Api, ApiError, shaped},
    conditions::{self, Conditions},
    output::{Output, line},
};
use crate::admin::view::Replayed;

/// Queue jobs again, by id or by condition
///
/// Of a delivery: its jobs that are not done, or all if all are done. What was quarantined or wanted by no route is read
/// and routed afresh.
#[derive(Debug, Clone, Args)]
pub(crate) struct ReplayArgs {
    /// Ids of deliveries, events or jobs
    #[arg(required_unless_present_any = ["Conditions", "state"], conflicts_with_all = ["Conditions", "state"])]
    pub(crate) ids: Vec<Uuid>,
    /// Only jobs of this route
    #[arg(long, value_name = "NAME", requires = "ids")]
    pub(crate) route: Option<String>,
    #[command(flatten)]
    pub(crate) conditions: Conditions,
    /// Only what is in this state: dead, retrying, done, discarded, quarantined, unrouted, accepted
    #[arg(long, value_parser = conditions::state)]
    pub(crate) state: Option<String>,
}

/// Replays.
pub(crate) async fn run(args: ReplayArgs, api: &Api, out: Output) -> Result<ExitCode, ApiError> {
    if args.ids.is_empty() {
        let answer = by_condition(api, &args.conditions, args.state).await?;
        out.answer(&answer, text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let query: Vec<_> = args.route.map(|route| ("route", route)).into_iter().collect();
    let mut done = Tally::default();
    for id in args.ids {
        done.add(id, api.post(&format!("/api/deliveries/{id}/replay"), &query, None).await)?;
    }
    done.print(out)
}

/// Replays everything that fulfils the conditions.
pub(super) async fn by_condition(
    api: &Api,
    conditions: &Conditions,
    state: Option<String>,
) -> Result<Value, ApiError> {
    let conditions = conditions.to_query().into_iter().chain(state.map(|state| ("state", state)));
    let body: Map<_, _> = conditions.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    api.post("/api/replay", &[], Some(&Value::Object(body))).await
}

/// What several replays did together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    done: Replayed,
    /// What could not be replayed, and why.
    failed: Vec<(Uuid, String)>,
}

impl Tally {
    /// Counts one; an error that does not concern this one alone ends the command.
    pub(super) fn add(&mut self, id: Uuid, answer: Result<Value, ApiError>) -> Result<(), ApiError> {
        match answer {
            Ok(answer) => self.done = self.done.and(shaped(&answer)?),
            Err(error) if error.is_of_this_request() => self.failed.push((id, error.to_string())),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Prints all of it. The command fails if any could not be replayed.
    pub(super) fn print(self, out: Output) -> Result<ExitCode, ApiError> {
        let mut answer = json!(self.done);
        if !self.failed.is_empty() {
            answer["failed"] =
                self.failed.iter().map(|(id, detail)| json!({ "id": id, "detail": detail })).collect();
        }
        out.answer(&answer, text)?;
        for (_, detail) in &self.failed {
            eprintln!("doorbell: {detail}");
        }
        Ok(ExitCode::from(u8::from(!self.failed.is_empty())))
    }
}

pub(super) fn text(answer: &Value) -> Result<String, ApiError> {
    let done: Replayed = shaped(answer)?;
    let mut text = format!(
        "Replayed {} of {}.\n",
        counted(done.replayed, "job", "jobs"),
        counted(done.deliveries, "delivery", "deliveries")
    );
    if done.unrouted > 0 {
        let events = counted(done.unrouted, "event", "events");
        line(&mut text, format_args!("No route wants {events}."));
    }
    if done.unreadable > 0 {
        let deliveries = counted(done.unreadable, "delivery", "deliveries");
        line(
            &mut text,
            format_args!("{deliveries} can't be read or routed; replay one by its id to see why."),
        );
    }
    Ok(text)
}

pub(super) fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}
