//! The peer: what one would build on the same crates without Doorbell.

#[cfg(feature = "peer")]
mod serve;

use std::net::SocketAddr;

use clap::Args;
#[cfg(feature = "peer")]
pub(crate) use serve::serve;

/// Where the peer works.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Where Redis is.
    #[arg(long)]
    pub(crate) redis: String,
    /// Where deliveries go.
    #[arg(long)]
    pub(crate) ingress: SocketAddr,
    /// Where the tally is told.
    #[arg(long)]
    pub(crate) control: SocketAddr,
    /// Handle jobs too, instead of only queueing them.
    #[arg(long)]
    pub(crate) worker: bool,
}

/// Says that the peer is not part of this program.
#[cfg(not(feature = "peer"))]
pub(crate) fn serve(_: Options) -> impl Future<Output = anyhow::Result<()>> {
    std::future::ready(Err(anyhow::anyhow!("built without the peer; build with `--features peer`")))
}
