//! A receiver in a test: no network, no waiting, one thing at a time.

mod report;
mod turnstile;

use std::{collections::HashMap, fmt, io, sync::Arc, time::Duration};

use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Collected, Full};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};

pub use self::report::{AttemptReport, DeliveryReport, EventReport, JobReport, Outcome, Reply};
use self::turnstile::Turnstile;
use super::Message;
use crate::{
    BuildError, Builder, OpenError,
    clock::{self, Clock, ManualClock, PausedTime, Timestamp},
    delivery::{DeliveryId, JobId},
    ingress::{Ingress, RefusedLog},
    journal::{ClaimedJob, ReplayJobs, Store, StoreError},
    live::{Live, LiveItem},
    provider::{Parsed, Profile, Provider, Refusal, Request, SignError, SignedRequest, Unparsable, Verdict},
    source::Source,
    worker::Runner,
};

/// A receiver in a test. It takes the builder that an application makes for itself, its routes, handlers and state; what
/// the builder says of listeners, data folder, queue and role does not count.
///
/// Nothing leaves the process but by your own handlers. [Targets](crate::target) are left out: a job whose route has one is
/// done at its first attempt, and nothing is posted, run, added to a stream or logged. So a test sees which events go to a
/// target, not what the target would make of them.
///
/// Requests go through the real ingress into a store of its own, in a temporary folder that is gone when the receiver
/// is. Jobs wait there until they are run by [`run`](Self::run), [`run_due`](Self::run_due),
/// [`run_next`](Self::run_next) or [`advance`](Self::advance).
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::{
///     Attempt, HandlerError, Receiver, RetryPolicy,
///     provider::Poster,
///     testing::{JobState, Outcome, Sample, TestReceiver},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let builder = Receiver::builder()
///     .source("cafe", Poster::new("secret"))
///     .on("cafe", "stock.*", |attempt: Attempt| async move {
///         match attempt.number {
///             1 => Err(HandlerError::retry_after(Duration::from_secs(3600), "closed for lunch")),
///             _ => Ok(()),
///         }
///     });
/// let mut doorbell = TestReceiver::start(builder).await?;
///
/// // The sender gets the reply that it takes for success, and takes no effect twice.
/// let reply = doorbell.send("cafe", Sample::Poster).await;
/// assert_eq!((reply.outcome, &reply.body[..]), (Outcome::Accepted, br#"{"status":"accept"}"#.as_slice()));
/// assert_eq!(doorbell.repeat().await.outcome, Outcome::Duplicate);
///
/// // An hour passes in no time.
/// let job = &doorbell.run().await[0];
/// assert_eq!(job.state, JobState::Done);
/// assert_eq!(job.attempts[0].error.as_deref(), Some("closed for lunch"));
/// assert_eq!(job.attempts[1].started_at.since(job.attempts[0].started_at), Duration::from_secs(3600));
/// # Ok(())
/// # }
/// ```
///
/// Step by step, and with requests that are not as they should be:
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::{
///     Attempt, HandlerError, Receiver, RetryPolicy,
///     provider::{Hmac, Preset},
///     testing::{JobState, Outcome, Sample, TestReceiver},
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// const HOUR: Duration = Duration::from_secs(3600);
/// let builder = Receiver::builder()
///     .source("repo", Hmac::preset(Preset::Github, "secret")?)
///     .on("repo", "push", |attempt: Attempt| async move {
///         // Whoever replays it has mended what was wrong.
///         if attempt.replay == 0 { Err(HandlerError::retry("no")) } else { Ok(()) }
///     })
///     .retry(RetryPolicy { max_attempts: 2, min: HOUR, max: HOUR });
/// let mut doorbell = TestReceiver::start(builder).await?;
///
/// // What the sender would send, changed on its way: refused, and not stored.
/// let mut request = doorbell.request("repo", Sample::Github);
/// request.body.push(b' ');
/// assert_eq!(doorbell.send_to("/in/repo", request.clone()).await.outcome, Outcome::Refused);
/// request.body.pop();
/// assert_eq!(doorbell.send_to("/in/nobody", request.clone()).await.status, 404);
/// assert_eq!(doorbell.send_to("/in/repo", request).await.outcome, Outcome::Accepted);
///
/// // The first attempt; nothing is due for a while; then the last one.
/// let job = doorbell.run_next().await.map(|job| (job.id, job.state)).unwrap();
/// assert_eq!(job.1, JobState::Retrying);
/// assert_eq!(doorbell.advance(HOUR / 2).await[0].attempts.len(), 1);
/// assert_eq!(doorbell.advance(HOUR / 2).await[0].state, JobState::Dead);
///
/// doorbell.replay(job.0).await;
/// assert_eq!(doorbell.run_due().await[0].state, JobState::Done);
/// # Ok(())
/// # }
/// ```
///
/// # Order
///
/// One job runs at a time, in the test's own task: the one that has been due for longest, of several the one whose
/// delivery came first, then in the order of its events and of the builder's routes. Ids and the spread of retries are
/// the same in every run. In production jobs run side by side, and no order is promised.
///
/// # Time
///
/// [`clock`](Self::clock) is what the receiver goes by: it signs and checks by it, and it says when a retry is due. It
/// stands still but for being moved to the next due attempt, or by [`advance`](Self::advance). No sender's deadline is
/// ever missed.
///
/// Tokio's clock is another one. What a handler waits for by `tokio::time` takes as long as it says, and so does a
/// route's time limit, unless the test pauses that clock: `#[tokio::test(start_paused = true)]`, with Tokio's feature
/// `test-util`. Then neither takes any time, and the receiver's clock is moved by as much as Tokio's is while a handler
/// runs. It does not go the other way: `advance` leaves Tokio's clock alone.
///
/// # Panics
///
/// Where a test is mistaken its methods panic, at the test's own line, with what to mend; and wherever the temporary
/// folder can't be written to.
pub struct TestReceiver {
    jobs: Vec<JobReport>,
    deliveries: Vec<DeliveryReport>,
    sources: HashMap<String, Source>,
    /// How many requests were made.
    made: u128,
    last_sent: Option<(Uri, SignedRequest)>,
    clock: ManualClock,
    ingress: Ingress,
    live: Live,
    refused: Arc<RefusedLog>,
    runner: Arc<Runner>,
    turnstile: Arc<Turnstile>,
    claims: mpsc::UnboundedReceiver<ClaimedJob>,
    /// Nothing is ever cut off.
    cut_off: watch::Sender<bool>,
    /// Goes last: what is in it is in use until then.
    folder: TempDir,
}

impl TestReceiver {
    /// When a receiver's clock begins: 2026-01-01T00:00:00Z.
    pub const START: Timestamp = Timestamp::from_seconds(1_767_225_600);

    /// Starts a receiver with the builder's sources and routes, at [`START`](Self::START).
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn start(builder: Builder) -> Result<Self, BuildError> {
        Self::start_at(builder, &ManualClock::at(Self::START)).await
    }

    /// The same by a clock that the application under test goes by, too.
    ///
    /// # Errors
    /// As [`Builder::build`].
    pub async fn start_at(builder: Builder, clock: &ManualClock) -> Result<Self, BuildError> {
        let folder = TempDir::with_prefix("doorbell-test-").map_err(no_folder)?;
        let held = Hold::begin();
        let (assembled, sources) =
            builder.assemble_for_tests(folder.path().to_owned(), Arc::new(clock.clone())).await?;
        drop(held);
        let runner = assembled.runner;
        let turnstile = Arc::new(Turnstile::new(runner.dispatcher.clone()));
        Ok(Self {
            jobs: Vec::new(),
            deliveries: Vec::new(),
            sources: sources.into_iter().collect(),
            made: 0,
            last_sent: None,
            clock: clock.clone(),
            ingress: assembled.ingress,
            live: assembled.live,
            refused: assembled.refused,
            claims: runner.store.claims(turnstile.clone()),
            turnstile,
            runner,
            cut_off: watch::Sender::new(false),
            folder,
        })
    }

    /// Sends a message to a source, as its sender would: with the source's own secret in the proof and in the path. Each
    /// call makes another delivery; [`repeat`](Self::repeat) repeats one. Its jobs wait until they are run.
    ///
    /// # Panics
    /// If there is no such source, or the message can't be signed for it.
    #[track_caller]
    pub fn send<'a, M: Message>(
        &'a mut self,
        source: &str,
        message: M,
    ) -> impl Future<Output = Reply> + use<'a, M> {
        let request = self.request(source, message);
        let path = self.path_of(source);
        self.send_to(&path, request)
    }

    /// Sends a request to a path of your own, such as one with a wrong secret: `/in/<source>/<path secret>`.
    ///
    /// # Panics
    /// If the path can't be one.
    #[track_caller]
    pub fn send_to<'a>(
        &'a mut self,
        path: &str,
        request: SignedRequest,
    ) -> impl Future<Output = Reply> + use<'a> {
        let uri = match &request.query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let uri = match uri.parse() {
            Ok(uri) => uri,
            Err(error) => {
                panic!("{path:?} is no path: {error}; one like \"/in/cafe\", percent-encoded, expected")
            }
        };
        self.last_sent = Some((uri, request));
        self.repeat()
    }

    /// Sends the last request again, to the byte, as senders do that have seen no reply.
    ///
    /// # Panics
    /// If nothing has been sent yet.
    #[track_caller]
    pub fn repeat(&mut self) -> impl Future<Output = Reply> {
        let Some((uri, SignedRequest { method, headers, body, .. })) = self.last_sent.clone() else {
            panic!("there is nothing to repeat: send something first")
        };
        let mut request = http::Request::new(Full::new(Bytes::from(body)));
        (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
        self.deliver(request)
    }

    /// The request by which a source's sender would deliver a message now, to the source's own path: to be changed, sent by
    /// [`send`](Self::send) or [`send_to`](Self::send_to), and sent again.
    ///
    /// # Panics
    /// If there is no such source, or the message can't be signed for it.
    #[track_caller]
    pub fn request(&mut self, source: &str, message: impl Message) -> SignedRequest {
        self.made += 1;
        let provider = Aimed { provider: self.source(source).provider.clone(), path: self.path_of(source) };
        // No closure: that would be where a panic comes from.
        match message.signed_by(&provider, self.clock.now(), self.made) {
            Ok(request) => request,
            Err(error) => panic!("the source {source:?} can't be sent this: {error}"),
        }
    }

    /// Runs jobs until none waits any more: until each is done, dead or discarded. Time moves from one due attempt to
    /// the next. Returns [`jobs`](Self::jobs).
    pub async fn run(&mut self) -> &[JobReport] {
        while self.run_next().await.is_some() {}
        &self.jobs
    }

    /// Runs the jobs that are due now, and leaves time alone. Returns [`jobs`](Self::jobs).
    pub async fn run_due(&mut self) -> &[JobReport] {
        self.advance(Duration::ZERO).await
    }

    /// Lets time pass: runs the attempts that become due on the way, each at its own time. Returns
    /// [`jobs`](Self::jobs).
    pub async fn advance(&mut self, by: Duration) -> &[JobReport] {
        let until = self.now().plus(by);
        while let Some(next) = self.next().filter(|next| next.due <= until) {
            self.attempt(next).await;
        }
        self.clock.advance(until.since(self.now()));
        &self.jobs
    }

    /// Runs one attempt: the next one that is due, at its time. Returns its job; `None` if none waits.
    pub async fn run_next(&mut self) -> Option<&JobReport> {
        let next = self.next()?;
        let id = self.attempt(next).await;
        self.jobs.iter().find(|job| job.id == id)
    }

    /// Queues a job again, whatever became of it.
    ///
    /// # Panics
    /// If there is no such job, or it waits for its first attempt anyway.
    pub async fn replay(&mut self, job: JobId) {
        let delivery = self.job(job).delivery_id;
        let held = Hold::begin();
        let replayed = self.store().replay(delivery, ReplayJobs::One(job)).await.unwrap_or_else(broken);
        assert!(replayed == 1, "job {job} can't be replayed: it is queued, and will run anyway");
        drop(held);
        self.refresh(delivery).await;
    }

    /// The jobs, in the order of their deliveries, events and routes.
    pub fn jobs(&self) -> &[JobReport] {
        &self.jobs
    }

    /// The job with this id.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn job(&self, id: JobId) -> &JobReport {
        match self.jobs.iter().find(|job| job.id == id) {
            Some(job) => job,
            None => panic!("there is no job {id}"),
        }
    }

    /// The deliveries that were stored, in the order in which they came.
    pub fn deliveries(&self) -> &[DeliveryReport] {
        &self.deliveries
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The clock.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    fn store(&self) -> &dyn Store {
        &*self.runner.store
    }

    /// The path that a source's sender was given.
    #[track_caller]
    fn path_of(&self, source: &str) -> String {
        let path = format!("/in/{}", encode(source.as_bytes()));
        match self.source(source).path_secrets.iter().next() {
            Some(secret) => format!("{path}/{}", encode(secret.expose())),
            None => path,
        }
    }

    #[track_caller]
    fn source(&self, name: &str) -> &Source {
        let Some(source) = self.sources.get(name) else {
            let mut known: Vec<_> = self.sources.keys().map(String::as_str).collect();
            known.sort_unstable();
            panic!("there is no source {name:?}; there are: {}", known.join(", "))
        };
        source
    }

    async fn deliver(&mut self, request: http::Request<Full<Bytes>>) -> Reply {
        let held = Hold::begin();
        let mut told = self.live.watch();
        let answer = self.ingress.answer(request, clock::instant()).await;
        drop(held);
        let (status, headers) = (answer.status(), answer.headers().clone());
        // Infallible.
        let body = answer.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
        // What is not told of has no place in the journal: an empty probe.
        let (mut outcome, mut delivery) = (Outcome::Test, None);
        while let Ok(item) = told.try_recv() {
            if let LiveItem::Delivery { outcome: word, id, .. } = item {
                (outcome, delivery) = (outcome_of(word), id);
            }
        }
        let mut reason = None;
        if outcome == Outcome::Refused {
            reason = self.refused.newest_first().into_iter().next().map(|refused| refused.detail);
        }
        if let Some(id) = delivery {
            self.refresh(id).await;
            let stored = self.deliveries.iter().find(|delivery| delivery.id == id);
            reason = stored.and_then(|delivery| delivery.reason.clone());
        }
        Reply { status, headers, body, outcome, delivery, reason }
    }

    /// The attempt that is due first.
    fn next(&self) -> Option<Next> {
        let waiting = self.jobs.iter().filter_map(|job| Some((job.due_at?, job)));
        // The jobs stand in their order, and the first of equals is taken.
        let (due, job) = waiting.min_by_key(|(due, _)| *due)?;
        Some(Next { due, job: job.id, route: self.turnstile.position(&job.route), delivery: job.delivery_id })
    }

    /// Moves time to when this attempt is due, and runs it.
    async fn attempt(&mut self, next: Next) -> JobId {
        self.clock.advance(next.due.since(self.now()));
        let held = Hold::begin();
        self.turnstile.open(next.route);
        // Whatever the store does, it claims first; its answer says that it has.
        self.store().stats().await.unwrap_or_else(broken);
        let claimed = if self.turnstile.was_used() { self.claims.recv().await } else { None };
        drop(held);
        let Some(claimed) = claimed else {
            self.refresh(next.delivery).await;
            assert!(self.job(next.job).due_at.is_none(), "job {} is due and is not run: a bug", next.job);
            return next.job;
        };
        let delivery = claimed.lease.delivery;
        let id = delivery.event(claimed.lease.event).job(&claimed.lease.route);
        let paused = PausedTime::begin();
        let attempted = self.runner.attempt(id, claimed, self.cut_off.subscribe()).await;
        self.clock.advance(paused.passed());
        if let Some(attempted) = attempted {
            let _held = Hold::begin();
            self.runner.record(attempted, self.cut_off.subscribe()).await;
        }
        self.refresh(delivery).await;
        id
    }

    /// Reads a delivery and its jobs anew.
    async fn refresh(&mut self, id: DeliveryId) {
        let Some(record) = self.store().delivery(id).await.unwrap_or_else(broken) else { return };
        let summary = &record.summary;
        let mut jobs: Vec<_> =
            summary.jobs.iter().map(|job| JobReport::of(job, summary, &record.attempts)).collect();
        jobs.sort_by_key(|job| (job.event_id, self.turnstile.position(&job.route)));
        let at = self.jobs.partition_point(|job| job.delivery_id < id);
        let end = self.jobs.partition_point(|job| job.delivery_id <= id);
        self.jobs.splice(at..end, jobs);
        let report = DeliveryReport::of(summary);
        match self.deliveries.binary_search_by_key(&id, |delivery| delivery.id) {
            Ok(at) => self.deliveries[at] = report,
            Err(at) => self.deliveries.insert(at, report),
        }
    }
}

impl fmt::Debug for TestReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestReceiver")
            .field("now", &self.now())
            .field("folder", &self.folder.path())
            .field("deliveries", &self.deliveries)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}

/// A source's provider that signs for the source's own path, whatever the message is.
struct Aimed {
    provider: Arc<dyn Provider>,
    path: String,
}

/// Without the path, which may hold a secret.
impl fmt::Debug for Aimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.provider.fmt(f)
    }
}

impl Provider for Aimed {
    fn name(&self) -> &str {
        self.provider.name()
    }

    fn authenticate(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Refusal> {
        self.provider.authenticate(request, now)
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        self.provider.parse(request)
    }

    fn profile(&self) -> Profile {
        self.provider.profile()
    }

    fn known_kinds(&self) -> &[&str] {
        self.provider.known_kinds()
    }

    fn verify(&self, request: &Request<'_>, now: Timestamp) -> Result<Verdict, Refusal> {
        self.provider.verify(request, now)
    }

    fn sign_request(&self, id: &str, now: Timestamp, body: Vec<u8>) -> Result<SignedRequest, SignError> {
        self.provider.sign_request_to(&self.path, id, now, body)
    }
}

/// An attempt that is due.
struct Next {
    due: Timestamp,
    job: JobId,
    route: usize,
    delivery: DeliveryId,
}

/// Keeps a Tokio clock that is paused from being moved on while the store's own thread is waited for: Tokio leaves it
/// alone as long as a blocking task runs.
struct Hold {
    _release: std::sync::mpsc::Sender<()>,
}

impl Hold {
    fn begin() -> Self {
        let (release, released) = std::sync::mpsc::channel();
        tokio::task::spawn_blocking(move || {
            // An error is what ends it: the sender is gone.
            let _ = released.recv();
        });
        Self { _release: release }
    }
}

fn outcome_of(word: &str) -> Outcome {
    match word {
        "accepted" => Outcome::Accepted,
        "duplicate" => Outcome::Duplicate,
        "quarantined" => Outcome::Quarantined,
        "test" => Outcome::Test,
        "refused" => Outcome::Refused,
        _ => Outcome::Failed,
    }
}

fn encode(segment: &[u8]) -> String {
    percent_encode(segment, NON_ALPHANUMERIC).to_string()
}

fn no_folder(source: io::Error) -> BuildError {
    OpenError::Io { path: std::env::temp_dir(), source }.into()
}

#[expect(clippy::needless_pass_by_value, reason = "made for `unwrap_or_else`")]
fn broken<T>(error: StoreError) -> T {
    panic!("the test's store is broken: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Receiver, provider::Poster, testing::Sample};

    #[tokio::test]
    async fn nothing_is_left_on_disk() {
        let builder =
            Receiver::builder().source("cafe", Poster::new("secret")).on("cafe", "*", async || Ok(()));
        let mut doorbell = TestReceiver::start(builder).await.unwrap();
        doorbell.send("cafe", Sample::Poster).await;
        doorbell.run().await;
        let folder = doorbell.folder.path().to_owned();
        assert!(folder.join("journal-0").is_dir());
        drop(doorbell);
        assert!(!folder.exists());
    }
}
