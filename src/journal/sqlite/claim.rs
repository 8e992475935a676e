//! Leases: who may run a job now.

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
    session::{Frequent, Memory, Session, job_state},
};
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{ClaimedJob, Demand, JobState, Lease},
};

/// Tells the attempts of this process apart. Leases end with the process, so nothing else has to be told apart.
static NEXT_TOKEN: AtomicU64 = AtomicU64::new(1);

/// A token that this process has never given before.
pub(super) fn next_token() -> u64 {
    NEXT_TOKEN.fetch_add(1, Ordering::Relaxed)
}

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
    pub(super) fn announce(&mut self, demand: &dyn Demand, route: usize, jobs: usize) {
        demand.claimed(route, jobs);
        self.announced.push((route, jobs));
    }

    /// Takes the announcements back: the claims did not come to be.
    pub(super) fn revoke(&self, demand: &dyn Demand) {
        for &(route, jobs) in &self.announced {
            demand.not_claimed(route, jobs);
        }
    }

    /// Whether such a job runs, or is about to.
    pub(super) fn any(&self, running: &Running, suspicion: Suspicion) -> bool {
        let claimed = self.jobs.iter().map(|(_, job, _)| job);
        running.values().chain(claimed).any(|job| job.suspicion == suspicion)
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
        claims.held_up = false;
        if claims.any(running, Suspicion::Alone) {
            return Ok(());
        }
        if !claims.any(running, Suspicion::Suspect) && !self.claim_suspect(demand, running, terms, claims)? {
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
            let mut started = 0;
            for job in &waiting {
                started += self.start(job, route, route_name, Suspicion::None, terms, claims)?;
            }
            claims.announce(demand, index, started);
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
        if alone && !(running.is_empty() && claims.jobs.is_empty()) {
            claims.held_up = true;
            return Ok(false);
        }
        let suspicion = if alone { Suspicion::Alone } else { Suspicion::Suspect };
        let started = self.start(&job, route, &demand.routes()[index], suspicion, terms, claims)?;
        claims.announce(demand, index, started);
        Ok(!alone || started == 0)
    }

    fn due_jobs(&mut self, queue: Queue, route: i64, limit: usize) -> rusqlite::Result<Vec<Waiting>> {
        let due = self.statements.get(match queue {
            Queue::Normal => Frequent::Due,
            Queue::Suspects => Frequent::SuspectsDue,
        })?;
        // Read as far as needed rather than with a `LIMIT ?`: `SQLite` compiles a statement anew whenever the value of
        // its limit changes.
        due.query_map(params![route, self.now.as_millis()], |row| {
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
        .take(limit)
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
                    "SELECT due FROM job WHERE route = ?1 AND due > ?2 AND suspect = 1 ORDER BY due LIMIT 1"
                }
            })?
            .query_row(params![route, self.now.as_millis()], |row| row.get(0))
            .optional()?;
        Ok(due.unwrap_or(i64::MAX))
    }

    /// Starts a job, and returns how many that were: none if its delivery can't be read. Such a job would fail every
    /// claim for ever, so it is dead.
    fn start(
        &mut self,
        job: &Waiting,
        route_number: i64,
        route: &Arc<str>,
        suspicion: Suspicion,
        terms: Terms,
        claims: &mut Claims,
    ) -> rusqlite::Result<usize> {
        let key = (job.delivery, job.event, route_number);
        let (id, claimed) = match self.read_out(job) {
            Ok(read) => read,
            Err(error) if row::is_unreadable(&error) => {
                self.bury(key, job.state, &error)?;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        self.statements.get(Frequent::Start)?.execute(params![
            job.delivery,
            job.event,
            route_number,
            suspicion as i64,
            job.attempts + 1,
            self.now.as_millis()
        ])?;
        self.count_job(Some(job.state), Some(JobState::Running));
        let token = next_token();
        let lease = Lease { delivery: id, event: job.event, route: route.clone(), token };
        let running = RunningJob { token, lease_until: terms.lease_until, suspicion };
        claims.jobs.push((key, running, claimed(lease)));
        Ok(1)
    }

    /// What a job's delivery holds for its handler, and whose it is. The lease is what is still missing.
    fn read_out(
        &mut self,
        job: &Waiting,
    ) -> rusqlite::Result<(DeliveryId, impl FnOnce(Lease) -> ClaimedJob + use<>)> {
        let memory = &*self.memory;
        let (attempt, replay, crashes) = (job.attempts + 1, job.replays, job.crashes);
        self.statements.get(Frequent::ReadDelivery)?.query_row([job.delivery], |row| {
            let events = decode(row.get_ref(5)?.as_str()?)?;
            let event = usize::try_from(job.event).ok().and_then(|at| events.into_iter().nth(at));
            let event =
                event.ok_or(rusqlite::Error::IntegralValueOutOfRange(5, job.event.into()))?.into_event();
            let body = bytes::Bytes::copy_from_slice(row.get_ref(6)?.as_blob()?);
            let data = event.data.of(&body);
            let name = |column| Ok::<_, rusqlite::Error>(memory.name(row.get(column)?).unwrap_or_default());
            let (source, provider) = (name(1)?, name(2)?);
            let received_at = Timestamp::from_millis(row.get(3)?);
            let content_type = row.get(4)?;
            let claimed = move |lease| ClaimedJob {
                lease,
                source,
                provider,
                event,
                received_at,
                content_type,
                data,
                attempt,
                replay,
                crashes,
            };
            Ok((DeliveryId::from_bytes(row.get(0)?), claimed))
        })
    }
}

impl Memory {
    /// The row of the job that a lease is for.
    pub(super) fn key_of(&self, lease: &Lease) -> Option<JobKey> {
        Some((row::to_sql(lease.delivery.seq()), lease.event, self.number(&lease.route)?))
    }
}
