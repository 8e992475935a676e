//! Which jobs of a delivery a replay or a discard may touch; the same in every store.

use super::{JobState, ReplayJobs};
use crate::delivery::JobId;

/// Whether a job may be queued again: it has ended, or waits for another attempt.
fn is_idle(state: JobState) -> bool {
    matches!(state, JobState::Done | JobState::Dead | JobState::Discarded | JobState::Retrying)
}

/// Whether a job may be given up: it waits, or is a dead letter.
pub(super) fn is_discardable(state: JobState) -> bool {
    matches!(state, JobState::Queued | JobState::Retrying | JobState::Dead)
}

/// Those jobs of a delivery that are to be queued again. `look` says of a job its id, route and state.
pub(super) fn chosen<J>(
    which: &ReplayJobs,
    mut jobs: Vec<J>,
    look: impl for<'a> Fn(&'a J) -> (JobId, &'a str, JobState),
) -> Vec<J> {
    match which {
        ReplayJobs::One(wanted) => jobs.retain(|job| look(job).0 == *wanted),
        ReplayJobs::InState(wanted) => jobs.retain(|job| look(job).2 == *wanted),
        ReplayJobs::Unfinished { route } => {
            jobs.retain(|job| route.as_ref().is_none_or(|route| *route == look(job).1));
            if jobs.iter().any(|job| look(job).2 != JobState::Done) {
                jobs.retain(|job| look(job).2 != JobState::Done);
            }
        }
    }
    jobs.retain(|job| is_idle(look(job).2));
    jobs
}
