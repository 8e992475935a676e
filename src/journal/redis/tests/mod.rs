//! What only this store promises; what every store does is in `conformance`.

mod bundles;
mod clocks;
mod feeding;
mod hosts;
mod lanes;
mod link;
mod reading;
mod safety;
#[allow(dead_code, reason = "the tests of the service use what is not used here")]
#[path = "../../../../tests/support/redis/mod.rs"]
pub(crate) mod servers;
mod stream;
mod sweeping;
mod topology;
mod trouble;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::oneshot;

use self::servers::RedisServer as Server;
use super::{Redis, RedisAddress, RedisOptions, answer, core::Core, feeder::Command};
use crate::{
    clock::{Clock, ManualClock},
    delivery::{DeliveryId, IdGenerator},
    journal::{
        Demand, NewDelivery, Store,
        conformance::{Fixture, LEASE, MAX_CRASHES, World, conformance_suite},
        sealed::Sealed,
    },
};

/// Far beyond what anything here takes: only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A lease so long that what is done about it by time comes far too late for a test.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A store on a server of its own, with so many lanes.
struct Shared<const LANES: u32> {
    server: Arc<Server>,
    clock: ManualClock,
    /// `None` only while it is opened anew.
    store: Option<Redis>,
}

mod one_lane {
    use super::*;

    conformance_suite!(Shared<1>);
}

mod four_lanes {
    use super::*;

    conformance_suite!(Shared<4>);
}

#[async_trait]
impl<const LANES: u32> Fixture for Shared<LANES> {
    const ONE_QUEUE: bool = LANES == 1;

    async fn new(clock: ManualClock) -> Self {
        let server = Arc::new(Server::start(&[]));
        let store = Some(open(options(&server, LANES), &clock, "host").await);
        Self { server, clock, store }
    }

    fn store(&self) -> &dyn Store {
        self.redis()
    }

    async fn crash(&mut self) {
        self.store = None;
        self.store = Some(open(options(&self.server, LANES), &self.clock, "host").await);
    }

    async fn mature(&self) {}

    async fn quiesce(&self) {
        self.redis().pass().await;
    }
}

impl<const LANES: u32> Shared<LANES> {
    fn redis(&self) -> &Redis {
        self.store.as_ref().unwrap()
    }

    /// Another host at the same Redis.
    async fn beside(&self, host: &str) -> World<Self> {
        let store = Some(open(options(&self.server, LANES), &self.clock, host).await);
        let fixture = Self { server: self.server.clone(), clock: self.clock.clone(), store };
        World { fixture, clock: self.clock.clone(), ids: IdGenerator::new().unwrap() }
    }
}

impl Redis {
    /// Waits until nothing more can be claimed.
    async fn pass(&self) {
        let (reply, passed) = oneshot::channel();
        self.feeder.tell(Command::Pass(reply));
        passed.await.expect("the feeder is alive");
    }
}

fn options(server: &Server, lanes: u32) -> RedisOptions {
    let options = RedisOptions::new(RedisAddress::new([server.url()]));
    RedisOptions { lanes, lease: LEASE, max_crashes: MAX_CRASHES, ..options }
}

/// Opens a store that takes the time from the test's clock.
async fn open(options: RedisOptions, clock: &(impl Clock + Clone), host: &str) -> Redis {
    let core = Core::new(options, Arc::new(clock.clone()), host, true).unwrap();
    Redis::start(core, PATIENCE).await.unwrap()
}

/// As a relay offers them.
fn sealed(batch: &[NewDelivery]) -> Vec<Sealed> {
    batch.iter().cloned().map(Sealed::from).collect()
}

/// The key of the bundle that holds a delivery of lane 0, and nothing else.
async fn bundle_key(store: &Redis, id: DeliveryId) -> Vec<u8> {
    let mut find = redis::cmd("ZRANGEBYLEX");
    find.arg("{doorbell:0}:index")
        .arg([b"[", &id.as_bytes()[..]].concat())
        .arg("+")
        .arg("LIMIT")
        .arg(0)
        .arg(1);
    let members = answer::list(store.core.link.command(0, &find).await.unwrap()).unwrap();
    let member = answer::bytes(members.into_iter().next().unwrap()).unwrap();
    let name = member.strip_prefix(&id.as_bytes().repeat(2)[..]).expect("it is in a bundle of its own");
    [b"{doorbell:0}:bundle:", name].concat()
}

/// So many free slots for each of these routes, for a store that no case has for itself.
struct Slots {
    routes: Vec<Arc<str>>,
    free: Vec<std::sync::atomic::AtomicUsize>,
}

impl Slots {
    fn new(routes: &[(&str, usize)]) -> Arc<Self> {
        let (routes, free) = routes.iter().map(|(route, free)| (Arc::from(*route), (*free).into())).unzip();
        Arc::new(Self { routes, free })
    }
}

impl Demand for Slots {
    fn routes(&self) -> &[Arc<str>] {
        &self.routes
    }

    fn free(&self, route: usize) -> usize {
        self.free[route].load(Ordering::SeqCst)
    }

    fn pool(&self) -> usize {
        0
    }

    fn claimed(&self, route: usize, jobs: usize) {
        self.free[route].fetch_sub(jobs, Ordering::SeqCst);
    }

    fn not_claimed(&self, route: usize, jobs: usize) {
        self.free[route].fetch_add(jobs, Ordering::SeqCst);
    }
}
