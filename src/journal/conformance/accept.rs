//! Accepting: what is new, what is a repetition, what becomes of it.

use std::time::Duration;

use super::{FALLBACK, Fixture, WINDOW, Workers, World, event, sent};
use crate::{
    clock,
    delivery::DeliveryId,
    journal::{Accepted, DeliveryState, JobState, Retention, StoreError},
};

const NEW: Result<Accepted, StoreError> = Ok(Accepted::New { id_reused: false });

fn assert_new(accepted: &Result<Accepted, StoreError>) {
    assert_eq!(accepted.as_ref().ok(), NEW.as_ref().ok(), "{accepted:?}");
}

fn assert_duplicate(accepted: &Result<Accepted, StoreError>, original: DeliveryId) {
    assert_eq!(accepted.as_ref().ok(), Some(&Accepted::Duplicate { original }), "{accepted:?}");
}

pub(crate) async fn a_delivery_is_new_then_a_duplicate_of_its_original<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let sent = sent("{}").signed_id("1");
    let (original, accepted) = world.accept(&sent).await;
    assert_new(&accepted);
    assert_duplicate(&world.accept(&sent).await.1, original);
    world.fixture.mature().await;
    assert_duplicate(&world.accept(&sent).await.1, original);
    world.fixture.crash().await;
    assert_duplicate(&world.accept(&sent).await.1, original);
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.duplicate, stats.jobs), (1, 3, [1, 0, 0, 0, 0, 0]));
}

pub(crate) async fn the_same_signed_id_with_another_body_is_a_duplicate<F: Fixture>() {
    let world = World::<F>::new().await;
    let original = world.add(&sent("one").signed_id("1")).await;
    assert_duplicate(&world.accept(&sent("two").signed_id("1")).await.1, original);
}

pub(crate) async fn the_same_unsigned_id_with_another_body_is_its_own_delivery<F: Fixture>() {
    let world = World::<F>::new().await;
    let one = world.add(&sent("one").unsigned_id("1")).await;
    let (two, accepted) = world.accept(&sent("two").unsigned_id("1")).await;
    assert_eq!(accepted.ok(), Some(Accepted::New { id_reused: true }));
    for _ in 0..2 {
        assert_duplicate(&world.accept(&sent("one").unsigned_id("1")).await.1, one);
        assert_duplicate(&world.accept(&sent("two").unsigned_id("1")).await.1, two);
        world.fixture.mature().await;
    }
    let (_, accepted) = world.accept(&sent("three").unsigned_id("1")).await;
    assert_eq!(accepted.ok(), Some(Accepted::New { id_reused: true }));
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.duplicate, stats.id_reused), (3, 4, 2));
}

pub(crate) async fn the_same_id_of_another_source_is_its_own_delivery<F: Fixture>() {
    let world = World::<F>::new().await;
    world.add(&sent("{}").signed_id("1").source("shop")).await;
    assert_new(&world.accept(&sent("{}").signed_id("1").source("till")).await.1);
}

pub(crate) async fn equal_bodies_are_duplicates_for_a_while<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let sent = sent("{}").by_body();
    for round in 0..3 {
        let (original, accepted) = world.accept(&sent).await;
        assert_new(&accepted);
        for _ in 0..3 {
            // Each sighting counts from anew, whatever became of the store in between.
            world.pass(FALLBACK).await;
            assert_duplicate(&world.accept(&sent).await.1, original);
            match round {
                1 => world.fixture.mature().await,
                2 => world.fixture.crash().await,
                _ => {}
            }
        }
        world.pass(FALLBACK + Duration::from_millis(1)).await;
    }
    assert_new(&world.accept(&sent).await.1);
}

pub(crate) async fn an_id_is_remembered_from_its_last_sighting<F: Fixture>() {
    let hour = Duration::from_secs(3600);
    let retention = Retention { done: Some(hour), failed: Some(hour) };
    for crash in [false, true] {
        let mut world = World::<F>::new().await;
        let sent = sent("{}").signed_id("1").events(vec![]);
        let original = world.add(&sent).await;
        for _ in 0..3 {
            // The delivery itself goes in the first round; its key stays while it is seen.
            world.pass(WINDOW).await;
            assert_duplicate(&world.accept(&sent).await.1, original);
            super::sweep_all(&world, retention).await;
            if crash {
                world.fixture.crash().await;
            }
        }
        assert!(world.store().delivery(original).await.unwrap().is_none(), "its retention is over");
        world.fixture.mature().await;
        world.pass(WINDOW + Duration::from_millis(1)).await;
        super::sweep_all(&world, retention).await;
        assert_new(&world.accept(&sent).await.1);
    }
}

pub(crate) async fn a_hundred_equal_deliveries_at_once_are_one_event<F: Fixture>() {
    let world = World::<F>::new().await;
    let sent = sent("{}").signed_id("1");
    let answers = futures_util::future::join_all((0..100).map(|_| world.accept(&sent))).await;
    let new: Vec<_> =
        answers.iter().filter(|(_, answer)| matches!(answer, Ok(Accepted::New { .. }))).collect();
    let [(original, _)] = new[..] else { panic!("{} of them are new", new.len()) };
    for (id, answer) in answers.iter().filter(|(id, _)| id != original) {
        assert_duplicate(answer, *original);
        assert!(world.store().delivery(*id).await.unwrap().is_none());
    }
    assert_eq!(world.jobs_by_state().await, [1, 0, 0, 0, 0, 0]);
    let mut workers = Workers::start(&world, &[("a", 10)]);
    assert_eq!(workers.all(&world).await.len(), 1);
}

pub(crate) async fn an_event_becomes_a_job_for_each_of_its_routes<F: Fixture>() {
    let world = World::<F>::new().await;
    let both = vec![event("one", &["a", "b"]), event("two", &["b"]), event("three", &[])];
    let id = world.add(&sent("{}").events(both)).await;
    let record = world.delivery(id).await.summary;
    let mut jobs: Vec<_> =
        record.jobs.iter().map(|job| (job.kind.as_str(), job.route.as_str(), job.id)).collect();
    jobs.sort_unstable();
    assert_eq!(
        jobs,
        [
            ("one", "a", id.event(0).job("a")),
            ("one", "b", id.event(0).job("b")),
            ("two", "b", id.event(1).job("b"))
        ]
    );
    assert_eq!(record.events.iter().map(|event| event.unrouted).collect::<Vec<_>>(), [false, false, true]);
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.unrouted, stats.jobs_in(JobState::Queued)), (1, 1, 3));
}

pub(crate) async fn what_has_no_jobs_is_kept_all_the_same<F: Fixture>() {
    let world = World::<F>::new().await;
    let quarantined = world.add(&sent("<").quarantined()).await;
    let test = world.add(&sent("?").test()).await;
    let quarantined = world.delivery(quarantined).await.summary;
    assert_eq!(quarantined.state, DeliveryState::Quarantined);
    assert_eq!(quarantined.reason.as_deref(), Some("not JSON"));
    assert_eq!(world.delivery(test).await.summary.state, DeliveryState::Test);
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.quarantined, stats.jobs), (0, 1, [0; 6]));
}

pub(crate) async fn a_delivery_whose_sender_has_hung_up_is_not_stored<F: Fixture>() {
    let world = World::<F>::new().await;
    let sent = sent("{}").signed_id("1");
    let mut late = world.prepare(&sent);
    late.give_up_at = clock::instant();
    let id = late.id;
    assert!(matches!(world.store().accept(late).await, Err(StoreError::TooLate)));
    assert!(world.store().delivery(id).await.unwrap().is_none());
    assert_new(&world.accept(&sent).await.1);
    assert_eq!(world.stats().await.accepted, 1);
}

pub(crate) async fn what_was_accepted_survives_a_crash<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let mut ids = Vec::new();
    for body in ["one", "two", "three"] {
        ids.push(world.add(&sent(body)).await);
        world.fixture.crash().await;
    }
    let mut workers = Workers::start(&world, &[("a", 10)]);
    let mut jobs = workers.all(&world).await;
    if !F::ONE_QUEUE {
        jobs.sort_by_key(|job| job.lease.delivery);
    }
    assert_eq!(jobs.iter().map(|job| job.lease.delivery).collect::<Vec<_>>(), ids);
    assert_eq!(jobs.iter().map(|job| &*job.data).collect::<Vec<_>>(), [&b"one"[..], b"two", b"three"]);
    assert!(jobs.iter().all(|job| job.attempt == 1 && job.crashes == 0));
}
