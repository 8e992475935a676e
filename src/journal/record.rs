//! What the store shows of what it holds.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    delivery::{DeliveryId, EventId, JobId},
};

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DeliveryState {
    /// Its events were read and routed.
    Accepted,
    /// Its origin is proved, its body could not be read.
    Quarantined,
    /// The sender's test or probe.
    Test,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum JobState {
    /// Waiting for its first attempt.
    Queued,
    /// An attempt is under way.
    Running,
    /// An attempt failed; the next is due later.
    Retrying,
    /// Handled.
    Done,
    /// Given up after its last attempt: a dead letter.
    Dead,
    /// Given up on purpose.
    Discarded,
}

impl JobState {
    /// Every state, in the order of a job's life.
    pub(crate) const ALL: [Self; 6] =
        [Self::Queued, Self::Running, Self::Retrying, Self::Done, Self::Dead, Self::Discarded];

    /// The state's name: `queued`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A state of anything in a delivery: of the delivery itself, one of its events, or one of its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemState {
    /// The delivery is in this state.
    Delivery(DeliveryState),
    /// An event that no route wants.
    Unrouted,
    /// A job is in this state.
    Job(JobState),
}

impl std::str::FromStr for ItemState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "accepted" => Self::Delivery(DeliveryState::Accepted),
            "quarantined" => Self::Delivery(DeliveryState::Quarantined),
            "test" => Self::Delivery(DeliveryState::Test),
            "unrouted" => Self::Unrouted,
            other => Self::Job(JobState::ALL.into_iter().find(|state| state.as_str() == other).ok_or_else(|| {
                format!(
                    "{other:?} is no state; expected accepted, quarantined, test, unrouted, queued, running, \
                     retrying, done, dead or discarded"
                )
            })?),
        })
    }
}

/// Which deliveries or jobs to list. Every condition that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Has anything in this state.
    pub(crate) state: Option<ItemState>,
    /// Of this source.
    pub(crate) source: Option<String>,
    /// Has an event whose kind fits this pattern.
    pub(crate) kind: Option<crate::route::Pattern>,
    /// Holds this text in an id, a subject or the body.
    pub(crate) text: Option<String>,
    /// Received at or after this time.
    pub(crate) since: Option<Timestamp>,
    /// Goes on where the page ended that gave out this cursor.
    pub(crate) cursor: Option<String>,
    /// At most this many; 0 stands for 50.
    pub(crate) limit: usize,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Page<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Where the next page begins; `None` if there is none. A page may hold fewer items than asked for, even none, and
    /// still have a next one: a listing looks at a bounded number of deliveries at a time.
    pub(crate) next: Option<String>,
}

/// A delivery in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliverySummary {
    /// The delivery's id.
    pub(crate) id: DeliveryId,
    /// The configured sender.
    pub(crate) source: String,
    /// The kind of sender.
    pub(crate) provider: String,
    /// What became of it.
    pub(crate) state: DeliveryState,
    /// When it came in.
    pub(crate) received_at: Timestamp,
    /// The sender's own id for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sender_id: Option<String>,
    /// Why it is quarantined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// How large its body is, in bytes.
    pub(crate) size: usize,
    /// Its events.
    pub(crate) events: Vec<EventRecord>,
    /// Its jobs.
    pub(crate) jobs: Vec<JobRecord>,
}

/// All of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryRecord {
    /// What a listing shows.
    pub(crate) summary: DeliverySummary,
    /// The headers that were kept, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body, to the byte as it came.
    pub(crate) body: Bytes,
    /// The attempts at its jobs, the oldest first.
    pub(crate) attempts: Vec<AttemptRecord>,
}

/// An event of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventRecord {
    /// The event's id.
    pub(crate) id: EventId,
    /// What happened.
    pub(crate) kind: String,
    /// What it happened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// When it happened, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) occurred_at: Option<Timestamp>,
    /// Whether no route wants it.
    pub(crate) unrouted: bool,
}

/// A job: one event for one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    /// The job's id.
    pub(crate) id: JobId,
    /// The delivery that brought its event.
    pub(crate) delivery_id: DeliveryId,
    /// Its event.
    pub(crate) event_id: EventId,
    /// The event's kind.
    pub(crate) kind: String,
    /// The route.
    pub(crate) route: String,
    /// What became of it.
    pub(crate) state: JobState,
    /// How many attempts were begun since it was queued or last replayed.
    pub(crate) attempts: u32,
    /// How many times a process died while it ran.
    pub(crate) crashes: u32,
    /// How many times it was replayed.
    pub(crate) replays: u32,
    /// When its next attempt is due, while it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due_at: Option<Timestamp>,
    /// When its last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished_at: Option<Timestamp>,
    /// Why the last attempt failed, or why it was discarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// One attempt at a job that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AttemptRecord {
    /// The job.
    pub(crate) job_id: JobId,
    /// The route.
    pub(crate) route: String,
    /// Which attempt, from 1 in each replay.
    pub(crate) number: u32,
    /// In which replay; 0 before the first.
    pub(crate) replay: u32,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// When it ended.
    pub(crate) finished_at: Timestamp,
    /// `done`, `retry`, `dead`, `discarded`, `crashed`.
    pub(crate) outcome: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// The store's counters. Jobs are counted by the state they are in now; the rest since the store was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stats {
    /// Deliveries whose events were read and routed: neither quarantined ones nor tests.
    pub(crate) accepted: u64,
    /// Deliveries recognised as repeated.
    pub(crate) duplicate: u64,
    /// Deliveries quarantined.
    pub(crate) quarantined: u64,
    /// Deliveries that reused a sender's id: with another body, or signed where it was not or the other way round.
    pub(crate) id_reused: u64,
    /// Events that no route wanted.
    pub(crate) unrouted: u64,
    /// Jobs by state, in the order of [`JobState::ALL`].
    pub(crate) jobs: [u64; 6],
}

impl Stats {
    /// How many jobs are in this state.
    pub(crate) fn jobs_in(&self, state: JobState) -> u64 {
        self.jobs[state as usize]
    }
}
