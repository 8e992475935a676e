//! Step 5: apalis runs the jobs.
//!
//! The store claims what [`Dispatcher`] has room for and hands it over through [`ClaimFeed`], an apalis backend that is
//! woken and never polls. An apalis worker starts each claimed job on a task of its own ([`run_job`]); what becomes of a
//! failure is decided in `retry.rs`, without I/O or clock.

mod backend;
mod dispatch;
mod health;
mod leases;
mod retry;
mod run;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use apalis::prelude::{Monitor, WorkerBuilder};
use apalis_core::worker::{event::Event, ext::parallelize::ParallelizeExt};
use tokio::sync::watch;

use self::{backend::ClaimFeed, run::run_job};
pub(crate) use self::{
    dispatch::{Dispatcher, HandledRoute},
    health::WorkerHealth,
    leases::Leases,
    run::{GivingBack, Runner},
};

/// Runs workers until `shutdown` resolves; then claims nothing more, and returns when the running jobs have ended,
/// those that need longer than `grace` having been cut off.
pub(crate) async fn run(
    runner: Arc<Runner>,
    health: Arc<WorkerHealth>,
    shutdown: impl Future<Output = ()> + Send,
    grace: Duration,
) {
    let (cut_off, _) = watch::channel(false);
    let dispatcher = runner.dispatcher.clone();
    let alarm = tokio::spawn(wake_when_room_returns(runner.clone()));
    let renewing = runner.clone();
    let renewal =
        tokio::spawn(async move { renewing.leases.renew(&*renewing.store, renewing.renew_every).await });
    let (worker_runner, worker_cut_off) = (runner.clone(), cut_off.clone());
    let seen = health.clone();
    let monitor = Monitor::new()
        .register(move |restarts| {
            WorkerBuilder::new("doorbell")
                .backend(ClaimFeed::new(worker_runner.clone(), restarts))
                .data(worker_runner.clone())
                .data(worker_cut_off.subscribe())
                .parallelize(tokio::spawn)
                .build(run_job)
        })
        .should_restart(move |worker, error| {
            tracing::error!(%error, restarts = worker.restarts(), "a worker died and is restarted");
            seen.died(&error.to_string());
            true
        });
    let alive = health.clone();
    let monitor = monitor.on_event(move |_, event| {
        if let Event::Start = event {
            alive.started();
        }
    });
    let signal = async {
        shutdown.await;
        dispatcher.close();
        tokio::spawn(async move {
            tokio::time::sleep(grace).await;
            // Without a receiver, all jobs have ended already.
            let _ = cut_off.send(true);
        });
        Ok(())
    };
    if let Err(error) = monitor.run_with_signal(signal).await {
        tracing::error!(%error, "the workers ended with an error");
    }
    alarm.abort();
    renewal.abort();
    runner.giving_back.finish().await;
    health.stopped();
}

/// Wakes the store when a handler that had no room said that it will have some.
async fn wake_when_room_returns(runner: Arc<Runner>) {
    loop {
        runner.dispatcher.room_returns().await;
        runner.store.wake();
    }
}
