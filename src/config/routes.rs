//! `[[route]]`: which events go where, and how their jobs are tried.

use std::{collections::HashMap, fmt, num::NonZeroUsize, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use reqwest::Url;

use super::{
    entry::{Text, Value, Zero},
    reader::Table,
    secrets::secrets,
    sources::SourceConfig,
    value::{self, ROUTE_NAME, Rate, list, near, show_duration},
};
use crate::{
    provider::Secrets,
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

/// Where a route's events go.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetConfig {
    /// `{ http = "https://…" }`: each event is sent there by `POST`.
    Http(HttpTargetConfig),
    /// `{ exec = ["command", "argument"] }`: a process is started for each event, without a shell.
    Exec {
        /// The command and its arguments; never empty.
        command: Vec<String>,
        /// How many may run at once; `None`: the target's own default.
        concurrency: Option<NonZeroUsize>,
    },
    /// `{ log = {} }`: a line in the log for each event.
    Log,
}

/// An HTTP target.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpTargetConfig {
    /// Where to; http or https.
    pub url: String,
    /// The keys to sign with, as Standard Webhooks writes them (`whsec_` and base64); none: unsigned.
    pub secrets: Secrets,
    /// How many requests may be under way at once; `None`: the target's own default.
    pub concurrency: Option<NonZeroUsize>,
    /// How many requests may begin in a span of time; `None`: any number.
    pub rate: Option<Rate>,
}

impl fmt::Debug for HttpTargetConfig {
    /// Without the URL's user, path and query, any of which may be a secret of the called service's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTargetConfig")
            .field("origin", &self.origin())
            .field("secrets", &self.secrets)
            .field("concurrency", &self.concurrency)
            .field("rate", &self.rate)
            .finish_non_exhaustive()
    }
}

impl HttpTargetConfig {
    fn origin(&self) -> String {
        self.url.parse::<Url>().map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }
}

impl PartialEq for HttpTargetConfig {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.concurrency == other.concurrency && self.rate == other.rate
    }
}

impl Eq for HttpTargetConfig {}

impl fmt::Display for TargetConfig {
    /// In short, without secrets: `http https://example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(http) => write!(f, "http {}", http.origin()),
            Self::Exec { command, .. } => write!(f, "exec {}", command.first().map_or("", String::as_str)),
            Self::Log => f.write_str("log"),
        }
    }
}

impl fmt::Debug for TargetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetConfig({self})")
    }
}

pub(super) fn read(
    tables: Vec<Table<'_, '_>>,
    sources: &[SourceConfig],
    declared: &[String],
) -> Vec<RouteConfig> {
    let mut lines = HashMap::new();
    tables
        .into_iter()
        .filter_map(|table| {
            let route = read_one(&table, sources, declared);
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

fn read_one(table: &Table<'_, '_>, sources: &[SourceConfig], declared: &[String]) -> Option<RouteConfig> {
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
    let target = table.required("target", &format!("add one of {TARGETS}")).and_then(|it| target(&it));
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

const TARGETS: &str =
    "target = { http = \"https://…\" }, { exec = [\"command\", \"argument\"] } or { log = {} }";

fn target(value: &Value<'_, '_>) -> Option<TargetConfig> {
    let table = value.table(&format!("a table: {TARGETS}"))?;
    let kinds: Vec<_> =
        ["http", "exec", "log", "redis_stream"].into_iter().filter(|kind| table.has(kind)).collect();
    let target = match kinds.as_slice() {
        ["http"] => http(&table).map(TargetConfig::Http),
        ["exec"] => exec(&table),
        ["log"] => {
            if let Some(inner) = table.get("log").and_then(|it| it.table("an empty table, log = {}")) {
                inner.finish();
            }
            Some(TargetConfig::Log)
        }
        ["redis_stream"] => {
            value.problem(format!("redis_stream needs Redis, which this build has not; expected {TARGETS}"));
            return None;
        }
        [] => {
            value.problem(format!("says nowhere to go; expected {TARGETS}"));
            return None;
        }
        several => {
            value.problem(format!("has {} at once; write a route for each", list(several.iter().copied())));
            return None;
        }
    };
    table.finish();
    target
}

fn http(table: &Table<'_, '_>) -> Option<HttpTargetConfig> {
    let expected = "an http or https URL, such as \"http://127.0.0.1:3000/hooks\"";
    let url = table.get("http").and_then(|it| {
        let text = it.text(expected)?;
        let fits = text.value.parse::<Url>().is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !fits {
            // A URL may hold a password or a token, so it is not shown.
            it.problem(format!("is no such URL (its value is not shown); expected {expected}"));
        }
        fits.then_some(text.value)
    });
    let secrets = secrets(table, "secret", "secret_file", |secret| {
        match secret
            .strip_prefix("whsec_")
            .map(|key| BASE64_STANDARD_NO_PAD.decode(key.trim_end_matches('=')))
        {
            Some(Ok(key)) if !key.is_empty() => Ok(()),
            _ => Err("is no Standard Webhooks key; expected `whsec_` and then base64, as \
                      `echo whsec_$(openssl rand -base64 24)` makes it"
                .to_owned()),
        }
    });
    let concurrency = concurrency(table);
    let rate = table.get("rate").and_then(|it| it.parsed(value::RATE, value::rate));
    Some(HttpTargetConfig { url: url?, secrets: secrets.into(), concurrency, rate })
}

fn exec(table: &Table<'_, '_>) -> Option<TargetConfig> {
    let value = table.get("exec")?;
    let expected = "a command and its arguments, such as [\"/usr/local/bin/on-stock\", \"--now\"]";
    let command: Vec<_> = value.texts(expected).into_iter().map(|text| text.value).collect();
    let concurrency = concurrency(table);
    if command.first().is_some_and(String::is_empty) {
        value.problem(format!("begins with an empty command; expected {expected}"));
    }
    if command.iter().any(|part| part.contains('\0')) {
        value.problem("holds a NUL character, which can't stand in a command");
    }
    (!command.is_empty()).then_some(TargetConfig::Exec { command, concurrency })
}

fn concurrency(table: &Table<'_, '_>) -> Option<NonZeroUsize> {
    table
        .get("concurrency")
        .and_then(|it| it.count(1..=100_000))
        .and_then(|count| NonZeroUsize::new(count as usize))
}
