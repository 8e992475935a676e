//! How events stand in their delivery's row.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{EventRecord, NewEvent},
    provider::{ParsedEvent, Slices},
};

/// An event as it is stored, in the order of the body. Short names: there is one in every row.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredEvent {
    #[serde(rename = "k")]
    pub(super) kind: String,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(super) occurred_at: Option<i64>,
    #[serde(rename = "d", default, skip_serializing_if = "Slices::is_whole")]
    pub(super) data: Slices,
    #[serde(rename = "u", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unrouted: bool,
}

impl StoredEvent {
    pub(super) fn of(new: &NewEvent) -> Self {
        Self {
            kind: new.event.kind.clone(),
            subject: new.event.subject.clone(),
            occurred_at: new.event.occurred_at.map(Timestamp::as_millis),
            data: new.event.data.clone(),
            unrouted: new.routes.is_empty(),
        }
    }

    pub(super) fn into_event(self) -> ParsedEvent {
        ParsedEvent {
            kind: self.kind,
            subject: self.subject,
            occurred_at: self.occurred_at.map(Timestamp::from_millis),
            data: self.data,
        }
    }

    pub(super) fn record(&self, delivery: DeliveryId, index: u32) -> EventRecord {
        EventRecord {
            id: delivery.event(index),
            kind: self.kind.clone(),
            subject: self.subject.clone(),
            occurred_at: self.occurred_at.map(Timestamp::from_millis),
            unrouted: self.unrouted,
        }
    }
}

/// Writes events as a row's JSON.
pub(super) fn encode(events: &[StoredEvent]) -> String {
    // Strings, numbers and lists always have a JSON form.
    serde_json::to_string(events).unwrap_or_default()
}

/// Reads a row's JSON.
pub(super) fn decode(json: &str) -> rusqlite::Result<Vec<StoredEvent>> {
    serde_json::from_str(json).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, error.into())
    })
}

/// A sequence number as `SQLite` keeps it.
pub(super) fn to_sql(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

/// A sequence number as `SQLite` kept it.
pub(super) fn from_sql(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}
