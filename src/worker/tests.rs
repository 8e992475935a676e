use std::{sync::atomic::Ordering, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::{
    clock::{self, Clock, ManualClock, SystemClock, Timestamp},
    delivery::IdGenerator,
    handler::{Capacity, Handler, HandlerError, Job, SharedHandler},
    journal::{JobState, NewContent, NewDelivery, NewEvent, Sqlite, SqliteOptions},
    live::Live,
    metrics::Metrics,
    provider::{ParsedEvent, Slices},
    route::Route,
};

/// Notes each job, and can be told to panic when it is asked for its capacity.
struct Sink {
    handled: mpsc::UnboundedSender<Job>,
    panics_when_asked: bool,
}

impl Handler for Sink {
    async fn handle(&self, job: Job) -> Result<(), HandlerError> {
        Ok(self.handled.send(job)?)
    }

    fn capacity(&self, _: usize) -> Capacity {
        assert!(!self.panics_when_asked, "made to panic");
        Capacity::UNLIMITED
    }
}

/// Blocks its thread until it is told to go on, as a handler should not do and some do.
struct Blocking {
    began: mpsc::UnboundedSender<()>,
    go_on: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Handler for Blocking {
    async fn handle(&self, _: Job) -> Result<(), HandlerError> {
        self.began.send(()).unwrap();
        self.go_on.lock().unwrap().recv().unwrap();
        Ok(())
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
        let routes = routes.into_iter().map(|(name, sink)| (name, Arc::new(sink) as SharedHandler));
        Self::start_at(Arc::new(SystemClock), routes.collect())
    }

    fn start_at(clock: Arc<dyn Clock>, routes: Vec<(&str, SharedHandler)>) -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = Sqlite::open(SqliteOptions::new(data.path()), clock.clone()).unwrap();
        let routes = routes.into_iter().map(|(name, handler)| HandledRoute {
            name: name.into(),
            route: Route { name: name.into(), ..Route::new("*", "*") },
            handler,
        });
        let runner = Arc::new(Runner {
            store: Arc::new(store),
            dispatcher: Arc::new(Dispatcher::new(routes.collect(), 8)),
            metrics: Metrics::new(),
            live: Live::new(),
            clock,
            mask: crate::provider::Mask::default(),
            giving_back: GivingBack::default(),
            leases: Leases::default(),
            renew_every: Duration::from_millis(1),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_keeps_its_lease() {
    let (began, mut begins) = mpsc::unbounded_channel();
    let (go_on, told) = std::sync::mpsc::channel();
    let clock = ManualClock::at(Timestamp::from_seconds(1_767_168_200));
    let handler = Blocking { began, go_on: told.into() };
    let world = World::start_at(Arc::new(clock.clone()), vec![("route", Arc::new(handler))]);
    world.accept("route").await;
    begins.recv().await.unwrap();
    let lease = SqliteOptions::new("").lease;
    let mut rounds = world.runner.leases.rounds.subscribe();
    for _ in 0..3 {
        clock.advance(lease.saturating_sub(Duration::from_millis(1)));
        // A round that began after the clock moved.
        let enough = *rounds.borrow() + 2;
        rounds.wait_for(|rounds| *rounds >= enough).await.unwrap();
    }
    go_on.send(()).unwrap();
    while world.runner.store.stats().await.unwrap().jobs_in(JobState::Done) == 0 {
        assert!(begins.try_recv().is_err(), "the job ran a second time");
        tokio::task::yield_now().await;
    }
    world.stop().await;
}
