//! A delivery in the form in which it waits in the outbox and stands in Redis: read and checked once, when it comes, and
//! from then on moved as it is.
//!
//! In front of the body stands a *head*: `<state> <unrouted> <received_at> <length of meta> <length of headers>\n`, then
//! the meta data (JSON), the headers (JSON).

use std::{borrow::Cow, io::Write, sync::Arc, time::Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    Dedupe, DeliveryState, DeliverySummary, JobRecord, JobState, NewContent, NewDelivery, NewEvent,
    StoreError, stored::StoredEvent,
};
use crate::{clock::Timestamp, delivery::DeliveryId};

/// A delivery, and what has to be known of it where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Sealed {
    pub(crate) id: DeliveryId,
    pub(crate) source: Arc<str>,
    pub(crate) received_at: Timestamp,
    pub(crate) state: DeliveryState,
    /// How many of its events no route wants.
    pub(crate) unrouted: u32,
    pub(crate) dedupe: Option<Dedupe>,
    /// The number of an event and a route that wants it, for each job.
    pub(crate) jobs: Vec<(u32, Arc<str>)>,
    pub(crate) head: Vec<u8>,
    pub(crate) body: Bytes,
    /// As [`NewDelivery::give_up_at`].
    pub(crate) give_up_at: Instant,
}

impl From<NewDelivery> for Sealed {
    fn from(new: NewDelivery) -> Self {
        let (state, reason, events) = match new.content {
            NewContent::Events(events) => (DeliveryState::Accepted, None, events),
            NewContent::Quarantined { reason } => {
                (DeliveryState::Quarantined, Some(reason.into()), Vec::new())
            }
            NewContent::Test => (DeliveryState::Test, None, Vec::new()),
        };
        let jobs = (0..)
            .zip(&events)
            .flat_map(|(index, event)| event.routes.iter().map(move |route| (index, route.clone())))
            .collect();
        let meta = Meta {
            source: (&*new.source).into(),
            provider: (&*new.provider).into(),
            sender_id: new.sender_id.as_deref().map(Cow::from),
            content_type: new.content_type.as_deref().map(Cow::from),
            reason,
            size: new.body.len(),
            events: events.into_iter().map(RoutedEvent::from).collect(),
        };
        Self {
            id: new.id,
            received_at: new.received_at,
            state,
            unrouted: meta.unrouted(),
            dedupe: new.dedupe,
            jobs,
            head: write_head(state, new.received_at, &meta, &new.headers),
            give_up_at: new.give_up_at,
            source: new.source,
            body: new.body,
        }
    }
}

/// What is not the request's own bytes. Short names: there is one in every delivery.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Meta<'a> {
    #[serde(rename = "s", borrow)]
    pub(crate) source: Cow<'a, str>,
    #[serde(rename = "p", borrow)]
    pub(crate) provider: Cow<'a, str>,
    #[serde(rename = "i", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) sender_id: Option<Cow<'a, str>>,
    #[serde(rename = "c", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<Cow<'a, str>>,
    /// Why it is quarantined.
    #[serde(rename = "x", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Cow<'a, str>>,
    /// The body's size in bytes: listings don't fetch the body.
    #[serde(rename = "z")]
    pub(crate) size: usize,
    #[serde(rename = "e", default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<RoutedEvent>,
}

/// An event, and the routes that it has jobs for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RoutedEvent {
    #[serde(flatten)]
    pub(crate) event: StoredEvent,
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) routes: Vec<Arc<str>>,
}

impl From<NewEvent> for RoutedEvent {
    fn from(new: NewEvent) -> Self {
        Self { event: StoredEvent::new(new.event, new.routes.is_empty()), routes: new.routes }
    }
}

impl Meta<'_> {
    fn unrouted(&self) -> u32 {
        let unrouted = self.events.iter().filter(|event| event.event.unrouted).count();
        u32::try_from(unrouted).unwrap_or(u32::MAX)
    }
}

/// The number of an event and a route, for each job.
pub(crate) fn routes(events: &[RoutedEvent]) -> impl Iterator<Item = (u32, &str)> {
    let numbered = (0..).zip(events);
    numbered.flat_map(|(index, event)| event.routes.iter().map(move |route| (index, &**route)))
}

/// A job that nobody has touched yet.
pub(crate) fn new_job(of: &DeliverySummary, event: u32, route: &str) -> JobRecord {
    let event_id = of.id.event(event);
    let kind = usize::try_from(event).ok().and_then(|at| of.events.get(at));
    JobRecord {
        id: event_id.job(route),
        delivery_id: of.id,
        event_id,
        kind: kind.map(|event| event.kind.clone()).unwrap_or_default(),
        route: route.to_owned(),
        state: JobState::Queued,
        attempts: 0,
        crashes: 0,
        replays: 0,
        due_at: Some(of.received_at),
        started_at: None,
        finished_at: None,
        error: None,
    }
}

/// A head, cut into its parts. The body may follow.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) state: DeliveryState,
    /// How many of its events no route wants.
    pub(crate) unrouted: u32,
    pub(crate) received_at: Timestamp,
    /// JSON: a [`Meta`].
    pub(crate) meta: &'a str,
    /// A JSON array of pairs; empty if the text ends before it.
    pub(crate) headers: &'a str,
    /// Where the body begins.
    pub(crate) body_at: usize,
}

impl<'a> Parts<'a> {
    /// Cuts a head up. It may end behind its meta data, if no more is asked for.
    pub(crate) fn of(value: &'a [u8]) -> Result<Self, Unreadable> {
        Self::cut(value).ok_or_else(|| Unreadable("a stored delivery can't be read".into()))
    }

    fn cut(value: &'a [u8]) -> Option<Self> {
        let end = value.iter().position(|byte| *byte == b'\n')?;
        let mut fields = std::str::from_utf8(&value[..end]).ok()?.split(' ');
        let state = match fields.next()? {
            "0" => DeliveryState::Accepted,
            "1" => DeliveryState::Quarantined,
            "2" => DeliveryState::Test,
            _ => return None,
        };
        let unrouted = fields.next()?.parse().ok()?;
        let received_at = Timestamp::from_millis(fields.next()?.parse().ok()?);
        let (meta, headers): (usize, usize) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let meta_end = (end + 1).checked_add(meta)?;
        let body_at = meta_end.checked_add(headers)?;
        Some(Self {
            state,
            unrouted,
            received_at,
            meta: std::str::from_utf8(value.get(end + 1..meta_end)?).ok()?,
            headers: std::str::from_utf8(value.get(meta_end..body_at).unwrap_or_default()).ok()?,
            body_at,
        })
    }

    /// What a listing shows of the delivery, without its jobs, and its events.
    pub(crate) fn summary(&self, id: DeliveryId) -> Result<(DeliverySummary, Vec<RoutedEvent>), Unreadable> {
        let meta = self.read_meta()?;
        let summary = DeliverySummary {
            id,
            source: meta.source.into_owned(),
            provider: meta.provider.into_owned(),
            state: self.state,
            received_at: self.received_at,
            sender_id: meta.sender_id.map(Into::into),
            reason: meta.reason.map(Into::into),
            size: meta.size,
            events: (0..).zip(&meta.events).map(|(index, event)| event.event.record(id, index)).collect(),
            jobs: Vec::new(),
        };
        Ok((summary, meta.events))
    }

    /// The meta data, read.
    pub(crate) fn read_meta(&self) -> Result<Meta<'a>, Unreadable> {
        serde_json::from_str(self.meta)
            .map_err(|error| Unreadable(format!("a stored delivery's meta data can't be read: {error}")))
    }
}

/// Why a stored delivery can't be read: it is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

/// What follows a head: the body. It may be missing.
pub(crate) fn body_of(value: Vec<u8>, body_at: usize) -> Bytes {
    let mut bytes = Bytes::from(value);
    bytes.split_off(body_at.min(bytes.len()))
}

impl From<Unreadable> for StoreError {
    fn from(error: Unreadable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Puts a head together.
pub(crate) fn write_head(
    state: DeliveryState,
    received_at: Timestamp,
    meta: &Meta<'_>,
    headers: &str,
) -> Vec<u8> {
    let unrouted = meta.unrouted();
    let mut json = Vec::with_capacity(512);
    // Strings, numbers and lists always have a JSON form, and writing to memory can't fail.
    let _ = serde_json::to_writer(&mut json, meta);
    let mut head = Vec::with_capacity(64 + json.len() + headers.len());
    let (state, received_at) = (state as u8, received_at.as_millis());
    let _ = writeln!(head, "{state} {unrouted} {received_at} {} {}", json.len(), headers.len());
    head.extend(json);
    head.extend(headers.as_bytes());
    head
}

#[cfg(test)]
impl Sealed {
    /// A test delivery with this head, whatever it says, and a body of so many bytes.
    pub(crate) fn test(id: DeliveryId, head: &[u8], body: usize) -> Self {
        Self {
            id,
            source: "shop".into(),
            received_at: Timestamp::from_millis(0),
            state: DeliveryState::Test,
            unrouted: 0,
            dedupe: None,
            jobs: Vec::new(),
            head: head.to_vec(),
            body: vec![b'b'; body].into(),
            give_up_at: crate::clock::instant(),
        }
    }

    /// What was sealed.
    pub(crate) fn open(self) -> NewDelivery {
        let parts = Parts::of(&self.head).unwrap();
        let meta = parts.read_meta().unwrap();
        let events = meta.events.iter().map(|routed| super::NewEvent {
            event: routed.event.clone().into_event(),
            routes: routed.routes.clone(),
        });
        NewDelivery {
            id: self.id,
            source: self.source,
            provider: (&*meta.provider).into(),
            received_at: self.received_at,
            sender_id: meta.sender_id.as_deref().map(Into::into),
            dedupe: self.dedupe,
            content_type: meta.content_type.as_deref().map(Into::into),
            headers: parts.headers.to_owned(),
            content: match (self.state, &meta.reason) {
                (DeliveryState::Test, _) => NewContent::Test,
                (_, Some(reason)) => NewContent::Quarantined { reason: reason.clone().into_owned() },
                (_, None) => NewContent::Events(events.collect()),
            },
            body: self.body,
            give_up_at: self.give_up_at,
        }
    }
}
