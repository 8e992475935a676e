//! Data folders that hold many deliveries: made once in a run, by the product itself, and copied for each use.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::{
    product::{Doorbell, NOOP_ROUTE, Noop, Role},
    scenario::{Bench, Shape},
};

/// The folders made so far, by the number of deliveries in them. All lie in the run's own folder and go with it.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    waiting: BTreeMap<u64, PathBuf>,
    handled: BTreeMap<u64, PathBuf>,
}

impl Bench {
    /// An empty data folder.
    pub(crate) fn empty_store(&self) -> anyhow::Result<TempDir> {
        let made = tempfile::Builder::new().prefix("data-").tempdir_in(self.folder());
        made.with_context(|| format!("cannot make a folder in {}", self.folder().display()))
    }

    /// A data folder in which this many jobs wait for [`NOOP_ROUTE`].
    pub(crate) async fn waiting_store(&mut self, jobs: u64) -> anyhow::Result<TempDir> {
        if !self.stores.waiting.contains_key(&jobs) {
            let made =
                self.fill(jobs).await.with_context(|| format!("cannot fill a store with {jobs} jobs"))?;
            self.stores.waiting.insert(jobs, made);
        }
        self.copy(&self.stores.waiting[&jobs]).await
    }

    /// A data folder with this many deliveries, all of them handled.
    pub(crate) async fn handled_store(&mut self, jobs: u64) -> anyhow::Result<TempDir> {
        if !self.stores.handled.contains_key(&jobs) {
            let store = self.waiting_store(jobs).await?;
            self.progress(format!("handling {jobs} jobs"));
            let mut noop = Noop::start(store.path()).await?;
            noop.handled(jobs, drain_limit(jobs)).await?;
            noop.stop().await?;
            self.keep_handled(jobs, store);
        }
        self.copy(&self.stores.handled[&jobs]).await
    }

    /// Keeps a folder whose deliveries have all been handled, for [`handled_store`](Self::handled_store).
    pub(crate) fn keep_handled(&mut self, jobs: u64, store: TempDir) {
        self.stores.handled.entry(jobs).or_insert_with(|| store.keep());
    }

    async fn fill(&mut self, jobs: u64) -> anyhow::Result<PathBuf> {
        let store = self.empty_store()?;
        let program = self.doorbell().await?;
        let mut doorbell = Doorbell::start(&program, store.path(), Role::Ingress, NOOP_ROUTE).await?;
        self.progress(format!("taking in {jobs} deliveries"));
        let outcome = self.load("filling a store", doorbell.ingress, Shape::Count(jobs)).await;
        doorbell.check().await?;
        let acked = outcome?.acked;
        let waiting = doorbell.jobs().await?.queued;
        ensure!(acked == jobs && waiting == jobs, "{acked} were acknowledged and {waiting} are queued");
        doorbell.stop().await?;
        Ok(store.keep())
    }

    async fn copy(&self, from: &Path) -> anyhow::Result<TempDir> {
        let (to, from) = (self.empty_store()?, from.to_owned());
        let target = to.path().to_owned();
        let copied = tokio::task::spawn_blocking(move || copy_folder(&from, &target)).await?;
        copied.context("cannot copy a filled store; is the disk full?")?;
        Ok(to)
    }
}

/// How long handling this many jobs may take before it counts as failed: a thirtieth of the promised speed.
pub(crate) fn drain_limit(jobs: u64) -> Duration {
    Duration::from_secs(30 + jobs / 500)
}

/// Copies a folder, down to the disk: what was left to be written later would disturb the measurement.
fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            fs::set_permissions(&to, entry.metadata()?.permissions())?;
            copy_folder(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
            File::open(&to)?.sync_all()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_folders_within_folders() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir(from.path().join("journal-0")).unwrap();
        fs::write(from.path().join("journal-0/journal.db"), b"deliveries").unwrap();
        copy_folder(from.path(), to.path()).unwrap();
        assert_eq!(fs::read(to.path().join("journal-0/journal.db")).unwrap(), b"deliveries");
    }
}
