//! Moves what the slots of a data folder hold, and ends.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Moved, OnDuplicate, RelayOptions,
    slots::{Context, Slots},
};
use crate::{
    clock::{self, Clock},
    journal::{
        Shared,
        sqlite::{OpenError, Outbox, SqliteOptions},
    },
};

/// How often to look how far the relays are.
const INTERVAL: Duration = Duration::from_millis(100);
/// How long the relays may take to write down how far they have come.
const GRACE: Duration = Duration::from_secs(1);

/// How far a drain has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Drained {
    /// What was moved so far.
    pub(crate) moved: Moved,
    /// How many deliveries wait in the slots that could be opened.
    pub(crate) left: u64,
    /// Whether the queue has said which copy of its data it has. Before, it may lack what was moved to another one.
    pub(crate) asked: bool,
    /// How many the queue has refused, now or earlier: they stay in their slots.
    pub(crate) refused: u64,
    /// The slots that another process has: it relays them itself.
    pub(crate) in_use: Vec<u32>,
    /// The slots that can't be opened, and why.
    pub(crate) unopened: Vec<(u32, String)>,
    /// What is wrong with the queue now, in words.
    pub(crate) trouble: Option<String>,
}

impl Drained {
    /// Whether nothing is left that this could have moved.
    pub(crate) fn is_complete(&self) -> bool {
        self.asked && self.left == 0 && self.unopened.is_empty() && self.refused == 0
    }
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moved { relayed, duplicates, brought_back, .. } = self.moved;
        write!(f, "{relayed} moved ({duplicates} of them known there), {} left", self.left)?;
        if !self.asked {
            f.write_str("; not known yet whether the queue still has what was moved before")?;
        }
        if brought_back > 0 {
            write!(f, "; {brought_back} brought back that the queue had lost")?;
        }
        if self.refused > 0 {
            write!(f, "; {} that the queue will never take, see the log and `doorbell list`", self.refused)?;
        }
        if !self.in_use.is_empty() {
            write!(f, "; in use by other processes, which move them: slots {:?}", self.in_use)?;
        }
        if let Some(trouble) = &self.trouble {
            write!(f, "; the queue does not take them now: {trouble}")?;
        }
        for (slot, why) in &self.unopened {
            write!(f, "\nslot {slot} can't be opened: {why}")?;
        }
        Ok(())
    }
}

/// Moves what all slots of the journal's folder hold that nobody has, until nothing is left to be moved or the time is
/// over. `tell` is told whenever something has changed.
///
/// # Errors
/// The folder can't be read.
pub(crate) async fn drain(
    shared: Arc<dyn Shared>,
    options: RelayOptions,
    journal: SqliteOptions,
    clock: Arc<dyn Clock>,
    on_duplicate: OnDuplicate,
    give_up_at: Option<Instant>,
    mut tell: impl FnMut(&Drained) + Send,
) -> Result<Drained, OpenError> {
    let in_use = Outbox::in_use(&journal.dir)?;
    let slots = Arc::new(Slots::new(Context { shared, options, journal, clock, on_duplicate }));
    let mut unopened = Vec::new();
    let tasks = slots.adopt(|number, error| unopened.push((number, error.to_string()))).await;
    let mut last = Drained { in_use, unopened, ..Drained::default() };
    let mut told = false;
    loop {
        let asked = slots.are_asked();
        let (moved, left, trouble) = (slots.moved(), slots.backlog(), slots.trouble());
        let now = Drained { moved, left, asked, refused: moved.refused, trouble, ..last.clone() };
        if now != last || !told {
            tell(&now);
            told = true;
        }
        last = now;
        if last.asked && last.left == 0 || give_up_at.is_some_and(|at| clock::instant() >= at) {
            break;
        }
        tokio::time::sleep(INTERVAL).await;
    }
    slots.stop(GRACE);
    for task in tasks {
        // A panic in there has been reported by the panic hook.
        let _ = task.await;
    }
    let mut refused = 0;
    for slot in slots.all() {
        // What can't be counted is not known to be none.
        refused += slot.outbox.refused().await.unwrap_or(1);
    }
    let asked = slots.are_asked();
    Ok(Drained { moved: slots.moved(), left: slots.backlog(), asked, refused, ..last })
}
