//! A store in memory that does what the admin listener asks of one.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, DeliveryRecord, DeliveryState, DeliverySummary, Demand, Discarded, EventRecord,
        Filter, Health, ItemState, JobRecord, JobState, Lease, NewDelivery, NewEvent, Outcome, Page,
        ReplayJobs, Retention, Stats, Store, StoreError, Swept,
    },
};

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The oldest first.
    pub(crate) deliveries: Vec<DeliveryRecord>,
    pub(crate) trouble: Option<String>,
    pub(crate) warning: Option<String>,
    /// How many more replays succeed before the store fails.
    pub(crate) replays_left: Option<usize>,
}

impl MemoryStore {
    pub(crate) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    pub(crate) fn job_states(&self) -> Vec<JobState> {
        self.held().deliveries.iter().flat_map(|record| &record.summary.jobs).map(|job| job.state).collect()
    }

    fn up(&self) -> Result<MutexGuard<'_, Held>, StoreError> {
        let held = self.held();
        match &held.trouble {
            Some(trouble) => Err(StoreError::Unavailable(trouble.clone())),
            None => Ok(held),
        }
    }
}

/// A job for the event, waiting.
pub(crate) fn queued(delivery: DeliveryId, event: &EventRecord, route: &str) -> JobRecord {
    JobRecord {
        id: event.id.job(route),
        delivery_id: delivery,
        event_id: event.id,
        kind: event.kind.clone(),
        route: route.into(),
        state: JobState::Queued,
        attempts: 0,
        crashes: 0,
        replays: 0,
        due_at: None,
        started_at: None,
        finished_at: None,
        error: None,
    }
}

fn fits(filter: &Filter, summary: &DeliverySummary) -> bool {
    let in_state = |state: ItemState| match state {
        ItemState::Delivery(state) => summary.state == state,
        ItemState::Unrouted => summary.events.iter().any(|event| event.unrouted),
        ItemState::Job(state) => summary.jobs.iter().any(|job| job.state == state),
    };
    filter.state.is_none_or(in_state)
        && filter.source.as_ref().is_none_or(|source| *source == summary.source)
        && filter.since.is_none_or(|since| summary.received_at >= since)
        && filter
            .kind
            .as_ref()
            .is_none_or(|kind| summary.events.iter().any(|event| kind.matches(&event.kind)))
}

fn unavailable<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("not part of this store".into()))
}

#[async_trait]
impl Store for MemoryStore {
    async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        let held = self.up()?;
        let end = match &filter.cursor {
            None => held.deliveries.len(),
            Some(cursor) => {
                cursor.parse().map_err(|_| StoreError::Invalid("cursor: no listing gave it out".into()))?
            }
        };
        let limit = if filter.limit == 0 { 50 } else { filter.limit };
        // At most three are looked at in one step, so that pages come short and empty as they may.
        let start = end.saturating_sub(limit.min(3));
        let items = held.deliveries[start..end].iter().rev().map(|record| record.summary.clone());
        Ok(Page {
            items: items.filter(|summary| fits(&filter, summary)).collect(),
            next: (start > 0).then(|| start.to_string()),
        })
    }

    async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError> {
        let page = self.deliveries(filter.clone()).await?;
        let wanted = |job: &JobRecord| match filter.state {
            Some(ItemState::Job(state)) => job.state == state,
            _ => true,
        };
        let jobs = page.items.into_iter().flat_map(|summary| summary.jobs).filter(wanted);
        Ok(Page { items: jobs.collect(), next: page.next })
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        Ok(self.up()?.deliveries.iter().find(|record| record.summary.id == id).cloned())
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let held = self.up()?;
        Ok(held.deliveries.iter().flat_map(|record| &record.summary.jobs).find(|job| job.id == id).cloned())
    }

    async fn locate(&self, id: uuid::Uuid) -> Result<Option<DeliveryId>, StoreError> {
        let held = self.up()?;
        let found = held.deliveries.iter().map(|record| &record.summary).find(|summary| {
            uuid::Uuid::from(summary.id) == id
                || summary.events.iter().any(|event| uuid::Uuid::from(event.id) == id)
                || summary.jobs.iter().any(|job| uuid::Uuid::from(job.id) == id)
        });
        Ok(found.map(|summary| summary.id))
    }

    async fn replay(&self, delivery: DeliveryId, which: ReplayJobs) -> Result<usize, StoreError> {
        let mut held = self.up()?;
        match &mut held.replays_left {
            Some(0) => return Err(StoreError::Unavailable("disk full".into())),
            Some(left) => *left -= 1,
            None => {}
        }
        let Some(record) = held.deliveries.iter_mut().find(|record| record.summary.id == delivery) else {
            return Ok(0);
        };
        let jobs = &mut record.summary.jobs;
        let all_done = jobs.iter().all(|job| job.state == JobState::Done);
        let mut replayed = 0;
        for job in jobs {
            let wanted = match &which {
                ReplayJobs::One(id) => job.id == *id,
                ReplayJobs::InState(state) => job.state == *state,
                ReplayJobs::Unfinished { route } => {
                    route.as_ref().is_none_or(|route| *route == job.route)
                        && (all_done || job.state != JobState::Done)
                }
            };
            if wanted && !matches!(job.state, JobState::Queued | JobState::Running) {
                job.state = JobState::Queued;
                job.replays += 1;
                replayed += 1;
            }
        }
        Ok(replayed)
    }

    async fn discard(&self, id: JobId) -> Result<Discarded, StoreError> {
        let mut held = self.up()?;
        let mut jobs = held.deliveries.iter_mut().flat_map(|record| &mut record.summary.jobs);
        Ok(match jobs.find(|job| job.id == id) {
            None => Discarded::NotFound,
            Some(job) if matches!(job.state, JobState::Queued | JobState::Retrying | JobState::Dead) => {
                job.state = JobState::Discarded;
                Discarded::Yes
            }
            Some(job) => Discarded::NotWaiting(job.state),
        })
    }

    async fn reroute(&self, delivery: DeliveryId, events: Vec<NewEvent>) -> Result<usize, StoreError> {
        let mut held = self.up()?;
        let Some(record) = held.deliveries.iter_mut().find(|record| record.summary.id == delivery) else {
            return Ok(0);
        };
        let summary = &mut record.summary;
        summary.state = DeliveryState::Accepted;
        summary.events = Vec::new();
        let mut added = 0;
        for (index, new) in (0..).zip(events) {
            let event = EventRecord {
                id: delivery.event(index),
                kind: new.event.kind,
                subject: new.event.subject,
                occurred_at: new.event.occurred_at,
                unrouted: new.routes.is_empty(),
            };
            for route in new.routes {
                let job = queued(delivery, &event, &route);
                if summary.jobs.iter().all(|known| known.id != job.id) {
                    summary.jobs.push(job);
                    added += 1;
                }
            }
            summary.events.push(event);
        }
        Ok(added)
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        let held = self.up()?;
        let mut stats = Stats { accepted: held.deliveries.len() as u64, duplicate: 7, ..Stats::default() };
        for job in held.deliveries.iter().flat_map(|record| &record.summary.jobs) {
            stats.jobs[job.state as usize] += 1;
        }
        Ok(stats)
    }

    fn health(&self) -> Health {
        let held = self.held();
        Health { trouble: held.trouble.clone(), warning: held.warning.clone() }
    }

    async fn accept(&self, _: NewDelivery) -> Result<Accepted, StoreError> {
        unavailable()
    }

    fn claims(&self, _: Arc<dyn Demand>) -> mpsc::UnboundedReceiver<ClaimedJob> {
        mpsc::unbounded_channel().1
    }

    fn wake(&self) {}

    async fn settle(&self, _: Lease, _: Outcome) -> Result<(), StoreError> {
        unavailable()
    }

    async fn renew(&self, _: Vec<Lease>) -> Result<Vec<Lease>, StoreError> {
        unavailable()
    }

    async fn sweep(&self, _: Retention) -> Result<Swept, StoreError> {
        unavailable()
    }
}
