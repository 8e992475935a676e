//! Listings, and looking things up by id.

use std::{collections::BTreeSet, time::Duration};

use uuid::Uuid;

use super::{Fixture, Workers, World, event, sent};
use crate::{
    clock::Clock,
    delivery::DeliveryId,
    journal::{Filter, Outcome, StoreError},
    route::Pattern,
};

async fn list<F: Fixture>(world: &World<F>, mut filter: Filter) -> Vec<DeliveryId> {
    let mut ids = Vec::new();
    loop {
        let page = world.store().deliveries(filter.clone()).await.unwrap();
        assert!(filter.limit == 0 || page.items.len() <= filter.limit);
        ids.extend(page.items.iter().map(|delivery| delivery.id));
        let Some(next) = page.next else { return ids };
        filter.cursor = Some(next);
    }
}

pub(crate) async fn a_listing_is_filtered<F: Fixture>() {
    let world = World::<F>::new().await;
    let mut workers = Workers::start(
        &world,
        &[("done", 1), ("dead", 1), ("discarded", 1), ("retrying", 1), ("running", 1)],
    );
    let mut ids = Vec::new();
    for (kind, route) in [
        ("stock.changed", "done"),
        ("stock.all", "dead"),
        ("order.created", "discarded"),
        ("order.created", "retrying"),
        ("order.closed", "running"),
        ("order.closed", "queued"),
    ] {
        let body = format!("the body of {route}");
        let sent = sent(&body).unsigned_id(&format!("id-of-{route}")).events(vec![event(kind, &[route])]);
        ids.push(world.add(&sent).await);
        world.clock.advance(Duration::from_secs(1));
    }
    ids.push(world.add(&sent("<").source("till").quarantined()).await);
    ids.push(world.add(&sent("?").source("till").test()).await);
    ids.push(world.add(&sent("{}").source("till").events(vec![event("none", &[])])).await);
    for job in workers.all(&world).await {
        let outcome = match &*job.lease.route {
            "done" => Outcome::Done,
            "dead" => Outcome::Dead { error: "no".into() },
            "discarded" => Outcome::Discarded { reason: "no".into() },
            "retrying" => Outcome::Retry { after: Duration::from_secs(60), error: "later".into() },
            _ => continue,
        };
        world.store().settle(job.lease, outcome).await.unwrap();
    }

    let numbers = |found: Vec<DeliveryId>| {
        found.iter().map(|id| ids.iter().position(|one| one == id).unwrap()).collect::<Vec<_>>()
    };
    let state = |state: &str| Filter { state: Some(state.parse().unwrap()), ..Filter::default() };
    let text = |text: String| Filter { text: Some(text), ..Filter::default() };
    let job = ids[4].event(0).job("running");
    for (filter, expected) in [
        (Filter::default(), vec![8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (state("done"), vec![0]),
        (state("dead"), vec![1]),
        (state("discarded"), vec![2]),
        (state("retrying"), vec![3]),
        (state("running"), vec![4]),
        (state("queued"), vec![5]),
        (state("quarantined"), vec![6]),
        (state("test"), vec![7]),
        (state("unrouted"), vec![8]),
        (state("accepted"), vec![8, 5, 4, 3, 2, 1, 0]),
        (Filter { source: Some("till".into()), ..Filter::default() }, vec![8, 7, 6]),
        (Filter { source: Some("unknown".into()), ..Filter::default() }, vec![]),
        (Filter { kind: Some(Pattern::new("stock.*")), ..Filter::default() }, vec![1, 0]),
        (Filter { kind: Some(Pattern::new("order.closed")), ..state("queued") }, vec![5]),
        (
            Filter { since: Some(super::START.plus(Duration::from_secs(4))), ..Filter::default() },
            vec![8, 7, 6, 5, 4],
        ),
        (
            Filter { since: Some(world.clock.now().plus(Duration::from_millis(1))), ..Filter::default() },
            vec![],
        ),
        (text("body of re".into()), vec![3]),
        (text("id-of-dead".into()), vec![1]),
        (text("order.closed/1".into()), vec![5, 4]),
        (text(ids[2].to_string()), vec![2]),
        (text(ids[2].event(0).to_string()), vec![2]),
        (text(job.to_string()), vec![4]),
        (text("nowhere".into()), vec![]),
    ] {
        for limit in [0, 1, 2] {
            let found = numbers(list(&world, Filter { limit, ..filter.clone() }).await);
            assert_eq!(found, expected, "{filter:?}");
        }
    }
    let jobs = world
        .store()
        .jobs(Filter { kind: Some(Pattern::new("order.*")), ..Filter::default() })
        .await
        .unwrap();
    assert_eq!(
        jobs.items.iter().map(|job| job.route.as_str()).collect::<Vec<_>>(),
        ["queued", "running", "retrying", "discarded"]
    );
    let jobs = world.store().jobs(state("dead")).await.unwrap();
    assert_eq!(jobs.items.iter().map(|job| job.id).collect::<Vec<_>>(), [ids[1].event(0).job("dead")]);
}

pub(crate) async fn a_listing_goes_on_where_it_ended_while_states_change<F: Fixture>() {
    let world = World::<F>::new().await;
    let mut ids = Vec::new();
    for _ in 0..20 {
        ids.push(world.add(&sent("{}")).await);
    }
    let mut workers = Workers::start(&world, &[("a", 20)]);
    for job in workers.all(&world).await {
        world.store().settle(job.lease, Outcome::Dead { error: "no".into() }).await.unwrap();
    }
    let mut filter = Filter { state: Some("dead".parse().unwrap()), limit: 5, ..Filter::default() };
    let mut seen = Vec::new();
    loop {
        let page = world.store().deliveries(filter.clone()).await.unwrap();
        // An operator works through the page; new ones come in meanwhile.
        for delivery in &page.items {
            seen.push(delivery.id);
            world.store().discard(delivery.jobs[0].id).await.unwrap();
            world.add(&sent("{}").route("other")).await;
        }
        let Some(next) = page.next else { break };
        filter.cursor = Some(next);
    }
    ids.reverse();
    assert_eq!(seen, ids);
}

pub(crate) async fn a_listing_of_jobs_holds_no_more_than_asked_for<F: Fixture>() {
    let world = World::<F>::new().await;
    let mut expected = BTreeSet::new();
    for _ in 0..3 {
        let events: Vec<_> = (0..7).map(|_| event("x", &["a", "b"])).collect();
        let id = world.add(&sent("{}").events(events)).await;
        expected.extend((0..7).flat_map(|index| ["a", "b"].map(|route| id.event(index).job(route))));
    }
    for limit in [1, 4, 14, 15, 100] {
        let mut filter = Filter { limit, ..Filter::default() };
        let mut found = Vec::new();
        loop {
            let page = world.store().jobs(filter.clone()).await.unwrap();
            assert!(page.items.len() <= limit, "{} of {limit}", page.items.len());
            found.extend(page.items.iter().map(|job| job.id));
            let Some(next) = page.next else { break };
            filter.cursor = Some(next);
        }
        assert_eq!(found.len(), expected.len(), "each once");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

pub(crate) async fn a_cursor_that_nobody_gave_out_is_refused<F: Fixture>() {
    let world = World::<F>::new().await;
    for cursor in ["", "nonsense", "-", "1:2:3:4", "999999999999999999999999"] {
        let filter = Filter { cursor: Some(cursor.into()), ..Filter::default() };
        let listed = world.store().deliveries(filter.clone()).await;
        assert!(matches!(&listed, Err(StoreError::Invalid(why)) if why.contains("cursor")), "{listed:?}");
        let listed = world.store().jobs(filter).await;
        assert!(matches!(&listed, Err(StoreError::Invalid(why)) if why.contains("cursor")), "{listed:?}");
    }
}

async fn assert_found<F: Fixture>(world: &World<F>, delivery: DeliveryId, events: u32, route: &str) {
    let locate = |id: Uuid| world.store().locate(id);
    assert_eq!(locate(delivery.into()).await.unwrap(), Some(delivery));
    for event in (0..events).map(|index| delivery.event(index)) {
        assert_eq!(locate(event.into()).await.unwrap(), Some(delivery));
        assert_eq!(locate(event.job(route).into()).await.unwrap(), Some(delivery));
        assert_eq!(world.job(event.job(route)).await.event_id, event);
        assert_eq!(locate(event.job("unknown").into()).await.unwrap(), None);
    }
    assert_eq!(locate(delivery.event(events).into()).await.unwrap(), None);
}

pub(crate) async fn every_id_leads_to_its_delivery<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let three = || vec![event("x", &["a"]), event("y", &["a"]), event("z", &["a"])];
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.add(&sent("{}").events(three())).await);
        for id in &ids {
            assert_found(&world, *id, 3, "a").await;
        }
        world.fixture.mature().await;
        for id in &ids {
            assert_found(&world, *id, 3, "a").await;
        }
        world.fixture.crash().await;
    }
    assert_eq!(world.store().locate(Uuid::nil()).await.unwrap(), None);
    assert_eq!(world.store().locate(Uuid::max()).await.unwrap(), None);
    let other = world.prepare(&sent("{}")).id;
    assert_eq!(world.store().locate(other.into()).await.unwrap(), None);
    assert!(world.store().delivery(other).await.unwrap().is_none());
}

pub(crate) async fn ids_of_a_rerouted_delivery_lead_to_it<F: Fixture>() {
    let world = World::<F>::new().await;
    let quarantined = world.add(&sent("{}").quarantined()).await;
    // These follow it closely: no room was left for events that nobody knew of.
    for _ in 0..5 {
        world.add(&sent("{}")).await;
    }
    let events: Vec<_> = (0..8).map(|_| event("x", &["a"])).collect();
    assert_eq!(world.store().reroute(quarantined, events).await.unwrap(), 8);
    assert_found(&world, quarantined, 8, "a").await;
    world.fixture.mature().await;
    assert_found(&world, quarantined, 8, "a").await;
}

pub(crate) async fn what_is_shown_of_a_delivery_is_what_came<F: Fixture>() {
    let mut world = World::<F>::new().await;
    let body = "{\"a\" : 1}\r\n\u{0}";
    let id = world.add(&sent(body).unsigned_id("5")).await;
    world.fixture.crash().await;
    let record = world.delivery(id).await;
    assert_eq!(&*record.body, body.as_bytes());
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(record.headers, [pair("X-Event-Id", "1"), pair("x-event-id", "2")]);
    let summary = record.summary;
    assert_eq!((summary.size, summary.sender_id.as_deref()), (body.len(), Some("5")));
    assert_eq!((summary.source.as_str(), summary.provider.as_str()), ("shop", "hmac"));
    assert_eq!((summary.id, summary.received_at), (id, world.clock.now()));
    let event = &summary.events[0];
    assert_eq!((event.id, event.kind.as_str()), (id.event(0), "thing.changed"));
    assert_eq!((event.subject.as_deref(), event.occurred_at), (Some("thing.changed/1"), Some(super::START)));
}
