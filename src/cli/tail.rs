//! `doorbell tail`: what happens now.

use std::{fmt::Write, process::ExitCode};

use clap::Args;
use serde_json::Value;

use super::{
    client::{Api, ApiError},
    output::Output,
    print::harmless,
};

/// Follow deliveries and attempts of a running service as they happen
#[derive(Debug, Clone, Args)]
pub(crate) struct TailArgs {
    /// Only deliveries, no attempts
    #[arg(long, conflicts_with = "attempts")]
    pub(crate) deliveries: bool,
    /// Only attempts, no deliveries
    #[arg(long)]
    pub(crate) attempts: bool,
}

impl TailArgs {
    fn wants(&self, event: &Value) -> bool {
        match event["type"].as_str() {
            Some("delivery") => !self.attempts,
            Some("attempt") => !self.deliveries,
            _ => true,
        }
    }
}

/// Follows until the service ends the feed.
pub(crate) async fn run(args: TailArgs, api: &Api, out: Output) -> Result<ExitCode, ApiError> {
    let mut feed = api.feed().await?;
    while let Some(event) = feed.next().await? {
        if args.wants(&event) {
            Output::print(&if out.json { format!("{event}\n") } else { line(&event) })?;
        }
    }
    eprintln!("doorbell: the service has ended the feed");
    Ok(ExitCode::SUCCESS)
}

/// One line for an event; `-` stands for what it does not hold.
pub(super) fn line(event: &Value) -> String {
    let text = |name: &str| event[name].as_str().map_or_else(|| "-".to_owned(), harmless);
    let took = |name: &str| millis(event[name].as_u64().unwrap_or_default());
    let line = match event["type"].as_str() {
        Some("delivery") => {
            let kinds: Vec<_> =
                event["kinds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let kinds = if kinds.is_empty() { "-".to_owned() } else { harmless(&kinds.join(",")) };
            format!(
                "{}  {:<11} {:<36}  {}  {kinds}  acknowledged in {}",
                text("at"),
                text("outcome"),
                text("id"),
                text("source"),
                took("ack_micros")
            )
        }
        Some("attempt") => {
            let mut line = format!(
                "{}  {:<11} {:<36}  {}  attempt {} took {}",
                text("at"),
                text("outcome"),
                text("id"),
                text("route"),
                event["number"],
                took("took_micros")
            );
            if event["error"].is_string() {
                // Writing to a string can't fail.
                let _ = write!(line, ": {}", text("error"));
            }
            line
        }
        Some("missed") => format!("({} more came too fast to be shown)", event["items"]),
        _ => harmless(&event.to_string()),
    };
    line + "\n"
}

/// Microseconds as `1.234 ms`, in whole numbers throughout.
fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}
