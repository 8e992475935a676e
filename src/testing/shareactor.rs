//! Shareactor's and Kvass' notifications with content of your own. Their shape is inferred from the vendor's API for
//! events.
//!
//! ```
//! # use serde_json::json;
//! use doorbell::{clock::Timestamp, provider::Shareactor, testing::{Message, shareactor}};
//!
//! let issued = shareactor::notification("invoice.created").object(json!({"human_id": "7KQ2ZD", "total_amount": 349.0}));
//! let request = issued.signed_by(&Shareactor::new("secret"), Timestamp::from_seconds(1_767_168_200), 1)?;
//! # Ok::<(), doorbell::testing::SignError>(())
//! ```

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Message, made_up::object_id, sign};
use crate::{
    clock::Timestamp,
    provider::{Provider, SignError, SignedRequest},
};

/// A notification of this kind: `order.created`, `payment.succeeded`, …
pub fn notification(kind: &str) -> Notification {
    Notification {
        kind: kind.into(),
        id: None,
        created: None,
        company: "57ee9c71d76d431f8511ffff".into(),
        object_type: kind.split('.').next().unwrap_or_default().into(),
        object: None,
        previous_data: None,
        extra: Map::new(),
    }
}

/// A notification.
#[derive(Debug, Clone)]
#[must_use = "a notification does nothing until it is sent"]
pub struct Notification {
    kind: String,
    id: Option<String>,
    created: Option<Timestamp>,
    company: String,
    object_type: String,
    object: Option<Value>,
    previous_data: Option<Value>,
    extra: Map<String, Value>,
}

impl Notification {
    /// The object as it is now, its `_id` included. Only an `_id` where nothing is said.
    pub fn object(mut self, object: impl Into<Value>) -> Self {
        self.object = Some(object.into());
        self
    }

    /// The object as it was before, on updates.
    pub fn previous_data(mut self, object: impl Into<Value>) -> Self {
        self.previous_data = Some(object.into());
        self
    }

    /// The object's type. What stands before the dot in the kind, where nothing is said.
    pub fn object_type(mut self, object_type: impl Into<String>) -> Self {
        self.object_type = object_type.into();
        self
    }

    /// The event's id, the same on each of its repetitions: 24 hexadecimal digits. Made up where nothing is said.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// When it happened. When it is sent, where nothing is said.
    pub fn created(mut self, at: Timestamp) -> Self {
        self.created = Some(at);
        self
    }

    /// The id of the company that it happened in.
    pub fn company(mut self, id: impl Into<String>) -> Self {
        self.company = id.into();
        self
    }

    /// Adds a member for which there is no method here, such as `author`.
    pub fn set(mut self, member: impl Into<String>, value: impl Into<Value>) -> Self {
        self.extra.insert(member.into(), value.into());
        self
    }
}

/// The members in the order of the vendor's page on events.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "_id")]
    id: Value,
    kind: &'a str,
    created: Value,
    company: Value,
    data: Data<'a>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Data<'a> {
    object_type: &'a str,
    kind: &'a str,
    object: Value,
    #[serde(rename = "previous_data", skip_serializing_if = "Option::is_none")]
    previous: Option<&'a Value>,
}

impl Message for Notification {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        let oid = |id: &str| json!({"$oid": id});
        let body = Body {
            id: oid(self.id.as_deref().unwrap_or(&object_id(unique))),
            kind: &self.kind,
            created: json!({"$date": self.created.unwrap_or(now).as_millis()}),
            company: oid(&self.company),
            data: Data {
                object_type: &self.object_type,
                kind: &self.kind,
                object: self.object.clone().unwrap_or_else(|| json!({"_id": oid(&object_id(!unique))})),
                previous: self.previous_data.as_ref(),
            },
            extra: &self.extra,
        };
        // Texts in structs: nothing that could fail.
        sign(provider, now, unique, serde_json::to_vec(&body).unwrap_or_default())
    }
}
