//! A store that does as it is told, a provider that any test can read, a client that writes raw bytes.

use std::{
    collections::HashMap,
    future::pending,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use crate::{
    clock::{ManualClock, Timestamp},
    delivery::{DeliveryId, IdGenerator, JobId},
    ingress::{Ingress, IngressContext, Limits, Listener, RefusedLog, serve},
    journal::{
        Accepted, ClaimedJob, DeliveryRecord, DeliverySummary, Demand, Discarded, Filter, Health, JobRecord,
        Lease, NewDelivery, NewEvent, Outcome, Page, ReplayJobs, Retention, Stats, Store, StoreError, Swept,
    },
    live::Live,
    metrics::{Metrics, OutcomeLabels, RefusalLabels, SourceLabels},
    provider::{
        Parsed, ParsedEvent, Profile, Provider, Refusal, Reply, Request, SenderId, Slices, Unparsable,
    },
    route::{Route, SourceFilter},
    source::Source,
};

/// Longer than anything here takes on the slowest machine.
pub(in crate::ingress) const LONG: Duration = Duration::from_secs(30);

/// What the store does with the next deliveries.
#[derive(Debug, Clone)]
pub(in crate::ingress) enum Script {
    New,
    IdReused,
    Duplicate(DeliveryId),
    Unavailable,
    TooLate,
    /// Waits for a permit, then stores.
    Gate(Arc<Semaphore>),
    Never,
}

pub(in crate::ingress) struct FakeStore {
    script: Mutex<Script>,
    begun: mpsc::UnboundedSender<NewDelivery>,
    stored: mpsc::UnboundedSender<NewDelivery>,
}

#[async_trait]
impl Store for FakeStore {
    async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        let _ = self.begun.send(delivery.clone());
        let script = self.script.lock().unwrap().clone();
        match script {
            Script::Duplicate(original) => return Ok(Accepted::Duplicate { original }),
            Script::Unavailable => return Err(StoreError::Unavailable("the disk is full".into())),
            Script::TooLate => return Err(StoreError::TooLate),
            Script::Gate(gate) => gate.acquire().await.unwrap().forget(),
            Script::Never => pending().await,
            Script::New | Script::IdReused => {}
        }
        let _ = self.stored.send(delivery);
        Ok(Accepted::New { id_reused: matches!(*self.script.lock().unwrap(), Script::IdReused) })
    }

    fn claims(&self, _: Arc<dyn Demand>) -> mpsc::UnboundedReceiver<ClaimedJob> {
        mpsc::unbounded_channel().1
    }

    fn wake(&self) {}

    async fn settle(&self, _: Lease, _: Outcome) -> Result<(), StoreError> {
        unused()
    }

    async fn renew(&self, _: Vec<Lease>) -> Result<Vec<Lease>, StoreError> {
        unused()
    }

    async fn deliveries(&self, _: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        unused()
    }

    async fn jobs(&self, _: Filter) -> Result<Page<JobRecord>, StoreError> {
        unused()
    }

    async fn delivery(&self, _: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        unused()
    }

    async fn job(&self, _: JobId) -> Result<Option<JobRecord>, StoreError> {
        unused()
    }

    async fn locate(&self, _: uuid::Uuid) -> Result<Option<DeliveryId>, StoreError> {
        unused()
    }

    async fn replay(&self, _: DeliveryId, _: ReplayJobs) -> Result<usize, StoreError> {
        unused()
    }

    async fn discard(&self, _: JobId) -> Result<Discarded, StoreError> {
        unused()
    }

    async fn reroute(&self, _: DeliveryId, _: Vec<NewEvent>) -> Result<usize, StoreError> {
        unused()
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        unused()
    }

    async fn sweep(&self, _: Retention) -> Result<Swept, StoreError> {
        unused()
    }

    fn health(&self) -> Health {
        Health { trouble: None, warning: None }
    }
}

fn unused<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("the ingress only accepts".into()))
}

/// Proof: `x-proof: right`. The body is a list of kinds, or says what is to happen. `x-id` is the signed id.
#[derive(Debug, Clone, Copy)]
pub(in crate::ingress) struct Toy;

impl Provider for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn authenticate(&self, request: &Request<'_>, _: Timestamp) -> Result<(), Refusal> {
        if request.path_secret_matched {
            return Ok(());
        }
        match request.header("x-proof") {
            Some("right") => Ok(()),
            Some(_) => Err(Refusal::WrongProof("x-proof".into())),
            None => Err(Refusal::MissingProof("x-proof".into())),
        }
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        let sender_id =
            request.header("x-id").map(|value| SenderId { value: value.to_owned(), signed: true });
        match request.body {
            b"test" => Ok(Parsed::Test),
            b"odd" => Err(Unparsable::new("odd").with_sender_id(sender_id)),
            b"bug" => panic!("a bug in the provider"),
            body => {
                let event = |kind: &str| ParsedEvent {
                    kind: kind.to_owned(),
                    subject: None,
                    occurred_at: None,
                    data: Slices::WHOLE,
                };
                let text = String::from_utf8_lossy(&body[..body.len().min(100)]);
                Ok(Parsed::Events { sender_id, events: text.split(',').map(event).collect() })
            }
        }
    }

    fn profile(&self) -> Profile {
        Profile {
            deadline: Duration::from_secs(20),
            success: Reply::json(r#"{"status":"toy"}"#),
            ..Profile::default()
        }
    }
}

/// A running ingress with the sources `plain` (signed), `locked` (path secrets `s/1` and `s2`) and what a test adds.
pub(in crate::ingress) struct Harness {
    pub(in crate::ingress) address: SocketAddr,
    pub(in crate::ingress) ingress: Ingress,
    pub(in crate::ingress) metrics: Metrics,
    pub(in crate::ingress) live: Live,
    pub(in crate::ingress) refused: Arc<RefusedLog>,
    pub(in crate::ingress) begun: mpsc::UnboundedReceiver<NewDelivery>,
    pub(in crate::ingress) stored: mpsc::UnboundedReceiver<NewDelivery>,
    store: Arc<FakeStore>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Harness {
    pub(in crate::ingress) fn start() -> Self {
        Self::with(Limits::default(), [])
    }

    pub(in crate::ingress) fn with(
        limits: Limits,
        more: impl IntoIterator<Item = (&'static str, Source)>,
    ) -> Self {
        Self::on(Listener::bind(([127, 0, 0, 1], 0).into()).unwrap(), limits, more)
    }

    /// One whose requests under way have this long to end.
    pub(in crate::ingress) fn with_grace(shutdown_grace: Duration) -> Self {
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).unwrap();
        Self::begin(listener, Limits::default(), shutdown_grace, [])
    }

    pub(in crate::ingress) fn on(
        listener: Listener,
        limits: Limits,
        more: impl IntoIterator<Item = (&'static str, Source)>,
    ) -> Self {
        Self::begin(listener, limits, Duration::from_secs(25), more)
    }

    fn begin(
        listener: Listener,
        limits: Limits,
        shutdown_grace: Duration,
        more: impl IntoIterator<Item = (&'static str, Source)>,
    ) -> Self {
        let (begun_sender, begun) = mpsc::unbounded_channel();
        let (stored_sender, stored) = mpsc::unbounded_channel();
        let store = Arc::new(FakeStore {
            script: Mutex::new(Script::New),
            begun: begun_sender,
            stored: stored_sender,
        });
        let mut sources = HashMap::from([
            (Arc::from("plain"), Source::new(Toy)),
            (Arc::from("locked"), Source::new(Toy).path_secret(["s/1", "s2"])),
        ]);
        sources.extend(more.into_iter().map(|(name, source)| (Arc::from(name), source)));
        let (metrics, live, refused) = (Metrics::new(), Live::new(), Arc::<RefusedLog>::default());
        let ingress = Ingress::new(IngressContext {
            takes_in: true,
            sources,
            routes: Arc::new([
                route("stock", SourceFilter::Any, "stock.*"),
                route("all", SourceFilter::Named(vec!["plain".into()]), "*"),
            ]),
            store: store.clone(),
            ids: Arc::new(IdGenerator::new().unwrap()),
            metrics: metrics.clone(),
            live: live.clone(),
            refused: refused.clone(),
            clock: Arc::new(ManualClock::at(Timestamp::from_seconds(1_767_168_200))),
            limits,
            shutdown_grace,
        });
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(serve(listener, ingress.clone(), async move {
            let _ = stopped.await;
        }));
        Self { address, ingress, metrics, live, refused, begun, stored, store, stop: Some(stop), server }
    }

    pub(in crate::ingress) fn script(&self, script: Script) {
        *self.store.script.lock().unwrap() = script;
    }

    /// Lets the store store nothing until a permit is added.
    pub(in crate::ingress) fn gate(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.script(Script::Gate(gate.clone()));
        gate
    }

    pub(in crate::ingress) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(in crate::ingress) async fn send(&self, request: &str) -> Answer {
        let mut client = self.connect().await;
        client.write(request).await;
        client.answer().await
    }

    pub(in crate::ingress) fn count(&self, source: &str, outcome: &'static str) -> u64 {
        self.metrics.deliveries.get_or_create(&OutcomeLabels { source: source.into(), outcome }).get()
    }

    pub(in crate::ingress) fn refusals(&self, source: &str, reason: &'static str) -> u64 {
        self.metrics.refusals.get_or_create(&RefusalLabels { source: source.into(), reason }).get()
    }

    pub(in crate::ingress) fn labels(source: &str) -> SourceLabels {
        SourceLabels { source: source.into() }
    }

    /// Begins the shutdown without waiting for its end.
    pub(in crate::ingress) fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the server has ended.
    pub(in crate::ingress) async fn ended(self) {
        tokio::time::timeout(LONG, self.server).await.expect("the server ends").unwrap();
    }
}

fn route(name: &str, sources: SourceFilter, events: &str) -> Route {
    Route { name: name.into(), sources, ..Route::new("*", events) }
}

/// A delivery with a right proof.
pub(in crate::ingress) fn good(body: &str) -> String {
    post("/in/plain", "x-proof: right\r\n", body)
}

pub(in crate::ingress) fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

pub(in crate::ingress) struct Client(pub(in crate::ingress) TcpStream);

impl Client {
    pub(in crate::ingress) async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next reply.
    pub(in crate::ingress) async fn answer(&mut self) -> Answer {
        self.try_answer().await.expect("a reply")
    }

    /// The next reply; `None` if the server closed the connection without one.
    pub(in crate::ingress) async fn try_answer(&mut self) -> Option<Answer> {
        let head = self.head().await?;
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await.unwrap();
        Some(Answer { head, body: String::from_utf8(body).unwrap() })
    }

    /// The head of the next reply, for those to HEAD and interim ones.
    pub(in crate::ingress) async fn head(&mut self) -> Option<String> {
        let reading = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match self.0.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) if head.is_empty() => return None,
                    Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
                }
            }
            Some(String::from_utf8(head).unwrap())
        };
        tokio::time::timeout(LONG, reading).await.expect("a reply or the connection's end")
    }

    /// Waits until the server has closed the connection, which it must do without another byte.
    pub(in crate::ingress) async fn closed(&mut self) {
        assert!(self.head().await.is_none(), "nothing more was to come");
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::ingress) struct Answer {
    pub(in crate::ingress) head: String,
    pub(in crate::ingress) body: String,
}

impl Answer {
    pub(in crate::ingress) fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    pub(in crate::ingress) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// All of it but the time.
    pub(in crate::ingress) fn bytes(&self) -> String {
        let head: Vec<_> = self.head.lines().filter(|line| !line.starts_with("date: ")).collect();
        format!("{}\n{}", head.join("\n"), self.body)
    }
}
