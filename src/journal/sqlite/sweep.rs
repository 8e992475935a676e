//! Deletes what is older than it may be, a bounded step at a time.
//!
//! Two hands go round: one over the deliveries in the order of arrival, one over the dedupe keys. Neither needs an
//! index on time, and neither step costs more in a large file than in a small one.

use std::collections::HashSet;

use rusqlite::params;

use super::{row::to_sql, session::Session, tail};
use crate::{
    delivery::DeliveryId,
    journal::{JobState, Retention, Swept},
};

/// How many deliveries and how many keys one step looks at.
const STEP: usize = 256;

/// Where the two hands are.
#[derive(Debug, Default, Clone)]
pub(super) struct Hands {
    delivery: i64,
    key: Vec<u8>,
    /// Which of them have come round; each then rests until both have.
    came_round: (bool, bool),
}

impl Session<'_> {
    pub(super) fn sweep(&mut self, retention: Retention, hands: &mut Hands) -> rusqlite::Result<Swept> {
        let mut swept = Swept::default();
        let (deliveries_done, keys_done) = hands.came_round;
        let deliveries_done = deliveries_done || self.sweep_deliveries(retention, hands, &mut swept)?;
        let keys_done = keys_done || self.sweep_keys(hands, &mut swept)?;
        swept.finished = deliveries_done && keys_done;
        hands.came_round = if swept.finished { (false, false) } else { (deliveries_done, keys_done) };
        Ok(swept)
    }

    /// `true` when the hand has come round.
    fn sweep_deliveries(
        &mut self,
        retention: Retention,
        hands: &mut Hands,
        swept: &mut Swept,
    ) -> rusqlite::Result<bool> {
        let before = |age: Option<std::time::Duration>| age.map(|age| self.now.minus(age).as_millis());
        let (done_before, failed_before) = (before(retention.done), before(retention.failed));
        let Some(latest) = done_before.max(failed_before) else { return Ok(true) };
        let mut old = self.connection.prepare_cached(
            "SELECT seq, id, state, unrouted, received_at FROM delivery WHERE seq > ?1 ORDER BY seq LIMIT ?2",
        )?;
        let rows = old
            .query_map(params![hands.delivery, to_sql(STEP as u64)], |row| {
                let id: Option<[u8; 16]> = row.get(1).ok();
                let (state, unrouted): (i64, i64) = (row.get(2)?, row.get(3)?);
                Ok((row.get(0)?, id.map(DeliveryId::from_bytes), state, unrouted, row.get(4)?))
            })?
            .collect::<Result<Vec<(i64, _, _, _, i64)>, _>>()?;
        let mut came_round = rows.len() < STEP;
        let mut deleted = HashSet::new();
        for (seq, id, state, unrouted, received_at) in rows {
            if received_at >= latest {
                came_round = true;
                break;
            }
            hands.delivery = seq;
            // Of a damaged row nobody can say what else belongs to it, so it stays.
            let Some(id) = id else { continue };
            let jobs = self.ends_of(seq)?;
            let states: Vec<_> = jobs.iter().map(|(state, _)| *state).collect();
            let has = |wanted: JobState| states.contains(&(wanted as i64));
            if has(JobState::Queued) || has(JobState::Running) || has(JobState::Retrying) {
                continue;
            }
            let failed = state == 1 || unrouted > 0 || has(JobState::Dead);
            let limit = if failed { failed_before } else { done_before };
            // It has ended when its last job has; one without jobs, when it came.
            let ended_at =
                jobs.iter().filter_map(|(_, finished_at)| *finished_at).fold(received_at, i64::max);
            if limit.is_some_and(|limit| ended_at < limit) {
                self.delete(seq, id, &states)?;
                deleted.insert(id);
            }
        }
        swept.deliveries = deleted.len();
        self.memory.tail.forget(self.connection, &deleted)?;
        if came_round {
            hands.delivery = 0;
        }
        Ok(came_round)
    }

    /// The state of each job of a delivery, and when it finished.
    fn ends_of(&self, seq: i64) -> rusqlite::Result<Vec<(i64, Option<i64>)>> {
        self.connection
            .prepare_cached("SELECT state, finished_at FROM job WHERE delivery = ?1")?
            .query_map([seq], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    }

    fn delete(&mut self, seq: i64, id: DeliveryId, states: &[i64]) -> rusqlite::Result<()> {
        tail::forget_jobs(self.connection, id, seq)?;
        for sql in [
            "DELETE FROM attempt WHERE delivery = ?1",
            "DELETE FROM job WHERE delivery = ?1",
            "DELETE FROM delivery WHERE seq = ?1",
        ] {
            self.connection.prepare_cached(sql)?.execute([seq])?;
        }
        for state in states {
            self.count_job(Some(super::session::job_state(*state)?), None);
        }
        Ok(())
    }

    /// A key is kept for its window, and as long as its delivery is.
    fn sweep_keys(&mut self, hands: &mut Hands, swept: &mut Swept) -> rusqlite::Result<bool> {
        let mut keys = self
            .connection
            .prepare_cached("SELECT key, delivery, until FROM dedupe WHERE key > ?1 ORDER BY key LIMIT ?2")?;
        let rows: Vec<(Vec<u8>, Option<[u8; 16]>, i64)> = keys
            .query_map(params![hands.key, to_sql(STEP as u64)], |row| {
                Ok((row.get(0)?, row.get(1).ok(), row.get(2)?))
            })?
            .collect::<Result<_, _>>()?;
        let came_round = rows.len() < STEP;
        for (key, delivery, until) in rows {
            let kept = match delivery {
                Some(delivery) => self.is_kept(DeliveryId::from_bytes(delivery))?,
                // A damaged row leads to no delivery.
                None => false,
            };
            if until < self.now.as_millis() && !kept {
                self.connection.prepare_cached("DELETE FROM dedupe WHERE key = ?1")?.execute([&key])?;
                swept.dedupe_keys += 1;
            }
            hands.key = key;
        }
        if came_round {
            hands.key.clear();
        }
        Ok(came_round)
    }

    fn is_kept(&self, delivery: DeliveryId) -> rusqlite::Result<bool> {
        self.connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM delivery WHERE seq = ?1)")?
            .query_row([to_sql(delivery.seq())], |row| row.get(0))
    }
}
