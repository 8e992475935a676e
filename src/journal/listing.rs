//! What listings have in common, wherever the deliveries are stored: how far a page reaches, what fits a filter, and
//! how a cursor says where the next page begins.

use std::fmt::Display;

use super::{
    AttemptRecord, DeliveryState, DeliverySummary, Filter, ItemState, JobRecord, JobState, Page, StoreError,
};
use crate::delivery::JobId;

/// How many deliveries one page looks at, at most.
pub(super) const LOOK_AT: usize = 5_000;
/// How many a page holds if nothing else is asked, and at most.
const LIMITS: (usize, usize) = (50, 500);

/// How many items a page of this listing holds at most.
pub(super) fn limit(filter: &Filter) -> usize {
    if filter.limit == 0 { LIMITS.0 } else { filter.limit.min(LIMITS.1) }
}

/// Where a listing goes on after it was walked along. `P` is a delivery's place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<P> {
    /// The page is full.
    Full,
    /// The page has looked at as many deliveries as it may, this one being the last.
    Below(P),
    /// There are no more.
    End,
}

/// A page being made: takes deliveries that fit the filter, the newest first.
pub(super) trait Gather<P>: Send {
    /// Takes what it wants of a delivery; `false` if it had no room for all of it.
    fn take(&mut self, place: P, summary: DeliverySummary) -> bool;
}

/// A page of deliveries.
pub(super) struct Deliveries<P> {
    limit: usize,
    items: Vec<(P, DeliverySummary)>,
}

impl<P: Copy + Display> Deliveries<P> {
    /// An empty page, and below which place it begins, if not at the newest delivery. `parse` reads what a place's
    /// `Display` wrote.
    pub(super) fn begin(
        filter: &Filter,
        parse: impl Fn(&str) -> Option<P>,
    ) -> Result<(Self, Option<P>), StoreError> {
        let begin = |cursor: &String| parse(cursor).ok_or_else(|| unknown_cursor(cursor));
        let below = filter.cursor.as_ref().map(begin).transpose()?;
        Ok((Self { limit: limit(filter), items: Vec::new() }, below))
    }

    /// The page as it is shown.
    pub(super) fn page(self, next: Next<P>) -> Page<DeliverySummary> {
        let next = match next {
            // The one that found no room comes first on the next page.
            Next::Full => self.items.last().map(|(place, _)| place.to_string()),
            Next::Below(place) => Some(place.to_string()),
            Next::End => None,
        };
        Page { items: self.items.into_iter().map(|(_, summary)| summary).collect(), next }
    }
}

impl<P: Send> Gather<P> for Deliveries<P> {
    fn take(&mut self, place: P, summary: DeliverySummary) -> bool {
        if self.items.len() == self.limit {
            return false;
        }
        self.items.push((place, summary));
        true
    }
}

/// Where a page of jobs begins: below a delivery, or within it behind one of its jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin<P> {
    Newest,
    Below(P),
    Within(P),
}

/// A page of jobs. Its cursors name the last job shown, because a page may end in the middle of a delivery.
pub(super) struct Jobs<'a, P> {
    filter: &'a Filter,
    limit: usize,
    /// The last job that the page before this one showed.
    shown: Option<JobId>,
    items: Vec<(P, JobRecord)>,
}

impl<'a, P: Copy + Display> Jobs<'a, P> {
    /// An empty page, and where it begins.
    pub(super) fn begin(
        filter: &'a Filter,
        parse: impl Fn(&str) -> Option<P>,
    ) -> Result<(Self, Begin<P>), StoreError> {
        let (mut shown, mut begin) = (None, Begin::Newest);
        if let Some(cursor) = &filter.cursor {
            begin = match cursor.split_once('.') {
                None => parse(cursor).map(Begin::Below),
                Some((place, job)) => {
                    shown = job.parse().ok();
                    parse(place).filter(|_| shown.is_some()).map(Begin::Within)
                }
            }
            .ok_or_else(|| unknown_cursor(cursor))?;
        }
        Ok((Self { filter, limit: limit(filter), shown, items: Vec::new() }, begin))
    }

    /// The page as it is shown.
    pub(super) fn page(self, next: Next<P>) -> Page<JobRecord> {
        let next = match next {
            Next::Full => self.items.last().map(|(place, job)| format!("{place}.{}", job.id)),
            Next::Below(place) => Some(place.to_string()),
            Next::End => None,
        };
        Page { items: self.items.into_iter().map(|(_, job)| job).collect(), next }
    }
}

impl<P: Copy + Send> Gather<P> for Jobs<'_, P> {
    fn take(&mut self, place: P, summary: DeliverySummary) -> bool {
        let mut jobs = summary.jobs;
        if let Some(shown) = self.shown.take().and_then(|last| jobs.iter().position(|job| job.id == last)) {
            jobs.drain(..=shown);
        }
        for job in jobs.into_iter().filter(|job| job_fits(self.filter, job)) {
            if self.items.len() == self.limit {
                return false;
            }
            self.items.push((place, job));
        }
        true
    }
}

/// What is said of a cursor that makes no sense.
pub(super) fn unknown_cursor(cursor: &str) -> StoreError {
    StoreError::Invalid(format!("cursor {cursor:?} was not given out by this listing; begin without one"))
}

/// Whether a job of a delivery that fits is meant by the filter itself.
pub(super) fn job_fits(filter: &Filter, job: &JobRecord) -> bool {
    let state = match filter.state {
        Some(ItemState::Job(state)) => job.state == state,
        _ => true,
    };
    state && filter.kind.as_ref().is_none_or(|kind| kind.matches(&job.kind))
}

/// Whether a delivery fits a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    No,
    /// All but the text fits, which may stand in the body.
    IfInBody,
    Yes,
}

/// Whether what does not change about a delivery fits: a first look that needs none of its jobs.
pub(super) fn may_fit(filter: &Filter, summary: &DeliverySummary) -> bool {
    let state = match filter.state {
        Some(ItemState::Delivery(state)) => summary.state == state,
        Some(ItemState::Unrouted) => {
            summary.state == DeliveryState::Accepted && summary.events.iter().any(|event| event.unrouted)
        }
        Some(ItemState::Job(_)) | None => true,
    };
    state
        && filter.since.is_none_or(|since| summary.received_at >= since)
        && filter.source.as_ref().is_none_or(|source| *source == summary.source)
        && filter
            .kind
            .as_ref()
            .is_none_or(|kind| summary.events.iter().any(|event| kind.matches(&event.kind)))
}

/// Whether a delivery fits, as far as can be told without its body.
pub(super) fn fit(filter: &Filter, summary: &DeliverySummary) -> Fit {
    let state = match filter.state {
        Some(ItemState::Job(state)) => summary.jobs.iter().any(|job| job.state == state),
        _ => true,
    };
    if !(state && may_fit(filter, summary)) {
        return Fit::No;
    }
    let Some(text) = &filter.text else { return Fit::Yes };
    let in_summary = summary.id.to_string() == *text
        || summary.sender_id.as_ref().is_some_and(|id| id.contains(text))
        || summary.events.iter().any(|event| {
            event.id.to_string() == *text
                || event.subject.as_ref().is_some_and(|subject| subject.contains(text))
        })
        || summary.jobs.iter().any(|job| job.id.to_string() == *text);
    if in_summary { Fit::Yes } else { Fit::IfInBody }
}

/// All attempts, the oldest first, out of the recorded ones and the jobs: the last successful attempt stands in its
/// job alone.
pub(super) fn history(mut recorded: Vec<AttemptRecord>, jobs: &[JobRecord]) -> Vec<AttemptRecord> {
    recorded.extend(jobs.iter().filter(|job| job.state == JobState::Done).filter_map(|job| {
        Some(AttemptRecord {
            job_id: job.id,
            route: job.route.clone(),
            number: job.attempts,
            replay: job.replays,
            started_at: job.started_at?,
            finished_at: job.finished_at?,
            outcome: "done".into(),
            error: None,
        })
    }));
    recorded.sort_by_key(|attempt| (attempt.started_at, attempt.finished_at));
    recorded
}
