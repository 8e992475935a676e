//! Listings and look-ups over several lanes, and deliveries that are large.

use std::collections::BTreeSet;

use redis::Value;

use super::{Shared, bundle_key, sealed};
use crate::{
    delivery::DeliveryId,
    journal::{
        Discarded, Filter, JobState, NewDelivery, Outcome, Page, ReplayJobs, StoreError,
        conformance::{Workers, World, event, sent},
    },
};

/// More than one call looks at, in lanes that differ in what they hold.
const MANY: usize = 1_000;
const ROUTES: [&str; 3] = ["a", "b", "c d"];

async fn pages<T>(mut filter: Filter, page: impl AsyncFn(Filter) -> Page<T>) -> Vec<Vec<T>> {
    let mut pages = Vec::new();
    loop {
        let page = page(filter.clone()).await;
        pages.push(page.items);
        let Some(next) = page.next else { return pages };
        filter.cursor = Some(next);
    }
}

pub(super) async fn listed<const LANES: u32>(
    world: &World<Shared<LANES>>,
    filter: Filter,
) -> Vec<DeliveryId> {
    let pages = pages(filter, async |filter| world.store().deliveries(filter).await.unwrap()).await;
    pages.into_iter().flatten().map(|delivery| delivery.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_merge_the_lanes_in_the_order_of_arrival() {
    let one = World::<Shared<4>>::new().await;
    let two = one.fixture.beside("two").await;
    let mut ids = Vec::new();
    for number in 0..MANY {
        // Two hosts number their deliveries alike.
        let world = if number % 2 == 0 { &one } else { &two };
        let sent = sent(&format!("body {number}"));
        ids.push(world.add(&if number % 100 == 7 { sent.quarantined() } else { sent }).await);
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    for limit in [1, 7, 100, 500] {
        assert_eq!(listed(&one, Filter { limit, ..Filter::default() }).await, ids, "limit {limit}");
    }
    let quarantined = Filter { state: Some("quarantined".parse().unwrap()), limit: 3, ..Filter::default() };
    assert_eq!(listed(&two, quarantined).await.len(), MANY / 100);
    let rare = Filter { text: Some("dy 777".into()), ..Filter::default() };
    assert_eq!(listed(&one, rare).await.len(), 1);
    for id in [ids[0], ids[1], ids[MANY / 2], ids[MANY - 1]] {
        assert_eq!(one.store().locate(id.into()).await.unwrap(), Some(id));
        let is_quarantined = one.delivery(id).await.summary.events.is_empty();
        let by_event = one.store().locate(id.event(0).into()).await.unwrap();
        assert_eq!(by_event, (!is_quarantined).then_some(id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_looks_at_a_bounded_number_of_deliveries() {
    let world = World::<Shared<4>>::new().await;
    let needle = world.add(&sent("a needle")).await;
    let batch: Vec<NewDelivery> = (0..10_500).map(|_| world.prepare(&sent("hay"))).collect();
    for piece in batch.chunks(500) {
        let taken = crate::journal::Shared::take_in(world.fixture.redis(), sealed(piece)).await.unwrap();
        assert!(taken.answers.iter().all(Result::is_ok));
    }
    let filter = Filter { text: Some("needle".into()), ..Filter::default() };
    let pages = pages(filter, async |filter| world.store().deliveries(filter).await.unwrap()).await;
    let found: Vec<Vec<_>> =
        pages.iter().map(|page| page.iter().map(|delivery| delivery.id).collect()).collect();
    assert_eq!(found, [vec![], vec![], vec![needle]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_is_found_in_large_bodies() {
    let world = World::<Shared<4>>::new().await;
    let mut ids = Vec::new();
    // Several times what one call reads.
    for number in 0..12 {
        ids.push(world.add(&sent(&format!("{}needle {number}.", "x".repeat(500_000)))).await);
    }
    let with = |text: &str| Filter { text: Some(text.into()), ..Filter::default() };
    ids.reverse();
    assert_eq!(listed(&world, with("xneedle ")).await, ids);
    assert_eq!(listed(&world, with("needle 7.")).await, [ids[4]]);
    // Only what came in counts, not what is kept beside it.
    assert_eq!(listed(&world, with("application/json")).await, []);
}

/// A delivery with many events for many routes.
async fn large(world: &World<Shared<4>>) -> DeliveryId {
    let events: Vec<_> = (0..MANY).map(|number| event(&format!("kind-{number}"), &ROUTES)).collect();
    world.add(&sent("{}").events(events)).await
}

async fn all_jobs(world: &World<Shared<4>>, limit: usize) -> Vec<crate::journal::JobRecord> {
    let filter = Filter { limit, ..Filter::default() };
    let pages = pages(filter, async |filter| world.store().jobs(filter).await.unwrap()).await;
    assert!(pages.iter().all(|page| page.len() <= limit));
    pages.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_of_a_thousand_events_can_be_managed() {
    let world = World::<Shared<4>>::new().await;
    world.add(&sent("older")).await;
    let id = large(&world).await;
    let jobs = MANY * ROUTES.len();
    let record = world.delivery(id).await;
    assert_eq!((record.summary.events.len(), record.summary.jobs.len()), (MANY, jobs));
    let first: Vec<_> = record.summary.jobs[..4].iter().map(|job| (&*job.kind, &*job.route)).collect();
    assert_eq!(first, [("kind-0", "a"), ("kind-0", "b"), ("kind-0", "c d"), ("kind-1", "a")]);

    let listed = all_jobs(&world, 170).await;
    assert_eq!(listed.len(), jobs + 1);
    assert_eq!(listed.iter().map(|job| job.id).collect::<BTreeSet<_>>().len(), jobs + 1, "each once");
    let last = id.event(999).job("c d");
    assert_eq!(world.job(last).await.kind, "kind-999");
    assert_eq!(world.store().locate(id.event(999).into()).await.unwrap(), Some(id));
    assert_eq!(world.store().locate(id.event(1_000).into()).await.unwrap(), None);

    // One slot more, for the older delivery.
    let mut workers = Workers::start(&world, &[("a", MANY + 1), ("c d", MANY)]);
    for job in workers.all(&world).await {
        let failed = Outcome::Dead { error: "no luck".into() };
        let outcome = if &*job.lease.route == "a" { Outcome::Done } else { failed };
        world.store().settle(job.lease, outcome).await.unwrap();
    }
    let record = world.delivery(id).await;
    assert_eq!(record.attempts.len(), 2 * MANY);
    let of_last = record.attempts.iter().find(|attempt| attempt.job_id == last).unwrap();
    assert_eq!((&*of_last.route, &*of_last.outcome, of_last.number), ("c d", "dead", 1));
    assert_eq!(of_last.error.as_deref(), Some("no luck"));

    let dead = Filter { state: Some("dead".parse().unwrap()), ..Filter::default() };
    assert_eq!(listed_once(&world, dead).await, [id]);
    assert_eq!(world.store().discard(last).await.unwrap(), Discarded::Yes);
    drop(workers);
    let replayed = world.store().replay(id, ReplayJobs::InState(JobState::Dead)).await.unwrap();
    assert_eq!(replayed, MANY - 1);
    assert_eq!(world.store().replay(id, ReplayJobs::InState(JobState::Done)).await.unwrap(), MANY);
    // What was done before the replay is in the history now.
    assert_eq!(world.delivery(id).await.attempts.len(), 2 * MANY);
}

async fn listed_once(world: &World<Shared<4>>, filter: Filter) -> Vec<DeliveryId> {
    let page = world.store().deliveries(filter).await.unwrap();
    page.items.into_iter().map(|delivery| delivery.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_quarantined_delivery_is_routed_afresh() {
    let world = World::<Shared<4>>::new().await;
    let id = world.add(&sent("{}").quarantined()).await;
    let events: Vec<_> = (0..MANY).map(|_| event("x", &ROUTES)).collect();
    // Several operators at once.
    let several =
        futures_util::future::join_all((0..4).map(|_| world.store().reroute(id, events.clone()))).await;
    let added: usize = several.into_iter().map(Result::unwrap).sum();
    assert_eq!(added, MANY * ROUTES.len());
    assert_eq!(world.jobs_by_state().await[0], added as u64);
    let stats = world.stats().await;
    assert_eq!((stats.accepted, stats.quarantined, stats.unrouted), (1, 0, 0));
    assert_eq!(world.store().locate(id.event(999).into()).await.unwrap(), Some(id));
    let quarantined = Filter { state: Some("quarantined".parse().unwrap()), ..Filter::default() };
    assert_eq!(listed(&world, quarantined).await, []);
    let record = world.delivery(id).await;
    assert_eq!((&*record.body, record.headers.len()), (&b"{}"[..], 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listings_work_at_a_full_redis_and_so_does_making_room() {
    let world = World::<Shared<4>>::new().await;
    let id = world.add(&sent("{}").events(vec![event("x", &["a", "b"])])).await;
    let mut workers = Workers::start(&world, &[("a", 1)]);
    world.store().settle(workers.next().await.lease, Outcome::Done).await.unwrap();
    world.fixture.set("maxmemory", "1").await;
    assert_eq!(world.delivery(id).await.summary.jobs.len(), 2);
    assert_eq!(all_jobs(&world, 1).await.len(), 2);
    assert_eq!(world.store().locate(id.event(0).into()).await.unwrap(), Some(id));
    let text = Filter { text: Some("{".into()), ..Filter::default() };
    assert_eq!(listed(&world, text).await, [id]);
    // A replay needs room and says so.
    let replayed = world.store().replay(id, ReplayJobs::InState(JobState::Done)).await;
    assert!(
        matches!(&replayed, Err(StoreError::Unavailable(why)) if why.contains("maxmemory")),
        "{replayed:?}"
    );
    assert_eq!(world.store().discard(id.event(0).job("b")).await.unwrap(), Discarded::Yes);
    world.pass(std::time::Duration::from_secs(1)).await;
    let retention = crate::journal::Retention { done: Some(std::time::Duration::ZERO), failed: None };
    assert_eq!(crate::journal::conformance::sweep_all(&world, retention).await.deliveries, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_delivery_hides_no_other() {
    let world = World::<Shared<1>>::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.add(&sent("{}")).await);
    }
    let mut damage = redis::cmd("SET");
    damage.arg(bundle_key(world.fixture.redis(), ids[1]).await).arg("no delivery");
    let done = world.fixture.redis().core.link.command(0, &damage).await.unwrap();
    assert_eq!(done, Value::Okay);
    let page = world.store().deliveries(Filter::default()).await.unwrap();
    assert_eq!(page.items.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [ids[2], ids[0]]);
}
