//! What the file says of its outbox beside the rows: how far they are moved, for how long they were kept, whose they are.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};

use crate::journal::sqlite::open::{OpenError, Slot};
#[cfg(any(test, feature = "redis"))]
use crate::{delivery::DeliveryId, journal::sqlite::row::from_sql};

/// How far a relay has come. Kept in the file, behind what is true at worst: then rows are offered twice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// The rows up to this position are in the shared queue.
    pub(crate) relayed: i64,
    /// The rows up to this position were once. More than `relayed` while those between are offered again, because the
    /// queue may have lost them.
    pub(crate) once: i64,
    /// For each lane of the queue, the replication id of the server that took rows last.
    pub(crate) histories: BTreeMap<u32, String>,
}

/// For how long a relay has watched what it moved. Kept in the file, behind what is true at worst: then rows stay longer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watch {
    /// For how long relays have watched this outbox, in milliseconds. Time in which none did does not count.
    pub(crate) time: u64,
    /// At which of these times the rows up to which position had been moved, in order.
    pub(crate) moved: Vec<(u64, i64)>,
}

/// The position of the last row there ever was.
pub(in crate::journal::sqlite) fn end(connection: &Connection) -> rusqlite::Result<i64> {
    let last: i64 =
        connection.query_row("SELECT coalesce(max(position), 0) FROM outbox", [], |row| row.get(0))?;
    let progress = read_progress(connection)?;
    Ok(last.max(progress.relayed).max(progress.once))
}

/// An error if rows wait here to be moved.
pub(in crate::journal::sqlite) fn refuse_unrelayed(
    slot: &Slot,
    connection: &Connection,
) -> Result<(), OpenError> {
    let database = |source| OpenError::database(&slot.database, source);
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
pub(super) fn refuse_unended(slot: &Slot, connection: &Connection) -> Result<(), OpenError> {
    use crate::journal::JobState::{Queued, Retrying, Running};
    let database = |source| OpenError::database(&slot.database, source);
    let stats = crate::journal::sqlite::session::read_stats(connection).map_err(database)?;
    match [Queued, Running, Retrying].map(|state| stats.jobs_in(state)).iter().sum() {
        0 => Ok(()),
        jobs => Err(OpenError::UnendedJobs { folder: slot.folder(), jobs }),
    }
}

pub(super) fn read_progress(connection: &Connection) -> rusqlite::Result<Progress> {
    // Without it everything that is there is offered again, and known again.
    Ok(read_meta(connection, "relay")?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

#[cfg(any(test, feature = "redis"))]
pub(super) fn write_progress(connection: &Connection, progress: &Progress) -> rusqlite::Result<()> {
    write_meta(connection, "relay", &serde_json::to_string(progress).unwrap_or_default())
}

#[cfg(any(test, feature = "redis"))]
fn read_watch(connection: &Connection) -> rusqlite::Result<Watch> {
    // Without it all that is there is kept from now on.
    Ok(read_meta(connection, "watch")?.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
}

#[cfg(any(test, feature = "redis"))]
pub(super) fn write_watch(connection: &Connection, watch: &Watch) -> rusqlite::Result<()> {
    write_meta(connection, "watch", &serde_json::to_string(watch).unwrap_or_default())
}

fn read_meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

#[cfg(any(test, feature = "redis"))]
fn write_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = ?2")?
        .execute([key, value])
        .map(drop)
}

/// Whether there is no row at all. One that was refused is listed by whoever has the slot, so it counts.
#[cfg(any(test, feature = "redis"))]
pub(super) fn holds_nothing(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM outbox)", [], |row| row.get(0))
}

/// What is in the file when it is opened.
#[cfg(any(test, feature = "redis"))]
pub(super) struct Facts {
    pub(super) progress: Progress,
    pub(super) watch: Watch,
    /// A random name that the slot keeps.
    pub(super) host: String,
    /// The place of the latest delivery.
    pub(super) last_seq: u64,
}

#[cfg(any(test, feature = "redis"))]
pub(super) fn facts(connection: &Connection) -> rusqlite::Result<Facts> {
    let host = if let Some(host) = read_meta(connection, "host")? {
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
    Ok(Facts { progress: read_progress(connection)?, watch: read_watch(connection)?, host, last_seq })
}
