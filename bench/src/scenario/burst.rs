use crate::{
    product::{Doorbell, NOOP_ROUTE, Role},
    report::{Figure, Target, Unit},
    scenario::{Bench, Measured, Shape, cpu},
    store::drain_limit,
};

const NAME: &str = "burst";

impl Bench {
    /// Acks a second, each behind an fsync, with no worker running.
    pub(super) async fn burst(&mut self) -> anyhow::Result<()> {
        let shape = Shape::Closed { seconds: self.size.burst };
        let program = self.doorbell().await?;
        let before = self.floor(shape).await?;
        let mut store = self.empty_store().await?;
        let mut doorbell = Doorbell::start(&program, &store, Role::Ingress, NOOP_ROUTE).await?;
        let at_start = cpu(doorbell.usage(), &mut store).await?;
        let outcome = self.load(NAME, doorbell.ingress, shape).await;
        doorbell.check().await?;
        let outcome = outcome?;
        let behind = doorbell.stats().await?.relay.backlog;
        let waiting = doorbell.relayed(drain_limit(outcome.acked)).await?.queued;
        // What was left to be moved to Redis is part of what an ack costs.
        let cpu = cpu(doorbell.usage(), &mut store).await?.since(at_start);
        if waiting != outcome.acked {
            let acked = outcome.acked;
            self.report
                .failures
                .push(format!("{NAME}: {acked} deliveries acknowledged, {waiting} jobs queued"));
        }
        doorbell.stop().await?;
        let floor = self.floor_around(NAME, before, shape).await?;

        let target = Target::ShareOfFloor(self.queue.targets().burst);
        let mut figures = Measured::new(&outcome, cpu).figures(NAME, floor).into_iter();
        self.report.figures.extend(figures.next().map(|acks| acks.target(target)));
        self.report.figures.extend(figures);
        if store.shared().is_some() {
            self.report.figure(Figure::count(NAME, "not yet in Redis at the end", behind, Unit::Deliveries));
        }
        Ok(())
    }
}
