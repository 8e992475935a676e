use std::net::SocketAddr;

use anyhow::Context as _;

use super::{START_LIMIT, this_program};
use crate::process::{Output, Process, Usage};

/// A running floor.
pub(crate) struct Floor {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
}

impl Floor {
    /// Starts it and waits until it listens.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut process = Process::start("the floor", this_program()?.arg("floor"), Output::Lines)?;
        let ingress = process.line(START_LIMIT).await?;
        let ingress =
            ingress.parse().with_context(|| format!("the floor printed {ingress:?} for an address"))?;
        Ok(Self { process, ingress })
    }

    /// What the process has taken so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }

    /// An error if it is not running any more.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        self.process.check().await
    }
}
