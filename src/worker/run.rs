//! One attempt at one job.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use apalis_core::{error::BoxDynError, task::data::Data};
use futures_util::FutureExt;
use tokio::sync::watch;

use super::{Dispatcher, HandledRoute, retry};
use crate::{
    clock::{self, Clock},
    handler::{Attempt, HandlerError, Job},
    journal::{ClaimedJob, Lease, Outcome, Store, StoreError},
    live::{Live, LiveItem},
    metrics::Metrics,
};

/// All that an attempt needs beside its job.
pub(crate) struct Runner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) metrics: Metrics,
    pub(crate) live: Live,
    pub(crate) clock: Arc<dyn Clock>,
    /// How often a lease is renewed while its handler runs.
    pub(crate) renew_every: Duration,
    /// Has the worker panic at its next poll, once.
    #[cfg(test)]
    pub(crate) worker_dies: std::sync::atomic::AtomicBool,
}

/// How a handler ended.
enum Ended {
    Settle(Outcome),
    /// The job is somebody else's now.
    LeaseLost,
}

/// Runs the attempt and records how it ended. An apalis service: whatever the handler does, the job is settled here,
/// so apalis only ever sees success.
pub(super) async fn run_job(
    claimed: ClaimedJob,
    Data(runner): Data<Arc<Runner>>,
    Data(cut_off): Data<watch::Receiver<bool>>,
) -> Result<(), BoxDynError> {
    let lease = claimed.lease.clone();
    let Some(route) = runner.dispatcher.route(&lease.route) else {
        // The store claims only what the dispatcher names.
        return Ok(());
    };
    let job = job_of(claimed, route);
    let (id, number) = (job.id, job.attempt.number);
    let began = clock::instant();
    let ended = runner.attempt(route, job, &lease, cut_off).await;
    let took = began.elapsed();
    runner.dispatcher.ended(&lease.route);
    let Ended::Settle(outcome) = ended else {
        tracing::warn!(job = %id, route = %lease.route, "the lease was lost while the handler ran; its end is not recorded");
        // The freed slot may be what another job waits for.
        runner.store.wake();
        return Ok(());
    };
    let (word, error) = describe(&outcome);
    runner.metrics.job_took(&route.name, word, took);
    if let Some(error) = &error {
        tracing::warn!(job = %id, route = %lease.route, attempt = number, outcome = word, %error, "an attempt failed");
    }
    let delivery_id = lease.delivery;
    runner.settle(lease, outcome).await;
    runner.live.tell(|| LiveItem::Attempt {
        at: runner.clock.now(),
        id,
        delivery_id,
        route: route.name.to_string(),
        number,
        outcome: word,
        took_micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        error,
    });
    Ok(())
}

impl Runner {
    /// Runs the handler: within its time limit, its lease renewed beside it, a panic caught.
    async fn attempt(
        &self,
        route: &HandledRoute,
        job: Job,
        lease: &Lease,
        mut cut_off: watch::Receiver<bool>,
    ) -> Ended {
        let (id, attempt) = (job.id, job.attempt.number);
        let policy = &route.route.retry;
        let settle = |result| Ended::Settle(retry::outcome(result, policy, id, attempt));
        // A handler may panic before it returns its future, too.
        let handler = route.handler.clone();
        let future = AssertUnwindSafe(async move { handler.handle(job).await }).catch_unwind();
        tokio::pin!(future);
        let limit = tokio::time::sleep(route.route.timeout);
        tokio::pin!(limit);
        let renewal = tokio::time::sleep(self.renew_every);
        tokio::pin!(renewal);
        loop {
            // Biased: most handlers end at once, and then no timer is ever armed.
            tokio::select! {
                biased;
                result = &mut future => {
                    return settle(result.unwrap_or_else(|panic| Err(HandlerError::retry(panic_text(&*panic)))));
                }
                () = &mut limit => {
                    let text = format!("the handler took longer than its time limit of {:?}", route.route.timeout);
                    return settle(Err(HandlerError::retry(text)));
                }
                () = &mut renewal => {
                    if self.lease_is_lost(lease).await {
                        return Ended::LeaseLost;
                    }
                    renewal.as_mut().reset((clock::instant() + self.renew_every).into());
                }
                () = told(&mut cut_off) => {
                    let error = "cut off by an orderly shutdown; it runs again after the restart".to_owned();
                    return Ended::Settle(Outcome::Retry { after: Duration::ZERO, error });
                }
            }
        }
    }

    async fn lease_is_lost(&self, lease: &Lease) -> bool {
        match self.store.renew(vec![lease.clone()]).await {
            Ok(lost) => !lost.is_empty(),
            // Out of reach is not lost: the next renewal tells.
            Err(error) => {
                tracing::warn!(%error, "a lease could not be renewed");
                false
            }
        }
    }

    async fn settle(&self, lease: Lease, outcome: Outcome) {
        match self.store.settle(lease.clone(), outcome).await {
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

fn job_of(claimed: ClaimedJob, route: &HandledRoute) -> Job {
    let event_id = claimed.lease.delivery.event(claimed.lease.event);
    Job {
        id: event_id.job(&route.name),
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
