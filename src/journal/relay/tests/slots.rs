//! Slots of a data folder: whose they are, and what becomes of them when nobody has them.

use std::{sync::Arc, time::Duration};

use super::{Host, drained, embedded, end, until};
use crate::{
    clock,
    journal::{
        Accepted, OpenError, Store,
        conformance::sent,
        relay::{self, Drained, Relayed},
        sqlite::{Outbox, Sqlite},
    },
};

async fn close<T: Send + 'static>(store: T) {
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_process_has_a_slot_of_its_own_and_its_host_stays() {
    let host = Host::new();
    let (first, second) = (host.outbox(), host.outbox());
    assert_eq!((first.slot(), second.slot()), (0, 1));
    assert_ne!(first.host(), second.host());
    assert_eq!(first.host().len(), 32);
    let before = first.host().to_owned();
    close(first).await;
    let again = host.outbox();
    assert_eq!((again.slot(), again.host()), (0, &*before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_nobody_has_is_adopted_watched_and_let_go() {
    let host = Host::new();
    let keeper = host.outbox();
    host.queue.set_away(true);
    // Another process takes something in and dies.
    let dying = host.start();
    assert_eq!(dying.own_slot(), 1);
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(host.add(&dying, &sent(&number.to_string())).await);
    }
    dying.end(Duration::ZERO).await;
    close(dying).await;

    let store = host.start_on(keeper);
    until("the slot to be adopted", || async { (store.slots().len() == 2).then_some(()) }).await;
    assert_eq!(store.relay().backlog, 20);
    assert_eq!(store.delivery(ids[3]).await.unwrap().unwrap().body, "3", "listed where it is held");
    host.queue.set_away(false);
    drained(&store).await;
    assert_eq!(host.queue.taken(), ids);
    // What was moved is watched like what is our own.
    host.queue.lose_everything();
    until("all to be back", || async { (host.queue.taken() == ids).then_some(()) }).await;
    drained(&store).await;
    assert_eq!(store.slots(), [0, 1]);
    host.clock.advance(host.options.keep + Duration::from_secs(1));
    until("the slot to be let go", || async { (store.slots() == [0]).then_some(()) }).await;
    let moved = store.moved();
    assert_eq!((moved.relayed, moved.brought_back), (20, 20), "what was moved is still counted");
    // It closes in its own time, and whoever looks for slots to adopt has it for a moment.
    until("its lock to be free", || async { (host.outbox().slot() == 1).then_some(()) }).await;
    end(store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_of_the_other_mode_is_refused_and_told_how_to_mend() {
    let host = Host::new();
    host.queue.set_away(true);
    let store = host.start();
    host.add(&store, &sent("waits")).await;
    store.end(Duration::ZERO).await;
    close(store).await;
    let error = embedded(host.dir.path()).err().unwrap();
    assert!(matches!(error, OpenError::Unrelayed { deliveries: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("doorbell drain"), "{error}");
    host.queue.set_away(false);
    let store = host.start();
    drained(&store).await;
    end(store).await;

    let queue: Sqlite = embedded(host.dir.path()).unwrap();
    let accepted = queue.accept(host.prepare(&sent("a job"))).await;
    assert!(matches!(accepted, Ok(Accepted::New { .. })), "{accepted:?}");
    close(queue).await;
    let error = Outbox::open_free(host.journal(), Arc::new(host.clock.clone())).err().unwrap();
    assert!(matches!(error, OpenError::UnendedJobs { jobs: 1, .. }), "{error:?}");
    assert!(error.to_string().contains("doorbell drain"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_queue_strands_no_other_slot() {
    let host = Host::new();
    host.queue.set_away(true);
    let keeper = host.outbox();
    let store = host.start();
    host.add(&store, &sent("waits in slot 1")).await;
    store.end(Duration::ZERO).await;
    close(store).await;
    close(keeper).await;
    let error = embedded(host.dir.path()).err().unwrap();
    assert!(
        matches!(error, OpenError::Unrelayed { .. }) && error.to_string().contains("journal-1"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_slot_holds_up_no_other() {
    let host = Host::new();
    let keeper = host.outbox();
    let damaged = host.dir.path().join("journal-1");
    std::fs::create_dir(&damaged).unwrap();
    std::fs::write(damaged.join("journal.db"), "precious, but no database at all").unwrap();
    let third = host.dir.path().join("journal-2");
    std::fs::create_dir(&third).unwrap();
    let store = host.start_on(keeper);
    host.add(&store, &sent("passes")).await;
    drained(&store).await;
    end(store).await;
    assert_eq!(std::fs::read(damaged.join("journal.db")).unwrap(), b"precious, but no database at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_moves_what_nobody_has_and_says_what_it_left() {
    let host = Host::new();
    host.queue.set_away(true);
    let running = host.outbox();
    let store = host.start();
    for number in 0..150 {
        host.add(&store, &sent(&number.to_string())).await;
    }
    store.end(Duration::ZERO).await;
    close(store).await;
    std::fs::create_dir(host.dir.path().join("journal-7")).unwrap();
    std::fs::write(host.dir.path().join("journal-7/journal.db"), "no database").unwrap();
    let drain = |give_up_at| {
        let clock = Arc::new(host.clock.clone());
        let mut told = Vec::new();
        let (queue, options, journal) = (host.queue.clone(), host.options, host.journal());
        async move {
            let tell = |now: &Drained| told.push(now.left);
            let drained =
                relay::drain(queue, options, journal, clock, Arc::new(drop), give_up_at, tell).await.unwrap();
            (drained, told)
        }
    };
    let (drained, told) = drain(Some(clock::instant())).await;
    assert_eq!((drained.left, drained.is_complete(), told), (150, false, vec![150]));
    host.queue.set_away(false);
    let (drained, told) = drain(None).await;
    assert_eq!((drained.left, drained.moved.relayed, told.last()), (0, 150, Some(&0)));
    assert_eq!(drained.in_use, [0]);
    assert_eq!(drained.unopened[0].0, 7, "{drained:?}");
    assert!(!drained.is_complete());
    assert_eq!(host.queue.taken().len(), 150);
    let text = drained.to_string();
    assert!(text.contains("150 moved") && text.contains("0 left") && text.contains("slot 7"), "{text}");
    drop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_when_the_queue_has_said_that_it_has_what_was_moved() {
    let host = Host::new();
    let store = host.start();
    for number in 0..30 {
        host.add(&store, &sent(&number.to_string())).await;
    }
    drained(&store).await;
    let poison = host.prepare(&sent("poison"));
    host.queue.poison(poison.id, false);
    store.accept(poison).await.unwrap();
    drained(&store).await;
    end(store).await;
    let drain = |give_up_at| {
        let clock = Arc::new(host.clock.clone());
        let (queue, options, journal) = (host.queue.clone(), host.options, host.journal());
        async move {
            relay::drain(queue, options, journal, clock, Arc::new(drop), give_up_at, |_| ()).await.unwrap()
        }
    };
    host.queue.set_away(true);
    let drained = drain(Some(clock::instant())).await;
    assert_eq!((drained.left, drained.asked, drained.is_complete()), (0, false, false));
    assert!(drained.to_string().contains("not known yet whether"), "{drained}");
    host.queue.set_away(false);
    let drained = drain(None).await;
    assert_eq!((drained.moved.offered_again, drained.left, drained.asked), (0, 0, true), "it has them all");
    assert_eq!(
        (drained.refused, drained.is_complete()),
        (1, false),
        "it was refused earlier, and is still there"
    );
    // The volume is what is left of everything.
    host.queue.lose_everything();
    let drained = drain(None).await;
    assert_eq!((drained.moved.brought_back, drained.left, drained.is_complete()), (31, 0, true));
    assert_eq!(host.queue.taken().len(), 31, "also what only the lost one refused");
}

impl Relayed {
    fn own_slot(&self) -> u32 {
        self.slots()[0]
    }
}
