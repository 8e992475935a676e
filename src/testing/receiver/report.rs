//! What a [`TestReceiver`](super::TestReceiver) shows.

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::{
    clock::Timestamp,
    delivery::{DeliveryId, EventId, JobId},
    journal::{AttemptRecord, DeliveryState, DeliverySummary, EventRecord, JobRecord, JobState},
};

/// What a sender got, and what its request came to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// What the request came to.
    pub outcome: Outcome,
    /// The delivery that was stored; of a duplicate, the original. A request that was refused is not stored.
    pub delivery: Option<DeliveryId>,
    /// Why the request was refused or quarantined, in words. The sender is not told.
    pub reason: Option<String>,
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Its origin is proved, its events were read and routed.
    Accepted,
    /// It repeats a delivery that is stored.
    Duplicate,
    /// Its origin is proved, its body can't be read. It was answered with success.
    Quarantined,
    /// The sender's test or probe, or no delivery at all (a `GET`).
    Test,
    /// It proves nothing, or its path is wrong.
    Refused,
    /// It could not be stored.
    Failed,
}

/// A delivery that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryReport {
    /// The delivery's id.
    pub id: DeliveryId,
    /// The source that it came to.
    pub source: String,
    /// What it came to: [`Accepted`](Outcome::Accepted), [`Quarantined`](Outcome::Quarantined) or
    /// [`Test`](Outcome::Test).
    pub outcome: Outcome,
    /// When it came in.
    pub received_at: Timestamp,
    /// The sender's own id for it.
    pub sender_id: Option<String>,
    /// Why it is quarantined.
    pub reason: Option<String>,
    /// Its events, in the order in which they stand in the body.
    pub events: Vec<EventReport>,
}

/// An event of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventReport {
    /// The event's id.
    pub id: EventId,
    /// What happened: `stock.changed`.
    pub kind: String,
    /// What it happened to: `stock/512`.
    pub subject: Option<String>,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// Whether no route wants it.
    pub unrouted: bool,
}

/// A job: one event for one route.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JobReport {
    /// The job's id.
    pub id: JobId,
    /// The delivery that brought its event.
    pub delivery_id: DeliveryId,
    /// Its event.
    pub event_id: EventId,
    /// The source that its delivery came to.
    pub source: String,
    /// The event's kind: `stock.changed`.
    pub kind: String,
    /// The event's subject: `stock/512`.
    pub subject: Option<String>,
    /// The route's name: `source:pattern` unless it was [named](crate::Builder::named).
    pub route: String,
    /// What became of it so far.
    pub state: JobState,
    /// When its next attempt is due, while it waits.
    pub due_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How many times it was replayed.
    pub replays: u32,
    /// Why the last attempt failed, or why it was discarded.
    pub error: Option<String>,
    /// The attempts that are over, the oldest first, those before a replay included.
    pub attempts: Vec<AttemptReport>,
}

/// An attempt at a job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AttemptReport {
    /// Which attempt, from 1 in each replay.
    pub number: u32,
    /// In which replay; 0 before the first.
    pub replay: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended: at once, unless the handler or Tokio has moved a clock.
    pub finished_at: Timestamp,
    /// What state it left its job in: [`Done`](JobState::Done), [`Retrying`](JobState::Retrying),
    /// [`Dead`](JobState::Dead) or [`Discarded`](JobState::Discarded).
    pub state: JobState,
    /// What went wrong.
    pub error: Option<String>,
}

impl DeliveryReport {
    pub(super) fn of(delivery: &DeliverySummary) -> Self {
        Self {
            id: delivery.id,
            source: delivery.source.clone(),
            outcome: match delivery.state {
                DeliveryState::Accepted => Outcome::Accepted,
                DeliveryState::Quarantined => Outcome::Quarantined,
                DeliveryState::Test => Outcome::Test,
            },
            received_at: delivery.received_at,
            sender_id: delivery.sender_id.clone(),
            reason: delivery.reason.clone(),
            events: delivery.events.iter().map(EventReport::of).collect(),
        }
    }
}

impl EventReport {
    fn of(event: &EventRecord) -> Self {
        Self {
            id: event.id,
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            occurred_at: event.occurred_at,
            unrouted: event.unrouted,
        }
    }
}

impl JobReport {
    pub(super) fn of(job: &JobRecord, delivery: &DeliverySummary, attempts: &[AttemptRecord]) -> Self {
        let event = delivery.events.iter().find(|event| event.id == job.event_id);
        let mut attempts: Vec<_> =
            attempts.iter().filter(|attempt| attempt.job_id == job.id).map(AttemptReport::of).collect();
        attempts.sort_by_key(|attempt| (attempt.replay, attempt.number));
        Self {
            id: job.id,
            delivery_id: job.delivery_id,
            event_id: job.event_id,
            source: delivery.source.clone(),
            kind: job.kind.clone(),
            subject: event.and_then(|event| event.subject.clone()),
            route: job.route.clone(),
            state: job.state,
            due_at: job.due_at,
            finished_at: job.finished_at,
            replays: job.replays,
            error: job.error.clone(),
            attempts,
        }
    }
}

impl AttemptReport {
    fn of(attempt: &AttemptRecord) -> Self {
        Self {
            number: attempt.number,
            replay: attempt.replay,
            started_at: attempt.started_at,
            finished_at: attempt.finished_at,
            state: match attempt.outcome.as_str() {
                "done" => JobState::Done,
                "dead" => JobState::Dead,
                "discarded" => JobState::Discarded,
                // `retry`, and `crashed`, after which a job is tried again as well.
                _ => JobState::Retrying,
            },
            error: attempt.error.clone(),
        }
    }
}
