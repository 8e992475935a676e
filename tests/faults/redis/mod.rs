//! The queue in Redis, and what breaks it: ingresses and workers as processes of their own, at a Redis of the test's
//! own, fed by senders that neither wait nor ask twice.
//!
//! What must hold in all of it: each delivery is acknowledged within its sender's deadline, whatever became of Redis,
//! and whatever was acknowledged is handled; twice only where a process or Redis' data was lost.

mod cluster;
mod failover;
mod hosts;
mod lost;
mod outages;
#[allow(dead_code, unused_imports, reason = "the tests of the store use what is not used here")]
#[path = "../../support/redis/mod.rs"]
mod servers;
mod vendors;

use std::{collections::BTreeSet, path::PathBuf};

use self::{servers::RedisServer, vendors::Vendors};
use crate::{
    service::{Service, Setup},
    sink::Sink,
    until,
};

/// One ingress, one worker, and the target of all events.
struct Site {
    sink: Sink,
    ingress: Service,
    worker: Service,
    /// What started them.
    _setups: [Setup; 2],
}

impl Site {
    /// Starts both, with these lines in `[queue]`.
    async fn start(queue: &str) -> Self {
        let sink = Sink::start().await;
        let setups = [ingress(&sink, queue), worker(&sink, queue)];
        let (ingress, worker) = tokio::join!(setups[0].start(), setups[1].start());
        Self { sink, ingress, worker, _setups: setups }
    }

    fn vendors(&self) -> Vendors {
        Vendors::start(&[&self.ingress])
    }

    /// Senders of other deliveries than these.
    fn vendors_after(&self, earlier: &BTreeSet<u64>) -> Vendors {
        Vendors::start_behind(earlier.last().copied().unwrap_or(0), &[&self.ingress])
    }

    /// Waits until all that the vendors were told is accepted has taken effect and is settled; the numbers.
    async fn settled(&self, vendors: Vendors) -> BTreeSet<u64> {
        let acknowledged = vendors.stop().await;
        self.sink.has(&acknowledged).await;
        is_relayed(&self.ingress).await;
        self.worker.is_idle().await;
        acknowledged
    }

    async fn stop(self) {
        tokio::join!(self.ingress.stop(), self.worker.stop());
    }
}

fn at(server: &RedisServer) -> String {
    format!("url = \"{}\"", server.url())
}

/// An ingress with a data folder of its own.
fn ingress(sink: &Sink, queue: &str) -> Setup {
    let mut setup = Setup::with_sink(sink).queued(queue);
    setup.arguments = vec!["--role", "ingress"];
    setup
}

/// An ingress whose data folder others have too.
fn ingress_in(sink: &Sink, queue: &str, data: PathBuf) -> Setup {
    ingress(sink, queue).data_in(data)
}

fn worker(sink: &Sink, queue: &str) -> Setup {
    let mut setup = Setup::with_sink(sink).queued(queue);
    setup.arguments = vec!["--role", "worker"];
    setup
}

/// How many deliveries wait in an ingress for Redis.
async fn backlog(ingress: &Service) -> u64 {
    ingress.json("/api/stats").await["relay"]["backlog"].as_u64().unwrap()
}

async fn is_relayed(ingress: &Service) {
    until("nothing waits in the journal", async || backlog(ingress).await == 0).await;
}

/// Waits until the ingress has noticed what became of Redis, and says that it can go on.
async fn knows_that_redis_is(ingress: &Service, state: &str) {
    until("the ingress knows how Redis is", async || {
        ingress.json("/api/stats").await["relay"]["redis"] == state
    })
    .await;
    assert!(ingress.is_ready().await, "an ingress is ready while it can commit");
}

/// Waits until so many more deliveries are acknowledged.
async fn goes_on(vendors: &Vendors, by: usize) {
    let before = vendors.acknowledged();
    until("deliveries are acknowledged", async || vendors.acknowledged() >= before + by).await;
}
