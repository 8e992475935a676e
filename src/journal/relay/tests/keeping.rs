//! How long moved rows stay, and what they are good for.

use std::{sync::Arc, time::Duration};

use super::{Host, RelayOptions, drained, end, settled, until};
use crate::journal::{
    DeliveryState, QueueState, Retention, Store, StoreError,
    conformance::sent,
    relay::Moved,
    sqlite::{Limits, Outbox, SqliteOptions},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_held_up_is_kept_from_when_it_is_moved() {
    let host = Host::new();
    host.queue.set_away(true);
    let store = host.start();
    let mut ids = Vec::new();
    for number in 0..50 {
        ids.push(host.add(&store, &sent(&number.to_string())).await);
    }
    host.clock.advance(2 * host.options.keep);
    host.queue.set_away(false);
    drained(&store).await;
    settled(&host).await;
    host.queue.lose_everything();
    until("all to be back", || async { (host.queue.taken() == ids).then_some(()) }).await;
    drained(&store).await;
    // Moved anew, kept anew; also by another process.
    host.clock.advance(host.options.keep / 2);
    end(store).await;
    host.clock.advance(host.options.keep);
    let store = host.start();
    settled(&host).await;
    assert_eq!(store.own_rows().await, ids, "nobody watched for most of that time");
    host.clock.advance(host.options.keep / 2);
    until("them to go", || async { store.own_rows().await.is_empty().then_some(()) }).await;
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_refuses_and_makes_room_of_what_was_moved() {
    let host = Host::new();
    host.queue.set_away(true);
    let options = SqliteOptions { max_size: 2 << 20, ..host.journal() };
    let store = host.start_on(Outbox::open_free(options, Arc::new(host.clock.clone())).unwrap());
    let large = sent(&"x".repeat(100_000));
    let refusal = until("a refusal", || {
        let new = host.prepare(&large);
        async { store.accept(new).await.err() }
    })
    .await;
    assert!(matches!(&refusal, StoreError::Unavailable(why) if why.contains("max_size")), "{refusal:?}");
    assert!(store.health().trouble.unwrap().contains("max_size"));
    host.queue.set_away(false);
    drained(&store).await;
    let stored = host.queue.taken().len();
    assert!(stored > 10, "{stored}");
    // A copy of what the queue has keeps out nothing new, young as it is.
    for _ in 0..3 * stored {
        until("room", || {
            let new = host.prepare(&large);
            async { store.accept(new).await.ok() }
        })
        .await;
    }
    drained(&store).await;
    settled(&host).await;
    let kept = store.own_rows().await;
    assert!(kept.len() > 5, "what there is room for is kept: {}", kept.len());
    host.queue.lose_everything();
    until("what is kept to be back", || async { (host.queue.taken() == kept).then_some(()) }).await;
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_deliveries_do_not_wait_behind_what_is_offered_again() {
    let host = Host::new();
    let options = RelayOptions { batch: Limits { rows: 2, bytes: 1 << 20 }, ..host.options };
    let host = Host { options, ..host };
    let store = host.start();
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for number in 0..200 {
        old.push(host.add(&store, &sent(&number.to_string())).await);
    }
    drained(&store).await;
    host.queue.set_away(true);
    until("trouble", || async { store.health().warning }).await;
    for number in 200..210 {
        new.push(host.add(&store, &sent(&number.to_string())).await);
    }
    host.queue.lose_everything();
    drained(&store).await;
    let taken = host.queue.taken();
    let place = |id| taken.iter().position(|taken| taken == id).unwrap();
    assert!(place(&new[9]) < 30, "{}", place(&new[9]));
    assert!(old.is_sorted_by_key(place) && new.is_sorted_by_key(place));
    assert_eq!(taken.len(), 210);
    let moved = store.moved();
    assert_eq!((moved.relayed, moved.brought_back), (210, 200));
    assert_eq!(store.relay().oldest, Duration::ZERO);
    // The next time all of them are offered again.
    host.queue.lose_everything();
    until("all to be back", || async { (host.queue.taken().len() == 210).then_some(()) }).await;
    drained(&store).await;
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_taken_again_holds_up_neither_old_nor_new() {
    let host = Host::new();
    let store = host.start();
    let mut ids = Vec::new();
    for number in 0..100 {
        ids.push(host.add(&store, &sent(&number.to_string())).await);
    }
    drained(&store).await;
    host.queue.set_away(true);
    until("trouble", || async { store.health().warning }).await;
    for number in 100..400 {
        ids.push(host.add(&store, &sent(&number.to_string())).await);
    }
    host.queue.poison(ids[41], true);
    host.queue.fail_over();
    host.queue.set_away(false);
    drained(&store).await;
    assert_eq!(host.queue.taken(), ids);
    let Moved { relayed, refused, .. } = store.moved();
    assert_eq!((relayed, refused), (400, 1));
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_safe_enough_runs_and_is_not_moved() {
    let host = Host::new();
    host.queue.set_short(true);
    let store = host.start();
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(host.add(&store, &sent(&number.to_string()).signed_id(&number.to_string())).await);
    }
    until("all to be there", || async { (host.queue.taken() == ids).then_some(()) }).await;
    settled(&host).await;
    let state = store.relay();
    assert_eq!((state.backlog, state.queue), (200, QueueState::Down));
    let warning = store.health().warning.unwrap();
    assert!(
        warning.contains("until the queue has them safely") && warning.contains("no replica"),
        "{warning}"
    );
    // However long that is.
    host.clock.advance(2 * host.options.keep);
    settled(&host).await;
    assert_eq!(store.own_rows().await, ids);
    // What is lost while it was not safe comes back, and is not safe yet.
    host.queue.lose_everything();
    until("all to be back", || async { (host.queue.taken() == ids).then_some(()) }).await;
    host.queue.set_short(false);
    drained(&store).await;
    let Moved { relayed, duplicates, brought_back, .. } = store.moved();
    assert_eq!((relayed, duplicates, brought_back), (200, 0, 200));
    until("no warning any more", || async { store.health().warning.is_none().then_some(()) }).await;
    host.clock.advance(host.options.keep);
    until("them to go", || async { store.own_rows().await.is_empty().then_some(()) }).await;
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_until_something_is_safe_holds_up_nothing() {
    let host = Host::new();
    host.queue.set_short(false);
    host.queue.set_waiting(true);
    let store = host.start();
    let mut ids = Vec::new();
    for number in 0..200 {
        ids.push(host.add(&store, &sent(&number.to_string())).await);
    }
    until("all to be there", || async { (host.queue.taken() == ids).then_some(()) }).await;
    settled(&host).await;
    let state = store.relay();
    assert_eq!((state.backlog, state.queue), (200, QueueState::Up), "nothing is wrong, and nothing known");
    // What is lost meanwhile comes back; an answer about it would say nothing.
    host.queue.lose_everything();
    until("all to be back", || async { (host.queue.taken() == ids).then_some(()) }).await;
    assert_eq!(store.relay().backlog, 200);
    host.queue.set_waiting(false);
    drained(&store).await;
    // An orderly end does not leave to the next process what is about to be safe.
    ids.push(host.add(&store, &sent("last")).await);
    end(store).await;
    let next = host.start();
    settled(&host).await;
    assert_eq!(next.relay().backlog, 0);
    end(next).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_is_not_let_go_while_something_in_it_was_refused() {
    let host = Host::new();
    let keeper = host.outbox();
    let dying = host.start();
    let fine = host.add(&dying, &sent("fine")).await;
    drained(&dying).await;
    let new = host.prepare(&sent("poison"));
    let poison = new.id;
    host.queue.poison(poison, false);
    dying.accept(new).await.unwrap();
    drained(&dying).await;
    end(dying).await;

    let store = host.start_on(keeper);
    until("the slot to be adopted", || async { (store.slots().len() == 2).then_some(()) }).await;
    host.clock.advance(host.options.keep);
    settled(&host).await;
    assert_eq!(store.slots(), [0, 1]);
    assert_ne!(fine, poison);
    let shown = store.delivery(poison).await.unwrap().unwrap().summary;
    assert_eq!(shown.state, DeliveryState::Quarantined);
    let old = Some(Duration::from_secs(1));
    store.sweep(Retention { done: None, failed: old }).await.unwrap();
    until("the slot to be let go", || async { (store.slots() == [0]).then_some(()) }).await;
    end(store).await;
}
