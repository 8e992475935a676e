//! What an operator does: replay, discard, route afresh.

use std::time::Duration;

use super::{Fixture, Workers, World, claim::job_id, event, sent};
use crate::{
    delivery::DeliveryId,
    journal::{Accepted, DeliveryState, Discarded, JobState, Outcome, ReplayJobs},
};

const ALL: ReplayJobs = ReplayJobs::Unfinished { route: None };

/// One delivery with a job in each state: route `a` done, `b` dead, `c` discarded, `d` retrying, `e` running, `f`
/// queued.
async fn one_in_each_state<F: Fixture>(world: &World<F>) -> (DeliveryId, Workers) {
    let routes = ["a", "b", "c", "d", "e", "f"];
    let id = world.add(&sent("{}").events(vec![event("x", &routes)])).await;
    let mut workers = Workers::start(world, &routes.map(|route| (route, usize::from(route != "f"))));
    for job in workers.all(world).await {
        let outcome = match &*job.lease.route {
            "a" => Outcome::Done,
            "b" => Outcome::Dead { error: "no".into() },
            "c" => Outcome::Discarded { reason: "no".into() },
            "d" => Outcome::Retry { after: Duration::from_secs(60), error: "later".into() },
            _ => continue,
        };
        world.store().settle(job.lease, outcome).await.unwrap();
    }
    assert_eq!(world.jobs_by_state().await, [1; 6]);
    (id, workers)
}

pub(crate) async fn a_replay_starts_afresh_under_the_same_id<F: Fixture>() {
    let world = World::<F>::new().await;
    let id = world.add(&sent("{}")).await;
    let job = id.event(0).job("a");
    let mut workers = Workers::start(&world, &[("a", 10)]);
    for replay in 0..3 {
        let claimed = workers.next().await;
        assert_eq!((job_id(&claimed), claimed.replay, claimed.attempt), (job, replay, 1));
        world.store().settle(claimed.lease, Outcome::Dead { error: "no".into() }).await.unwrap();
        assert_eq!(world.store().replay(id, ReplayJobs::One(job)).await.unwrap(), 1);
    }
    let record = world.job(job).await;
    assert_eq!((record.id, record.replays, record.crashes, record.error), (job, 3, 0, None));
}

async fn replayed_routes<F: Fixture>(world: &World<F>, id: DeliveryId) -> String {
    let jobs = world.delivery(id).await.summary.jobs;
    jobs.into_iter().filter(|job| job.replays > 0).map(|job| job.route).collect()
}

pub(crate) async fn a_replay_takes_what_is_not_done_or_else_all<F: Fixture>() {
    let world = World::<F>::new().await;
    let (id, _workers) = one_in_each_state(&world).await;
    // Dead, discarded and retrying; not done, running or queued.
    assert_eq!(world.store().replay(id, ALL).await.unwrap(), 3);
    assert_eq!(replayed_routes(&world, id).await, "bcd");
    // All that are asked for are done: then they are meant.
    let only_a = ReplayJobs::Unfinished { route: Some("a".into()) };
    assert_eq!(world.store().replay(id, only_a).await.unwrap(), 1);
    assert_eq!(replayed_routes(&world, id).await, "abcd");
    let unknown = ReplayJobs::Unfinished { route: Some("unknown".into()) };
    assert_eq!(world.store().replay(id, unknown).await.unwrap(), 0);
    let nobody = world.prepare(&sent("{}")).id;
    assert_eq!(world.store().replay(nobody, ALL).await.unwrap(), 0);

    let world = World::<F>::new().await;
    let id = world.add(&sent("{}").events(vec![event("x", &["a", "b"])])).await;
    let mut workers = Workers::start(&world, &[("a", 1), ("b", 1)]);
    for job in workers.all(&world).await {
        world.store().settle(job.lease, Outcome::Done).await.unwrap();
    }
    assert_eq!(world.store().replay(id, ALL).await.unwrap(), 2);
    assert_eq!(world.jobs_by_state().await, [2, 0, 0, 0, 0, 0]);
}

pub(crate) async fn a_replay_by_state_or_id_takes_just_that<F: Fixture>() {
    for (state, queued) in [
        (JobState::Queued, 0),
        (JobState::Running, 0),
        (JobState::Retrying, 1),
        (JobState::Done, 1),
        (JobState::Dead, 1),
        (JobState::Discarded, 1),
    ] {
        let world = World::<F>::new().await;
        let (id, _workers) = one_in_each_state(&world).await;
        let by_state = world.store().replay(id, ReplayJobs::InState(state)).await.unwrap();
        assert_eq!(by_state, queued, "{state}");

        let world = World::<F>::new().await;
        let (id, _workers) = one_in_each_state(&world).await;
        let jobs = world.delivery(id).await.summary.jobs;
        let one = jobs.iter().find(|job| job.state == state).unwrap();
        assert_eq!(world.store().replay(id, ReplayJobs::One(one.id)).await.unwrap(), queued, "{state}");
        let after = world.job(one.id).await;
        assert_eq!(after.replays as usize, queued);
        let others = world.delivery(id).await.summary.jobs;
        assert!(others.iter().filter(|job| job.id != one.id).all(|job| jobs.contains(job)));
    }
}

pub(crate) async fn a_replay_is_not_swallowed_as_a_duplicate<F: Fixture>() {
    let world = World::<F>::new().await;
    let sent = sent("{}").signed_id("1");
    let id = world.add(&sent).await;
    let mut workers = Workers::start(&world, &[("a", 10)]);
    world.store().settle(workers.next().await.lease, Outcome::Done).await.unwrap();
    assert_eq!(world.accept(&sent).await.1.ok(), Some(Accepted::Duplicate { original: id }));
    assert_eq!(world.store().replay(id, ALL).await.unwrap(), 1);
    assert_eq!(workers.next().await.replay, 1);
}

pub(crate) async fn only_what_waits_or_is_dead_can_be_discarded<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let (id, workers) = one_in_each_state(&world).await;
    for job in world.delivery(id).await.summary.jobs {
        let expected = match job.state {
            JobState::Queued | JobState::Retrying | JobState::Dead => Discarded::Yes,
            other => Discarded::NotWaiting(other),
        };
        assert_eq!(world.store().discard(job.id).await.unwrap(), expected, "{job:?}");
    }
    assert_eq!(world.jobs_by_state().await, [0, 1, 0, 1, 0, 4]);
    let nobody = world.prepare(&sent("{}")).id.event(0).job("a");
    assert_eq!(world.store().discard(nobody).await.unwrap(), Discarded::NotFound);
    // Discarded for good, unless it is replayed.
    drop(workers);
    world.fixture.crash().await;
    let mut workers = Workers::start(&world, &[("b", 1), ("d", 1), ("f", 1)]);
    world.pass(Duration::from_secs(3600)).await;
    workers.idle(&world).await;
    assert_eq!(world.store().replay(id, ReplayJobs::InState(JobState::Discarded)).await.unwrap(), 4);
    assert_eq!(workers.all(&world).await.len(), 3);
}

pub(crate) async fn a_quarantined_delivery_is_routed_afresh<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let id = world.add(&sent("{}").signed_id("1").quarantined()).await;
    let events = vec![event("one", &["a", "b"]), event("two", &[])];
    assert_eq!(world.store().reroute(id, events.clone()).await.unwrap(), 2);
    // Again, as if the operator had clicked twice.
    assert_eq!(world.store().reroute(id, events).await.unwrap(), 0);
    let record = world.delivery(id).await.summary;
    assert_eq!((record.state, record.reason, record.events.len()), (DeliveryState::Accepted, None, 2));
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.quarantined, stats.unrouted), (1, 0, 1));
    assert_eq!(stats.jobs, [2, 0, 0, 0, 0, 0]);
    world.fixture.crash().await;
    assert_eq!(world.stats().await, stats);
    let mut workers = Workers::start(&world, &[("a", 1), ("b", 1)]);
    assert_eq!(workers.all(&world).await.len(), 2);
    let again = world.accept(&sent("{}").signed_id("1")).await.1;
    assert_eq!(again.ok(), Some(Accepted::Duplicate { original: id }));
}

pub(crate) async fn an_unrouted_event_is_routed_afresh_beside_its_neighbours<F: Fixture>() {
    let world = World::<F>::new().await;
    let id = world.add(&sent("{}").events(vec![event("one", &["a"]), event("two", &[])])).await;
    let mut workers = Workers::start(&world, &[("a", 10), ("b", 10)]);
    world.store().settle(workers.next().await.lease, Outcome::Done).await.unwrap();
    assert_eq!(world.stats().await.unrouted, 1);
    // The first event's route is gone meanwhile; its job has been done all the same.
    let events = vec![event("one", &[]), event("two", &["b"])];
    assert_eq!(world.store().reroute(id, events).await.unwrap(), 1);
    assert_eq!(world.stats().await.unrouted, 0);
    assert_eq!(&*workers.next().await.lease.route, "b");
    assert_eq!(world.jobs_by_state().await, [0, 1, 0, 1, 0, 0]);
    // What is routed stays as it is, and a test is none of this.
    assert_eq!(world.store().reroute(id, vec![event("other", &["c"])]).await.unwrap(), 0);
    let test = world.add(&sent("{}").test()).await;
    assert_eq!(world.store().reroute(test, vec![event("other", &["c"])]).await.unwrap(), 0);
    let nobody = world.prepare(&sent("{}")).id;
    assert_eq!(world.store().reroute(nobody, vec![event("other", &["c"])]).await.unwrap(), 0);
}

pub(crate) async fn events_with_jobs_outlive_a_reroute_without_them<F: Fixture>() {
    let world = World::<F>::new().await;
    let id = world.add(&sent("{}").events(vec![event("one", &[]), event("two", &["a"])])).await;
    // A later version reads only one event out of the same body.
    assert_eq!(world.store().reroute(id, vec![event("one", &["b"])]).await.unwrap(), 1);
    let mut workers = Workers::start(&world, &[("a", 1), ("b", 1)]);
    let mut kinds: Vec<_> = workers.all(&world).await.into_iter().map(|job| job.event.kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["one", "two"]);
    assert_eq!(world.delivery(id).await.summary.events.len(), 2);
}

pub(crate) async fn the_counters_survive_a_crash<F: Fixture>() {
    let mut world = World::<F>::new().await;
    world.add(&sent("<").quarantined()).await;
    world.add(&sent("{}").test()).await;
    world.add(&sent("1").unsigned_id("1")).await;
    world.accept(&sent("1").unsigned_id("1")).await.1.unwrap();
    world.accept(&sent("2").unsigned_id("1")).await.1.unwrap();
    world.add(&sent("{}").events(vec![event("x", &[])])).await;
    let before = world.stats().await;
    assert_eq!((before.accepted, before.duplicate, before.quarantined), (3, 1, 1));
    assert_eq!((before.id_reused, before.unrouted), (1, 1));
    world.fixture.crash().await;
    assert_eq!(world.stats().await, before);
    world.fixture.mature().await;
    world.fixture.crash().await;
    assert_eq!(world.stats().await, before);
}
