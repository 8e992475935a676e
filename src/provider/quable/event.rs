//! Quable's notifications as types.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{
    clock::Timestamp,
    provider::{
        EventError, FromEvent,
        event::{id, optional_id},
        json::{object, or_default},
    },
};

/// A notification. One change often brings several: a document's update cascades to its variants and links.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The notification's id, the same on each repetition.
    #[serde(default, deserialize_with = "optional_id")]
    pub uuid: Option<String>,
    /// What happened: `document.update`. Its first word and `resource.type` may differ (`media` and `asset`).
    #[serde(deserialize_with = "id")]
    pub code: String,
    /// When it happened.
    #[serde(default, deserialize_with = "time")]
    pub created_at: Option<Timestamp>,
    /// Who did it.
    #[serde(default, deserialize_with = "optional_id")]
    pub created_by: Option<String>,
    /// Where the API has the notification; relative.
    #[serde(default, deserialize_with = "or_default")]
    pub links: Vec<Link>,
    /// What it happened to. Empty on `import.finish` and its like.
    #[serde(default, deserialize_with = "or_default")]
    pub resource: Resource,
    /// The languages that it touched. The vendor's table has them at the top, its example inside the resource: read
    /// from both.
    #[serde(default, deserialize_with = "or_default")]
    pub locales: Locales,
    /// Which items of the resource were updated; read from both places as well.
    #[serde(default, deserialize_with = "or_default")]
    pub updated_items: Vec<UpdatedItem>,
    /// The import or bulk edit that it belongs to.
    #[serde(default, deserialize_with = "or_default")]
    pub process: Option<Process>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What something happened to.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[non_exhaustive]
pub struct Resource {
    /// Its code.
    #[serde(default, deserialize_with = "optional_id")]
    pub code: Option<String>,
    /// Its type: `document`, `asset`, `variant`.
    #[serde(default, rename = "type", deserialize_with = "optional_id")]
    pub resource_type: Option<String>,
    /// The type of document, where it is one.
    #[serde(default, deserialize_with = "optional_id")]
    pub document_type_code: Option<String>,
    /// Where the API has it. For display: a URL to call is made from your own configuration.
    #[serde(default, deserialize_with = "or_default")]
    pub links: Vec<Link>,
    /// Members that this version does not know, and those that stand in [`Event`]: `locales`, `updated_items`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Link {
    /// What it leads to: `self`.
    #[serde(default)]
    pub rel: String,
    /// The address.
    #[serde(default)]
    pub href: String,
}

/// The languages that a change touched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, Default)]
#[non_exhaustive]
pub struct Locales {
    /// Those in which the change was made.
    #[serde(default)]
    pub updated: Vec<String>,
    /// Those that inherit it.
    #[serde(default)]
    pub inherited: Vec<String>,
}

/// An item that was updated.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct UpdatedItem {
    /// What kind of item: `field`.
    #[serde(default, rename = "type", deserialize_with = "optional_id")]
    pub item_type: Option<String>,
    /// Its code.
    #[serde(default, deserialize_with = "optional_id")]
    pub code: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The import or bulk edit that an event belongs to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Process {
    /// Its kind: `import`, `bulk_edit`.
    #[serde(default, rename = "type", deserialize_with = "optional_id")]
    pub process_type: Option<String>,
    /// Its id.
    #[serde(default, deserialize_with = "optional_id")]
    pub id: Option<String>,
    /// What the sender's own services know it by.
    #[serde(default, rename = "correlationId", deserialize_with = "optional_id")]
    pub correlation_id: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl FromEvent for Event {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        let mut event: Self =
            object(data).map_err(|error| EventError::new(kind, "a notification of Quable's", error))?;
        if event.locales == Locales::default()
            && let Some(inner) = inner(&mut event.resource, "locales")
        {
            event.locales = inner;
        }
        if event.updated_items.is_empty()
            && let Some(inner) = inner(&mut event.resource, "updated_items")
        {
            event.updated_items = inner;
        }
        Ok(event)
    }
}

/// Moves a member out of the resource, if it is there and as expected.
fn inner<T: for<'de> Deserialize<'de>>(resource: &mut Resource, name: &str) -> Option<T> {
    // By way of text, because ids are read from the literals there.
    let value = serde_json::from_str(&resource.extra.get(name)?.to_string()).ok()?;
    resource.extra.remove(name);
    Some(value)
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(optional_id(deserializer)?.as_deref().and_then(Timestamp::parse_rfc3339))
}
