use std::{net::SocketAddr, time::Duration};

use anyhow::bail;
use tokio::process::Command;

use super::{Role, STOP_LIMIT, ask, free_port, until_200};
use crate::{
    clock,
    noop::Tally,
    poster,
    process::{Output, Process, Usage},
};

/// A running receiver whose handler does nothing but note when it was started: the library's, or the peer.
pub(crate) struct Tallied {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
    control: SocketAddr,
}

impl Tallied {
    /// Starts the command, which is told where to listen, and waits until deliveries are taken; of workers alone, until
    /// they run.
    pub(super) async fn start(name: &'static str, mut command: Command, role: Role) -> anyhow::Result<Self> {
        let (ingress, control) = (free_port()?, free_port()?);
        command.args(["--ingress", &ingress.to_string(), "--control", &control.to_string()]);
        let mut process = Process::start(name, &mut command, Output::Log)?;
        if role == Role::Worker {
            until_200(&mut process, control, "/tally").await?;
        } else {
            until_200(&mut process, ingress, poster::PATH).await?;
        }
        Ok(Self { process, ingress, control })
    }

    /// What has been handled so far.
    pub(crate) async fn tally(&mut self) -> anyhow::Result<Tally> {
        self.process.check().await?;
        ask(self.control, "GET", "/tally").await
    }

    /// Notes this moment: the tally then says how old the oldest job was that had not been started by now.
    pub(crate) async fn mark(&mut self) -> anyhow::Result<()> {
        self.process.check().await?;
        let _: Tally = ask(self.control, "POST", "/mark").await?;
        Ok(())
    }

    /// Waits until `jobs` jobs have been started.
    pub(crate) async fn handled(&mut self, jobs: u64, limit: Duration) -> anyhow::Result<Tally> {
        until_handled(jobs, limit, async || self.tally().await).await
    }

    /// Waits until these processes have started `jobs` jobs between them.
    pub(crate) async fn handled_by_all(
        all: &mut [Self],
        jobs: u64,
        limit: Duration,
    ) -> anyhow::Result<Tally> {
        until_handled(jobs, limit, async || {
            let mut tallies = Vec::with_capacity(all.len());
            for one in &mut *all {
                tallies.push(one.tally().await?);
            }
            Ok(Tally::together(&tallies))
        })
        .await
    }

    /// The last lines that it printed, to be put behind what is said of it: why its worker ended, if it has.
    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
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

    /// Ends it: for one that keeps nothing of its own.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.process.kill().await
    }
}

/// Waits until `jobs` jobs have been started, as a tally says that is asked for again and again.
async fn until_handled(
    jobs: u64,
    limit: Duration,
    mut tally: impl AsyncFnMut() -> anyhow::Result<Tally>,
) -> anyhow::Result<Tally> {
    let begin = clock::instant();
    loop {
        let now = tally().await?;
        if now.handled >= jobs {
            return Ok(now);
        }
        let waited = clock::instant().duration_since(begin);
        if waited > limit {
            bail!("after {waited:.0?} only {} of {jobs} jobs had been handled", now.handled);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
