//! Where a Redis is, and how the store in it is run.

use std::{fmt, sync::Arc, time::Duration};

use redis::{ConnectionInfo, IntoConnectionInfo};
use reqwest::Url;

use crate::provider::Secret;

/// How to reach Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topology {
    /// One server, perhaps with replicas that nobody asks.
    Single,
    /// A primary that Sentinels name.
    Sentinel,
    /// A Redis Cluster.
    Cluster,
}

/// Where a Redis is and what it asks for: one server, one behind Sentinels, or a Cluster. Prints without its passwords.
///
/// ```
/// use doorbell::RedisAddress;
///
/// let local = RedisAddress::new(["redis://127.0.0.1:6379"]);
/// let watched = RedisAddress::new(["rediss://a:26379", "rediss://b:26379"]).sentinel("mymaster");
/// ```
#[derive(Debug, Clone)]
pub struct RedisAddress {
    /// Where Redis, its Sentinels or some nodes of its Cluster are. With Sentinels, user, password and database are
    /// those of the servers that they watch.
    pub(crate) urls: Vec<RedisUrl>,
    pub(crate) topology: Topology,
    /// Sentinel: the name of the primary.
    pub(crate) sentinel_master: Option<String>,
    /// Sentinel: whom the Sentinels themselves know us as; `None`: they ask for no user.
    pub(crate) sentinel_user: Option<String>,
    /// Sentinel: what the Sentinels themselves ask for; `None`: they ask for nothing.
    pub(crate) sentinel_password: Option<Secret>,
    /// TLS: the certificates of the authorities to trust, as PEM; `None`: those that the system trusts.
    pub(crate) ca: Option<Arc<[u8]>>,
    /// How long a call may take, connecting included. Then it has no answer.
    pub(crate) timeout: Duration,
}

impl RedisAddress {
    /// Redis at this URL, `redis://[user][:password@]host[:port][/db]`, or `rediss://` for TLS; several where
    /// [Sentinels](Self::sentinel) or a [Cluster](Self::cluster) have several.
    pub fn new<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::at(urls.into_iter().map(|url| RedisUrl::from(url.into())))
    }

    /// The same, of URLs that were read before.
    pub(crate) fn at(urls: impl IntoIterator<Item = RedisUrl>) -> Self {
        Self {
            urls: urls.into_iter().collect(),
            topology: Topology::Single,
            sentinel_master: None,
            sentinel_user: None,
            sentinel_password: None,
            ca: None,
            timeout: Duration::from_secs(5),
        }
    }

    /// The URLs are those of Sentinels, which know the primary of this name.
    #[must_use]
    pub fn sentinel(mut self, primary: impl Into<String>) -> Self {
        self.topology = Topology::Sentinel;
        self.sentinel_master = Some(primary.into());
        self
    }

    /// What the Sentinels themselves ask for: a password, and a user where they have users.
    #[must_use]
    pub fn sentinel_login(mut self, user: Option<String>, password: impl Into<Secret>) -> Self {
        self.sentinel_user = user;
        self.sentinel_password = Some(password.into());
        self
    }

    /// The URLs are those of some nodes of a Redis Cluster.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.topology = Topology::Cluster;
        self
    }

    /// With `rediss://`: the certificates to trust, as PEM. Those that the system trusts where nothing is said.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into().into());
        self
    }
}

/// How the shared store is run.
#[derive(Debug, Clone)]
pub(crate) struct RedisOptions {
    /// Where it is.
    pub(crate) address: RedisAddress,
    /// Over how many hash slots the keys are spread.
    pub(crate) lanes: u32,
    /// How many replicas must have a batch before the relay calls it relayed.
    pub(crate) wait_replicas: u32,
    /// Whether Redis must have fsynced its append-only file before the relay calls a batch relayed.
    pub(crate) wait_aof: bool,
    /// How long a claim lasts without being renewed.
    pub(crate) lease: Duration,
    /// After how many crashes a job is dead.
    pub(crate) max_crashes: u32,
}

impl RedisOptions {
    /// The defaults for a store there.
    pub(crate) fn new(address: RedisAddress) -> Self {
        Self {
            address,
            lanes: 1,
            wait_replicas: 0,
            wait_aof: false,
            lease: Duration::from_secs(30),
            max_crashes: 5,
        }
    }

    /// Of how many lanes, from the first one on, the servers have to be asked for each server to be asked.
    pub(super) fn lanes_of_all_servers(&self) -> u32 {
        match self.address.topology {
            Topology::Cluster => self.lanes,
            Topology::Single | Topology::Sentinel => 1,
        }
    }

    /// Whether more is asked for than that Redis has what it took in.
    pub(super) fn has_to_be_safe(&self) -> bool {
        self.wait_replicas > 0 || self.wait_aof
    }
}

/// Where one server is: `redis://[user][:password@]host[:port][/database]`, or `rediss://` for TLS. Prints without its
/// password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RedisUrl(String);

/// What a URL of Redis looks like.
pub(crate) const REDIS_URL: &str =
    "redis://[user][:password@]host[:port][/database], or rediss:// in its place for TLS";

impl RedisUrl {
    /// Reads a URL; says what is wrong with it, without showing it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Self(text.to_owned());
        url.connection().map(|_| url)
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        self.0.starts_with("rediss:")
    }

    /// The number of the database that the URL names; 0 where it names none.
    pub(crate) fn database(&self) -> i64 {
        self.connection().map_or(0, |info| info.redis_settings().db())
    }

    /// Whether the two differ in host and port only.
    pub(crate) fn is_entered_like(&self, other: &Self) -> bool {
        let (Ok(one), Ok(two)) = (self.connection(), other.connection()) else { return false };
        let (one, two) = (one.redis_settings(), two.redis_settings());
        self.is_tls() == other.is_tls()
            && one.db() == two.db()
            && one.username() == two.username()
            && one.password() == two.password()
    }

    /// What a connection needs to know.
    pub(super) fn connection(&self) -> Result<ConnectionInfo, String> {
        let url: Url = self.0.parse().map_err(|error| format!("is no URL ({error})"))?;
        if !matches!(url.scheme(), "redis" | "rediss") {
            return Err("is no URL of Redis".to_owned());
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("names no host".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            let mend = "a ? or # in a password is written %3F or %23";
            return Err(format!("goes on behind a ? or #, where nothing is accepted; {mend}"));
        }
        let database = url.path().trim_start_matches('/');
        if !database.is_empty() && database.parse::<u32>().is_err() {
            let mend = "a / in a password is written %2F";
            return Err(format!("has something other than the number of a database behind its host; {mend}"));
        }
        url.into_connection_info().map_err(|error| format!("is not understood ({error})"))
    }
}

impl<T: Into<String>> From<T> for RedisUrl {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(url) = self.0.parse::<Url>() else { return f.write_str("[not a URL]") };
        let (scheme, host) = (url.scheme(), url.host_str().unwrap_or_default());
        let user = match (url.username(), url.password()) {
            ("", None) => String::new(),
            (user, None) => format!("{user}@"),
            (user, Some(_)) => format!("{user}:[REDACTED]@"),
        };
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        write!(f, "{scheme}://{user}{host}{port}{}", url.path())
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_print_without_their_password() {
        for (url, shown) in [
            ("redis://localhost", "redis://localhost"),
            ("redis://:hunter2@10.0.0.1:6380/3", "redis://:[REDACTED]@10.0.0.1:6380/3"),
            ("rediss://doorbell:hunter2@redis.example.com", "rediss://doorbell:[REDACTED]@redis.example.com"),
            ("redis://user@[::1]:7000", "redis://user@[::1]:7000"),
            ("hunter2", "[not a URL]"),
        ] {
            assert_eq!(RedisUrl::from(url).to_string(), shown);
            let address = RedisAddress::new([url]).sentinel_login(None, "hunter2");
            assert!(!format!("{address:?}").contains("hunter2"), "{address:?}");
        }
    }

    #[test]
    fn a_wrong_url_says_what_is_wrong() {
        for (url, wrong) in [
            ("localhost:6379", "is no URL of Redis"),
            ("http://:hunter2@localhost", "is no URL of Redis"),
            ("redis://", "names no host"),
            ("redis://:hunter2#x@localhost", "is no URL"),
            ("rediss://localhost/#insecure", "behind a ? or #"),
            ("redis://localhost/?protocol=resp3", "behind a ? or #"),
            ("redis://localhost/jobs", "other than the number of a database"),
            ("redis://localhost/-1", "other than the number of a database"),
            ("redis://0.0.0.0", "is not understood"),
        ] {
            let error = RedisUrl::parse(url).unwrap_err();
            assert!(error.contains(wrong) && !error.contains("hunter2"), "{url}: {error}");
        }
        let url = RedisUrl::parse("rediss://u%40x:p%2Fw@localhost:1/7").unwrap();
        assert!(url.is_tls());
        assert_eq!(url.database(), 7);
        let info = url.connection().unwrap();
        assert_eq!(info.redis_settings().username(), Some("u@x"));
        assert_eq!(info.redis_settings().password(), Some("p/w"));
    }
}
