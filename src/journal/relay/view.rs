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
    journal::{DeliveryRecord, DeliverySummary, Filter, JobRecord, Page, Shared, StoreError, sqlite::Outbox},
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
        or_held(|| self.shared.delivery(id), held).await
    }

    pub(super) async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let held = self.ask(|outbox, beyond| async move {
            let Some(delivery) = outbox.locate(beyond, id.into()).await? else { return Ok(None) };
            let record = outbox.delivery(beyond, delivery).await?;
            let jobs = record.into_iter().flat_map(|record| record.summary.jobs);
            Ok(jobs.into_iter().find(|job| job.id == id))
        });
        or_held(|| self.shared.job(id), held).await
    }

    pub(super) async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        let held = self.ask(|outbox, beyond| async move { outbox.locate(beyond, id).await });
        or_held(|| self.shared.locate(id), held).await
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

/// The queue's answer if it has one; otherwise what is held here, and only then the queue's error. What neither has may
/// have been moved between the two looks: then the queue has it now.
async fn or_held<T, F>(
    shared: impl Fn() -> F,
    held: impl Future<Output = Result<Option<T>, StoreError>>,
) -> Result<Option<T>, StoreError>
where
    F: Future<Output = Result<Option<T>, StoreError>>,
{
    match shared().await {
        Ok(Some(found)) => Ok(Some(found)),
        Ok(None) => match held.await? {
            Some(found) => Ok(Some(found)),
            None => shared().await,
        },
        Err(error) => held.await?.map(Some).ok_or(error),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// What comes of a queue that answers like this, and then like that, where this is held.
    async fn found(
        first: Result<Option<u8>, StoreError>,
        then: Option<u8>,
        held: Option<u8>,
    ) -> Result<Option<u8>, StoreError> {
        let first = Cell::new(Some(first));
        let shared = || std::future::ready(first.take().unwrap_or(Ok(then)));
        or_held(shared, async { Ok(held) }).await
    }

    #[tokio::test]
    async fn what_is_moved_between_two_looks_is_found() {
        let away = || StoreError::Unavailable("away".into());
        assert_eq!(found(Ok(None), Some(1), None).await.unwrap(), Some(1));
        assert_eq!(found(Ok(Some(2)), Some(1), Some(3)).await.unwrap(), Some(2));
        assert_eq!(found(Ok(None), Some(1), Some(3)).await.unwrap(), Some(3));
        assert_eq!(found(Ok(None), None, None).await.unwrap(), None);
        assert_eq!(found(Err(away()), Some(1), Some(3)).await.unwrap(), Some(3));
        assert!(found(Err(away()), Some(1), None).await.is_err());
    }
}
