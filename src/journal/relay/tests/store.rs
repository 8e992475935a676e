//! The store of a host: acknowledging, listing, looking up.

use std::{collections::BTreeSet, time::Duration};

use super::{AckWhen, Host, RelayOptions, drained, end, fake::Failure, until};
use crate::journal::{
    Filter, ItemState, JobState, Page, Store, StoreError,
    conformance::{event, sent},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_both_waits_for_the_queue_while_it_is_well_and_never_longer() {
    let host = Host::new();
    let patience = Duration::from_secs(3600);
    let both = |timeout| AckWhen::Both { timeout };
    let host = Host { options: RelayOptions { ack: both(patience), ..host.options }, ..host };
    let store = host.start();
    let first = host.add(&store, &sent("first")).await;
    assert_eq!(host.queue.taken(), [first], "acknowledged when the queue has it");
    // While it is away, nobody waits for it.
    host.queue.set_away(true);
    until("trouble", || async { store.health().warning }).await;
    host.add(&store, &sent("second")).await;
    assert_eq!(store.relay().backlog, 1);
    host.queue.set_away(false);
    drained(&store).await;
    end(store).await;

    let options = RelayOptions { ack: both(Duration::from_millis(1)), ..host.options };
    let host = Host { options, ..host }.impatient();
    let store = host.start();
    host.queue.fail(&[Failure::Hang]);
    let third = host.add(&store, &sent("third")).await;
    assert!(!host.queue.taken().contains(&third), "acknowledged although the queue hangs");
    drained(&store).await;
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_queue_recognises_is_told_once() {
    let host = Host::new();
    let store = host.start();
    let original = host.add(&store, &sent("one").signed_id("1")).await;
    let again = host.add(&store, &sent("two").signed_id("1")).await;
    drained(&store).await;
    let found = host.duplicates.lock().unwrap().clone();
    let [found] = &found[..] else { panic!("{found:?}") };
    assert_eq!((found.id, found.original, &*found.source), (again, original, "shop"));
    assert_eq!(store.stats().await.unwrap().duplicate, 1);
    end(store).await;
}

/// All pages of a listing.
async fn all<T, F>(filter: &Filter, list: impl Fn(Filter) -> F) -> Vec<T>
where
    F: Future<Output = Result<Page<T>, StoreError>>,
{
    let mut filter = filter.clone();
    let mut items = Vec::new();
    loop {
        let page = list(filter.clone()).await.unwrap();
        assert!(page.items.len() <= filter.limit);
        items.extend(page.items);
        filter.cursor = page.next;
        if filter.cursor.is_none() {
            return items;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_shows_what_the_queue_has_and_what_is_held() {
    let host = Host::new();
    let store = host.start();
    let mut expected = Vec::new();
    for number in 0..12 {
        let two = sent(&number.to_string()).events(vec![event("a.b", &["x", "y"])]);
        expected.push(host.add(&store, &two).await);
    }
    drained(&store).await;
    host.queue.set_away(true);
    until("trouble", || async { store.health().warning }).await;
    // Between what is held, other hosts' deliveries come into the queue.
    for number in 12..30 {
        let two = sent(&number.to_string()).events(vec![event("a.b", &["x", "y"])]);
        if number % 3 == 0 {
            let new = host.prepare(&two);
            expected.push(new.id);
            host.queue.accept_from_elsewhere(new).await;
        } else {
            expected.push(host.add(&store, &two).await);
        }
    }
    let held: BTreeSet<_> = expected[12..].iter().copied().filter(|id| !host.queue.knows(*id)).collect();
    expected.reverse();
    let any = Filter { limit: 4, ..Filter::default() };
    let shown: Vec<_> = all(&any, |filter| store.deliveries(filter)).await.iter().map(|it| it.id).collect();
    assert_eq!(shown, expected.iter().copied().filter(|id| held.contains(id)).collect::<Vec<_>>());

    // It answers again, and takes nothing more in.
    host.queue.only_answer();
    for limit in [1, 3, 4, 7, 50] {
        let any = Filter { limit, ..Filter::default() };
        let shown: Vec<_> =
            all(&any, |filter| store.deliveries(filter)).await.iter().map(|it| it.id).collect();
        assert_eq!(shown, expected, "{limit}");
        let jobs: Vec<_> = all(&any, |filter| store.jobs(filter)).await;
        let unique: BTreeSet<_> = jobs.iter().map(|job| job.id).collect();
        assert_eq!((jobs.len(), unique.len()), (60, 60), "{limit}");
        assert!(jobs.is_sorted_by_key(|job| std::cmp::Reverse(job.delivery_id)));
    }
    let filter = |state| Filter { limit: 5, state: Some(state), ..Filter::default() };
    let queued = all(&filter(ItemState::Job(JobState::Queued)), |filter| store.jobs(filter)).await;
    assert_eq!(queued.len(), 60);
    let dead = all(&filter(ItemState::Job(JobState::Dead)), |filter| store.jobs(filter)).await;
    assert!(dead.is_empty());
    let text = Filter { limit: 5, text: Some("29".into()), ..Filter::default() };
    assert_eq!(all(&text, |filter| store.deliveries(filter)).await.len(), 1);

    let one = *held.first().unwrap();
    let job = one.event(0).job("y");
    assert_eq!(store.job(job).await.unwrap().unwrap().state, JobState::Queued);
    assert_eq!(store.locate(job.into()).await.unwrap(), Some(one));
    assert_eq!(store.locate(one.event(0).into()).await.unwrap(), Some(one));
    assert_eq!(store.locate(one.into()).await.unwrap(), Some(one));
    assert!(store.locate(uuid::Uuid::from_u128(7 << 76)).await.unwrap().is_none());
    host.queue.set_away(true);
    assert!(store.delivery(expected[29]).await.is_err(), "what is not held can't be said to be unknown");
    host.queue.set_away(false);
    drained(&store).await;
    let record = store.delivery(one).await.unwrap().unwrap();
    assert_eq!(record.summary.jobs.len(), 2);
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_found_however_many_deliveries_are_held() {
    let host = Host::new();
    host.queue.set_away(true);
    let outbox = host.outbox();
    let new: Vec<_> =
        (0..12_000).map(|_| host.prepare(&sent("{}").events(vec![event("a.b", &["x"])]))).collect();
    let ids: Vec<_> = new.iter().map(|new| new.id).collect();
    for position in futures_util::future::join_all(new.into_iter().map(|new| outbox.accept(new))).await {
        position.unwrap();
    }
    let store = host.start_on(outbox);
    for id in [ids[0], ids[5_000], ids[11_999]] {
        let job = id.event(0).job("x");
        assert_eq!(store.job(job).await.unwrap().unwrap().delivery_id, id);
        assert_eq!(store.locate(id.event(0).into()).await.unwrap(), Some(id));
    }
    end_away(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_nobody_gave_out_is_refused() {
    let host = Host::new();
    let store = host.start();
    for cursor in ["", "~", "~x", "nonsense", "~snonsense", "1+1~b", "~\u{e9}", "~bb"] {
        let filter = Filter { cursor: Some(cursor.into()), ..Filter::default() };
        let error = store.deliveries(filter).await.unwrap_err();
        assert!(matches!(&error, StoreError::Invalid(why) if why.contains("cursor")), "{cursor:?}: {error}");
    }
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_are_as_last_known_while_the_queue_is_away() {
    let host = Host::new();
    let store = host.start();
    host.add(&store, &sent("one")).await;
    drained(&store).await;
    let known = store.stats().await.unwrap();
    assert_eq!(known.accepted, 1);
    host.queue.set_away(true);
    assert_eq!(store.stats().await.unwrap(), known);
    end_away(store).await;
}

async fn end_away(store: crate::journal::relay::Relayed) {
    store.end(Duration::ZERO).await;
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
}
