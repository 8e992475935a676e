//! How a delivery stands in the outbox: what a listing needs as JSON, headers and body as they came.

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::OutboxRow;
use crate::{
    clock::{self, Timestamp},
    delivery::{DedupeKey, DeliveryId},
    journal::{
        Dedupe, DeliveryState, DeliverySummary, JobRecord, JobState, NewContent, NewDelivery, NewEvent,
        stored::StoredEvent,
    },
};

/// All that is neither id, time, headers nor body. With events it was accepted, with a reason quarantined, with
/// neither it is a test.
#[derive(Debug, Serialize, Deserialize)]
struct Meta<'a> {
    #[serde(rename = "s", borrow)]
    source: Cow<'a, str>,
    #[serde(rename = "p", borrow)]
    provider: Cow<'a, str>,
    #[serde(rename = "i", borrow, default, skip_serializing_if = "Option::is_none")]
    sender_id: Option<Cow<'a, str>>,
    #[serde(rename = "c", borrow, default, skip_serializing_if = "Option::is_none")]
    content_type: Option<Cow<'a, str>>,
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    dedupe: Option<DedupeMeta>,
    #[serde(rename = "x", borrow, default, skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(rename = "e", borrow, default, skip_serializing_if = "Option::is_none")]
    events: Option<Vec<EventMeta<'a>>>,
}

/// How it is recognised: the key's bytes in hex, the window in milliseconds, whether an id is missing.
#[derive(Debug, Serialize, Deserialize)]
struct DedupeMeta(String, u64, bool);

/// An event and the names of its routes.
#[derive(Debug, Serialize, Deserialize)]
struct EventMeta<'a>(StoredEvent, #[serde(borrow)] Vec<Cow<'a, str>>);

impl OutboxRow {
    pub(super) fn new(new: NewDelivery) -> Self {
        let (reason, events) = match &new.content {
            NewContent::Events(events) => (None, Some(events.iter().map(EventMeta::of).collect())),
            NewContent::Quarantined { reason } => (Some(reason.into()), None),
            NewContent::Test => (None, None),
        };
        let meta = Meta {
            source: Cow::Borrowed(&new.source),
            provider: Cow::Borrowed(&new.provider),
            sender_id: new.sender_id.as_deref().map(Cow::Borrowed),
            content_type: new.content_type.as_deref().map(Cow::Borrowed),
            dedupe: new.dedupe.map(|by| {
                let window = u64::try_from(by.window.as_millis()).unwrap_or(u64::MAX);
                DedupeMeta(hex::encode(by.key.to_bytes()), window, by.key.is_fallback())
            }),
            reason,
            events,
        };
        // Strings, numbers and lists always have a JSON form.
        let meta = serde_json::to_string(&meta).unwrap_or_default();
        Self {
            id: new.id,
            received_at: new.received_at,
            give_up_at: new.give_up_at,
            meta,
            headers: new.headers,
            body: new.body,
        }
    }
}

impl<'a> EventMeta<'a> {
    fn of(new: &'a NewEvent) -> Self {
        Self(StoredEvent::of(new), new.routes.iter().map(|route| Cow::Borrowed(&**route)).collect())
    }
}

/// Names that were seen before, so that thousands of rows share one copy of each.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Arc<str>>);

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| ***known == *name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.0.push(name.clone());
        name
    }
}

/// Puts a delivery together again. The error says what in the row is not as it was written.
pub(super) fn delivery(
    id: DeliveryId,
    received_at: Timestamp,
    meta: &str,
    headers: String,
    body: Bytes,
    names: &mut Names,
) -> Result<NewDelivery, String> {
    let meta: Meta<'_> = serde_json::from_str(meta).map_err(|error| format!("its meta data: {error}"))?;
    let dedupe = meta.dedupe.map(|DedupeMeta(key, window, fallback)| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&key, &mut bytes).map_err(|error| format!("its dedupe key {key:?}: {error}"))?;
        let key = DedupeKey::from_bytes(bytes, fallback);
        Ok::<_, String>(Dedupe { key, window: Duration::from_millis(window) })
    });
    let content = match (meta.events, meta.reason) {
        (Some(events), _) => NewContent::Events(
            events
                .into_iter()
                .map(|EventMeta(event, routes)| NewEvent {
                    event: event.into_event(),
                    routes: routes.iter().map(|route| names.get(route)).collect(),
                })
                .collect(),
        ),
        (None, Some(reason)) => NewContent::Quarantined { reason: reason.into_owned() },
        (None, None) => NewContent::Test,
    };
    Ok(NewDelivery {
        id,
        source: names.get(&meta.source),
        provider: names.get(&meta.provider),
        received_at,
        sender_id: meta.sender_id.map(Cow::into_owned),
        dedupe: dedupe.transpose()?,
        content_type: meta.content_type.map(Cow::into_owned),
        headers,
        body,
        content,
        // It was acknowledged: nobody gives up any more.
        give_up_at: clock::instant() + Duration::from_secs(365 * 24 * 3600),
    })
}

/// What a listing shows of a row that waits to be moved. One that the queue `refused` shows as quarantined.
pub(super) fn summary(
    id: DeliveryId,
    received_at: Timestamp,
    meta: &str,
    size: usize,
    refused: Option<String>,
) -> Result<DeliverySummary, String> {
    let meta: Meta<'_> = serde_json::from_str(meta).map_err(|error| format!("its meta data: {error}"))?;
    let state = match (&meta.events, &meta.reason) {
        (Some(_), _) => DeliveryState::Accepted,
        (None, Some(_)) => DeliveryState::Quarantined,
        (None, None) => DeliveryState::Test,
    };
    let stored = meta.events.unwrap_or_default();
    let mut summary = DeliverySummary {
        id,
        source: meta.source.into_owned(),
        provider: meta.provider.into_owned(),
        state,
        received_at,
        sender_id: meta.sender_id.map(Cow::into_owned),
        reason: meta.reason.map(Cow::into_owned),
        size,
        events: (0..).zip(&stored).map(|(index, event)| event.0.record(id, index)).collect(),
        jobs: Vec::new(),
    };
    if let Some(why) = refused {
        summary.state = DeliveryState::Quarantined;
        summary.reason = Some(format!("the queue will not take it: {why}"));
        return Ok(summary);
    }
    summary.jobs = (0..)
        .zip(&stored)
        .flat_map(|(index, event)| event.1.iter().map(move |route| (index, event, route)))
        .map(|(index, event, route)| JobRecord {
            id: id.event(index).job(route),
            delivery_id: id,
            event_id: id.event(index),
            kind: event.0.kind.clone(),
            route: route.clone().into_owned(),
            state: JobState::Queued,
            attempts: 0,
            crashes: 0,
            replays: 0,
            due_at: Some(received_at),
            started_at: None,
            finished_at: None,
            error: None,
        })
        .collect();
    Ok(summary)
}
