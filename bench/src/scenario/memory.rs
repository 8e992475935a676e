use std::{pin::pin, time::Duration};

use anyhow::Context as _;

use crate::{
    product::{Doorbell, NOOP_ROUTE, Noop, OTHER_ROUTE, Role},
    report::{Figure, Target, Unit},
    scenario::{Bench, Shape},
    store::drain_limit,
};

const NAME: &str = "memory";

/// How long a process is left alone before its memory at rest is read.
const REST: Duration = Duration::from_secs(3);

/// How often memory is read under load.
const EVERY: Duration = Duration::from_millis(250);

/// Deliveries a second under which memory should not grow: more than an hour's load in a tenth of the time.
const RATE: u32 = 10_000;

impl Bench {
    /// Resident memory at rest, with many jobs waiting, and its growth under load.
    pub(super) async fn memory(&mut self) -> anyhow::Result<()> {
        let store = self.empty_store()?;
        let at_rest = self.resting(store.path(), NOOP_ROUTE).await?;
        self.report
            .figure(Figure::new(NAME, "at rest", at_rest, Unit::Megabytes).target(Target::Below(40.0)));

        let backlog = self.size.backlog;
        // Workers run, but none has the route of these jobs, so they stay.
        let store = self.waiting_store(backlog).await?;
        let waiting = self.resting(store.path(), OTHER_ROUTE).await?;
        self.report.figure(
            Figure::new(NAME, format!("with {backlog} jobs waiting"), waiting, Unit::Megabytes)
                .target(Target::Below(100.0)),
        );
        drop(store);
        self.growth().await
    }

    /// What a service takes that has nothing to do.
    async fn resting(&mut self, store: &std::path::Path, route: &str) -> anyhow::Result<f64> {
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
        let seconds = (self.size.growth / u64::from(RATE)).max(4);
        let store = self.empty_store()?;
        let mut noop = Noop::start(store.path()).await?;
        self.progress(format!("{RATE} deliveries a second for {seconds} s"));
        let mut samples = Vec::new();
        let acked = {
            let mut load = pin!(self.load(NAME, noop.ingress, Shape::Open { rate: RATE, seconds }));
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
        let deliveries = seconds * u64::from(RATE);
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

fn middle(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
