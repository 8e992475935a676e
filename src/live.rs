//! What happens now, for those who watch.

use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::{
    clock::Timestamp,
    delivery::{DeliveryId, JobId},
};

/// A feed of what happens. Watchers that are too slow miss items; nobody waits for them.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    items: broadcast::Sender<LiveItem>,
    closed: watch::Sender<bool>,
}

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
    /// A delivery that was acknowledged turned out to repeat another one, when the queue that machines share saw it.
    #[cfg(feature = "redis")]
    Recognised { source: String, id: DeliveryId, original: DeliveryId },
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
        Self { items: broadcast::channel(1024).0, closed: watch::Sender::new(false) }
    }

    /// Whether anybody watches.
    pub(crate) fn is_watched(&self) -> bool {
        self.items.receiver_count() > 0
    }

    /// Tells those who watch. The item is only made if somebody does.
    pub(crate) fn tell(&self, item: impl FnOnce() -> LiveItem) {
        if self.is_watched() {
            // An error means that the last watcher has just left.
            let _ = self.items.send(item());
        }
    }

    pub(crate) fn watch(&self) -> broadcast::Receiver<LiveItem> {
        self.items.subscribe()
    }

    /// Sends all watchers away: a watcher would hold up a shutdown for as long as it likes.
    pub(crate) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the feed is closed.
    #[cfg(any(test, feature = "admin"))]
    pub(crate) fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut closed = self.closed.subscribe();
        async move {
            // An error means that the feed is gone altogether.
            let _ = closed.wait_for(|closed| *closed).await;
        }
    }
}
