//! The store of a process that shares its queue: what it accepts goes into its own journal, everything else is the
//! shared queue's.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use super::{
    AckWhen, OnDuplicate, RelayOptions,
    report::Reached,
    slots::{Context, Slot, Slots},
    view::View,
};
use crate::{
    clock::Clock,
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, DeliveryRecord, DeliverySummary, Demand, Discarded, Filter, Health, JobRecord,
        Lease, NewDelivery, NewEvent, Outcome, Page, QueueState, RelayState, ReplayJobs, Retention, Shared,
        Stats, Store, StoreError, Swept,
        sqlite::{Outbox, SqliteOptions},
    },
};

/// A shared queue that is filled from a journal on this host.
pub(crate) struct Relayed {
    shared: Arc<dyn Shared>,
    slots: Arc<Slots>,
    own: Slot,
    reached: watch::Receiver<Reached>,
    options: RelayOptions,
    clock: Arc<dyn Clock>,
    /// The queue's counters when it last told them.
    last_stats: Mutex<Stats>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

impl Relayed {
    /// Begins to relay an outbox, and those in the same folder that nobody has any more. To be called inside a Tokio
    /// runtime. `journal` says how adopted slots are opened.
    pub(crate) fn start(
        outbox: Outbox,
        shared: Arc<dyn Shared>,
        options: RelayOptions,
        journal: SqliteOptions,
        clock: Arc<dyn Clock>,
        on_duplicate: OnDuplicate,
    ) -> Self {
        let context =
            Context { shared: shared.clone(), options, journal, clock: clock.clone(), on_duplicate };
        let slots = Arc::new(Slots::new(context));
        let (own, task) = slots.relay(Arc::new(outbox), false);
        let adopting = tokio::spawn(slots.clone().adopt_for_ever());
        Self {
            reached: own.report.follow(),
            own,
            shared,
            slots,
            options,
            clock,
            last_stats: Mutex::default(),
            tasks: Mutex::new(vec![task, adopting]),
        }
    }

    /// Moves what can be moved within the grace, then ends the relays. What is left waits in the journal.
    pub(crate) async fn end(&self, grace: Duration) {
        self.slots.stop(grace);
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        for task in tasks {
            // A panic in there has been reported by the panic hook.
            let _ = task.await;
        }
        let RelayState { backlog, .. } = self.relay();
        if backlog > 0 {
            tracing::warn!(backlog, "deliveries are left in the journal; the next process on it moves them");
        }
    }

    /// What the relays have moved since this process began.
    #[cfg(test)]
    pub(crate) fn moved(&self) -> super::Moved {
        self.slots.moved()
    }

    /// What is in the queue, or still held here.
    fn view(&self) -> View {
        View::new(self.shared.clone(), self.slots.all())
    }
}

#[async_trait]
impl Store for Relayed {
    async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        let give_up_at = delivery.give_up_at;
        let position = self.own.outbox.accept(delivery).await?;
        if let AckWhen::Both { timeout } = self.options.ack {
            let until = give_up_at.min(crate::clock::instant() + timeout);
            let mut reached = self.reached.clone();
            let waiting = reached.wait_for(|reached| reached.once >= position || !reached.is_up);
            // It is durable already: whatever comes of this wait, it is accepted.
            let _ = tokio::time::timeout_at(until.into(), waiting).await;
        }
        // Whether it is known is for the queue to say, later.
        Ok(Accepted::New { id_reused: false })
    }

    fn claims(&self, demand: Arc<dyn Demand>) -> mpsc::UnboundedReceiver<ClaimedJob> {
        self.shared.claims(demand)
    }

    fn wake(&self) {
        self.shared.wake();
    }

    async fn settle(&self, lease: Lease, outcome: Outcome) -> Result<(), StoreError> {
        self.shared.settle(lease, outcome).await
    }

    async fn renew(&self, leases: Vec<Lease>) -> Result<Vec<Lease>, StoreError> {
        self.shared.renew(leases).await
    }

    async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        self.view().deliveries(filter).await
    }

    async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError> {
        self.view().jobs(filter).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.view().delivery(id).await
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.view().job(id).await
    }

    async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        self.view().locate(id).await
    }

    async fn replay(&self, delivery: DeliveryId, which: ReplayJobs) -> Result<usize, StoreError> {
        self.shared.replay(delivery, which).await
    }

    async fn discard(&self, job: JobId) -> Result<Discarded, StoreError> {
        self.shared.discard(job).await
    }

    async fn reroute(&self, delivery: DeliveryId, events: Vec<NewEvent>) -> Result<usize, StoreError> {
        self.shared.reroute(delivery, events).await
    }

    /// The queue's counters; while it is away, as they last were.
    async fn stats(&self) -> Result<Stats, StoreError> {
        let stats = self.shared.stats().await;
        let mut last = self.last_stats.lock().unwrap_or_else(PoisonError::into_inner);
        match stats {
            Ok(stats) => *last = stats,
            Err(error) => tracing::debug!(%error, "the queue's counters are not to be had"),
        }
        Ok(last.clone())
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        if let Some(failed) = retention.failed {
            for slot in self.slots.all() {
                slot.outbox.sweep_refused(self.clock.now().minus(failed)).await?;
            }
        }
        self.shared.sweep(retention).await
    }

    /// The journal's: what can be committed here can be acknowledged, whatever becomes of the queue meanwhile.
    fn health(&self) -> Health {
        let Health { trouble, warning } = self.own.outbox.health();
        let away = self.own.report.trouble().or_else(|| self.shared.health().trouble);
        let away =
            away.map(|why| format!("deliveries wait in the journal until the queue has them safely: {why}"));
        Health { trouble, warning: away.or(warning) }
    }

    fn relay(&self) -> RelayState {
        let now = self.clock.now();
        let mut sum = RelayState { queue: QueueState::Up, ..RelayState::default() };
        for slot in self.slots.all() {
            let state = slot.report.state(slot.outbox.end(), now);
            sum.backlog += state.backlog;
            sum.oldest = sum.oldest.max(state.oldest);
            if state.queue == QueueState::Down {
                sum.queue = QueueState::Down;
            }
        }
        sum
    }
}

#[cfg(test)]
impl Relayed {
    /// The ids of all rows of this process's own slot, moved or not.
    pub(super) async fn own_rows(&self) -> Vec<DeliveryId> {
        let everything = crate::journal::sqlite::Limits { rows: usize::MAX, bytes: usize::MAX };
        self.own
            .outbox
            .between(0, i64::MAX, everything)
            .await
            .unwrap()
            .into_iter()
            .map(|row| row.id)
            .collect()
    }

    /// The slots that this process relays.
    pub(super) fn slots(&self) -> Vec<u32> {
        self.slots.all().iter().map(|slot| slot.outbox.slot()).collect()
    }

    /// Makes the journal's next commit fail.
    pub(super) async fn fail_a_commit(&self) {
        self.own.outbox.fail_a_commit().await;
    }
}
