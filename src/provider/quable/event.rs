//! Quable's notifications as types.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    clock::Timestamp,
    provider::{
        EventError, FromEvent, Kind,
        event::{each, optional, or_default},
        json::object,
        words::words,
    },
};

/// A notification. One change often brings several: a document's update cascades to its variants and links.
///
/// ```
/// use doorbell::provider::{FromEvent, quable::{Action, Code, Entity, Event}};
///
/// let data = br#"{"uuid":"0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f01","code":"document.update",
///     "created_at":"2026-01-23T09:48:17+00:00","created_by":"jane_roe",
///     "resource":{"code":"sku_blue_shirt","type":"document","document_type_code":"product",
///         "locales":{"updated":["fr_FR"],"inherited":["en_GB","fr_FR"]},
///         "updated_items":[{"type":"field","code":"color"}]}}"#;
/// let event = Event::from_event("document.update", data)?;
/// match &event.code {
///     Code { entity: Entity::Document, action: Action::Create | Action::Update } => {
///         assert_eq!(event.resource.code.as_deref(), Some("sku_blue_shirt"));
///         assert_eq!(event.updated_items[0].code.as_deref(), Some("color"));
///         assert_eq!(event.locales.inherited, ["en_GB", "fr_FR"]);
///     }
///     Code { action: Action::Finish, .. } => println!("{} is done", event.code),
///     _ => {}
/// }
/// # Ok::<(), doorbell::provider::EventError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Event {
    /// The notification's id, the same on each repetition.
    #[serde(default, deserialize_with = "optional")]
    pub uuid: Option<String>,
    /// What happened: `document.update`.
    pub code: Code,
    /// When it happened.
    #[serde(default, deserialize_with = "time")]
    pub created_at: Option<Timestamp>,
    /// Who did it.
    #[serde(default, deserialize_with = "optional")]
    pub created_by: Option<String>,
    /// Where the API has the notification; relative.
    #[serde(default, deserialize_with = "each")]
    pub links: Vec<Link>,
    /// What it happened to. Empty on `import.finish` and its like.
    #[serde(default, deserialize_with = "or_default")]
    pub resource: Resource,
    /// The languages that it touched. The vendor's table has them at the top, its example inside the resource: read
    /// from both.
    #[serde(default, deserialize_with = "or_default")]
    pub locales: Locales,
    /// Which items of the resource were updated; read from both places as well.
    #[serde(default, deserialize_with = "each")]
    pub updated_items: Vec<UpdatedItem>,
    /// The import or bulk edit that it belongs to.
    #[serde(default, deserialize_with = "or_default")]
    pub process: Option<Process>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What happened: an entity and an action, `document.update`.
pub type Code = Kind<Entity, Action>;

words! {
    /// What an event is about. The [`resource`](Event::resource) may be of a type of another name: a `media` event's is
    /// an `asset`.
    pub enum Entity {
        /// A medium: an image, a film, a file.
        Media = "media",
        /// A place in the tree of classifications.
        Classification = "classification",
        /// A document.
        Document = "document",
        /// A link between documents.
        Link = "link",
        /// A predefined value of an attribute.
        Value = "value",
        /// A variant of a document.
        Variant = "variant",
        /// A bulk edit.
        BulkEdit = "bulk_edit",
        /// An import.
        Import = "import",
        /// An export.
        Export = "export",
        /// A user.
        User = "user",
    }
}

words! {
    /// What happened to an entity.
    pub enum Action {
        /// It was created.
        Create = "create",
        /// It was changed.
        Update = "update",
        /// It was deleted.
        Delete = "delete",
        /// It is finished: a bulk edit, an import, an export.
        Finish = "finish",
    }
}

/// What something happened to.
#[derive(Debug, Clone, PartialEq, Deserialize, Default)]
#[non_exhaustive]
pub struct Resource {
    /// Its code.
    #[serde(default, deserialize_with = "optional")]
    pub code: Option<String>,
    /// Its type.
    #[serde(default, rename = "type", deserialize_with = "optional")]
    pub resource_type: Option<ResourceType>,
    /// The type of document, where it is one.
    #[serde(default, deserialize_with = "optional")]
    pub document_type_code: Option<String>,
    /// Where the API has it. For display: a URL to call is made from your own configuration.
    #[serde(default, deserialize_with = "each")]
    pub links: Vec<Link>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

words! {
    /// The type of what something happened to.
    pub enum ResourceType {
        /// A medium.
        Asset = "asset",
        /// A place in the tree of classifications.
        Classification = "classification",
        /// A document.
        Document = "document",
        /// A link between documents.
        Link = "link",
        /// A predefined value of an attribute. The vendor's page names it in words and has no example: any of its
        /// likely spellings is taken.
        PredefinedValue = "predefined_value" | "predefined value" | "value",
        /// A variant of a document.
        Variant = "variant",
    }
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Link {
    /// What it leads to: `self`.
    #[serde(default)]
    pub rel: String,
    /// The address.
    #[serde(default)]
    pub href: String,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The languages that a change touched.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[non_exhaustive]
pub struct Locales {
    /// Those in which the change was made.
    #[serde(default, deserialize_with = "each")]
    pub updated: Vec<String>,
    /// Those that inherit it.
    #[serde(default, deserialize_with = "each")]
    pub inherited: Vec<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An item that was updated.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct UpdatedItem {
    /// What kind of item.
    #[serde(default, rename = "type", deserialize_with = "optional")]
    pub item_type: Option<ItemType>,
    /// Its code.
    #[serde(default, deserialize_with = "optional")]
    pub code: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

words! {
    /// What kind of item was updated. The vendor's page gives two names for some: both are taken.
    pub enum ItemType {
        /// A medium.
        Asset = "asset" | "media",
        /// An attribute.
        Field = "field" | "attribute",
        /// A document.
        Document = "document",
        /// A link between documents.
        Link = "link",
        /// A predefined value of an attribute.
        PredefinedValue = "predefined_value" | "predefined value" | "value",
        /// A variant.
        Variant = "variant" | "sku",
    }
}

/// The import or bulk edit that an event belongs to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Process {
    /// Its type; none if no process made the change.
    #[serde(default, rename = "type", deserialize_with = "optional")]
    pub process_type: Option<ProcessType>,
    /// Its id.
    #[serde(default, deserialize_with = "optional")]
    pub id: Option<String>,
    /// What the sender's own services know it by.
    #[serde(default, rename = "correlationId", deserialize_with = "optional")]
    pub correlation_id: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

words! {
    /// What kind of process made a change.
    pub enum ProcessType {
        /// An import.
        Import = "import",
        /// A bulk edit.
        BulkEdit = "bulk_edit",
    }
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
            && let Some(inner) = inner::<Vec<Value>>(&mut event.resource, "updated_items")
        {
            event.updated_items =
                inner.iter().filter_map(|item| UpdatedItem::deserialize(item).ok()).collect();
        }
        Ok(event)
    }
}

/// Moves a member out of the resource, if it is there and as expected.
fn inner<T: DeserializeOwned>(resource: &mut Resource, name: &str) -> Option<T> {
    let value = T::deserialize(resource.extra.get(name)?).ok()?;
    resource.extra.remove(name);
    Some(value)
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = optional(deserializer)?;
    Ok(text.as_deref().and_then(Timestamp::parse_rfc3339))
}
