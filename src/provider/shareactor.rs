//! Shareactor, now Kvass: an HMAC whose header and encoding are published nowhere, so they are settings.
//!
#![doc = include_str!("shareactor/guide.md")]

mod event;
mod extended_json;

use std::borrow::Cow;

use http::{HeaderName, HeaderValue, header::CONTENT_TYPE};
use serde::Deserialize;
use serde_json::value::RawValue;

use self::extended_json::{date, oid};
pub use self::{
    event::{Action, Author, Entity, Event, EventData, Kind},
    extended_json::{Date, ObjectId},
};
use super::{
    Encoding, KeyDecoding, KeyError, Parsed, ParsedEvent, Profile, Provider, Refusal, Request, Secrets,
    SenderId, SignError, SignedRequest, Slices, Unparsable,
    json::{object, or_default, text_or_nothing},
    signature::Algorithm,
};
use crate::clock::Timestamp;

const ALGORITHM: Algorithm = Algorithm::Sha256;

/// The vendor's list of event types, in its order: not every action is one of every entity.
const KINDS: [&str; 31] = [
    "order.created",
    "order.updated",
    "order.cancelled",
    "invoice.created",
    "invoice.updated",
    "invoice.deleted",
    "user.created",
    "user.updated",
    "user.deleted",
    "subscription.created",
    "subscription.updated",
    "subscription.deleted",
    "subscription.activated",
    "subscription.future",
    "subscription.completed",
    "subscription.non_renewing",
    "subscription.cancelled",
    "payment.created",
    "payment.updated",
    "payment.deleted",
    "payment.succeeded",
    "payment.processing",
    "payment.failed",
    "payment.captured",
    "payment.cancelled",
    "product.created",
    "product.updated",
    "product.deleted",
    "plan.created",
    "plan.updated",
    "plan.deleted",
];

/// Shareactor and Kvass.
///
/// By default an HMAC-SHA256 of the raw body, in hex or base64, with or without `sha256=` before it, in the header
/// `X-Share-Signature`. None of this is published, so a right secret in the path stands in for a signature that is
/// not there: a guessed header must not cost you every event on the first day. Once you know the header, set
/// [`require_signature`](Self::require_signature). A signature that is there and wrong is refused in any case.
///
/// ```
/// use doorbell::{Source, provider::{Encoding, Shareactor}};
///
/// // At first: a right path secret will do where there is no signature.
/// let shop = Source::new(Shareactor::new("a-made-up-secret")).path_secret("0f1e2d3c4b5a");
/// // Once you have seen how it signs.
/// let signed = Shareactor::new(["orders' secret", "invoices' secret"])
///     .header("x-kvass-signature".parse()?)
///     .encoding(Encoding::Hex)
///     .require_signature(true);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Shareactor {
    secrets: Secrets,
    keys: Secrets,
    header: HeaderName,
    encoding: Option<Encoding>,
    require_signature: bool,
}

impl Shareactor {
    /// Shareactor with the webhook's secret, or several: each of its webhooks has one of its own. With none
    /// ([`Secrets::none`]), the secret in the path is the proof and signatures are not looked at; an empty text matches
    /// nothing.
    pub fn new(secrets: impl Into<Secrets>) -> Self {
        let secrets = secrets.into();
        Self {
            keys: secrets.clone(),
            secrets,
            header: HeaderName::from_static("x-share-signature"),
            encoding: None,
            require_signature: false,
        }
    }

    /// Whether a request without a signature is refused although its path holds the secret. Default: no.
    pub fn require_signature(mut self, require: bool) -> Self {
        self.require_signature = require;
        self
    }

    /// The header that holds the signature. Default: `X-Share-Signature`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// How the signature is written. Default: hex or base64, whichever it is.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = Some(encoding);
        self
    }

    /// How the secret becomes the key. Default: its text is the key, although it looks like hex.
    ///
    /// # Errors
    /// If a secret is not written that way.
    pub fn key(mut self, decoding: KeyDecoding) -> Result<Self, KeyError> {
        self.keys = decoding.keys(&self.secrets)?;
        Ok(self)
    }

    /// Whether there is no secret because none was meant: neither given as an empty text, nor demanded.
    fn goes_by_path(&self) -> bool {
        self.secrets.is_empty() && !self.secrets.had_empty() && !self.require_signature
    }

    /// Whether this request's signature counts: [`authenticate`](Provider::authenticate) has checked it then.
    fn is_signed(&self, request: &Request<'_>) -> bool {
        !self.keys.is_empty() && request.headers.contains_key(&self.header)
    }

    fn check(&self, text: &str, body: &[u8]) -> Result<(), Refusal> {
        let text = text.strip_prefix("sha256=").unwrap_or(text);
        let encodings = self.encoding.as_ref().map_or(Encoding::ALL, std::slice::from_ref);
        let candidates: Vec<_> = encodings
            .iter()
            .filter_map(|encoding| encoding.decode(text))
            .filter(|digest| digest.len() == ALGORITHM.length())
            .collect();
        if candidates.is_empty() {
            return Err(Refusal::MalformedProof {
                field: self.described(),
                expected: match self.encoding {
                    Some(Encoding::Hex) => "64 hexadecimal digits, after an optional `sha256=`,",
                    Some(Encoding::Base64) => "32 bytes in base64, after an optional `sha256=`,",
                    None => "a SHA-256 digest in hex or base64, after an optional `sha256=`,",
                },
            });
        }
        if ALGORITHM.verify(&self.keys, &[body], &candidates) {
            Ok(())
        } else {
            Err(Refusal::WrongProof(self.described()))
        }
    }

    fn described(&self) -> Cow<'static, str> {
        format!("the `{}` header", self.header).into()
    }
}

impl Provider for Shareactor {
    fn name(&self) -> &'static str {
        "shareactor"
    }

    fn authenticate(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Refusal> {
        if self.goes_by_path() {
            return if request.path_secret_matched {
                Ok(())
            } else {
                Err(Refusal::MissingProof("secret in the path".into()))
            };
        }
        match request.headers.get(&self.header) {
            Some(value) => self.check(value.to_str().unwrap_or_default().trim(), request.body),
            // A call of `/verify` may come unsigned. It says nothing, so it claims nothing.
            None if request.body.trim_ascii().is_empty() => Ok(()),
            None if request.path_secret_matched && !self.require_signature => Ok(()),
            None => Err(Refusal::MissingProof(format!("`{}` header", self.header).into())),
        }
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        if is_probe(request.body) {
            return Ok(Parsed::Test);
        }
        let notification: Notification<'_> = object(request.body)
            .map_err(|error| Unparsable::new(format!("the body can't be read: {error}")))?;
        let signed = self.is_signed(request);
        let sender_id = notification.id.and_then(oid).map(|id| SenderId { value: id.into_owned(), signed });
        let data = notification.data;
        let Some(kind) = notification.kind.or(data.kind) else {
            return Err(
                Unparsable::new("the body has no `kind`, which names the event").with_sender_id(sender_id)
            );
        };
        let object = data.object.id.and_then(oid);
        let subject = match (data.object_type, object) {
            (Some(object_type), Some(id)) => Some(format!("{object_type}/{id}")),
            _ => None,
        };
        Ok(Parsed::Events {
            sender_id,
            events: vec![ParsedEvent {
                kind: kind.to_lowercase(),
                subject,
                occurred_at: notification.created.and_then(date),
                data: Slices::WHOLE,
            }],
        })
    }

    fn profile(&self) -> Profile {
        Profile {
            needs_path_secret: self.goes_by_path(),
            lacks_secret: self.secrets.had_empty() || self.require_signature && self.secrets.is_empty(),
            ..Profile::default()
        }
    }

    fn known_kinds(&self) -> &[&str] {
        &KINDS
    }

    fn sign_request(&self, _id: &str, _now: Timestamp, body: Vec<u8>) -> Result<SignedRequest, SignError> {
        let mut request = SignedRequest::new(body);
        if !request.body.is_empty() {
            request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(key) = self.keys.iter().next() {
            let digest = ALGORITHM.sign(key, &[&request.body]);
            let signature = self.encoding.unwrap_or_default().encode(&digest);
            request.headers.insert(self.header.clone(), HeaderValue::from_str(&signature)?);
        }
        Ok(request)
    }
}

/// Nothing, or an object with nothing in it.
fn is_probe(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    let inner = body.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}"));
    inner.unwrap_or(body).trim_ascii().is_empty()
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow, rename = "_id")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    created: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    data: About<'a>,
}

#[derive(Deserialize, Default)]
struct About<'a> {
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    object_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    object: Object<'a>,
}

#[derive(Deserialize, Default)]
struct Object<'a> {
    #[serde(borrow, rename = "_id")]
    id: Option<&'a RawValue>,
}
