//! What is read from the outbox: batches for the relay, and what a listing shows of the rows that wait.

use std::ops::ControlFlow;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::row::{self, Names};
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{
        DeliveryRecord, DeliverySummary,
        listing::LOOK_AT,
        sealed::{Parts, Sealed, Unreadable},
    },
};

/// All rows by id, the newest first. It never touches the table: the index holds the positions, too.
const BY_ID: &str = "SELECT id, position FROM outbox WHERE id < ?1 ORDER BY id DESC";

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
    pub(crate) delivery: Result<Sealed, String>,
}

/// The rows behind one position and up to another, in order.
pub(super) fn between(
    connection: &Connection,
    after: i64,
    until: i64,
    limits: Limits,
) -> rusqlite::Result<Vec<Held>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, id, received_at, plan, head, body FROM outbox WHERE position > ?1 AND position <= ?2
         ORDER BY position",
    )?;
    let mut rows = statement.query([after, until])?;
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
        let (plan, in_front) = (row.get_ref(3)?.as_str()?, row.get(4)?);
        held.push(Held {
            position: row.get(0)?,
            id,
            received_at,
            delivery: row::sealed(id, received_at, plan, in_front, Bytes::copy_from_slice(body), &mut names),
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
    let mut statement =
        connection.prepare_cached("SELECT id, head, refused, body FROM outbox WHERE position = ?1")?;
    for (_, position) in held(connection, beyond, below)? {
        let mut rows = statement.query([position])?;
        let Some(row) = rows.next()? else { continue };
        // What can't be read is the relay's to report.
        let Ok(summary) = summary_of(row)? else { continue };
        if !take(summary, row.get_ref(3)?.as_blob()?) {
            break;
        }
    }
    Ok(())
}

/// The ids and positions of the rows that no queue has (those behind a position, and those that were refused) with an id
/// below this one: the newest first, `LOOK_AT` of them at most.
///
/// Ids and positions have nearly the same order: a row that was long on its way has an older id than its neighbours. So
/// what waits is at the end of the index, and when so many others have come in a row, no more of it comes.
fn held(
    connection: &Connection,
    beyond: i64,
    below: Option<DeliveryId>,
) -> rusqlite::Result<Vec<(DeliveryId, i64)>> {
    let below = below.map_or([0xff; 16], |id| *id.as_bytes());
    let look_at = i64::try_from(LOOK_AT).unwrap_or(i64::MAX);
    let pair = |row: &Row<'_>| Ok((DeliveryId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?));
    let mut held = connection
        .prepare_cached(
            "SELECT id, position FROM outbox INDEXED BY outbox_refused
             WHERE refused IS NOT NULL AND position <= ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(params![beyond, below, look_at], pair)?
        .collect::<Result<Vec<_>, _>>()?;
    let end: Option<i64> =
        connection.prepare_cached("SELECT max(position) FROM outbox")?.query_row([], |row| row.get(0))?;
    if end.is_some_and(|end| end > beyond) {
        let mut statement = connection.prepare_cached(BY_ID)?;
        let mut rows = statement.query_map([below], pair)?;
        let (mut waiting, mut others) = (0, 0);
        while waiting < LOOK_AT
            && others < LOOK_AT
            && let Some(row) = rows.next().transpose()?
        {
            if row.1 > beyond {
                held.push(row);
                (waiting, others) = (waiting + 1, 0);
            } else {
                others += 1;
            }
        }
    }
    held.sort_unstable_by(|a, b| b.cmp(a));
    held.truncate(LOOK_AT);
    Ok(held)
}

fn summary_of(row: &Row<'_>) -> rusqlite::Result<Result<DeliverySummary, Unreadable>> {
    let id = DeliveryId::from_bytes(row.get(0)?);
    Ok(row::summary(id, row.get_ref(1)?.as_blob()?, row.get(2)?))
}

/// All of one delivery that is held.
pub(super) fn delivery(
    connection: &Connection,
    beyond: i64,
    id: DeliveryId,
) -> rusqlite::Result<Option<DeliveryRecord>> {
    let found = connection
        .prepare_cached(
            "SELECT id, head, refused, body FROM outbox
             WHERE id = ?1 AND (position > ?2 OR refused IS NOT NULL)",
        )?
        .query_row(params![id.as_bytes(), beyond], |row| {
            Ok((summary_of(row)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(3)?))
        })
        .optional()?;
    Ok(found.and_then(|(summary, head, body)| {
        Some(DeliveryRecord {
            summary: summary.ok()?,
            headers: serde_json::from_str(Parts::of(&head).ok()?.headers).unwrap_or_default(),
            body: body.into(),
            attempts: Vec::new(),
        })
    }))
}

/// The delivery that is held and to which this id belongs: its own, or one of its events'.
pub(super) fn locate(
    connection: &Connection,
    beyond: i64,
    wanted: Uuid,
) -> rusqlite::Result<Option<DeliveryId>> {
    // An event's id follows its delivery's directly.
    let mut statement = connection.prepare_cached(
        "SELECT id, head, refused, position FROM outbox WHERE id <= ?1
         ORDER BY id DESC LIMIT 64",
    )?;
    let mut rows = statement.query([wanted.as_bytes()])?;
    while let Some(row) = rows.next()? {
        let id = DeliveryId::from_bytes(row.get(0)?);
        let is_it = Uuid::from(id) == wanted;
        if !is_it && !id.is_sibling(wanted) {
            continue;
        }
        let is_held = row.get::<_, i64>(3)? > beyond || row.get::<_, Option<String>>(2)?.is_some();
        let has_event =
            |summary: DeliverySummary| summary.events.iter().any(|event| Uuid::from(event.id) == wanted);
        return Ok((is_held && (is_it || summary_of(row)?.is_ok_and(has_event))).then_some(id));
    }
    Ok(None)
}

/// Looks for the held delivery with this job among the next ones with an id below `below`. `Continue`: none of them has
/// it, and this was the last one.
pub(super) fn job(
    connection: &Connection,
    beyond: i64,
    below: Option<DeliveryId>,
    wanted: Uuid,
) -> rusqlite::Result<ControlFlow<Option<DeliveryId>, DeliveryId>> {
    let mut statement =
        connection.prepare_cached("SELECT id, head, refused FROM outbox WHERE position = ?1")?;
    let held = held(connection, beyond, below)?;
    for (id, position) in &held {
        let summary = statement.query_row([position], summary_of).optional()?.and_then(Result::ok);
        let jobs = summary.into_iter().flat_map(|summary| summary.jobs);
        if jobs.map(|job| Uuid::from(job.id)).any(|job| job == wanted) {
            return Ok(ControlFlow::Break(Some(*id)));
        }
    }
    Ok(match held.last() {
        Some((last, _)) if held.len() == LOOK_AT => ControlFlow::Continue(*last),
        _ => ControlFlow::Break(None),
    })
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::journal::sqlite::schema;

    /// An outbox with this many rows. A row was refused, and each pair of them was committed in the other order.
    fn outbox(rows: u64, refused: i64) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        schema::migrate(&mut connection, 0).unwrap();
        let head = b"2 0 0 29 2\n{\"s\":\"shop\",\"p\":\"hmac\",\"z\":0}[]";
        for row in 0..rows {
            let position = i64::try_from(row + 1).unwrap();
            connection
                .prepare_cached(
                    "INSERT INTO outbox (position, id, received_at, plan, head, body, refused)
                     VALUES (?1, ?2, 0, '', ?3, x'', ?4)",
                )
                .unwrap()
                .execute(params![
                    position,
                    id(row ^ 1).as_bytes(),
                    head,
                    (position == refused).then_some("no")
                ])
                .unwrap();
        }
        connection
    }

    fn id(number: u64) -> DeliveryId {
        DeliveryId::from_bytes((u128::from(number + 1) << 80).to_be_bytes())
    }

    fn shown(connection: &Connection, beyond: i64, below: Option<DeliveryId>) -> Vec<DeliveryId> {
        let mut ids = Vec::new();
        let take = |summary: DeliverySummary, _: &[u8]| {
            ids.push(summary.id);
            true
        };
        summaries(connection, beyond, below, take).unwrap();
        ids
    }

    #[test]
    fn what_is_held_is_shown_and_what_is_kept_is_not_looked_at() {
        let connection = outbox(50_000, 20);
        let steps = || connection.prepare_cached(BY_ID).unwrap().get_status(StatementStatus::VmStep);
        assert_eq!(shown(&connection, 50_000, None), [id(18)]);
        assert_eq!(steps(), 0, "nothing waits");
        let held: Vec<_> = (49_990..50_000).rev().map(id).chain([id(18)]).collect();
        assert_eq!(shown(&connection, 49_990, None), held);
        assert_eq!(shown(&connection, 49_990, Some(id(49_995))), held[5..]);
        assert_eq!(shown(&connection, 49_990, Some(id(18))), []);
        let steps = steps();
        assert!(0 < steps && steps < 100_000, "{steps}");
        let all = shown(&connection, 0, None);
        assert_eq!((all.len(), all[LOOK_AT - 1]), (LOOK_AT, id(45_000)));
    }
}
