//! Deleting what is older than it may be, and nothing else.

use std::time::Duration;

use super::{Fixture, WINDOW, Workers, World, event, sent};
use crate::journal::{Accepted, Outcome, Retention, Swept};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Goes round once.
pub(crate) async fn sweep_all<F: Fixture>(world: &World<F>, retention: Retention) -> Swept {
    let mut all = Swept::default();
    for _ in 0..100_000 {
        let step = world.store().sweep(retention).await.unwrap();
        all.deliveries += step.deliveries;
        all.dedupe_keys += step.dedupe_keys;
        if step.finished {
            all.finished = true;
            return all;
        }
    }
    panic!("the sweep does not come round: {all:?}");
}

pub(crate) async fn ended_deliveries_go_when_their_time_is_over<F: Fixture>() {
    for mature in [false, true] {
        let mut world = World::<F>::new().await;
        let retention = Retention { done: Some(30 * DAY), failed: Some(90 * DAY) };
        let many = 600;
        let mut ids = Vec::new();
        for number in 0..many {
            let route = if number % 2 == 0 { "a" } else { "waiting" };
            ids.push(world.add(&sent("{}").route(route)).await);
        }
        let mut workers = Workers::start(&world, &[("a", many)]);
        for (number, job) in workers.all(&world).await.into_iter().enumerate() {
            let discarded = Outcome::Discarded { reason: "no".into() };
            let outcome = if number % 2 == 0 { Outcome::Done } else { discarded };
            world.store().settle(job.lease, outcome).await.unwrap();
        }
        if mature {
            world.fixture.mature().await;
        }
        world.pass(30 * DAY).await;
        assert_eq!(sweep_all(&world, retention).await.deliveries, 0, "30 days are not over yet");
        world.pass(Duration::from_millis(1)).await;
        assert_eq!(sweep_all(&world, retention).await.deliveries, many / 2);
        assert_eq!(sweep_all(&world, retention).await.deliveries, 0);
        for (number, id) in ids.iter().enumerate() {
            // What waits is kept, however old.
            let kept = number % 2 == 1;
            let job = id.event(0).job(if kept { "waiting" } else { "a" });
            assert_eq!(world.store().delivery(*id).await.unwrap().is_some(), kept);
            assert_eq!(world.store().job(job).await.unwrap().is_some(), kept);
            assert_eq!(world.store().locate(job.into()).await.unwrap().is_some(), kept);
        }
        let stats = world.stats().await;
        assert_eq!((stats.accepted, stats.jobs), (many as u64, [many as u64 / 2, 0, 0, 0, 0, 0]));
        world.fixture.crash().await;
        assert_eq!(world.stats().await, stats);
    }
}

pub(crate) async fn failed_ones_are_kept_longer_or_for_ever<F: Fixture>() {
    let world = World::<F>::new().await;
    let done = world.add(&sent("{}").events(vec![event("x", &["a"])])).await;
    let dead = world.add(&sent("{}").events(vec![event("x", &["a", "b"])])).await;
    let quarantined = world.add(&sent("<").quarantined()).await;
    let unrouted = world.add(&sent("{}").events(vec![event("x", &["a"]), event("y", &[])])).await;
    let test = world.add(&sent("?").test()).await;
    let mut workers = Workers::start(&world, &[("a", 9), ("b", 9)]);
    for job in workers.all(&world).await {
        let dead = Outcome::Dead { error: "no".into() };
        let outcome = if &*job.lease.route == "b" { dead } else { Outcome::Done };
        world.store().settle(job.lease, outcome).await.unwrap();
    }
    let kept = || async {
        let mut kept = Vec::new();
        for id in [done, dead, quarantined, unrouted, test] {
            kept.push(world.store().delivery(id).await.unwrap().is_some());
        }
        kept
    };
    world.pass(30 * DAY + Duration::from_millis(1)).await;
    let for_ever = Retention { done: None, failed: None };
    assert_eq!(sweep_all(&world, for_ever).await.deliveries, 0);
    let failed_for_ever = Retention { done: Some(30 * DAY), failed: None };
    assert_eq!(sweep_all(&world, failed_for_ever).await.deliveries, 2);
    assert_eq!(kept().await, [false, true, true, true, false]);
    let retention = Retention { done: Some(30 * DAY), failed: Some(90 * DAY) };
    world.pass((60 * DAY).saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(sweep_all(&world, retention).await.deliveries, 0);
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(sweep_all(&world, retention).await.deliveries, 3);
    assert_eq!(kept().await, [false; 5]);
}

pub(crate) async fn retention_counts_from_the_end_of_the_last_job<F: Fixture>() {
    let world = World::<F>::new().await;
    let id = world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let job = workers.next().await;
    // It took half a month of retries.
    world
        .store()
        .settle(job.lease, Outcome::Retry { after: 15 * DAY, error: "not yet".into() })
        .await
        .unwrap();
    workers.free(&world, "a", 1);
    world.pass(15 * DAY).await;
    world.store().settle(workers.next().await.lease, Outcome::Done).await.unwrap();

    let retention = Retention { done: Some(30 * DAY), failed: Some(30 * DAY) };
    world.pass(30 * DAY).await;
    assert_eq!(sweep_all(&world, retention).await.deliveries, 0, "it ended 30 days ago, not longer");
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(sweep_all(&world, retention).await.deliveries, 1);
    assert!(world.store().delivery(id).await.unwrap().is_none());
}

pub(crate) async fn keys_outlive_neither_their_window_nor_their_delivery<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let (short, long) = (sent("1").signed_id("short"), sent("2").signed_id("long").route("waiting"));
    world.add(&short).await;
    let original = world.add(&long).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    world.store().settle(workers.next().await.lease, Outcome::Done).await.unwrap();
    world.fixture.mature().await;
    let retention = Retention { done: Some(DAY), failed: Some(DAY) };
    world.pass(2 * DAY).await;
    let swept = sweep_all(&world, retention).await;
    assert_eq!((swept.deliveries, swept.dedupe_keys), (1, 0), "the window is open");
    world.pass(WINDOW).await;
    let swept = sweep_all(&world, retention).await;
    assert_eq!((swept.deliveries, swept.dedupe_keys), (0, 1), "the other's delivery lives");
    world.fixture.crash().await;
    assert_eq!(world.accept(&long).await.1.ok(), Some(Accepted::Duplicate { original }));
    assert_eq!(world.accept(&short).await.1.ok(), Some(Accepted::New { id_reused: false }));
}

pub(crate) async fn keys_of_one_id_are_forgotten_each_in_its_own_time<F: Fixture>() {
    let new = |id_reused| Some(Accepted::New { id_reused });
    let retention = Retention { done: Some(Duration::ZERO), failed: Some(Duration::ZERO) };
    for (first, second, third) in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)] {
        // Recognised by the id and what was said, by the id alone, and by the id and something else that was said.
        let all = [sent("one").unsigned_id("1"), sent("one").signed_id("1"), sent("two").unsigned_id("1")];
        let world = World::<F>::new().await;
        assert_eq!(world.accept(&all[first]).await.1.ok(), new(false));
        world.pass(DAY).await;
        assert_eq!(world.accept(&all[second]).await.1.ok(), new(true));
        let mut workers = Workers::start(&world, &[("a", 3)]);
        for _ in 0..2 {
            world.store().settle(workers.next().await.lease, Outcome::Done).await.unwrap();
        }
        world.fixture.mature().await;
        world.pass(WINDOW.saturating_sub(DAY)).await;
        world.pass(Duration::from_millis(1)).await;
        let swept = sweep_all(&world, retention).await;
        assert_eq!((swept.deliveries, swept.dedupe_keys), (2, 1), "only the first one's window is over");
        assert!(matches!(world.accept(&all[second]).await.1, Ok(Accepted::Duplicate { .. })));
        assert_eq!(world.accept(&all[third]).await.1.ok(), new(true), "the second one has the id");

        world.store().settle(workers.next().await.lease, Outcome::Done).await.unwrap();
        world.fixture.mature().await;
        world.pass(2 * WINDOW).await;
        assert_eq!(sweep_all(&world, retention).await.dedupe_keys, 2);
        assert_eq!(world.accept(&all[first]).await.1.ok(), new(false), "nobody has the id");
    }
}
