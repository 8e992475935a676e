//! Which jobs of a delivery a replay means.

use crate::{
    Pattern,
    delivery::{EventId, JobId},
    journal::{JobRecord, JobState, ReplayJobs},
};

/// Which jobs are meant. Every condition that is set must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) route: Option<String>,
    pub(super) event: Option<EventId>,
    pub(super) job: Option<JobId>,
    pub(super) kind: Option<Pattern>,
    /// In this state; unset: those not done, or all, if all are done.
    pub(super) state: Option<JobState>,
}

impl Wanted {
    /// Whether the job is meant, its state left aside.
    pub(super) fn covers(&self, job: &JobRecord) -> bool {
        self.route.as_ref().is_none_or(|route| *route == job.route)
            && self.event.is_none_or(|event| event == job.event_id)
            && self.job.is_none_or(|id| id == job.id)
            && self.kind.as_ref().is_none_or(|kind| kind.matches(&job.kind))
    }
}

/// The steps that replay the wanted ones of a delivery's jobs: one for all of them where that is possible, else one
/// for each.
pub(super) fn steps(jobs: &[JobRecord], wanted: &Wanted) -> Vec<ReplayJobs> {
    let covered: Vec<_> = jobs.iter().filter(|job| wanted.covers(job)).collect();
    let all_done = covered.iter().all(|job| job.state == JobState::Done);
    let chosen: Vec<_> = covered
        .iter()
        .filter(|job| {
            wanted.state.map_or(all_done || job.state != JobState::Done, |state| state == job.state)
        })
        // These run anyway.
        .filter(|job| !matches!(job.state, JobState::Queued | JobState::Running))
        .collect();
    if chosen.is_empty() {
        return Vec::new();
    }
    let whole = covered.len() == jobs.len();
    let by_route = wanted.event.is_none() && wanted.job.is_none() && wanted.kind.is_none();
    match wanted.state {
        Some(state) if whole => vec![ReplayJobs::InState(state)],
        None if whole || by_route => vec![ReplayJobs::Unfinished { route: wanted.route.clone() }],
        _ => chosen.iter().map(|job| ReplayJobs::One(job.id)).collect(),
    }
}
