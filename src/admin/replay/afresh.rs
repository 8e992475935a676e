//! Reading and routing a kept delivery once more.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::{
    super::{AdminContext, problem::Problem, view::Replayed},
    plan::Wanted,
};
use crate::{
    ingress::FanOut,
    journal::{DeliveryRecord, DeliveryState, DeliverySummary, EventRecord, NewEvent, StoreError},
    provider::{Parsed, ParsedEvent, Request},
};

/// Why a delivery can't be read or routed afresh.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Trouble {
    #[error("its source {0:?} is no longer configured; configure it again to have the delivery read afresh")]
    NoSource(String),
    #[error("it still can't be read: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Trouble> for Problem {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::NoSource(_) => Self::conflict(trouble.to_string()),
            Trouble::Unreadable(_) => Self::new(StatusCode::UNPROCESSABLE_ENTITY, trouble.to_string()),
            Trouble::Store(error) => error.into(),
        }
    }
}

/// Whether the delivery, or a wanted event of it, has found no route yet.
pub(super) fn is_needed(summary: &DeliverySummary, wanted: &Wanted) -> bool {
    if wanted.job.is_some() || wanted.state.is_some() {
        return false;
    }
    match summary.state {
        DeliveryState::Quarantined => true,
        DeliveryState::Accepted => {
            summary.events.iter().any(|event| event.unrouted && is_wanted(event, wanted))
        }
        DeliveryState::Test => false,
    }
}

fn is_wanted(event: &EventRecord, wanted: &Wanted) -> bool {
    wanted.event.is_none_or(|id| id == event.id)
        && wanted.kind.as_ref().is_none_or(|kind| kind.matches(&event.kind))
}

/// Reads and routes the delivery afresh, as far as it is wanted. Events that have found their routes keep to them: a
/// replay repeats what was meant to happen, it does not hand old events to routes that came later.
pub(super) async fn route(
    context: &AdminContext,
    record: &DeliveryRecord,
    wanted: &Wanted,
) -> Result<Replayed, Trouble> {
    let summary = &record.summary;
    let mut unrouted = 0;
    let mut changed = summary.state == DeliveryState::Quarantined;
    let events = read(context, record)?.into_iter().enumerate().map(|(index, event)| {
        let known = summary.events.get(index);
        let routes = match known {
            Some(known) if !known.unrouted || !is_wanted(known, wanted) => routes_of(summary, known),
            _ => {
                let routes = routes_for(context, summary, &event, wanted);
                unrouted += usize::from(routes.is_empty());
                changed |= !routes.is_empty();
                routes
            }
        };
        NewEvent { event, routes }
    });
    let events = events.collect();
    let replayed = if changed { context.store.reroute(summary.id, events).await? } else { 0 };
    Ok(Replayed { replayed, unrouted, ..Replayed::default() })
}

/// The origin was proved when the delivery came in; only its content is looked at again.
fn read(context: &AdminContext, record: &DeliveryRecord) -> Result<Vec<ParsedEvent>, Trouble> {
    let name = &record.summary.source;
    let source = context.sources.get(name).ok_or_else(|| Trouble::NoSource(name.clone()))?;
    let headers: HeaderMap = record
        .headers
        .iter()
        .filter_map(|(name, value)| {
            Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        })
        .collect();
    let path_secret_matched = !source.path_secrets.is_empty();
    let request = Request { path_secret_matched, ..Request::new(&headers, &record.body) };
    match source.provider.parse(&request) {
        Ok(Parsed::Events { events, .. }) => Ok(events),
        Ok(Parsed::Test) => {
            Err(Trouble::Unreadable("it reads as the sender's test, which holds no events".into()))
        }
        Err(unparsable) => Err(Trouble::Unreadable(unparsable.reason)),
    }
}

/// The routes that the event has found.
fn routes_of(summary: &DeliverySummary, event: &EventRecord) -> Vec<Arc<str>> {
    summary.jobs.iter().filter(|job| job.event_id == event.id).map(|job| job.route.as_str().into()).collect()
}

/// Those of today's routes that get the event, as far as they are wanted.
fn routes_for(
    context: &AdminContext,
    summary: &DeliverySummary,
    event: &ParsedEvent,
    wanted: &Wanted,
) -> Vec<Arc<str>> {
    let mut routes = FanOut::of(&context.routes, &summary.source).routes(&event.kind);
    routes.retain(|route| wanted.route.as_ref().is_none_or(|name| **name == **route));
    routes
}
