//! What is read from the outbox: batches for the relay, and what a listing shows of the rows that wait.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::row::{self, Names};
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{DeliveryRecord, DeliverySummary, NewDelivery, listing::LOOK_AT},
};

/// The rows that no queue has: those behind a position, and those that were refused.
const HELD: &str = "(position > ?1 OR refused IS NOT NULL)";

/// How much one batch holds at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows.
    pub(crate) rows: usize,
    /// Bytes of all bodies.
    pub(crate) bytes: usize,
}

/// A row that waits to be moved.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) position: i64,
    pub(crate) id: DeliveryId,
    pub(crate) received_at: Timestamp,
    /// The delivery; or what in its row is not as it was written.
    pub(crate) delivery: Result<NewDelivery, String>,
}

/// The rows behind this position, in order.
pub(super) fn after(connection: &Connection, position: i64, limits: Limits) -> rusqlite::Result<Vec<Held>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, id, received_at, meta, headers, body FROM outbox WHERE position > ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([position])?;
    let (mut held, mut bytes, mut names) = (Vec::new(), 0, Names::default());
    while held.len() < limits.rows.max(1)
        && let Some(row) = rows.next()?
    {
        let body = row.get_ref(5)?.as_blob()?;
        bytes += body.len();
        if bytes > limits.bytes && !held.is_empty() {
            break;
        }
        let id = DeliveryId::from_bytes(row.get(1)?);
        let received_at = Timestamp::from_millis(row.get(2)?);
        let (meta, headers) = (row.get_ref(3)?.as_str()?, row.get(4)?);
        held.push(Held {
            position: row.get(0)?,
            id,
            received_at,
            delivery: row::delivery(id, received_at, meta, headers, Bytes::copy_from_slice(body), &mut names),
        });
    }
    Ok(held)
}

/// Shows what is held to `take`, with its body, the newest first, until it has had enough.
pub(super) fn summaries(
    connection: &Connection,
    beyond: i64,
    below: Option<DeliveryId>,
    mut take: impl FnMut(DeliverySummary, &[u8]) -> bool,
) -> rusqlite::Result<()> {
    let below = below.map_or([0xff; 16], |id| *id.as_bytes());
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, received_at, meta, length(body), refused, body FROM outbox WHERE {HELD} AND id < ?2
         ORDER BY id DESC LIMIT ?3"
    ))?;
    let mut rows = statement.query(params![beyond, below, i64::try_from(LOOK_AT).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        // What can't be read is the relay's to report.
        let Ok(summary) = summary_of(row)? else { continue };
        if !take(summary, row.get_ref(5)?.as_blob()?) {
            break;
        }
    }
    Ok(())
}

fn summary_of(row: &Row<'_>) -> rusqlite::Result<Result<DeliverySummary, String>> {
    let id = DeliveryId::from_bytes(row.get(0)?);
    let received_at = Timestamp::from_millis(row.get(1)?);
    let size = usize::try_from(row.get::<_, i64>(3)?).unwrap_or_default();
    Ok(row::summary(id, received_at, row.get_ref(2)?.as_str()?, size, row.get(4)?))
}

/// All of one delivery that is held.
pub(super) fn delivery(
    connection: &Connection,
    beyond: i64,
    id: DeliveryId,
) -> rusqlite::Result<Option<DeliveryRecord>> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT id, received_at, meta, length(body), refused, headers, body FROM outbox WHERE {HELD} AND id = ?2"
        ))?
        .query_row(params![beyond, id.as_bytes()], |row| {
            Ok((summary_of(row)?, row.get::<_, String>(5)?, row.get::<_, Vec<u8>>(6)?))
        })
        .optional()?;
    Ok(found.and_then(|(summary, headers, body)| {
        Some(DeliveryRecord {
            summary: summary.ok()?,
            headers: serde_json::from_str(&headers).unwrap_or_default(),
            body: body.into(),
            attempts: Vec::new(),
        })
    }))
}

/// The delivery that is held and to which this id of any kind belongs.
pub(super) fn locate(
    connection: &Connection,
    beyond: i64,
    wanted: Uuid,
) -> rusqlite::Result<Option<DeliveryId>> {
    let mut found = None;
    if wanted.get_version_num() == 5 {
        summaries(connection, beyond, None, |summary, _| {
            let is_here = summary.jobs.iter().any(|job| Uuid::from(job.id) == wanted);
            found = is_here.then_some(summary.id);
            !is_here
        })?;
        return Ok(found);
    }
    // An event's id follows its delivery's directly.
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, received_at, meta, length(body), refused FROM outbox WHERE {HELD} AND id <= ?2
         ORDER BY id DESC LIMIT 64"
    ))?;
    let mut rows = statement.query(params![beyond, wanted.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let id = DeliveryId::from_bytes(row.get(0)?);
        if Uuid::from(id) == wanted {
            return Ok(Some(id));
        }
        if id.is_sibling(wanted) {
            let summary = summary_of(row)?.ok();
            let is_here = summary
                .is_some_and(|summary| summary.events.iter().any(|event| Uuid::from(event.id) == wanted));
            return Ok(is_here.then_some(id));
        }
    }
    Ok(None)
}
