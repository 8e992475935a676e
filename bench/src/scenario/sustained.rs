use std::time::Duration;

use anyhow::ensure;

use crate::{
    product::{Doorbell, NOOP_ROUTE, Role, Tallied},
    report::{Figure, Target, Unit},
    scenario::{Bench, Measured, Shape, cpu, peer},
    store::{Store, drain_limit},
};

const NAME: &str = "sustained";

/// How long a service that has just been started may take to find its Redis, and to move there what is left.
const RELAY_LIMIT: Duration = Duration::from_secs(60);

impl Bench {
    /// Acks a second with every job handled, and many older deliveries in the store.
    pub(super) async fn sustained(&mut self) -> anyhow::Result<()> {
        if !self.has_receiver(NAME) {
            return Ok(());
        }
        let shape = Shape::Closed { seconds: self.size.sustained };
        let older = self.size.backlog;
        let mut store = self.handled_store(older).await?;
        let before = self.floor(shape).await?;
        let mut noop = Tallied::noop(&store).await?;
        let at_start = cpu(noop.usage(), &mut store).await?;
        self.progress(format!("{} s of load on {older} older deliveries", self.size.sustained));
        let outcome = self.load(NAME, noop.ingress, shape).await;
        noop.mark().await?;
        let outcome = outcome?;
        let tally = noop.handled(outcome.acked, drain_limit(outcome.acked)).await?;
        let cpu = cpu(noop.usage(), &mut store).await?.since(at_start);
        noop.stop().await?;
        self.all_done(&store, older + outcome.acked).await?;
        let floor = self.floor_around(NAME, before, shape).await?;

        let target = Target::ShareOfFloor(self.queue.targets().sustained);
        let mut figures = Measured::new(&outcome, cpu).figures(NAME, floor).into_iter();
        self.report.figures.extend(figures.next().map(|acks| acks.target(target)));
        self.report.figures.extend(figures);
        self.report.figure(
            Figure::new(NAME, "oldest job waiting at the end", tally.oldest_at_mark, Unit::Seconds)
                .target(Target::Below(1.0)),
        );
        self.report.figure(Figure::new(NAME, "accept to handler p99", tally.wait.p99, Unit::Milliseconds));
        self.beside_peer(NAME, peer::SUSTAINED);
        Ok(())
    }

    /// An error unless the product itself says that exactly this many jobs are done and none is in another state.
    pub(super) async fn all_done(&mut self, store: &Store, jobs: u64) -> anyhow::Result<()> {
        let program = self.doorbell().await?;
        let mut doorbell = Doorbell::start(&program, store, Role::Ingress, NOOP_ROUTE).await?;
        let says = doorbell.relayed(RELAY_LIMIT).await?;
        doorbell.stop().await?;
        let others = says.queued + says.running + says.retrying + says.dead;
        ensure!(says.done == jobs && others == 0, "{jobs} jobs should be done, but the store holds {says:?}");
        Ok(())
    }
}
