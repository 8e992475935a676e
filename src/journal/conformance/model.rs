//! Random operations, compared step by step with a model that is too simple to be wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use proptest::{
    collection::vec,
    prelude::{Just, Strategy, prop_oneof},
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};

use super::{FALLBACK, Fixture, LEASE, MAX_CRASHES, WINDOW, Workers, World, claim::job_id, event, sent};
use crate::{
    clock::{Clock, Timestamp},
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, Discarded, Filter, JobState, Outcome, ReplayJobs, Retention, Stats, StoreError,
    },
};

/// How many sequences, and how long.
const CASES: usize = 24;
const STEPS: usize = 60;

const ROUTES: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Step {
    /// A delivery with one of a few ids (or recognised by one of a few bodies) for the routes that the mask says.
    Accept {
        id: u8,
        kind: IdKind,
        routes: u8,
    },
    Odd {
        quarantined: bool,
    },
    Settle {
        which: usize,
        outcome: Outcome,
    },
    SettleAgain {
        which: usize,
    },
    Replay {
        which: usize,
        how: u8,
    },
    Discard {
        which: usize,
    },
    Pass(Duration),
    Sweep {
        done: Duration,
    },
    Mature,
    Crash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum IdKind {
    Signed,
    Unsigned { body: u8 },
    Body,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = prop_oneof![
        Just(IdKind::Signed),
        (0..2u8).prop_map(|body| IdKind::Unsigned { body }),
        Just(IdKind::Body)
    ];
    let outcome = prop_oneof![
        4 => Just(Outcome::Done),
        3 => (0..20u64).prop_map(|seconds| super::retry(Duration::from_secs(seconds))),
        1 => Just(Outcome::Dead { error: "dead".into() }),
        1 => Just(Outcome::Discarded { reason: "no".into() }),
        1 => Just(Outcome::Released),
    ];
    let step = prop_oneof![
        12 => (0..6u8, kind, 0..4u8).prop_map(|(id, kind, routes)| Step::Accept { id, kind, routes }),
        1 => proptest::bool::ANY.prop_map(|quarantined| Step::Odd { quarantined }),
        12 => (0..8usize, outcome).prop_map(|(which, outcome)| Step::Settle { which, outcome }),
        2 => (0..8usize).prop_map(|which| Step::SettleAgain { which }),
        3 => (0..20usize, 0..8u8).prop_map(|(which, how)| Step::Replay { which, how }),
        2 => (0..20usize).prop_map(|which| Step::Discard { which }),
        4 => (0..12u64).prop_map(|seconds| Step::Pass(Duration::from_secs(seconds))),
        1 => Just(Step::Pass(LEASE)),
        1 => Just(Step::Pass(WINDOW / 2)),
        2 => (0..2u64).prop_map(|hours| Step::Sweep { done: Duration::from_secs(3600 * hours) }),
        2 => Just(Step::Mature),
        1 => Just(Step::Crash),
    ];
    vec(step, 1..STEPS)
}

pub(crate) async fn random_operations_agree_with_a_model<F: Fixture>() {
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..CASES {
        let sequence = steps().new_tree(&mut runner).unwrap().current();
        // Printed only if the case fails.
        println!("{sequence:#?}");
        Run::<F>::new().await.all(sequence).await;
    }
}

/// A job as the model knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    delivery: DeliveryId,
    route: &'static str,
    state: JobState,
    attempts: u32,
    crashes: u32,
    replays: u32,
    due: Option<Timestamp>,
    /// When it last came to rest: of one that has ended, when it did.
    rested_at: Timestamp,
    lease_until: Timestamp,
    /// A process died while it ran, and it has not settled since.
    suspect: bool,
    alone: bool,
}

#[derive(Debug)]
struct Key {
    id: DeliveryId,
    until: Timestamp,
}

struct Run<F> {
    world: World<F>,
    workers: Workers,
    held: Vec<ClaimedJob>,
    settled: Vec<ClaimedJob>,
    jobs: BTreeMap<JobId, Job>,
    deliveries: BTreeMap<DeliveryId, (Timestamp, bool)>,
    keys: BTreeMap<(u8, IdKind), Key>,
    stats: Stats,
}

impl<F: Fixture> Run<F> {
    async fn new() -> Self {
        let world = World::<F>::new().await;
        Self {
            workers: Workers::start(&world, &ROUTES.map(|route| (route, 3))),
            world,
            held: Vec::new(),
            settled: Vec::new(),
            jobs: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            keys: BTreeMap::new(),
            stats: Stats::default(),
        }
    }

    async fn all(mut self, sequence: Vec<Step>) {
        for step in sequence {
            self.step(step).await;
            self.take_claims().await;
            self.compare_stats().await;
        }
        self.compare_all().await;
        self.world.fixture.crash().await;
        self.crashed();
        self.compare_stats().await;
        self.compare_all().await;
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Accept { id, kind, routes } => self.accept(id, kind, routes).await,
            Step::Odd { quarantined } => {
                let sent = if quarantined { sent("<").quarantined() } else { sent("?").test() };
                let id = self.world.add(&sent).await;
                self.deliveries.insert(id, (self.world.clock.now(), quarantined));
                self.stats.quarantined += u64::from(quarantined);
            }
            Step::Settle { which, outcome } => self.settle(which, outcome).await,
            Step::SettleAgain { which } => {
                if let Some(job) = self.settled.get(which).cloned() {
                    let again = self.world.store().settle(job.lease, Outcome::Done).await;
                    assert!(matches!(again, Err(StoreError::LeaseLost)), "{again:?}");
                }
            }
            Step::Replay { which, how } => self.replay(which, how).await,
            Step::Discard { which } => self.discard(which).await,
            Step::Pass(time) => {
                self.world.pass(time).await;
                self.expire();
            }
            Step::Sweep { done } => self.sweep(done).await,
            Step::Mature => self.world.fixture.mature().await,
            Step::Crash => {
                self.world.fixture.crash().await;
                self.crashed();
                self.workers = Workers::start(&self.world, &ROUTES.map(|route| (route, 3)));
            }
        }
    }

    async fn accept(&mut self, id: u8, kind: IdKind, mask: u8) {
        let now = self.world.clock.now();
        let routes: Vec<_> =
            (0..).zip(ROUTES).filter(|(bit, _)| mask >> bit & 1 == 1).map(|(_, r)| r).collect();
        let events = vec![event("x", &routes), event("y", &["a"])];
        let sent = match kind {
            IdKind::Signed => sent("{}").signed_id(&format!("{id}")),
            IdKind::Unsigned { body } => sent(&format!("{body}")).unsigned_id(&format!("{id}")),
            IdKind::Body => sent(&format!("body {id}")).by_body(),
        };
        let (delivery, accepted) = self.world.accept(&sent.events(events)).await;
        let accepted = accepted.unwrap();
        let window = if kind == IdKind::Body { FALLBACK } else { WINDOW };
        if let Some(key) =
            self.keys.get_mut(&(id, kind)).filter(|key| kind != IdKind::Body || key.until >= now)
        {
            assert_eq!(accepted, Accepted::Duplicate { original: key.id });
            key.until = key.until.max(now.plus(window));
            self.stats.duplicate += 1;
            return;
        }
        let with_this_id = [IdKind::Signed, IdKind::Unsigned { body: 0 }, IdKind::Unsigned { body: 1 }];
        let id_reused =
            kind != IdKind::Body && with_this_id.iter().any(|other| self.keys.contains_key(&(id, *other)));
        assert_eq!(accepted, Accepted::New { id_reused });
        self.keys.insert((id, kind), Key { id: delivery, until: now.plus(window) });
        self.deliveries.insert(delivery, (now, routes.is_empty()));
        self.stats.accepted += 1;
        self.stats.id_reused += u64::from(id_reused);
        self.stats.unrouted += u64::from(routes.is_empty());
        for (event, route) in routes.into_iter().map(|route| (0, route)).chain([(1, "a")]) {
            let job = Job {
                delivery,
                route,
                state: JobState::Queued,
                attempts: 0,
                crashes: 0,
                replays: 0,
                due: Some(now),
                rested_at: now,
                lease_until: now,
                suspect: false,
                alone: false,
            };
            self.jobs.insert(delivery.event(event).job(route), job);
        }
    }

    /// What was handed out must have been due, and is running now.
    async fn take_claims(&mut self) {
        let now = self.world.clock.now();
        for claimed in self.workers.all(&self.world).await {
            let job = self.jobs.get_mut(&job_id(&claimed)).expect("the model knows the job");
            assert!(matches!(job.state, JobState::Queued | JobState::Retrying), "{job:?}");
            assert!(job.due.is_some_and(|due| due <= now), "{job:?}");
            job.state = JobState::Running;
            job.attempts += 1;
            job.due = None;
            job.lease_until = now.plus(LEASE);
            job.alone = job.suspect && job.crashes + 1 >= MAX_CRASHES;
            assert_eq!(
                (claimed.attempt, claimed.replay, claimed.crashes),
                (job.attempts, job.replays, job.crashes)
            );
            self.held.push(claimed);
        }
        // Nothing that could run is left waiting: each route is either empty or full, unless a suspect holds it up.
        if self.jobs.values().all(|job| !job.suspect) {
            for route in ROUTES {
                let due = self
                    .jobs
                    .values()
                    .filter(|job| job.route == route && job.due.is_some_and(|due| due <= now));
                assert!(due.count() == 0 || self.workers.free_now(route) == 0, "{route} is idle");
            }
        }
    }

    async fn settle(&mut self, which: usize, outcome: Outcome) {
        if which >= self.held.len() {
            return;
        }
        let claimed = self.held.swap_remove(which);
        let now = self.world.clock.now();
        self.world.store().settle(claimed.lease.clone(), outcome.clone()).await.unwrap();
        let job = self.jobs.get_mut(&job_id(&claimed)).unwrap();
        job.suspect &= outcome == Outcome::Released;
        job.rested_at = now;
        (job.state, job.due) = match outcome {
            Outcome::Done => (JobState::Done, None),
            Outcome::Retry { after, .. } => (JobState::Retrying, Some(now.plus(after))),
            Outcome::Dead { .. } => (JobState::Dead, None),
            Outcome::Discarded { .. } => (JobState::Discarded, None),
            Outcome::Released => {
                job.attempts -= 1;
                let state =
                    if job.attempts > 0 || job.crashes > 0 { JobState::Retrying } else { JobState::Queued };
                (state, Some(now))
            }
        };
        self.workers.free(&self.world, &claimed.lease.route, 1);
        self.settled.push(claimed);
    }

    async fn replay(&mut self, which: usize, how: u8) {
        let Some((id, job)) = self.jobs.iter().nth(which).map(|(id, job)| (*id, job.clone())) else { return };
        let ended = |state| matches!(state, JobState::Done | JobState::Dead | JobState::Discarded);
        let idle = |state| ended(state) || state == JobState::Retrying;
        let of_delivery: Vec<_> = self
            .jobs
            .iter()
            .filter(|(_, one)| one.delivery == job.delivery)
            .map(|(id, one)| (*id, one.state))
            .collect();
        let all_done = of_delivery.iter().all(|(_, state)| *state == JobState::Done);
        let (which, chosen): (_, BTreeSet<_>) = match how {
            0..3 => (
                ReplayJobs::Unfinished { route: None },
                of_delivery
                    .into_iter()
                    .filter(|(_, state)| idle(*state) && (all_done || *state != JobState::Done))
                    .map(|(id, _)| id)
                    .collect(),
            ),
            3..6 => (ReplayJobs::One(id), idle(job.state).then_some(id).into_iter().collect()),
            _ => (
                ReplayJobs::InState(job.state),
                of_delivery
                    .into_iter()
                    .filter(|(_, state)| *state == job.state && idle(*state))
                    .map(|(id, _)| id)
                    .collect(),
            ),
        };
        let queued = self.world.store().replay(job.delivery, which).await.unwrap();
        assert_eq!(queued, chosen.len());
        let now = self.world.clock.now();
        for id in chosen {
            let job = self.jobs.get_mut(&id).unwrap();
            (job.state, job.attempts, job.crashes, job.due) = (JobState::Queued, 0, 0, Some(now));
            job.replays += 1;
            job.suspect = false;
        }
    }

    async fn discard(&mut self, which: usize) {
        let Some((id, job)) = self.jobs.iter_mut().nth(which) else { return };
        let discarded = self.world.store().discard(*id).await.unwrap();
        if matches!(job.state, JobState::Queued | JobState::Retrying | JobState::Dead) {
            assert_eq!(discarded, Discarded::Yes);
            job.suspect = false;
            (job.state, job.due) = (JobState::Discarded, None);
            job.rested_at = self.world.clock.now();
        } else {
            assert_eq!(discarded, Discarded::NotWaiting(job.state));
        }
    }

    /// Leases that ran out count as crashes.
    fn expire(&mut self) {
        let now = self.world.clock.now();
        let (lost, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition::<Vec<_>, _>(|claimed| self.jobs[&job_id(claimed)].lease_until <= now);
        self.held = held;
        for claimed in lost {
            self.crash_job(job_id(&claimed));
            self.workers.free(&self.world, &claimed.lease.route, 1);
            self.settled.push(claimed);
        }
    }

    fn crashed(&mut self) {
        let running: Vec<_> =
            self.jobs.iter().filter(|(_, job)| job.state == JobState::Running).map(|(id, _)| *id).collect();
        for id in running {
            self.crash_job(id);
        }
        self.settled.append(&mut self.held);
    }

    fn crash_job(&mut self, id: JobId) {
        let now = self.world.clock.now();
        let job = self.jobs.get_mut(&id).unwrap();
        job.crashes += 1;
        job.rested_at = now;
        // Its last chance was alone, so it was this one.
        let guilty = job.crashes >= MAX_CRASHES && job.alone;
        job.suspect = !guilty;
        (job.state, job.due) = if guilty { (JobState::Dead, None) } else { (JobState::Retrying, Some(now)) };
    }

    async fn sweep(&mut self, done: Duration) {
        let retention = Retention { done: Some(done), failed: None };
        let swept = super::sweep_all(&self.world, retention).await;
        let now = self.world.clock.now();
        let old: BTreeSet<_> = self
            .deliveries
            .iter()
            .filter(|(id, (received_at, failed))| {
                let mut jobs = self.jobs.values().filter(|job| job.delivery == **id);
                !failed
                    && *received_at < now.minus(done)
                    && jobs.all(|job| {
                        matches!(job.state, JobState::Done | JobState::Discarded)
                            && job.rested_at < now.minus(done)
                    })
            })
            .map(|(id, _)| *id)
            .collect();
        assert_eq!(swept.deliveries, old.len());
        self.deliveries.retain(|id, _| !old.contains(id));
        self.jobs.retain(|_, job| !old.contains(&job.delivery));
        // A key may be kept a little longer than it must (it is not looked for where it can't be yet), never shorter.
        self.world.fixture.mature().await;
        super::sweep_all(&self.world, retention).await;
        self.keys.retain(|_, key| key.until >= now || self.deliveries.contains_key(&key.id));
    }

    async fn compare_stats(&mut self) {
        self.stats.jobs = [0; 6];
        for job in self.jobs.values() {
            self.stats.jobs[job.state as usize] += 1;
        }
        assert_eq!(self.world.stats().await, self.stats);
    }

    async fn compare_all(&self) {
        let mut filter = Filter { limit: 500, ..Filter::default() };
        let mut listed = BTreeMap::new();
        loop {
            let page = self.world.store().jobs(filter.clone()).await.unwrap();
            listed.extend(page.items.into_iter().map(|job| (job.id, job)));
            let Some(next) = page.next else { break };
            filter.cursor = Some(next);
        }
        assert_eq!(listed.len(), self.jobs.len());
        for (id, job) in &self.jobs {
            let listed = &listed[id];
            assert_eq!(
                (listed.state, listed.attempts, listed.crashes, listed.replays, listed.due_at),
                (job.state, job.attempts, job.crashes, job.replays, job.due),
                "{job:?}"
            );
            assert_eq!(self.world.job(*id).await, *listed);
        }
        for id in self.deliveries.keys() {
            assert_eq!(self.world.store().locate((*id).into()).await.unwrap(), Some(*id));
        }
    }
}
