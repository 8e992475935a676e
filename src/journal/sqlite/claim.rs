//! Leases: who may run a job now, and how an attempt ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rusqlite::{OptionalExtension, params};

use super::{
    row::{self, decode},
    session::{Session, job_state},
};
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{ClaimedJob, Demand, JobState, Lease, Outcome},
};

/// A job by its row.
pub(super) type JobKey = (i64, u32, i64);

/// The jobs that are claimed. One process has the file at a time, so nothing but memory needs to know until when a
/// lease lasts: with the process, all of its leases end.
pub(super) type Running = HashMap<JobKey, RunningJob>;

#[derive(Debug, Clone, Copy)]
pub(super) struct RunningJob {
    pub(super) token: u64,
    /// On the clock's monotonic scale.
    pub(super) lease_until: Duration,
    pub(super) suspicion: Suspicion,
}

/// Whether a job is suspected of having taken its process down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    None = 0,
    /// A process died while it ran. Of these, one runs at a time.
    Suspect = 1,
    /// It was claimed to run while nothing else does: if the process dies again, it was this one.
    Alone = 2,
}

/// What a claim step gave out.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) jobs: Vec<(JobKey, RunningJob, ClaimedJob)>,
    /// What was announced to the demand: an index of a route, and a number of jobs.
    pub(super) announced: Vec<(usize, usize)>,
    /// A suspect has to run alone, and has to wait until all others have ended.
    pub(super) held_up: bool,
}

impl Claims {
    fn announce(&mut self, demand: &dyn Demand, route: usize, jobs: usize) {
        demand.claimed(route, jobs);
        self.announced.push((route, jobs));
    }

    /// Takes the announcements back: the claims did not come to be.
    pub(super) fn revoke(&self, demand: &dyn Demand) {
        for &(route, jobs) in &self.announced {
            demand.not_claimed(route, jobs);
        }
    }
}

impl Session<'_> {
    /// Claims as many due jobs as `demand` has room for. The attempt is counted here, before any handler starts.
    pub(super) fn claim(
        &mut self,
        demand: &dyn Demand,
        running: &Running,
        lease_until: Duration,
        max_crashes: u32,
        claims: &mut Claims,
    ) -> rusqlite::Result<()> {
        if running.values().any(|job| job.suspicion == Suspicion::Alone) {
            return Ok(());
        }
        if self.memory.suspects_due <= self.now.as_millis()
            && !running.values().any(|job| job.suspicion == Suspicion::Suspect)
            && !self.claim_suspect(demand, running, lease_until, max_crashes, claims)?
        {
            return Ok(());
        }
        for (index, route_name) in demand.routes().iter().enumerate() {
            let Some(route) = self.memory.number(route_name) else { continue };
            if self.memory.due(route) > self.now.as_millis() {
                continue;
            }
            let free = demand.free(index);
            if free == 0 {
                continue;
            }
            let keys = self.due_jobs(route, free)?;
            if keys.len() < free {
                let next = self
                    .connection
                    .prepare_cached(
                        "SELECT due FROM job WHERE route = ?1 AND due > ?2 AND suspect = 0 ORDER BY due LIMIT 1",
                    )?
                    .query_row(params![route, self.now.as_millis()], |row| row.get(0))
                    .optional()?;
                self.memory.set_due(route, next.unwrap_or(i64::MAX));
            }
            claims.announce(demand, index, keys.len());
            for key in keys {
                self.start(key, route_name, Suspicion::None, lease_until, claims)?;
            }
        }
        Ok(())
    }

    fn due_jobs(&self, route: i64, limit: usize) -> rusqlite::Result<Vec<JobKey>> {
        let mut due = self.connection.prepare_cached(
            "SELECT delivery, event FROM job WHERE route = ?1 AND due <= ?2 AND suspect = 0 ORDER BY due LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        due.query_map(params![route, self.now.as_millis(), limit], |row| {
            Ok((row.get(0)?, row.get(1)?, route))
        })?
        .collect()
    }

    /// Claims the next job that is suspected of having taken a process down. `false`: claim nothing else now, because
    /// one of them has to run alone and others are still running.
    fn claim_suspect(
        &mut self,
        demand: &dyn Demand,
        running: &Running,
        lease_until: Duration,
        max_crashes: u32,
        claims: &mut Claims,
    ) -> rusqlite::Result<bool> {
        let mut waiting = self.connection.prepare_cached(
            "SELECT delivery, event, route, crashes, due FROM job WHERE due <= ?1 AND suspect > 0 ORDER BY due LIMIT 64",
        )?;
        let mut rows = waiting.query([self.now.as_millis()])?;
        let mut any = false;
        while let Some(row) = rows.next()? {
            any = true;
            let (key, crashes): (JobKey, u32) = ((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?);
            let Some(name) = self.memory.name(key.2) else { continue };
            let Some(index) = demand.routes().iter().position(|route| *route == name) else { continue };
            if demand.free(index) == 0 {
                continue;
            }
            // Its last chance: only if it runs alone does another crash prove that it is the one.
            let alone = crashes + 1 >= max_crashes;
            if alone && !running.is_empty() {
                claims.held_up = true;
                return Ok(false);
            }
            let suspicion = if alone { Suspicion::Alone } else { Suspicion::Suspect };
            claims.announce(demand, index, 1);
            self.start(key, &name, suspicion, lease_until, claims)?;
            return Ok(!alone);
        }
        if !any {
            let next = self
                .connection
                .prepare_cached("SELECT min(due) FROM job WHERE due IS NOT NULL AND suspect > 0")?
                .query_row([], |row| row.get::<_, Option<i64>>(0))?;
            self.memory.suspects_due = next.unwrap_or(i64::MAX);
        }
        Ok(true)
    }

    fn start(
        &mut self,
        key: JobKey,
        route: &Arc<str>,
        suspicion: Suspicion,
        lease_until: Duration,
        claims: &mut Claims,
    ) -> rusqlite::Result<()> {
        let (delivery, event, route_number) = key;
        let before: i64 = self
            .connection
            .prepare_cached("SELECT state FROM job WHERE delivery = ?1 AND event = ?2 AND route = ?3")?
            .query_row(params![delivery, event, route_number], |row| row.get(0))?;
        let (attempt, replay, crashes): (u32, u32, u32) = self
            .connection
            .prepare_cached(
                "UPDATE job SET state = 1, due = NULL, suspect = ?4, attempts = attempts + 1, started_at = ?5,
                     finished_at = NULL
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3 RETURNING attempts, replays, crashes",
            )?
            .query_row(
                params![delivery, event, route_number, suspicion as i64, self.now.as_millis()],
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?;
        self.count_job(Some(job_state(before)?), Some(JobState::Running));
        let token = token(replay, attempt);
        let mut row = self.connection.prepare_cached(
            "SELECT id, source, provider, received_at, content_type, events, body FROM delivery WHERE seq = ?1",
        )?;
        let (id, source, provider, received_at, content_type, events, body) =
            row.query_row([delivery], |row| {
                let events = decode(row.get_ref(5)?.as_str()?)?;
                let body = bytes::Bytes::copy_from_slice(row.get_ref(6)?.as_blob()?);
                Ok((
                    DeliveryId::from_bytes(row.get(0)?),
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get(4)?,
                    events,
                    body,
                ))
            })?;
        let event_data = usize::try_from(event)
            .ok()
            .and_then(|at| events.into_iter().nth(at))
            .ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::from(event)))?
            .into_event();
        claims.jobs.push((
            key,
            RunningJob { token, lease_until, suspicion },
            ClaimedJob {
                lease: Lease { delivery: id, event, route: route.clone(), token },
                source: self.memory.name(source).unwrap_or_default(),
                provider: self.memory.name(provider).unwrap_or_default(),
                data: event_data.data.of(&body),
                event: event_data,
                received_at: Timestamp::from_millis(received_at),
                content_type,
                attempt,
                replay,
                crashes,
            },
        ));
        Ok(())
    }

    /// Records how an attempt ended. `false`: the job is no longer this attempt's.
    pub(super) fn settle(&mut self, lease: &Lease, outcome: &Outcome) -> rusqlite::Result<bool> {
        let Some(route) = self.memory.number(&lease.route) else { return Ok(false) };
        let delivery = row::to_sql(lease.delivery.seq());
        let (replay, attempt) = untoken(lease.token);
        let now = self.now.as_millis();
        let (state, due, finished, error) = match outcome {
            Outcome::Done => (JobState::Done, None, Some(now), None),
            Outcome::Retry { after, error } => {
                (JobState::Retrying, Some(self.now.plus(*after).as_millis()), None, Some(error))
            }
            Outcome::Dead { error } => (JobState::Dead, None, Some(now), Some(error)),
            Outcome::Discarded { reason } => (JobState::Discarded, None, Some(now), Some(reason)),
            Outcome::Released => return self.release((delivery, lease.event, route), attempt, replay),
        };
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE job SET state = ?4, due = ?5, suspect = 0, finished_at = ?6, error = ?7
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3 AND state = 1 AND attempts = ?8 AND replays = ?9",
            )?
            .execute(params![
                delivery,
                lease.event,
                route,
                state as i64,
                due,
                finished,
                error,
                attempt,
                replay
            ])?;
        if changed == 0 {
            return Ok(false);
        }
        if state != JobState::Done {
            let outcome = if state == JobState::Retrying { "retry" } else { state.as_str() };
            self.record_attempt((delivery, lease.event, route), outcome)?;
        }
        if let Some(due) = due {
            self.waits(route, due);
        }
        self.count_job(Some(JobState::Running), Some(state));
        Ok(true)
    }

    /// Puts a job back as if it had not been claimed.
    fn release(&mut self, key: JobKey, attempt: u32, replay: u32) -> rusqlite::Result<bool> {
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE job SET state = iif(attempts > 1 OR error IS NOT NULL, 2, 0), due = ?4, attempts = attempts - 1,
                     suspect = min(suspect, 1)
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3 AND state = 1 AND attempts = ?5 AND replays = ?6
                 RETURNING state",
            )?
            .query_row(params![key.0, key.1, key.2, self.now.as_millis(), attempt, replay], |row| row.get(0))
            .optional()?;
        let Some(state) = changed else { return Ok(false) };
        self.waits(key.2, self.now.as_millis());
        self.memory.suspects_due = self.memory.suspects_due.min(self.now.as_millis());
        self.count_job(Some(JobState::Running), Some(job_state(state)?));
        Ok(true)
    }

    /// Writes the attempt that a job's row tells of into the history.
    pub(super) fn record_attempt(&self, key: JobKey, outcome: &str) -> rusqlite::Result<()> {
        self.connection
            .prepare_cached(
                "INSERT OR REPLACE INTO attempt
                     (delivery, event, route, replay, number, started_at, finished_at, outcome, error)
                 SELECT delivery, event, route, replays, attempts, started_at, coalesce(finished_at, ?4), ?5, error
                 FROM job WHERE delivery = ?1 AND event = ?2 AND route = ?3 AND started_at IS NOT NULL",
            )?
            .execute(params![key.0, key.1, key.2, self.now.as_millis(), outcome])?;
        Ok(())
    }

    /// Takes back a job whose worker died, or stalled past its lease.
    pub(super) fn recover_crashed(&mut self, key: JobKey, max_crashes: u32) -> rusqlite::Result<()> {
        let error = "the process died, or stalled past its lease, while the handler ran";
        let row = self
            .connection
            .prepare_cached(
                "SELECT crashes + 1, suspect FROM job WHERE delivery = ?1 AND event = ?2 AND route = ?3 AND state = 1",
            )?
            .query_row(params![key.0, key.1, key.2], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((crashes, suspicion)): Option<(u32, i64)> = row else { return Ok(()) };
        // Only a crash in which it ran alone proves that it was this one.
        let guilty = crashes >= max_crashes && suspicion == Suspicion::Alone as i64;
        let (state, due) =
            if guilty { (JobState::Dead, None) } else { (JobState::Retrying, Some(self.now.as_millis())) };
        self.connection
            .prepare_cached(
                "UPDATE job SET state = ?4, due = ?5, suspect = ?6, crashes = ?7, error = ?8, finished_at = ?9
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3",
            )?
            .execute(params![
                key.0,
                key.1,
                key.2,
                state as i64,
                due,
                i64::from(!guilty),
                crashes,
                error,
                guilty.then_some(self.now.as_millis())
            ])?;
        self.record_attempt(key, "crashed")?;
        self.memory.suspects_due = self.memory.suspects_due.min(self.now.as_millis());
        self.count_job(Some(JobState::Running), Some(state));
        Ok(())
    }

    /// Takes back a job that was claimed by a commit whose end was not known: no handler ever saw it.
    pub(super) fn recover_unstarted(&mut self, key: JobKey) -> rusqlite::Result<()> {
        let (attempt, replay) = self
            .connection
            .prepare_cached(
                "SELECT attempts, replays FROM job WHERE delivery = ?1 AND event = ?2 AND route = ?3",
            )?
            .query_row(params![key.0, key.1, key.2], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.release(key, attempt, replay)?;
        Ok(())
    }

    /// All jobs that the file says are running.
    pub(super) fn running_jobs(&self) -> rusqlite::Result<Vec<JobKey>> {
        self.connection
            .prepare_cached("SELECT delivery, event, route FROM job WHERE state = 1 AND state NOT IN (0, 3)")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    }

    /// The row of the job that a lease is for.
    pub(super) fn key_of(&self, lease: &Lease) -> Option<JobKey> {
        Some((row::to_sql(lease.delivery.seq()), lease.event, self.memory.number(&lease.route)?))
    }
}

fn token(replay: u32, attempt: u32) -> u64 {
    (u64::from(replay) << 32) | u64::from(attempt)
}

fn untoken(token: u64) -> (u32, u32) {
    let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).unwrap_or_default();
    (half(token >> 32), half(token))
}
