//! Where a Redis is, and what it asks for: the keys that `[queue]` and a target with a stream have in common.

use std::path::Path;

#[cfg(feature = "redis")]
use super::value::list;
use super::{reader::Table, secrets::secrets};
#[cfg(feature = "redis")]
use crate::journal::{RedisAddress, RedisUrl, Topology as Reached};
use crate::provider::Secret;

/// What stands beside the URL, as far as it is there and right.
#[cfg_attr(
    not(feature = "redis"),
    expect(dead_code, reason = "the embedded queue only asks whether they are there")
)]
pub(super) struct AddressKeys {
    topology: Option<Topology>,
    sentinel_master: Option<String>,
    sentinel_user: Option<String>,
    sentinel_password: Option<Secret>,
    /// Certificates, as PEM.
    ca: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Topology {
    Single,
    Sentinel,
    Cluster,
}

/// The keys that only Sentinels give a meaning.
const SENTINEL: [&str; 4] =
    ["sentinel_master", "sentinel_user", "sentinel_password", "sentinel_password_file"];

impl AddressKeys {
    pub(super) fn read(table: &Table<'_, '_>) -> Self {
        let name = |key, expected| {
            table
                .get(key)
                .and_then(|it| it.parsed(expected, |text| (!text.is_empty()).then(|| text.to_owned())))
        };
        let topologies =
            [("single", Topology::Single), ("sentinel", Topology::Sentinel), ("cluster", Topology::Cluster)];
        Self {
            topology: table.get("topology").and_then(|it| it.choice(&topologies)),
            sentinel_master: name("sentinel_master", "the name that the Sentinels know the primary by"),
            sentinel_user: name("sentinel_user", "the name of a user of the Sentinels"),
            sentinel_password: sentinel_password(table),
            ca: certificates(table),
        }
    }

    /// Whether more than one server is meant.
    pub(super) fn is_shared(&self) -> bool {
        self.topology.is_some_and(|topology| topology != Topology::Single)
    }

    /// Complains about each of the keys that have no meaning without a Redis; `why` says so, and how to mend it.
    pub(super) fn refuse(table: &Table<'_, '_>, why: &str) {
        for key in SENTINEL.into_iter().chain(["ca_file"]).filter(|key| table.has(key)) {
            table.problem(key, why);
        }
    }

    /// The Redis at these URLs, at least one.
    #[cfg(feature = "redis")]
    pub(super) fn address(self, table: &Table<'_, '_>, urls: Vec<RedisUrl>) -> RedisAddress {
        let topology = self.topology.unwrap_or(Topology::Single);
        check_urls(table, topology, &urls);
        check_sentinel(table, topology, &self);
        if table.has("ca_file") && !urls.iter().any(RedisUrl::is_tls) {
            let text =
                "has a meaning only for encrypted connections; write rediss:// in the URL, or leave it out";
            table.problem("ca_file", text);
        }
        RedisAddress {
            topology: match topology {
                Topology::Single => Reached::Single,
                Topology::Sentinel => Reached::Sentinel,
                Topology::Cluster => Reached::Cluster,
            },
            sentinel_master: self.sentinel_master,
            sentinel_user: self.sentinel_user,
            sentinel_password: self.sentinel_password,
            ca: self.ca.map(Into::into),
            ..RedisAddress::at(urls)
        }
    }
}

fn sentinel_password(table: &Table<'_, '_>) -> Option<Secret> {
    let mut passwords = secrets(table, "sentinel_password", "sentinel_password_file", |_| Ok(()));
    if passwords.len() > 1 {
        table.problem(
            "sentinel_password",
            "is given more than once; expected one password, in `sentinel_password` or in `sentinel_password_file`",
        );
    }
    passwords.pop()
}

fn certificates(table: &Table<'_, '_>) -> Option<Vec<u8>> {
    const EXPECTED: &str = "the path of a file with the certificates to trust, as PEM";
    let value = table.get("ca_file")?;
    let path = value.text(EXPECTED)?;
    match (value.context.files)(Path::new(&path.value)) {
        Ok(pem) if pem.contains("-----BEGIN CERTIFICATE-----") => Some(pem.into_bytes()),
        Ok(_) => {
            value.problem(format!("there is no certificate in the file {}; expected {EXPECTED}", path.shown));
            None
        }
        Err(error) => {
            value.problem(format!("the file {} can't be read: {error}; expected {EXPECTED}", path.shown));
            None
        }
    }
}

#[cfg(feature = "redis")]
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

#[cfg(feature = "redis")]
fn check_sentinel(table: &Table<'_, '_>, topology: Topology, keys: &AddressKeys) {
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
