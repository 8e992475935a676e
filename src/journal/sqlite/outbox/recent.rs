//! The rows that were committed last, in memory: as a rule the relay is close behind, and needs not read from the file what
//! has only just been written there.

use std::collections::VecDeque;

use super::OutboxRow;
#[cfg(any(test, feature = "redis"))]
use super::{
    read::{Held, Limits},
    row::never,
};

/// How many bytes of deliveries are held at most. A relay that is further behind reads them from the file.
const ROOM: usize = 4 << 20;

/// Rows that follow each other directly.
#[derive(Debug, Default)]
pub(in super::super) struct Recent {
    rows: VecDeque<(i64, Box<OutboxRow>)>,
    bytes: usize,
}

impl Recent {
    /// Adds rows that are durable, by their positions. The oldest make room for them.
    pub(in super::super) fn add(&mut self, rows: Vec<(i64, Box<OutboxRow>)>) {
        for (position, row) in rows {
            // What was refused after a commit that failed may be durable all the same; then it is in the file only.
            if self.rows.back().is_some_and(|(last, _)| *last + 1 != position) {
                self.clear();
            }
            self.bytes += size(&row);
            self.rows.push_back((position, row));
        }
        while self.bytes > ROOM {
            self.take_first();
        }
    }

    /// Forgets all rows: they are to be read from the file.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn take_first(&mut self) -> Option<(i64, Box<OutboxRow>)> {
        let first = self.rows.pop_front()?;
        self.bytes -= size(&first.1);
        Some(first)
    }
}

#[cfg(any(test, feature = "redis"))]
impl Recent {
    /// The rows behind one position and up to another, within the limits, and no longer held; what lies in front of them
    /// is forgotten. `None`: they are to be read from the file.
    pub(super) fn take(&mut self, after: i64, until: i64, limits: Limits) -> Option<Vec<Held>> {
        while self.rows.front().is_some_and(|(position, _)| *position <= after) {
            self.take_first();
        }
        let (first, _) = self.rows.front()?;
        if *first != after + 1 || *first > until {
            return None;
        }
        let mut bytes = 0;
        let fits = |(count, (position, row)): &(usize, &(i64, Box<OutboxRow>))| {
            bytes += row.sealed.body.len();
            *position <= until && (*count == 0 || *count < limits.rows && bytes <= limits.bytes)
        };
        let count = self.rows.iter().enumerate().take_while(fits).count();
        let mut taken = Vec::with_capacity(count);
        taken.extend(std::iter::from_fn(|| self.take_first()).take(count).map(held));
        Some(taken)
    }
}

#[cfg(any(test, feature = "redis"))]
fn held((position, row): (i64, Box<OutboxRow>)) -> Held {
    let mut sealed = row.sealed;
    sealed.give_up_at = never();
    Held { position, id: sealed.id, received_at: sealed.received_at, delivery: Ok(sealed) }
}

/// About how much memory a row takes.
fn size(OutboxRow { sealed, plan }: &OutboxRow) -> usize {
    512 + plan.len() + sealed.head.len() + sealed.body.len() + 64 * sealed.jobs.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{delivery::DeliveryId, journal::sealed::Sealed};

    const ALL: Limits = Limits { rows: usize::MAX, bytes: usize::MAX };

    fn row(position: i64, body: usize) -> (i64, Box<OutboxRow>) {
        let sealed = Sealed::test(DeliveryId::from_bytes([0; 16]), b"", body);
        (position, Box::new(OutboxRow { sealed, plan: String::new() }))
    }

    /// These positions, with bodies of a byte.
    fn holding(positions: impl IntoIterator<Item = i64>) -> Recent {
        let mut recent = Recent::default();
        recent.add(positions.into_iter().map(|position| row(position, 1)).collect());
        recent
    }

    fn taken(recent: &mut Recent, after: i64, until: i64, limits: Limits) -> Option<Vec<i64>> {
        recent.take(after, until, limits).map(|rows| rows.iter().map(|row| row.position).collect())
    }

    #[test]
    fn what_follows_a_position_is_taken_once_and_within_the_limits() {
        let mut recent = holding(1..=9);
        assert_eq!(taken(&mut recent, 2, 7, Limits { rows: 2, ..ALL }), Some(vec![3, 4]));
        assert_eq!(taken(&mut recent, 4, 7, Limits { bytes: 2, ..ALL }), Some(vec![5, 6]));
        assert_eq!(taken(&mut recent, 6, 7, ALL), Some(vec![7]));
        assert_eq!(taken(&mut recent, 7, 9, Limits { rows: 0, bytes: 0 }), Some(vec![8]), "one at least");
        assert_eq!(taken(&mut recent, 7, 9, ALL), None, "what was taken and not moved is in the file");
        assert_eq!(taken(&mut recent, 8, 9, ALL), Some(vec![9]));
        assert_eq!(taken(&mut recent, 9, 9, ALL), None);
        assert_eq!(recent.bytes, 0);
    }

    #[test]
    fn what_is_not_held_is_in_the_file() {
        let mut recent = holding(5..=9);
        assert_eq!(taken(&mut recent, 0, 3, ALL), None);
        assert_eq!(taken(&mut recent, 0, 9, ALL), None);
        assert_eq!(taken(&mut recent, 4, 4, ALL), None);
        assert_eq!(taken(&mut recent, 4, 9, ALL), Some(vec![5, 6, 7, 8, 9]));
    }

    #[test]
    fn behind_a_gap_all_is_held_anew() {
        let mut recent = holding([1, 2, 5, 6]);
        assert_eq!(taken(&mut recent, 0, 6, ALL), None, "3 and 4 may be in the file");
        assert_eq!(taken(&mut recent, 4, 6, ALL), Some(vec![5, 6]));
    }

    #[test]
    fn the_oldest_make_room() {
        let mut recent = Recent::default();
        recent.add(vec![row(1, ROOM / 2), row(2, ROOM / 2), row(3, 1)]);
        assert_eq!(recent.rows.iter().map(|(position, _)| *position).collect::<Vec<_>>(), [2, 3]);
        recent.add(vec![row(4, 2 * ROOM)]);
        assert!(recent.rows.is_empty());
        assert_eq!(recent.bytes, 0);
    }
}
