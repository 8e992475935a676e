//! Leases: who may run a job now, and how an attempt ends.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rusqlite::{OptionalExtension, params};

use super::{
    row::{self, decode},
    session::{Memory, Session, job_state},
};
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{ClaimedJob, Demand, JobState, Lease, Outcome},
};

/// Tells the attempts of this process apart. Leases end with the process, so nothing else has to be told apart.
static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

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

/// On what terms jobs are claimed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// On the clock's monotonic scale.
    pub(super) lease_until: Duration,
    pub(super) max_crashes: u32,
}

/// The two kinds of waiting jobs; each has an index.
#[derive(Debug, Clone, Copy)]
enum Queue {
    Normal,
    Suspects,
}

/// A job that is due.
struct Waiting {
    delivery: i64,
    event: u32,
    due: i64,
    state: JobState,
    attempts: u32,
    crashes: u32,
    replays: u32,
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
        terms: Terms,
        claims: &mut Claims,
    ) -> rusqlite::Result<()> {
        if running.values().any(|job| job.suspicion == Suspicion::Alone) {
            return Ok(());
        }
        if !running.values().any(|job| job.suspicion == Suspicion::Suspect)
            && !self.claim_suspect(demand, running, terms, claims)?
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
            let waiting = self.due_jobs(Queue::Normal, route, free)?;
            if waiting.len() < free {
                let next = self.next_due(Queue::Normal, route)?;
                self.memory.set_due(route, next);
            }
            claims.announce(demand, index, waiting.len());
            for job in waiting {
                self.start(job, route, route_name, Suspicion::None, terms, claims)?;
            }
        }
        Ok(())
    }

    /// Claims the next job that is suspected of having taken a process down. `false`: claim nothing else now, because
    /// one of them has to run alone.
    fn claim_suspect(
        &mut self,
        demand: &dyn Demand,
        running: &Running,
        terms: Terms,
        claims: &mut Claims,
    ) -> rusqlite::Result<bool> {
        let mut first: Option<(usize, i64, Waiting)> = None;
        for (index, route_name) in demand.routes().iter().enumerate() {
            let Some(route) = self.memory.number(route_name) else { continue };
            if self.memory.suspects_due(route) > self.now.as_millis() || demand.free(index) == 0 {
                continue;
            }
            match self.due_jobs(Queue::Suspects, route, 1)?.pop() {
                Some(job) if first.as_ref().is_none_or(|(_, _, first)| job.due < first.due) => {
                    first = Some((index, route, job));
                }
                Some(_) => {}
                None => {
                    let next = self.next_due(Queue::Suspects, route)?;
                    self.memory.set_suspects_due(route, next);
                }
            }
        }
        let Some((index, route, job)) = first else { return Ok(true) };
        // Its last chance: only if it runs alone does another crash prove that it is the one.
        let alone = job.crashes + 1 >= terms.max_crashes;
        if alone && !running.is_empty() {
            claims.held_up = true;
            return Ok(false);
        }
        let suspicion = if alone { Suspicion::Alone } else { Suspicion::Suspect };
        claims.announce(demand, index, 1);
        self.start(job, route, &demand.routes()[index], suspicion, terms, claims)?;
        Ok(!alone)
    }

    fn due_jobs(&self, queue: Queue, route: i64, limit: usize) -> rusqlite::Result<Vec<Waiting>> {
        let mut due = self.connection.prepare_cached(match queue {
            Queue::Normal => {
                "SELECT delivery, event, due, state, attempts, crashes, replays
                 FROM job WHERE route = ?1 AND due <= ?2 AND suspect = 0 ORDER BY due LIMIT ?3"
            }
            Queue::Suspects => {
                "SELECT delivery, event, due, state, attempts, crashes, replays
                 FROM job WHERE route = ?1 AND due <= ?2 AND suspect > 0 ORDER BY due LIMIT ?3"
            }
        })?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        due.query_map(params![route, self.now.as_millis(), limit], |row| {
            Ok(Waiting {
                delivery: row.get(0)?,
                event: row.get(1)?,
                due: row.get(2)?,
                state: job_state(row.get(3)?)?,
                attempts: row.get(4)?,
                crashes: row.get(5)?,
                replays: row.get(6)?,
            })
        })?
        .collect()
    }

    /// When the next of a route's jobs is due that is not due yet.
    fn next_due(&self, queue: Queue, route: i64) -> rusqlite::Result<i64> {
        let due = self
            .connection
            .prepare_cached(match queue {
                Queue::Normal => {
                    "SELECT due FROM job WHERE route = ?1 AND due > ?2 AND suspect = 0 ORDER BY due LIMIT 1"
                }
                Queue::Suspects => {
                    "SELECT due FROM job WHERE route = ?1 AND due > ?2 AND suspect > 0 ORDER BY due LIMIT 1"
                }
            })?
            .query_row(params![route, self.now.as_millis()], |row| row.get(0))
            .optional()?;
        Ok(due.unwrap_or(i64::MAX))
    }

    fn start(
        &mut self,
        job: Waiting,
        route_number: i64,
        route: &Arc<str>,
        suspicion: Suspicion,
        terms: Terms,
        claims: &mut Claims,
    ) -> rusqlite::Result<()> {
        let Waiting { delivery, event, .. } = job;
        let attempt = job.attempts + 1;
        self.connection
            .prepare_cached(
                "UPDATE job SET state = 1, due = NULL, suspect = ?4, attempts = ?5, started_at = ?6, finished_at = NULL
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3",
            )?
            .execute(params![
                delivery,
                event,
                route_number,
                suspicion as i64,
                attempt,
                self.now.as_millis()
            ])?;
        self.count_job(Some(job.state), Some(JobState::Running));
        let token = NEXT_TOKEN.fetch_add(1, Ordering::Relaxed);
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
            (delivery, event, route_number),
            RunningJob { token, lease_until: terms.lease_until, suspicion },
            ClaimedJob {
                lease: Lease { delivery: id, event, route: route.clone(), token },
                source: self.memory.name(source).unwrap_or_default(),
                provider: self.memory.name(provider).unwrap_or_default(),
                data: event_data.data.of(&body),
                event: event_data,
                received_at: Timestamp::from_millis(received_at),
                content_type,
                attempt,
                replay: job.replays,
                crashes: job.crashes,
            },
        ));
        Ok(())
    }

    /// Records how an attempt ended. The caller has made sure that the job is still this attempt's.
    pub(super) fn settle(&mut self, key: JobKey, outcome: &Outcome) -> rusqlite::Result<bool> {
        let now = self.now.as_millis();
        let (state, due, finished, error) = match outcome {
            Outcome::Done => (JobState::Done, None, Some(now), None),
            Outcome::Retry { after, error } => {
                (JobState::Retrying, Some(self.now.plus(*after).as_millis()), None, Some(error))
            }
            Outcome::Dead { error } => (JobState::Dead, None, Some(now), Some(error)),
            Outcome::Discarded { reason } => (JobState::Discarded, None, Some(now), Some(reason)),
            Outcome::Released => return self.release(key),
        };
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE job SET state = ?4, due = ?5, suspect = 0, finished_at = ?6, error = ?7
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3 AND state = 1",
            )?
            .execute(params![key.0, key.1, key.2, state as i64, due, finished, error])?;
        if changed == 0 {
            return Ok(false);
        }
        if state != JobState::Done {
            let outcome = if state == JobState::Retrying { "retry" } else { state.as_str() };
            self.record_attempt(key, outcome)?;
        }
        if let Some(due) = due {
            self.waits(key.2, due);
        }
        self.count_job(Some(JobState::Running), Some(state));
        Ok(true)
    }

    /// Puts a job back as if it had not been claimed.
    pub(super) fn release(&mut self, key: JobKey) -> rusqlite::Result<bool> {
        let now = self.now.as_millis();
        let changed = self
            .connection
            .prepare_cached(
                "UPDATE job SET state = iif(attempts > 1 OR error IS NOT NULL, 2, 0), due = ?4, attempts = attempts - 1,
                     suspect = min(suspect, 1)
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3 AND state = 1 RETURNING state, suspect",
            )?
            .query_row(params![key.0, key.1, key.2, now], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((state, suspect)): Option<(i64, bool)> = changed else { return Ok(false) };
        if suspect {
            self.suspect_waits(key.2, now);
        } else {
            self.waits(key.2, now);
        }
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
        if let Some(due) = due {
            self.suspect_waits(key.2, due);
        }
        self.count_job(Some(JobState::Running), Some(state));
        Ok(())
    }

    /// All jobs that the file says are running.
    pub(super) fn running_jobs(&self) -> rusqlite::Result<Vec<JobKey>> {
        self.connection
            .prepare_cached("SELECT delivery, event, route FROM job WHERE state = 1 AND state NOT IN (0, 3)")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect()
    }
}

impl Memory {
    /// The row of the job that a lease is for.
    pub(super) fn key_of(&self, lease: &Lease) -> Option<JobKey> {
        Some((row::to_sql(lease.delivery.seq()), lease.event, self.number(&lease.route)?))
    }
}
