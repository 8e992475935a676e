//! Every shape that Redis comes in keeps what all stores promise.

use std::{
    ops::Deref,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{
    open,
    servers::{Cluster, PRIMARY, RedisServer, Sentinels},
};
use crate::{
    clock::ManualClock,
    journal::{
        Store,
        conformance::{Fixture, LEASE, MAX_CRASHES, conformance_suite},
        redis::{Redis, RedisAddress, RedisOptions},
    },
};

/// Three nodes of a Cluster, and a store over many hash slots.
struct OnCluster {
    cluster: Lent<Cluster>,
    clock: ManualClock,
    /// `None` only while it is opened anew.
    store: Option<Redis>,
}

mod cluster {
    use super::*;

    conformance_suite!(OnCluster);
}

static CLUSTERS: Pool<Cluster> = Pool::new();

#[async_trait]
impl Fixture for OnCluster {
    const ONE_QUEUE: bool = false;

    async fn new(clock: ManualClock) -> Self {
        let cluster = CLUSTERS.lend(|| Cluster::start(3)).await;
        cluster.empty();
        let mut new = Self { cluster, clock, store: None };
        new.crash().await;
        new
    }

    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }

    async fn crash(&mut self) {
        self.store = None;
        let options =
            RedisOptions { lanes: 16, ..RedisOptions::new(RedisAddress::new(self.cluster.urls()).cluster()) };
        self.store = Some(open(as_tested(options), &self.clock, "host").await);
    }

    async fn mature(&self) {}

    async fn quiesce(&self) {
        self.store.as_ref().unwrap().pass().await;
    }
}

/// A primary that three Sentinels name.
struct BehindSentinels {
    servers: Lent<Watched>,
    clock: ManualClock,
    /// `None` only while it is opened anew.
    store: Option<Redis>,
}

struct Watched {
    primary: RedisServer,
    sentinels: Sentinels,
}

mod sentinels {
    use super::*;

    conformance_suite!(BehindSentinels);
}

static WATCHED: Pool<Watched> = Pool::new();

#[async_trait]
impl Fixture for BehindSentinels {
    async fn new(clock: ManualClock) -> Self {
        let start = || {
            let primary = RedisServer::start(&[]);
            let sentinels = Sentinels::start(&primary, 0);
            Watched { primary, sentinels }
        };
        let servers = WATCHED.lend(start).await;
        servers.primary.empty();
        let mut new = Self { servers, clock, store: None };
        new.crash().await;
        new
    }

    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }

    async fn crash(&mut self) {
        self.store = None;
        let options = RedisOptions::new(RedisAddress::new(self.servers.sentinels.urls()).sentinel(PRIMARY));
        self.store = Some(open(as_tested(options), &self.clock, "host").await);
    }

    async fn mature(&self) {}

    async fn quiesce(&self) {
        self.store.as_ref().unwrap().pass().await;
    }
}

fn as_tested(options: RedisOptions) -> RedisOptions {
    RedisOptions { lease: LEASE, max_crashes: MAX_CRASHES, ..options }
}

/// Servers that take long to agree with each other go from case to case. They end with the process.
struct Pool<T: 'static>(Mutex<Vec<T>>);

/// Goes back to its pool when it is dropped.
struct Lent<T: 'static> {
    /// `None` only while it is dropped.
    what: Option<T>,
    pool: &'static Pool<T>,
}

impl<T: Send + 'static> Pool<T> {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// One that nobody has, or else a new one.
    async fn lend(&'static self, start: impl FnOnce() -> T + Send + 'static) -> Lent<T> {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let what = match idle {
            Some(idle) => idle,
            None => tokio::task::spawn_blocking(start).await.unwrap(),
        };
        Lent { what: Some(what), pool: self }
    }
}

impl<T> Deref for Lent<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.what.as_ref().expect("it is lent until it is dropped")
    }
}

impl<T: 'static> Drop for Lent<T> {
    fn drop(&mut self) {
        self.pool.0.lock().unwrap_or_else(PoisonError::into_inner).extend(self.what.take());
    }
}
