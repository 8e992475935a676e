//! Listings. They read beside the writer, from a connection of their own, a bounded number of rows at a time.

use std::fmt;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    row::{decode, from_sql, to_sql},
    session::job_state,
    unavailable,
};
use crate::{
    clock::Timestamp,
    delivery::{COUNTER_BITS, DeliveryId},
    journal::{
        AttemptRecord, DeliveryRecord, DeliveryState, DeliverySummary, Filter, ItemState, JobRecord,
        JobState, Page, StoreError,
        listing::{self, Begin, Fit, Gather, LOOK_AT, Next},
        stored::StoredEvent,
    },
};

const COLUMNS: &str =
    "delivery.seq, delivery.id, source.text, provider.text, delivery.state, delivery.received_at,
    delivery.sender_id, delivery.reason, delivery.events, length(delivery.body)";
const FROM: &str = "FROM delivery JOIN name AS source ON source.id = delivery.source
    JOIN name AS provider ON provider.id = delivery.provider";

/// One page of deliveries, the newest first.
pub(super) fn deliveries(
    connection: &Connection,
    filter: &Filter,
) -> Result<Page<DeliverySummary>, StoreError> {
    let (mut gathered, below) = listing::Deliveries::begin(filter, Place::parse)?;
    let below = below.map_or(i64::MAX, |place| place.0);
    let next = walk(connection, filter, below, &mut gathered).map_err(unavailable)?;
    Ok(gathered.page(next))
}

/// One page of jobs, those of the newest deliveries first.
pub(super) fn jobs(connection: &Connection, filter: &Filter) -> Result<Page<JobRecord>, StoreError> {
    let (mut gathered, begin) = listing::Jobs::begin(filter, Place::parse)?;
    let below = match begin {
        Begin::Newest => i64::MAX,
        Begin::Below(place) => place.0,
        Begin::Within(place) => place.0.saturating_add(1),
    };
    let next = walk(connection, filter, below, &mut gathered).map_err(unavailable)?;
    Ok(gathered.page(next))
}

/// A delivery's place in the order of arrival; in hex, where a cursor names it.
#[derive(Clone, Copy)]
struct Place(i64);

impl Place {
    fn parse(text: &str) -> Option<Self> {
        i64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::LowerHex::fmt(&self.0, f)
    }
}

/// Shows the deliveries that fit the filter to the page, the newest first, until it has had enough.
fn walk(
    connection: &Connection,
    filter: &Filter,
    below: i64,
    page: &mut impl Gather<Place>,
) -> rusqlite::Result<Next<Place>> {
    let candidates = candidates(connection, filter, below)?;
    let next = match candidates.last() {
        Some(last) if candidates.len() == LOOK_AT => Next::Below(Place(*last)),
        _ => Next::End,
    };
    for seq in candidates {
        // No delivery is received after the time in its own id, so none that follows is recent enough either.
        if filter.since.is_some_and(|since| seq < since.as_millis().saturating_mul(1 << COUNTER_BITS)) {
            return Ok(Next::End);
        }
        let Some(summary) = summary(connection, seq)? else { continue };
        let fits = match listing::fit(filter, &summary) {
            Fit::No => false,
            Fit::IfInBody => body_holds(connection, seq, filter.text.as_deref().unwrap_or_default())?,
            Fit::Yes => true,
        };
        if fits && !page.take(Place(seq), summary) {
            return Ok(Next::Full);
        }
    }
    Ok(next)
}

fn body_holds(connection: &Connection, seq: i64, text: &str) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT instr(body, CAST(?2 AS BLOB)) > 0 FROM delivery WHERE seq = ?1")?
        .query_row(params![seq, text], |row| row.get(0))
}

/// The deliveries to look at, by the index that fits the filter best. Partial indexes are used only where their own
/// condition stands in the query to the letter.
fn candidates(connection: &Connection, filter: &Filter, below: i64) -> rusqlite::Result<Vec<i64>> {
    let sql = match filter.state {
        Some(ItemState::Job(state)) if !matches!(state, JobState::Queued | JobState::Done) => format!(
            "SELECT DISTINCT delivery FROM job WHERE state = {} AND state NOT IN (0, 3) AND delivery < ?1
             ORDER BY delivery DESC LIMIT ?2",
            state as i64
        ),
        Some(ItemState::Unrouted | ItemState::Delivery(DeliveryState::Quarantined)) => {
            "SELECT seq FROM delivery WHERE seq < ?1 AND (state = 1 OR unrouted > 0) ORDER BY seq DESC LIMIT ?2".into()
        }
        _ => "SELECT seq FROM delivery WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2".into(),
    };
    connection
        .prepare_cached(&sql)?
        .query_map(params![below, to_sql(LOOK_AT as u64)], |row| row.get(0))?
        .collect()
}

/// One delivery by its id.
pub(super) fn delivery(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Option<DeliveryRecord>> {
    let seq = to_sql(id.seq());
    // One snapshot for all of it: an attempt must not be shown beside its job as it was before.
    let snapshot = connection.unchecked_transaction()?;
    let connection = &*snapshot;
    let Some(summary) = summary(connection, seq)?.filter(|summary| summary.id == id) else { return Ok(None) };
    let (headers, body): (String, Vec<u8>) = connection
        .prepare_cached("SELECT headers, body FROM delivery WHERE seq = ?1")?
        .query_row([seq], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let attempts = attempts(connection, seq, &summary)?;
    Ok(Some(DeliveryRecord {
        attempts,
        headers: serde_json::from_str(&headers).unwrap_or_default(),
        body: Bytes::from(body),
        summary,
    }))
}

fn attempts(
    connection: &Connection,
    seq: i64,
    summary: &DeliverySummary,
) -> rusqlite::Result<Vec<AttemptRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT event, name.text, number, replay, started_at, finished_at, outcome, error
         FROM attempt JOIN name ON name.id = route WHERE delivery = ?1",
    )?;
    let recorded = statement
        .query_map([seq], |row| {
            let route: String = row.get(1)?;
            Ok(AttemptRecord {
                job_id: summary.id.event(row.get(0)?).job(&route),
                route,
                number: row.get(2)?,
                replay: row.get(3)?,
                started_at: Timestamp::from_millis(row.get(4)?),
                finished_at: Timestamp::from_millis(row.get(5)?),
                outcome: row.get(6)?,
                error: row.get(7)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(listing::history(recorded, &summary.jobs))
}

/// The delivery whose own id this is, or one of its events'.
pub(super) fn delivery_with(connection: &Connection, id: Uuid) -> rusqlite::Result<Option<DeliveryId>> {
    let mut before = connection
        .prepare_cached("SELECT id, events FROM delivery WHERE seq <= ?1 ORDER BY seq DESC LIMIT ?2")?;
    // Nearly always the first one. A delivery whose events became known only later had no place left free behind it.
    let mut rows = before.query(params![to_sql(DeliveryId::from(id).seq()), to_sql(LOOK_AT as u64)])?;
    while let Some(row) = rows.next()? {
        let delivery = DeliveryId::from_bytes(row.get(0)?);
        if Uuid::from(delivery) == id {
            return Ok(Some(delivery));
        }
        if delivery.is_sibling(id) {
            let events = u32::try_from(decode(row.get_ref(1)?.as_str()?)?.len()).unwrap_or(u32::MAX);
            return Ok((0..events).any(|index| Uuid::from(delivery.event(index)) == id).then_some(delivery));
        }
    }
    Ok(None)
}

/// The deliveries in which a job with this id may be, as far as the table says.
pub(super) fn deliveries_of_job(connection: &Connection, prefix: i64) -> rusqlite::Result<Vec<u64>> {
    connection
        .prepare_cached("SELECT delivery FROM job_id WHERE prefix = ?1")?
        .query_map([prefix], |row| row.get(0).map(from_sql))?
        .collect()
}

/// One delivery by its place in the order of arrival.
pub(super) fn summary(connection: &Connection, seq: i64) -> rusqlite::Result<Option<DeliverySummary>> {
    let found = connection
        .prepare_cached(&format!("SELECT {COLUMNS} {FROM} WHERE delivery.seq = ?1"))?
        .query_row([seq], summary_of)
        .optional()?;
    let Some((mut summary, events)) = found else { return Ok(None) };
    summary.events = (0..).zip(&events).map(|(index, event)| event.record(summary.id, index)).collect();
    summary.jobs = jobs_of(connection, seq, summary.id, &events)?;
    Ok(Some(summary))
}

fn summary_of(row: &Row<'_>) -> rusqlite::Result<(DeliverySummary, Vec<StoredEvent>)> {
    let summary = DeliverySummary {
        id: DeliveryId::from_bytes(row.get(1)?),
        source: row.get(2)?,
        provider: row.get(3)?,
        state: match row.get(4)? {
            0 => DeliveryState::Accepted,
            1 => DeliveryState::Quarantined,
            2 => DeliveryState::Test,
            other => return Err(rusqlite::Error::IntegralValueOutOfRange(4, other)),
        },
        received_at: Timestamp::from_millis(row.get(5)?),
        sender_id: row.get(6)?,
        reason: row.get(7)?,
        size: usize::try_from(row.get::<_, i64>(9)?).unwrap_or_default(),
        events: Vec::new(),
        jobs: Vec::new(),
    };
    // A delivery whose events can't be read is shown without them, or it would hide those around it.
    let events = row.get_ref(8)?.as_str().ok().and_then(|json| decode(json).ok());
    Ok((summary, events.unwrap_or_default()))
}

fn jobs_of(
    connection: &Connection,
    seq: i64,
    delivery: DeliveryId,
    events: &[StoredEvent],
) -> rusqlite::Result<Vec<JobRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT event, name.text, state, attempts, crashes, replays, due, started_at, finished_at, error
         FROM job JOIN name ON name.id = route WHERE delivery = ?1 ORDER BY event, route",
    )?;
    let found = statement.query_map([seq], |row| {
        let event: u32 = row.get(0)?;
        let route: String = row.get(1)?;
        let time =
            |column| Ok::<_, rusqlite::Error>(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_millis));
        let event_id = delivery.event(event);
        let kind = usize::try_from(event).ok().and_then(|at| events.get(at));
        Ok(JobRecord {
            id: event_id.job(&route),
            delivery_id: delivery,
            event_id,
            kind: kind.map(|event| event.kind.clone()).unwrap_or_default(),
            route,
            state: job_state(row.get(2)?)?,
            attempts: row.get(3)?,
            crashes: row.get(4)?,
            replays: row.get(5)?,
            due_at: time(6)?,
            started_at: time(7)?,
            finished_at: time(8)?,
            error: row.get(9)?,
        })
    })?;
    found.collect()
}
