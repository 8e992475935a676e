//! What an operator does with jobs: replay, discard, route afresh.

use rusqlite::{OptionalExtension, params};

use super::{
    accept::prepare_jobs,
    claim::JobKey,
    row::{self, to_sql},
    session::{Session, job_state},
};
use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        DeliveryState, Discarded, JobState, NewEvent, ReplayJobs, replay,
        stored::{self, StoredEvent},
    },
};

impl Session<'_> {
    /// Queues jobs of a delivery again.
    pub(super) fn replay(&mut self, delivery: DeliveryId, which: &ReplayJobs) -> rusqlite::Result<usize> {
        let jobs = self.jobs_of(delivery)?;
        let chosen = replay::chosen(which, jobs, |job| (job.id, &job.route, job.state));
        for job in &chosen {
            self.requeue(job)?;
        }
        Ok(chosen.len())
    }

    fn requeue(&mut self, job: &JobRow) -> rusqlite::Result<()> {
        // The row tells of the last attempt only until it is reset; a failed one is in the history already.
        if job.state == JobState::Done {
            self.record_attempt(job.key, "done")?;
        }
        let now = self.now.as_millis();
        self.connection
            .prepare_cached(
                "UPDATE job SET state = 0, due = ?4, suspect = 0, attempts = 0, crashes = 0, replays = replays + 1,
                     started_at = NULL, finished_at = NULL, error = NULL
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3",
            )?
            .execute(params![job.key.0, job.key.1, job.key.2, now])?;
        self.waits(job.key.2, now);
        self.count_job(Some(job.state), Some(JobState::Queued));
        Ok(())
    }

    /// Gives up a job that waits.
    pub(super) fn discard(&mut self, delivery: DeliveryId, id: JobId) -> rusqlite::Result<Discarded> {
        let Some(job) = self.jobs_of(delivery)?.into_iter().find(|job| job.id == id) else {
            return Ok(Discarded::NotFound);
        };
        if !replay::is_discardable(job.state) {
            return Ok(Discarded::NotWaiting(job.state));
        }
        self.connection
            .prepare_cached(
                "UPDATE job SET state = ?4, due = NULL, suspect = 0, finished_at = ?5,
                     error = coalesce(error, 'discarded by an operator')
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3",
            )?
            .execute(params![
                job.key.0,
                job.key.1,
                job.key.2,
                JobState::Discarded as i64,
                self.now.as_millis()
            ])?;
        self.count_job(Some(job.state), Some(JobState::Discarded));
        Ok(Discarded::Yes)
    }

    /// Replaces the events of a delivery that could not be read or routed, and queues the jobs that it has now and did
    /// not have.
    pub(super) fn reroute(&mut self, delivery: DeliveryId, events: &[NewEvent]) -> rusqlite::Result<usize> {
        let seq = to_sql(delivery.seq());
        let before = self
            .connection
            .prepare_cached("SELECT state, unrouted, events FROM delivery WHERE seq = ?1 AND id = ?2")?
            .query_row(params![seq, delivery.as_bytes()], |row| {
                // Events that can't be read are replaced all the same.
                let events = row.get_ref(2)?.as_str().ok().and_then(|json| row::decode(json).ok());
                Ok((row.get(0)?, row.get(1)?, events.unwrap_or_default()))
            })
            .optional()?;
        let Some((state, unrouted_before, events_before)): Option<(i64, i64, Vec<StoredEvent>)> = before
        else {
            return Ok(0);
        };
        if state != DeliveryState::Quarantined as i64 && unrouted_before == 0 {
            return Ok(0);
        }
        let known: Vec<_> = self.jobs_of(delivery)?.into_iter().map(|job| (job.key.1, job.route)).collect();
        let has_jobs = |index| known.iter().any(|(event, _)| *event == index);
        let mut stored: Vec<_> = events.iter().map(StoredEvent::of).collect();
        // Jobs refer to their events by number, so these stay even where they are no longer found in the body.
        let last = known.iter().map(|(event, _)| *event as usize + 1).max().unwrap_or(0);
        stored.extend(events_before.into_iter().take(last).skip(events.len()));
        for (index, event) in (0..).zip(&mut stored) {
            event.unrouted &= !has_jobs(index);
        }
        let unrouted = stored.iter().filter(|event| event.unrouted).count() as u64;
        self.connection
            .prepare_cached(
                "UPDATE delivery SET state = 0, reason = NULL, unrouted = ?2, events = ?3 WHERE seq = ?1",
            )?
            .execute(params![seq, to_sql(unrouted), stored::encode(&stored)])?;
        let was_quarantined = u64::from(state == DeliveryState::Quarantined as i64);
        let counters = &mut self.memory.stats;
        counters.unrouted = (counters.unrouted + unrouted).saturating_sub(row::from_sql(unrouted_before));
        counters.quarantined = counters.quarantined.saturating_sub(was_quarantined);
        counters.accepted += was_quarantined;
        let mut added = 0;
        for (index, event) in (0..).zip(events) {
            for job in prepare_jobs(delivery.event(index), index, &event.routes) {
                if !known.iter().any(|(event, route)| *event == job.event && **route == *job.route) {
                    self.insert_job(seq, &job, JobState::Queued)?;
                    added += 1;
                }
            }
        }
        Ok(added)
    }

    fn jobs_of(&self, delivery: DeliveryId) -> rusqlite::Result<Vec<JobRow>> {
        let seq = to_sql(delivery.seq());
        let mut jobs =
            self.connection.prepare_cached("SELECT event, route, state FROM job WHERE delivery = ?1")?;
        jobs.query_map([seq], |row| {
            let (event, route, state): (u32, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let name = self.memory.name(route).unwrap_or_default();
            Ok(JobRow {
                id: delivery.event(event).job(&name),
                key: (seq, event, route),
                route: name,
                state: job_state(state)?,
            })
        })?
        .collect()
    }
}

struct JobRow {
    id: JobId,
    key: JobKey,
    route: std::sync::Arc<str>,
    state: JobState,
}
