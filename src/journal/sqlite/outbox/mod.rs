//! The journal as an outbox: deliveries wait here, durable, until a relay has moved them to a queue that machines share.
//!
//! One lean row a delivery, appended in the order of the commits. Nothing is recognised here and no job is made: that is
//! the shared queue's. How far the rows are moved is one number; those behind it stay a while, to be offered again to a
//! queue that has lost writes.

#[cfg(any(test, feature = "redis"))]
mod read;
#[cfg(any(test, feature = "redis"))]
mod row;

use std::{collections::BTreeMap, time::Instant};
#[cfg(any(test, feature = "redis"))]
use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};
#[cfg(any(test, feature = "redis"))]
use tokio::sync::{oneshot, watch};

#[cfg(any(test, feature = "redis"))]
pub(crate) use self::read::{Held, Limits};
#[cfg(any(test, feature = "redis"))]
use super::{Sqlite, SqliteOptions, open, row::from_sql, stopped, unavailable, writer::Command};
use super::{
    open::{OpenError, Slot},
    session::Session,
    writer::FULL,
};
#[cfg(any(test, feature = "redis"))]
use crate::{
    clock::Clock,
    journal::{DeliveryRecord, DeliverySummary, Health, NewDelivery},
};
use crate::{clock::Timestamp, delivery::DeliveryId, journal::StoreError};

/// How many rows one step of the sweep deletes at most.
#[cfg(any(test, feature = "redis"))]
const STEP: i64 = 1024;

/// How far a relay has come. Kept in the file, behind what is true at worst: then rows are offered twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The rows up to this position are in the shared queue.
    pub(crate) relayed: i64,
    /// The rows up to this position were once. More than `relayed` while the queue is offered again what it may have
    /// lost.
    pub(crate) once: i64,
    /// For each lane of the queue, the replication id of the server that took rows last.
    pub(crate) histories: BTreeMap<u32, String>,
}

/// A delivery with all that can be computed before the writer's turn comes.
#[derive(Debug)]
pub(super) struct OutboxRow {
    pub(super) id: DeliveryId,
    pub(super) received_at: Timestamp,
    pub(super) give_up_at: Instant,
    pub(super) meta: String,
    pub(super) headers: String,
    pub(super) body: Bytes,
}

/// A journal that holds deliveries until they are moved. Closes when it is dropped.
#[cfg(any(test, feature = "redis"))]
pub(crate) struct Outbox {
    journal: Sqlite,
    /// The relay's own: a listing under way must not hold it up.
    relay_reader: Arc<Mutex<Connection>>,
    slot: u32,
    host: String,
    progress: Progress,
    last_seq: u64,
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
        let folder = slot.folder();
        let mut relay_reader = None;
        let mut found = None;
        let journal = Sqlite::open_slot(slot, options, clock, |slot, connection| {
            refuse_unended(slot, connection)?;
            let database = |source| OpenError::Database { path: slot.database.clone(), source };
            found = Some(facts(connection).map_err(database)?);
            relay_reader = Some(open::open_reader(slot)?);
            Ok(())
        })?;
        let missing = || OpenError::Io { path: folder, source: std::io::ErrorKind::Other.into() };
        let (reader, (progress, host, last_seq)) = relay_reader.zip(found).ok_or_else(missing)?;
        let relay_reader = Arc::new(Mutex::new(reader));
        Ok(Self { journal, relay_reader, slot: number, host, progress, last_seq })
    }

    /// The slot's number.
    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    /// A random name that the slot keeps: whoever has the slot's lock is this host, and no other process is.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// How far an earlier relay had come when the slot was opened.
    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The place of the latest delivery here when the slot was opened.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Stores a delivery; its position. When this returns `Ok`, an fsync that covers it has returned. Dropping the
    /// future does not cancel a commit under way.
    pub(crate) async fn accept(&self, delivery: NewDelivery) -> Result<i64, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.journal.send(Command::Post(Box::new(OutboxRow::new(delivery)), reply))?;
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

    /// The rows behind this position, in order, as many as the limits allow and at least one if there is one.
    pub(crate) async fn after(&self, position: i64, limits: Limits) -> Result<Vec<Held>, StoreError> {
        let reader = self.relay_reader.clone();
        tokio::task::spawn_blocking(move || {
            read::after(&reader.lock().unwrap_or_else(PoisonError::into_inner), position, limits)
        })
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
        .map_err(unavailable)
    }

    /// Writes down how far the relay has come: what `duplicates` names goes, what `refused` names stays with its reason.
    pub(crate) async fn save(
        &self,
        progress: Progress,
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
                write_progress(connection, &progress)
            })
            .await
    }

    /// Sets the mark back to before the first row that is still there, and writes down the histories that are the
    /// reason. The progress from now on.
    pub(crate) async fn set_back(&self, progress: Progress) -> Result<Progress, StoreError> {
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
                write_progress(connection, &progress)?;
                Ok(progress)
            })
            .await
    }

    /// Deletes one bounded step's worth of the moved rows that were received before this time. `true` if there is more.
    pub(crate) async fn sweep(&self, before: Timestamp) -> Result<bool, StoreError> {
        self.journal.write(move |session| session.sweep_outbox(before.as_millis())).await
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

    /// Whether nothing is left here that a relay could have to move, now or later.
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

    /// The delivery that waits behind this position or was refused, and to which an id of any kind belongs.
    pub(crate) async fn locate(&self, beyond: i64, id: uuid::Uuid) -> Result<Option<DeliveryId>, StoreError> {
        self.journal.read(move |connection| read::locate(connection, beyond, id).map_err(unavailable)).await
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
        self.connection
            .prepare_cached(
                "INSERT INTO outbox (position, id, received_at, meta, headers, body)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                position,
                row.id.as_bytes(),
                row.received_at.as_millis(),
                row.meta,
                row.headers,
                &*row.body
            ])?;
        self.memory.outbox_end = position;
        Ok(Ok(position))
    }

    #[cfg(any(test, feature = "redis"))]
    fn sweep_outbox(&mut self, before: i64) -> rusqlite::Result<bool> {
        let relayed = read_progress(self.connection)?.relayed;
        let mut rows = self.connection.prepare_cached(
            "SELECT position, received_at FROM outbox WHERE position <= ?1 AND refused IS NULL
             ORDER BY position LIMIT ?2",
        )?;
        let old: Vec<i64> = rows
            .query_map([relayed, STEP], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?)))?
            .take_while(|row| row.as_ref().map_or(true, |(_, received_at)| *received_at < before))
            .map(|row| row.map(|(position, _)| position))
            .collect::<Result<_, _>>()?;
        let mut delete = self.connection.prepare_cached("DELETE FROM outbox WHERE position = ?1")?;
        for position in &old {
            delete.execute([position])?;
        }
        Ok(i64::try_from(old.len()).is_ok_and(|deleted| deleted == STEP))
    }
}

/// The position of the last row there ever was.
pub(super) fn end(connection: &Connection) -> rusqlite::Result<i64> {
    let last: i64 =
        connection.query_row("SELECT coalesce(max(position), 0) FROM outbox", [], |row| row.get(0))?;
    let progress = read_progress(connection)?;
    Ok(last.max(progress.relayed).max(progress.once))
}

/// An error if rows wait here to be moved.
pub(super) fn refuse_unrelayed(slot: &Slot, connection: &Connection) -> Result<(), OpenError> {
    let database = |source| OpenError::Database { path: slot.database.clone(), source };
    let is_there: bool = connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'outbox')", [], |row| row.get(0))
        .map_err(database)?;
    if !is_there {
        return Ok(());
    }
    let relayed = read_progress(connection).map_err(database)?.relayed;
    let deliveries: i64 = connection
        .query_row("SELECT count(*) FROM outbox WHERE position > ?1", [relayed], |row| row.get(0))
        .map_err(database)?;
    match u64::try_from(deliveries) {
        Ok(0) | Err(_) => Ok(()),
        Ok(deliveries) => Err(OpenError::Unrelayed { folder: slot.folder(), deliveries }),
    }
}

/// An error if jobs of the embedded queue wait here.
#[cfg(any(test, feature = "redis"))]
fn refuse_unended(slot: &Slot, connection: &Connection) -> Result<(), OpenError> {
    use crate::journal::JobState::{Queued, Retrying, Running};
    let database = |source| OpenError::Database { path: slot.database.clone(), source };
    let stats = super::session::read_stats(connection).map_err(database)?;
    match [Queued, Running, Retrying].map(|state| stats.jobs_in(state)).iter().sum() {
        0 => Ok(()),
        jobs => Err(OpenError::UnendedJobs { folder: slot.folder(), jobs }),
    }
}

fn read_progress(connection: &Connection) -> rusqlite::Result<Progress> {
    let json: Option<String> = connection
        .prepare_cached("SELECT value FROM meta WHERE key = 'relay'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    // Without it everything that is there is offered again, and known again.
    Ok(json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

#[cfg(any(test, feature = "redis"))]
fn write_progress(connection: &Connection, progress: &Progress) -> rusqlite::Result<()> {
    write_meta(connection, "relay", &serde_json::to_string(progress).unwrap_or_default())
}

#[cfg(any(test, feature = "redis"))]
fn write_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2")?
        .execute([key, value])
        .map(drop)
}

#[cfg(any(test, feature = "redis"))]
fn holds_nothing(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .query_row("SELECT NOT EXISTS (SELECT 1 FROM outbox WHERE refused IS NULL)", [], |row| row.get(0))
}

/// What is in the file when it is opened: progress, host, place of the latest delivery.
#[cfg(any(test, feature = "redis"))]
fn facts(connection: &Connection) -> rusqlite::Result<(Progress, String, u64)> {
    let known: Option<String> =
        connection.query_row("SELECT value FROM meta WHERE key = 'host'", [], |row| row.get(0)).optional()?;
    let host = if let Some(host) = known {
        host
    } else {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let host = hex::encode(random);
        write_meta(connection, "host", &host)?;
        host
    };
    let latest: Option<[u8; 16]> = connection
        .query_row("SELECT id FROM outbox ORDER BY id DESC LIMIT 1", [], |row| row.get(0))
        .optional()?;
    let in_queue: i64 =
        connection.query_row("SELECT coalesce(max(seq), 0) FROM delivery", [], |row| row.get(0))?;
    let last_seq = latest.map_or(0, |id| DeliveryId::from_bytes(id).seq()).max(from_sql(in_queue));
    Ok((read_progress(connection)?, host, last_seq))
}

#[cfg(test)]
impl Outbox {
    /// Makes the next commit fail.
    pub(in crate::journal) async fn fail_a_commit(&self) {
        let failure = self.journal.write(|_| Err::<(), _>(rusqlite::Error::InvalidQuery)).await;
        assert!(matches!(failure, Err(StoreError::Unavailable(_))), "{failure:?}");
    }
}
