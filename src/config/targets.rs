//! `target = { … }` of a route: where its events go.

use std::{fmt, num::NonZeroUsize};
#[cfg(feature = "redis")]
use std::{num::NonZeroU64, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use reqwest::Url;

#[cfg(feature = "redis")]
use super::{
    address::AddressKeys,
    entry::Zero,
    secrets::{Words, confidential},
};
use super::{
    entry::Value,
    reader::Table,
    secrets::secrets,
    value::{self, Rate, list},
};
use crate::provider::Secrets;
#[cfg(feature = "redis")]
use crate::{
    journal::{REDIS_URL, RedisAddress, RedisUrl},
    target::{RedisStreamTarget, TargetError},
};

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
    /// `{ redis_stream = "orders" }`: each event is an entry of that stream.
    #[cfg(feature = "redis")]
    RedisStream(RedisStreamConfig),
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

/// A stream in Redis.
#[cfg(feature = "redis")]
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RedisStreamConfig {
    /// Its name.
    pub stream: String,
    /// The Redis that it is in; `None`: the queue's own.
    pub address: Option<RedisAddress>,
    /// About how many entries are kept, read or not; `None`: all.
    pub max_length: Option<NonZeroU64>,
    /// About how long entries are kept, read or not; `None`: for ever.
    pub max_age: Option<Duration>,
    /// How many jobs may be under way at once; `None`: the target's own default.
    pub concurrency: Option<NonZeroUsize>,
}

#[cfg(feature = "redis")]
impl PartialEq for RedisStreamConfig {
    fn eq(&self, other: &Self) -> bool {
        let urls = |config: &Self| config.address.as_ref().map(|address| address.urls.clone());
        self.stream == other.stream
            && urls(self) == urls(other)
            && (self.max_length, self.max_age) == (other.max_length, other.max_age)
            && self.concurrency == other.concurrency
    }
}

#[cfg(feature = "redis")]
impl Eq for RedisStreamConfig {}

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
            #[cfg(feature = "redis")]
            Self::RedisStream(stream) => write!(f, "redis_stream {}", stream.stream),
            Self::Log => f.write_str("log"),
        }
    }
}

impl fmt::Debug for TargetConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetConfig({self})")
    }
}

#[cfg(feature = "redis")]
pub(super) const TARGETS: &str = "target = { http = \"https://…\" }, { exec = [\"command\", \"argument\"] }, \
                                  { redis_stream = \"name\" } or { log = {} }";
#[cfg(not(feature = "redis"))]
pub(super) const TARGETS: &str =
    "target = { http = \"https://…\" }, { exec = [\"command\", \"argument\"] } or { log = {} }";

/// Reads a target; one that names no Redis needs a queue in Redis.
pub(super) fn read(value: &Value<'_, '_>, queue_in_redis: bool) -> Option<TargetConfig> {
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
        #[cfg(feature = "redis")]
        ["redis_stream"] => stream(&table, queue_in_redis).map(TargetConfig::RedisStream),
        #[cfg(not(feature = "redis"))]
        ["redis_stream"] => {
            let _ = queue_in_redis;
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

#[cfg(feature = "redis")]
fn stream(table: &Table<'_, '_>, queue_in_redis: bool) -> Option<RedisStreamConfig> {
    let stream = table.get("redis_stream").and_then(|it| {
        let text = it.text("the name of a stream, such as \"orders\"")?;
        match RedisStreamTarget::new(text.value.as_str()) {
            Ok(_) => Some(text.value),
            Err(TargetError::Stream { reason, .. }) => {
                it.problem(format!(
                    "{} is not usable: {reason}; expected a name such as \"orders\"",
                    text.shown
                ));
                None
            }
            Err(error) => {
                it.problem(error.to_string());
                None
            }
        }
    });
    let address = stream_address(table, queue_in_redis);
    let max_length = table.get("max_length").and_then(|it| it.count(1..=u32::MAX));
    let max_age = table.get("max_age").and_then(|it| it.duration(Zero::Refused));
    if max_length.is_some() && max_age.is_some() {
        table.problem("max_age", "stands beside max_length; Redis removes by one of them, so leave one out");
    }
    let concurrency = concurrency(table);
    let max_length = max_length.and_then(|length| NonZeroU64::new(length.into()));
    Some(RedisStreamConfig { stream: stream?, address, max_length, max_age, concurrency })
}

/// The Redis that a target names for itself.
#[cfg(feature = "redis")]
fn stream_address(table: &Table<'_, '_>, queue_in_redis: bool) -> Option<RedisAddress> {
    const URL: Words = Words {
        what: "URL",
        one: "the URL of a Redis",
        some: "a URL of Redis such as \"redis://127.0.0.1:6379\", or a list of such URLs",
    };
    let parse = |text: &str| RedisUrl::parse(text).map_err(|wrong| format!("{wrong}; expected {REDIS_URL}"));
    let urls = confidential(table, "url", "url_file", &URL, parse);
    let keys = AddressKeys::read(table);
    if !urls.is_empty() {
        return Some(keys.address(table, urls));
    }
    if !table.has("url") && !table.has("url_file") {
        let why = "has a meaning only beside a url of the target's own; add url, or leave it out";
        AddressKeys::refuse(table, why);
        if keys.is_shared() {
            table.problem("topology", why);
        }
        if !queue_in_redis {
            table.problem(
                "redis_stream",
                "is in no Redis, as jobs wait in the journal itself; add url = \"redis://127.0.0.1:6379\" beside it, or \
                 give [queue] a Redis",
            );
        }
    }
    None
}

fn concurrency(table: &Table<'_, '_>) -> Option<NonZeroUsize> {
    table
        .get("concurrency")
        .and_then(|it| it.count(1..=100_000))
        .and_then(|count| NonZeroUsize::new(count as usize))
}
