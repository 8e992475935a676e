//! How a relay is told to end.

use std::time::Instant;

use tokio::sync::watch;

/// When a relay is to end; `None`: not yet. It then moves what it can until that time.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// Resolves when the time to give up has come.
pub(super) async fn over(give_up_at: Option<Instant>) {
    match give_up_at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the time to give up has come, whether or not it is known yet when that is.
pub(super) async fn stopped(stop: &mut Stop) {
    loop {
        let give_up_at = *stop.borrow_and_update();
        tokio::select! {
            () = over(give_up_at) => return,
            changed = stop.changed() => if changed.is_err() {
                // Nobody is left who could tell.
                return over(give_up_at).await;
            },
        }
    }
}

/// Resolves when the relay is told to stop, unless it knows.
pub(super) async fn told(stop: &mut Stop, known: Option<Instant>) {
    if known.is_some() || stop.wait_for(Option::is_some).await.is_err() {
        // Nobody is left who could tell.
        std::future::pending::<()>().await;
    }
}
