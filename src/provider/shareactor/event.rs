//! Shareactor's notifications as types.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, value::RawValue};

use super::{date, oid};
use crate::{
    clock::Timestamp,
    provider::{
        EventError, FromEvent,
        event::optional_id,
        json::{object, or_default},
    },
};

/// A notification. Its shape is inferred from the vendor's API for events: everything in it may be missing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The event's id.
    #[serde(default, rename = "_id", deserialize_with = "object_id")]
    pub id: Option<String>,
    /// What happened: `order.created`.
    #[serde(default, deserialize_with = "optional_id")]
    pub kind: Option<String>,
    /// When it happened.
    #[serde(default, deserialize_with = "time")]
    pub created: Option<Timestamp>,
    /// The id of the company that it happened in.
    #[serde(default, deserialize_with = "object_id")]
    pub company: Option<String>,
    /// What it happened to.
    #[serde(default, deserialize_with = "or_default")]
    pub data: EventData,
    /// Who did it.
    #[serde(default)]
    pub author: Value,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What something happened to.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
pub struct EventData {
    /// The object's type: `order`.
    #[serde(default, deserialize_with = "optional_id")]
    pub object_type: Option<String>,
    /// The event's kind once more.
    #[serde(default, deserialize_with = "optional_id")]
    pub kind: Option<String>,
    /// The object as it is now. Its amounts are JSON numbers: where binary floating point will not do, read the
    /// event's bytes with a type of your own and [`Decimal`](crate::provider::Decimal)s in it.
    #[serde(default)]
    pub object: Value,
    /// The object as it was before, on updates.
    #[serde(default)]
    pub previous_data: Value,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl EventData {
    /// The object's id.
    pub fn object_id(&self) -> Option<&str> {
        let id = self.object.get("_id")?;
        id.get("$oid").unwrap_or(id).as_str()
    }
}

impl FromEvent for Event {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        object(data).map_err(|error| EventError::new(kind, "a notification of Shareactor's", error))
    }
}

fn object_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(oid(<&RawValue>::deserialize(deserializer)?).map(Into::into))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(date(<&RawValue>::deserialize(deserializer)?))
}
