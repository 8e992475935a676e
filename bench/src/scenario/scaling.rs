use anyhow::Context as _;

use crate::{
    product::Tallied,
    report::{Scaling, Stage},
    scenario::Bench,
    store::drain_limit,
};

const NAME: &str = "scaling";

/// Over how many lanes the queue is spread.
const LANES: [u32; 3] = [1, 4, 16];

/// How many processes handle its jobs.
const WORKERS: [usize; 3] = [1, 2, 4];

impl Bench {
    /// What a job costs in Redis, taken in and handled, by the number of lanes and of worker processes.
    pub(super) async fn scaling(&mut self) -> anyhow::Result<()> {
        if !self.has_receiver(NAME) {
            return Ok(());
        }
        let jobs = (self.size.backlog / 5).max(1000);
        for lanes in LANES {
            let mut first = true;
            for workers in WORKERS {
                let (mut store, taken_in) = self.waiting_store_over(jobs, lanes).await?;
                if std::mem::take(&mut first) {
                    let costs = taken_in.context("what taking in cost is not known")?;
                    self.report.scaling.push(Scaling::new(Stage::TakenIn, lanes, jobs, costs, None));
                }
                self.progress(format!("{workers} processes handle {jobs} jobs on {lanes} lanes"));
                let before = store.costs().await?;
                let mut processes = Vec::with_capacity(workers);
                for number in 0..workers {
                    let data = store.beside(&format!("worker-{number}"));
                    processes.push(Tallied::noop_worker(&store, &data).await?);
                }
                let tally = Tallied::handled_by_all(&mut processes, jobs, drain_limit(jobs)).await?;
                for process in processes {
                    // What is handled is recorded by then.
                    process.stop().await?;
                }
                let costs = store.costs().await?.zip(before).map(|(after, before)| after.since(before));
                let costs = costs.context("what handling cost is not known")?;
                self.all_done(&store, jobs).await?;
                let rate = Some(tally.per_second());
                self.report.scaling.push(Scaling::new(Stage::Handled { workers }, lanes, jobs, costs, rate));
            }
        }
        Ok(())
    }
}
