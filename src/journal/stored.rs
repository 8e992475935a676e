//! How events stand in a store: as JSON beside their delivery's body.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{EventRecord, NewEvent},
    provider::{ParsedEvent, Slices},
};

/// An event as it is stored, in the order of the body. Short names: there is one in every delivery.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredEvent {
    #[serde(rename = "k")]
    pub(crate) kind: String,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(crate) occurred_at: Option<i64>,
    #[serde(rename = "d", default, skip_serializing_if = "Slices::is_whole")]
    pub(crate) data: Slices,
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) unrouted: bool,
}

impl StoredEvent {
    pub(crate) fn of(new: &NewEvent) -> Self {
        Self::new(new.event.clone(), new.routes.is_empty())
    }

    pub(crate) fn new(event: ParsedEvent, unrouted: bool) -> Self {
        Self {
            kind: event.kind,
            subject: event.subject,
            occurred_at: event.occurred_at.map(Timestamp::as_millis),
            data: event.data,
            unrouted,
        }
    }

    pub(crate) fn into_event(self) -> ParsedEvent {
        ParsedEvent {
            kind: self.kind,
            subject: self.subject,
            occurred_at: self.occurred_at.map(Timestamp::from_millis),
            data: self.data,
        }
    }

    pub(crate) fn record(&self, delivery: DeliveryId, index: u32) -> EventRecord {
        EventRecord {
            id: delivery.event(index),
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            occurred_at: self.occurred_at.map(Timestamp::from_millis),
            unrouted: self.unrouted,
        }
    }
}

/// Writes events as JSON.
pub(crate) fn encode(events: &[StoredEvent]) -> String {
    // Strings, numbers and lists always have a JSON form.
    serde_json::to_string(events).unwrap_or_default()
}
