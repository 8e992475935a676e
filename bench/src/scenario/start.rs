use crate::{
    product::{Doorbell, NOOP_ROUTE, Role},
    report::{Figure, Target, Unit},
    scenario::Bench,
};

const NAME: &str = "start";

impl Bench {
    /// From starting the process to its first `200` of `/readyz`, with many jobs waiting for its own worker.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let backlog = self.size.backlog;
        let program = self.doorbell().await?;
        let store = self.waiting_store(backlog).await?;
        for (name, last) in [("after an orderly stop", false), ("after a kill -9", true)] {
            let doorbell = Doorbell::start(&program, &store, Role::All, NOOP_ROUTE).await?;
            self.report.figure(
                Figure::new(
                    NAME,
                    format!("{name}, {backlog} jobs waiting"),
                    doorbell.took.as_secs_f64(),
                    Unit::Seconds,
                )
                .target(Target::Below(1.0)),
            );
            // At once, so that most jobs still wait when it is started again.
            if last { doorbell.stop().await? } else { doorbell.kill().await? }
        }
        Ok(())
    }
}
