//! What the sweep leaves behind: nothing.

use std::{collections::BTreeSet, time::Duration};

use super::Shared;
use crate::journal::{
    Outcome, ReplayJobs, Retention, Swept,
    conformance::{WINDOW, Workers, World, event, sent, sweep_all},
    redis::{answer, link::prefix},
};

const HOUR: Duration = Duration::from_secs(3600);
const RETENTION: Retention = Retention { done: Some(HOUR), failed: Some(HOUR) };

/// The names of all keys there are, without the ids at their ends.
pub(super) async fn keys(world: &World<Shared<4>>) -> BTreeSet<String> {
    let mut ask = redis::cmd("KEYS");
    ask.arg("*");
    let found = world.fixture.redis().core.link.command(0, &ask).await.unwrap();
    let keys = answer::list(found).unwrap().into_iter().map(|key| answer::bytes(key).unwrap());
    keys.map(|key| {
        let key = String::from_utf8_lossy(&key).into_owned();
        let (lane, name) = key.split_once('}').expect("every key has a lane");
        assert!((0..4).any(|number| prefix(number) == format!("{lane}}}:")), "{key}");
        name.split(':').nth(1).unwrap_or_default().to_owned()
    })
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_is_over_nothing_is_left_but_counters() {
    let world = World::<Shared<4>>::new().await;
    for number in 0..300 {
        let events = vec![event("x", &["done", "dead"]), event("y", &["discarded"])];
        let sent = sent(&format!("{number}")).events(events);
        let sent = match number % 4 {
            0 => sent.signed_id(&number.to_string()),
            1 => sent.unsigned_id(&(number / 100).to_string()),
            2 => sent.by_body(),
            _ => sent,
        };
        world.add(&sent).await;
    }
    let large: Vec<_> = (0..1_000).map(|_| event("x", &["done", "discarded"])).collect();
    let large = world.add(&sent("large").events(large)).await;
    let quarantined = world.add(&sent("<").quarantined()).await;
    world.add(&sent("?").test()).await;
    world.add(&sent("{}").events(vec![event("x", &[])])).await;
    assert_eq!(world.store().reroute(quarantined, vec![event("x", &["done"])]).await.unwrap(), 1);
    let mut workers = Workers::start(&world, &["done", "dead", "discarded"].map(|route| (route, 2_000)));
    for replays in 0..2 {
        loop {
            let jobs = workers.all(&world).await;
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                let outcome = match &*job.lease.route {
                    "dead" if job.attempt == 1 => Outcome::Retry { after: HOUR, error: "later".into() },
                    "dead" => Outcome::Dead { error: "no".into() },
                    "discarded" => Outcome::Discarded { reason: "no".into() },
                    _ => Outcome::Done,
                };
                workers.free(&world, &job.lease.route, 1);
                world.store().settle(job.lease, outcome).await.unwrap();
            }
            world.pass(HOUR).await;
        }
        if replays == 0 {
            let all = ReplayJobs::Unfinished { route: None };
            assert_eq!(world.store().replay(large, all).await.unwrap(), 1_000);
        }
    }
    assert_eq!(sweep_all(&world, RETENTION).await.deliveries, 303);
    assert!(world.store().delivery(large).await.unwrap().is_some(), "its last job ended an hour ago");
    world.pass(Duration::from_millis(1)).await;
    assert_eq!(sweep_all(&world, RETENTION).await.deliveries, 1);
    assert_eq!(world.jobs_by_state().await, [0; 6]);
    world.pass(WINDOW).await;
    sweep_all(&world, RETENTION).await;
    let left: Vec<_> = keys(&world).await.into_iter().collect();
    assert_eq!(left, ["routes", "stats", "store", "sweep"], "`sweep` says who sweeps");
    // And nothing of what went is recognised.
    let again = sent("1").events(vec![event("x", &["done"])]).unsigned_id("0");
    assert!(matches!(world.accept(&again).await.1, Ok(crate::journal::Accepted::New { id_reused: false })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_host_sweeps_until_it_is_gone() {
    let one = World::<Shared<4>>::new().await;
    let two = one.fixture.beside("two").await;
    let many = 1_000;
    for number in 0..many {
        one.add(&sent("<").signed_id(&number.to_string()).quarantined()).await;
    }
    one.pass(WINDOW + HOUR).await;
    let first = one.store().sweep(RETENTION).await.unwrap();
    assert!(first.deliveries > 0 && !first.finished && !first.no_hurry, "{first:?}");
    let left_alone = Swept { finished: true, no_hurry: true, ..Swept::default() };
    assert_eq!(two.store().sweep(RETENTION).await.unwrap(), left_alone, "another host is at it");
    one.pass(Duration::from_secs(60)).await;
    assert_eq!(two.store().sweep(RETENTION).await.unwrap(), left_alone, "a host may rest for a minute");
    let second = one.store().sweep(RETENTION).await.unwrap();
    assert!(second.deliveries > 0 && !second.finished, "{second:?}");
    one.pass(Duration::from_secs(90)).await;
    let third = two.store().sweep(RETENTION).await.unwrap();
    assert!(third.deliveries > 0, "{third:?}");
    assert_eq!(one.store().sweep(RETENTION).await.unwrap(), left_alone);
    // A key may have been passed before its delivery was gone.
    sweep_all(&two, RETENTION).await;
    sweep_all(&two, RETENTION).await;
    let left: Vec<_> = keys(&one).await.into_iter().collect();
    assert_eq!(left, ["stats", "store", "sweep"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_little_is_old_the_sweep_has_time() {
    let world = World::<Shared<1>>::new().await;
    for number in 0..1_000 {
        world.add(&sent("<").signed_id(&number.to_string()).quarantined()).await;
    }
    let step = world.store().sweep(RETENTION).await.unwrap();
    assert_eq!(step, Swept { no_hurry: true, ..Swept::default() });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_while_it_is_swept_stays() {
    let world = World::<Shared<1>>::new().await;
    let mut ids = Vec::new();
    for _ in 0..50 {
        ids.push(world.add(&sent("{}")).await);
    }
    let mut workers = Workers::start(&world, &[("a", 50)]);
    for job in workers.all(&world).await {
        world.store().settle(job.lease, Outcome::Done).await.unwrap();
    }
    drop(workers);
    world.pass(HOUR + Duration::from_millis(1)).await;
    let all = ReplayJobs::Unfinished { route: None };
    let replays = futures_util::future::join_all(ids.iter().map(|id| world.store().replay(*id, all.clone())));
    let (swept, replayed) = futures_util::future::join(world.store().sweep(RETENTION), replays).await;
    let replayed: usize = replayed.into_iter().map(Result::unwrap).sum();
    assert_eq!(swept.unwrap().deliveries + replayed, 50);
    let states = world.jobs_by_state().await;
    assert_eq!(states, [replayed as u64, 0, 0, 0, 0, 0]);
}
