//! Step 4b, where machines share a queue: what is durable in the local journal is moved to the queue, in order and in
//! batches, as often as it takes.
//!
//! The queue knows a delivery by its own id, so a batch whose answer did not come is simply offered again. Moved rows
//! stay for a while: when the queue turns out to be another copy of its data than last time (it failed over, it was
//! restarted empty), all of them are offered again, and it takes those that it has lost.

mod drain;
mod kept;
mod listing;
#[cfg(all(feature = "redis", feature = "cli"))]
mod looking;
mod marks;
mod offer;
mod report;
mod safety;
mod slots;
mod stop;
mod store;
mod task;
#[cfg(test)]
mod tests;
mod view;

use std::{sync::Arc, time::Duration};

#[cfg(all(feature = "redis", feature = "cli"))]
pub(crate) use self::looking::Looking;
pub(crate) use self::{
    drain::{Drained, drain},
    report::Moved,
    store::Relayed,
};
use crate::{delivery::DeliveryId, journal::sqlite::Limits};

/// When a delivery is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AckWhen {
    /// When the journal has it.
    Journal,
    /// When the queue has it too, as far as that takes no longer than this. A queue that is away delays nothing.
    Both { timeout: Duration },
}

impl AckWhen {
    /// How long an acknowledgement may wait for the queue. `None`: it does not.
    pub(crate) const fn wait(self) -> Option<Duration> {
        match self {
            Self::Journal => None,
            Self::Both { timeout } => Some(timeout),
        }
    }
}

/// How a relay works.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RelayOptions {
    pub(crate) ack: AckWhen,
    /// How long rows stay after they were moved.
    pub(crate) keep: Duration,
    /// How often to look for slots that nobody has any more.
    pub(crate) look_every: Duration,
    /// How much is offered at once.
    pub(crate) batch: Limits,
    /// For how long to let rows gather while many come in.
    pub(crate) gather: Duration,
    /// For how long a batch's answer is waited for.
    pub(crate) patience: Duration,
    /// How often to ask which copy of its data the queue has, also while nothing is to be moved.
    pub(crate) ask_every: Duration,
    /// For how long at most the file does not know how far the relay has come.
    pub(crate) save_every: Duration,
    /// How often to delete what was kept long enough.
    pub(crate) sweep_every: Duration,
    /// How long to wait before a failed batch is offered again, at first and at most.
    pub(crate) retry: (Duration, Duration),
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            ack: AckWhen::Journal,
            keep: Duration::from_secs(3600),
            look_every: Duration::from_secs(30),
            batch: Limits { rows: 256, bytes: 1 << 20 },
            gather: Duration::from_millis(10),
            patience: Duration::from_secs(10),
            ask_every: Duration::from_secs(5),
            save_every: Duration::from_millis(100),
            sweep_every: Duration::from_secs(1),
            retry: (Duration::from_millis(50), Duration::from_secs(1)),
        }
    }
}

/// A delivery that was acknowledged, and that the queue then recognised as one it has.
#[derive(Debug, Clone)]
pub(crate) struct LateDuplicate {
    pub(crate) source: Arc<str>,
    pub(crate) id: DeliveryId,
    pub(crate) original: DeliveryId,
}

/// Is told of each delivery that the queue recognised.
pub(crate) type OnDuplicate = Arc<dyn Fn(LateDuplicate) + Send + Sync>;
