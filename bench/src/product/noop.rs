use std::path::Path;

use super::{Role, Tallied, this_program};
use crate::store::Store;

impl Tallied {
    /// Starts the library's ingress and workers on this store and waits until deliveries are taken.
    pub(crate) async fn noop(store: &Store) -> anyhow::Result<Self> {
        noop(Role::All, store, store.data()).await
    }

    /// Starts only the library's workers, which need a shared queue, and waits until they run.
    pub(crate) async fn noop_worker(store: &Store, data: &Path) -> anyhow::Result<Self> {
        noop(Role::Worker, store, data).await
    }
}

async fn noop(role: Role, store: &Store, data: &Path) -> anyhow::Result<Tallied> {
    let mut command = this_program()?;
    command.arg("serve-noop").arg("--data").arg(data);
    if let Some(shared) = store.shared() {
        command.args(["--redis", &shared.url(), "--lanes", &shared.lanes.to_string()]);
    }
    if role == Role::Worker {
        command.arg("--worker");
    }
    Tallied::start("serve-noop", command, role).await
}
