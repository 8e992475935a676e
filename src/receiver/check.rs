//! What does not fit together is said before anything is opened.

use super::BuildError;
#[cfg(feature = "redis")]
use super::{Queue, Settings};
#[cfg(feature = "redis")]
use crate::source::gives_up_first;
use crate::{
    provider::Gap,
    route::{RetryPolicy, Route, SourceFilter},
    source::{Source, is_name, mismatch},
    suggest::list,
};

pub(super) fn check_sources(sources: &[(String, Source)]) -> Result<(), BuildError> {
    if let Some(name) = first_repeated(sources.iter().map(|(name, _)| name)) {
        return Err(BuildError::DuplicateSource(name.clone()));
    }
    sources.iter().try_for_each(|(name, source)| check_source(name, source))
}

fn check_source(name: &str, source: &Source) -> Result<(), BuildError> {
    if !is_name(name) {
        return Err(BuildError::SourceName(name.to_owned()));
    }
    let name = || name.to_owned();
    match source.provider.profile().gap(&source.path_secrets) {
        Some(Gap::Secret) => Err(BuildError::NoSecret(name())),
        Some(Gap::EmptyPathSecret) => Err(BuildError::EmptyPathSecret(name())),
        Some(Gap::PathSecret) => Err(BuildError::NoPathSecret(name())),
        None => Ok(()),
    }
}

pub(super) fn check_routes<'a>(
    sources: &[(String, Source)],
    routes: impl Iterator<Item = &'a Route> + Clone,
) -> Result<(), BuildError> {
    if let Some(name) = first_repeated(routes.clone().map(|route| &route.name)) {
        return Err(BuildError::DuplicateRoute(name.clone()));
    }
    for route in routes {
        check_sources_of(route, sources)?;
        check_patterns_of(route, sources)?;
        check_settings_of(route)?;
    }
    Ok(())
}

fn check_sources_of(route: &Route, sources: &[(String, Source)]) -> Result<(), BuildError> {
    let SourceFilter::Named(names) = &route.sources else { return Ok(()) };
    let known = || sources.iter().map(|(name, _)| name.as_str());
    match names.iter().find(|wanted| known().all(|name| name != *wanted)) {
        Some(wanted) => Err(BuildError::UnknownSource {
            route: route.name.clone(),
            wanted: wanted.clone(),
            known: list(known()),
        }),
        None => Ok(()),
    }
}

fn check_patterns_of(route: &Route, sources: &[(String, Source)]) -> Result<(), BuildError> {
    let sources: Vec<_> =
        sources.iter().filter(|(name, _)| route.sources.matches(name)).map(|(_, source)| source).collect();
    match route.events.iter().find_map(|pattern| Some((pattern, mismatch(pattern, &sources)?))) {
        Some((pattern, reason)) => {
            Err(BuildError::UnknownKind { route: route.name.clone(), pattern: pattern.to_string(), reason })
        }
        None => Ok(()),
    }
}

fn check_settings_of(route: &Route) -> Result<(), BuildError> {
    let wrong =
        |setting, expected| Err(BuildError::RouteSetting { route: route.name.clone(), setting, expected });
    match &route.retry {
        _ if route.timeout.is_zero() => wrong("a timeout of zero".to_owned(), "a time to run in"),
        RetryPolicy { max_attempts: 0, .. } => wrong("max_attempts = 0".to_owned(), "at least one attempt"),
        RetryPolicy { min, max, .. } if min > max => {
            wrong(format!("retry delays from {min:?} to {max:?}"), "a `min` no longer than `max`")
        }
        _ => Ok(()),
    }
}

/// What a queue in Redis asks of the settings beside it.
#[cfg(feature = "redis")]
pub(super) fn check_queue(settings: &Settings, sources: &[(String, Source)]) -> Result<(), BuildError> {
    let Queue::Redis(queue) = &settings.queue else { return Ok(()) };
    let keep = queue.keep;
    let short = settings.retention.shorter_than(keep);
    for (deliveries, retention) in [("done", short.done), ("failed", short.failed)] {
        if let Some(retention) = retention {
            return Err(BuildError::RetentionBelowKeep { deliveries, retention, keep });
        }
    }
    let Some(timeout) = queue.ack.wait() else { return Ok(()) };
    match gives_up_first(sources.iter().map(|(name, source)| (name, source)), timeout) {
        Some((sender, deadline)) => {
            Err(BuildError::AckTimeout { sender: sender.to_owned(), deadline, timeout })
        }
        None => Ok(()),
    }
}

fn first_repeated<'a>(names: impl Iterator<Item = &'a String> + Clone) -> Option<&'a String> {
    let all = names.clone();
    names
        .enumerate()
        .find(|(at, name)| all.clone().take(*at).any(|earlier| earlier == *name))
        .map(|(_, name)| name)
}
