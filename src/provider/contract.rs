//! What a provider has to do.

use std::fmt;

use super::{Parsed, Profile, Refusal, Request, SignError, SignedRequest, Unparsable, Verdict};
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
