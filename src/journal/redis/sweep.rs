//! Deletes what is older than it may be, a bounded step at a time.
//!
//! Two hands go round in each lane: one over the deliveries in the order of arrival, one over the dedupe keys. Where they
//! are stands in Redis, and so does which host moves them: one host sweeps a lane, whatever their number, and another one
//! takes over when nothing was heard of it. A hand that has come round rests until all of the host's lanes have.

use std::{sync::LazyLock, time::Duration};

use futures_util::future::{join_all, try_join_all};

use super::{
    Redis, answer,
    find::{Head, heads},
    link::{LinkError, Script},
    script,
};
use crate::{
    clock::Timestamp,
    journal::{DeliveryState, JobState, Retention, StoreError, Swept},
};

static OLD: LazyLock<Script> = script!("sweep_old", allow_oom);
static DROP: LazyLock<Script> = script!("sweep_drop", allow_oom);
static KEYS: LazyLock<Script> = script!("sweep_keys", allow_oom);
static ROUND: LazyLock<Script> = script!("sweep_round", allow_oom);

/// How many deliveries of a lane one step looks at, and how many of its dedupe keys, about. At a step a second, a million
/// deliveries with two keys each are gone over in a few hours.
const STEP: (usize, usize) = (100, 500);
/// Where a step deletes fewer than one in so many, there is no hurry with the next one.
const FEW: usize = 8;
/// When nothing was heard for so long of the host that sweeps a lane, another one does. Longer than a host rests.
const LEFT_TO_ONE: Duration = Duration::from_secs(90);
/// How many jobs one call deletes, unless a single delivery has more.
const JOBS_AT_ONCE: usize = 500;

impl Redis {
    /// Deletes one bounded step's worth in each lane that no other host sweeps.
    pub(super) async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        let steps = (0..self.lanes()).map(|lane| async move {
            let step = self.sweep_lane(lane, retention).await?;
            Ok::<_, LinkError>(step.map(|step| (lane, step)))
        });
        // Not in haste: a lane in trouble must not keep the others from their step.
        let steps: Vec<_> = join_all(steps).await.into_iter().collect::<Result<_, _>>()?;
        let ours: Vec<_> = steps.into_iter().flatten().collect();
        let mut swept = Swept { finished: true, no_hurry: true, ..Swept::default() };
        for (_, step) in &ours {
            swept.deliveries += step.deliveries;
            swept.dedupe_keys += step.dedupe_keys;
            swept.finished &= step.finished;
            swept.no_hurry &= step.no_hurry;
        }
        if swept.finished {
            try_join_all(ours.iter().map(|(lane, _)| self.core.run(*lane, &ROUND, &[]))).await?;
        }
        Ok(swept)
    }

    /// `None` if another host sweeps this lane.
    async fn sweep_lane(&self, lane: u32, retention: Retention) -> Result<Option<Swept>, LinkError> {
        let Some(deliveries) = self.sweep_deliveries(lane, retention).await? else { return Ok(None) };
        let step = STEP.1.to_string();
        let [dedupe_keys, finished] = answer::fixed(self.core.run(lane, &KEYS, &[step.as_bytes()]).await?)?;
        let dedupe_keys = usize::try_from(answer::uint(&dedupe_keys)?).unwrap_or(usize::MAX);
        let no_hurry = deliveries < STEP.0 / FEW && dedupe_keys < STEP.1 / FEW;
        Ok(Some(Swept { deliveries, dedupe_keys, finished: answer::uint(&finished)? == 1, no_hurry }))
    }

    async fn sweep_deliveries(&self, lane: u32, retention: Retention) -> Result<Option<usize>, LinkError> {
        let ages = [retention.done, retention.failed];
        let least =
            ages.into_iter().flatten().min().map(|age| age.as_millis().to_string()).unwrap_or_default();
        let (step, left) = (STEP.0.to_string(), LEFT_TO_ONE.as_millis().to_string());
        let args = [&least, &step, self.core.host(), &left].map(str::as_bytes);
        let [now, passed, ours] = answer::fixed(self.core.run(lane, &OLD, &args).await?)?;
        if answer::uint(&ours)? == 0 {
            return Ok(None);
        }
        let now = Timestamp::from_millis(answer::int(&now)?);
        let mut old = Vec::new();
        for (id, text) in heads(passed)? {
            match Head::read(lane, id, text) {
                Ok(head) => old.push(head),
                // Nobody can say what else belongs to it, so it stays.
                Err(error) => tracing::warn!(delivery = %id, %error, "a delivery is left out of the sweep"),
            }
        }
        self.load_jobs(&mut old).await?;
        old.retain(|head| is_over(head, retention, now));
        self.drop_deliveries(lane, &old).await.map(Some)
    }

    /// Deletes those that are still as they were read.
    async fn drop_deliveries(&self, lane: u32, heads: &[Head]) -> Result<usize, LinkError> {
        let mut dropped = 0;
        let mut args = Vec::new();
        let mut jobs = 0;
        for (at, head) in heads.iter().enumerate() {
            jobs += describe(head, &mut args);
            if jobs >= JOBS_AT_ONCE || at + 1 == heads.len() {
                let all: Vec<_> = args.iter().map(Vec::as_slice).collect();
                dropped += answer::uint(&self.core.run(lane, &DROP, &all).await?)?;
                args.clear();
                jobs = 0;
            }
        }
        Ok(usize::try_from(dropped).unwrap_or(usize::MAX))
    }
}

/// Adds to the arguments what has to be deleted with a delivery, and as what it was read. Returns how many jobs it has.
fn describe(head: &Head, args: &mut Vec<Vec<u8>>) -> usize {
    let jobs = head.jobs.len();
    args.extend([head.id().as_bytes().to_vec(), head.text.clone(), jobs.to_string().into()]);
    for (event, job) in &head.jobs {
        let state = (job.state as u8).to_string();
        args.extend([
            event.to_string().into(),
            (*job.route).into(),
            job.id.as_bytes().to_vec(),
            state.into(),
        ]);
    }
    jobs
}

/// Whether a delivery has ended, and longer ago than it is kept.
fn is_over(head: &Head, retention: Retention, now: Timestamp) -> bool {
    let jobs = || head.jobs.iter().map(|(_, job)| job);
    let ended = |state| matches!(state, JobState::Done | JobState::Dead | JobState::Discarded);
    if !jobs().all(|job| ended(job.state)) {
        return false;
    }
    let failed = head.summary.state == DeliveryState::Quarantined
        || head.unrouted > 0
        || jobs().any(|job| job.state == JobState::Dead);
    let kept: Option<Duration> = if failed { retention.failed } else { retention.done };
    // It has ended when its last job has; one without jobs, when it came.
    let ended_at = jobs().filter_map(|job| job.finished_at).fold(head.summary.received_at, Timestamp::max);
    kept.is_some_and(|kept| ended_at < now.minus(kept))
}
