//! Deletes what was moved: when it was kept long enough, or when there is no room to keep it.

use crate::journal::sqlite::{session::Session, size};

/// How many rows one step deletes at most.
pub(super) const STEP: i64 = 1024;
/// After how many rows that are deleted for room it is looked whether there is room now.
const LOOK_EVERY: usize = 4;

/// What one step has deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cleared {
    /// No moved row is left up to this position.
    pub(crate) until: i64,
    /// Whether some had to go before their time, because the file is nearly full.
    pub(crate) early: bool,
    /// Whether there is more to delete.
    pub(crate) more: bool,
}

impl Session<'_> {
    /// Deletes moved rows, the oldest first: those up to `kept`, and beyond that as many as it takes for the file to be
    /// less than nearly full. A copy of what the queue has must not keep out what nobody has yet.
    pub(super) fn clear_outbox(&mut self, kept: i64, max_size: u64) -> rusqlite::Result<Cleared> {
        let nearly_full = || size::is_nearly_full(self.connection, max_size);
        let relayed = super::progress::read_progress(self.connection)?.relayed;
        let kept = kept.min(relayed);
        let last = if nearly_full()? { relayed } else { kept };
        let positions: Vec<i64> = self
            .connection
            .prepare_cached(
                "SELECT position FROM outbox WHERE position <= ?1 AND refused IS NULL ORDER BY position LIMIT ?2",
            )?
            .query_map([last, STEP], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut delete = self.connection.prepare_cached("DELETE FROM outbox WHERE position = ?1")?;
        let more = i64::try_from(positions.len()).is_ok_and(|found| found == STEP);
        let mut cleared = Cleared { until: if more { 0 } else { kept }, early: false, more };
        for (count, position) in positions.into_iter().enumerate() {
            if position > kept {
                if count % LOOK_EVERY == 0 && !nearly_full()? {
                    cleared.more = false;
                    break;
                }
                cleared.early = true;
            }
            delete.execute([position])?;
            cleared.until = cleared.until.max(position);
        }
        Ok(cleared)
    }
}
