//! How an attempt ends: settled, given back, or cut short by a crash.

use rusqlite::{OptionalExtension, params};

use super::{
    claim::{JobKey, Suspicion},
    session::{Frequent, Session, job_state},
};
use crate::journal::{JobState, Outcome};

impl Session<'_> {
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
        let changed = self.statements.get(Frequent::Settle)?.execute(params![
            key.0,
            key.1,
            key.2,
            state as i64,
            due,
            finished,
            error
        ])?;
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

    /// Gives up a waiting job whose delivery can't be read.
    pub(super) fn bury(
        &mut self,
        key: JobKey,
        state: JobState,
        reason: &rusqlite::Error,
    ) -> rusqlite::Result<()> {
        let error = format!(
            "what the journal holds of this job's delivery can't be read ({reason}), so it was not run; if the sender \
             has the delivery still, have it sent again under another id"
        );
        tracing::error!(delivery = key.0, event = key.1, %error, "a job is dead");
        self.connection
            .prepare_cached(
                "UPDATE job SET state = ?4, due = NULL, suspect = 0, finished_at = ?5, error = ?6
                 WHERE delivery = ?1 AND event = ?2 AND route = ?3",
            )?
            .execute(params![key.0, key.1, key.2, JobState::Dead as i64, self.now.as_millis(), error])?;
        self.count_job(Some(state), Some(JobState::Dead));
        Ok(())
    }
}
