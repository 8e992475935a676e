//! Poster's notifications with content of your own.
//!
//! ```
//! # use serde_json::json;
//! use doorbell::{clock::Timestamp, provider::Poster, testing::{Message, poster}};
//!
//! let level = json!({"type": 2, "element_id": 512, "storage_id": 1, "value_relative": -1, "value_absolute": 23.5});
//! let changed = poster::notification("stock", "changed").object_id(512).data(level);
//! let request = changed.signed_by(&Poster::new("secret"), Timestamp::from_seconds(1_767_168_200), 1)?;
//! # Ok::<(), doorbell::testing::SignError>(())
//! ```
//!
//! Poster sends no id. Two notifications with the same content and the same `time`, which counts in seconds, are one
//! delivery.

use serde::Serialize;
use serde_json::Value;

use super::{Message, made_up, sign};
use crate::{
    clock::Timestamp,
    provider::{Provider, SignError, SignedRequest},
};

/// A notification that something (`action`: `added`, `changed`, `removed`, `closed`, …) happened to an object (`stock`,
/// `transaction`, …).
pub fn notification(object: &str, action: &str) -> Notification {
    Notification {
        account: "demo-cafe".into(),
        account_number: None,
        object: object.into(),
        object_id: None,
        action: action.into(),
        time: None,
        data: None,
        form: false,
    }
}

/// The test that the dashboard sends.
pub fn test() -> Notification {
    notification("transaction", "test").object_id("1")
}

/// A notification.
#[derive(Debug, Clone)]
#[must_use = "a notification does nothing until it is sent"]
pub struct Notification {
    account: String,
    account_number: Option<String>,
    object: String,
    object_id: Option<Value>,
    action: String,
    time: Option<Timestamp>,
    data: Option<String>,
    form: bool,
}

impl Notification {
    /// The account that it happened in. `demo-cafe` where nothing is said.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.account = account.into();
        self
    }

    /// The account's number, which is not signed. Left out where nothing is said.
    pub fn account_number(mut self, number: impl Into<String>) -> Self {
        self.account_number = Some(number.into());
        self
    }

    /// The object's primary key: a number or, as Poster also writes it, a text. Made up where nothing is said.
    pub fn object_id(mut self, id: impl Into<Value>) -> Self {
        self.object_id = Some(id.into());
        self
    }

    /// When it was sent. When it is signed, where nothing is said.
    pub fn time(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// The `data`, which Poster sends as a text with JSON in it.
    pub fn data(self, data: impl Into<Value>) -> Self {
        self.data_text(data.into().to_string())
    }

    /// The same as text, for what is no JSON.
    pub fn data_text(mut self, data: impl Into<String>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Sends it as a form rather than as JSON, as the dashboard was seen to do with its test.
    pub fn form(mut self) -> Self {
        self.form = true;
        self
    }

    fn body(&self, now: Timestamp, unique: u128) -> Body<'_> {
        Body {
            account: &self.account,
            object: &self.object,
            object_id: self.object_id.clone().unwrap_or_else(|| made_up::number(unique).into()),
            action: &self.action,
            time: self.time.unwrap_or(now).as_seconds().to_string(),
            verify: "",
            account_number: self.account_number.as_deref(),
            data: self.data.as_deref(),
        }
    }
}

/// The members in the order in which the vendor's page has them.
#[derive(Serialize)]
struct Body<'a> {
    account: &'a str,
    object: &'a str,
    object_id: Value,
    action: &'a str,
    time: String,
    verify: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_number: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

impl Body<'_> {
    fn json(&self) -> String {
        // Texts and a value that was JSON before: nothing that could fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn form(&self) -> String {
        let object_id = self.object_id.as_str().map_or_else(|| self.object_id.to_string(), str::to_owned);
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("url", "https://hooks.example.com/in/poster");
        let members = [
            ("account", Some(self.account)),
            ("object", Some(self.object)),
            ("object_id", Some(&object_id)),
            ("action", Some(self.action)),
            ("time", Some(&self.time)),
            ("account_number", self.account_number),
            ("data", self.data),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                form.append_pair(&format!("data[{name}]"), value);
            }
        }
        form.finish()
    }
}

impl Message for Notification {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        let body = self.body(now, unique);
        sign(provider, now, unique, if self.form { body.form() } else { body.json() }.into())
    }
}
