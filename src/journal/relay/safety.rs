//! Asks whether what the queue has is as safe as was asked for, beside what is moved meanwhile: waiting for a replica, or
//! for a disk, holds up no delivery.

use std::{future::pending, sync::Arc, time::Instant};

use tokio::task::JoinSet;

use super::marks::Extent;
use crate::{
    clock,
    journal::{Safe, Shared, StoreError},
};

/// What was offered when it was asked, and the answer.
pub(super) type Answer = (Extent, Result<Safe, StoreError>);

/// One question at a time.
pub(super) struct Safety {
    shared: Arc<dyn Shared>,
    asked: JoinSet<Answer>,
    next: Instant,
}

impl Safety {
    pub(super) fn new(shared: Arc<dyn Shared>) -> Self {
        Self { shared, asked: JoinSet::new(), next: clock::instant() }
    }

    /// When to ask next; `None` while an answer is awaited.
    pub(super) fn next(&self) -> Option<Instant> {
        self.asked.is_empty().then_some(self.next)
    }

    /// Not before this.
    pub(super) fn pause_until(&mut self, next: Instant) {
        self.next = next;
    }

    /// Begins to ask of what was offered.
    pub(super) fn ask(&mut self, offered: Extent) {
        let shared = self.shared.clone();
        self.asked.spawn(async move { (offered, shared.make_safe().await) });
    }

    /// The answer, if it has come.
    pub(super) fn take_answer(&mut self) -> Option<Answer> {
        // A panic in there has been reported by the panic hook; it is asked again.
        self.asked.try_join_next()?.ok()
    }

    /// The answer, when it comes.
    pub(super) async fn answer(&mut self) -> Answer {
        match self.asked.join_next().await {
            Some(Ok(answer)) => answer,
            _ => pending().await,
        }
    }
}
