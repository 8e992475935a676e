//! The leases of the jobs that run, which the writer keeps in memory.

use std::time::Duration;

use super::Writer;
use crate::journal::{
    Lease,
    sqlite::{
        claim::{JobKey, Running, RunningJob},
        session::Session,
    },
};

impl Writer {
    pub(super) fn renew(&mut self, lease: &Lease, until: Duration) -> bool {
        let running = self.memory.key_of(lease).and_then(|key| self.running.get_mut(&key));
        match running {
            Some(job) if job.token == lease.token => {
                job.lease_until = until;
                true
            }
            _ => false,
        }
    }

    /// Takes back the jobs whose lease ran out.
    pub(super) fn expire_leases(&mut self) -> rusqlite::Result<()> {
        let now = self.clock.monotonic();
        let expired: Vec<_> =
            self.running.iter().filter(|(_, job)| job.lease_until <= now).map(|(key, _)| *key).collect();
        if !expired.is_empty() {
            tracing::warn!(
                jobs = expired.len(),
                "leases ran out: their workers died or stalled; the jobs run again"
            );
            let max_crashes = self.options.max_crashes;
            self.transaction(|session| {
                expired.iter().try_for_each(|key| session.recover_crashed(*key, max_crashes))
            })?;
            for key in &expired {
                self.running.remove(key);
            }
            // One of them may have been what the others were waiting for.
            self.held_up = false;
        }
        self.leases_until = self.running.values().map(|job| job.lease_until).min().unwrap_or(Duration::MAX);
        Ok(())
    }

    /// Takes back every job that the file calls running and this process does not run.
    pub(super) fn recover(
        &mut self,
        mut how: impl FnMut(&mut Session<'_>, JobKey) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let running = std::mem::take(&mut self.running);
        let result = self.transaction(|session| {
            let strays: Vec<_> =
                session.running_jobs()?.into_iter().filter(|key| !running.contains_key(key)).collect();
            strays.into_iter().try_for_each(|key| how(session, key))
        });
        self.running = running;
        result
    }
}

/// Takes a job out of those that run, if it is this lease's.
pub(super) fn take_leased(running: &mut Running, key: JobKey, lease: &Lease) -> Option<RunningJob> {
    running.get(&key).is_some_and(|job| job.token == lease.token).then(|| running.remove(&key))?
}
