//! Deliveries that stand together in Redis: each is on its own all the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::future::join;

use super::{Shared, reading::listed, sealed, sweeping::keys};
use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, Discarded, Filter, JobState, NewDelivery, Outcome, ReplayJobs, Retention,
        Shared as _,
        conformance::{Fixture as _, Sent, WINDOW, Workers, World, event, sent, sweep_all},
        redis::answer,
    },
};

const HOUR: Duration = Duration::from_secs(3600);
const MILLI: Duration = Duration::from_millis(1);
/// What failed stays for ever.
const RETENTION: Retention = Retention { done: Some(HOUR), failed: None };
const NEW: Accepted = Accepted::New { id_reused: false };

/// A body that no other delivery has, nor the length of its neighbours'.
fn body(number: usize) -> String {
    format!("body {number}.{}", "x".repeat(number * 37 % 301))
}

fn numbered(count: usize) -> Vec<Sent> {
    (0..count).map(|number| sent(&body(number))).collect()
}

fn retry() -> Outcome {
    Outcome::Retry { after: HOUR, error: "later".into() }
}

fn dead() -> Outcome {
    Outcome::Dead { error: "no".into() }
}

async fn take_in<const LANES: u32>(world: &World<Shared<LANES>>, batch: &[NewDelivery]) -> Vec<Accepted> {
    let taken = world.fixture.redis().take_in(sealed(batch)).await.unwrap();
    taken.answers.into_iter().map(Result::unwrap).collect()
}

/// Takes in with one call what must be new.
async fn together<const LANES: u32>(world: &World<Shared<LANES>>, sent: &[Sent]) -> Vec<NewDelivery> {
    let batch: Vec<_> = sent.iter().map(|sent| world.prepare(sent)).collect();
    assert_eq!(take_in(world, &batch).await, vec![NEW; batch.len()]);
    batch
}

/// The same, and they stand together.
async fn bundle(world: &World<Shared<1>>, sent: &[Sent]) -> Vec<NewDelivery> {
    let before = bundles(world).await.len();
    let batch = together(world, sent).await;
    assert_eq!(bundles(world).await.len(), before + 1);
    batch
}

/// The keys of the bundles.
async fn bundles(world: &World<Shared<1>>) -> BTreeSet<Vec<u8>> {
    let ask = redis::cmd("KEYS").arg("{doorbell:0}:bundle:*").clone();
    let keys = answer::list(world.fixture.redis().core.link.command(0, &ask).await.unwrap()).unwrap();
    keys.into_iter().map(|key| answer::bytes(key).unwrap()).collect()
}

/// Redis takes the only bundle there is away.
pub(super) async fn evict(world: &World<Shared<1>>) {
    let bundles: Vec<_> = bundles(world).await.into_iter().collect();
    let [bundle] = &bundles[..] else { panic!("{} bundles", bundles.len()) };
    let gone = redis::cmd("DEL").arg(bundle).clone();
    let deleted = world.fixture.redis().core.link.command(0, &gone).await.unwrap();
    assert_eq!(deleted, redis::Value::Int(1));
}

fn ids<'a>(batch: impl IntoIterator<Item = &'a NewDelivery>) -> BTreeSet<DeliveryId> {
    batch.into_iter().map(|new| new.id).collect()
}

/// Asserts that all of these deliveries are there as they came.
async fn assert_whole<'a, const LANES: u32>(
    world: &World<Shared<LANES>>,
    batch: impl IntoIterator<Item = &'a NewDelivery>,
) {
    for new in batch {
        let record = world.delivery(new.id).await;
        assert_eq!((&record.body, record.headers.len()), (&new.body, 2), "{}", new.id);
    }
}

/// Asserts that these are jobs of these deliveries, one for each, and that each brings its own body.
fn assert_own<'a>(batch: impl IntoIterator<Item = &'a NewDelivery>, jobs: &[ClaimedJob]) {
    let bodies: BTreeMap<_, _> = batch.into_iter().map(|new| (new.id, &new.body)).collect();
    let brought: BTreeMap<_, _> = jobs.iter().map(|job| (job.lease.delivery, &job.data)).collect();
    assert_eq!(brought, bodies);
    assert_eq!(jobs.len(), bodies.len(), "none twice");
}

async fn settle<const LANES: u32>(world: &World<Shared<LANES>>, jobs: Vec<ClaimedJob>, outcome: Outcome) {
    for job in jobs {
        world.store().settle(job.lease, outcome.clone()).await.unwrap();
    }
}

async fn found_job<const LANES: u32>(world: &World<Shared<LANES>>, id: JobId) -> Option<JobState> {
    let located = world.store().locate(id.into()).await.unwrap();
    let job = world.store().job(id).await.unwrap();
    assert_eq!(located, job.as_ref().map(|job| job.delivery_id));
    job.map(|job| job.state)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_hosts_bring_at_once_is_listed_in_order_and_found() {
    const ROUTES: [&str; 5] = ["queued", "given up", "running", "done", "discarded"];
    const STATES: [JobState; 5] =
        [JobState::Queued, JobState::Discarded, JobState::Running, JobState::Done, JobState::Discarded];
    let one = World::<Shared<4>>::new().await;
    let two = one.fixture.beside("two").await;
    let mut batches = [Vec::new(), Vec::new()];
    for number in 0..600 {
        // Two hosts number their deliveries alike, and the ids of events stand between those of deliveries.
        let world = if number % 2 == 0 { &one } else { &two };
        let events = vec![event("x", &[ROUTES[number % 5]]); 1 + number % 3];
        batches[number % 2].push(world.prepare(&sent(&body(number)).events(events)));
        one.clock.advance(3 * MILLI);
    }
    for piece in [0..1, 1..90, 90..300] {
        let both = join(take_in(&one, &batches[0][piece.clone()]), take_in(&two, &batches[1][piece.clone()]));
        let (by_one, by_two) = both.await;
        assert_eq!([by_one, by_two].concat(), vec![NEW; 2 * piece.len()]);
    }
    let mut all = batches.concat();
    all.sort_by_key(|new| std::cmp::Reverse(new.id));
    let ids: Vec<_> = all.iter().map(|new| new.id).collect();
    for limit in [1, 7, 100] {
        assert_eq!(listed(&one, Filter { limit, ..Filter::default() }).await, ids, "limit {limit}");
    }
    for (at, id) in ids.iter().enumerate() {
        let filter = Filter { cursor: Some(id.to_string()), limit: 9, ..Filter::default() };
        let page = two.store().deliveries(filter).await.unwrap();
        let page: Vec<_> = page.items.iter().map(|delivery| delivery.id).collect();
        assert_eq!(page, ids[at + 1..(at + 10).min(ids.len())], "below {id}");
    }

    let mut workers = Workers::start(&one, &[("running", 600), ("done", 600), ("discarded", 600)]);
    for job in workers.all(&one).await {
        let outcome = match &*job.lease.route {
            "done" => Outcome::Done,
            "discarded" => Outcome::Discarded { reason: "no".into() },
            _ => continue,
        };
        one.store().settle(job.lease, outcome).await.unwrap();
    }
    for (number, new) in batches[0].iter().zip(&batches[1]).flat_map(|(one, two)| [one, two]).enumerate() {
        assert_eq!(two.store().locate(new.id.into()).await.unwrap(), Some(new.id));
        let events = [1, 2, 3][number % 3];
        for event in (0..events).map(|event| new.id.event(event)) {
            assert_eq!(two.store().locate(event.into()).await.unwrap(), Some(new.id));
            let (job, state) = (event.job(ROUTES[number % 5]), STATES[number % 5]);
            if number % 5 == 1 {
                assert_eq!(found_job(&two, job).await, Some(JobState::Queued));
                assert_eq!(two.store().discard(job).await.unwrap(), Discarded::Yes);
            }
            assert_eq!(found_job(&two, job).await, Some(state), "delivery {number}");
        }
        assert_eq!(two.store().locate(new.id.event(events).into()).await.unwrap(), None);
    }
    assert_whole(&two, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_time_of_a_bundle_ends_nothing_is_lost() {
    let world = World::<Shared<1>>::new().await;
    let edge = 128 - u32::try_from(crate::journal::conformance::START.as_millis() % 64).unwrap();
    world.pass(MILLI * (edge - 2)).await;
    let mut batch = Vec::new();
    for _ in 0..4 {
        batch.extend((0..5).map(|number| world.prepare(&sent(&body(number)))));
        if batch.len() == 10 {
            // As if so much had come in this millisecond that events of the next delivery are numbered in the next one.
            world.ids.next(batch[9].received_at, (1 << 20) - 20);
            batch.push(world.prepare(&sent("many").events(vec![event("x", &["b"]); 20])));
        }
        world.clock.advance(MILLI);
    }
    assert_eq!(take_in(&world, &batch).await, vec![NEW; 21]);
    assert_eq!(bundles(&world).await.len(), 2, "they came on both sides of the edge");
    for limit in [1, 3, 100] {
        let listed = listed(&world, Filter { limit, ..Filter::default() }).await;
        assert!(listed.iter().eq(ids(&batch).iter().rev()), "limit {limit}");
    }
    for new in &batch {
        assert_eq!(world.store().locate(new.id.event(0).into()).await.unwrap(), Some(new.id));
    }
    let (before, behind) = (batch[10].id, batch[11].id);
    let last = before.event(19);
    let millis = |id: uuid::Uuid| id.as_u128() >> 80;
    assert_eq!(millis(last.into()), millis(behind.into()), "it lies in the next time");
    assert_eq!(world.store().locate(last.into()).await.unwrap(), Some(before));
    assert_eq!(found_job(&world, last.job("b")).await, Some(JobState::Queued));
    assert_eq!(world.store().locate(before.event(20).into()).await.unwrap(), None);
    assert_whole(&world, &batch).await;
    assert_eq!(
        take_in(&world, &batch).await,
        batch.iter().map(|new| Accepted::Duplicate { original: new.id }).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_batch_only_what_is_new_is_stored() {
    let world = World::<Shared<1>>::new().await;
    let known = bundle(
        &world,
        &[
            sent(&body(0)).signed_id("1"),
            sent(&body(1)).by_body(),
            sent(&body(2)),
            sent(&body(3)).unsigned_id("3"),
        ],
    )
    .await;
    let new = |number: usize| world.prepare(&sent(&body(number)));
    let again = |of: &NewDelivery| (of.clone(), Accepted::Duplicate { original: of.id });
    let is = |new: &NewDelivery| (new.clone(), NEW);
    let like = |sent: Sent, of: &NewDelivery| (world.prepare(&sent), Accepted::Duplicate { original: of.id });
    let (twice, by_id) = (new(11), world.prepare(&sent(&body(12)).signed_id("12")));
    let by_body = world.prepare(&sent(&body(13)).by_body());
    let batch = [
        like(sent("another body").signed_id("1"), &known[0]),
        is(&new(10)),
        is(&twice),
        again(&known[2]),
        is(&by_id),
        like(sent(&body(1)).by_body(), &known[1]),
        again(&twice),
        is(&by_body),
        again(&known[0]),
        like(sent("yet another body").signed_id("12"), &by_id),
        (world.prepare(&sent(&body(14)).unsigned_id("3")), Accepted::New { id_reused: true }),
        again(&by_id),
        like(sent(&body(13)).by_body(), &by_body),
        like(sent(&body(3)).unsigned_id("3"), &known[3]),
        again(&by_body),
        is(&new(15)),
        again(&known[1]),
    ];
    let (offered, expected): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
    assert_eq!(take_in(&world, &offered).await, expected);
    let all: BTreeMap<_, _> = offered
        .iter()
        .zip(&expected)
        .filter(|(_, answer)| matches!(answer, Accepted::New { .. }))
        .map(|(new, _)| (new.id, new))
        .chain(known.iter().map(|new| (new.id, new)))
        .collect();
    assert_eq!(all.len(), 10);
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.duplicate, stats.id_reused), (10, 5, 1));
    assert_eq!(stats.jobs, [10, 0, 0, 0, 0, 0]);
    let in_order = listed(&world, Filter::default()).await;
    assert!(in_order.iter().eq(all.keys().rev()));
    assert_whole(&world, all.values().copied()).await;

    // Its answer did not come, so it is offered once more.
    let originals = offered.iter().zip(&expected).map(|(new, answer)| match answer {
        Accepted::New { .. } => Accepted::Duplicate { original: new.id },
        known @ Accepted::Duplicate { .. } => *known,
    });
    assert_eq!(take_in(&world, &offered).await, originals.collect::<Vec<_>>());
    // What is known by its own id is counted nowhere.
    assert_eq!(world.stats().await, crate::journal::Stats { duplicate: 10, ..stats });
    assert_eq!(listed(&world, Filter::default()).await, in_order);
    assert_whole(&world, all.values().copied()).await;
    let mut workers = Workers::start(&world, &[("a", 100)]);
    assert_own(all.values().copied(), &workers.all(&world).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_repeated_changes_nothing() {
    let world = World::<Shared<4>>::new().await;
    let sent: Vec<_> = (0..500)
        .map(|number| match number % 3 {
            0 => sent(&body(number)).signed_id(&number.to_string()),
            1 => sent(&body(number)).by_body(),
            _ => sent(&body(number)),
        })
        .collect();
    let batch = together(&world, &sent).await;
    let mut workers = Workers::start(&world, &[("a", 100)]);
    settle(&world, workers.all(&world).await, Outcome::Done).await;
    let before = (world.stats().await, listed(&world, Filter::default()).await);
    world.pass(HOUR).await;
    // In pieces that were not together, some of them in another order.
    for piece in batch.chunks(70).rev().chain([&batch[..]]) {
        let originals: Vec<_> = piece.iter().map(|new| Accepted::Duplicate { original: new.id }).collect();
        assert_eq!(take_in(&world, piece).await, originals);
    }
    assert_eq!((world.stats().await, listed(&world, Filter::default()).await), before);
    workers.free(&world, "a", 500);
    assert_eq!(workers.all(&world).await.len(), 400);
    assert_whole(&world, &batch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stays_of_a_bundle_is_whole_when_the_rest_is_swept() {
    const ROUTES: [&str; 4] = ["done", "dead", "waits", "later"];
    let world = World::<Shared<4>>::new().await;
    let sent: Vec<_> = (0..200)
        .map(|number| sent(&body(number)).signed_id(&number.to_string()).route(ROUTES[number % 4]))
        .collect();
    let batch = together(&world, &sent).await;
    let of = |routes: &[&str]| {
        let kept = batch.iter().enumerate().filter(|(number, _)| routes.contains(&ROUTES[number % 4]));
        kept.map(|(_, new)| new).collect::<Vec<_>>()
    };
    let mut workers =
        Workers::start(&world, &ROUTES.map(|route| (route, if route == "waits" { 0 } else { 50 })));
    for job in workers.all(&world).await {
        let outcome = match &*job.lease.route {
            "done" => Outcome::Done,
            "dead" => dead(),
            _ => Outcome::Retry { after: 3 * HOUR, error: "later".into() },
        };
        world.store().settle(job.lease, outcome).await.unwrap();
    }
    world.pass(HOUR + MILLI).await;
    assert_eq!(sweep_all(&world, RETENTION).await.deliveries, 50);
    for new in of(&["done"]) {
        assert!(world.store().delivery(new.id).await.unwrap().is_none());
        assert_eq!(world.store().locate(new.id.into()).await.unwrap(), None);
        assert_eq!(found_job(&world, new.id.event(0).job("done")).await, None);
        // Whoever was shown it last goes on behind it.
        let below = Filter { cursor: Some(new.id.to_string()), limit: 500, ..Filter::default() };
        let ids: Vec<_> =
            of(&["dead", "waits", "later"]).iter().map(|other| other.id).filter(|id| *id < new.id).collect();
        assert!(listed(&world, below).await.iter().eq(ids.iter().rev()));
    }
    let rest = of(&["dead", "waits", "later"]);
    assert_whole(&world, rest.iter().copied()).await;
    assert_eq!(world.jobs_by_state().await, [50, 0, 50, 0, 50, 0]);
    let originals: Vec<_> = batch.iter().map(|new| Accepted::Duplicate { original: new.id }).collect();
    assert_eq!(take_in(&world, &batch).await, originals, "what went is recognised too");

    for new in of(&["dead"]) {
        let all = ReplayJobs::Unfinished { route: None };
        assert_eq!(world.store().replay(new.id, all).await.unwrap(), 1);
    }
    world.pass(2 * HOUR).await;
    for route in ["dead", "waits", "later"] {
        workers.free(&world, route, 50);
    }
    let jobs = workers.all(&world).await;
    assert_own(rest, &jobs);
    settle(&world, jobs, Outcome::Done).await;
    world.pass(HOUR + MILLI).await;
    assert_eq!(sweep_all(&world, RETENTION).await.deliveries, 150);
    assert_eq!(listed(&world, Filter::default()).await, []);
    world.pass(WINDOW).await;
    sweep_all(&world, RETENTION).await;
    let left: Vec<_> = keys(&world).await.into_iter().collect();
    assert_eq!(left, ["routes", "stats", "store", "sweep"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_bundle_is_routed_afresh_beside_its_neighbours() {
    let world = World::<Shared<1>>::new().await;
    let quarantined = [0, 7, 8, 29];
    let sent: Vec<_> = (0..30)
        .map(|number| match number {
            number if quarantined.contains(&number) => sent(&body(number)).quarantined(),
            15 => sent(&body(number)).events(vec![event("known", &["a"]), event("unknown", &[])]),
            number => sent(&body(number)),
        })
        .collect();
    let batch = bundle(&world, &sent).await;
    for (jobs, number) in (1..).zip(quarantined) {
        let events = vec![event("read", &["b"]); jobs];
        assert_eq!(world.store().reroute(batch[number].id, events.clone()).await.unwrap(), jobs);
        assert_eq!(world.store().reroute(batch[number].id, events).await.unwrap(), 0);
        assert_whole(&world, &batch).await;
    }
    let known = vec![event("known", &["a"]), event("unknown", &["b"])];
    assert_eq!(world.store().reroute(batch[15].id, known).await.unwrap(), 1);
    assert_whole(&world, &batch).await;
    assert!(listed(&world, Filter::default()).await.iter().eq(ids(&batch).iter().rev()));
    let odd = |state: &str| Filter { state: Some(state.parse().unwrap()), ..Filter::default() };
    assert_eq!(listed(&world, odd("quarantined")).await, []);
    assert_eq!(listed(&world, odd("unrouted")).await, []);
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.quarantined, stats.unrouted), (30, 0, 0));
    assert_eq!(stats.jobs, [26 + 10 + 1, 0, 0, 0, 0, 0]);

    let job = batch[29].id.event(3).job("b");
    assert_eq!(found_job(&world, job).await, Some(JobState::Queued));
    let mut workers = Workers::start(&world, &[("b", 100)]);
    let mut jobs = workers.all(&world).await;
    assert_eq!(jobs.len(), 11);
    jobs.sort_by_key(|job| (job.lease.delivery, job.lease.event));
    jobs.dedup_by_key(|job| job.lease.delivery);
    assert_own([0, 7, 8, 15, 29].map(|number| &batch[number]), &jobs);
    assert_eq!(jobs[3].event.kind, "unknown");
    let mut workers = Workers::start(&world, &[("a", 100)]);
    let others = batch.iter().enumerate().filter(|(number, _)| !quarantined.contains(number));
    assert_own(others.map(|(_, new)| new), &workers.all(&world).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_of_a_bundle_brings_its_own_body() {
    let world = World::<Shared<1>>::new().await;
    let sent = numbered(64);
    let batch = bundle(&world, &sent).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    let mut one_by_one = Vec::new();
    for new in &batch[..40] {
        let job = workers.next().await;
        assert_eq!(job.lease.delivery, new.id, "in the order of arrival");
        world.store().settle(job.lease.clone(), Outcome::Done).await.unwrap();
        one_by_one.push(job);
        workers.free(&world, "a", 1);
    }
    assert_own(&batch[..40], &one_by_one);
    workers.free(&world, "a", 100);
    assert_own(&batch[40..], &workers.all(&world).await);
    assert_eq!(world.jobs_by_state().await, [0, 24, 0, 40, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_a_bundle_finds_its_delivery_again() {
    let mut world = World::<Shared<1>>::new().await;
    let sent = numbered(40);
    let batch = bundle(&world, &sent).await;
    // Others of the same time stand in bundles beside it.
    together(&world, &vec![sent[0].clone().route("other"); 200]).await;
    for attempt in 1..4 {
        let mut workers = Workers::start(&world, &[("a", 40)]);
        let jobs = workers.all(&world).await;
        assert_own(&batch, &jobs);
        assert!(jobs.iter().all(|job| job.attempt == attempt));
        settle(&world, jobs, retry()).await;
        for new in &batch {
            assert_eq!(found_job(&world, new.id.event(0).job("a")).await, Some(JobState::Retrying));
        }
        drop(workers);
        world.pass(HOUR).await;
    }
    // The process dies with all of them, and the next one runs them alone.
    let mut workers = Workers::start(&world, &[("a", 40)]);
    assert_own(&batch, &workers.all(&world).await);
    drop(workers);
    world.fixture.crash().await;
    let mut workers = Workers::start(&world, &[("a", 40)]);
    let mut ran = Vec::new();
    while ran.len() < batch.len() {
        let job = workers.next().await;
        assert_eq!((job.attempt, job.crashes), (5, 1));
        world.store().settle(job.lease.clone(), Outcome::Done).await.unwrap();
        ran.push(job);
    }
    assert_own(&batch, &ran);
    assert_eq!(world.jobs_by_state().await, [200, 0, 0, 40, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_discarded_before_its_turn_came_neither_runs_nor_counts() {
    let world = World::<Shared<1>>::new().await;
    let sent = numbered(10);
    let batch = bundle(&world, &sent).await;
    let given_up = [0, 4, 9];
    let jobs = given_up.map(|number| batch[number].id.event(0).job("a"));
    for job in jobs {
        assert_eq!(world.store().discard(job).await.unwrap(), Discarded::Yes);
        assert_eq!(found_job(&world, job).await, Some(JobState::Discarded));
        assert_eq!(world.store().discard(job).await.unwrap(), Discarded::NotWaiting(JobState::Discarded));
    }
    assert_eq!(world.jobs_by_state().await, [7, 0, 0, 0, 0, 3]);
    world.pass(HOUR + MILLI).await;
    assert_eq!(sweep_all(&world, RETENTION).await.deliveries, 3);
    for job in jobs {
        assert_eq!(found_job(&world, job).await, None);
        assert_eq!(world.store().discard(job).await.unwrap(), Discarded::NotFound);
    }
    assert_eq!(world.jobs_by_state().await, [7, 0, 0, 0, 0, 0]);
    let mut workers = Workers::start(&world, &[("a", 20)]);
    let others = batch.iter().enumerate().filter(|(number, _)| !given_up.contains(number));
    let jobs = workers.all(&world).await;
    assert_own(others.map(|(_, new)| new), &jobs);
    settle(&world, jobs, Outcome::Done).await;
    workers.idle(&world).await;
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 7, 0, 0]);
    assert_eq!(listed(&world, Filter::default()).await.len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_bundle_that_is_lost_are_dead_once() {
    let mut world = World::<Shared<1>>::new().await;
    let both = vec![event("x", &["a", "b"])];
    let lost: Vec<_> = (0..20).map(|number| sent(&body(number)).events(both.clone())).collect();
    bundle(&world, &lost).await;
    let mut workers = Workers::start(&world, &[("a", 6)]);
    let mut jobs = workers.all(&world).await;
    settle(&world, jobs.split_off(3), Outcome::Done).await;
    settle(&world, jobs.split_off(1), retry()).await;
    assert_eq!(world.jobs_by_state().await, [34, 1, 2, 3, 0, 0]);
    evict(&world).await;
    let others = numbered(20);
    let others = bundle(&world, &others).await;
    workers.free(&world, "a", 30);
    let others_jobs = workers.all(&world).await;
    assert_own(&others, &others_jobs);
    assert_eq!(world.jobs_by_state().await, [20, 21, 2, 3, 14, 0], "those of the other route still wait");
    settle(&world, jobs, Outcome::Done).await;
    settle(&world, others_jobs, Outcome::Done).await;
    drop(workers);
    let routes = [("a", 30), ("b", 30)];
    let mut workers = Workers::start(&world, &routes);
    world.pass(HOUR).await;
    workers.idle(&world).await;
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 24, 36, 0]);
    drop(workers);
    world.fixture.crash().await;
    let mut workers = Workers::start(&world, &routes);
    workers.idle(&world).await;
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 24, 36, 0]);
    assert!(listed(&world, Filter::default()).await.iter().eq(ids(&others).iter().rev()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_stand_among_small_ones() {
    let world = World::<Shared<1>>::new().await;
    let sizes = [1, 70_000, 5, 65_536, 0, 65_535, 2, 1_500_000, 30, 64_000, 3];
    // Together more than one claim answers.
    let sizes: Vec<usize> = sizes.into_iter().cycle().take(44).collect();
    let sent: Vec<_> =
        (0..).zip(&sizes).map(|(n, size)| sent(&format!("{n}.{}", "x".repeat(*size)))).collect();
    let batch = together(&world, &sent).await;
    assert_whole(&world, &batch).await;
    assert!(listed(&world, Filter::default()).await.iter().eq(ids(&batch).iter().rev()));
    let text = Filter { text: Some("40.x".into()), ..Filter::default() };
    assert_eq!(listed(&world, text).await, [batch[40].id]);
    assert_eq!(
        take_in(&world, &batch).await,
        batch.iter().map(|new| Accepted::Duplicate { original: new.id }).collect::<Vec<_>>()
    );
    let mut workers = Workers::start(&world, &[("a", 100)]);
    let jobs = workers.all(&world).await;
    assert_own(&batch, &jobs);
    // What goes leaves what is large as it was.
    let (gone, kept): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.data.len() < 1_000);
    settle(&world, gone, Outcome::Done).await;
    world.pass(HOUR + MILLI).await;
    assert_eq!(sweep_all(&world, RETENTION).await.deliveries, 44 - kept.len());
    assert_whole(&world, batch.iter().filter(|new| new.body.len() >= 1_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_far_back_in_a_long_line_is_found() {
    let world = World::<Shared<1>>::new().await;
    let sent: Vec<_> = (0..3_500)
        .map(|number| {
            sent("{}").events(vec![event("x", if number % 10 == 3 { &["b", "a"] } else { &["a"] })])
        })
        .collect();
    let batch = together(&world, &sent).await;
    let mut workers = Workers::start(&world, &[("a", 2)]);
    assert_eq!(workers.all(&world).await.len(), 2);
    for number in [0, 1, 2, 3, 999, 1_000, 1_001, 1_500, 2_499, 2_500, 2_501, 3_498, 3_499] {
        let state = if number < 2 { JobState::Running } else { JobState::Queued };
        let event = batch[number].id.event(0);
        assert_eq!(found_job(&world, event.job("a")).await, Some(state), "number {number}");
        let by_other = (number % 10 == 3).then_some(JobState::Queued);
        assert_eq!(found_job(&world, event.job("b")).await, by_other, "number {number}");
    }
    let unknown = world.prepare(&sent[0]).id;
    assert_eq!(found_job(&world, unknown.event(0).job("a")).await, None);
    assert_eq!(found_job(&world, batch[1_700].id.event(1).job("a")).await, None);
    assert_eq!(world.store().discard(batch[2].id.event(0).job("a")).await.unwrap(), Discarded::Yes);
    assert_eq!(world.jobs_by_state().await, [3_847, 2, 0, 0, 0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_jobs_of_a_lost_bundle_are_dead_though_the_sweep_came_by() {
    let world = World::<Shared<1>>::new().await;
    let lost = numbered(20);
    bundle(&world, &lost).await;
    evict(&world).await;
    sweep_all(&world, RETENTION).await;
    let mut workers = Workers::start(&world, &[("a", 30)]);
    workers.idle(&world).await;
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 0, 20, 0]);
}

/// A bundle of ten, the fifth of which was given up before it was ever claimed, and swept.
async fn one_swept(world: &World<Shared<1>>) -> Vec<NewDelivery> {
    let sent = numbered(10);
    let batch = bundle(world, &sent).await;
    assert_eq!(world.store().discard(batch[4].id.event(0).job("a")).await.unwrap(), Discarded::Yes);
    world.pass(HOUR + MILLI).await;
    assert_eq!(sweep_all(world, RETENTION).await.deliveries, 1);
    batch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_bundle_counts_nothing_that_was_swept_before() {
    let world = World::<Shared<1>>::new().await;
    one_swept(&world).await;
    evict(&world).await;
    let mut workers = Workers::start(&world, &[("a", 30)]);
    workers.idle(&world).await;
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 0, 9, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_swept_and_comes_again_runs() {
    let world = World::<Shared<1>>::new().await;
    let batch = one_swept(&world).await;
    assert_eq!(take_in(&world, &batch[4..5]).await, [NEW]);
    let mut workers = Workers::start(&world, &[("a", 30)]);
    assert_own(&batch, &workers.all(&world).await);
    assert_eq!(world.jobs_by_state().await, [0, 10, 0, 0, 0, 0]);
}
