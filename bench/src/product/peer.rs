use super::{Role, Tallied, this_program};
use crate::store::Shared;

impl Tallied {
    /// Starts the peer, axum and the stock queue of apalis, on this Redis and waits until it takes deliveries. Without a
    /// worker, jobs wait.
    pub(crate) async fn peer(shared: &Shared, worker: bool) -> anyhow::Result<Self> {
        let mut command = this_program()?;
        command.args(["serve-peer", "--redis", &shared.url()]);
        if worker {
            command.arg("--worker");
        }
        Self::start("the peer", command, if worker { Role::All } else { Role::Ingress }).await
    }
}
