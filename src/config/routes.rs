//! `[[route]]`: which events go where, and how their jobs are tried.

use std::{collections::HashMap, time::Duration};

use super::{
    entry::{Text, Value, Zero},
    reader::Table,
    sources::SourceConfig,
    targets::{self, TARGETS, TargetConfig},
    value::{self, ROUTE_NAME, list, near, show_duration},
};
use crate::{
    route::{Pattern, RetryPolicy, Route, SourceFilter},
    source::mismatch,
};

/// A route of the configuration: which events, and where they go.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RouteConfig {
    /// Which events, and how their jobs are tried.
    pub route: Route,
    /// Where they go.
    pub target: TargetConfig,
}

pub(super) fn read(
    tables: Vec<Table<'_, '_>>,
    sources: &[SourceConfig],
    declared: &[String],
    queue_in_redis: bool,
) -> Vec<RouteConfig> {
    let mut lines = HashMap::new();
    tables
        .into_iter()
        .filter_map(|table| {
            let route = read_one(&table, sources, declared, queue_in_redis);
            if let Some(name) = route.as_ref().map(|route| &route.route.name)
                && let Some(first) = lines.insert(name.clone(), table.line("name"))
            {
                table.problem(
                    "name",
                    format!("{name:?} is also the name of the route on line {first}; choose another"),
                );
            }
            table.finish();
            route
        })
        .collect()
}

fn read_one(
    table: &Table<'_, '_>,
    sources: &[SourceConfig],
    declared: &[String],
    queue_in_redis: bool,
) -> Option<RouteConfig> {
    let name = table
        .required("name", "add a name, such as name = \"stock-to-erp\": it is part of each job's id")
        .and_then(|it| it.parsed(ROUTE_NAME, value::route_name));
    let filter = table.get("source").map_or(SourceFilter::Any, |it| source_filter(&it, declared));
    let events = match table.get("events") {
        Some(value) => patterns(&value, &filter, sources, declared),
        None => vec![Pattern::new("*")],
    };
    let retry = table.get("retry").and_then(|it| retry(&it)).unwrap_or_default();
    let timeout =
        table.get("timeout").and_then(|it| it.duration(Zero::Refused)).unwrap_or(Route::DEFAULT_TIMEOUT);
    let fallback = table.get("fallback").and_then(|it| it.flag()).unwrap_or_default();
    let target = table
        .required("target", &format!("add one of {TARGETS}"))
        .and_then(|it| targets::read(&it, queue_in_redis));
    Some(RouteConfig {
        route: Route { name: name?, sources: filter, events, retry, timeout, fallback },
        target: target?,
    })
}

fn source_filter(value: &Value<'_, '_>, declared: &[String]) -> SourceFilter {
    let items = value.items();
    let names = value.texts("the name of a source, a list of names, or \"*\" for all");
    if names.iter().any(|name| name.value == "*") {
        if names.len() > 1 {
            value.problem("names sources beside \"*\"; expected either names, or \"*\" alone for all");
        }
        return SourceFilter::Any;
    }
    for (name, at) in names.iter().zip(&items) {
        if !declared.contains(&name.value) {
            let near = near(&name.value, declared.iter().map(String::as_str));
            let mend = if near.is_empty() {
                format!("the sources are: {}", list(declared.iter().map(String::as_str)))
            } else {
                format!("did you mean {}?", list(near))
            };
            at.problem(format!("there is no source {}; {mend}", name.shown));
        }
    }
    SourceFilter::Named(names.into_iter().map(|name| name.value).collect())
}

fn patterns(
    value: &Value<'_, '_>,
    filter: &SourceFilter,
    sources: &[SourceConfig],
    declared: &[String],
) -> Vec<Pattern> {
    let expected = "a pattern such as \"stock.*\", or a list of them; \"*\" alone stands for every event";
    let wanted: Vec<_> = sources.iter().filter(|it| filter.matches(&it.name)).map(|it| &it.source).collect();
    // A source that is itself wrong may send anything, for all that is known.
    let all_known = declared.iter().filter(|name| filter.matches(name)).count() == wanted.len();
    value
        .items()
        .iter()
        .zip(value.texts(expected))
        .map(|(at, Text { value: text, shown })| {
            let pattern = Pattern::new(text);
            if pattern.as_str().is_empty() {
                at.problem(format!("is empty; expected {expected}"));
            } else if let Some(wrong) = mismatch(&pattern, &wanted)
                && all_known
            {
                at.problem(format!("{shown} {wrong}"));
            }
            pattern
        })
        .collect()
}

fn retry(value: &Value<'_, '_>) -> Option<RetryPolicy> {
    let table = value.table("a table such as { max_attempts = 23, min = \"5s\", max = \"6h\" }")?;
    let default = RetryPolicy::default();
    let time = |key, or: Duration| table.get(key).and_then(|it| it.duration(Zero::Refused)).unwrap_or(or);
    let max_attempts =
        table.get("max_attempts").and_then(|it| it.count(1..=1000)).unwrap_or(default.max_attempts);
    let (min, max) = (time("min", default.min), time("max", default.max));
    if min > max {
        let (min, max) = (show_duration(min), show_duration(max));
        table.problem(
            "min",
            format!("{min} is longer than `max`, which is {max}; the delay grows from min to max"),
        );
    }
    table.finish();
    Some(RetryPolicy { max_attempts, min, max })
}
