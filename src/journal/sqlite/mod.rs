//! The embedded store: one `SQLite` file, one writer thread with group commit, readers beside it.
//!
//! Every operation that changes something is a command to the writer (`writer.rs`), which commits all that has come in
//! together and answers when the fsync has returned. Listings read from a connection of their own.

mod accept;
mod checkpoint;
mod claim;
mod hand_over;
mod manage;
mod open;
mod outbox;
mod read;
mod row;
mod schema;
mod session;
mod settle;
mod size;
mod sweep;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

pub use self::open::OpenError;
#[cfg(feature = "cli")]
pub(crate) use self::open::{create_private_folder, is_in_use};
#[cfg(any(test, feature = "redis"))]
pub(crate) use self::outbox::{Held, Limits, Outbox, Progress, Watch};
use self::{
    accept::Prepared,
    checkpoint::Checkpointer,
    outbox::Recent,
    row::{from_sql, to_sql},
    session::Session,
    sweep::Hands,
    writer::{Command, Work, Writer},
};
use crate::{
    clock::Clock,
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, DeliveryRecord, DeliverySummary, Demand, Discarded, Filter, Health, JobRecord,
        Lease, NewDelivery, NewEvent, Outcome, Page, ReplayJobs, Retention, Stats, Store, StoreError, Swept,
    },
};

/// How the embedded store is run.
#[derive(Debug, Clone)]
pub(crate) struct SqliteOptions {
    /// The data folder.
    pub(crate) dir: PathBuf,
    /// How large the file may grow, in bytes; then deliveries are refused.
    pub(crate) max_size: u64,
    /// How long a claim lasts without being renewed.
    pub(crate) lease: Duration,
    /// After how many crashes a job is dead.
    pub(crate) max_crashes: u32,
}

impl SqliteOptions {
    pub(crate) fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), max_size: 10 << 30, lease: Duration::from_secs(30), max_crashes: 5 }
    }
}

/// The embedded store. Closes when it is dropped, after everything that it was told to do is done.
pub(crate) struct Sqlite {
    commands: Option<Sender<Command>>,
    reader: Arc<Mutex<Connection>>,
    health: Arc<Mutex<Health>>,
    hands: Arc<Mutex<Hands>>,
    last_seq: u64,
    posted: watch::Receiver<i64>,
    recent: Arc<Mutex<Recent>>,
    thread: Option<JoinHandle<()>>,
}

impl Sqlite {
    /// Opens the store in the options' folder, made if it is not there. Jobs that an earlier process left running are
    /// queued again. What a relay was to move from here to a shared queue is not forgotten: it is an error.
    pub(crate) fn open(options: SqliteOptions, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let slot = open::Slot::lock_soon(&options.dir, 0)?;
        for number in open::Slot::numbers(&options.dir)?.into_iter().filter(|number| *number != 0) {
            match open::Slot::lock(&options.dir, number) {
                Ok(other) => outbox::refuse_unrelayed(&other, &open::open_reader(&other)?)?,
                // Somebody looks after it.
                Err(OpenError::Locked { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Self::open_slot(slot, options, clock, outbox::refuse_unrelayed)
    }

    /// Opens the journal of a slot, unless `refuse` finds work in it that nobody would do.
    fn open_slot(
        slot: open::Slot,
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
        refuse: impl FnOnce(&open::Slot, &Connection) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        let slot = Arc::new(slot);
        open::resync_wal(&slot)?;
        let connection = open::open_writer(&slot)?;
        refuse(&slot, &connection)?;
        let reader = open::open_reader(&slot)?;
        let io_error = |source| OpenError::Io { path: slot.database.clone(), source };
        let checkpointer = Checkpointer::start(open::open_checkpointer(&slot)?).map_err(io_error)?;
        let health = Arc::new(Mutex::new(Health { trouble: None, warning: None }));
        let (commands, received) = channel();
        let database = |source| OpenError::database(&slot.database, source);
        let writer =
            Writer::start(received, connection, slot.clone(), options, clock, health.clone(), checkpointer)
                .map_err(database)?;
        let last_seq = from_sql(writer.last_seq().map_err(database)?);
        let (posted, recent) = (writer.posted(), writer.recent());
        let thread = std::thread::Builder::new()
            .name("doorbell-journal".into())
            .spawn(|| writer.run())
            .map_err(io_error)?;
        Ok(Self {
            commands: Some(commands),
            reader: Arc::new(Mutex::new(reader)),
            health,
            hands: Arc::default(),
            last_seq,
            posted,
            recent,
            thread: Some(thread),
        })
    }

    /// The place of the last delivery that was stored when the file was opened.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn send(&self, command: Command) -> Result<(), StoreError> {
        self.commands.as_ref().and_then(|commands| commands.send(command).ok()).ok_or_else(stopped)
    }

    /// Runs an operation inside the writer's next transaction.
    async fn write<T: Send + 'static>(
        &self,
        operation: impl FnMut(&mut Session<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Work(Box::new(Operation { run: operation, value: None, reply })))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Runs a query beside the writer.
    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = self.reader.clone();
        tokio::task::spawn_blocking(move || query(&reader.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .unwrap_or_else(|error| Err(StoreError::Unavailable(error.to_string())))
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        drop(self.commands.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Accept(Box::new(Prepared::new(delivery)), reply))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn claims(&self, demand: Arc<dyn Demand>) -> mpsc::UnboundedReceiver<ClaimedJob> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // With the writer gone, the sender is dropped and the receiver sees the end.
        let _ = self.send(Command::Claims(demand, sender));
        receiver
    }

    fn wake(&self) {
        let _ = self.send(Command::Wake);
    }

    async fn settle(&self, lease: Lease, outcome: Outcome) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Settle(lease, outcome, reply))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn renew(&self, leases: Vec<Lease>) -> Result<Vec<Lease>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Renew(leases, reply))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        self.read(move |connection| read::deliveries(connection, &filter)).await
    }

    async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError> {
        self.read(move |connection| read::jobs(connection, &filter)).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.read(move |connection| read::delivery(connection, id).map_err(unavailable)).await
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let prefix = tail::prefix(id);
        let fresh = self.write(move |session| Ok(session.memory.tail.deliveries_of_job(prefix))).await?;
        self.read(move |connection| {
            let merged = read::deliveries_of_job(connection, prefix).map_err(unavailable)?;
            for seq in fresh.into_iter().chain(merged) {
                let summary = read::summary(connection, to_sql(seq)).map_err(unavailable)?;
                let jobs = summary.into_iter().flat_map(|summary| summary.jobs);
                if let Some(job) = jobs.into_iter().find(|job| job.id == id) {
                    return Ok(Some(job));
                }
            }
            Ok(None)
        })
        .await
    }

    async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        if id.get_version_num() == 5 {
            return Ok(self.job(id.into()).await?.map(|job| job.delivery_id));
        }
        self.read(move |connection| read::delivery_with(connection, id).map_err(unavailable)).await
    }

    async fn replay(&self, delivery: DeliveryId, which: ReplayJobs) -> Result<usize, StoreError> {
        self.write(move |session| session.replay(delivery, &which)).await
    }

    async fn discard(&self, job: JobId) -> Result<Discarded, StoreError> {
        let Some(record) = self.job(job).await? else { return Ok(Discarded::NotFound) };
        self.write(move |session| session.discard(record.delivery_id, job)).await
    }

    async fn reroute(&self, delivery: DeliveryId, events: Vec<NewEvent>) -> Result<usize, StoreError> {
        self.write(move |session| session.reroute(delivery, &events)).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        self.write(|session| Ok(session.memory.stats.clone())).await
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        let hands = self.hands.clone();
        self.write(move |session| {
            session.sweep(retention, &mut hands.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .await
    }

    fn health(&self) -> Health {
        if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
            let trouble = "the journal's writer has ended, which is a bug; restart the service";
            return Health { trouble: Some(trouble.into()), warning: None };
        }
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the journal is closed".into())
}

/// A closure on its way through the writer.
struct Operation<F, T> {
    run: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, F: FnMut(&mut Session<'_>) -> rusqlite::Result<T> + Send> Work for Operation<F, T> {
    fn apply(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()> {
        self.value = Some((self.run)(session)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<StoreError>) {
        let result = match (failure, self.value) {
            (None, Some(value)) => Ok(value),
            (failure, _) => Err(failure.unwrap_or_else(stopped)),
        };
        // Nobody waits any more: the operation is done all the same.
        let _ = self.reply.send(result);
    }
}
