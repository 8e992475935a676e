//! The sections that stand once in a file: `[ingress]`, `[admin]`, `[journal]`, `[worker]`.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use reqwest::Url;

use super::{entry::Zero, reader::Table, secrets::secrets, value::show_duration};
use crate::{journal::Retention, provider::Secret};

/// `[ingress]`: where deliveries come in.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IngressConfig {
    /// The address that senders reach, by themselves or through a proxy.
    pub listen: SocketAddr,
    /// What printed URLs begin with, without a slash at the end. `None`: the address listened on.
    pub public_url: Option<String>,
    /// How large a body may be, in bytes.
    pub body_limit: usize,
    /// How large all headers of a request may be together, in bytes.
    pub header_limit: usize,
    /// How long the headers may take to come in.
    pub header_timeout: Duration,
    /// How long the body may take after its headers.
    pub body_timeout: Duration,
    /// How long an idle connection is kept open for its sender's next request.
    pub keep_alive: Duration,
    /// How many connections may be open at once.
    pub max_connections: usize,
    /// How long a shutdown goes on accepting while `/readyz` answers 503, so that a load balancer can look away.
    pub drain: Duration,
    /// How long a shutdown then waits for requests and jobs under way.
    pub shutdown_grace: Duration,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self {
            listen: loopback(8080),
            public_url: None,
            body_limit: 1 << 20,
            header_limit: 16 << 10,
            header_timeout: Duration::from_secs(2),
            body_timeout: Duration::from_secs(1),
            keep_alive: Duration::from_secs(75),
            max_connections: 10_000,
            drain: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(25),
        }
    }
}

impl IngressConfig {
    /// What the URLs of all sources begin with: the public URL, or else the address that is really listened on.
    pub fn base_url(&self, listening: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| {
            // An unspecified address is listened on, but can't be called.
            let ip = match listening.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            format!("http://{}", SocketAddr::new(ip, listening.port()))
        })
    }

    pub(super) fn read(table: &Table<'_, '_>) -> Self {
        let default = Self::default();
        let duration = |key, or| table.get(key).and_then(|it| it.duration(Zero::Refused)).unwrap_or(or);
        let bytes = |key, least, most, or| {
            let size = table.get(key).and_then(|it| it.size(least..=most));
            size.and_then(|size| usize::try_from(size).ok()).unwrap_or(or)
        };
        let config = Self {
            listen: address(table, default.listen),
            public_url: table.get("public_url").and_then(|it| it.parsed(PUBLIC_URL, public_url)),
            body_limit: bytes("body_limit", 1 << 10, 512 << 20, default.body_limit),
            header_limit: bytes("header_limit", 8 << 10, 1 << 20, default.header_limit),
            header_timeout: duration("header_timeout", default.header_timeout),
            body_timeout: duration("body_timeout", default.body_timeout),
            keep_alive: duration("keep_alive", default.keep_alive),
            max_connections: table
                .get("max_connections")
                .and_then(|it| it.count(16..=1_000_000))
                .map_or(default.max_connections, |count| count as usize),
            drain: table
                .get("drain")
                .and_then(|it| it.duration(Zero::Means("no such time")))
                .unwrap_or(default.drain),
            shutdown_grace: duration("shutdown_grace", default.shutdown_grace),
        };
        table.finish();
        config
    }
}

/// `[admin]`: where operators look.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AdminConfig {
    /// The address of the admin listener.
    pub listen: SocketAddr,
    /// The token that it asks for. `None`: one is made on the first start and kept in the data folder.
    pub token: Option<Secret>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: loopback(8081), token: None }
    }
}

impl AdminConfig {
    pub(super) fn read(table: &Table<'_, '_>) -> Self {
        let listen = address(table, Self::default().listen);
        let mut tokens = secrets(table, "token", "token_file", |token| {
            let fits = token.bytes().all(|byte| byte.is_ascii_graphic());
            if fits {
                Ok(())
            } else {
                Err("can't stand in a header; expected printable ASCII without spaces".into())
            }
        });
        if tokens.len() > 1 {
            table.problem(
                "token",
                "is given more than once; expected one token, in `token` or in `token_file`",
            );
        }
        let token = tokens.pop();
        if token.as_ref().is_some_and(|token| token.expose().len() < SHORT) {
            table.warn("token", format!("is shorter than {SHORT} characters and could be guessed"));
        }
        if !listen.ip().is_loopback() {
            let token = if token.is_none() {
                "; set `token` as well: the one made for you is known only here"
            } else {
                ""
            };
            table.warn(
                "listen",
                format!(
                    "{listen} can be reached from other machines, without encryption; put a proxy with TLS before \
                     it, or listen on 127.0.0.1{token}"
                ),
            );
        }
        table.finish();
        Self { listen, token }
    }
}

/// Secrets shorter than this are doubtful.
pub(super) const SHORT: usize = 16;

/// `[journal]`: where deliveries are made durable, and for how long they stay.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalConfig {
    /// The data folder. A relative path counts from the folder that the process runs in.
    pub dir: PathBuf,
    /// How long a delivery stays whose jobs are all done or discarded. `None`: for ever.
    pub retention: Option<Duration>,
    /// How long dead, quarantined and unrouted ones stay. `None`: for ever.
    pub retention_failed: Option<Duration>,
    /// How long a row stays after it was moved to Redis.
    pub keep: Duration,
    /// How large the journal may grow, in bytes; then deliveries are answered 503.
    pub max_size: u64,
}

impl Default for JournalConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            dir: "data".into(),
            retention: Some(DAY * 30),
            retention_failed: Some(DAY * 90),
            keep: Duration::from_secs(3600),
            max_size: 10 << 30,
        }
    }
}

impl JournalConfig {
    pub(super) fn read(table: &Table<'_, '_>) -> Self {
        let default = Self::default();
        let retention = |key, or| {
            let found = table.get(key).and_then(|it| it.duration(Zero::Means("for ever")));
            found.map_or(or, |time| Some(time).filter(|time| !time.is_zero()))
        };
        let dir = table.get("dir").and_then(|it| {
            it.parsed("the path of a folder", |path| (!path.is_empty()).then(|| PathBuf::from(path)))
        });
        let config = Self {
            dir: dir.unwrap_or(default.dir),
            retention: retention("retention", default.retention),
            retention_failed: retention("retention_failed", default.retention_failed),
            keep: table.get("keep").and_then(|it| it.duration(Zero::Refused)).unwrap_or(default.keep),
            max_size: table
                .get("max_size")
                .and_then(|it| it.size(16 << 20..=1 << 50))
                .unwrap_or(default.max_size),
        };
        table.finish();
        config
    }

    /// Complains about deliveries that would be forgotten while they may still be offered to Redis again.
    pub(super) fn check_keep(&self, table: &Table<'_, '_>) {
        let retention = Retention { done: self.retention, failed: self.retention_failed };
        let short = retention.shorter_than(self.keep);
        for (key, time) in [("retention", short.done), ("retention_failed", short.failed)] {
            if let Some(time) = time {
                let (time, keep) = (show_duration(time), show_duration(self.keep));
                table.problem(
                    key,
                    format!(
                        "{time} is shorter than keep = \"{keep}\": a Redis that has lost writes is offered all \
                         deliveries of that time again, and would run those that it has forgotten; expected at least \
                         {keep}, or a shorter keep"
                    ),
                );
            }
        }
    }
}

/// `[worker]`: how jobs are run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerConfig {
    /// How many jobs run at once in this process.
    pub concurrency: usize,
    /// After how many crashes of the process a job that ran in it ends as dead.
    pub max_crashes: u32,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { concurrency: 64, max_crashes: 5 }
    }
}

impl WorkerConfig {
    pub(super) fn read(table: &Table<'_, '_>) -> Self {
        let default = Self::default();
        let count = |key, most| table.get(key).and_then(|it| it.count(1..=most));
        let config = Self {
            concurrency: count("concurrency", 100_000).map_or(default.concurrency, |count| count as usize),
            max_crashes: count("max_crashes", 1000).unwrap_or(default.max_crashes),
        };
        table.finish();
        config
    }
}

const ADDRESS: &str =
    "an IP address and a port, such as \"127.0.0.1:8080\" (or \"0.0.0.0:8080\" for all interfaces)";
const PUBLIC_URL: &str = "an http or https URL without query and user, such as \"https://hooks.example.com\"";

fn address(table: &Table<'_, '_>, default: SocketAddr) -> SocketAddr {
    table.get("listen").and_then(|it| it.parsed(ADDRESS, |text| text.parse().ok())).unwrap_or(default)
}

fn public_url(text: &str) -> Option<String> {
    let url: Url = text.parse().ok()?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    fits.then(|| url.as_str().trim_end_matches('/').to_owned())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}
