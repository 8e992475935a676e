//! Which deliveries were answered 503 and may be stored all the same.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use crate::delivery::DeliveryId;

/// How many are remembered, the newest ones. A sender that repeats at all does so soon.
const KEPT: usize = 4096;

/// The ids of deliveries whose sender was told that they were not stored. A commit under way goes on behind such an
/// answer, so one of them may turn out to be the original of a repetition, which then follows no acknowledgement.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged(Mutex<VecDeque<DeliveryId>>);

impl Unacknowledged {
    pub(super) fn add(&self, id: DeliveryId) {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.len() == KEPT {
            ids.pop_front();
        }
        ids.push_back(id);
    }

    /// Whether this one is among them. It is forgotten then: its sender is about to get an acknowledgement.
    pub(super) fn take(&self, id: DeliveryId) -> bool {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest are repeated first.
        let found = ids.iter().rposition(|other| *other == id);
        found.and_then(|at| ids.remove(at)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, delivery::IdGenerator};

    #[test]
    fn the_newest_are_remembered_until_they_are_repeated() {
        let generator = IdGenerator::new().unwrap();
        let ids: Vec<_> = (0..=KEPT).map(|_| generator.next(Timestamp::from_seconds(1), 0)).collect();
        let unacknowledged = Unacknowledged::default();
        for id in &ids {
            unacknowledged.add(*id);
        }
        assert!(!unacknowledged.take(ids[0]), "the oldest had to go");
        assert!(unacknowledged.take(ids[1]));
        assert!(!unacknowledged.take(ids[1]), "its repetition was acknowledged");
        assert!(unacknowledged.take(ids[KEPT]));
    }
}
