//! Deletes old deliveries in the background, in steps that nobody notices.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use crate::journal::{Retention, Store};

/// Between two steps of a round while there is much to delete, and while there is little.
const STEPS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Between two rounds.
const ROUNDS: Duration = Duration::from_secs(60);

pub(super) async fn run(store: Arc<dyn Store>, retention: Retention, mut stop: oneshot::Receiver<()>) {
    let mut pause = ROUNDS;
    loop {
        tokio::select! {
            // Told to, or nobody is left who could tell.
            _ = &mut stop => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = match store.sweep(retention).await {
            Ok(swept) if swept.finished => ROUNDS,
            Ok(swept) if swept.no_hurry => STEPS.1,
            Ok(_) => STEPS.0,
            Err(error) => {
                tracing::warn!(%error, "old deliveries could not be swept");
                ROUNDS
            }
        };
    }
}
