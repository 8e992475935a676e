//! How calls prove who makes them, and how that stays out of sight.

use http::{HeaderMap, HeaderName, HeaderValue, header::AUTHORIZATION};

use super::ClientError;
use crate::provider::Secret;

/// How a client proves who calls.
#[derive(Debug, Default)]
pub(super) struct Proof {
    headers: HeaderMap,
    parameter: Option<(&'static str, Secret)>,
    /// Cut out of whatever the vendor says: it may repeat what it was sent.
    secrets: Vec<Secret>,
}

impl Proof {
    /// By a header: `prefix`, then the secret.
    pub(super) fn header(
        mut self,
        name: HeaderName,
        prefix: &str,
        secret: &Secret,
    ) -> Result<Self, ClientError> {
        let text = [prefix.as_bytes(), secret.expose()].concat();
        let mut value = HeaderValue::from_bytes(&text)
            .ok()
            .filter(|_| !secret.expose().is_empty())
            .ok_or_else(Self::unusable)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self.secrets.push(secret.clone());
        Ok(self)
    }

    /// By `Authorization: Bearer`.
    pub(super) fn bearer(self, token: &Secret) -> Result<Self, ClientError> {
        self.header(AUTHORIZATION, "Bearer ", token)
    }

    /// By a parameter of the query.
    pub(super) fn parameter(mut self, name: &'static str, secret: Secret) -> Result<Self, ClientError> {
        if secret.expose().is_empty() || std::str::from_utf8(secret.expose()).is_err() {
            return Err(Self::unusable());
        }
        let encoded: String = form_urlencoded::byte_serialize(secret.expose()).collect();
        self.secrets.extend([secret.clone(), encoded.into()]);
        self.parameter = Some((name, secret));
        Ok(self)
    }

    /// Also to be cut out, although it is not sent as it stands.
    pub(super) fn hide(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    /// The parameter of the query, if there is one.
    pub(super) fn pair(&self) -> Option<(&'static str, &str)> {
        let (name, secret) = self.parameter.as_ref()?;
        Some((name, std::str::from_utf8(secret.expose()).ok()?))
    }

    fn unusable() -> ClientError {
        ClientError::Unusable {
            field: "the secret",
            value: "[REDACTED]".to_owned(),
            expected: "printable text, not empty and without line breaks",
        }
    }

    /// A text of the vendor's without what is secret.
    pub(super) fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| match std::str::from_utf8(secret.expose()) {
            Ok(secret) if !secret.is_empty() => text.replace(secret, "[REDACTED]"),
            _ => text,
        })
    }
}
