//! The store's claims, as a backend of apalis.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    layers::Identity,
    task::{Task, builder::TaskBuilder, task_id::TaskId},
    worker::context::WorkerContext,
};
use futures_util::future::join_all;
use tokio::{sync::mpsc, time::Sleep};

use super::Runner;
use crate::journal::{ClaimedJob, Lease, Outcome};

/// Yields the jobs that the store has claimed for this process.
///
/// It never yields an error and never ends by itself: a store that is away is waited for inside the store.
pub(super) struct ClaimFeed {
    runner: Arc<Runner>,
    claims: mpsc::UnboundedReceiver<ClaimedJob>,
    /// A worker that keeps dying is restarted ever more slowly.
    rest: Option<Pin<Box<Sleep>>>,
}

impl ClaimFeed {
    pub(super) fn new(runner: Arc<Runner>, restarts: usize) -> Self {
        let claims = runner.store.claims(runner.dispatcher.clone());
        let rest = Duration::from_millis(100).saturating_mul(u32::try_from(restarts).unwrap_or(u32::MAX));
        let rest = (restarts > 0).then(|| Box::pin(tokio::time::sleep(rest.min(Duration::from_secs(5)))));
        Self { runner, claims, rest }
    }
}

impl Backend for ClaimFeed {
    type Task = Task<ClaimedJob>;
    type Error = Infallible;

    fn poll_ready(&mut self, cx: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        #[cfg(test)]
        assert!(!self.runner.worker_dies.swap(false, std::sync::atomic::Ordering::SeqCst), "made to die");
        if let Some(rest) = &mut self.rest {
            ready!(rest.as_mut().poll(cx));
            self.rest = None;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        _: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        match ready!(self.claims.poll_recv(cx)) {
            Some(job) => {
                let id = job.lease.delivery.event(job.lease.event).job(&job.lease.route);
                let attempts_before = usize::try_from(job.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
                let task =
                    TaskBuilder::new(job).task_id(TaskId::from_uuid(id.into())).attempt(attempts_before);
                Poll::Ready(Some(Ok(task.build())))
            }
            // The store is closed, or serves another feed. Ending would end the worker.
            None => Poll::Pending,
        }
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for ClaimFeed {
    type Args = ClaimedJob;
    type Id = uuid::Uuid;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = Identity;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> Identity {
        Identity::new()
    }
}

impl Drop for ClaimFeed {
    /// Gives back what was claimed and not started.
    fn drop(&mut self) {
        self.claims.close();
        let mut unstarted: Vec<Lease> = Vec::new();
        while let Ok(job) = self.claims.try_recv() {
            self.runner.dispatcher.ended(&job.lease.route);
            unstarted.push(job.lease);
        }
        // Outside a runtime nobody can wait for the store; the leases run out by themselves.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let store = self.runner.store.clone();
        self.runner.giving_back.add(runtime.spawn(async move {
            let settling = unstarted.into_iter().map(|lease| store.settle(lease, Outcome::Released));
            for error in join_all(settling).await.into_iter().filter_map(Result::err) {
                tracing::warn!(%error, "a job that was not started could not be given back");
            }
        }));
    }
}
