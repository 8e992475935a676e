//! The two random-keyed indexes, kept cheap: new keys are collected in memory and merged into their tables in sorted
//! batches, so that keys which share a page are written together.
//!
//! Nothing is lost with the memory: each key also stands in its delivery's (or follows from its job's) row, and
//! `indexed` says up to where the tables are complete. What lies behind is read again when the file is opened.

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
};

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    row::{from_sql, to_sql},
    session::{Frequent, Statements},
};
use crate::{
    clock::Timestamp,
    delivery::{DedupeKey, DeliveryId, JobId},
};

/// How many keys are collected before they are merged.
const MERGE_AT: usize = 65_536;
/// How many keys of each kind one step merges: a bound on how long a commit waits for it.
const STEP: usize = 256;

const MERGE_KEY: &str = "INSERT INTO dedupe (key, delivery, until) VALUES (?1, ?2, ?3)
    ON CONFLICT DO UPDATE SET delivery = excluded.delivery, until = excluded.until WHERE excluded.until >= until";
const MERGE_JOB: &str = "INSERT INTO job_id (prefix, delivery) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

type Key = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The tables hold the keys of every delivery up to this sequence number.
    indexed: i64,
    fresh: Generation,
    /// Being merged; no longer grows.
    merging: Option<Generation>,
}

#[derive(Debug, Default)]
struct Generation {
    dedupe: BTreeMap<Key, Seen>,
    /// Prefix of the job's id, and its delivery's sequence number.
    jobs: Vec<(i64, i64)>,
    oldest: Option<i64>,
    newest: i64,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    id: DeliveryId,
    until: i64,
}

/// What is known of a delivery's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing.
    No,
    /// Its sender used the same id before, with another body.
    IdReused,
    /// It is this one again.
    Duplicate(DeliveryId),
}

impl Tail {
    /// Collects what the tables do not hold yet.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let indexed: Option<String> = connection
            .prepare_cached("SELECT value FROM meta WHERE key = 'indexed'")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let indexed = indexed.and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut tail = Self { indexed, ..Self::default() };
        let mut deliveries = connection.prepare_cached(
            "SELECT seq, id, dedupe, dedupe_until FROM delivery WHERE seq > ?1 ORDER BY seq",
        )?;
        let mut rows = deliveries.query([indexed])?;
        while let Some(row) = rows.next()? {
            let seq = row.get(0)?;
            tail.fresh.note(seq);
            // A damaged row is recognised by nothing; that is no reason not to begin.
            if let (Ok(id), Ok(Some(key)), Ok(Some(until))) =
                (row.get(1), row.get::<_, Option<Key>>(2), row.get(3))
            {
                tail.fresh.dedupe.insert(key, Seen { id: DeliveryId::from_bytes(id), until });
            }
        }
        let mut jobs = connection.prepare_cached(
            "SELECT job.delivery, delivery.id, job.event, name.text
             FROM job JOIN delivery ON delivery.seq = job.delivery JOIN name ON name.id = job.route
             WHERE job.delivery > ?1",
        )?;
        let mut rows = jobs.query([indexed])?;
        while let Some(row) = rows.next()? {
            let Ok(id) = row.get(1) else { continue };
            let job = DeliveryId::from_bytes(id).event(row.get(2)?).job(row.get_ref(3)?.as_str()?);
            tail.fresh.jobs.push((prefix(job), row.get(0)?));
        }
        Ok(tail)
    }

    /// Looks a key up; one that is a duplicate is remembered until `until` at least.
    pub(super) fn look_up(
        &mut self,
        connection: &Connection,
        statements: &mut Statements<'_>,
        key: &DedupeKey,
        now: Timestamp,
        until: i64,
    ) -> rusqlite::Result<Known> {
        let bytes = key.to_bytes();
        let mut found = None;
        for generation in [Some(&mut self.fresh), self.merging.as_mut()].into_iter().flatten() {
            if found.is_none() {
                found = generation.dedupe.get_mut(&bytes);
            }
        }
        if let Some(seen) = found.filter(|seen| !key.is_fallback() || seen.until >= now.as_millis()) {
            seen.until = seen.until.max(until);
            let id = seen.id;
            // What is only in memory follows from the delivery's row, so the sighting has to stand there.
            connection
                .prepare_cached("UPDATE delivery SET dedupe_until = max(dedupe_until, ?2) WHERE seq = ?1")?
                .execute(params![to_sql(id.seq()), until])?;
            return Ok(Known::Duplicate(id));
        }
        if key.is_fallback() {
            let seen = connection
                .prepare_cached("SELECT delivery FROM dedupe WHERE key = ?1 AND until >= ?2")?
                .query_row(params![bytes, now.as_millis()], |row| row.get(0))
                .optional()?;
            return match seen {
                Some(id) => {
                    let id = DeliveryId::from_bytes(id);
                    extend(connection, &bytes, id, until)?;
                    Ok(Known::Duplicate(id))
                }
                None => Ok(Known::No),
            };
        }
        // One look serves both questions: the same claim with this content, or with another.
        let (first, last) = claim_range(&bytes);
        let mut reused = [Some(&self.fresh), self.merging.as_ref()].into_iter().flatten().any(|generation| {
            generation.dedupe.range((Bound::Included(first), Bound::Included(last))).next().is_some()
        });
        let mut rows = statements.get(Frequent::LookUp)?.query(params![first, last])?;
        while let Some(row) = rows.next()? {
            if row.get_ref(0)?.as_blob()? == bytes {
                let id = DeliveryId::from_bytes(row.get(1)?);
                extend(connection, &bytes, id, until)?;
                return Ok(Known::Duplicate(id));
            }
            reused = true;
        }
        Ok(if reused { Known::IdReused } else { Known::No })
    }

    /// Notes a new delivery's key.
    pub(super) fn add_delivery(
        &mut self,
        connection: &Connection,
        seq: i64,
        id: DeliveryId,
        dedupe: Option<(Key, i64)>,
    ) -> rusqlite::Result<()> {
        if seq > self.indexed {
            self.fresh.note(seq);
            if let Some((key, until)) = dedupe {
                self.fresh.dedupe.insert(key, Seen { id, until });
            }
        } else if let Some((key, until)) = dedupe {
            // It overtook those that are merged already.
            merge_key(connection, &key, Seen { id, until })?;
        }
        Ok(())
    }

    /// Notes a new job's id.
    pub(super) fn add_job(
        &mut self,
        connection: &Connection,
        prefix: i64,
        delivery: i64,
    ) -> rusqlite::Result<()> {
        if delivery > self.indexed {
            self.fresh.jobs.push((prefix, delivery));
            Ok(())
        } else {
            merge_job(connection, prefix, delivery)
        }
    }

    /// The deliveries in which a job with this id may be, as far as the table does not say.
    pub(super) fn deliveries_of_job(&self, prefix: i64) -> Vec<u64> {
        [Some(&self.fresh), self.merging.as_ref()]
            .into_iter()
            .flatten()
            .flat_map(|generation| &generation.jobs)
            .filter(|job| job.0 == prefix)
            .map(|job| from_sql(job.1))
            .collect()
    }

    /// Forgets deliveries that are about to be deleted, except by what they are recognised: as their rows no longer say
    /// so, the table has to.
    pub(super) fn forget(
        &mut self,
        connection: &Connection,
        deleted: &HashSet<DeliveryId>,
    ) -> rusqlite::Result<()> {
        let deleted_seqs: HashSet<_> = deleted.iter().map(|id| to_sql(id.seq())).collect();
        if deleted_seqs.iter().all(|seq| *seq <= self.indexed) {
            return Ok(());
        }
        // The older generation first: where both have a key, the newer one's word is the last.
        for generation in [self.merging.as_mut(), Some(&mut self.fresh)].into_iter().flatten() {
            generation.jobs.retain(|(_, delivery)| !deleted_seqs.contains(delivery));
            let keys: Vec<_> = generation
                .dedupe
                .iter()
                .filter(|(_, seen)| deleted.contains(&seen.id))
                .map(|(key, seen)| (*key, *seen))
                .collect();
            for (key, seen) in keys {
                merge_key(connection, &key, seen)?;
                generation.dedupe.remove(&key);
            }
        }
        Ok(())
    }

    /// Whether there is something to merge now.
    pub(super) fn wants_merge(&self) -> bool {
        self.is_merging() || self.fresh.dedupe.len() >= MERGE_AT || self.fresh.jobs.len() >= MERGE_AT
    }

    /// Whether a merge is under way.
    pub(super) fn is_merging(&self) -> bool {
        self.merging.is_some()
    }

    /// Merges one step's worth, if it is time.
    pub(super) fn merge_step(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.wants_merge() { self.merge(connection) } else { Ok(()) }
    }

    /// Merges one step's worth.
    pub(super) fn merge(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        if self.merging.is_none() {
            if self.fresh.oldest.is_none() {
                return Ok(());
            }
            let mut frozen = std::mem::take(&mut self.fresh);
            // The end is taken from, so the order is reversed.
            frozen.jobs.sort_unstable_by(|one, other| other.cmp(one));
            self.merging = Some(frozen);
        }
        let Some(generation) = &mut self.merging else { return Ok(()) };
        let (mut merge_key, mut merge_job) =
            (connection.prepare_cached(MERGE_KEY)?, connection.prepare_cached(MERGE_JOB)?);
        for _ in 0..STEP {
            let Some((key, seen)) = generation.dedupe.pop_first() else { break };
            merge_key.execute(params![key, seen.id.as_bytes(), seen.until])?;
        }
        let rest = generation.jobs.len().saturating_sub(STEP);
        for (prefix, delivery) in generation.jobs.drain(rest..).rev() {
            merge_job.execute(params![prefix, delivery])?;
        }
        if generation.dedupe.is_empty() && generation.jobs.is_empty() {
            self.indexed =
                self.fresh.oldest.map_or(generation.newest, |oldest| generation.newest.min(oldest - 1));
            self.merging = None;
            connection
                .prepare_cached("INSERT INTO meta (key, value) VALUES ('indexed', ?1) ON CONFLICT DO UPDATE SET value = ?1")?
                .execute([self.indexed.to_string()])?;
        }
        Ok(())
    }
}

impl Generation {
    fn note(&mut self, seq: i64) {
        self.oldest = Some(self.oldest.map_or(seq, |oldest| oldest.min(seq)));
        self.newest = self.newest.max(seq);
    }
}

/// The first 8 bytes of a job's id.
pub(super) fn prefix(job: JobId) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&job.as_bytes()[..8]);
    i64::from_be_bytes(bytes)
}

/// Removes what the table holds of a delivery's jobs.
pub(super) fn forget_jobs(connection: &Connection, id: DeliveryId, seq: i64) -> rusqlite::Result<()> {
    let mut jobs = connection.prepare_cached(
        "SELECT job.event, name.text FROM job JOIN name ON name.id = job.route WHERE job.delivery = ?1",
    )?;
    let mut rows = jobs.query([seq])?;
    let mut forget = connection.prepare_cached("DELETE FROM job_id WHERE prefix = ?1 AND delivery = ?2")?;
    while let Some(row) = rows.next()? {
        let job = id.event(row.get(0)?).job(row.get_ref(1)?.as_str()?);
        forget.execute(params![prefix(job), seq])?;
    }
    Ok(())
}

fn claim_range(key: &Key) -> (Key, Key) {
    let (mut first, mut last) = (*key, *key);
    first[16..].fill(0);
    last[16..].fill(0xff);
    (first, last)
}

fn merge_key(connection: &Connection, key: &Key, seen: Seen) -> rusqlite::Result<()> {
    connection.prepare_cached(MERGE_KEY)?.execute(params![key, seen.id.as_bytes(), seen.until])?;
    Ok(())
}

fn merge_job(connection: &Connection, prefix: i64, delivery: i64) -> rusqlite::Result<()> {
    connection.prepare_cached(MERGE_JOB)?.execute(params![prefix, delivery])?;
    Ok(())
}

/// Remembers a key for longer. Also in the delivery's row: were the process to end in the middle of a merge, that row
/// is what is read again.
fn extend(connection: &Connection, key: &Key, id: DeliveryId, until: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE dedupe SET until = ?2 WHERE key = ?1 AND until < ?2")?
        .execute(params![key, until])?;
    connection
        .prepare_cached("UPDATE delivery SET dedupe_until = ?2 WHERE seq = ?1 AND dedupe_until < ?2")?
        .execute(params![to_sql(id.seq()), until])?;
    Ok(())
}

#[cfg(test)]
impl Tail {
    /// What tables and memory say together.
    #[expect(clippy::type_complexity, reason = "a test's intermediate value")]
    pub(super) fn everything(
        &self,
        connection: &Connection,
    ) -> rusqlite::Result<(BTreeMap<Key, (DeliveryId, i64)>, std::collections::BTreeSet<(i64, i64)>)> {
        let mut keys = connection
            .prepare("SELECT key, delivery, until FROM dedupe")?
            .query_map([], |row| Ok((row.get(0)?, (DeliveryId::from_bytes(row.get(1)?), row.get(2)?))))?
            .collect::<rusqlite::Result<BTreeMap<Key, (DeliveryId, i64)>>>()?;
        let mut jobs = connection
            .prepare("SELECT prefix, delivery FROM job_id")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<std::collections::BTreeSet<_>>>()?;
        for generation in [self.merging.as_ref(), Some(&self.fresh)].into_iter().flatten() {
            for (key, seen) in &generation.dedupe {
                let known = keys.entry(*key).or_insert((seen.id, seen.until));
                if seen.until >= known.1 {
                    *known = (seen.id, seen.until);
                }
            }
            jobs.extend(&generation.jobs);
        }
        Ok((keys, jobs))
    }
}
