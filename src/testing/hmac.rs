//! Notifications of senders that sign with an HMAC: the presets, and every [`Scheme`](crate::provider::hmac::Scheme).
//!
//! ```
//! # use serde_json::json;
//! use doorbell::{clock::Timestamp, provider::{Hmac, Preset}, testing::{Message, hmac}};
//!
//! let opened = hmac::notification(json!({"action": "opened", "number": 7})).header("x-github-event", "pull_request");
//! let github = Hmac::preset(Preset::Github, "secret")?;
//! let request = opened.signed_by(&github, Timestamp::from_seconds(1_767_168_200), 1)?;
//! assert_eq!(request.headers["x-github-event"], "pull_request");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use super::{Message, sign, sign_under};
use crate::{
    clock::Timestamp,
    provider::{Provider, SignError, SignedRequest},
};

/// A notification with this JSON as its body.
pub fn notification(body: impl Into<Value>) -> Notification {
    raw(body.into().to_string())
}

/// A notification with this body, whatever it is.
pub fn raw(body: impl Into<Vec<u8>>) -> Notification {
    Notification { body: body.into(), id: None, signed_at: None, headers: Vec::new() }
}

/// A notification.
#[derive(Debug, Clone)]
#[must_use = "a notification does nothing until it is sent"]
pub struct Notification {
    body: Vec<u8>,
    id: Option<String>,
    signed_at: Option<Timestamp>,
    headers: Vec<(String, String)>,
}

impl Notification {
    /// The sender's id for the delivery, put where the scheme has it if that is a header. Made up where nothing is said.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// When it was signed. When it is sent, where nothing is said.
    pub fn signed_at(mut self, at: Timestamp) -> Self {
        self.signed_at = Some(at);
        self
    }

    /// Sets a header after it has been signed, in place of one that is there.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

impl Message for Notification {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        let (now, body) = (self.signed_at.unwrap_or(now), self.body.clone());
        let mut request = match &self.id {
            Some(id) => sign_under(provider, now, id, body)?,
            None => sign(provider, now, unique, body)?,
        };
        let headers: Result<HeaderMap, SignError> = self
            .headers
            .iter()
            .map(|(name, value)| {
                let name = name.parse::<HeaderName>().map_err(|_| SignError::Header)?;
                Ok((name, HeaderValue::from_str(value)?))
            })
            .collect();
        request.headers.extend(headers?);
        Ok(request)
    }
}
