//! Quable PIM: a fixed `Authorization` value, or the secret in the URL.
//!
#![doc = include_str!("quable/guide.md")]

mod event;

use std::borrow::Cow;

use http::{
    HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use serde::Deserialize;

pub use self::event::{
    Action, Code, Entity, Event, ItemType, Link, Locales, Process, ProcessType, Resource, ResourceType,
    UpdatedItem,
};
use super::{
    Parsed, ParsedEvent, Profile, Provider, Refusal, Request, Secrets, SenderId, SignError, SignedRequest,
    Slices, Unparsable,
    json::{object, or_default, text_or_nothing},
};
use crate::clock::Timestamp;

/// Quable PIM.
///
/// It signs nothing. It sends a fixed `Authorization` value where one is configured at its end; else the secret
/// stands in the URL that it was given.
///
/// ```
/// use doorbell::{clock::Timestamp, provider::{Provider, Quable, Refusal, Request, Verdict}};
/// use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
///
/// let body = br#"{"uuid":"0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f01","code":"document.update",
///     "resource":{"code":"sku_blue_shirt","type":"document"}}"#;
/// let quable = Quable::new("Bearer a-made-up-secret");
/// let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Bearer a-made-up-secret"))]);
/// let verdict = quable.verify(&Request::new(&headers, body), Timestamp::from_seconds(1_767_168_000))?;
/// let Verdict::Accept { events, .. } = verdict else { panic!("{verdict:?}") };
/// assert_eq!((events[0].kind.as_str(), events[0].subject.as_deref()), ("document.update", Some("document/sku_blue_shirt")));
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Debug, Clone)]
pub struct Quable {
    proof: Proof,
}

#[derive(Debug, Clone)]
enum Proof {
    Authorization(Secrets),
    PathSecret,
    Nothing,
}

impl Quable {
    /// Quable with the whole value of its `Authorization` header (`Bearer abc`, not `abc`), or several while it is
    /// changed. With none ([`Secrets::none`]), the same as [`path_secret_only`](Self::path_secret_only); an empty text
    /// matches nothing.
    ///
    /// A right path secret does not stand in for the header.
    pub fn new(authorization: impl Into<Secrets>) -> Self {
        let authorization = authorization.into();
        // An empty text was meant as a value: it matches nothing, and changes nothing about what is the proof.
        let proof = if authorization.is_empty() && !authorization.had_empty() {
            Proof::PathSecret
        } else {
            Proof::Authorization(authorization)
        };
        Self { proof }
    }

    /// Quable, proved by the secret in the request's path.
    pub fn path_secret_only() -> Self {
        Self { proof: Proof::PathSecret }
    }

    /// Takes whatever comes, from anybody who knows or guesses the URL, where no `Authorization` value is set.
    /// For trying out, or behind something that lets only the sender through.
    pub fn insecure(mut self) -> Self {
        if let Proof::PathSecret = self.proof {
            self.proof = Proof::Nothing;
        }
        self
    }
}

impl Provider for Quable {
    fn name(&self) -> &'static str {
        "quable"
    }

    fn authenticate(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Refusal> {
        match &self.proof {
            Proof::Authorization(secrets) => match request.headers.get(AUTHORIZATION) {
                None => Err(Refusal::MissingProof("`Authorization` header".into())),
                Some(value) if secrets.matches(value.as_bytes()) => Ok(()),
                Some(_) => Err(Refusal::WrongProof("the `Authorization` header".into())),
            },
            Proof::PathSecret if request.path_secret_matched => Ok(()),
            Proof::PathSecret => Err(Refusal::MissingProof("secret in the path".into())),
            Proof::Nothing => Ok(()),
        }
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        let notification: Notification<'_> = object(request.body)
            .map_err(|error| Unparsable::new(format!("the body can't be read: {error}")))?;
        let sender_id = notification.uuid.map(|uuid| SenderId { value: uuid.into_owned(), signed: false });
        let Some(code) = notification.code else {
            return Err(
                Unparsable::new("the body has no `code`, which names the event").with_sender_id(sender_id)
            );
        };
        let subject = match notification.resource {
            About { kind: Some(kind), code: Some(code) } => Some(format!("{kind}/{code}")),
            _ => None,
        };
        Ok(Parsed::Events {
            sender_id,
            events: vec![ParsedEvent {
                kind: code.to_lowercase(),
                subject,
                occurred_at: notification.created_at.as_deref().and_then(Timestamp::parse_rfc3339),
                data: Slices::WHOLE,
            }],
        })
    }

    fn profile(&self) -> Profile {
        Profile {
            needs_path_secret: matches!(self.proof, Proof::PathSecret),
            lacks_secret: matches!(&self.proof, Proof::Authorization(secrets) if secrets.had_empty()),
            ..Profile::default()
        }
    }

    fn known_kinds(&self) -> &[&str] {
        &[
            "media.create",
            "media.update",
            "media.delete",
            "classification.create",
            "classification.update",
            "classification.delete",
            "document.create",
            "document.update",
            "document.delete",
            "link.create",
            "link.update",
            "link.delete",
            "value.create",
            "value.update",
            "value.delete",
            "variant.create",
            "variant.update",
            "variant.delete",
            "bulk_edit.finish",
            "import.finish",
            "export.finish",
            "user.*",
        ]
    }

    fn sign_request(&self, _id: &str, _now: Timestamp, body: Vec<u8>) -> Result<SignedRequest, SignError> {
        let mut request = SignedRequest::new(body);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Proof::Authorization(secrets) = &self.proof
            && let Some(secret) = secrets.iter().next()
        {
            let mut value = HeaderValue::from_bytes(secret.expose())?;
            value.set_sensitive(true);
            request.headers.insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

#[derive(Deserialize)]
struct Notification<'a> {
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    uuid: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    created_at: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    resource: About<'a>,
}

#[derive(Deserialize, Default)]
struct About<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "text_or_nothing")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    code: Option<Cow<'a, str>>,
}
