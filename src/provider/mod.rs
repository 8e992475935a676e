//! Step 2, and the core that stands alone: prove where a request came from and read what it says.
//!
//! Everything here is pure: a [`Request`] and the time go in, a [`Verdict`] or a [`Refusal`] comes out. No I/O, no
//! clock, no state. A [`Provider`] answers two questions, kept apart on purpose:
//!
//! 1. [`authenticate`](Provider::authenticate): does the sender own the secret? If not, the request is refused.
//! 2. [`parse`](Provider::parse): what events does the body hold? If it can't be read although its origin is
//!    proved, the delivery is kept aside (quarantined) and still answered with success: an error would make the
//!    sender disable the webhook or drop the event.

mod event;
pub mod hmac;
mod json;
pub mod kladana;
mod mask;
pub(crate) mod named;
pub mod poster;
pub mod quable;
mod request;
mod secret;
pub mod shareactor;
mod signature;
mod signed;
pub(crate) mod words;

use std::{borrow::Cow, fmt, ops::Range, time::Duration};

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use serde::{Deserialize, Serialize};

pub use self::{
    event::{Decimal, EventError, FromEvent, Kind},
    hmac::{Hmac, Preset, SchemeError},
    kladana::Kladana,
    mask::Mask,
    named::SettingError,
    poster::Poster,
    quable::Quable,
    request::{Request, RequestLine},
    secret::{Secret, Secrets},
    shareactor::Shareactor,
    signature::{Algorithm, Encoding, KeyDecoding, KeyError},
    signed::{SignError, SignedRequest},
};
use crate::clock::Timestamp;

/// A kind of sender: how it signs, what it sends, what reply it needs.
///
/// Implement it for a sender that Doorbell does not know; the four vendors and the generic HMAC family in this
/// module are implementations like any other.
///
/// ```
/// use doorbell::{
///     clock::Timestamp,
///     provider::{Parsed, ParsedEvent, Provider, Refusal, Request, Secrets, SenderId, Unparsable, Verdict},
/// };
/// use http::{HeaderMap, HeaderValue};
///
/// /// Sends a fixed token in a header, and one event in a body.
/// #[derive(Debug)] // `Secrets` prints `[REDACTED]`
/// struct Courier {
///     tokens: Secrets,
/// }
///
/// impl Provider for Courier {
///     fn name(&self) -> &str {
///         "courier"
///     }
///
///     fn authenticate(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Refusal> {
///         let token = request.headers.get("courier-token");
///         let token = token.ok_or(Refusal::MissingProof("`Courier-Token` header".into()))?;
///         // In constant time, against each that is valid.
///         if self.tokens.matches(token.as_bytes()) {
///             Ok(())
///         } else {
///             Err(Refusal::WrongProof("the `Courier-Token` header".into()))
///         }
///     }
///
///     fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
///         let body: serde_json::Value = serde_json::from_slice(request.body)
///             .map_err(|error| Unparsable::new(format!("the body is no JSON: {error}")))?;
///         let text = |key: &str| body[key].as_str().map(str::to_owned);
///         let kind = text("type").ok_or_else(|| Unparsable::new("the body has no `type`"))?;
///         Ok(Parsed::Events {
///             // The same on each of its retries. No signature covers the body.
///             sender_id: text("id").map(|value| SenderId { value, signed: false }),
///             events: vec![ParsedEvent {
///                 subject: text("parcel").map(|number| format!("parcel/{number}")),
///                 occurred_at: text("at").and_then(|at| Timestamp::parse_rfc3339(&at)),
///                 ..ParsedEvent::new(kind.to_lowercase())
///             }],
///         })
///     }
/// }
///
/// let courier = Courier { tokens: "a-made-up-token".into() };
/// let body = br#"{"id":"7","type":"Parcel.Sent","parcel":"4711","at":"2026-01-23T09:48:17Z"}"#;
/// let mut headers = HeaderMap::new();
/// let now = Timestamp::from_seconds(1_769_161_700);
///
/// headers.insert("courier-token", HeaderValue::from_static("a-made-up-token"));
/// let verdict = courier.verify(&Request::new(&headers, body), now)?;
/// let Verdict::Accept { events, .. } = verdict else { panic!("{verdict:?}") };
/// assert_eq!((events[0].kind.as_str(), events[0].subject.as_deref()), ("parcel.sent", Some("parcel/4711")));
///
/// headers.insert("courier-token", HeaderValue::from_static("another"));
/// assert!(matches!(courier.verify(&Request::new(&headers, body), now), Err(Refusal::WrongProof(_))));
/// # Ok::<(), Refusal>(())
/// ```
///
/// The repository's `examples/custom_provider.rs` has one that signs, and sends several events in one request.
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// The provider's name, in lower case: `poster`. It begins an event's `CloudEvents` type: `poster.stock.changed`.
    fn name(&self) -> &str;

    /// Checks that the request comes from someone who owns the secret. `now` is for signatures with a time in them.
    ///
    /// # Errors
    /// The reason why nothing is proved. The sender is told only that it failed, never what was expected.
    fn authenticate(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Refusal>;

    /// Reads the events of a request whose origin is proved.
    ///
    /// # Errors
    /// What could not be read. The delivery is then quarantined: kept, answered with success, shown to the operator.
    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable>;

    /// What this provider's sender expects of a receiver.
    fn profile(&self) -> Profile {
        Profile::default()
    }

    /// The kinds this provider is documented to send, as patterns (`stock.changed`, `product.*`): an operator's
    /// pattern that can match none of them is a likely typing error. Where all of them are in lower case, so is every
    /// kind, also what a `*` stands for. Empty: anything may come.
    fn known_kinds(&self) -> &[&str] {
        &[]
    }

    /// Both questions at once: all that is needed where a queue is there already. `Verified` is the same as an axum
    /// extractor.
    ///
    /// ```
    /// use doorbell::{clock::Timestamp, provider::{Hmac, Preset, Provider, Request, Verdict}, testing::Sample};
    /// # use http::StatusCode;
    ///
    /// /// What to answer the sender.
    /// fn receive(github: &impl Provider, request: &Request<'_>, now: Timestamp) -> StatusCode {
    ///     match github.verify(request, now) {
    ///         Ok(Verdict::Accept { sender_id, events }) => {
    ///             for event in events {
    ///                 println!("{} in the delivery {sender_id:?}", event.kind);
    ///             }
    ///             github.profile().success.status
    ///         }
    ///         // A test, or a body that can't be read and is to be kept aside: an error would not mend it.
    ///         Ok(_) => github.profile().success.status,
    ///         Err(_) => StatusCode::UNAUTHORIZED,
    ///     }
    /// }
    ///
    /// let github = Hmac::preset(Preset::Github, "a-made-up-secret")?;
    /// let now = Timestamp::from_seconds(1_767_168_200);
    /// let sent = Sample::Github.request(Some(&"a-made-up-secret".into()), now, 1)?;
    /// assert_eq!(receive(&github, &sent.as_request(), now), StatusCode::OK);
    /// let forged = Request::new(&sent.headers, b"{}");
    /// assert_eq!(receive(&github, &forged, now), StatusCode::UNAUTHORIZED);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// The reason why the origin is not proved.
    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Verdict, Refusal> {
        self.authenticate(request, now)?;
        Ok(self.parse(request).into())
    }

    /// The request by which this provider's sender would deliver a body, with the headers that it sets and a proof that
    /// [`authenticate`](Self::authenticate) takes: for [tests](crate::testing), and to try a receiver out. `id` is the
    /// sender's own id for the delivery, where that stands outside the body.
    ///
    /// # Errors
    /// If there is no secret to sign with, or the body has no place for the signature;
    /// [`SignError::Unsupported`] where a provider does not implement this.
    fn sign_request(&self, id: &str, now: Timestamp, body: Vec<u8>) -> Result<SignedRequest, SignError> {
        let _ = (id, now, body);
        Err(SignError::Unsupported(self.name().to_owned()))
    }

    /// The same for a sender that signs its URL: sent to this path, `/in/calls`, percent-encoded. Whatever query the
    /// request is given is added to it. To be implemented instead of [`sign_request`](Self::sign_request), which is what it
    /// does where nothing else is said.
    ///
    /// # Errors
    /// As [`sign_request`](Self::sign_request).
    fn sign_request_to(
        &self,
        path: &str,
        id: &str,
        now: Timestamp,
        body: Vec<u8>,
    ) -> Result<SignedRequest, SignError> {
        let _ = path;
        self.sign_request(id, now, body)
    }
}

/// What a request whose origin is proved turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Events to process.
    Accept {
        /// The sender's own id for this delivery, the same on each of its retries.
        sender_id: Option<SenderId>,
        /// The events, in the order in which they stand in the body.
        events: Vec<ParsedEvent>,
    },
    /// The sender's test or probe: answered with success, recorded, nothing to process.
    Test,
    /// The origin is proved but the body can't be read: kept aside, answered with success.
    Quarantine(Unparsable),
}

impl From<Result<Parsed, Unparsable>> for Verdict {
    fn from(parsed: Result<Parsed, Unparsable>) -> Self {
        match parsed {
            Ok(Parsed::Events { sender_id, events }) => Self::Accept { sender_id, events },
            Ok(Parsed::Test) => Self::Test,
            Err(unparsable) => Self::Quarantine(unparsable),
        }
    }
}

/// What [`Provider::parse`] read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parsed {
    /// Events to process.
    Events {
        /// The sender's own id for this delivery.
        sender_id: Option<SenderId>,
        /// The events, in the order in which they stand in the body.
        events: Vec<ParsedEvent>,
    },
    /// The sender's test or probe.
    Test,
}

/// The sender's own id for a delivery, the same on each of its retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderId {
    /// The id, as text.
    pub value: String,
    /// Whether the signature covers it. If not, the body's digest is taken into account as well when deliveries are
    /// compared: a forged id must not swallow a true event.
    pub signed: bool,
}

/// One unit of work inside a delivery.
///
/// ```
/// use doorbell::provider::ParsedEvent;
///
/// let sent = ParsedEvent { subject: Some("parcel/4711".into()), ..ParsedEvent::new("parcel.sent") };
/// assert!(sent.data.is_whole() && sent.occurred_at.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedEvent {
    /// `<entity>.<action>` in lower case for the four vendors, the sender's own type for the generic family.
    pub kind: String,
    /// What the event is about: `product/<uuid>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// Which parts of the body are this event's data.
    #[serde(default, skip_serializing_if = "Slices::is_whole")]
    pub data: Slices,
}

impl ParsedEvent {
    /// An event of this kind whose data is the whole body.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), subject: None, occurred_at: None, data: Slices::WHOLE }
    }
}

/// Which parts of a body, put together in order, are an event's data. The default is the whole body.
///
/// ```
/// use bytes::Bytes;
/// use doorbell::provider::Slices;
///
/// let body = Bytes::from_static(br#"{"events":[{"id":1},{"id":2}]}"#);
/// // The notification with its second event alone, to the byte as it came.
/// assert_eq!(Slices::parts([0..11, 20..30]).of(&body), r#"{"events":[{"id":2}]}"#);
/// assert_eq!(Slices::WHOLE.of(&body), body);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slices(Vec<(usize, usize)>);

impl Slices {
    /// The whole body.
    pub const WHOLE: Self = Self(Vec::new());

    /// These parts of the body, in this order. An empty list means the whole body.
    pub fn parts(parts: impl IntoIterator<Item = Range<usize>>) -> Self {
        Self(parts.into_iter().map(|part| (part.start, part.end)).collect())
    }

    /// Whether this is the whole body.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The data: without copying where it is one piece. Parts that lie outside the body are left out.
    pub fn of(&self, body: &Bytes) -> Bytes {
        let part = |&(start, end): &(usize, usize)| body.get(start..end).unwrap_or_default();
        match self.0.as_slice() {
            [] => body.clone(),
            [one] => body.slice_ref(part(one)),
            parts => {
                let mut data = BytesMut::with_capacity(parts.iter().map(|range| part(range).len()).sum());
                for range in parts {
                    data.extend_from_slice(part(range));
                }
                data.freeze()
            }
        }
    }
}

/// What a provider's sender expects of a receiver.
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::provider::{Profile, Reply};
///
/// let mut profile = Profile::default();
/// profile.deadline = Duration::from_secs(3);
/// profile.success = Reply::json(r#"{"received":true}"#);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// How long the sender waits for the reply, from the moment it connected.
    pub deadline: Duration,
    /// The reply that means "delivered" to it.
    pub success: Reply,
    /// Deliveries without a sender's id are taken for the same if their bodies are equal and no more than this lies
    /// between them. Zero: never.
    pub dedupe_fallback: Duration,
    /// Whether the sender's requests carry no proof of their own, so that the path must hold a secret.
    pub needs_path_secret: bool,
    /// Whether a secret that the provider goes by is missing or an empty text. No receiver and no `Verifier` is built with
    /// it then.
    pub lacks_secret: bool,
}

impl Profile {
    /// What is missing to prove this sender's requests by, beside these secrets in the path.
    #[cfg(feature = "axum")]
    pub(crate) fn gap(&self, path_secrets: &Secrets) -> Option<Gap> {
        if self.lacks_secret {
            Some(Gap::Secret)
        } else if path_secrets.had_empty() {
            Some(Gap::EmptyPathSecret)
        } else if self.needs_path_secret && path_secrets.is_empty() {
            Some(Gap::PathSecret)
        } else {
            None
        }
    }
}

/// Why nothing, or not all that was meant to, would prove a sender's requests.
#[cfg(feature = "axum")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The provider has no secret, or an empty one.
    Secret,
    /// A path secret is an empty text.
    EmptyPathSecret,
    /// Nothing but a path secret could prove them, and there is none.
    PathSecret,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(5),
            success: Reply::EMPTY_OK,
            dedupe_fallback: Duration::from_secs(10),
            needs_path_secret: false,
            lacks_secret: false,
        }
    }
}

/// A reply that a sender takes for success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The body, which is JSON; empty for none.
    pub body: &'static str,
}

impl Reply {
    /// 200 with an empty body.
    pub const EMPTY_OK: Self = Self { status: StatusCode::OK, body: "" };

    /// 200 with this JSON body.
    pub const fn json(body: &'static str) -> Self {
        Self { status: StatusCode::OK, body }
    }
}

/// Why a request proves nothing. The sender is not told which it was; the operator is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The signature (or the field, header or path secret that would prove the origin) is not there.
    #[error("no {0} in the request")]
    MissingProof(Cow<'static, str>),
    /// The signature is there but is not of the form that the scheme has.
    #[error("{field} is malformed: {expected} expected")]
    MalformedProof {
        /// Where the signature was looked for.
        field: Cow<'static, str>,
        /// The form it should have.
        expected: &'static str,
    },
    /// The signature is well-formed and wrong under every valid secret.
    #[error("{0} matches none of the valid secrets")]
    WrongProof(Cow<'static, str>),
    /// The signature carries a time that is too far from now.
    #[error("the signed time is {off:?} away from now; at most {tolerance:?} is accepted")]
    StaleTimestamp {
        /// How far it is away.
        off: Duration,
        /// How far it may be away.
        tolerance: Duration,
    },
    /// A signed field holds the character that separates the signed fields: the same signature would fit other
    /// values as well, so it proves nothing.
    #[error(
        "{field} holds a `{separator}`, which separates the signed fields: its signature would be ambiguous"
    )]
    Ambiguous {
        /// The field.
        field: &'static str,
        /// The separator.
        separator: char,
    },
    /// The body holds the signature and can't be read, so nothing is proved.
    #[error("the body can't be read, so its signature can't be checked: {0}")]
    Unreadable(String),
}

impl Refusal {
    /// A short stable name for counting: `wrong_proof`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingProof(_) => "missing_proof",
            Self::MalformedProof { .. } => "malformed_proof",
            Self::WrongProof(_) => "wrong_proof",
            Self::StaleTimestamp { .. } => "stale_timestamp",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Unreadable(_) => "unreadable",
        }
    }
}

/// Why the body of a proved request can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Unparsable {
    /// The reason, in words.
    pub reason: String,
    /// The sender's own id for the delivery, where it stands outside the body.
    pub sender_id: Option<SenderId>,
}

impl Unparsable {
    /// A reason, in words.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), sender_id: None }
    }

    /// Adds the sender's own id for the delivery, so that its repetitions are recognised all the same.
    pub fn with_sender_id(mut self, id: Option<SenderId>) -> Self {
        self.sender_id = id;
        self
    }
}

/// The provider's verdict, also if its code panics: one event that it can't stand must not make the sender disable the
/// whole webhook. If the origin is proved all the same, the delivery is quarantined.
#[cfg(feature = "axum")]
pub(crate) fn verify_guarded(
    provider: &dyn Provider,
    request: &Request<'_>,
    now: Timestamp,
) -> Result<Verdict, Refusal> {
    if let Ok(verdict) =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| provider.verify(request, now)))
    {
        return verdict;
    }
    #[cfg(feature = "receiver")]
    tracing::error!(provider = provider.name(), "the provider panicked on a request; this is a bug in it");
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| provider.authenticate(request, now))) {
        Ok(Ok(())) => {
            Ok(Verdict::Quarantine(Unparsable::new("the provider panicked while reading this body")))
        }
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::Unreadable("the provider panicked while checking it".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_put_parts_together_and_survive_foreign_ranges() {
        let body = Bytes::from_static(b"[1,2,3]");
        assert_eq!(Slices::WHOLE.of(&body), body);
        assert_eq!(Slices::parts([0..1, 3..4, 6..7]).of(&body).as_ref(), b"[2]");
        assert_eq!(Slices::parts(std::iter::once(3..4)).of(&body).as_ref(), b"2");
        assert_eq!(Slices::parts([5..90, 0..1]).of(&body).as_ref(), b"[");
    }
}
