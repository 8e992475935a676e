//! What happens now, for those who watch.

use serde::Serialize;
use tokio::sync::broadcast;

use crate::{
    clock::Timestamp,
    delivery::{DeliveryId, JobId},
};

/// A feed of what happens. Watchers that are too slow miss items; nobody waits for them.
#[derive(Debug, Clone)]
pub(crate) struct Live(broadcast::Sender<LiveItem>);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum LiveItem {
    /// A request was answered.
    Delivery {
        at: Timestamp,
        source: String,
        /// accepted, duplicate, quarantined, test, refused or failed.
        outcome: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<DeliveryId>,
        kinds: Vec<String>,
        /// From the start of the sender's deadline to the reply, in microseconds.
        ack_micros: u64,
    },
    /// An attempt ended.
    Attempt {
        at: Timestamp,
        id: JobId,
        delivery_id: DeliveryId,
        route: String,
        number: u32,
        /// done, retry, dead or discarded.
        outcome: &'static str,
        /// How long the handler took, in microseconds.
        took_micros: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
}

impl Live {
    pub(crate) fn new() -> Self {
        Self(broadcast::channel(1024).0)
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells those who watch. The item is only made if somebody does.
    pub(crate) fn tell(&self, item: impl FnOnce() -> LiveItem) {
        if self.is_watched() {
            // An error means that the last watcher has just left.
            let _ = self.0.send(item());
        }
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<LiveItem> {
        self.0.subscribe()
    }
}
