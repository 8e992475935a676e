//! Crashes: who is suspected, who is guilty, and that nobody else suffers for it.

use std::{collections::BTreeSet, time::Duration};

use super::{Fixture, LEASE, MAX_CRASHES, Workers, World, claim::job_id, sent};
use crate::journal::{JobState, Outcome, StoreError};

pub(crate) async fn jobs_recovered_from_a_crash_run_one_at_a_time<F: Fixture>() {
    let mut world = World::<F>::new().await;
    for _ in 0..5 {
        world.add(&sent("{}")).await;
    }
    let mut workers = Workers::start(&world, &[("a", 5)]);
    let crashed: BTreeSet<_> = workers.all(&world).await.iter().map(job_id).collect();
    assert_eq!(crashed.len(), 5);
    world.fixture.crash().await;
    assert_eq!(world.jobs_by_state().await, [0, 0, 5, 0, 0, 0]);
    for _ in 0..10 {
        world.add(&sent("{}")).await;
    }
    let mut workers = Workers::start(&world, &[("a", 15)]);
    // One suspect, and beside it all that are not.
    let mut jobs = workers.all(&world).await;
    assert_eq!(jobs.len(), 11);
    for left in (0..5).rev() {
        let (suspects, others): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| crashed.contains(&job_id(job)));
        let [suspect] = &suspects[..] else { panic!("{} suspects at once", suspects.len()) };
        assert_eq!((suspect.attempt, suspect.crashes), (2, 1));
        for job in others {
            world.store().settle(job.lease, Outcome::Done).await.unwrap();
        }
        workers.idle(&world).await;
        world.store().settle(suspect.lease.clone(), Outcome::Done).await.unwrap();
        jobs = workers.all(&world).await;
        assert_eq!(jobs.len(), usize::from(left > 0));
    }
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 15, 0, 0]);
}

pub(crate) async fn the_job_that_kills_its_process_ends_dead_and_its_neighbours_do_not<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let neighbours = 63;
    let mut guilty = None;
    for number in 0..=neighbours {
        let id = world.add(&sent("{}")).await.event(0).job("a");
        if number == 20 {
            guilty = Some(id);
        }
    }
    let guilty = guilty.unwrap();
    let mut crashes = 0;
    // Every process runs what it is given, until it is given the guilty one.
    'process: while world.state(guilty).await != JobState::Dead {
        assert!(crashes < MAX_CRASHES, "it has killed {crashes} processes and is not dead");
        let mut workers = Workers::start(&world, &[("a", 64)]);
        loop {
            let jobs = workers.all(&world).await;
            assert!(!jobs.is_empty(), "{:?}", world.jobs_by_state().await);
            if let Some(job) = jobs.iter().find(|job| job_id(job) == guilty) {
                assert_eq!(job.crashes, crashes);
                crashes += 1;
                if crashes == MAX_CRASHES {
                    assert_eq!(jobs.len(), 1, "its last chance is alone");
                }
                world.clock.advance(Duration::from_secs(1));
                world.fixture.crash().await;
                continue 'process;
            }
            for job in jobs {
                world.store().settle(job.lease, Outcome::Done).await.unwrap();
                workers.free(&world, "a", 1);
            }
        }
    }
    assert_eq!(crashes, MAX_CRASHES);
    let mut workers = Workers::start(&world, &[("a", 64)]);
    loop {
        let jobs = workers.all(&world).await;
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            world.store().settle(job.lease, Outcome::Done).await.unwrap();
            workers.free(&world, "a", 1);
        }
    }
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, neighbours, 1, 0]);
    let dead = world.job(guilty).await;
    assert_eq!((dead.attempts, dead.crashes), (MAX_CRASHES, MAX_CRASHES));
    assert!(dead.error.unwrap().contains("died"));
}

pub(crate) async fn suspects_of_a_route_that_nobody_serves_hold_up_no_other<F: Fixture>() {
    let mut world = World::<F>::new().await;
    for _ in 0..100 {
        world.add(&sent("{}").route("deserted")).await;
    }
    let last = world.add(&sent("{}").route("a")).await;
    let mut workers = Workers::start(&world, &[("deserted", 100), ("a", 1)]);
    assert_eq!(workers.all(&world).await.len(), 101);
    world.fixture.crash().await;
    let mut workers = Workers::start(&world, &[("a", 2)]);
    let job = workers.next().await;
    assert_eq!((job.lease.delivery, job.crashes), (last, 1));
    world.store().settle(job.lease, Outcome::Done).await.unwrap();
    world.add(&sent("{}")).await;
    assert_eq!(workers.next().await.attempt, 1);
}

pub(crate) async fn a_suspect_without_a_free_slot_waits_for_one<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let id = world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    workers.next().await;
    world.fixture.crash().await;
    let mut workers = Workers::start(&world, &[("a", 0)]);
    workers.idle(&world).await;
    workers.free(&world, "a", 1);
    let job = workers.next().await;
    assert_eq!((job.lease.delivery, job.attempt), (id, 2));
}

/// Crashes with this one job running, until one more crash would condemn it.
async fn nearly_condemn<F: Fixture>(world: &mut World<F>) -> crate::delivery::JobId {
    let id = world.add(&sent("suspect").route("suspect")).await.event(0).job("suspect");
    for _ in 1..MAX_CRASHES {
        let mut workers = Workers::start(world, &[("suspect", 1)]);
        assert_eq!(job_id(&workers.next().await), id);
        world.fixture.crash().await;
    }
    id
}

pub(crate) async fn a_last_chance_waits_until_it_is_alone<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let suspect = nearly_condemn(&mut world).await;
    for _ in 0..3 {
        world.add(&sent("{}")).await;
    }
    // There is no slot for it yet, so it holds up nobody.
    let mut workers = Workers::start(&world, &[("suspect", 0), ("a", 2)]);
    let running = workers.all(&world).await;
    assert_eq!(running.len(), 2);
    // Now it waits for those that run, and nothing else begins.
    workers.free(&world, "suspect", 1);
    if !F::ONE_QUEUE {
        workers.idle(&world).await;
    }
    workers.free(&world, "a", 1);
    workers.idle(&world).await;
    for job in running {
        workers.idle(&world).await;
        world.store().settle(job.lease, Outcome::Done).await.unwrap();
    }
    let alone = workers.next().await;
    assert_eq!((job_id(&alone), alone.crashes), (suspect, MAX_CRASHES - 1));
    workers.idle(&world).await;
    world.store().settle(alone.lease, Outcome::Done).await.unwrap();
    assert_eq!(&*workers.next().await.lease.route, "a");
}

pub(crate) async fn a_last_chance_begins_when_the_last_lease_runs_out<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let suspect = nearly_condemn(&mut world).await;
    world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("suspect", 0), ("a", 1)]);
    let stalled = workers.next().await;
    workers.free(&world, "suspect", 1);
    workers.idle(&world).await;
    world.pass(LEASE).await;
    assert_eq!(job_id(&workers.next().await), suspect);
    assert_eq!(world.job(job_id(&stalled)).await.crashes, 1);
    // Alone, and dead: its worker stalls as well.
    workers.free(&world, "a", 1);
    workers.idle(&world).await;
    world.pass(LEASE).await;
    assert_eq!(world.state(suspect).await, JobState::Dead);
    assert_eq!(job_id(&workers.next().await), job_id(&stalled));
}

pub(crate) async fn a_lease_of_a_dead_process_settles_nothing<F: Fixture>() {
    let mut world = World::<F>::new().await;
    world.add(&sent("{}")).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let old = workers.next().await;
    world.fixture.crash().await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let new = workers.next().await;
    assert_ne!(new.lease, old.lease);
    let settled = world.store().settle(old.lease, Outcome::Done).await;
    assert!(matches!(settled, Err(StoreError::LeaseLost)), "{settled:?}");
    world.store().settle(new.lease, Outcome::Done).await.unwrap();
}
