use std::{sync::atomic::Ordering, time::Duration};

use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    clock::{self, Clock, SystemClock},
    delivery::IdGenerator,
    handler::{Capacity, Handler, HandlerError, Job},
    journal::{JobState, NewContent, NewDelivery, NewEvent, Sqlite, SqliteOptions},
    live::Live,
    metrics::Metrics,
    provider::{ParsedEvent, Slices},
    route::{Pattern, RetryPolicy, Route, SourceFilter},
};

/// Notes each job, and can be told to panic when it is asked for its capacity.
struct Sink {
    handled: mpsc::UnboundedSender<Job>,
    panics_when_asked: bool,
}

impl Handler for Sink {
    fn handle(&self, job: Job) -> BoxFuture<'static, Result<(), HandlerError>> {
        let sent = self.handled.send(job);
        Box::pin(async move { Ok(sent?) })
    }

    fn capacity(&self, _: usize) -> Capacity {
        assert!(!self.panics_when_asked, "made to panic");
        Capacity::UNLIMITED
    }
}

struct World {
    runner: Arc<Runner>,
    health: Arc<WorkerHealth>,
    ids: IdGenerator,
    stop: oneshot::Sender<()>,
    workers: tokio::task::JoinHandle<()>,
    _data: tempfile::TempDir,
}

impl World {
    fn start(routes: Vec<(&str, Sink)>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Sqlite::open(SqliteOptions::new(data.path()), clock.clone()).unwrap();
        let routes = routes.into_iter().map(|(name, sink)| HandledRoute {
            name: name.into(),
            route: Route {
                name: name.into(),
                sources: SourceFilter::Any,
                events: vec![Pattern::new("*")],
                retry: RetryPolicy::default(),
                timeout: Route::DEFAULT_TIMEOUT,
            },
            handler: Arc::new(sink),
        });
        let runner = Arc::new(Runner {
            store: Arc::new(store),
            dispatcher: Arc::new(Dispatcher::new(routes.collect(), 8)),
            metrics: Metrics::new(),
            live: Live::new(),
            clock,
            mask: crate::provider::Mask::default(),
            giving_back: GivingBack::default(),
            renew_every: Duration::from_secs(10),
            worker_dies: false.into(),
        });
        let health = Arc::<WorkerHealth>::default();
        let (stop, stopped) = oneshot::channel();
        let stopped = async move { drop(stopped.await) };
        let workers = tokio::spawn(run(runner.clone(), health.clone(), stopped, Duration::from_secs(5)));
        Self { runner, health, ids: IdGenerator::new().unwrap(), stop, workers, _data: data }
    }

    async fn accept(&self, route: &str) {
        let now = self.runner.clock.now();
        let event = ParsedEvent { kind: "a.b".into(), subject: None, occurred_at: None, data: Slices::WHOLE };
        let delivery = NewDelivery {
            id: self.ids.next(now, 1),
            source: "cafe".into(),
            provider: "poster".into(),
            received_at: now,
            sender_id: None,
            dedupe: None,
            content_type: None,
            headers: "[]".into(),
            body: "{}".into(),
            content: NewContent::Events(vec![NewEvent { event, routes: vec![route.into()] }]),
            give_up_at: clock::instant() + Duration::from_secs(60),
        };
        self.runner.store.accept(delivery).await.unwrap();
    }

    async fn stop(self) {
        drop(self.stop);
        self.workers.await.unwrap();
    }
}

fn sink(panics_when_asked: bool) -> (Sink, mpsc::UnboundedReceiver<Job>) {
    let (handled, jobs) = mpsc::unbounded_channel();
    (Sink { handled, panics_when_asked }, jobs)
}

#[tokio::test]
async fn a_worker_that_dies_is_restarted_and_readiness_says_so_meanwhile() {
    let (sink, mut jobs) = sink(false);
    let world = World::start(vec![("route", sink)]);
    world.accept("route").await;
    jobs.recv().await.unwrap();
    assert_eq!(world.health.trouble(), None);

    world.runner.worker_dies.store(true, Ordering::SeqCst);
    // Its next poll is its last; the restarted one rests first, and then takes the job.
    world.accept("route").await;
    while world.runner.worker_dies.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    jobs.recv().await.unwrap();
    assert_eq!(world.health.restarts(), 1);
    assert_eq!(world.health.trouble(), None);
    world.stop().await;
}

#[tokio::test]
async fn before_the_first_worker_runs_readiness_says_so() {
    let trouble = WorkerHealth::default().trouble().unwrap();
    assert!(trouble.contains("no worker is running"), "{trouble}");
    let health = WorkerHealth::default();
    health.started();
    health.died("a bug");
    let trouble = health.trouble().unwrap();
    assert!(trouble.contains("a bug") && trouble.contains("restarted"), "{trouble}");
}

#[tokio::test]
async fn a_handler_that_panics_when_asked_for_its_capacity_harms_no_other() {
    let ((broken, _), (fine, mut jobs)) = (sink(true), sink(false));
    let world = World::start(vec![("broken", broken), ("fine", fine)]);
    world.accept("broken").await;
    world.accept("fine").await;
    jobs.recv().await.unwrap();
    assert_eq!(world.runner.store.stats().await.unwrap().jobs_in(JobState::Queued), 1);
    world.stop().await;
}
