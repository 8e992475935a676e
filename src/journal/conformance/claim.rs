//! Claims, leases, and how attempts end.

use std::{collections::BTreeMap, time::Duration};

use super::{Fixture, LEASE, Workers, World, event, sent};
use crate::{
    clock::Clock,
    journal::{ClaimedJob, JobState, Lease, Outcome, ReplayJobs, StoreError},
    provider::Slices,
};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn retry(after: Duration) -> Outcome {
    Outcome::Retry { after, error: "refused".into() }
}

async fn assert_lost<F: Fixture>(world: &World<F>, lease: &Lease) {
    let before = world.stats().await;
    for outcome in [Outcome::Done, retry(SECOND), Outcome::Released] {
        let settled = world.store().settle(lease.clone(), outcome).await;
        assert!(matches!(settled, Err(StoreError::LeaseLost)), "{settled:?}");
    }
    assert_eq!(world.store().renew(vec![lease.clone()]).await.unwrap(), std::slice::from_ref(lease));
    assert_eq!(world.stats().await, before);
}

pub(crate) fn job_id(job: &ClaimedJob) -> crate::delivery::JobId {
    job.lease.delivery.event(job.lease.event).job(&job.lease.route)
}

pub(crate) async fn claims_respect_the_free_slots_of_each_route<F: Fixture>() {
    let world = World::<F>::new().await;
    for _ in 0..10 {
        world.add(&sent("{}").events(vec![event("x", &["a", "b", "c"])])).await;
    }
    let mut workers = Workers::start(&world, &[("a", 3), ("b", 0), ("c", 20)]);
    let count = |jobs: &[ClaimedJob]| {
        let mut counts = BTreeMap::new();
        for job in jobs {
            *counts.entry(job.lease.route.to_string()).or_insert(0) += 1;
        }
        counts
    };
    let jobs = workers.all(&world).await;
    assert_eq!(count(&jobs), BTreeMap::from([("a".into(), 3), ("c".into(), 10)]));
    assert_eq!((workers.free_now("a"), workers.free_now("c")), (0, 10));
    for slots in [1, 6] {
        workers.free(&world, "a", slots);
        assert_eq!(count(&workers.all(&world).await), BTreeMap::from([("a".into(), slots)]));
    }
    workers.free(&world, "b", 4);
    assert_eq!(count(&workers.all(&world).await), BTreeMap::from([("b".into(), 4)]));
    assert_eq!(world.jobs_by_state().await, [6, 24, 0, 0, 0, 0]);
}

pub(crate) async fn slots_that_routes_share_are_filled_once<F: Fixture>() {
    let world = World::<F>::new().await;
    for _ in 0..10 {
        world.add(&sent("{}").events(vec![event("x", &["a", "b"])])).await;
    }
    // Each route could have five: three in all of them are the same.
    let mut workers = Workers::start_with_pool(&world, &[("a", 2), ("b", 2)], 3);
    assert_eq!(workers.all(&world).await.len(), 7);
}

pub(crate) async fn an_attempt_is_counted_before_the_job_is_handed_out<F: Fixture>() {
    let world = World::<F>::new().await;
    world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    for attempt in 1..=3 {
        let claimed = workers.next().await;
        let job = world.job(job_id(&claimed)).await;
        assert_eq!((job.state, job.attempts, claimed.attempt), (JobState::Running, attempt, attempt));
        assert_eq!((job.started_at, job.due_at, job.finished_at), (Some(world.clock.now()), None, None));
        world.store().settle(claimed.lease, retry(SECOND)).await.unwrap();
        workers.free(&world, "a", 1);
        world.pass(SECOND).await;
    }
}

pub(crate) async fn a_claimed_job_brings_its_event<F: Fixture>() {
    // A job that comes while there is room for it may take another way than one that has waited.
    for waits in [true, false] {
        let world = World::<F>::new().await;
        let (mut one, mut two) = (event("one", &["a"]), event("two", &["a"]));
        one.event.data = Slices::parts(std::iter::once(1..4));
        two.event.data = Slices::parts([0..1, 5..9]);
        let sent = sent("[123,456]").events(vec![one.clone(), two.clone()]);
        let mut workers = Workers::start(&world, &[("a", if waits { 0 } else { 2 })]);
        let id = world.add(&sent).await;
        if waits {
            assert_eq!(world.jobs_by_state().await, [2, 0, 0, 0, 0, 0]);
            workers.free(&world, "a", 2);
        }
        let mut jobs = workers.all(&world).await;
        jobs.sort_by_key(|job| job.lease.event);
        assert_eq!(jobs.iter().map(|job| &*job.data).collect::<Vec<_>>(), [&b"123"[..], b"[456]"]);
        assert_eq!(jobs.iter().map(|job| &job.event).collect::<Vec<_>>(), [&one.event, &two.event]);
        for job in jobs {
            assert_eq!((&*job.source, &*job.provider, job.lease.delivery), ("shop", "hmac", id));
            assert_eq!(job.content_type.as_deref(), Some("application/json"));
            assert_eq!((job.received_at, job.replay, job.crashes), (world.clock.now(), 0, 0));
            let record = world.job(job_id(&job)).await;
            assert_eq!((record.state, record.attempts, job.attempt), (JobState::Running, 1, 1));
            assert_eq!((record.started_at, record.due_at), (Some(world.clock.now()), None));
        }
    }
}

pub(crate) async fn each_outcome_is_recorded<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let outcomes = [
        (Outcome::Done, JobState::Done, None),
        (retry(SECOND), JobState::Retrying, Some("refused")),
        (Outcome::Dead { error: "no use".into() }, JobState::Dead, Some("no use")),
        (Outcome::Discarded { reason: "not ours".into() }, JobState::Discarded, Some("not ours")),
        (Outcome::Released, JobState::Queued, None),
    ];
    let mut workers = Workers::start(&world, &[("a", outcomes.len())]);
    let mut expected = Vec::new();
    for (outcome, state, error) in outcomes {
        world.add(&sent("{}")).await;
        let job = workers.next().await;
        expected.push((job_id(&job), state, error));
        world.store().settle(job.lease, outcome).await.unwrap();
    }
    for crashed in [false, true] {
        if crashed {
            world.fixture.crash().await;
        }
        assert_eq!(world.jobs_by_state().await, [1, 0, 1, 1, 1, 1]);
        for (id, state, error) in &expected {
            let job = world.job(*id).await;
            assert_eq!((job.state, job.error.as_deref()), (*state, *error));
            let ended = matches!(state, JobState::Done | JobState::Dead | JobState::Discarded);
            assert_eq!(job.finished_at.is_some(), ended, "{job:?}");
            assert_eq!(job.due_at.is_some(), !ended, "{job:?}");
        }
    }
}

pub(crate) async fn a_retry_is_due_when_its_time_has_come<F: Fixture>() {
    let world = World::<F>::new().await;
    let first = world.add(&sent("1")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let job = workers.next().await;
    world.store().settle(job.lease, retry(60 * SECOND)).await.unwrap();
    assert_eq!(world.job(first.event(0).job("a")).await.due_at, Some(world.clock.now().plus(60 * SECOND)));
    workers.free(&world, "a", 1);
    workers.idle(&world).await;
    world.pass(Duration::from_millis(59_999)).await;
    workers.idle(&world).await;
    world.pass(Duration::from_millis(1)).await;
    let job = workers.next().await;
    assert_eq!((job.lease.delivery, job.attempt), (first, 2));
}

pub(crate) async fn a_released_job_has_not_been_attempted<F: Fixture>() {
    let world = World::<F>::new().await;
    world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let job = workers.next().await;
    world.store().settle(job.lease.clone(), Outcome::Released).await.unwrap();
    let record = world.job(job_id(&job)).await;
    assert_eq!((record.state, record.attempts), (JobState::Queued, 0));
    assert!(world.delivery(job.lease.delivery).await.attempts.is_empty());
    workers.free(&world, "a", 1);
    let again = workers.next().await;
    assert_eq!(again.attempt, 1);
    world.store().settle(again.lease, retry(SECOND)).await.unwrap();
    workers.free(&world, "a", 1);
    world.pass(SECOND).await;
    let third = workers.next().await;
    assert_eq!(third.attempt, 2);
    world.store().settle(third.lease, Outcome::Released).await.unwrap();
    let record = world.job(job_id(&job)).await;
    assert_eq!((record.state, record.attempts), (JobState::Retrying, 1));
    assert_eq!(record.error.as_deref(), Some("refused"), "of the attempt that counts");
}

pub(crate) async fn a_lease_settles_once<F: Fixture>() {
    for outcome in [Outcome::Done, retry(SECOND), Outcome::Dead { error: "no".into() }] {
        let world = World::<F>::new().await;
        let id = world.add(&sent("{}")).await;
        let mut workers = Workers::start(&world, &[("a", 1)]);
        let job = workers.next().await;
        let (one, two) = tokio::join!(
            world.store().settle(job.lease.clone(), outcome.clone()),
            world.store().settle(job.lease.clone(), outcome)
        );
        assert!(one.is_ok() && matches!(two, Err(StoreError::LeaseLost)), "{one:?} {two:?}");
        assert_lost(&world, &job.lease).await;
        // Nor does it touch the attempt that comes after.
        world.store().replay(id, ReplayJobs::Unfinished { route: None }).await.unwrap();
        assert_lost(&world, &job.lease).await;
        workers.free(&world, "a", 1);
        let again = workers.next().await;
        assert_ne!(again.lease, job.lease);
        assert_lost(&world, &job.lease).await;
        world.store().settle(again.lease, Outcome::Done).await.unwrap();
    }
}

pub(crate) async fn a_released_lease_settles_nothing_more<F: Fixture>() {
    let world = World::<F>::new().await;
    world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let first = workers.next().await;
    world.store().settle(first.lease.clone(), Outcome::Released).await.unwrap();
    assert_lost(&world, &first.lease).await;
    workers.free(&world, "a", 1);
    let second = workers.next().await;
    assert_eq!((second.attempt, first.attempt), (1, 1));
    assert_ne!(second.lease, first.lease);
    assert_lost(&world, &first.lease).await;
    world.store().settle(second.lease, Outcome::Done).await.unwrap();
}

pub(crate) async fn a_lease_that_ran_out_settles_nothing<F: Fixture>() {
    let world = World::<F>::new().await;
    world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let job = workers.next().await;
    world.pass(LEASE.saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(world.state(job_id(&job)).await, JobState::Running);
    world.pass(Duration::from_millis(1)).await;
    let record = world.job(job_id(&job)).await;
    assert_eq!((record.state, record.attempts, record.crashes), (JobState::Retrying, 1, 1));
    assert_lost(&world, &job.lease).await;
    workers.free(&world, "a", 1);
    let again = workers.next().await;
    assert_eq!((again.attempt, again.crashes), (2, 1));
    assert_lost(&world, &job.lease).await;
    world.store().settle(again.lease, Outcome::Done).await.unwrap();
}

pub(crate) async fn a_renewed_lease_does_not_run_out<F: Fixture>() {
    let world = World::<F>::new().await;
    world.add(&sent("kept")).await;
    world.add(&sent("lost")).await;
    let mut workers = Workers::start(&world, &[("a", 2)]);
    let (kept, lost) = (workers.next().await, workers.next().await);
    for _ in 0..3 {
        world.pass(LEASE / 2).await;
        let answer = world.store().renew(vec![kept.lease.clone()]).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
    }
    let both = vec![kept.lease.clone(), lost.lease.clone()];
    assert_eq!(world.store().renew(both).await.unwrap(), std::slice::from_ref(&lost.lease));
    world.store().settle(kept.lease, Outcome::Done).await.unwrap();
    assert_eq!(world.jobs_by_state().await, [0, 0, 1, 1, 0, 0]);
}

pub(crate) async fn the_attempts_of_a_job_are_its_history<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let id = world.add(&sent("{}")).await;
    let outcomes = [retry(SECOND), Outcome::Dead { error: "no".into() }, Outcome::Done, Outcome::Done];
    for (run, outcome) in outcomes.into_iter().enumerate() {
        let mut workers = Workers::start(&world, &[("a", 1)]);
        let job = workers.next().await;
        world.clock.advance(Duration::from_millis(5));
        world.store().settle(job.lease, outcome).await.unwrap();
        if run > 0 && run < 3 {
            world.store().replay(id, ReplayJobs::Unfinished { route: None }).await.unwrap();
        }
        world.clock.advance(SECOND);
    }
    let mut workers = Workers::start(&world, &[("a", 1)]);
    world.store().replay(id, ReplayJobs::Unfinished { route: None }).await.unwrap();
    let _killed = workers.next().await;
    world.clock.advance(SECOND);
    world.fixture.crash().await;
    let attempts = world.delivery(id).await.attempts;
    let seen: Vec<_> = attempts
        .iter()
        .map(|one| (one.replay, one.number, one.outcome.as_str(), one.error.as_deref()))
        .collect();
    assert_eq!(
        seen[..4],
        [
            (0, 1, "retry", Some("refused")),
            (0, 2, "dead", Some("no")),
            (1, 1, "done", None),
            (2, 1, "done", None)
        ]
    );
    assert_eq!((seen.len(), seen[4].0, seen[4].1, seen[4].2), (5, 3, 1, "crashed"));
    assert!(
        attempts.iter().all(|one| one.finished_at > one.started_at && one.job_id == id.event(0).job("a"))
    );
}

pub(crate) async fn a_route_that_nobody_serves_holds_up_no_other<F: Fixture>() {
    let world = World::<F>::new().await;
    for _ in 0..20 {
        world.add(&sent("{}").route("deserted")).await;
    }
    world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    assert_eq!(&*workers.next().await.lease.route, "a");
    workers.idle(&world).await;
    assert_eq!(world.jobs_by_state().await, [20, 1, 0, 0, 0, 0]);
}

/// How many jobs stand before a dead target.
const MANY: usize = 100_000;

pub(crate) async fn a_long_queue_of_one_route_holds_up_no_other<F: Fixture>() {
    let world = World::<F>::new().await;
    let each = 1_000;
    let events: Vec<_> = (0..each).map(|_| event("x", &["dead"])).collect();
    for _ in 0..MANY / each {
        world.add(&sent("{}").events(events.clone())).await;
    }
    let mut workers = Workers::start(&world, &[("dead", 4), ("a", 4)]);
    assert_eq!(workers.all(&world).await.len(), 4);
    for _ in 0..50 {
        world.add(&sent("{}")).await;
        // The very next job that is handed out is the other route's, however many of the dead one are due.
        let job = workers.next().await;
        assert_eq!(&*job.lease.route, "a");
        world.store().settle(job.lease, Outcome::Done).await.unwrap();
        workers.free(&world, "a", 1);
    }
    workers.idle(&world).await;
    let jobs = world.jobs_by_state().await;
    assert_eq!(jobs, [MANY as u64 - 4, 4, 0, 50, 0, 0]);
}

pub(crate) async fn claims_take_over_from_those_before<F: Fixture>() {
    let world = World::<F>::new().await;
    let mut old = Workers::start(&world, &[("a", 1)]);
    world.add(&sent("1")).await;
    let first = old.next().await;
    let mut new = Workers::start(&world, &[("a", 5)]);
    world.add(&sent("2")).await;
    new.next().await;
    // What the old ones run is still theirs.
    world.store().settle(first.lease, Outcome::Done).await.unwrap();
    assert_eq!(world.jobs_by_state().await, [0, 1, 0, 1, 0, 0]);
}

pub(crate) async fn jobs_for_a_receiver_that_is_gone_are_not_claimed<F: Fixture>() {
    let world = World::<F>::new().await;
    drop(Workers::start(&world, &[("a", 5)]));
    let id = world.add(&sent("1")).await;
    world.fixture.quiesce().await;
    let job = world.job(id.event(0).job("a")).await;
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0));
    let mut workers = Workers::start(&world, &[("a", 5)]);
    assert_eq!(workers.next().await.attempt, 1);
}
