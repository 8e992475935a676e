//! Which routes get an event.

use std::sync::Arc;

use crate::{
    journal::NewEvent,
    provider::ParsedEvent,
    route::{Pattern, Route},
};

/// The routes that listen to one source: for deliveries that come in, and for stored ones that are routed afresh.
#[derive(Debug, Clone, Default)]
pub(crate) struct FanOut {
    routes: Vec<Listening>,
    /// Those that get what none of the others wants.
    fallbacks: Vec<Listening>,
}

#[derive(Debug, Clone)]
struct Listening {
    route: Arc<str>,
    events: Vec<Pattern>,
}

impl FanOut {
    /// Of all routes, those that listen to this source.
    pub(crate) fn of(routes: &[Route], source: &str) -> Self {
        let listening = |fallback| {
            let routes =
                routes.iter().filter(|route| route.fallback == fallback && route.sources.matches(source));
            routes
                .map(|route| Listening { route: route.name.as_str().into(), events: route.events.clone() })
                .collect()
        };
        Self { routes: listening(false), fallbacks: listening(true) }
    }

    /// Each event with the routes that get it.
    pub(crate) fn events(&self, events: Vec<ParsedEvent>) -> Vec<NewEvent> {
        events.into_iter().map(|event| NewEvent { routes: self.routes(&event.kind), event }).collect()
    }

    /// The names of the routes that get an event of this kind.
    pub(crate) fn routes(&self, kind: &str) -> Vec<Arc<str>> {
        let wanting = |listening: &[Listening]| -> Vec<_> {
            let wanting = listening.iter().filter(|it| it.events.iter().any(|pattern| pattern.matches(kind)));
            wanting.map(|it| it.route.clone()).collect()
        };
        let routes = wanting(&self.routes);
        if routes.is_empty() { wanting(&self.fallbacks) } else { routes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fallback_gets_what_no_other_route_of_the_source_wants() {
        let fallback = |name: &str, source, pattern| Route {
            name: name.into(),
            fallback: true,
            ..Route::new(source, pattern)
        };
        let routes = [
            fallback("rest", "*", "*"),
            Route::new("cafe", "stock.*"),
            Route::new("cafe", "*.changed"),
            Route::new("erp", "product.*"),
            fallback("late-stock", "cafe", "stock.*"),
            fallback("late-orders", "cafe", "order.*"),
        ];
        for (source, kind, expected) in [
            ("cafe", "stock.changed", &["cafe:stock.*", "cafe:*.changed"][..]),
            ("cafe", "stock.removed", &["cafe:stock.*"]),
            ("cafe", "product.added", &["rest"]),
            ("cafe", "order.added", &["rest", "late-orders"]),
            ("erp", "product.added", &["erp:product.*"]),
            ("erp", "stock.changed", &["rest"]),
        ] {
            let routes = FanOut::of(&routes, source).routes(kind);
            assert_eq!(routes.iter().map(|name| &**name).collect::<Vec<_>>(), expected, "{kind} of {source}");
        }
    }
}
