//! One lane in trouble is no trouble of the others: here its hash slot is on its way to another node of the Cluster, and
//! all that is asked of it is refused.

use std::time::Duration;

use super::{
    super::{Redis, RedisAddress, RedisOptions, answer, lease::lane_of_token, link::prefix},
    DAY, PATIENCE, Slots, open,
    servers::{Cluster, RedisServer},
};
use crate::{
    clock::{Clock, ManualClock},
    delivery::IdGenerator,
    journal::{
        Accepted, Demand, Lease, Outcome, Store, StoreError,
        conformance::{LEASE, MAX_CRASHES, START, prepare, sent},
    },
};

const LANES: u32 = 4;
const MANY: usize = 100;

/// A store on a Cluster, and the leases of its jobs, which all run.
struct World {
    cluster: Cluster,
    clock: ManualClock,
    ids: IdGenerator,
    store: Redis,
    leases: Vec<Lease>,
}

impl World {
    async fn new() -> Self {
        Self::with_lease(LEASE).await
    }

    async fn with_lease(lease: Duration) -> Self {
        let cluster = tokio::task::spawn_blocking(|| Cluster::start(3)).await.unwrap();
        let clock = ManualClock::at(START);
        let store = open(RedisOptions { lease, ..options(&cluster) }, &clock, "host").await;
        let mut world = Self { cluster, clock, ids: IdGenerator::new().unwrap(), store, leases: Vec::new() };
        assert_eq!(world.accept().await, MANY);
        let mut jobs = world.store.claims(Slots::new(&[("a", MANY)]));
        while world.leases.len() < MANY {
            world.leases.push(jobs.recv().await.unwrap().lease);
        }
        world
    }

    /// Has many deliveries taken in; how many were.
    async fn accept(&self) -> usize {
        let mut accepted = 0;
        for _ in 0..MANY {
            match self.store.accept(prepare(&sent("{}"), &self.clock, &self.ids)).await {
                Ok(answer) => {
                    assert!(matches!(answer, Accepted::New { .. }), "{answer:?}");
                    accepted += 1;
                }
                Err(error) => assert!(matches!(error, StoreError::Unavailable(_)), "{error}"),
            }
        }
        accepted
    }

    fn in_lane(&self, lane: u32) -> Vec<Lease> {
        self.leases.iter().filter(|lease| lane_of_token(lease.token) == lane).cloned().collect()
    }

    /// How many leases of a lane are full ones from now.
    async fn renewed(&self, lane: u32) -> usize {
        let full = self.clock.now().plus(LEASE).as_millis();
        let mut count = redis::cmd("ZCOUNT");
        count.arg(format!("{}leases", prefix(lane))).arg(full).arg("+inf");
        let count = self.store.core.link.command(lane, &count).await.unwrap();
        usize::try_from(answer::uint(&count).unwrap()).unwrap()
    }
}

fn options(cluster: &Cluster) -> RedisOptions {
    let options = RedisOptions::new(RedisAddress::new(cluster.urls()).cluster());
    RedisOptions { lanes: LANES, lease: LEASE, max_crashes: MAX_CRASHES, ..options }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leases_of_the_others_are_renewed() {
    let world = World::new().await;
    world.clock.advance(LEASE / 2);
    let moving = world.cluster.begin_to_move(&prefix(0));
    let another = Lease { token: world.in_lane(1)[0].token + (1 << 20), ..world.in_lane(1)[0].clone() };
    let all = [&world.leases[..], std::slice::from_ref(&another)].concat();
    assert_eq!(world.store.renew(all).await.unwrap(), [another], "what is lost is told all the same");
    for lane in 1..LANES {
        assert_eq!(world.renewed(lane).await, world.in_lane(lane).len());
    }
    let none = world.store.renew(world.in_lane(0)).await;
    assert!(matches!(none, Err(StoreError::Unavailable(_))), "{none:?}");
    world.cluster.finish(moving);
    assert_eq!(world.renewed(0).await, 0);
    assert_eq!(world.store.renew(world.leases.clone()).await.unwrap(), []);
    for lease in world.leases {
        world.store.settle(lease, Outcome::Done).await.unwrap();
    }
    assert_eq!(world.store.stats().await.unwrap().jobs, [0, 0, 0, MANY as u64, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_jobs_begin_at_once() {
    let world = World::new().await;
    for lease in &world.leases {
        world.store.settle(lease.clone(), Outcome::Done).await.unwrap();
    }
    let moving = world.cluster.begin_to_move(&prefix(2));
    let slots = Slots::new(&[("a", 1)]);
    let mut jobs = world.store.claims(slots.clone());
    let rounds = async {
        for _ in 0..200 {
            // What goes to the lane that is away is refused.
            while world.store.accept(prepare(&sent("{}"), &world.clock, &world.ids)).await.is_err() {}
            let job = jobs.recv().await.unwrap();
            slots.not_claimed(0, 1);
            world.store.settle(job.lease, Outcome::Done).await.unwrap();
        }
    };
    // Each would wait for a second if the lane that is away held it up.
    tokio::time::timeout(Duration::from_secs(60), rounds).await.expect("they begin");
    world.cluster.finish(moving);
    world.store.pass().await;
    assert_eq!(world.store.stats().await.unwrap().jobs, [0, 0, 0, MANY as u64 + 200, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_fill_slots_whose_outcomes_wait_for_it() {
    const LATER: Duration = Duration::from_secs(3600);
    let world = World::with_lease(DAY).await;
    let slots = Slots::new(&[("a", 0)]);
    let mut jobs = world.store.claims(slots.clone());
    // They will be due, and nobody says so.
    for lane in 1..LANES {
        let again = Outcome::Retry { after: LATER, error: "not yet".into() };
        world.store.settle(world.in_lane(lane)[0].clone(), again).await.unwrap();
    }
    world.store.pass().await;
    world.clock.advance(LATER);
    let moving = world.cluster.begin_to_move(&prefix(0));
    let errors = || -> u64 {
        let count = |node: &RedisServer| {
            let stats = node.info("stats");
            let line = stats.lines().find_map(|line| line.strip_prefix("total_error_replies:")).unwrap();
            line.trim().parse::<u64>().unwrap()
        };
        world.cluster.nodes.iter().map(count).sum()
    };
    let leases = world.in_lane(0);
    let before = errors();
    let first = world.store.settle(leases[0].clone(), Outcome::Done);
    let second = async {
        while errors() == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Now one batch of outcomes waits for the lane, and this one behind it.
        slots.not_claimed(0, 1);
        world.store.settle(leases[1].clone(), Outcome::Done).await
    };
    let others = async {
        let job = tokio::time::timeout(PATIENCE, jobs.recv()).await.expect("the slot is filled").unwrap();
        assert_ne!(lane_of_token(job.lease.token), 0);
        world.cluster.finish(moving);
    };
    let (first, second, ()) = tokio::join!(first, second, others);
    assert!(first.is_ok() && second.is_ok(), "{first:?} {second:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_are_used_by_a_process_that_starts_meanwhile() {
    let mut world = World::new().await;
    let moving = world.cluster.begin_to_move(&prefix(1));
    // The process ends, and the next one of its host finds the lane as it is.
    world.store = open(options(&world.cluster), &world.clock, "host").await;
    let accepted = world.accept().await;
    assert!((1..MANY).contains(&accepted), "{accepted}");
    let mut jobs = world.store.claims(Slots::new(&[("a", 1)]));
    let job = tokio::time::timeout(Duration::from_secs(60), jobs.recv()).await.expect("a job runs").unwrap();
    assert_ne!(lane_of_token(job.lease.token), 1);
    world.store.settle(job.lease, Outcome::Done).await.unwrap();
    drop(jobs);
    world.cluster.finish(moving);
    // Once the lane is there, what was left running in it is taken back too.
    world.store.pass().await;
    let [queued, running, retrying, done, ..] = world.store.stats().await.unwrap().jobs;
    assert_eq!(running, 0);
    assert_eq!(queued + retrying + done, (MANY + accepted) as u64);
}
