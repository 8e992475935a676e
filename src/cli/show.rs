//! `doorbell show`: all of one delivery.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;
use uuid::Uuid;

use super::{
    client::{Api, ApiError, shaped},
    list,
    output::{Output, indented, line, readable, table},
    print::harmless,
};
use crate::{admin::view::DeliveryView, clock::Timestamp};

/// Show a delivery with its events, jobs, attempts, headers and body
#[derive(Debug, Clone, Args)]
pub(crate) struct ShowArgs {
    /// The id of the delivery, or of an event or a job of it
    pub(crate) id: Uuid,
}

/// Shows one delivery.
pub(crate) async fn run(args: ShowArgs, api: &Api, out: Output) -> Result<ExitCode, ApiError> {
    let delivery = api.get(&format!("/api/deliveries/{}", args.id), &[]).await?;
    out.answer(&delivery, text)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn text(delivery: &Value) -> Result<String, ApiError> {
    let delivery: DeliveryView = shaped(delivery)?;
    let mut text = facts(&delivery);
    let mut section = |title: &str, content: String| {
        if !content.is_empty() {
            line(&mut text, format_args!("\n{title}"));
            text.push_str(&content);
        }
    };
    section("Events", events(&delivery));
    section("Jobs", jobs(&delivery));
    section("Attempts", attempts(&delivery));
    let headers = delivery
        .headers
        .iter()
        .fold(String::new(), |lines, (name, value)| lines + name + ": " + value + "\n");
    section("Headers", indented(&headers));
    let note = match (&delivery.body_base64, delivery.masked) {
        (Some(_), _) => ", not UTF-8; --json has it in Base64",
        (None, true) => ", secrets masked",
        (None, false) => "",
    };
    section(&format!("Body ({} bytes{note})", delivery.summary.size), indented(&readable(&delivery.body)));
    Ok(text)
}

fn facts(delivery: &DeliveryView) -> String {
    let summary = &delivery.summary;
    let mut text = String::new();
    for (name, value) in [
        ("Delivery", Some(summary.id.to_string())),
        ("Source", Some(format!("{} ({})", summary.source, summary.provider))),
        ("Received", Some(summary.received_at.to_string())),
        ("Sender's id", summary.sender_id.clone()),
        ("State", Some(list::state(summary))),
        ("Reason", summary.reason.clone()),
    ] {
        if let Some(value) = value {
            line(&mut text, format_args!("{name:<12} {}", harmless(&value)));
        }
    }
    text
}

fn events(delivery: &DeliveryView) -> String {
    let rows: Vec<_> = delivery
        .summary
        .events
        .iter()
        .map(|event| {
            [
                event.id.to_string(),
                event.kind.clone(),
                event.subject.clone().unwrap_or_else(none),
                time(event.occurred_at),
                if event.unrouted { "no route wants it".to_owned() } else { String::new() },
            ]
        })
        .collect();
    inset(["ID", "KIND", "SUBJECT", "OCCURRED", ""], &rows)
}

fn jobs(delivery: &DeliveryView) -> String {
    let rows: Vec<_> = delivery
        .summary
        .jobs
        .iter()
        .map(|job| {
            let when = match (job.due_at, job.finished_at) {
                (Some(due), _) => format!("due {due}"),
                (None, Some(finished)) => finished.to_string(),
                (None, None) => time(job.started_at),
            };
            [
                job.id.to_string(),
                job.route.clone(),
                job.kind.clone(),
                job.state.to_string(),
                job.attempts.to_string(),
                job.crashes.to_string(),
                job.replays.to_string(),
                when,
                job.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    inset(["ID", "ROUTE", "KIND", "STATE", "ATTEMPTS", "CRASHES", "REPLAYS", "WHEN", "ERROR"], &rows)
}

fn attempts(delivery: &DeliveryView) -> String {
    let rows: Vec<_> = delivery
        .attempts
        .iter()
        .map(|attempt| {
            [
                attempt.started_at.to_string(),
                format!("{:?}", attempt.finished_at.since(attempt.started_at)),
                attempt.route.clone(),
                match attempt.replay {
                    0 => attempt.number.to_string(),
                    replay => format!("{} of replay {replay}", attempt.number),
                },
                attempt.outcome.clone(),
                attempt.error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    inset(["STARTED", "TOOK", "ROUTE", "ATTEMPT", "OUTCOME", "ERROR"], &rows)
}

fn inset<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    if rows.is_empty() { String::new() } else { indented(&table(titles, rows)) }
}

fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(none, |at| at.to_string())
}

fn none() -> String {
    "-".to_owned()
}
