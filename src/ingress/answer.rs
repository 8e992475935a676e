//! One request's way: path, body, proof, store, reply.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use axum::extract::OriginalUri;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::Full;
use hyper::body::Body;
use sha2::{Digest, Sha256};

use super::{
    body::{BodyError, Room},
    filing::Filing,
    headers,
    inlet::{Inlet, Totals},
    limits::Limits,
    paths::{Found, PathSecret, Paths},
    refused::{RefusedLog, RefusedRequest},
    unacknowledged::Unacknowledged,
};
use crate::{
    clock::{self, Clock},
    delivery::{DedupeKey, IdGenerator},
    journal::{Dedupe, NewContent, NewDelivery, Store},
    live::{Live, LiveItem},
    metrics::{Metrics, RefusalLabels},
    provider::{self, RequestLine, SenderId, Unparsable, Verdict, verify_guarded},
    route::Route,
    source::Source,
};

/// How many events a quarantined delivery leaves room for behind its id: it may be read after all one day.
const ROOM_FOR_LATER_EVENTS: usize = 1024;

/// All that the ingress works with.
pub(crate) struct IngressContext {
    /// Whether the role takes deliveries in. Where it does not, the store behind it makes none durable here.
    pub(crate) takes_in: bool,
    pub(crate) sources: HashMap<Arc<str>, Source>,
    pub(crate) routes: Arc<[Route]>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ids: Arc<IdGenerator>,
    pub(crate) metrics: Metrics,
    pub(crate) live: Live,
    pub(crate) refused: Arc<RefusedLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    /// How long requests under way may take to end once a shutdown has begun.
    pub(crate) shutdown_grace: Duration,
}

/// Answers senders' requests. Cheap to clone.
///
/// It is a [`tower::Service`] for whoever brings a server; [`serve`](super::serve) is ours.
#[derive(Clone)]
pub(crate) struct Ingress(Arc<Shared>);

pub(super) struct Shared {
    takes_in: bool,
    paths: Paths,
    /// What counts as the source where the path names none.
    nameless: (Arc<str>, Totals),
    pub(super) store: Arc<dyn Store>,
    ids: Arc<IdGenerator>,
    pub(super) metrics: Metrics,
    pub(super) live: Live,
    refused: Arc<RefusedLog>,
    pub(super) unacknowledged: Unacknowledged,
    clock: Arc<dyn Clock>,
    room: Room,
    pub(super) limits: Limits,
    pub(super) shutdown_grace: Duration,
}

/// Why a request is turned away. The sender gets to know the status only.
struct TurnedAway {
    status: StatusCode,
    reason: &'static str,
    detail: String,
}

impl Ingress {
    pub(crate) fn new(context: IngressContext) -> Self {
        let IngressContext {
            takes_in,
            sources,
            routes,
            store,
            ids,
            metrics,
            live,
            refused,
            clock,
            limits,
            shutdown_grace,
        } = context;
        let inlet =
            |(name, source): (&Arc<str>, &Source)| Inlet::new(name, source, &routes, limits.margin, &metrics);
        Self(Arc::new(Shared {
            takes_in,
            paths: Paths::new(sources.iter().map(inlet)),
            nameless: ("".into(), Totals::new(&"".into(), &metrics)),
            store,
            ids,
            metrics,
            live,
            refused,
            unacknowledged: Unacknowledged::default(),
            clock,
            room: Room::new(limits.buffered_bytes),
            limits,
            shutdown_grace,
        }))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }

    /// The reply to a request. `began` is when the sender's deadline began to run.
    ///
    /// A reply that does not wait for the request's body to end says `Connection: close`.
    pub(crate) async fn answer<B: Body<Data = Bytes>>(
        &self,
        request: Request<B>,
        began: Instant,
    ) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let found = match self.0.paths.find(head.uri.path()) {
            Ok(found) => found,
            Err(lost) => {
                let why = TurnedAway::new(StatusCode::NOT_FOUND, lost.reason, lost.detail);
                let reply = self.turn_away(lost.inlet, &head.headers, None, why, began);
                return closing_if(!body.is_end_stream(), reply);
            }
        };
        if !self.0.takes_in {
            let why = TurnedAway::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "worker",
                "this process only runs jobs; send deliveries to one that takes them in",
            );
            let reply = self.turn_away(Some(found.inlet), &head.headers, None, why, began);
            return closing_if(!body.is_end_stream(), reply);
        }
        match head.method {
            Method::POST => self.take_in(found, &head, body, began).await,
            Method::GET | Method::HEAD => closing_if(!body.is_end_stream(), found.inlet.success()),
            _ => {
                let why =
                    TurnedAway::new(StatusCode::METHOD_NOT_ALLOWED, "method", "deliveries come by POST");
                let mut reply = self.turn_away(Some(found.inlet), &head.headers, None, why, began);
                reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
                closing_if(!body.is_end_stream(), reply)
            }
        }
    }

    async fn take_in<B: Body<Data = Bytes>>(
        &self,
        Found { inlet, secret }: Found<'_>,
        head: &Parts,
        body: B,
        began: Instant,
    ) -> Response<Full<Bytes>> {
        let give_up_at = began + inlet.ours;
        let late_at = give_up_at.min(clock::instant() + self.0.limits.body_time);
        let taken = match self.0.room.read(body, self.0.limits.body_bytes, late_at).await {
            Ok(taken) => taken,
            Err(error) => {
                let reply = self.turn_away(Some(inlet), &head.headers, None, error.into(), began);
                return closing_if(true, reply);
            }
        };
        let body = &taken.bytes;
        let now = self.0.clock.now();
        // Mounted in an application, what the sender called is more than what is left of the path here.
        let uri = head.extensions.get::<OriginalUri>().map_or(&head.uri, |original| &original.0);
        let request = provider::Request {
            query: head.uri.query(),
            headers: &head.headers,
            body,
            path_secret_matched: secret.is_some(),
            line: RequestLine::of(&head.method, uri),
        };
        let verdict = match verify_guarded(&*inlet.provider, &request, now) {
            Ok(verdict) => verdict,
            Err(refusal) => {
                let detail = headers::hide(&refusal.to_string(), secret.as_ref());
                let why = TurnedAway::new(StatusCode::UNAUTHORIZED, refusal.reason(), &detail);
                return self.turn_away(Some(inlet), &head.headers, Some(body), why, began);
            }
        };
        if matches!(verdict, Verdict::Test) && secret.is_none() && body.trim_ascii().is_empty() {
            // An empty probe proves nothing and says nothing: it gets its answer, and no place in the journal.
            inlet.totals.test.inc();
            inlet.totals.answered(clock::instant().saturating_duration_since(began), inlet.deadline);
            return inlet.success();
        }
        let dedupe =
            DedupeKey::of(&inlet.name, &verdict, body, !inlet.dedupe_fallback.is_zero()).map(|key| {
                let window = if key.is_fallback() { inlet.dedupe_fallback } else { inlet.dedupe_window };
                Dedupe { key, window }
            });
        let (sender_id, content, events) = read_out(inlet, verdict, secret.as_ref());
        let delivery = NewDelivery {
            id: self.0.ids.next(now, events),
            source: inlet.name.clone(),
            provider: inlet.provider_name.clone(),
            received_at: now,
            sender_id,
            dedupe,
            content_type: request.header("content-type").map(str::to_owned),
            headers: headers::to_keep(&head.headers, secret.as_ref()),
            body: body.clone(),
            content,
            give_up_at,
        };
        Filing::start(self.0.clone(), inlet.clone(), delivery, began).await
    }

    /// Counts the request as refused, keeps what the operator needs, and makes the reply: the same for every reason.
    fn turn_away(
        &self,
        inlet: Option<&Arc<Inlet>>,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        why: TurnedAway,
        began: Instant,
    ) -> Response<Full<Bytes>> {
        let (nameless, nowhere) = &self.0.nameless;
        let (source, totals) = inlet.map_or((nameless, nowhere), |inlet| (&inlet.name, &inlet.totals));
        totals.refused.inc();
        self.0
            .metrics
            .refusals
            .get_or_create(&RefusalLabels { source: source.clone(), reason: why.reason })
            .inc();
        tracing::debug!(%source, reason = why.reason, "refused");
        let at = self.0.clock.now();
        self.0.live.tell(|| LiveItem::Delivery {
            at,
            source: source.to_string(),
            outcome: "refused",
            id: None,
            kinds: Vec::new(),
            ack_micros: micros_since(began),
        });
        self.0.refused.add(RefusedRequest {
            at,
            source: source.to_string(),
            reason: why.reason.to_owned(),
            detail: why.detail,
            headers: headers::masked(headers),
            size: body.map_or(0, <[u8]>::len),
            digest: body.map(|body| hex::encode(Sha256::digest(body))).unwrap_or_default(),
        });
        empty(why.status)
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> tower::Service<Request<B>> for Ingress {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (ingress, began) = (self.clone(), clock::instant());
        Box::pin(async move { Ok(ingress.answer(request, began).await) })
    }
}

impl fmt::Debug for Ingress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ingress").field("paths", &self.0.paths).finish_non_exhaustive()
    }
}

impl TurnedAway {
    fn new(status: StatusCode, reason: &'static str, detail: &str) -> Self {
        Self { status, reason, detail: detail.to_owned() }
    }
}

impl From<BodyError> for TurnedAway {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is larger than the limit")
            }
            BodyError::NoRoom => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no_room",
                "bodies that are still coming hold as much memory as they may",
            ),
            BodyError::Late => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "late_body", "the body had not come in time")
            }
            BodyError::Broken => {
                Self::new(StatusCode::BAD_REQUEST, "broken_body", "the body ended before it was complete")
            }
        }
    }
}

pub(super) fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

pub(super) fn micros_since(began: Instant) -> u64 {
    u64::try_from(clock::instant().saturating_duration_since(began).as_micros()).unwrap_or(u64::MAX)
}

/// What is left of a body that nobody reads must not be taken for the next request.
fn closing_if(unread: bool, mut reply: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    if unread {
        reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    reply
}

/// The sender's id, what is to be stored, and for how many events an id is to leave room.
fn read_out(
    inlet: &Inlet,
    verdict: Verdict,
    secret: Option<&PathSecret<'_>>,
) -> (Option<String>, NewContent, usize) {
    let text = |id: SenderId| id.value;
    match verdict {
        Verdict::Accept { sender_id, events } => {
            let count = events.len();
            let events = inlet.fan_out.events(events);
            (sender_id.map(text), NewContent::Events(events), count)
        }
        Verdict::Quarantine(Unparsable { reason, sender_id }) => {
            let reason = headers::hide(&reason, secret);
            (sender_id.map(text), NewContent::Quarantined { reason }, ROOM_FOR_LATER_EVENTS)
        }
        Verdict::Test => (None, NewContent::Test, 0),
    }
}
