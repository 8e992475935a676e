//! What is in the shared queue and what is still held in slots of this host, looked at as one.

use std::sync::Arc;

use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    listing::{self, Place},
    slots::Slot,
};
use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        DeliveryRecord, DeliverySummary, Filter, JobRecord, Page, Shared, StoreError, moving::there_or_here,
        sqlite::Outbox,
    },
};

/// A shared queue, and slots that hold what it may not have yet.
pub(super) struct View {
    shared: Arc<dyn Shared>,
    slots: Vec<Slot>,
    marks_lag: bool,
}

impl View {
    /// Of slots that are relayed now.
    pub(super) fn new(shared: Arc<dyn Shared>, slots: Vec<Slot>) -> Self {
        Self { shared, slots, marks_lag: false }
    }

    /// Of slots that nobody relays. Whoever did and was killed may have moved more than it wrote down: what the queue
    /// turns out to have is the queue's to show, in the state that it has there.
    #[cfg(all(feature = "redis", feature = "cli"))]
    pub(super) fn of_idle(shared: Arc<dyn Shared>, slots: Vec<Slot>) -> Self {
        Self { shared, slots, marks_lag: true }
    }

    pub(super) async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        let place = Place::parse(filter.cursor.as_deref())?;
        let held = self.held(&filter, &place).await?;
        let held = held.into_iter().map(|summary| (summary.id, summary)).collect();
        let shared = |filter| async move {
            let page = self.shared.deliveries(filter).await?;
            Ok((page.items.into_iter().map(|summary| (summary.id, summary)).collect(), page.next))
        };
        listing::merge(&filter, place, held, shared).await
    }

    pub(super) async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError> {
        let place = Place::parse(filter.cursor.as_deref())?;
        let held = self.held(&filter, &place).await?;
        let held = held.into_iter().flat_map(|summary| listing::jobs_of(summary, &filter)).collect();
        let shared = |filter| async move {
            let page = self.shared.jobs(filter).await?;
            Ok((page.items.into_iter().map(|job| (job.delivery_id, job)).collect(), page.next))
        };
        listing::merge(&filter, place, held, shared).await
    }

    pub(super) async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        let held = self.ask(|outbox, beyond| async move { outbox.delivery(beyond, id).await });
        there_or_here(|| self.shared.delivery(id), held).await
    }

    pub(super) async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let held = self.ask(|outbox, beyond| async move {
            let Some(delivery) = outbox.locate(beyond, id.into()).await? else { return Ok(None) };
            let record = outbox.delivery(beyond, delivery).await?;
            let jobs = record.into_iter().flat_map(|record| record.summary.jobs);
            Ok(jobs.into_iter().find(|job| job.id == id))
        });
        there_or_here(|| self.shared.job(id), held).await
    }

    pub(super) async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        let held = self.ask(|outbox, beyond| async move { outbox.locate(beyond, id).await });
        there_or_here(|| self.shared.locate(id), held).await
    }

    /// What is held and fits a filter, for a page.
    async fn held(&self, filter: &Filter, place: &Place) -> Result<Vec<DeliverySummary>, StoreError> {
        let held = listing::held(&self.slots, filter, place).await?;
        if !self.marks_lag {
            return Ok(held);
        }
        let known = join_all(held.iter().map(|summary| self.shared.locate(summary.id.into()))).await;
        let held = held.into_iter().zip(known).filter(|(_, known)| !matches!(known, Ok(Some(_))));
        Ok(held.map(|(summary, _)| summary).collect())
    }

    /// Asks the slots in turn until one knows.
    async fn ask<T, F>(&self, ask: impl Fn(Arc<Outbox>, i64) -> F) -> Result<Option<T>, StoreError>
    where
        F: Future<Output = Result<Option<T>, StoreError>>,
    {
        for slot in &self.slots {
            let beyond = slot.report.once();
            if let Some(found) = ask(slot.outbox.clone(), beyond).await? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
