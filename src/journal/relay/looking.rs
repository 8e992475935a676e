//! The store of a process that only looks, where no service runs: the shared queue, and what the slots of the data folder
//! still hold. Nothing is moved meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{report::Report, slots::Slot, view::View};
use crate::{
    clock::Clock,
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, DeliveryRecord, DeliverySummary, Demand, Discarded, Filter, Health, JobRecord,
        Lease, NewDelivery, NewEvent, Outcome, Page, RelayState, ReplayJobs, Retention, Shared, Stats, Store,
        StoreError, Swept,
        sqlite::{OpenError, Outbox, SqliteOptions},
    },
};

/// A shared queue, and what waits for it in slots that nobody has.
pub(crate) struct Looking {
    shared: Arc<dyn Shared>,
    view: View,
}

impl Looking {
    /// Opens the slots that nobody has and that hold something, and keeps them until it is dropped. Blocks.
    ///
    /// # Errors
    /// A slot can't be opened: what it holds would be missing.
    pub(crate) fn open(
        shared: Arc<dyn Shared>,
        journal: &SqliteOptions,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let adopt = |number| Outbox::adopt(number, journal.clone(), clock.clone()).transpose();
        let opened = Outbox::slots(&journal.dir)?.into_iter().filter_map(adopt).map(|outbox| {
            let outbox = outbox?;
            let report = Arc::new(Report::new(outbox.progress().once, 0));
            Ok(Slot { outbox: Arc::new(outbox), report })
        });
        let view = View::of_idle(shared.clone(), opened.collect::<Result<_, OpenError>>()?);
        Ok(Self { shared, view })
    }
}

#[async_trait]
impl Store for Looking {
    async fn accept(&self, _: NewDelivery) -> Result<Accepted, StoreError> {
        Err(StoreError::Unavailable("this process only looks, and takes nothing in".into()))
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

    async fn stats(&self) -> Result<Stats, StoreError> {
        self.shared.stats().await
    }

    fn relay(&self) -> RelayState {
        self.shared.relay()
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        self.view.deliveries(filter).await
    }

    async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError> {
        self.view.jobs(filter).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.view.delivery(id).await
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.view.job(id).await
    }

    async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        self.view.locate(id).await
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

    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        self.shared.sweep(retention).await
    }
}
