use std::time::Duration;

use anyhow::ensure;

use crate::{
    product::Tallied,
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
                    .target(Target::AtLeast(self.queue.targets().jobs)),
            );
            rates.push(rate);
        }
        let slowest = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let fastest = rates.iter().copied().fold(0.0, f64::max);
        self.report.figure(
            Figure::new(NAME, "slowest of these ÷ fastest", slowest / fastest, Unit::Ratio)
                .target(Target::AtLeast(0.8)),
        );

        let expected = rates.last().copied().unwrap_or(slowest);
        let Some(seconds) = whole_seconds_of_backlog(largest, expected) else {
            self.report
                .skipped
                .push(format!("{NAME} with {RATE}/s coming in: {largest} jobs are gone too soon"));
            return Ok(());
        };
        let rate = self.work_off_under_load(largest, seconds).await?;
        self.report.figure(
            Figure::new(NAME, format!("from {largest}, {RATE}/s coming in"), rate, Unit::PerSecond)
                .target(Target::AtLeast(self.queue.targets().jobs)),
        );
        Ok(())
    }

    async fn work_off(&mut self, backlog: u64) -> anyhow::Result<f64> {
        let store = self.waiting_store(backlog).await?;
        store.begin_journal_anew()?;
        self.progress(format!("working off {backlog} jobs"));
        let mut noop = Tallied::noop(&store).await?;
        let tally = noop.handled(backlog, drain_limit(backlog)).await?;
        noop.stop().await?;
        self.all_done(&store, backlog).await?;
        self.keep_handled(backlog, store).await?;
        Ok(tally.per_second())
    }

    /// The same with the ingress at work, for so many seconds.
    async fn work_off_under_load(&mut self, backlog: u64, seconds: u64) -> anyhow::Result<f64> {
        let store = self.waiting_store(backlog).await?;
        store.begin_journal_anew()?;
        self.progress(format!("working off {backlog} jobs while others come in"));
        let mut noop = Tallied::noop(&store).await?;
        let outcome = self.load(NAME, noop.ingress, Shape::Open { rate: RATE, seconds }).await;
        let tally = noop.tally().await?;
        let all = backlog + outcome?.acked;
        noop.handled(all, drain_limit(all)).await?;
        noop.stop().await?;
        self.all_done(&store, all).await?;
        ensure!(
            all.saturating_sub(tally.handled) >= backlog / 20,
            "the backlog of {backlog} was gone before the {seconds} s of load were over, so they say nothing"
        );
        Ok(tally.per_second())
    }
}

/// For how many seconds this backlog surely lasts; `None` if not for one.
fn whole_seconds_of_backlog(backlog: u64, per_second: f64) -> Option<u64> {
    let lasts =
        Duration::try_from_secs_f64(Duration::from_secs(backlog).as_secs_f64() * 0.8 / per_second).ok()?;
    Some(lasts.as_secs()).filter(|&seconds| seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_beside_a_backlog_ends_before_it() {
        assert_eq!(whole_seconds_of_backlog(1_000_000, 15_000.0), Some(53));
        assert_eq!(whole_seconds_of_backlog(10_000, 15_000.0), None);
        assert_eq!(whole_seconds_of_backlog(10_000, 0.0), None);
    }
}
