//! Listings. They read beside the writer, from a connection of their own, a bounded number of rows at a time.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::{
    row::{StoredEvent, decode, from_sql, to_sql},
    session::job_state,
    unavailable,
};
use crate::{
    clock::Timestamp,
    delivery::{COUNTER_BITS, DeliveryId, JobId},
    journal::{
        AttemptRecord, DeliveryRecord, DeliveryState, DeliverySummary, Filter, ItemState, JobRecord,
        JobState, Page, StoreError,
    },
};

/// How many deliveries one page looks at, at most.
const LOOK_AT: usize = 5_000;
/// How many a page holds if nothing else is asked, and at most.
const LIMITS: (usize, usize) = (50, 500);

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
    let below = match &filter.cursor {
        Some(cursor) => parse_place(cursor).ok_or_else(|| unknown_cursor(cursor))?,
        None => i64::MAX,
    };
    let mut items = Vec::new();
    let limit = limit(filter);
    let next = walk(connection, filter, below, |seq, summary| {
        if items.len() == limit {
            return false;
        }
        items.push((seq, summary));
        true
    })
    .map_err(unavailable)?;
    let next = match next {
        // The one that found no room comes first on the next page.
        Next::Stopped => items.last().map(|(seq, _)| place(*seq)),
        Next::Below(seq) => Some(place(seq)),
        Next::End => None,
    };
    Ok(Page { items: items.into_iter().map(|(_, summary)| summary).collect(), next })
}

/// One page of jobs, those of the newest deliveries first. Its cursors name the last job shown, because a page may end
/// in the middle of a delivery.
pub(super) fn jobs(connection: &Connection, filter: &Filter) -> Result<Page<JobRecord>, StoreError> {
    let (below, mut skip_to) = match &filter.cursor {
        Some(cursor) => parse_job_place(cursor).ok_or_else(|| unknown_cursor(cursor))?,
        None => (i64::MAX, None),
    };
    let state = match filter.state {
        Some(ItemState::Job(state)) => Some(state),
        _ => None,
    };
    let mut items = Vec::new();
    let limit = limit(filter);
    let next = walk(connection, filter, below, |seq, summary| {
        let mut jobs = summary.jobs;
        if let Some(shown) = skip_to.take().and_then(|last| jobs.iter().position(|job| job.id == last)) {
            jobs.drain(..=shown);
        }
        let wanted = jobs.into_iter().filter(|job| {
            state.is_none_or(|state| job.state == state)
                && filter.kind.as_ref().is_none_or(|kind| kind.matches(&job.kind))
        });
        for job in wanted {
            if items.len() == limit {
                return false;
            }
            items.push((seq, job));
        }
        true
    })
    .map_err(unavailable)?;
    let next = match next {
        Next::Stopped => items.last().map(|(seq, job)| format!("{}.{}", place(*seq), job.id)),
        Next::Below(seq) => Some(place(seq)),
        Next::End => None,
    };
    Ok(Page { items: items.into_iter().map(|(_, job)| job).collect(), next })
}

/// Where a listing goes on.
enum Next {
    /// The page is full.
    Stopped,
    /// The page has looked at as many deliveries as it may.
    Below(i64),
    End,
}

/// Shows the deliveries that fit the filter to `take`, the newest first, until it has had enough.
fn walk(
    connection: &Connection,
    filter: &Filter,
    below: i64,
    mut take: impl FnMut(i64, DeliverySummary) -> bool,
) -> rusqlite::Result<Next> {
    let candidates = candidates(connection, filter, below)?;
    let next = match candidates.last() {
        Some(last) if candidates.len() == LOOK_AT => Next::Below(*last),
        _ => Next::End,
    };
    for seq in candidates {
        // No delivery is received after the time in its own id, so none that follows is recent enough either.
        if filter.since.is_some_and(|since| seq < since.as_millis().saturating_mul(1 << COUNTER_BITS)) {
            return Ok(Next::End);
        }
        let Some(summary) = summary(connection, seq)? else { continue };
        if filter.since.is_none_or(|since| summary.received_at >= since)
            && matches(connection, filter, &summary, seq)?
            && !take(seq, summary)
        {
            return Ok(Next::Stopped);
        }
    }
    Ok(next)
}

fn limit(filter: &Filter) -> usize {
    if filter.limit == 0 { LIMITS.0 } else { filter.limit.min(LIMITS.1) }
}

fn place(seq: i64) -> String {
    format!("{seq:x}")
}

fn parse_place(text: &str) -> Option<i64> {
    i64::from_str_radix(text, 16).ok()
}

/// Below which delivery to go on, and after which of the first one's jobs.
fn parse_job_place(text: &str) -> Option<(i64, Option<JobId>)> {
    let Some((seq, job)) = text.split_once('.') else { return Some((parse_place(text)?, None)) };
    Some((parse_place(seq)?.checked_add(1)?, Some(job.parse().ok()?)))
}

fn unknown_cursor(cursor: &str) -> StoreError {
    StoreError::Invalid(format!("cursor {cursor:?} was not given out by this listing; begin without one"))
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

fn matches(
    connection: &Connection,
    filter: &Filter,
    summary: &DeliverySummary,
    seq: i64,
) -> rusqlite::Result<bool> {
    let state = match filter.state {
        None => true,
        Some(ItemState::Delivery(state)) => summary.state == state,
        Some(ItemState::Unrouted) => summary.events.iter().any(|event| event.unrouted),
        Some(ItemState::Job(state)) => summary.jobs.iter().any(|job| job.state == state),
    };
    let source = filter.source.as_ref().is_none_or(|source| *source == summary.source);
    let kind =
        filter.kind.as_ref().is_none_or(|kind| summary.events.iter().any(|event| kind.matches(&event.kind)));
    if !(state && source && kind) {
        return Ok(false);
    }
    let Some(text) = &filter.text else { return Ok(true) };
    let in_summary = summary.id.to_string() == *text
        || summary.sender_id.as_ref().is_some_and(|id| id.contains(text))
        || summary.events.iter().any(|event| {
            event.id.to_string() == *text
                || event.subject.as_ref().is_some_and(|subject| subject.contains(text))
        })
        || summary.jobs.iter().any(|job| job.id.to_string() == *text);
    if in_summary {
        return Ok(true);
    }
    connection
        .prepare_cached("SELECT instr(body, CAST(?2 AS BLOB)) > 0 FROM delivery WHERE seq = ?1")?
        .query_row(params![seq, text], |row| row.get(0))
}

/// One delivery by its id.
pub(super) fn delivery(connection: &Connection, id: DeliveryId) -> rusqlite::Result<Option<DeliveryRecord>> {
    let seq = to_sql(id.seq());
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
    let mut attempts = statement
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
    // The last successful attempt stands in its job's row.
    attempts.extend(summary.jobs.iter().filter(|job| job.state == JobState::Done).filter_map(|job| {
        Some(AttemptRecord {
            job_id: job.id,
            route: job.route.clone(),
            number: job.attempts,
            replay: job.replays,
            started_at: job.started_at?,
            finished_at: job.finished_at?,
            outcome: "done".into(),
            error: None,
        })
    }));
    attempts.sort_by_key(|attempt| (attempt.started_at, attempt.finished_at));
    Ok(attempts)
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
    Ok((summary, decode(row.get_ref(8)?.as_str()?)?))
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
