//! What a relay moves, in which order, and what the queue may do to it meanwhile.

use std::{sync::Arc, time::Duration};

use super::{Host, drained, end, fake::Failure, until};
use crate::journal::{
    DeliveryState, QueueState, Store, StoreError,
    conformance::{event, sent},
    relay::Moved,
    sqlite::Limits,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_moved_is_what_came() {
    let host = Host::new();
    let outbox = host.outbox();
    let kinds = [
        sent("signed").signed_id("1").events(vec![event("a.b", &["x", "y"]), event("c.d", &[])]),
        sent("unsigned \u{e9}").unsigned_id("2").source("other"),
        sent("by body").by_body(),
        sent("odd").quarantined(),
        sent("test").test(),
        sent("nothing in it").events(vec![]),
    ];
    let mut expected = Vec::new();
    for kind in &kinds {
        let new = host.prepare(kind);
        expected.push(new.clone());
        outbox.accept(new).await.unwrap();
    }
    let all = Limits { rows: 100, bytes: 1 << 20 };
    for place in ["memory", "the file", "the file again"] {
        let rows = outbox.between(0, i64::MAX, all).await.unwrap();
        assert_eq!(rows.len(), expected.len(), "{place}");
        for (row, new) in rows.into_iter().zip(&expected) {
            let found = row.delivery.unwrap();
            assert!(found.give_up_at > new.give_up_at, "what was acknowledged is not given up");
            let found = crate::journal::NewDelivery { give_up_at: new.give_up_at, ..found.open() };
            assert_eq!(format!("{found:?}"), format!("{new:?}"), "{place}");
        }
    }
    // A batch holds at least one, whatever its size.
    let small = outbox.between(0, i64::MAX, Limits { rows: 100, bytes: 1 }).await.unwrap();
    assert_eq!(small.len(), 1);
    assert_eq!(outbox.between(2, i64::MAX, Limits { rows: 2, ..all }).await.unwrap()[0].position, 3);
}

#[tokio::test]
async fn what_was_deleted_as_a_duplicate_is_not_offered_again_from_memory() {
    let host = Host::new();
    let outbox = host.outbox();
    for _ in 0..3 {
        outbox.accept(host.prepare(&sent("{}"))).await.unwrap();
    }
    let first = outbox.between(0, 3, Limits { rows: 1, bytes: 1 }).await.unwrap();
    assert_eq!(first.len(), 1, "the others are still in memory");
    outbox.save(outbox.progress().clone(), None, vec![2], Vec::new()).await.unwrap();
    outbox.set_back(outbox.progress().clone()).await.unwrap();
    let rest = outbox.between(1, 3, Limits { rows: 100, bytes: 1 << 20 }).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.position).collect::<Vec<_>>(), [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_is_moved_in_order_and_in_batches() {
    const ROWS: usize = 100_000;
    let host = Host { options: batches(512), ..Host::new() };
    host.queue.set_shallow();
    let outbox = Arc::new(host.outbox());
    let mut expected = Vec::new();
    for _ in 0..ROWS / 1000 {
        let new: Vec<_> = (0..1000).map(|_| host.prepare(&sent("{}"))).collect();
        expected.extend(new.iter().map(|new| new.id));
        let accepted = new.into_iter().map(|new| outbox.accept(new));
        for position in futures_util::future::join_all(accepted).await {
            position.unwrap();
        }
    }
    let outbox = Arc::into_inner(outbox).unwrap();
    assert_eq!(outbox.end(), i64::try_from(ROWS).unwrap());
    let store = host.start_on(outbox);
    drained(&store).await;
    assert!(host.queue.taken() == expected, "in the order in which they were acknowledged, once each");
    assert_eq!(host.queue.largest_batch(), 512, "no more in memory than a batch");
    assert_eq!(store.moved(), Moved { relayed: ROWS as u64, ..Moved::default() });
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_backlog_is_moved_its_age_is_never_unknown() {
    const AGE: Duration = Duration::from_secs(7);
    let host = Host { options: batches(64), ..Host::new() };
    host.queue.set_shallow();
    host.queue.set_away(true);
    let store = host.start();
    for _ in 0..20_000 / 500 {
        let new: Vec<_> = (0..500).map(|_| host.prepare(&sent("{}"))).collect();
        for accepted in futures_util::future::join_all(new.into_iter().map(|new| store.accept(new))).await {
            accepted.unwrap();
        }
    }
    host.clock.advance(AGE);
    until("a look at them", || async { (store.relay().oldest >= AGE).then_some(()) }).await;
    host.queue.set_away(false);
    loop {
        let state = store.relay();
        if state.backlog == 0 {
            break;
        }
        assert!(state.oldest >= AGE, "{state:?}");
        tokio::task::yield_now().await;
    }
    end(store).await;
}

fn batches(rows: usize) -> super::RelayOptions {
    super::RelayOptions { batch: Limits { rows, bytes: 1 << 20 }, ..super::RelayOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_queue_does_to_a_batch_each_is_taken_once_and_in_order() {
    let host = Host::new().impatient();
    host.queue.set_away(true);
    let store = host.start();
    let mut expected = Vec::new();
    for number in 0..300 {
        expected.push(host.add(&store, &sent(&number.to_string())).await);
    }
    until("the queue to be called down", || async {
        (store.relay().queue == QueueState::Down).then_some(())
    })
    .await;
    assert_eq!(store.relay().backlog, 300);
    host.clock.advance(Duration::from_secs(7));
    assert_eq!(store.relay().oldest, Duration::from_secs(7));
    let health = store.health();
    assert!(health.trouble.is_none() && health.warning.unwrap().contains("away"));
    host.queue.fail(&[
        Failure::Refuse,
        Failure::TakeInSilently,
        Failure::Hang,
        Failure::OnlyTheFirst,
        Failure::TakeInSilently,
        Failure::Refuse,
    ]);
    host.queue.set_away(false);
    drained(&store).await;
    assert_eq!(host.queue.taken(), expected);
    until("health", || async { (store.relay().queue == QueueState::Up).then_some(()) }).await;
    assert_eq!(store.health().warning, None);
    assert_eq!(store.stats().await.unwrap().accepted, 300);
    assert_eq!(store.moved(), Moved { relayed: 300, ..Moved::default() });
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_taken_stops_nobody_and_stays_visible() {
    for spoils in [false, true] {
        let host = Host::new();
        host.queue.set_away(true);
        let store = host.start();
        let mut ids = Vec::new();
        for number in 0..100 {
            ids.push(host.add(&store, &sent(&number.to_string())).await);
        }
        host.queue.poison(ids[41], spoils);
        host.queue.set_away(false);
        drained(&store).await;
        let poison = ids.remove(41);
        assert_eq!(host.queue.taken(), ids);
        assert_eq!(store.moved(), Moved { relayed: 99, refused: 1, ..Moved::default() });
        let shown = until("it to be shown", || async { store.delivery(poison).await.unwrap() }).await.summary;
        assert_eq!(shown.state, DeliveryState::Quarantined);
        assert!(shown.reason.unwrap().contains("poison"));
        end(store).await;
        // It is still there after a restart, and its age ends it as it ends others.
        let store = host.start();
        assert!(store.delivery(poison).await.unwrap().is_some());
        host.clock.advance(Duration::from_secs(100));
        let old = Some(Duration::from_secs(50));
        store.sweep(crate::journal::Retention { done: old, failed: old }).await.unwrap();
        assert!(store.delivery(poison).await.unwrap().is_none());
        end(store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dying_between_a_batch_and_its_confirmation_does_no_harm() {
    let host = Host::new();
    let store = host.start();
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(host.add(&store, &sent(&number.to_string()).signed_id(&number.to_string())).await);
    }
    drained(&store).await;
    end(store).await;
    // The file as if the last confirmations had not been written down.
    let outbox = host.outbox();
    let progress = outbox.progress().clone();
    assert_eq!(progress.relayed, 50);
    let behind = crate::journal::sqlite::Progress { relayed: 20, once: 20, ..progress };
    outbox.save(behind, None, Vec::new(), Vec::new()).await.unwrap();
    drop(outbox);
    let store = host.start();
    drained(&store).await;
    assert_eq!(host.queue.taken(), ids);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.accepted, stats.duplicate), (50, 0));
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_lost_its_data_gets_back_what_is_kept() {
    let host = Host::new();
    let store = host.start();
    let old = host.add(&store, &sent("old")).await;
    drained(&store).await;
    host.clock.advance(Duration::from_secs(1800));
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(host.add(&store, &sent(&number.to_string()).signed_id(&number.to_string())).await);
    }
    let twice = host.add(&store, &sent("199 again").signed_id("199")).await;
    drained(&store).await;
    until("the duplicate", || async { host.duplicates.lock().unwrap().pop() }).await;
    host.clock.advance(Duration::from_secs(1801));
    let gone = || async { store.own_rows().await.iter().all(|id| *id != old).then_some(()) };
    until("the old one to be deleted", gone).await;

    host.queue.lose_everything();
    // Nothing comes in; it is noticed all the same.
    until("all to be back", || async { (host.queue.taken().len() == 200).then_some(()) }).await;
    drained(&store).await;
    assert_eq!(
        host.queue.taken(),
        ids,
        "under the same ids, but not what was recognised, nor what is too old"
    );
    assert!(!host.queue.taken().contains(&twice));
    let moved = store.moved();
    assert_eq!((moved.offered_again, moved.brought_back, moved.duplicates), (200, 200, 1));
    // What comes after that is as always.
    let after = host.add(&store, &sent("after")).await;
    drained(&store).await;
    assert_eq!(host.queue.taken().last(), Some(&after));
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_failed_over_without_loss_takes_nothing_twice() {
    let host = Host::new();
    let store = host.start();
    for number in 0..100 {
        host.add(&store, &sent(&number.to_string())).await;
    }
    drained(&store).await;
    host.queue.fail_over();
    until("all to be offered again", || async { (store.moved().offered_again >= 100).then_some(()) }).await;
    drained(&store).await;
    let moved = store.moved();
    assert_eq!((moved.relayed, moved.offered_again, moved.brought_back), (100, 100, 0));
    assert_eq!(store.stats().await.unwrap().accepted, 100);
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_outlive_a_failed_commit() {
    let host = Host::new();
    host.queue.set_away(true);
    let store = host.start();
    let first = host.add(&store, &sent("first")).await;
    store.fail_a_commit().await;
    let second = until("the journal to work again", || {
        let new = host.prepare(&sent("second"));
        let id = new.id;
        let accepted = store.accept(new);
        async move { accepted.await.ok().map(|_| id) }
    })
    .await;
    host.queue.set_away(false);
    drained(&store).await;
    assert_eq!(host.queue.taken(), [first, second]);
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_moves_what_it_can_within_the_grace() {
    let host = Host::new().impatient();
    host.queue.set_away(true);
    let store = host.start();
    for number in 0..100 {
        host.add(&store, &sent(&number.to_string())).await;
    }
    host.queue.fail(&[Failure::Hang]);
    host.queue.set_away(false);
    until("the hanging batch", || async { host.queue.is_asked().then_some(()) }).await;
    end(store).await;
    assert_eq!(host.queue.taken().len(), 100);
    // With a queue that is away, the grace is all it takes; nothing is lost.
    host.queue.set_away(true);
    let store = host.start();
    host.add(&store, &sent("later")).await;
    store.end(Duration::from_millis(50)).await;
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
    host.queue.set_away(false);
    let store = host.start();
    drained(&store).await;
    assert_eq!(host.queue.taken().len(), 101);
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_waits_for_any_more_is_not_stored() {
    let host = Host::new();
    let store = host.start();
    let late =
        crate::journal::NewDelivery { give_up_at: crate::clock::instant(), ..host.prepare(&sent("late")) };
    assert!(matches!(store.accept(late).await, Err(StoreError::TooLate)));
    assert_eq!(store.relay().backlog, 0);
    end(store).await;
}
