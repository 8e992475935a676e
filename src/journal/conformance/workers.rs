//! Workers as a store sees them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc::{UnboundedReceiver, error::TryRecvError};

use super::{Fixture, World};
use crate::journal::{ClaimedJob, Demand};

/// How long to wait for what must come. Only a failing test waits so long.
const HANG: Duration = Duration::from_secs(60);

/// Workers of some routes, and the jobs that were handed to them.
pub(crate) struct Workers {
    slots: Arc<Slots>,
    jobs: UnboundedReceiver<ClaimedJob>,
}

#[derive(Debug)]
struct Slots {
    routes: Vec<Arc<str>>,
    /// Each route's own.
    free: Vec<AtomicUsize>,
    /// For every route.
    pool: AtomicUsize,
}

impl Workers {
    /// Workers with so many free slots for each of these routes.
    pub(crate) fn start<F: Fixture>(world: &World<F>, routes: &[(&str, usize)]) -> Self {
        Self::start_with_pool(world, routes, 0)
    }

    /// The same, and so many more for whichever route comes first.
    pub(crate) fn start_with_pool<F: Fixture>(
        world: &World<F>,
        routes: &[(&str, usize)],
        pool: usize,
    ) -> Self {
        let slots = Arc::new(Slots {
            routes: routes.iter().map(|(route, _)| Arc::from(*route)).collect(),
            free: routes.iter().map(|(_, free)| AtomicUsize::new(*free)).collect(),
            pool: pool.into(),
        });
        Self { jobs: world.store().claims(slots.clone()), slots }
    }

    /// The next job that was handed out.
    pub(crate) async fn next(&mut self) -> ClaimedJob {
        let next = tokio::time::timeout(HANG, self.jobs.recv()).await;
        next.expect("a job is handed out").expect("the store goes on handing out jobs")
    }

    /// All jobs that have been handed out by now.
    pub(crate) async fn all<F: Fixture>(&mut self, world: &World<F>) -> Vec<ClaimedJob> {
        world.fixture.quiesce().await;
        let mut jobs = Vec::new();
        loop {
            match self.jobs.try_recv() {
                Ok(job) => jobs.push(job),
                Err(TryRecvError::Empty) => return jobs,
                Err(TryRecvError::Disconnected) => panic!("the store no longer hands out jobs"),
            }
        }
    }

    /// Asserts that no job has been handed out that was not taken yet.
    pub(crate) async fn idle<F: Fixture>(&mut self, world: &World<F>) {
        let jobs = self.all(world).await;
        assert!(jobs.is_empty(), "handed out: {jobs:?}");
    }

    /// Frees so many more slots, and says so to the store.
    pub(crate) fn free<F: Fixture>(&self, world: &World<F>, route: &str, slots: usize) {
        let index = self.slots.routes.iter().position(|name| **name == *route).unwrap();
        self.slots.free[index].fetch_add(slots, Ordering::SeqCst);
        world.store().wake();
    }

    /// How many slots of a route are free.
    pub(crate) fn free_now(&self, route: &str) -> usize {
        let index = self.slots.routes.iter().position(|name| **name == *route).unwrap();
        self.slots.free[index].load(Ordering::SeqCst)
    }
}

impl Demand for Slots {
    fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }

    fn free(&self, route: usize) -> usize {
        self.free[route].load(Ordering::SeqCst) + self.pool()
    }

    fn pool(&self) -> usize {
        self.pool.load(Ordering::SeqCst)
    }

    fn claimed(&self, route: usize, jobs: usize) {
        // More than there are would wrap around, and panic in the store's thread.
        let free = self.free(route);
        assert!(free >= jobs, "{jobs} jobs were claimed for {free} free slots");
        let own = jobs.min(self.free[route].load(Ordering::SeqCst));
        self.free[route].fetch_sub(own, Ordering::SeqCst);
        self.pool.fetch_sub(jobs - own, Ordering::SeqCst);
    }

    fn not_claimed(&self, route: usize, jobs: usize) {
        self.free[route].fetch_add(jobs, Ordering::SeqCst);
    }
}
