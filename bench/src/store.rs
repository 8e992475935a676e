//! Stores that hold many deliveries: made once in a run, by the product itself, and copied for each use.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::{
    product::{Doorbell, NOOP_ROUTE, Role, Tallied, free_port},
    queue::Queue,
    redis::{self, Costs},
    scenario::{Bench, Shape},
};

/// The stores made so far. All lie in the run's own folder and go with it.
#[derive(Debug, Default)]
pub(crate) struct Stores {
    waiting: BTreeMap<(u64, u32), Filled>,
    handled: BTreeMap<u64, PathBuf>,
}

/// A store in which many jobs wait.
#[derive(Debug)]
struct Filled {
    folder: PathBuf,
    /// What taking them in cost Redis.
    costs: Option<Costs>,
}

/// Where one service keeps everything: a data folder, and a Redis where the queue is shared.
pub(crate) struct Store {
    // Before the folder: it is stopped before its data goes.
    shared: Option<Shared>,
    folder: TempDir,
    data: PathBuf,
}

/// A Redis of the store's own, at an address that it keeps while it is stopped.
pub(crate) struct Shared {
    address: SocketAddr,
    /// Over how many lanes the queue is spread.
    pub(crate) lanes: u32,
    server: Option<redis::Server>,
}

impl Store {
    /// A store in this folder. Its Redis, for a queue over so many lanes, is not started yet.
    fn new(folder: TempDir, lanes: Option<u32>) -> anyhow::Result<Self> {
        let shared = |lanes| anyhow::Ok(Shared { address: free_port()?, lanes, server: None });
        let data = folder.path().join("data");
        fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
        Ok(Self { shared: lanes.map(shared).transpose()?, folder, data })
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// A folder beside the data folder, for a process that needs one.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Empties the journal, where the queue is on Redis. What was copied has a restarted Redis, and such a one is offered
    /// again all that the journal keeps: beside what is to be measured, and in front of what comes in.
    pub(crate) fn begin_journal_anew(&self) -> anyhow::Result<()> {
        if self.shared.is_some() {
            fs::remove_dir_all(&self.data)
                .and_then(|()| fs::create_dir(&self.data))
                .context("cannot empty a journal")?;
        }
        Ok(())
    }

    /// The Redis on which the queue is; `None` if it is embedded.
    pub(crate) fn shared(&self) -> Option<&Shared> {
        self.shared.as_ref()
    }

    /// The running Redis; `None` if there is none.
    pub(crate) fn redis(&mut self) -> Option<&mut redis::Server> {
        self.shared.as_mut()?.server.as_mut()
    }

    /// Starts its Redis, if it has one.
    pub(crate) async fn open(&mut self) -> anyhow::Result<()> {
        if let Some(shared) = &mut self.shared {
            let server = redis::Server::start(&self.folder.path().join("redis"), shared.address).await?;
            shared.server = Some(server);
        }
        Ok(())
    }

    /// What its Redis has done so far; `None` if there is none.
    pub(crate) async fn costs(&mut self) -> anyhow::Result<Option<Costs>> {
        match self.redis() {
            Some(server) => Ok(Some(server.costs().await?)),
            None => Ok(None),
        }
    }

    /// Stops its Redis, and keeps everything that it holds, in the folder that this returns.
    async fn keep(self) -> anyhow::Result<PathBuf> {
        let Self { shared, folder, .. } = self;
        if let Some(server) = shared.and_then(|shared| shared.server) {
            server.stop().await?;
        }
        Ok(folder.keep())
    }
}

impl Shared {
    /// Where it is, as configurations name it.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Bench {
    /// An empty store on the queue of this run.
    pub(crate) async fn empty_store(&self) -> anyhow::Result<Store> {
        let mut store = self.closed_store(self.queue)?;
        store.open().await?;
        Ok(store)
    }

    /// An empty store on a queue. Its Redis, if it has one, is not started yet.
    pub(crate) fn closed_store(&self, queue: Queue) -> anyhow::Result<Store> {
        Store::new(self.new_folder()?, (queue == Queue::Redis).then_some(1))
    }

    /// A store in which this many jobs wait for [`NOOP_ROUTE`].
    pub(crate) async fn waiting_store(&mut self, jobs: u64) -> anyhow::Result<Store> {
        Ok(self.waiting_store_over(jobs, 1).await?.0)
    }

    /// The same over so many lanes, and what taking them in cost Redis.
    pub(crate) async fn waiting_store_over(
        &mut self,
        jobs: u64,
        lanes: u32,
    ) -> anyhow::Result<(Store, Option<Costs>)> {
        if !self.stores.waiting.contains_key(&(jobs, lanes)) {
            let filled = self.fill(jobs, lanes).await;
            let filled = filled.with_context(|| format!("cannot fill a store with {jobs} jobs"))?;
            self.stores.waiting.insert((jobs, lanes), filled);
        }
        let filled = &self.stores.waiting[&(jobs, lanes)];
        Ok((self.copy(&filled.folder, lanes).await?, filled.costs))
    }

    /// A store with this many deliveries, all of them handled.
    pub(crate) async fn handled_store(&mut self, jobs: u64) -> anyhow::Result<Store> {
        if !self.stores.handled.contains_key(&jobs) {
            let store = self.waiting_store(jobs).await?;
            self.progress(format!("handling {jobs} jobs"));
            let mut noop = Tallied::noop(&store).await?;
            noop.handled(jobs, drain_limit(jobs)).await?;
            noop.stop().await?;
            self.keep_handled(jobs, store).await?;
        }
        let store = self.copy(&self.stores.handled[&jobs], 1).await?;
        store.begin_journal_anew()?;
        Ok(store)
    }

    /// Keeps a store whose deliveries have all been handled, for [`handled_store`](Self::handled_store).
    pub(crate) async fn keep_handled(&mut self, jobs: u64, store: Store) -> anyhow::Result<()> {
        if let Entry::Vacant(entry) = self.stores.handled.entry(jobs) {
            entry.insert(store.keep().await?);
        }
        Ok(())
    }

    async fn fill(&mut self, jobs: u64, lanes: u32) -> anyhow::Result<Filled> {
        let mut store = Store::new(self.new_folder()?, (self.queue == Queue::Redis).then_some(lanes))?;
        store.open().await?;
        let program = self.doorbell().await?;
        let mut doorbell = Doorbell::start(&program, &store, Role::Ingress, NOOP_ROUTE).await?;
        let before = store.costs().await?;
        self.progress(format!("taking in {jobs} deliveries"));
        let outcome = self.load("filling a store", doorbell.ingress, Shape::Count(jobs)).await;
        doorbell.check().await?;
        let acked = outcome?.acked;
        let waiting = doorbell.relayed(drain_limit(jobs)).await?.queued;
        ensure!(acked == jobs && waiting == jobs, "{acked} were acknowledged and {waiting} are queued");
        let costs = store.costs().await?.zip(before).map(|(after, before)| after.since(before));
        doorbell.stop().await?;
        Ok(Filled { folder: store.keep().await?, costs })
    }

    /// A running copy of a store.
    async fn copy(&self, from: &Path, lanes: u32) -> anyhow::Result<Store> {
        let (to, from) = (self.new_folder()?, from.to_owned());
        let target = to.path().to_owned();
        let copied = tokio::task::spawn_blocking(move || copy_folder(&from, &target)).await?;
        copied.context("cannot copy a filled store; is the disk full?")?;
        let mut store = Store::new(to, (self.queue == Queue::Redis).then_some(lanes))?;
        store.open().await?;
        Ok(store)
    }

    fn new_folder(&self) -> anyhow::Result<TempDir> {
        let made = tempfile::Builder::new().prefix("store-").tempdir_in(self.folder());
        made.with_context(|| format!("cannot make a folder in {}", self.folder().display()))
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
