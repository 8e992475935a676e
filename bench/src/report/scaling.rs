use serde::Serialize;

use crate::redis::Costs;

/// What many jobs cost in Redis, for each of them.
#[derive(Debug, Serialize)]
pub(crate) struct Scaling {
    /// What was done with them.
    stage: Stage,
    /// Over how many lanes the queue was spread.
    lanes: u32,
    /// How many jobs there were.
    jobs: u64,
    /// Jobs a second; only told of handling.
    per_second: Option<f64>,
    /// Scripts called, for each job.
    scripts: f64,
    /// Commands run, for each job: the calls of scripts and those within them.
    commands: f64,
    /// Processor time of Redis, for each job, in microseconds.
    redis_cpu: f64,
}

/// What is done with jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// One ingress took them in and moved them to Redis.
    TakenIn,
    /// So many worker processes handled them.
    Handled {
        /// How many.
        workers: usize,
    },
}

impl Scaling {
    pub(super) const HEAD: [&str; 8] = [
        "",
        "lanes",
        "workers",
        "jobs",
        "jobs a second",
        "scripts a job",
        "commands a job",
        "Redis CPU a job",
    ];

    /// What each of so many jobs cost.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn new(stage: Stage, lanes: u32, jobs: u64, costs: Costs, per_second: Option<f64>) -> Self {
        let each = |count: u64| count as f64 / jobs.max(1) as f64;
        Self {
            stage,
            lanes,
            jobs,
            per_second,
            scripts: each(costs.scripts),
            commands: each(costs.commands),
            redis_cpu: costs.cpu_seconds * 1e6 / jobs.max(1) as f64,
        }
    }

    pub(super) fn cells(&self) -> [String; 8] {
        let (stage, workers) = match self.stage {
            Stage::TakenIn => ("taken in", String::new()),
            Stage::Handled { workers } => ("handled", workers.to_string()),
        };
        [
            stage.to_owned(),
            self.lanes.to_string(),
            workers,
            self.jobs.to_string(),
            self.per_second.map(|rate| format!("{rate:.0}/s")).unwrap_or_default(),
            format!("{:.3}", self.scripts),
            format!("{:.2}", self.commands),
            format!("{:.1} µs", self.redis_cpu),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_told_for_each_job() {
        let costs = Costs { cpu_seconds: 0.5, scripts: 250, commands: 90_000 };
        let handled = Scaling::new(Stage::Handled { workers: 2 }, 4, 10_000, costs, Some(12_345.6));
        assert_eq!(
            handled.cells(),
            ["handled", "4", "2", "10000", "12346/s", "0.025", "9.00", "50.0 µs"].map(str::to_owned)
        );
        let taken_in = Scaling::new(Stage::TakenIn, 4, 10_000, costs, None);
        assert_eq!(taken_in.cells()[4], "");
    }
}
