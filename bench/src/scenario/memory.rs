use std::{pin::pin, time::Duration};

use anyhow::Context as _;

use crate::{
    poster,
    product::{Doorbell, NOOP_ROUTE, OTHER_ROUTE, Role, Tallied},
    report::{Figure, Target, Unit},
    scenario::{Bench, Shape},
    store::{Store, drain_limit},
};

const NAME: &str = "memory";

/// How long a process is left alone before its memory at rest is read.
const REST: Duration = Duration::from_secs(3);

/// How often memory is read under load.
const EVERY: Duration = Duration::from_millis(250);

impl Bench {
    /// Resident memory at rest, with many jobs waiting, and its growth under load; and what a waiting job takes in
    /// Redis.
    pub(super) async fn memory(&mut self) -> anyhow::Result<()> {
        let mut store = self.empty_store().await?;
        let at_rest = self.resting(&store, NOOP_ROUTE).await?;
        self.report
            .figure(Figure::new(NAME, "at rest", at_rest, Unit::Megabytes).target(Target::Below(40.0)));
        let redis_at_rest = used_by_redis(&mut store).await?;
        drop(store);

        let backlog = self.size.backlog;
        // Workers run, but none has the route of these jobs, so they stay.
        let mut store = self.waiting_store(backlog).await?;
        let waiting = self.resting(&store, OTHER_ROUTE).await?;
        self.report.figure(
            Figure::new(NAME, format!("with {backlog} jobs waiting"), waiting, Unit::Megabytes)
                .target(Target::Below(100.0)),
        );
        if let Some((with_jobs, without)) = used_by_redis(&mut store).await?.zip(redis_at_rest) {
            let over_body = each(with_jobs.saturating_sub(without), backlog) - poster::body_bytes();
            self.report.figure(
                Figure::new(NAME, "a job in Redis, over its body", over_body, Unit::Bytes)
                    .target(Target::AtMost(1024.0)),
            );
        }
        drop(store);
        self.growth().await
    }

    /// What a service takes that has nothing to do.
    async fn resting(&mut self, store: &Store, route: &str) -> anyhow::Result<f64> {
        let program = self.doorbell().await?;
        let mut doorbell = Doorbell::start(&program, store, Role::All, route).await?;
        tokio::time::sleep(REST).await;
        doorbell.check().await?;
        let resident = doorbell.usage().context("this system has no /proc to read memory from")?.resident_mb;
        doorbell.stop().await?;
        Ok(resident)
    }

    async fn growth(&mut self) -> anyhow::Result<()> {
        if !self.has_receiver("memory, growth under load") {
            return Ok(());
        }
        let rate = self.queue.growth_rate();
        let seconds = (self.size.growth / u64::from(rate)).max(4);
        let store = self.empty_store().await?;
        let mut noop = Tallied::noop(&store).await?;
        self.progress(format!("{rate} deliveries a second for {seconds} s"));
        let mut samples = Vec::new();
        let acked = {
            let mut load = pin!(self.load(NAME, noop.ingress, Shape::Open { rate, seconds }));
            loop {
                tokio::select! {
                    outcome = &mut load => break outcome?.acked,
                    () = tokio::time::sleep(EVERY) => samples.extend(noop.usage().map(|usage| usage.resident_mb)),
                }
            }
        };
        noop.handled(acked, drain_limit(acked)).await?;
        let peak = noop.usage().context("this system has no /proc to read memory from")?.peak_mb;
        noop.stop().await?;

        // The first quarter fills caches; from then on nothing should grow.
        let quarter = samples.len() / 4;
        let (early, late) = (middle(&samples[quarter..2 * quarter]), middle(&samples[3 * quarter..]));
        let deliveries = seconds * u64::from(rate);
        self.report.figure(
            Figure::new(
                NAME,
                format!("growth over {deliveries} deliveries"),
                (late / early - 1.0) * 100.0,
                Unit::Percent,
            )
            .target(Target::AtMost(10.0)),
        );
        self.report.figure(Figure::new(NAME, "the most under this load", peak, Unit::Megabytes));
        Ok(())
    }
}

/// The bytes that the store's Redis has given out; `None` without one.
async fn used_by_redis(store: &mut Store) -> anyhow::Result<Option<u64>> {
    match store.redis() {
        Some(server) => Ok(Some(server.used_memory().await?)),
        None => Ok(None),
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
fn each(bytes: u64, jobs: u64) -> f64 {
    bytes as f64 / jobs as f64
}

fn middle(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
