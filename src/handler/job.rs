use std::{fmt, sync::Arc};

use bytes::Bytes;

use crate::{
    clock::Timestamp,
    delivery::{DeliveryId, EventId, JobId},
};

/// One attempt at one event for one route: all that a handler gets to know.
///
/// Prints how many bytes of data there are, not the data: a job may go into any log, and what a sender says of people not.
///
/// ```
/// use std::{collections::HashSet, sync::{Arc, Mutex}};
///
/// use doorbell::{Event, HandlerError, Job, State, delivery::JobId};
/// use serde_json::Value;
///
/// /// In the place of a table whose primary key is the job's id.
/// type Booked = Arc<Mutex<HashSet<JobId>>>;
///
/// async fn book(sale: Event<Value>, job: Job, booked: State<Booked>) -> Result<(), HandlerError> {
///     // In one transaction with what the handler changes, so that a job that runs twice takes effect once.
///     if booked.lock().unwrap().insert(job.id) {
///         println!("{} at {}: {}", job.kind, job.occurred_at.unwrap_or(job.received_at), *sale);
///     }
///     Ok(())
/// }
/// # let builder = doorbell::Receiver::builder().on("cafe", "transaction.*", book).with_state(Booked::default());
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Job {
    /// Stable over retries and replays: what to be idempotent by.
    pub id: JobId,
    /// The route that the event matched.
    pub route: Arc<str>,
    /// The event.
    pub event_id: EventId,
    /// The delivery that brought the event.
    pub delivery_id: DeliveryId,
    /// The configured sender.
    pub source: Arc<str>,
    /// The kind of sender.
    pub provider: Arc<str>,
    /// What happened: `stock.changed`.
    pub kind: String,
    /// What it happened to: `stock/512`.
    pub subject: Option<String>,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// When the delivery came in.
    pub received_at: Timestamp,
    /// The event's data in the vendor's own shape, to the byte as it came.
    pub data: Bytes,
    /// The content type that the delivery came with.
    pub content_type: Option<String>,
    /// Which attempt this is.
    pub attempt: Attempt,
}

/// The delivery that brought a job's event: one HTTP request of a sender, which may hold several events.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// What `doorbell show` and the admin API call it.
    pub id: DeliveryId,
    /// The configured sender.
    pub source: Arc<str>,
    /// The kind of sender.
    pub provider: Arc<str>,
    /// When it came in.
    pub received_at: Timestamp,
    /// The content type that it came with.
    pub content_type: Option<String>,
}

impl Job {
    /// The delivery that brought the event.
    pub fn delivery(&self) -> Delivery {
        Delivery {
            id: self.delivery_id,
            source: self.source.clone(),
            provider: self.provider.clone(),
            received_at: self.received_at,
            content_type: self.content_type.clone(),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            route,
            event_id,
            delivery_id,
            source,
            provider,
            kind,
            subject,
            occurred_at,
            received_at,
            data,
            content_type,
            attempt,
        } = self;
        f.debug_struct("Job")
            .field("id", id)
            .field("route", route)
            .field("event_id", event_id)
            .field("delivery_id", delivery_id)
            .field("source", source)
            .field("provider", provider)
            .field("kind", kind)
            .field("subject", subject)
            .field("occurred_at", occurred_at)
            .field("received_at", received_at)
            .field("data", &format_args!("{} bytes", data.len()))
            .field("content_type", content_type)
            .field("attempt", attempt)
            .finish()
    }
}

/// Which attempt at a job this is.
///
/// ```
/// use doorbell::{Attempt, HandlerError, Raw};
///
/// async fn import(Raw(data): Raw, attempt: Attempt) -> Result<(), HandlerError> {
///     let imported = try_to(&data).await;
///     if imported.is_err() && attempt.is_last() {
///         eprintln!("given up after {} attempts", attempt.number);
///     }
///     Ok(imported?)
/// }
/// # async fn try_to(_: &[u8]) -> std::io::Result<()> { Ok(()) }
/// # let builder = doorbell::Receiver::builder::<()>().on("*", "*", import);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// From 1; counted before the handler starts, so an attempt that took its process down counts.
    pub number: u32,
    /// How many attempts the job gets by its route's schedule, in which those that ended in a crash do not count.
    pub max: u32,
    /// How many times the job has been replayed.
    pub replay: u32,
    /// How many times a process died while it ran this job.
    pub crashes: u32,
}

impl Attempt {
    /// Whether no other attempt follows if this one fails with an error, a panic or by its time limit. If its process
    /// dies, one may.
    pub fn is_last(&self) -> bool {
        self.counted() >= self.max
    }

    /// Which attempt of the schedule's this is, from 1: those that ended in a crash are not counted.
    pub(crate) fn counted(&self) -> u32 {
        self.number.saturating_sub(self.crashes).max(1)
    }
}

#[cfg(test)]
impl Job {
    /// A first attempt at a job with every field set, for the tests of what takes jobs.
    pub(crate) fn sample() -> Self {
        let delivery_id = DeliveryId::from(uuid::Uuid::from_u128(0x019b_6eee_6eed_7000_8000_0000_0000_0001));
        let event_id = delivery_id.event(0);
        Self {
            id: event_id.job("stock-to-erp"),
            route: "stock-to-erp".into(),
            event_id,
            delivery_id,
            source: "cafe".into(),
            provider: "poster".into(),
            kind: "stock.changed".into(),
            subject: Some("stock/512".into()),
            occurred_at: Some(Timestamp::from_seconds(1_767_168_199)),
            received_at: Timestamp::from_millis(1_767_168_200_045),
            data: Bytes::from_static(br#"{"object":"stock","object_id":512}"#),
            content_type: Some("application/json".into()),
            attempt: Attempt { number: 1, max: 23, replay: 0, crashes: 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_in_a_log_says_which_it_is_and_not_what_is_in_it() {
        let job = Job::sample();
        let printed = format!("{job:?} {job:#?}");
        for part in [&job.id.to_string(), "stock-to-erp", "stock/512", "34 bytes", "number: 1"] {
            assert!(printed.contains(part), "{part}: {printed}");
        }
        assert!(!printed.contains("object_id"), "{printed}");
    }

    #[test]
    fn crashes_bring_the_last_attempt_no_closer() {
        for (number, crashes, last) in
            [(1, 0, false), (2, 0, true), (2, 1, false), (3, 1, true), (3, 2, false), (1, 1, false)]
        {
            let attempt = Attempt { number, max: 2, replay: 0, crashes };
            assert_eq!(attempt.is_last(), last, "{attempt:?}");
        }
    }
}
