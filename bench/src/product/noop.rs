use std::{net::SocketAddr, path::Path, time::Duration};

use super::{Role, STOP_LIMIT, ask, free_port, this_program, until_200, until_handled};
use crate::{
    noop::Tally,
    poster,
    process::{Output, Process, Usage},
    store::Store,
};

/// A running receiver (ingress and workers) whose handler does nothing but note when it was started.
pub(crate) struct Noop {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
    control: SocketAddr,
}

impl Noop {
    /// Starts ingress and workers on this store and waits until deliveries are taken.
    pub(crate) async fn start(store: &Store) -> anyhow::Result<Self> {
        Self::start_as(Role::All, store, store.data()).await
    }

    /// Starts only workers, which need a shared queue, and waits until they run.
    pub(crate) async fn start_worker(store: &Store, data: &Path) -> anyhow::Result<Self> {
        Self::start_as(Role::Worker, store, data).await
    }

    async fn start_as(role: Role, store: &Store, data: &Path) -> anyhow::Result<Self> {
        let (ingress, control) = (free_port()?, free_port()?);
        let mut command = this_program()?;
        command.arg("serve-noop").arg("--data").arg(data);
        command.args(["--ingress", &ingress.to_string(), "--control", &control.to_string()]);
        if let Some(shared) = store.shared() {
            command.args(["--redis", &shared.url(), "--lanes", &shared.lanes.to_string()]);
        }
        if role == Role::Worker {
            command.arg("--worker");
        }
        let mut process = Process::start("serve-noop", &mut command, Output::Log)?;
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
}
