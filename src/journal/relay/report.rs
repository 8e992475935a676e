//! What a relay says of itself.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use serde::Serialize;
use tokio::sync::watch;

use crate::{
    clock::Timestamp,
    journal::{QueueState, RelayState},
};

/// What one relay has come to. Written by the relay, read by everybody.
#[derive(Debug)]
pub(super) struct Report {
    now: Mutex<Now>,
    reached: watch::Sender<Reached>,
    asked: AtomicBool,
    relayed: AtomicU64,
    duplicates: AtomicU64,
    refused: AtomicU64,
    offered_again: AtomicU64,
    brought_back: AtomicU64,
}

/// How far the rows are, for those who wait for one of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reached {
    /// Up to which position rows are known to be in the queue, or were once.
    pub(super) once: i64,
    /// Whether the queue takes deliveries.
    pub(super) is_up: bool,
}

#[derive(Debug)]
struct Now {
    /// Up to which position rows are in the queue, or were once.
    once: i64,
    /// How many of them are not known to be there now, or not safely.
    again: i64,
    /// When the first row that waits was received, as far as it has been read.
    oldest: Option<Timestamp>,
    trouble: Option<String>,
}

/// What a relay has moved since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Moved {
    /// Deliveries that the queue has now.
    pub(crate) relayed: u64,
    /// Those of them that it recognised as repeated.
    pub(crate) duplicates: u64,
    /// Those that it will never take; they stay here, with the reason.
    pub(crate) refused: u64,
    /// Offered once more, because the queue may have lost them.
    pub(crate) offered_again: u64,
    /// Those of them that it had lost: their jobs run, perhaps again.
    pub(crate) brought_back: u64,
}

impl std::ops::AddAssign for Moved {
    fn add_assign(&mut self, other: Self) {
        self.relayed += other.relayed;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.offered_again += other.offered_again;
        self.brought_back += other.brought_back;
    }
}

impl Report {
    pub(super) fn new(once: i64, again: i64) -> Self {
        Self {
            now: Mutex::new(Now { once, again, oldest: None, trouble: None }),
            reached: watch::Sender::new(Reached { once, is_up: true }),
            asked: AtomicBool::default(),
            relayed: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            refused: AtomicU64::default(),
            offered_again: AtomicU64::default(),
            brought_back: AtomicU64::default(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The first row that waits was received then, as far as it is known.
    pub(super) fn set_oldest(&self, oldest: Option<Timestamp>) {
        self.change(|now| now.oldest = oldest);
    }

    /// Rows up to `once` are in the queue or were once, and so many of them are not known to be there now, or not safely.
    pub(super) fn reached(&self, once: i64, again: i64) {
        self.change(|now| (now.once, now.again) = (once, again));
        self.reached.send_if_modified(|reached| {
            let moved = reached.once < once;
            reached.once = once.max(reached.once);
            moved
        });
    }

    /// The queue has said of all its lanes which copy of its data it has, and what it may have lost is to be offered
    /// again.
    pub(super) fn set_asked(&self) {
        self.asked.store(true, Ordering::Release);
    }

    /// Whether the queue has ever said which copy of its data it has. Until then it is not known whether it still has
    /// what was moved before. What [`state`](Self::state) says after this is true takes the answer into account.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }

    /// The queue does not take anything, or does again. `true` if that is a change.
    pub(super) fn set_trouble(&self, trouble: Option<String>) -> bool {
        let (mut changed, is_up) = (false, trouble.is_none());
        self.change(|now| {
            changed = now.trouble.is_some() != trouble.is_some();
            now.trouble = trouble;
        });
        if changed {
            self.reached.send_modify(|reached| reached.is_up = is_up);
        }
        changed
    }

    pub(super) fn count(&self, moved: Moved) {
        for (counter, by) in [
            (&self.relayed, moved.relayed),
            (&self.duplicates, moved.duplicates),
            (&self.refused, moved.refused),
            (&self.offered_again, moved.offered_again),
            (&self.brought_back, moved.brought_back),
        ] {
            counter.fetch_add(by, Ordering::Relaxed);
        }
    }

    pub(super) fn moved(&self) -> Moved {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Moved {
            relayed: read(&self.relayed),
            duplicates: read(&self.duplicates),
            refused: read(&self.refused),
            offered_again: read(&self.offered_again),
            brought_back: read(&self.brought_back),
        }
    }

    /// What is wrong with the queue, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone()
    }

    /// Follows how far the rows are.
    pub(super) fn follow(&self) -> watch::Receiver<Reached> {
        self.reached.subscribe()
    }

    /// Up to which position rows are known to be in the queue, or were once.
    pub(super) fn once(&self) -> i64 {
        self.reached.borrow().once
    }

    /// How far this relay is behind an outbox that ends at `end`.
    pub(super) fn state(&self, end: i64, at: Timestamp) -> RelayState {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let backlog = u64::try_from(end - now.once + now.again).unwrap_or(0);
        let oldest = now.oldest.filter(|_| backlog > 0).map(|oldest| at.since(oldest)).unwrap_or_default();
        let queue = if now.trouble.is_some() { QueueState::Down } else { QueueState::Up };
        RelayState { backlog, oldest, queue }
    }
}
