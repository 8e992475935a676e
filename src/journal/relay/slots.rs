//! The slots of a data folder that this process relays: its own, and those that nobody has any more.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{sync::watch, task::JoinHandle};

use super::{
    OnDuplicate, RelayOptions,
    report::{Moved, Report},
    task::Relay,
};
use crate::{
    clock::{self, Clock},
    journal::{
        Shared,
        sqlite::{OpenError, Outbox, SqliteOptions},
    },
};

/// A slot that is relayed.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) outbox: Arc<Outbox>,
    pub(super) report: Arc<Report>,
}

/// All slots that this process relays now. The first one is its own, if it has one.
pub(super) struct Slots {
    relayed: Mutex<Vec<Slot>>,
    /// What relays of slots that were let go had moved. Locked only while `relayed` is.
    past: Mutex<Moved>,
    stop: watch::Sender<Option<Instant>>,
    context: Context,
}

/// What every relay is made with.
pub(super) struct Context {
    pub(super) shared: Arc<dyn Shared>,
    pub(super) options: RelayOptions,
    pub(super) journal: SqliteOptions,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) on_duplicate: OnDuplicate,
}

impl Slots {
    pub(super) fn new(context: Context) -> Self {
        Self { relayed: Mutex::default(), past: Mutex::default(), stop: watch::Sender::new(None), context }
    }

    /// The slots that are relayed now.
    pub(super) fn all(&self) -> Vec<Slot> {
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What all relays have moved since this process began.
    pub(super) fn moved(&self) -> Moved {
        // A slot that is let go between two looks would count twice, or not at all.
        let relayed = self.relayed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = *self.past.lock().unwrap_or_else(PoisonError::into_inner);
        relayed.iter().for_each(|slot| sum += slot.report.moved());
        sum
    }

    /// Begins to relay an outbox; an adopted one until nothing is left in it.
    pub(super) fn relay(self: &Arc<Self>, outbox: Arc<Outbox>, adopted: bool) -> (Slot, JoinHandle<()>) {
        let Context { shared, options, clock, on_duplicate, .. } = &self.context;
        let relay = Relay::new(
            outbox.clone(),
            shared.clone(),
            *options,
            clock.clone(),
            on_duplicate.clone(),
            adopted,
        );
        let slot = Slot { report: relay.report(), outbox };
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner).push(slot.clone());
        let stop = self.stop.subscribe();
        let slots = self.clone();
        let number = slot.outbox.slot();
        let task = tokio::spawn(async move {
            relay.run(stop).await;
            // At the end of the process all of them close together, and what they still hold can be told until then.
            if adopted && slots.stop.borrow().is_none() {
                slots.let_go(number).await;
            }
        });
        (slot, task)
    }

    /// Closes an adopted slot, so that its lock is free again.
    async fn let_go(&self, number: u32) {
        let gone = {
            let mut relayed = self.relayed.lock().unwrap_or_else(PoisonError::into_inner);
            let at = relayed.iter().position(|slot| slot.outbox.slot() == number);
            at.map(|at| {
                let slot = relayed.remove(at);
                *self.past.lock().unwrap_or_else(PoisonError::into_inner) += slot.report.moved();
                slot
            })
        };
        if let Some(slot) = gone {
            tracing::info!(slot = number, "nothing is left to relay in this slot; it is let go");
            // Closing waits for the writer's thread. A panic in there has been reported.
            let _ = tokio::task::spawn_blocking(move || drop(slot)).await;
        }
    }

    /// Adopts slots that nobody has any more, now and whenever it is time to look again, until the relays stop. Ends
    /// when the adopted ones have ended.
    pub(super) async fn adopt_for_ever(self: Arc<Self>) {
        let mut stop = self.stop.subscribe();
        let mut tasks = Vec::new();
        let mut warned = HashSet::new();
        while stop.borrow_and_update().is_none() {
            let adopted = self.adopt(|number, error| {
                if warned.insert(number) {
                    tracing::error!(slot = number, %error, "a slot that nobody has can't be relayed");
                }
            });
            tasks.extend(adopted.await);
            tasks.retain(|task: &JoinHandle<()>| !task.is_finished());
            tokio::select! {
                () = tokio::time::sleep(self.context.options.look_every) => {}
                // An error means that nobody is left who could want it to go on.
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        for task in tasks {
            // A panic in there has been reported by the panic hook.
            let _ = task.await;
        }
    }

    /// The numbers of the slots that are relayed now.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.all().iter().map(|slot| slot.outbox.slot()).collect()
    }

    /// How many deliveries wait in all of them.
    pub(super) fn backlog(&self) -> u64 {
        let now = self.context.clock.now();
        self.all().iter().map(|slot| slot.report.state(slot.outbox.end(), now).backlog).sum()
    }

    /// Whether the queue has said to each of them which copy of its data it has. To be asked before the backlog is: the
    /// answer may make it longer.
    pub(super) fn are_asked(&self) -> bool {
        self.all().iter().all(|slot| slot.report.is_asked())
    }

    /// What is wrong with the queue, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        self.all().iter().find_map(|slot| slot.report.trouble())
    }

    /// Adopts what can be adopted now; `complain` is told of what nobody has and can't be opened.
    pub(super) async fn adopt(
        self: &Arc<Self>,
        mut complain: impl FnMut(u32, OpenError) + Send,
    ) -> Vec<JoinHandle<()>> {
        let ours: HashSet<u32> = self.numbers().into_iter().collect();
        let (journal, clock) = (self.context.journal.clone(), self.context.clock.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let numbers = Outbox::slots(&journal.dir)?;
            let others = numbers.into_iter().filter(|number| !ours.contains(number));
            Ok::<_, OpenError>(
                others
                    .map(|number| (number, Outbox::adopt(number, journal.clone(), clock.clone())))
                    .collect::<Vec<_>>(),
            )
        });
        let found = match looked.await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the slots of the data folder can't be listed");
                return Vec::new();
            }
            // A panic in there has been reported by the panic hook.
            Err(_) => return Vec::new(),
        };
        let mut tasks = Vec::new();
        for (number, adopted) in found {
            match adopted {
                Ok(Some(outbox)) => {
                    let backlog = outbox.end() - outbox.progress().relayed;
                    tracing::info!(slot = number, backlog, "adopted a slot that nobody has any more");
                    tasks.push(self.relay(Arc::new(outbox), true).1);
                }
                Ok(None) => {}
                Err(error) => complain(number, error),
            }
        }
        tasks
    }

    /// Tells the relays to end: what can be moved within the grace is.
    pub(super) fn stop(&self, grace: Duration) {
        self.stop.send_replace(Some(clock::instant() + grace));
    }
}
