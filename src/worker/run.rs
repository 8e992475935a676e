//! One attempt at one job.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use apalis_core::{
    error::BoxDynError,
    task::{data::Data, task_id::TaskId},
};
use futures_util::FutureExt;
use tokio::sync::watch;

use super::{Dispatcher, HandledRoute, Leases, retry};
use crate::{
    clock::{self, Clock},
    delivery::JobId,
    handler::{Attempt, HandlerError, Job},
    journal::{ClaimedJob, Lease, Outcome, Store, StoreError},
    live::{Live, LiveItem},
    metrics::Metrics,
    provider::Mask,
    route::RetryPolicy,
};

/// All that an attempt needs beside its job.
pub(crate) struct Runner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) metrics: Metrics,
    pub(crate) live: Live,
    pub(crate) clock: Arc<dyn Clock>,
    /// Hides in errors what is hidden in payloads: a target's error may quote the payload.
    pub(crate) mask: Mask,
    /// The leases of the jobs that run.
    pub(crate) leases: Leases,
    /// How often these are renewed.
    pub(crate) renew_every: Duration,
    /// Gives back what was claimed and never started, after a worker has ended.
    pub(crate) giving_back: GivingBack,
    /// Has the worker panic at its next poll, once.
    #[cfg(test)]
    pub(crate) worker_dies: std::sync::atomic::AtomicBool,
}

/// Tasks that give jobs back.
#[derive(Default)]
pub(crate) struct GivingBack(Mutex<Vec<tokio::task::JoinHandle<()>>>);

impl GivingBack {
    pub(super) fn add(&self, task: tokio::task::JoinHandle<()>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }

    /// Waits for them, but not longer than a shutdown waits for the store.
    pub(super) async fn finish(&self) {
        let tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // The store is out of reach: the jobs are taken back at the next start.
        let _ = tokio::time::timeout(LAST_WAIT, futures_util::future::join_all(tasks)).await;
    }
}

/// How long a shutdown whose grace is over waits for the store to record how the last attempts ended.
const LAST_WAIT: Duration = Duration::from_secs(2);

/// How a handler ended.
enum Ended {
    Settle(Outcome),
    /// The job is somebody else's now.
    LeaseLost,
}

/// An attempt that is over and not recorded yet.
pub(crate) struct Attempted {
    id: JobId,
    lease: Lease,
    number: u32,
    outcome: Outcome,
    took: Duration,
}

/// Runs the attempt and records how it ended. An apalis service: whatever the handler does, the job is settled here,
/// so apalis only ever sees success.
pub(super) async fn run_job(
    claimed: ClaimedJob,
    task: TaskId,
    Data(runner): Data<Arc<Runner>>,
    Data(cut_off): Data<watch::Receiver<bool>>,
) -> Result<(), BoxDynError> {
    if let Some(attempted) = runner.attempt(task.to_uuid().into(), claimed, cut_off.clone()).await {
        runner.record(attempted, cut_off).await;
    }
    Ok(())
}

impl Runner {
    /// Runs one attempt at a job. `None`: there is nothing to record, because the job is somebody else's now.
    pub(crate) async fn attempt(
        &self,
        id: JobId,
        claimed: ClaimedJob,
        cut_off: watch::Receiver<bool>,
    ) -> Option<Attempted> {
        let lease = claimed.lease.clone();
        // The store claims only what the dispatcher names.
        let route = self.dispatcher.route(&lease.route)?;
        let job = job_of(id, claimed, route);
        let number = job.attempt.number;
        let began = clock::instant();
        let ended = self.handle(route, job, &lease, cut_off).await;
        let took = began.elapsed();
        self.dispatcher.ended(&lease.route);
        let Ended::Settle(outcome) = ended else {
            tracing::warn!(job = %id, route = %lease.route, "the lease was lost while the handler ran; its end is not recorded");
            // The freed slot may be what another job waits for.
            self.store.wake();
            return None;
        };
        Some(Attempted { id, lease, number, outcome, took })
    }

    /// Records how an attempt ended, and tells of it.
    pub(crate) async fn record(&self, attempted: Attempted, cut_off: watch::Receiver<bool>) {
        let Attempted { id, lease, number, outcome, took } = attempted;
        let (word, error) = describe(&outcome);
        self.metrics.job_took(&lease.route, word, took);
        if let Some(error) = &error {
            tracing::warn!(job = %id, route = %lease.route, attempt = number, outcome = word, %error, "an attempt failed");
        }
        let (delivery_id, route) = (lease.delivery, lease.route.clone());
        self.settle(lease, outcome, cut_off).await;
        self.live.tell(|| LiveItem::Attempt {
            at: self.clock.now(),
            id,
            delivery_id,
            route: route.to_string(),
            number,
            outcome: word,
            took_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            error,
        });
    }

    /// Runs the handler: within its time limit, its lease renewed beside it, a panic caught.
    async fn handle(
        &self,
        route: &HandledRoute,
        job: Job,
        lease: &Lease,
        mut cut_off: watch::Receiver<bool>,
    ) -> Ended {
        let (id, counted) = (job.id, job.attempt.counted());
        let policy = &route.route.retry;
        let settle = |result| Ended::Settle(self.outcome(result, policy, id, counted));
        // A handler may panic before it returns its future, too.
        let handler = route.handler.clone();
        let future = AssertUnwindSafe(async move { handler.handle(job).await }).catch_unwind();
        tokio::pin!(future);
        let limit = tokio::time::sleep(route.route.timeout);
        tokio::pin!(limit);
        let held = self.leases.hold(lease);
        // Biased: most handlers end at once, and then no timer is ever armed.
        tokio::select! {
            biased;
            result = &mut future => {
                settle(result.unwrap_or_else(|panic| Err(HandlerError::retry(panic_text(&*panic)))))
            }
            () = &mut limit => {
                let text = format!("the handler took longer than its time limit of {:?}", route.route.timeout);
                settle(Err(HandlerError::retry(text)))
            }
            () = held.lost() => Ended::LeaseLost,
            () = told(&mut cut_off) => {
                let error = "cut off by an orderly shutdown; it runs again after the restart".to_owned();
                Ended::Settle(Outcome::Retry { after: Duration::ZERO, error })
            }
        }
    }

    /// What becomes of the job. The error's text is the user's code, so it may panic.
    fn outcome(
        &self,
        result: Result<(), HandlerError>,
        policy: &RetryPolicy,
        id: JobId,
        attempt: u32,
    ) -> Outcome {
        let outcome = catch_unwind(AssertUnwindSafe(|| retry::outcome(result, policy, id, attempt)));
        let outcome = outcome.unwrap_or_else(|panic| Outcome::Dead { error: panic_text(&*panic) });
        let hidden = |text: String| self.mask.text(text.as_bytes());
        match outcome {
            Outcome::Retry { after, error } => Outcome::Retry { after, error: hidden(error) },
            Outcome::Dead { error } => Outcome::Dead { error: hidden(error) },
            Outcome::Discarded { reason } => Outcome::Discarded { reason: hidden(reason) },
            other => other,
        }
    }

    /// Records how the attempt ended. A store that can't is waited for, but not longer than a shutdown waits.
    async fn settle(&self, lease: Lease, outcome: Outcome, mut cut_off: watch::Receiver<bool>) {
        let patience = async {
            told(&mut cut_off).await;
            tokio::time::sleep(LAST_WAIT).await;
        };
        let settled = tokio::select! {
            settled = self.store.settle(lease.clone(), outcome) => settled,
            () = patience => Err(StoreError::Unavailable("it did not come back before the shutdown".into())),
        };
        match settled {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => tracing::warn!(
                route = %lease.route, delivery = %lease.delivery,
                "the lease was lost before the attempt's end could be recorded; the job may run again"
            ),
            Err(error) => tracing::error!(
                %error, route = %lease.route, delivery = %lease.delivery,
                "the attempt's end could not be recorded; the job runs again"
            ),
        }
    }
}

/// Resolves when the word is given; never, if nobody can give it any more.
async fn told(word: &mut watch::Receiver<bool>) {
    if word.wait_for(|given| *given).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn job_of(id: JobId, claimed: ClaimedJob, route: &HandledRoute) -> Job {
    let event_id = claimed.lease.delivery.event(claimed.lease.event);
    Job {
        id,
        route: route.name.clone(),
        event_id,
        delivery_id: claimed.lease.delivery,
        source: claimed.source,
        provider: claimed.provider,
        kind: claimed.event.kind,
        subject: claimed.event.subject,
        occurred_at: claimed.event.occurred_at,
        received_at: claimed.received_at,
        data: claimed.data,
        content_type: claimed.content_type,
        attempt: Attempt {
            number: claimed.attempt,
            max: route.route.retry.max_attempts,
            replay: claimed.replay,
            crashes: claimed.crashes,
        },
    }
}

fn describe(outcome: &Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Done => ("done", None),
        Outcome::Retry { error, .. } => ("retry", Some(error.clone())),
        Outcome::Dead { error } => ("dead", Some(error.clone())),
        Outcome::Discarded { reason } => ("discarded", Some(reason.clone())),
        Outcome::Released => ("released", None),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("(no message)"))
}
