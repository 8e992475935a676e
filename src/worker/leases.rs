//! Renews the leases of all jobs that run, in a task of its own: a handler that blocks its thread does not hold up the
//! renewal of its own lease, and the store is asked once for all of them.

use std::{
    collections::HashMap,
    future::poll_fn,
    sync::{Mutex, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use tokio::time::MissedTickBehavior;

use crate::journal::{Lease, Store};

/// The leases of the attempts that run in this process.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    held: Mutex<HashMap<u64, HeldLease>>,
    /// How often they have all been renewed.
    #[cfg(test)]
    pub(super) rounds: tokio::sync::watch::Sender<u64>,
}

#[derive(Debug)]
struct HeldLease {
    lease: Lease,
    lost: bool,
    /// Of the attempt that wants to know.
    waker: Option<Waker>,
}

/// A lease that is renewed for as long as this is there.
#[derive(Debug)]
pub(super) struct Held<'a> {
    leases: &'a Leases,
    token: u64,
}

impl Leases {
    /// Has a lease renewed from now on.
    pub(super) fn hold(&self, lease: &Lease) -> Held<'_> {
        let held = HeldLease { lease: lease.clone(), lost: false, waker: None };
        self.held().insert(lease.token, held);
        Held { leases: self, token: lease.token }
    }

    /// Renews all of them, again and again. Never ends by itself.
    pub(super) async fn renew(&self, store: &dyn Store, every: Duration) {
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            let leases: Vec<_> = self.held().values().map(|held| held.lease.clone()).collect();
            if !leases.is_empty() {
                match store.renew(leases).await {
                    Ok(lost) => self.lose(&lost),
                    // Out of reach is not lost: the next renewal tells.
                    Err(error) => {
                        tracing::warn!(%error, "the leases of the running jobs could not be renewed");
                    }
                }
            }
            #[cfg(test)]
            self.rounds.send_modify(|rounds| *rounds += 1);
        }
    }

    fn lose(&self, lost: &[Lease]) {
        let mut leases = self.held();
        for lease in lost {
            if let Some(held) = leases.get_mut(&lease.token) {
                held.lost = true;
                if let Some(waker) = held.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<u64, HeldLease>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// Resolves when the job is no longer this attempt's.
    pub(super) async fn lost(&self) {
        poll_fn(|context| match self.leases.held().get_mut(&self.token) {
            Some(held) if !held.lost => {
                held.waker = Some(context.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
        .await;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.leases.held().remove(&self.token);
    }
}
