//! What happens to a delivery, step by step: a line of text or of JSON for each.

use std::{fmt, time::Duration};

use serde::Serialize;
use uuid::Uuid;

use crate::{
    cli::{ApiError, output::Output, print::harmless},
    clock::Timestamp,
};

/// Prints steps as they happen.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) json: bool,
    /// Which delivery the steps are of, from 1.
    pub(super) number: u32,
}

/// Something that happened to a delivery.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(super) enum Step<'a> {
    /// The request went out.
    Sent { to: &'a str, bytes: usize, attempt: usize, of: usize },
    /// Its origin was proved.
    Verified { outcome: &'a str, kinds: Vec<String> },
    /// Its origin was not proved, or it was turned away before that.
    Refused { reason: String, detail: String },
    /// Whether it was there before.
    Deduped {
        duplicate: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        original: Option<Uuid>,
    },
    /// It is on disk.
    Durable { delivery: Uuid },
    /// The vendor has what it takes for success.
    Acknowledged { status: u16, ms: Millis, deadline_ms: Millis },
    /// The vendor has not.
    NotAcknowledged {
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<u16>,
        ms: Millis,
        why: String,
    },
    /// The vendor tries again.
    Waiting { seconds: f64, really_seconds: f64, attempt: usize, of: usize },
    /// The vendor does not.
    GivenUp { why: &'a str },
    /// A handler has done its work.
    Handled { route: &'a str, attempt: u64, ms: Millis },
    /// A handler failed and is tried again.
    Retrying {
        route: &'a str,
        attempt: u64,
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        due_at: Option<Timestamp>,
    },
    /// A handler failed for good, or its job was discarded.
    NotHandled { route: &'a str, attempt: u64, outcome: &'a str, error: &'a str },
    /// A job's end was not waited for any longer.
    Unsettled { route: &'a str, state: &'static str },
    /// An event that no route wants.
    Unrouted { kind: &'a str },
    /// It is kept aside, because it can't be read.
    Quarantined { reason: &'a str },
    /// The vendor's test: nothing is to be handled.
    Test,
    /// What happens inside the receiver can't be seen.
    Unwatched { why: String },
    /// What came of all of them.
    Summary { sent: u32, acknowledged: u32, handled: u32 },
}

/// A time in milliseconds, to the microsecond.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(transparent)]
pub(super) struct Millis(f64);

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self((duration.as_secs_f64() * 1e6).round() / 1e3)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            whole if whole >= 100.0 => write!(f, "{whole:.0} ms"),
            small if small >= 1.0 => write!(f, "{small:.1} ms"),
            tiny => write!(f, "{tiny:.2} ms"),
        }
    }
}

impl Timeline {
    /// Prints a step.
    pub(super) fn step(&self, step: &Step<'_>) -> Result<(), ApiError> {
        if self.json {
            #[derive(Serialize)]
            struct Numbered<'a> {
                number: u32,
                #[serde(flatten)]
                step: &'a Step<'a>,
            }
            let line = serde_json::to_string(&Numbered { number: self.number, step })
                .map_err(|error| ApiError::Output(error.into()))?;
            return Output::print(&(line + "\n"));
        }
        Output::print(&format!("{:<14} {}\n", step.name(), harmless(&step.to_string())))
    }

    /// Sets deliveries apart, for people.
    pub(super) fn gap(&self) -> Result<(), ApiError> {
        if self.json { Ok(()) } else { Output::print("\n") }
    }
}

impl Step<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Verified { .. } => "verified",
            Self::Refused { .. } => "refused",
            Self::Deduped { .. } => "deduped",
            Self::Durable { .. } => "durable",
            Self::Acknowledged { .. } => "acknowledged",
            Self::NotAcknowledged { .. } => "failed",
            Self::Waiting { .. } => "waiting",
            Self::GivenUp { .. } => "given up",
            Self::Handled { .. } => "handled",
            Self::Retrying { .. } => "retrying",
            Self::NotHandled { .. } | Self::Unsettled { .. } => "not handled",
            Self::Unrouted { .. } => "unrouted",
            Self::Quarantined { .. } => "quarantined",
            Self::Test => "test",
            Self::Unwatched { .. } => "unwatched",
            Self::Summary { .. } => "summary",
        }
    }
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent { to, bytes, attempt, of } => {
                write!(f, "{bytes} bytes to {to}")?;
                if *attempt > 1 { write!(f, " (try {attempt} of {of})") } else { Ok(()) }
            }
            Self::Verified { kinds, .. } if kinds.is_empty() => f.write_str("its origin is proved"),
            Self::Verified { kinds, .. } => write!(f, "its origin is proved: {}", kinds.join(", ")),
            Self::Refused { reason, detail } => write!(f, "{reason}: {detail}"),
            Self::Deduped { original: Some(original), .. } => write!(f, "duplicate of {original}"),
            Self::Deduped { .. } => f.write_str("new"),
            Self::Durable { delivery } => write!(f, "on disk as {delivery}"),
            Self::Acknowledged { status, ms, deadline_ms } => {
                write!(f, "{status} in {ms} (the sender waits {deadline_ms})")
            }
            Self::NotAcknowledged { status: Some(status), ms, why } => write!(f, "{status} in {ms}: {why}"),
            Self::NotAcknowledged { status: None, ms, why } => write!(f, "after {ms}: {why}"),
            Self::Waiting { seconds, attempt, of, .. } if *seconds == 0.0 => {
                write!(f, "not at all: try {attempt} of {of} follows at once")
            }
            Self::Waiting { seconds, really_seconds, attempt, of } => {
                write!(f, "{} until try {attempt} of {of}", span(*seconds))?;
                if really_seconds < seconds {
                    write!(f, ", shortened to {}", span(*really_seconds))
                } else if *seconds > 1.0 {
                    f.write_str("; --fast shortens it, --no-retry leaves it out")
                } else {
                    Ok(())
                }
            }
            Self::GivenUp { why } => f.write_str(why),
            Self::Handled { route, attempt, ms } => write!(f, "by route {route} in {ms} (attempt {attempt})"),
            Self::Retrying { route, attempt, error, due_at } => {
                write!(f, "route {route} failed (attempt {attempt}): {error}")?;
                if let Some(due) = due_at { write!(f, "; next attempt at {due}") } else { Ok(()) }
            }
            Self::NotHandled { route, attempt, outcome, error } => {
                write!(f, "route {route} ended as {outcome} (attempt {attempt}): {error}")
            }
            Self::Unsettled { route, state } => {
                write!(f, "the job of route {route} is {state}; --timeout waits longer, --no-wait not at all")
            }
            Self::Unrouted { kind } => write!(f, "no route wants {kind}"),
            Self::Quarantined { reason } => write!(f, "kept aside: {reason}"),
            Self::Test => f.write_str("recorded; nothing to handle"),
            Self::Unwatched { why } => write!(f, "what happens inside can't be seen: {why}"),
            Self::Summary { sent, acknowledged, handled } => {
                write!(f, "{sent} sent, {acknowledged} acknowledged, {handled} handled")
            }
        }
    }
}

fn span(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds)
        .map_or_else(|_| format!("{seconds} s"), |span| humantime::format_duration(span).to_string())
}
