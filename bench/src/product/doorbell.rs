use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use super::{ADMIN_TOKEN, STOP_LIMIT, ask, free_port, until_200};
use crate::{
    clock, poster,
    process::{Output, Process, Usage},
    store::{Shared, Store},
};

/// A running `doorbell serve`.
pub(crate) struct Doorbell {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
    admin: SocketAddr,
    /// From starting the process to the first `200` of `/readyz`.
    pub(crate) took: Duration,
    _config: TempDir,
}

/// Which part of the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Ingress and workers.
    All,
    /// Only the ingress: jobs wait.
    Ingress,
    /// Only workers.
    Worker,
}

impl Role {
    /// What the command line calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Ingress => "ingress",
            Self::Worker => "worker",
        }
    }
}

/// What `GET /api/stats` says.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Stats {
    pub(crate) jobs: Jobs,
    pub(crate) relay: Relay,
}

/// How many jobs are in which state.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Jobs {
    pub(crate) queued: u64,
    pub(crate) running: u64,
    pub(crate) retrying: u64,
    pub(crate) done: u64,
    pub(crate) dead: u64,
}

/// What has not yet been moved from the journal to Redis. Always nothing on the embedded queue.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Relay {
    pub(crate) backlog: u64,
}

impl Doorbell {
    /// Starts the command on this store, with one route of this name, and waits until it is ready.
    pub(crate) async fn start(
        program: &Path,
        store: &Store,
        role: Role,
        route: &str,
    ) -> anyhow::Result<Self> {
        let (ingress, admin) = (free_port()?, free_port()?);
        let config = tempfile::tempdir()?;
        let file = config.path().join("doorbell.toml");
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        fs::write(
            &file,
            format!(
                r#"[ingress]
listen = "{ingress}"
drain = "0s"
[admin]
listen = "{admin}"
token = "{ADMIN_TOKEN}"
[journal]
dir = {dir}
{queue}[[source]]
name = "{source}"
provider = "poster"
secret = "{secret}"
[[route]]
name = {route}
source = "{source}"
events = ["*"]
target = {{ log = {{}} }}
"#,
                dir = quoted(store.data().to_str().context("a data folder whose path is not UTF-8")?),
                queue = store.shared().map(section).unwrap_or_default(),
                source = poster::SOURCE,
                secret = poster::SECRET,
                route = quoted(route),
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&file).arg("--role");
        command.arg(role.as_str());
        command.current_dir(config.path());
        let begin = clock::instant();
        let mut process = Process::start("doorbell serve", &mut command, Output::Log)?;
        until_200(&mut process, admin, "/readyz").await?;
        let took = clock::instant().duration_since(begin);
        Ok(Self { process, ingress, admin, took, _config: config })
    }

    /// What the admin API counts.
    pub(crate) async fn stats(&mut self) -> anyhow::Result<Stats> {
        self.process.check().await?;
        ask(self.admin, "GET", "/api/stats").await
    }

    /// Waits until all that was taken in has been moved to where jobs wait, and tells them by state.
    pub(crate) async fn relayed(&mut self, limit: Duration) -> anyhow::Result<Jobs> {
        let begin = clock::instant();
        loop {
            self.check().await?;
            // A service that has not found its Redis yet cannot tell what is in there.
            let last = match self.stats().await {
                Ok(Stats { jobs, relay: Relay { backlog: 0 } }) => return Ok(jobs),
                Ok(Stats { relay, .. }) => format!("{} deliveries had not been moved", relay.backlog),
                Err(error) => format!("{error:#}"),
            };
            let waited = clock::instant().duration_since(begin);
            if waited > limit {
                bail!("not everything was in the queue after {waited:.0?}: {last}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What the process has taken so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }

    /// An error if it is not running any more.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        self.process.check().await
    }

    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(STOP_LIMIT).await
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.process.kill().await
    }
}

/// The configuration's section on a queue that is shared.
fn section(shared: &Shared) -> String {
    format!("[queue]\nurl = \"{}\"\nlanes = {}\n", shared.url(), shared.lanes)
}
