use crate::{
    product::{Doorbell, NOOP_ROUTE, Role},
    report::Target,
    scenario::{Bench, Measured, Shape},
};

const NAME: &str = "burst";

/// A floor that moves by more than this between two measurements makes its share doubtful.
pub(super) const QUIET: f64 = 0.1;

impl Bench {
    /// Acks a second, each behind an fsync, with no worker running.
    pub(super) async fn burst(&mut self) -> anyhow::Result<()> {
        let shape = Shape::Closed { seconds: self.size.burst };
        let program = self.doorbell().await?;
        let before = self.floor(shape).await?;
        let store = self.empty_store()?;
        let mut doorbell = Doorbell::start(&program, store.path(), Role::Ingress, NOOP_ROUTE).await?;
        let at_start = doorbell.usage();
        let outcome = self.load(NAME, doorbell.ingress, shape).await;
        doorbell.check().await?;
        let outcome = outcome?;
        let cpu = at_start.zip(doorbell.usage()).map(|(start, end)| end.cpu_seconds - start.cpu_seconds);
        let waiting = doorbell.jobs().await?.queued;
        if waiting != outcome.acked {
            let acked = outcome.acked;
            self.report
                .failures
                .push(format!("{NAME}: {acked} deliveries acknowledged, {waiting} jobs queued"));
        }
        doorbell.stop().await?;
        let floor = self.floor_around(NAME, before, shape).await?;

        let mut figures = Measured::new(&outcome, cpu).figures(NAME, floor).into_iter();
        self.report.figures.extend(figures.next().map(|acks| acks.target(Target::ShareOfFloor(0.6))));
        self.report.figures.extend(figures);
        Ok(())
    }

    /// The floor measured once more, and the middle of both: so that a machine that slows down meanwhile does not
    /// look like the product's doing.
    pub(super) async fn floor_around(
        &mut self,
        what: &str,
        before: Measured,
        shape: Shape,
    ) -> anyhow::Result<Measured> {
        let after = self.floor(shape).await?;
        let differs = before.differs_from(after);
        if differs > QUIET {
            let failure = format!(
                "{what}: the floor moved by {:.0} % while it was measured; the machine is not quiet, measure again",
                differs * 100.0
            );
            self.report.failures.push(failure);
        }
        Ok(before.between(after))
    }
}
