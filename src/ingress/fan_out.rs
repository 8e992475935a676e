//! Which routes get an event.

use std::sync::Arc;

use crate::{
    journal::NewEvent,
    provider::ParsedEvent,
    route::{Pattern, Route},
};

/// The routes that listen to one source: for deliveries that come in, and for stored ones that are routed afresh.
#[derive(Debug, Clone, Default)]
pub(crate) struct FanOut(Vec<(Arc<str>, Vec<Pattern>)>);

impl FanOut {
    /// Of all routes, those that listen to this source.
    pub(crate) fn of(routes: &[Route], source: &str) -> Self {
        let listening = routes.iter().filter(|route| route.sources.matches(source));
        Self(listening.map(|route| (route.name.as_str().into(), route.events.clone())).collect())
    }

    /// Each event with the routes that want it.
    pub(crate) fn events(&self, events: Vec<ParsedEvent>) -> Vec<NewEvent> {
        events
            .into_iter()
            .map(|event| {
                let wanting = self
                    .0
                    .iter()
                    .filter(|(_, patterns)| patterns.iter().any(|pattern| pattern.matches(&event.kind)));
                let routes = wanting.map(|(name, _)| name.clone()).collect();
                NewEvent { event, routes }
            })
            .collect()
    }
}
