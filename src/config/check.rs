//! What a right configuration still leaves to luck: what would be lost in which failure, in plain words.

mod failures;

use std::{fmt, time::Duration};

use serde::Serialize;

use super::{
    Config, ConfigError, ProviderKind, RouteConfig, SourceConfig, TargetConfig, value::show_duration,
};
#[cfg(feature = "redis")]
use crate::journal::{RedisFinding, Severity};
use crate::route::RetryPolicy;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Whether the configuration is right; there may be warnings all the same.
    pub right: bool,
    /// What is wrong, then what is doubtful, then what would be lost when.
    pub findings: Vec<Finding>,
}

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What it is about: a place in the file, a source, a route or a failure.
    pub subject: String,
    /// The finding, in words.
    pub text: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Level {
    /// Doorbell would not start, or its queue would lose jobs.
    Error,
    /// Likely not meant so.
    Warning,
    /// What holds, and what would be lost.
    Info,
}

impl Report {
    /// Whether something is likely not meant as it is.
    pub fn has_warnings(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Warning)
    }

    /// Adds what was found out about the Redis that jobs wait in.
    #[cfg(feature = "redis")]
    pub(crate) fn with_redis(mut self, found: Vec<RedisFinding>) -> Self {
        self.findings.extend(found.into_iter().map(|found| Finding {
            level: match found.level {
                Severity::Error => Level::Error,
                Severity::Warning => Level::Warning,
                Severity::Info => Level::Info,
            },
            subject: format!("Redis, {}", found.subject),
            text: found.text,
        }));
        self.findings.sort_by_key(|finding| finding.level);
        self.right = self.findings.iter().all(|finding| finding.level != Level::Error);
        self
    }

    /// Says that this is about the configuration that holds where there is no file.
    pub(crate) fn without_file(mut self) -> Self {
        let text = "there is no such file here, so the embedded default holds; `doorbell init` writes one";
        self.findings.push(info(Config::DEFAULT_FILE, text));
        self
    }
}

impl From<&ConfigError> for Report {
    fn from(error: &ConfigError) -> Self {
        let findings = error.problems.iter().map(|problem| {
            let line = if problem.line > 0 { format!("line {}: ", problem.line) } else { String::new() };
            let file = error.file.as_ref().filter(|_| problem.subject.is_empty());
            let subject = file.map_or_else(|| problem.subject.clone(), |file| file.display().to_string());
            Finding {
                level: Level::Error,
                subject: format!("{line}{subject}"),
                text: problem.message.clone(),
            }
        });
        Self { right: false, findings: findings.collect() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut level = None;
        for finding in &self.findings {
            if level.replace(finding.level) != Some(finding.level) {
                let title = match finding.level {
                    Level::Error => "What is wrong:",
                    Level::Warning => "What is likely not meant so:",
                    Level::Info => "What holds, and what would be lost in which failure:",
                };
                writeln!(f, "{title}")?;
            }
            writeln!(f, "- {}: {}", finding.subject, finding.text)?;
        }
        f.write_str(if self.right {
            "The configuration is right."
        } else {
            "The configuration is not usable."
        })
    }
}

pub(super) fn check(config: &Config) -> Report {
    let mut findings: Vec<_> = config
        .warnings
        .iter()
        .map(|problem| Finding {
            level: Level::Warning,
            subject: format!("line {}: {}", problem.line, problem.subject),
            text: problem.message.clone(),
        })
        .collect();
    findings.extend(config.sources.iter().flat_map(|source| doubts(config, source)));
    if config.ingress.public_url.as_ref().is_some_and(|url| url.starts_with("http://")) {
        let text = "http:// sends path secrets and payloads unencrypted over the network; use https://";
        findings.push(warning("[ingress], `public_url`", text));
    }
    findings.extend(config.sources.iter().flat_map(source));
    for route in &config.routes {
        findings.push(self::route(config, route));
        #[cfg(feature = "redis")]
        findings.extend(kept_in_stream(route));
    }
    findings.extend(failures::failures(config));
    Report { right: true, findings }
}

fn warning(subject: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { level: Level::Warning, subject: subject.into(), text: text.into() }
}

fn info(subject: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { level: Level::Info, subject: subject.into(), text: text.into() }
}

/// How long a URL Kladana takes, in characters.
const KLADANA_URL: usize = 255;

fn doubts(config: &Config, source: &SourceConfig) -> Vec<Finding> {
    let settings = &source.settings;
    let subject = format!("source {}", source.name);
    let mut doubts = Vec::new();
    if settings.unproved() {
        let text = "insecure = true: whoever knows the URL can send events that are taken for true";
        doubts.push(warning(&subject, text));
    }
    if settings.kind == ProviderKind::Shareactor
        && settings.path_secrets.is_empty()
        && settings.signature.is_none()
    {
        doubts.push(warning(
            &subject,
            "the header and the encoding of this sender's signature are published nowhere: if the default is not what \
             it sends, every delivery is refused; add a path_secret, which stands in for a missing signature, or say \
             signature = { header = … } once you know it",
        ));
    }
    if let Some(base) = &config.ingress.public_url
        && settings.kind == ProviderKind::Kladana
        && source.url(base).len() > KLADANA_URL
    {
        let text = format!("its URL is longer than {KLADANA_URL} characters, which Kladana does not take");
        doubts.push(warning(&subject, text));
    }
    doubts
}

fn source(source: &SourceConfig) -> [Finding; 3] {
    let subject = |what: &str| format!("source {} ({}), {what}", source.name, source.settings.kind.name());
    let deadline = show_duration(source.source.deadline);
    let facts = source.settings.kind.facts();
    let window = show_duration(source.source.dedupe_window);
    let fallback = source.source.dedupe_fallback;
    let without = match source.settings.kind {
        ProviderKind::Poster => String::new(),
        _ if fallback.is_zero() => "; without it every delivery counts as new".to_owned(),
        _ => format!("; without it, equal bodies within {} are one", show_duration(fallback)),
    };
    let id = source.settings.sender_id();
    [
        info(
            subject("proof"),
            format!(
                "{}; to change it without refusing a delivery, list the new and the old one",
                source.settings.proof()
            ),
        ),
        info(
            subject("deadline and repetitions"),
            format!(
                "the reply is due within {deadline}. A repeated delivery is recognised for {window} by {id}{without}"
            ),
        ),
        info(subject("when it gets no success reply"), facts.failure),
    ]
}

#[cfg(feature = "redis")]
fn kept_in_stream(route: &RouteConfig) -> Option<Finding> {
    let TargetConfig::RedisStream(stream) = &route.target else { return None };
    let kept = match (stream.max_length, stream.max_age) {
        (Some(length), _) => format!("about {length} entries"),
        (None, Some(age)) => format!("about {} of entries", show_duration(age)),
        (None, None) => {
            let text = "nothing is removed from the stream: its consumers have to, or it grows until Redis is full. \
                        Then entries are refused and jobs wait, if Redis says noeviction";
            return Some(info(format!("route {} ({}), stream", route.route.name, route.target), text));
        }
    };
    let text = format!("{kept} stay, read or not: a consumer that is further behind loses the oldest");
    Some(info(format!("route {} ({}), consumer down", route.route.name, route.target), text))
}

fn route(config: &Config, route: &RouteConfig) -> Finding {
    let RetryPolicy { max_attempts, .. } = route.route.retry;
    let span = shortest_span(&route.route.retry);
    let kept = failures::for_time(config.journal.retention_failed);
    let subject = format!("route {} ({}), target down", route.route.name, route.target);
    let dead = format!("then the job is dead: kept {kept} and replayed by `doorbell dead replay`");
    let text = match (&route.target, max_attempts) {
        (TargetConfig::Log, _) => "events are only logged: nothing else is done with them".to_owned(),
        (_, 1) => format!("a job gets one attempt and is not tried again; {dead}"),
        (_, attempts) => format!(
            "a target that is down for up to {} loses nothing: {attempts} attempts are spread over at least that time; \
             {dead}",
            show_duration(span)
        ),
    };
    info(subject, text)
}

/// How long at least it takes from a job's first attempt to its last: each delay at its shortest.
fn shortest_span(retry: &RetryPolicy) -> Duration {
    let mut delay = retry.min;
    let mut span = Duration::ZERO;
    for _ in 1..retry.max_attempts {
        span = span.saturating_add(delay.min(retry.max));
        delay = delay.saturating_mul(2);
    }
    // Delays are drawn from 0.8 to 1.0 of their nominal length.
    span.saturating_mul(4) / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_bridges_a_weekend() {
        let span = shortest_span(&RetryPolicy::default());
        assert!(span >= Duration::from_secs(52 * 3600), "{span:?}");
        assert_eq!(shortest_span(&RetryPolicy { max_attempts: 1, ..RetryPolicy::default() }), Duration::ZERO);
        let three =
            RetryPolicy { max_attempts: 3, min: Duration::from_secs(10), max: Duration::from_secs(15) };
        assert_eq!(shortest_span(&three), Duration::from_secs(20));
        let endless = RetryPolicy { max_attempts: 1000, min: Duration::MAX, max: Duration::MAX };
        assert!(shortest_span(&endless) > Duration::from_secs(1));
    }
}
