use std::net::SocketAddr;

use super::{ask, free_port, this_program, until_200};
use crate::{
    noop::Tally,
    poster,
    process::{Output, Process, Usage},
    store::Shared,
};

/// The running peer: axum and the stock queue of apalis on Redis.
pub(crate) struct Peer {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
    control: SocketAddr,
}

impl Peer {
    /// Starts it on this Redis and waits until it takes deliveries. Without a worker, jobs wait.
    pub(crate) async fn start(shared: &Shared, worker: bool) -> anyhow::Result<Self> {
        let (ingress, control) = (free_port()?, free_port()?);
        let mut command = this_program()?;
        command.args(["serve-peer", "--redis", &shared.url()]);
        command.args(["--ingress", &ingress.to_string(), "--control", &control.to_string()]);
        if worker {
            command.arg("--worker");
        }
        let mut process = Process::start("the peer", &mut command, Output::Log)?;
        until_200(&mut process, ingress, poster::PATH).await?;
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

    /// Ends it: it keeps nothing of its own.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.process.kill().await
    }
}
