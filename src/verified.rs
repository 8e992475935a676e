//! A provider as an axum extractor: for those who bring a queue of their own.

use std::{fmt, ops::Deref, sync::Arc};

use axum::extract::OriginalUri;
use axum_core::{
    extract::{FromRef, FromRequest, Request, rejection::BytesRejection},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    provider::{
        self, FromEvent, Gap, ParsedEvent, Provider, Refusal, Reply, RequestLine, Secrets, SenderId,
        Unparsable, Verdict, verify_guarded,
    },
};

/// A request that its provider lets through, as an axum extractor: without a queue, for those who bring their own. The
/// origin of a delivery is proved then; that of a sender's [test](Self::is_test) need not be.
///
/// Nothing of what a [`Receiver`](crate::Receiver) promises holds here: the
/// handler has to make the events durable within the sender's deadline, and to recognise them when they come again, by
/// [`sender_id`](Self::sender_id). Where that is not [`signed`](SenderId::signed) (Kladana's and Quable's are not), compare
/// a digest of the body as well: by the id alone, whoever can send a delivery could make a later one look like a
/// repetition. Then it answers with [`accepted`](Self::accepted), the reply that this sender takes for
/// success. An error of the handler has the sender try again, or give the event up, as that sender does.
///
/// What proves the origin is the [`Verifier`] in the router's state. As it takes the body, it is a handler's last argument:
///
/// ```
/// use axum::{Router, extract::{FromRef, State}, http::StatusCode, routing::get};
/// use doorbell::{Verified, Verifier, VerifierError, provider::{Kladana, Poster, Reply, kladana, poster}};
///
/// #[derive(Clone, FromRef)]
/// struct Hook {
///     jobs: Jobs,
///     verifier: Verifier,
/// }
///
/// async fn cafe(State(jobs): State<Jobs>, hook: Verified<poster::Event>) -> Result<Reply, StatusCode> {
///     if hook.is_test() {
///         return Ok(hook.accepted()); // anybody may have sent it
///     }
///     for event in &hook {
///         println!("{}: {} {}", event.kind, event.object, event.object_id);
///     }
///     jobs.save(&hook.sender_id, &hook.body).await?; // also what is quarantined
///     Ok(hook.accepted())
/// }
///
/// async fn erp(hook: Verified<kladana::Event>) -> Reply {
///     for event in &hook {
///         println!("{}: {:?}", event.kind, event.subject);
///     }
///     hook.accepted()
/// }
///
/// fn hooks(jobs: Jobs, poster_secret: &str, path_secret: &str) -> Result<Router, VerifierError> {
///     let cafe_hook = Hook { jobs, verifier: Verifier::builder(Poster::new(poster_secret)).build()? };
///     // It signs nothing: the secret at the end of the path is its proof.
///     let erp_hook = Verifier::builder(Kladana::new()).path_secret(path_secret).build()?;
///     Ok(Router::new()
///         .merge(Router::new().route("/hooks/cafe", get(cafe).post(cafe)).with_state(cafe_hook))
///         .merge(Router::new().route("/hooks/erp/{secret}", get(erp).post(erp)).with_state(erp_hook)))
/// }
/// # #[derive(Clone)] struct Jobs;
/// # impl Jobs {
/// #     async fn save(&self, _: &Option<doorbell::provider::SenderId>, _: &[u8]) -> Result<(), StatusCode> { Ok(()) }
/// # }
/// ```
///
/// # What gets to the handler
///
/// - Events, read as `T`, in [`events`](Self::events).
/// - A sender's test, or its probe by GET or HEAD, with no events, and [`is_test`](Self::is_test) true: there is nothing to
///   do but to answer. Its origin need not be proved.
/// - A body whose origin is proved and which can't be read, with [`quarantined`](Self::quarantined) saying why: keep
///   [`body`](Self::body) aside, and answer with success all the same. An error would have the sender give the event up, or
///   switch the whole webhook off.
///
/// Everything else is a [`VerifyRejection`], which tells the sender nothing but a status. To log it, take
/// `Result<Verified<T>, VerifyRejection>`.
///
/// The body's size is limited as axum limits every body, to 2 MB or by `DefaultBodyLimit`; the time that it takes to come,
/// by the server and its layers.
///
/// Prints the kinds of its events and how many bytes the body has, but neither their data nor the body.
#[derive(Clone)]
#[non_exhaustive]
pub struct Verified<T> {
    /// The events, in the order in which they stand in the body: all of them, or none if one can't be read.
    pub events: Vec<VerifiedEvent<T>>,
    /// The sender's own id for this delivery, the same on each of its repetitions.
    pub sender_id: Option<SenderId>,
    /// Why the body can't be read, or not as `T`, although its origin is proved.
    pub quarantined: Option<Unparsable>,
    /// The body, to the byte as it came.
    pub body: Bytes,
    accepted: Reply,
    test: bool,
}

/// One event of a [`Verified`] request.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct VerifiedEvent<T> {
    /// What happened: `stock.changed`.
    pub kind: String,
    /// What it happened to: `stock/512`.
    pub subject: Option<String>,
    /// When it happened, by the sender's clock.
    pub occurred_at: Option<Timestamp>,
    /// The event's data.
    pub data: T,
}

impl<T> Verified<T> {
    /// The reply that the sender takes for success: `{"status":"accept"}` for Poster.
    pub fn accepted(&self) -> Reply {
        self.accepted
    }

    /// Whether this is a sender's test, or a probe by GET or HEAD. **Its origin need not be proved**, so store nothing of it.
    pub fn is_test(&self) -> bool {
        self.test
    }
}

impl<T> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("events", &self.events.iter().map(|event| &event.kind).collect::<Vec<_>>())
            .field("sender_id", &self.sender_id)
            .field("quarantined", &self.quarantined)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .field("test", &self.test)
            .finish_non_exhaustive()
    }
}

impl<S, T> FromRequest<S> for Verified<T>
where
    S: Send + Sync,
    Verifier: FromRef<S>,
    T: FromEvent,
{
    type Rejection = VerifyRejection;

    async fn from_request(mut request: Request, state: &S) -> Result<Self, VerifyRejection> {
        let verifier = Verifier::from_ref(state);
        let path_secret_matched = verifier.matches(request.uri().path())?;
        let accepted = verifier.0.provider.profile().success;
        match *request.method() {
            Method::POST => {}
            Method::GET | Method::HEAD => return Ok(Self::of(Verdict::Test, Bytes::new(), accepted)),
            _ => return Err(VerifyRejection::Method),
        }
        let headers = std::mem::take(request.headers_mut());
        // In a nested router, what the sender called is more than what is left of the path here.
        let original = request.extensions_mut().remove::<OriginalUri>();
        let uri = original.map_or_else(|| request.uri().clone(), |original| original.0);
        let body = Bytes::from_request(request, state).await?;
        let request = provider::Request {
            query: uri.query(),
            path_secret_matched,
            line: RequestLine::of(&Method::POST, &uri),
            ..provider::Request::new(&headers, &body)
        };
        let verdict = verify_guarded(&*verifier.0.provider, &request, verifier.0.clock.now())?;
        Ok(Self::of(verdict, body, accepted))
    }
}

impl<T: FromEvent> Verified<T> {
    fn of(verdict: Verdict, body: Bytes, accepted: Reply) -> Self {
        let test = matches!(verdict, Verdict::Test);
        let (sender_id, read) = match verdict {
            Verdict::Accept { sender_id, events } => (sender_id, read_all(events, &body)),
            Verdict::Test => (None, Ok(Vec::new())),
            Verdict::Quarantine(unparsable) => (unparsable.sender_id.clone(), Err(unparsable)),
        };
        let (events, quarantined) = match read {
            Ok(events) => (events, None),
            Err(unparsable) => (Vec::new(), Some(unparsable)),
        };
        Self { events, sender_id, quarantined, body, accepted, test }
    }
}

fn read_all<T: FromEvent>(
    events: Vec<ParsedEvent>,
    body: &Bytes,
) -> Result<Vec<VerifiedEvent<T>>, Unparsable> {
    let read = |ParsedEvent { kind, subject, occurred_at, data }| {
        let data = T::from_event(&kind, &data.of(body)).map_err(Unparsable::new)?;
        Ok(VerifiedEvent { kind, subject, occurred_at, data })
    };
    events.into_iter().map(read).collect()
}

impl<T> Deref for Verified<T> {
    type Target = [VerifiedEvent<T>];

    fn deref(&self) -> &Self::Target {
        &self.events
    }
}

impl<T> IntoIterator for Verified<T> {
    type Item = VerifiedEvent<T>;
    type IntoIter = std::vec::IntoIter<VerifiedEvent<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Verified<T> {
    type Item = &'a VerifiedEvent<T>;
    type IntoIter = std::slice::Iter<'a, VerifiedEvent<T>>;

    fn into_iter(self) -> Self::IntoIter {
        self.events.iter()
    }
}

impl<T> Deref for VerifiedEvent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// What proves the origin of requests for [`Verified`]: a provider, and where its sender signs nothing a secret in the path.
/// Belongs into the router's state, as the state or as a part of it by `FromRef`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<Settings>);

#[derive(Debug, Clone)]
struct Settings {
    provider: Arc<dyn Provider>,
    path_secrets: Secrets,
    clock: Arc<dyn Clock>,
}

impl Verifier {
    /// Takes what this provider's sender sends.
    pub fn builder(provider: impl Provider) -> VerifierBuilder {
        VerifierBuilder(Settings {
            provider: Arc::new(provider),
            path_secrets: Secrets::none(),
            clock: Arc::new(SystemClock),
        })
    }

    /// Whether the path ends with a right secret; an error if it should and does not.
    fn matches(&self, path: &str) -> Result<bool, VerifyRejection> {
        let secrets = &self.0.path_secrets;
        let last: Vec<u8> = percent_decode_str(path.rsplit('/').next().unwrap_or_default()).collect();
        match secrets.matches(&last) {
            false if !secrets.is_empty() => Err(VerifyRejection::PathSecret),
            matched => Ok(matched),
        }
    }
}

/// Puts a [`Verifier`] together.
///
/// ```
/// use doorbell::{Verifier, VerifierError, provider::{Kladana, Poster}};
///
/// let erp = Verifier::builder(Kladana::new()).path_secret("0f1e2d3c4b5a").build()?;
///
/// // What comes of an environment variable that is set, and empty.
/// let wrong = Verifier::builder(Poster::new("")).build().unwrap_err();
/// assert!(matches!(wrong, VerifierError::NoSecret(provider) if provider == "poster"));
/// # Ok::<(), VerifierError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct VerifierBuilder(Settings);

impl VerifierBuilder {
    /// Demands one of these secrets as the last segment of the path, as in `/hooks/erp/{secret}`; 404 otherwise. An empty
    /// text is none, and no verifier is built with it.
    pub fn path_secret(mut self, secrets: impl Into<Secrets>) -> Self {
        self.0.path_secrets = secrets.into();
        self
    }

    /// The clock that signed times are compared with: for tests.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.0.clock = Arc::new(clock);
        self
    }

    /// The verifier, for a router's state.
    ///
    /// # Errors
    /// If a secret that it needs is missing or empty: it would refuse every request, or take a weaker proof than was meant.
    pub fn build(self) -> Result<Verifier, VerifierError> {
        let Self(settings) = self;
        let name = || settings.provider.name().to_owned();
        match settings.provider.profile().gap(&settings.path_secrets) {
            Some(Gap::Secret) => Err(VerifierError::NoSecret(name())),
            Some(Gap::EmptyPathSecret) => Err(VerifierError::EmptyPathSecret(name())),
            Some(Gap::PathSecret) => Err(VerifierError::NoPathSecret(name())),
            None => Ok(Verifier(Arc::new(settings))),
        }
    }
}

/// Why a [`Verifier`] can't be built. Each names the provider.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The provider has no secret to check its sender's proof by, or an empty one.
    #[error(
        "the verifier for {0:?} has no secret, or an empty one, by which anybody could sign; give its provider the secret \
         that the sender signs with (if it comes from an environment variable: that is set, and empty)"
    )]
    NoSecret(String),
    /// It is given an empty path secret.
    #[error(
        "the verifier for {0:?} is given an empty path secret, which proves nothing; give `.path_secret(…)` a secret text, \
         such as `openssl rand -hex 16` makes (if it comes from an environment variable: that is set, and empty)"
    )]
    EmptyPathSecret(String),
    /// Nothing but a path secret could prove its sender's requests, and it has none: each would be refused.
    #[error(
        "the verifier for {0:?} would refuse every request: nothing but a secret in the path can prove who calls, and it has \
         none; add one, `Verifier::builder(provider).path_secret(…)`, such as `openssl rand -hex 16` makes, and give the \
         sender the URL that ends with it, or give the provider another proof"
    )]
    NoPathSecret(String),
}

/// Why a request is no [`Verified`] one. As a reply it is a status without a body: the sender is not told what was
/// expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyRejection {
    /// The path does not end with a right secret. 404, as for a path that does not exist.
    #[error("the path does not end with one of the valid secrets")]
    PathSecret,
    /// Neither a delivery nor a probe. 405.
    #[error("deliveries come by POST, probes by GET or HEAD")]
    Method,
    /// The body is too large (413), or ended before it was complete (400).
    #[error("the body was not read: {0}")]
    Body(#[from] BytesRejection),
    /// The request proves nothing. 401.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl VerifyRejection {
    /// The status that the sender is answered with.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::PathSecret => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Body(rejection) => rejection.status(),
            Self::Refused(_) => StatusCode::UNAUTHORIZED,
        }
    }
}

impl IntoResponse for VerifyRejection {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if matches!(self, Self::Method) {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self.body {
            "" => self.status.into_response(),
            body => (self.status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        }
    }
}
