//! What a relay writes down, and what it deletes.

use std::time::Duration;

use super::Relay;
use crate::{clock, journal::sqlite::Progress};

impl Relay {
    /// Writes down what is not yet, and deletes what was kept long enough. `true`: this was the end.
    pub(super) async fn tidy(&mut self) -> bool {
        let now = self.clock.monotonic();
        self.unsaved.watch |= self.kept.is_worth_saving(now);
        self.save().await;
        let more = self.clear(now).await;
        let wait = if more { Duration::ZERO } else { self.options.sweep_every };
        self.next_tidy = clock::instant() + wait;
        self.ends_when_empty && matches!(self.outbox.holds_nothing().await, Ok(true))
    }

    /// Deletes what was kept long enough, or can't be kept longer. `true`: there is more.
    async fn clear(&mut self, now: Duration) -> bool {
        let kept = self.kept.long_enough(now);
        let cleared = match self.outbox.clear(kept.unwrap_or(0)).await {
            Ok(cleared) => cleared,
            Err(error) => {
                tracing::debug!(%error, slot = self.outbox.slot(), "kept rows could not be deleted");
                return false;
            }
        };
        self.kept.cleared(cleared.until);
        if cleared.early && !self.keeps_less {
            tracing::warn!(
                slot = self.outbox.slot(), keep = ?self.options.keep,
                "the journal is nearly full, so what was moved is deleted before its time: a queue that loses its data \
                 gets back less than the last `keep`. Raise [journal] max_size, or shorten keep"
            );
        }
        self.keeps_less = cleared.early || self.keeps_less && kept.is_none();
        cleared.more
    }

    /// What the file is to know of it.
    pub(super) fn progress(&self) -> Progress {
        let histories = self.histories.clone();
        Progress { relayed: self.marks.relayed(), once: self.marks.once(), histories }
    }

    /// Whether the file knows all that this relay knows.
    pub(super) async fn save(&mut self) -> bool {
        if !self.unsaved.is_some() {
            return true;
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        let watch = unsaved.watch.then(|| self.kept.watch(self.clock.monotonic()));
        let (duplicates, refused) = (unsaved.duplicates.clone(), unsaved.refused.clone());
        match self.outbox.save(self.progress(), watch.clone(), duplicates, refused).await {
            Ok(()) => watch.iter().for_each(|watch| self.kept.saved(watch)),
            Err(error) => {
                tracing::debug!(%error, slot = self.outbox.slot(), "the relay's progress could not be written down");
                self.unsaved = unsaved;
            }
        }
        !self.unsaved.is_some()
    }
}

/// What the file does not know yet.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    pub(super) progress: bool,
    /// Whether to write down for how long rows were kept, too.
    pub(super) watch: bool,
    pub(super) duplicates: Vec<i64>,
    pub(super) refused: Vec<(i64, String)>,
}

impl Unsaved {
    pub(super) fn is_some(&self) -> bool {
        self.progress || self.watch || !self.duplicates.is_empty() || !self.refused.is_empty()
    }
}
