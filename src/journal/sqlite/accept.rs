//! The atomic write: dedupe claim, delivery, events, jobs.

use std::sync::Arc;

use rusqlite::params;

use super::{
    claim::Claims,
    hand_over::{Handout, Openings},
    row,
    session::{Frequent, Session},
    tail::{self, Known},
    writer::FULL,
};
use crate::journal::{
    Accepted, DeliveryState, JobState, NewContent, NewDelivery, NewEvent, StoreError,
    stored::{self, StoredEvent},
};

/// A delivery with all that can be computed before the writer's turn comes.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) new: NewDelivery,
    state: DeliveryState,
    reason: Option<String>,
    events: String,
    unrouted: u32,
    pub(super) jobs: Vec<PreparedJob>,
}

/// A job to be.
#[derive(Debug)]
pub(super) struct PreparedJob {
    pub(super) event: u32,
    pub(super) route: Arc<str>,
    pub(super) id_prefix: i64,
    /// For the case that it can be started at once.
    handout: Option<Handout>,
}

impl Prepared {
    pub(super) fn new(mut new: NewDelivery) -> Self {
        let content = std::mem::replace(&mut new.content, NewContent::Test);
        let (state, reason, events) = match content {
            NewContent::Events(events) => (DeliveryState::Accepted, None, events),
            NewContent::Quarantined { reason } => (DeliveryState::Quarantined, Some(reason), Vec::new()),
            NewContent::Test => (DeliveryState::Test, None, Vec::new()),
        };
        let stored: Vec<_> = events.iter().map(StoredEvent::of).collect();
        let unrouted = stored.iter().filter(|event| event.unrouted).count();
        let jobs = jobs_of(&new, &events);
        Self {
            state,
            reason,
            events: stored::encode(&stored),
            unrouted: u32::try_from(unrouted).unwrap_or(u32::MAX),
            jobs,
            new,
        }
    }
}

fn jobs_of(new: &NewDelivery, events: &[NewEvent]) -> Vec<PreparedJob> {
    let mut jobs = Vec::new();
    for (index, NewEvent { event, routes }) in (0..).zip(events) {
        for mut job in prepare_jobs(new.id.event(index), index, routes) {
            job.handout = Some(Handout {
                index,
                route: job.route.clone(),
                event: event.clone(),
                data: event.data.of(&new.body),
                content_type: new.content_type.clone(),
            });
            jobs.push(job);
        }
    }
    jobs
}

/// The jobs of one event.
pub(super) fn prepare_jobs(
    id: crate::delivery::EventId,
    index: u32,
    routes: &[Arc<str>],
) -> impl Iterator<Item = PreparedJob> {
    routes.iter().map(move |route| PreparedJob {
        event: index,
        route: route.clone(),
        id_prefix: tail::prefix(id.job(route)),
        handout: None,
    })
}

impl Session<'_> {
    /// Stores a delivery and queues its jobs, unless it is known; those for which there are `openings` are claimed
    /// at once. While the journal is `full`, only what is known gets its answer.
    pub(super) fn accept(
        &mut self,
        prepared: &mut Prepared,
        full: bool,
        mut openings: Option<&mut Openings<'_>>,
        claims: &mut Claims,
    ) -> rusqlite::Result<Result<Accepted, StoreError>> {
        let new = &prepared.new;
        let seq = row::to_sql(new.id.seq());
        let mut id_reused = false;
        let mut dedupe = None;
        if let Some(by) = new.dedupe {
            let until = self.now.plus(by.window).as_millis();
            match self.memory.tail.look_up(self.connection, &mut self.statements, &by.key, self.now, until)? {
                Known::Duplicate(original) => {
                    self.memory.stats.duplicate += 1;
                    return Ok(Ok(Accepted::Duplicate { original }));
                }
                Known::IdReused => id_reused = true,
                Known::No => {}
            }
            dedupe = Some((by.key.to_bytes(), until));
        }
        if full {
            return Ok(Err(StoreError::Unavailable(FULL.into())));
        }
        let (source, provider) = (self.intern(&new.source)?, self.intern(&new.provider)?);
        let inserted = self.statements.get(Frequent::InsertDelivery)?.execute(params![
            seq,
            new.id.as_bytes(),
            source,
            provider,
            prepared.state as i64,
            prepared.unrouted,
            new.received_at.as_millis(),
            new.sender_id,
            dedupe.map(|(key, _)| key),
            dedupe.map(|(_, until)| until),
            prepared.reason,
            new.content_type,
            prepared.events,
            new.headers,
            &*new.body,
        ])?;
        if inserted == 0 {
            let taken = format!("another delivery is stored in the place of {}", new.id);
            return Ok(Err(StoreError::Invalid(taken)));
        }
        self.memory.tail.add_delivery(self.connection, seq, new.id, dedupe)?;
        for job in &mut prepared.jobs {
            let route = self.intern(&job.route)?;
            let handed_out = job
                .handout
                .take()
                .zip(openings.as_mut())
                .and_then(|(handout, openings)| openings.claim(self.memory, route, new, handout));
            if let Some((running, claimed)) = handed_out {
                self.insert_job(seq, job, JobState::Running)?;
                claims.jobs.push(((seq, job.event, route), running, claimed));
            } else {
                self.insert_job(seq, job, JobState::Queued)?;
            }
        }
        let stats = &mut self.memory.stats;
        stats.accepted += u64::from(prepared.state == DeliveryState::Accepted);
        stats.quarantined += u64::from(prepared.state == DeliveryState::Quarantined);
        stats.id_reused += u64::from(id_reused);
        stats.unrouted += u64::from(prepared.unrouted);
        Ok(Ok(Accepted::New { id_reused }))
    }

    /// Adds a job: queued and due at once, or running its first attempt.
    pub(super) fn insert_job(
        &mut self,
        delivery: i64,
        job: &PreparedJob,
        state: JobState,
    ) -> rusqlite::Result<()> {
        let route = self.intern(&job.route)?;
        let now = self.now.as_millis();
        let runs = state == JobState::Running;
        self.statements.get(Frequent::InsertJob)?.execute(params![
            delivery,
            job.event,
            route,
            state as i64,
            (!runs).then_some(now),
            i64::from(runs),
            runs.then_some(now)
        ])?;
        self.memory.tail.add_job(self.connection, job.id_prefix, delivery)?;
        if !runs {
            self.waits(route, now);
        }
        self.count_job(None, Some(state));
        Ok(())
    }
}
