//! What is asked for of Redis, and whether it goes together.

use std::time::Duration;

use super::{Keys, SENTINEL, Topology};
use crate::{
    config::{reader::Table, value::list},
    journal::{AckWhen, RedisOptions, RedisUrl, Topology as Reached},
    receiver::RedisQueue,
};

/// How long Redis is waited for before the journal alone has to do.
const ACK_TIMEOUT: Duration = Duration::from_millis(300);

/// The queue in Redis at these URLs, at least one.
pub(super) fn queue(table: &Table<'_, '_>, keys: Keys, urls: Vec<RedisUrl>) -> RedisQueue {
    let topology = keys.topology.unwrap_or(Topology::Single);
    check_urls(table, topology, &urls);
    check_sentinel(table, topology, &keys);
    if table.has("ca_file") && !urls.iter().any(RedisUrl::is_tls) {
        let text =
            "has a meaning only for encrypted connections; write rediss:// in the URL, or leave it out";
        table.problem("ca_file", text);
    }
    let both = keys.both.unwrap_or(false);
    if keys.ack_timeout.is_some() && !both {
        table.warn(
            "ack_timeout",
            "is not used, as only the journal is waited for; add ack = \"both\", or leave it out",
        );
    }
    let options = RedisOptions {
        topology: match topology {
            Topology::Single => Reached::Single,
            Topology::Sentinel => Reached::Sentinel,
            Topology::Cluster => Reached::Cluster,
        },
        sentinel_master: keys.sentinel_master,
        sentinel_user: keys.sentinel_user,
        sentinel_password: keys.sentinel_password,
        ca: keys.ca,
        lanes: keys.lanes.unwrap_or(1),
        wait_replicas: keys.wait_replicas.unwrap_or(0),
        wait_aof: keys.wait_aof.unwrap_or(false),
        ..RedisOptions::new(urls)
    };
    let timeout = keys.ack_timeout.unwrap_or(ACK_TIMEOUT);
    let queue = RedisQueue::from(options);
    RedisQueue { ack: if both { AckWhen::Both { timeout } } else { AckWhen::Journal }, ..queue }
}

fn check_urls(table: &Table<'_, '_>, topology: Topology, urls: &[RedisUrl]) {
    let key = if table.has("url") { "url" } else { "url_file" };
    let shown: Vec<_> = urls.iter().map(ToString::to_string).collect();
    let shown = list(shown.iter().map(String::as_str));
    if topology == Topology::Single && urls.len() > 1 {
        table.problem(
            key,
            format!(
                "names {} servers, {shown}, but topology = \"single\" is one; leave one of them, or write topology = \
                 \"sentinel\" or \"cluster\"",
                urls.len()
            ),
        );
        return;
    }
    if urls.windows(2).any(|pair| !pair[0].is_entered_like(&pair[1])) {
        table.problem(
            key,
            format!(
                "{shown} differ in more than host and port; expected the same encryption, user, password and database \
                 for all of them, as each may be asked in another's place"
            ),
        );
    }
    if topology == Topology::Cluster
        && let Some(url) = urls.iter().find(|url| url.database() != 0)
    {
        let (number, mend) = (url.database(), "leave the number out");
        table.problem(
            key,
            format!("{url} asks for database {number}, but a Redis Cluster has only database 0; {mend}"),
        );
    }
}

fn check_sentinel(table: &Table<'_, '_>, topology: Topology, keys: &Keys) {
    if topology == Topology::Sentinel {
        if !table.has("sentinel_master") {
            table.problem(
                "sentinel_master",
                "is missing: Sentinels are asked for a primary by its name; add the one of their line `sentinel monitor \
                 <name> …`, such as sentinel_master = \"mymaster\"",
            );
        }
        if keys.sentinel_user.is_some()
            && keys.sentinel_password.is_none()
            && !table.has("sentinel_password_file")
            && !table.has("sentinel_password")
        {
            let text = "names a user without a password; add sentinel_password or sentinel_password_file";
            table.problem("sentinel_user", text);
        }
        return;
    }
    for key in SENTINEL.into_iter().filter(|key| table.has(key)) {
        let text = "has a meaning only with Sentinels; write topology = \"sentinel\", or leave it out";
        table.problem(key, text);
    }
}
