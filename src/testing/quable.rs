//! Quable's notifications with content of your own.
//!
//! ```
//! use doorbell::{clock::Timestamp, provider::Quable, testing::{Message, quable}};
//!
//! let renamed = quable::notification("document.update")
//!     .resource("document", "sku_blue_shirt")
//!     .updated_item("field", "name");
//! let request = renamed.signed_by(&Quable::new("Bearer abc"), Timestamp::from_seconds(1_767_168_200), 1)?;
//! # Ok::<(), doorbell::testing::SignError>(())
//! ```

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Message, made_up, sign};
use crate::{
    clock::Timestamp,
    provider::{Provider, SignError, SignedRequest},
};

/// A notification with this event code: `document.update`, `media.create`, `import.finish`, …
pub fn notification(code: &str) -> Notification {
    Notification {
        code: code.into(),
        uuid: None,
        created_at: None,
        created_by: "jane_roe".into(),
        resource: None,
        document_type: "product".into(),
        locales: (vec!["fr_FR".into()], vec!["en_GB".into(), "fr_FR".into()]),
        updated_items: Vec::new(),
        extra: Map::new(),
    }
}

/// A notification.
#[derive(Debug, Clone)]
#[must_use = "a notification does nothing until it is sent"]
pub struct Notification {
    code: String,
    uuid: Option<String>,
    created_at: Option<Timestamp>,
    created_by: String,
    resource: Option<(String, String)>,
    document_type: String,
    /// Updated and inherited.
    locales: (Vec<String>, Vec<String>),
    updated_items: Vec<Item>,
    extra: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize)]
struct Item {
    #[serde(rename = "type")]
    item_type: String,
    code: String,
}

impl Notification {
    /// What it is about: a resource's type (`document`, `asset`, `variant`, …) and code. Empty where nothing is said, as
    /// when an import has finished.
    pub fn resource(mut self, resource_type: impl Into<String>, code: impl Into<String>) -> Self {
        self.resource = Some((resource_type.into(), code.into()));
        self
    }

    /// The type of document, where the resource is one. `product` where nothing is said.
    pub fn document_type(mut self, code: impl Into<String>) -> Self {
        self.document_type = code.into();
        self
    }

    /// In which languages the change was made, and which inherit it.
    pub fn locales<L: Into<String>>(
        mut self,
        updated: impl IntoIterator<Item = L>,
        inherited: impl IntoIterator<Item = L>,
    ) -> Self {
        self.locales =
            (updated.into_iter().map(Into::into).collect(), inherited.into_iter().map(Into::into).collect());
        self
    }

    /// Adds an item that was updated: its type (`field`) and code.
    pub fn updated_item(mut self, item_type: impl Into<String>, code: impl Into<String>) -> Self {
        self.updated_items.push(Item { item_type: item_type.into(), code: code.into() });
        self
    }

    /// The event's id, the same on each of its repetitions. Made up where nothing is said.
    pub fn uuid(mut self, uuid: impl Into<String>) -> Self {
        self.uuid = Some(uuid.into());
        self
    }

    /// When it happened. When it is sent, where nothing is said.
    pub fn created_at(mut self, at: Timestamp) -> Self {
        self.created_at = Some(at);
        self
    }

    /// Who did it.
    pub fn created_by(mut self, user: impl Into<String>) -> Self {
        self.created_by = user.into();
        self
    }

    /// Adds a member for which there is no method here, such as `process`.
    pub fn set(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(member.into(), value.into());
        self
    }
}

/// The members in the order of the vendor's page.
#[derive(Serialize)]
struct Body<'a> {
    uuid: &'a str,
    code: &'a str,
    links: Value,
    created_at: String,
    created_by: &'a str,
    resource: Resource<'a>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Default, Serialize)]
#[serde(default)]
struct Resource<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document_type_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Value::is_null")]
    links: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    locales: Option<Locales<'a>>,
    #[serde(skip_serializing_if = "<[Item]>::is_empty")]
    updated_items: &'a [Item],
}

#[derive(Serialize)]
struct Locales<'a> {
    updated: &'a [String],
    inherited: &'a [String],
}

impl Message for Notification {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        let made_up = made_up::uuid(unique);
        let uuid = self.uuid.as_deref().unwrap_or(&made_up);
        let link = |href: String| json!([{"rel": "self", "href": href}]);
        let resource = self.resource.as_ref().map(|(resource_type, code)| Resource {
            code: Some(code),
            kind: Some(resource_type),
            document_type_code: (resource_type == "document").then_some(self.document_type.as_str()),
            links: link(format!("https://demo.quable.com/api/{resource_type}s/{code}")),
            locales: Some(Locales { updated: &self.locales.0, inherited: &self.locales.1 }),
            updated_items: &self.updated_items,
        });
        let created_at = Timestamp::from_seconds(self.created_at.unwrap_or(now).as_seconds());
        let body = Body {
            uuid,
            code: &self.code,
            links: link(format!("/events/{uuid}")),
            created_at: created_at.to_string().replace(".000Z", "+00:00"),
            created_by: &self.created_by,
            resource: resource.unwrap_or_default(),
            extra: &self.extra,
        };
        // Texts in structs: nothing that could fail.
        sign(provider, now, unique, serde_json::to_vec(&body).unwrap_or_default())
    }
}
