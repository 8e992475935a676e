//! Deletes old deliveries in the background, in steps that nobody notices.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::journal::{Retention, Store};

/// Between two steps of a round, and between two rounds.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(60));

pub(super) async fn run(store: Arc<dyn Store>, retention: Retention, mut stop: oneshot::Receiver<()>) {
    let mut pause = PAUSES.1;
    loop {
        tokio::select! {
            // Told to, or nobody is left who could tell.
            _ = &mut stop => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match store.sweep(retention).await {
            Ok(swept) if swept.finished => PAUSES.1,
            Ok(_) => PAUSES.0,
            Err(error) => {
                tracing::warn!(%error, "old deliveries could not be swept");
                PAUSES.1
            }
        };
    }
}
