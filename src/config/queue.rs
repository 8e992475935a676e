//! `[queue]`: where jobs wait.

use std::time::Duration;

use super::{
    address::AddressKeys,
    entry::Zero,
    reader::Table,
    secrets::{Words, confidential},
    sources::SourceConfig,
    value::show_duration,
};
use crate::source::gives_up_first;
#[cfg(feature = "redis")]
use crate::{
    journal::{REDIS_URL, RedisUrl},
    receiver::RedisQueue,
};

/// `[queue]`: where jobs wait.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum QueueConfig {
    /// In the journal itself: one machine, nothing to install.
    #[default]
    Embedded,
    /// In Redis, shared by any number of machines. Prints without its passwords.
    #[cfg(feature = "redis")]
    Redis(RedisQueue),
}

impl QueueConfig {
    /// Whether jobs wait in the journal itself.
    pub fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded)
    }

    /// Complains about a wait for Redis that a sender would not wait for.
    pub(super) fn check_deadlines(&self, table: &Table<'_, '_>, sources: &[SourceConfig]) {
        let Some(wait) = self.ack_wait() else { return };
        let sources = sources.iter().map(|source| (&source.name, &source.source));
        if let Some((name, deadline)) = gives_up_first(sources, wait) {
            let (wait, deadline) = (show_duration(wait), show_duration(deadline));
            table.problem(
                "ack_timeout",
                format!(
                    "{wait} is no shorter than the sender of the source {name:?} waits for its reply ({deadline}); expected \
                     less, such as \"300ms\""
                ),
            );
        }
    }

    /// How long an acknowledgement waits for the shared queue; `None`: not at all.
    fn ack_wait(&self) -> Option<Duration> {
        match self {
            Self::Embedded => None,
            #[cfg(feature = "redis")]
            Self::Redis(queue) => queue.ack.wait(),
        }
    }

    pub(super) fn read(table: &Table<'_, '_>) -> Self {
        let places = confidential(table, "url", "url_file", &URL, place);
        let keys = Keys::read(table);
        table.finish();
        let named = table.has("url") || table.has("url_file");
        match places.as_slice() {
            // The place is a problem already, and no reason to complain about the keys beside it.
            [] if named => Self::Embedded,
            [] | [Place::Embedded] => {
                keys.refuse_on_embedded(table);
                Self::Embedded
            }
            #[cfg(feature = "redis")]
            places => {
                let urls = places.iter().filter_map(|place| match place {
                    Place::Redis(url) => Some(url.clone()),
                    Place::Embedded => None,
                });
                let urls: Vec<_> = urls.collect();
                if urls.len() < places.len() {
                    table.problem("url", TWO_QUEUES);
                    return Self::Embedded;
                }
                Self::Redis(keys.queue(table, urls))
            }
            #[cfg(not(feature = "redis"))]
            _ => {
                table.problem("url", TWO_QUEUES);
                Self::Embedded
            }
        }
    }
}

/// How long Redis is waited for before the journal alone has to do.
#[cfg(feature = "redis")]
const ACK_TIMEOUT: Duration = Duration::from_millis(300);

const TWO_QUEUES: &str =
    "names \"embedded\" beside another queue; expected either \"embedded\" alone, or URLs of one Redis";

#[cfg(feature = "redis")]
const PLACES: &str =
    "\"embedded\", a URL of Redis such as \"redis://127.0.0.1:6379\", or a list of such URLs";
#[cfg(not(feature = "redis"))]
const PLACES: &str = "\"embedded\"";

/// A URL may hold a password.
const URL: Words = Words { what: "URL", one: "the URL of a Redis", some: PLACES };

enum Place {
    Embedded,
    #[cfg(feature = "redis")]
    Redis(RedisUrl),
}

fn place(text: &str) -> Result<Place, String> {
    if text == "embedded" {
        return Ok(Place::Embedded);
    }
    #[cfg(feature = "redis")]
    return RedisUrl::parse(text)
        .map(Place::Redis)
        .map_err(|wrong| format!("{wrong}; expected \"embedded\", or {REDIS_URL}"));
    #[cfg(not(feature = "redis"))]
    {
        let redis = text.starts_with("redis://") || text.starts_with("rediss://");
        let found = if redis { "asks for Redis" } else { "is not understood" };
        Err(format!(
            "{found}, but this build has only the embedded queue; expected url = \"embedded\", or a doorbell built \
             with its feature `redis`"
        ))
    }
}

/// What stands beside the URL, as far as it is there and right.
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "the embedded queue only asks whether they are there")
)]
struct Keys {
    address: AddressKeys,
    /// Whether Redis, too, must have a delivery before it is acknowledged.
    both: Option<bool>,
    ack_timeout: Option<Duration>,
    wait_replicas: Option<u32>,
    wait_aof: Option<bool>,
    lanes: Option<u32>,
}

impl Keys {
    fn read(table: &Table<'_, '_>) -> Self {
        Self {
            address: AddressKeys::read(table),
            both: table.get("ack").and_then(|it| it.choice(&[("journal", false), ("both", true)])),
            ack_timeout: table.get("ack_timeout").and_then(|it| it.duration(Zero::Refused)),
            wait_replicas: table.get("wait_replicas").and_then(|it| it.count(0..=100)),
            wait_aof: table.get("wait_aof").and_then(|it| it.flag()),
            lanes: table.get("lanes").and_then(|it| it.count(1..=256)),
        }
    }

    /// Complains about what the embedded queue can't do. What it does anyway may stand.
    fn refuse_on_embedded(&self, table: &Table<'_, '_>) {
        const WHY: &str = "has no meaning on the embedded queue";
        for (key, wanted, default) in [
            ("topology", self.address.is_shared(), "\"single\""),
            ("ack", self.both == Some(true), "\"journal\""),
            ("wait_replicas", self.wait_replicas.unwrap_or(0) > 0, "0"),
            ("wait_aof", self.wait_aof == Some(true), "false"),
            ("lanes", self.lanes.unwrap_or(1) > 1, "1"),
        ] {
            if wanted {
                table.problem(
                    key,
                    format!("{WHY}; leave it out, or write {key} = {default}, or give url a Redis"),
                );
            }
        }
        AddressKeys::refuse(table, &format!("{WHY}; leave it out, or give url a Redis"));
    }

    /// The queue in Redis at these URLs, at least one.
    #[cfg(feature = "redis")]
    fn queue(self, table: &Table<'_, '_>, urls: Vec<RedisUrl>) -> RedisQueue {
        let both = self.both.unwrap_or(false);
        if self.ack_timeout.is_some() && !both {
            table.warn(
                "ack_timeout",
                "is not used, as only the journal is waited for; add ack = \"both\", or leave it out",
            );
        }
        let queue = RedisQueue::from(self.address.address(table, urls))
            .lanes(self.lanes.unwrap_or(1))
            .wait_replicas(self.wait_replicas.unwrap_or(0))
            .wait_aof(self.wait_aof.unwrap_or(false));
        if both { queue.ack_both(self.ack_timeout.unwrap_or(ACK_TIMEOUT)) } else { queue }
    }
}
