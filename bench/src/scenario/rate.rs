use crate::{
    measured::{Cpu, Measured},
    product::Tallied,
    report::{Figure, Target, Unit},
    scenario::{Bench, Shape},
    store::drain_limit,
};

const NAME: &str = "rate";

/// Deliveries a second.
pub(super) const RATE: u32 = 1000;

impl Bench {
    /// Latency at 1,000 deliveries a second, to the ack and to the start of the handler, all workers running.
    pub(super) async fn rate(&mut self) -> anyhow::Result<()> {
        if !self.has_receiver(NAME) {
            return Ok(());
        }
        let shape = Shape::Open { rate: RATE, seconds: self.size.rate };
        let floor = self.floor(shape).await?;
        let store = self.empty_store().await?;
        let mut noop = Tallied::noop(&store).await?;
        let outcome = self.load(NAME, noop.ingress, shape).await;
        noop.check().await?;
        let outcome = outcome?;
        let tally = noop.handled(outcome.acked, drain_limit(outcome.acked)).await?;
        noop.stop().await?;

        let [p50, p99, p999, longest] = Measured::new(&outcome, Cpu::default()).latencies(NAME, floor);
        self.report.figures.extend([p50, p99.target(Target::AtMost(5.0)), p999, longest]);
        let wait = tally.wait;
        for (name, value, target) in [
            ("accept to handler p50", wait.p50, None),
            ("accept to handler p99", wait.p99, Some(Target::AtMost(self.queue.targets().handler_p99))),
            ("accept to handler p99.9", wait.p999, None),
        ] {
            let figure = Figure::new(NAME, name, value, Unit::Milliseconds);
            self.report.figure(match target {
                Some(target) => figure.target(target),
                None => figure,
            });
        }
        Ok(())
    }
}
