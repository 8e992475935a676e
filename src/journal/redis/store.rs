//! The store as others see it.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Redis, STATS, accept, accept::Addressed, answer, closed, feeder::Command, lease::lane_of_token, settle,
    settle::Settlement,
};
use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, DeliveryRecord, DeliverySummary, Demand, Discarded, Filter, Health, JobRecord,
        Lease, NewDelivery, NewEvent, Outcome, Page, QueueState, RelayState, ReplayJobs, Retention, Safe,
        Shared, Stats, Store, StoreError, Swept, TakenIn, sealed::Sealed,
    },
};

#[async_trait]
impl Store for Redis {
    async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        let delivery = Addressed::new(delivery.into(), self.lanes());
        self.accepts.submit(delivery.lane, delivery).await.unwrap_or_else(|| Err(closed()))
    }

    fn claims(&self, demand: Arc<dyn Demand>) -> mpsc::UnboundedReceiver<ClaimedJob> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.feeder.tell(Command::Claims(demand, sender));
        receiver
    }

    fn wake(&self) {
        self.feeder.tell(Command::Wake);
    }

    async fn settle(&self, lease: Lease, outcome: Outcome) -> Result<(), StoreError> {
        let lane = lane_of_token(lease.token);
        if lane >= self.lanes() {
            return Err(StoreError::LeaseLost);
        }
        let settlement = Settlement { lease, outcome };
        self.settlements.submit(lane, settlement).await.unwrap_or_else(|| Err(closed()))
    }

    async fn renew(&self, leases: Vec<Lease>) -> Result<Vec<Lease>, StoreError> {
        settle::renew(&self.core, &self.feeder, leases).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        let mut sum = Stats::default();
        for lane in 0..self.lanes() {
            let counts = answer::list(self.run(lane, &STATS, &[]).await?)?;
            let counts: Vec<u64> = counts.iter().map(answer::uint).collect::<Result<_, _>>()?;
            let totals = [
                &mut sum.accepted,
                &mut sum.duplicate,
                &mut sum.quarantined,
                &mut sum.id_reused,
                &mut sum.unrouted,
            ];
            for (total, count) in totals.into_iter().chain(&mut sum.jobs).zip(counts) {
                *total += count;
            }
        }
        Ok(sum)
    }

    fn relay(&self) -> RelayState {
        let queue = if self.core.trouble().is_none() { QueueState::Up } else { QueueState::Down };
        RelayState { queue, ..RelayState::default() }
    }

    fn health(&self) -> Health {
        Health { trouble: self.core.trouble(), warning: None }
    }

    async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        self.deliveries(&filter).await
    }

    async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError> {
        self.jobs(&filter).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.delivery(id).await
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.job(id).await
    }

    async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        self.locate(id).await
    }

    async fn replay(&self, delivery: DeliveryId, which: ReplayJobs) -> Result<usize, StoreError> {
        self.replay(delivery, &which).await
    }

    async fn discard(&self, job: JobId) -> Result<Discarded, StoreError> {
        self.discard(job).await
    }

    async fn reroute(&self, delivery: DeliveryId, events: Vec<NewEvent>) -> Result<usize, StoreError> {
        self.reroute(delivery, &events).await
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        self.sweep(retention).await
    }
}

#[async_trait]
impl Shared for Redis {
    async fn take_in(&self, batch: Vec<Sealed>) -> Result<TakenIn, StoreError> {
        accept::take_in(&self.core, &self.feeder, batch).await
    }

    fn has_to_be_safe(&self) -> bool {
        self.core.options.has_to_be_safe()
    }

    async fn make_safe(&self) -> Result<Safe, StoreError> {
        accept::make_safe(&self.core).await
    }
}
