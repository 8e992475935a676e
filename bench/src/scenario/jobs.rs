use crate::{
    product::Noop,
    report::{Figure, Target, Unit},
    scenario::{Bench, Shape, rate::RATE},
    store::drain_limit,
};

const NAME: &str = "jobs";

/// A backlog that is gone sooner than a second is measured so often, and the middle one is taken.
const ROUNDS: usize = 5;

impl Bench {
    /// No-op jobs a second, from backlogs of several sizes, and with deliveries coming in meanwhile.
    pub(super) async fn jobs(&mut self) -> anyhow::Result<()> {
        if !self.has_receiver(NAME) {
            return Ok(());
        }
        let largest = self.size.backlog;
        let mut backlogs = vec![1000, largest / 10, largest];
        backlogs.retain(|&backlog| backlog >= 1000);
        backlogs.dedup();
        let mut rates = Vec::new();
        for backlog in backlogs {
            let mut rounds = Vec::new();
            for _ in 0..if backlog <= 10_000 { ROUNDS } else { 1 } {
                rounds.push(self.work_off(backlog).await?);
            }
            rounds.sort_by(f64::total_cmp);
            let rate = rounds[rounds.len() / 2];
            self.report.figure(
                Figure::new(NAME, format!("from a backlog of {backlog}"), rate, Unit::PerSecond)
                    .target(Target::AtLeast(15_000.0)),
            );
            rates.push(rate);
        }
        let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = rates.iter().copied().fold(0.0, f64::max);
        self.report.figure(
            Figure::new(NAME, "slowest of these ÷ fastest", slowest / fastest, Unit::Ratio)
                .target(Target::AtLeast(0.8)),
        );

        let rate = self.work_off_under_load(largest, rates.last().copied().unwrap_or(slowest)).await?;
        self.report.figure(
            Figure::new(NAME, format!("from {largest}, {RATE}/s coming in"), rate, Unit::PerSecond)
                .target(Target::AtLeast(15_000.0)),
        );
        Ok(())
    }

    async fn work_off(&mut self, backlog: u64) -> anyhow::Result<f64> {
        let store = self.waiting_store(backlog).await?;
        self.progress(format!("working off {backlog} jobs"));
        let mut noop = Noop::start(store.path()).await?;
        let tally = noop.handled(backlog, drain_limit(backlog)).await?;
        noop.stop().await?;
        self.all_done(store.path(), backlog).await?;
        self.keep_handled(backlog, store);
        Ok(tally.per_second())
    }

    /// The same with the ingress at work. `expected` jobs a second say for how long there will be a backlog.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a few seconds"
    )]
    async fn work_off_under_load(&mut self, backlog: u64, expected: f64) -> anyhow::Result<f64> {
        let store = self.waiting_store(backlog).await?;
        self.progress(format!("working off {backlog} jobs while others come in"));
        let seconds = (backlog as f64 * 0.8 / expected).max(1.0) as u64;
        let mut noop = Noop::start(store.path()).await?;
        let outcome = self.load(NAME, noop.ingress, Shape::Open { rate: RATE, seconds }).await;
        let tally = noop.tally().await?;
        let all = backlog + outcome?.acked;
        noop.handled(all, drain_limit(all)).await?;
        noop.stop().await?;
        self.all_done(store.path(), all).await?;
        Ok(tally.per_second())
    }
}
