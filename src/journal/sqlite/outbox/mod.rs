//! The journal as an outbox: deliveries wait here, durable, until a relay has moved them to a queue that machines share.
//!
//! One lean row a delivery, appended in the order of the commits. Nothing is recognised here and no job is made: that is
//! the shared queue's. How far the rows are moved is one number; those behind it stay a while, to be offered again to a
//! queue that has lost writes.

mod progress;
#[cfg(any(test, feature = "redis"))]
mod read;
mod recent;
#[cfg(any(test, feature = "redis"))]
mod row;
#[cfg(any(test, feature = "redis"))]
mod sweep;

#[cfg(any(test, feature = "redis"))]
use std::{
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

#[cfg(any(test, feature = "redis"))]
use bytes::Bytes;
#[cfg(any(test, feature = "redis"))]
use rusqlite::Connection;
use rusqlite::params;
#[cfg(any(test, feature = "redis"))]
use tokio::sync::{oneshot, watch};

#[cfg(any(test, feature = "redis"))]
use self::{
    progress::{Facts, facts, holds_nothing, refuse_unended, write_progress, write_watch},
    sweep::STEP,
};
#[cfg(any(test, feature = "redis"))]
pub(crate) use self::{
    progress::{Progress, Watch},
    read::{Held, Limits},
    sweep::Cleared,
};
pub(super) use self::{
    progress::{end, refuse_unrelayed},
    recent::Recent,
};
#[cfg(any(test, feature = "redis"))]
use super::{
    Sqlite, SqliteOptions,
    open::{self, OpenError, Slot},
    row::from_sql,
    stopped, unavailable,
    writer::Command,
};
use super::{
    session::{Frequent, Session},
    writer::FULL,
};
use crate::journal::{StoreError, sealed::Sealed};
#[cfg(any(test, feature = "redis"))]
use crate::{
    clock::{Clock, Timestamp},
    delivery::DeliveryId,
    journal::{DeliveryRecord, DeliverySummary, Health, NewDelivery},
};

/// A delivery with all that can be computed before the writer's turn comes.
#[derive(Debug)]
pub(super) struct OutboxRow {
    pub(super) sealed: Sealed,
    plan: String,
}

/// A journal that holds deliveries until they are moved. Closes when it is dropped.
#[cfg(any(test, feature = "redis"))]
pub(crate) struct Outbox {
    journal: Sqlite,
    /// The relay's own: a listing under way must not hold it up.
    relay_reader: Arc<Mutex<Connection>>,
    slot: u32,
    facts: Facts,
    max_size: u64,
}

#[cfg(any(test, feature = "redis"))]
impl Outbox {
    /// Opens the first slot of the options' folder that nobody has; makes one if there is none.
    pub(crate) fn open_free(options: SqliteOptions, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let (number, slot) = Slot::lock_free(&options.dir)?;
        Self::open(number, slot, options, clock)
    }

    /// Opens a slot that nobody has any more and that still holds something; `None` if it is in use or empty.
    pub(crate) fn adopt(
        number: u32,
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Option<Self>, OpenError> {
        let slot = match Slot::lock(&options.dir, number) {
            Ok(slot) => slot,
            Err(OpenError::Locked { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A look first: opening it in earnest costs a sync of its log. What can't be looked at is opened in earnest,
        // which says what is wrong with it.
        let is_empty = open::open_reader(&slot).is_ok_and(|reader| holds_nothing(&reader).unwrap_or(false));
        if is_empty {
            return Ok(None);
        }
        Self::open(number, slot, options, clock).map(Some)
    }

    /// The numbers of the slots that a data folder has.
    pub(crate) fn slots(dir: &Path) -> Result<Vec<u32>, OpenError> {
        Slot::numbers(dir)
    }

    /// Those of them that a process has.
    pub(crate) fn in_use(dir: &Path) -> Result<Vec<u32>, OpenError> {
        let is_locked = |number: &u32| matches!(Slot::lock(dir, *number), Err(OpenError::Locked { .. }));
        Ok(Slot::numbers(dir)?.into_iter().filter(is_locked).collect())
    }

    fn open(
        number: u32,
        slot: Slot,
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let (folder, max_size) = (slot.folder(), options.max_size);
        let mut relay_reader = None;
        let mut found = None;
        let journal = Sqlite::open_slot(slot, options, clock, |slot, connection| {
            refuse_unended(slot, connection)?;
            let database = |source| OpenError::database(&slot.database, source);
            found = Some(facts(connection).map_err(database)?);
            relay_reader = Some(open::open_reader(slot)?);
            Ok(())
        })?;
        let missing = || OpenError::Io { path: folder, source: std::io::ErrorKind::Other.into() };
        let (reader, facts) = relay_reader.zip(found).ok_or_else(missing)?;
        let relay_reader = Arc::new(Mutex::new(reader));
        Ok(Self { journal, relay_reader, slot: number, facts, max_size })
    }

    /// The slot's number.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// A random name that the slot keeps: whoever has the slot's lock is this host, and no other process is.
    pub(crate) fn host(&self) -> &str {
        &self.facts.host
    }

    /// How far an earlier relay had come when the slot was opened.
    pub(crate) fn progress(&self) -> &Progress {
        &self.facts.progress
    }

    /// For how long earlier relays had watched what they moved when the slot was opened.
    pub(crate) fn watch(&self) -> &Watch {
        &self.facts.watch
    }

    /// The place of the latest delivery here when the slot was opened.
    pub(crate) fn last_seq(&self) -> u64 {
        self.facts.last_seq
    }

    /// Stores a delivery; its position. When this returns `Ok`, an fsync that covers it has returned. Dropping the
    /// future does not cancel a commit under way.
    pub(crate) async fn accept(&self, delivery: NewDelivery) -> Result<i64, StoreError> {
        let (reply, answer) = oneshot::channel();
        let mut sealed = Sealed::from(delivery);
        // A body as it came is a piece of its connection's buffer, and it may stay in memory for a while.
        sealed.body = Bytes::copy_from_slice(&sealed.body);
        let plan = row::plan(&sealed);
        self.journal.send(Command::Post(Box::new(OutboxRow { sealed, plan }), reply))?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Follows the position of the last durable row.
    pub(crate) fn posted(&self) -> watch::Receiver<i64> {
        self.journal.posted.clone()
    }

    /// The position of the last durable row.
    pub(crate) fn end(&self) -> i64 {
        *self.journal.posted.borrow()
    }

    /// The rows behind one position and up to another, in order, within the limits and at least one if there is one. Asked
    /// for again, they are read from the file.
    pub(crate) async fn between(
        &self,
        after: i64,
        until: i64,
        limits: Limits,
    ) -> Result<Vec<Held>, StoreError> {
        if let Some(rows) = self.recent().take(after, until, limits) {
            return Ok(rows);
        }
        let reader = self.relay_reader.clone();
        tokio::task::spawn_blocking(move || {
            read::between(&reader.lock().unwrap_or_else(PoisonError::into_inner), after, until, limits)
        })
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
        .map_err(unavailable)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.journal.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down how far the relay has come: what `duplicates` names goes, what `refused` names stays with its reason.
    /// Without a `watch` the file's stays as it is.
    pub(crate) async fn save(
        &self,
        progress: Progress,
        watch: Option<Watch>,
        duplicates: Vec<i64>,
        refused: Vec<(i64, String)>,
    ) -> Result<(), StoreError> {
        self.journal
            .write(move |session| {
                let connection = session.connection;
                for position in &duplicates {
                    connection
                        .prepare_cached("DELETE FROM outbox WHERE position = ?1")?
                        .execute([position])?;
                }
                for (position, why) in &refused {
                    connection
                        .prepare_cached("UPDATE outbox SET refused = ?2 WHERE position = ?1")?
                        .execute(params![position, why])?;
                }
                if let Some(watch) = &watch {
                    write_watch(connection, watch)?;
                }
                write_progress(connection, &progress)
            })
            .await
    }

    /// Sets the mark back to before the first row that is still there, and writes down the histories that are the
    /// reason. What was moved counts as kept when it is moved anew. The progress from now on.
    pub(crate) async fn set_back(&self, progress: Progress) -> Result<Progress, StoreError> {
        // What was moved may still be held, and not be in the file any more.
        self.recent().clear();
        self.journal
            .write(move |session| {
                let connection = session.connection;
                let first: Option<i64> =
                    connection.query_row("SELECT min(position) FROM outbox", [], |row| row.get(0))?;
                let before_first = first.map_or(session.memory.outbox_end, |first| first - 1);
                let relayed = before_first.min(progress.relayed);
                let progress = Progress { relayed, ..progress.clone() };
                // They get their chance with the others.
                connection.execute("UPDATE outbox SET refused = NULL WHERE refused IS NOT NULL", [])?;
                write_watch(connection, &Watch::default())?;
                write_progress(connection, &progress)?;
                Ok(progress)
            })
            .await
    }

    /// Deletes one bounded step's worth of the moved rows: those up to the position `kept`, and as many more as it takes
    /// for the file to be less than nearly full.
    pub(crate) async fn clear(&self, kept: i64) -> Result<Cleared, StoreError> {
        let max_size = self.max_size;
        self.journal.write(move |session| session.clear_outbox(kept, max_size)).await
    }

    /// Deletes one bounded step's worth of what the queue refused before this time.
    pub(crate) async fn sweep_refused(&self, before: Timestamp) -> Result<(), StoreError> {
        self.journal
            .write(move |session| {
                session
                    .connection
                    .prepare_cached(
                        "DELETE FROM outbox WHERE position IN (
                             SELECT position FROM outbox WHERE refused IS NOT NULL AND received_at < ?1 LIMIT ?2)",
                    )?
                    .execute([before.as_millis(), STEP])?;
                Ok(())
            })
            .await
    }

    /// How many deliveries the queue has refused that are still here.
    pub(crate) async fn refused(&self) -> Result<u64, StoreError> {
        let count = |connection: &Connection| {
            let sql = "SELECT count(*) FROM outbox WHERE refused IS NOT NULL";
            connection.query_row(sql, [], |row| row.get(0)).map(from_sql).map_err(unavailable)
        };
        self.journal.read(count).await
    }

    /// Whether nothing is left here: nothing that a relay could have to move, and nothing that was refused.
    pub(crate) async fn holds_nothing(&self) -> Result<bool, StoreError> {
        self.journal.read(|connection| holds_nothing(connection).map_err(unavailable)).await
    }

    /// What waits behind this position or was refused, the newest first, with an id below `below`.
    pub(crate) async fn summaries(
        &self,
        beyond: i64,
        below: Option<DeliveryId>,
        take: impl FnMut(DeliverySummary, &[u8]) -> bool + Send + 'static,
    ) -> Result<(), StoreError> {
        self.journal
            .read(move |connection| read::summaries(connection, beyond, below, take).map_err(unavailable))
            .await
    }

    /// All of a delivery that waits behind this position or was refused.
    pub(crate) async fn delivery(
        &self,
        beyond: i64,
        id: DeliveryId,
    ) -> Result<Option<DeliveryRecord>, StoreError> {
        self.journal.read(move |connection| read::delivery(connection, beyond, id).map_err(unavailable)).await
    }

    /// The delivery that waits behind this position or was refused, and to which an id of any kind belongs. A job's says
    /// nothing of its place: one after the other is looked at, and other readers have their turn meanwhile.
    pub(crate) async fn locate(&self, beyond: i64, id: uuid::Uuid) -> Result<Option<DeliveryId>, StoreError> {
        if id.get_version_num() != 5 {
            let look =
                move |connection: &Connection| read::locate(connection, beyond, id).map_err(unavailable);
            return self.journal.read(look).await;
        }
        let mut below = None;
        loop {
            let look =
                move |connection: &Connection| read::job(connection, beyond, below, id).map_err(unavailable);
            match self.journal.read(look).await? {
                ControlFlow::Continue(last) => below = Some(last),
                ControlFlow::Break(found) => return Ok(found),
            }
        }
    }

    /// Whether the outbox can commit durably now.
    pub(crate) fn health(&self) -> Health {
        super::Store::health(&self.journal)
    }
}

impl Session<'_> {
    /// Appends a row; its position.
    pub(super) fn post(&mut self, row: &OutboxRow, full: bool) -> rusqlite::Result<Result<i64, StoreError>> {
        if full {
            return Ok(Err(StoreError::Unavailable(FULL.into())));
        }
        let position = self.memory.outbox_end + 1;
        let OutboxRow { sealed, plan } = row;
        self.statements.get(Frequent::Post)?.execute(params![
            position,
            sealed.id.as_bytes(),
            sealed.received_at.as_millis(),
            plan,
            sealed.head,
            &*sealed.body
        ])?;
        self.memory.outbox_end = position;
        Ok(Ok(position))
    }
}

#[cfg(test)]
impl Outbox {
    /// Makes the next commit fail.
    pub(in crate::journal) async fn fail_a_commit(&self) {
        let failure = self.journal.write(|_| Err::<(), _>(rusqlite::Error::InvalidQuery)).await;
        assert!(matches!(failure, Err(StoreError::Unavailable(_))), "{failure:?}");
    }
}
