//! The scenarios, and what they share.

mod burst;
mod jobs;
mod memory;
mod rate;
mod start;
mod sustained;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use tempfile::TempDir;

use crate::{
    load::{Latency, Outcome},
    process::{Output, Process},
    product::{self, Floor},
    report::{Figure, Machine, Report, Unit},
    store::Stores,
};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// Acks a second with no worker running.
    Burst,
    /// Latency at 1,000 deliveries a second, to the ack and to the handler.
    Rate,
    /// From start to ready with many jobs waiting.
    Start,
    /// Memory at rest, with many jobs waiting, and under load over time.
    Memory,
    /// Jobs a second from backlogs of several sizes.
    Jobs,
    /// Acks a second with every job handled and many older deliveries in the store.
    Sustained,
}

/// How long and how much.
#[derive(Debug, Clone)]
pub(crate) struct Size {
    /// Seconds of the burst.
    pub(crate) burst: u64,
    /// Seconds of the sustained load.
    pub(crate) sustained: u64,
    /// Seconds at 1,000 a second.
    pub(crate) rate: u64,
    /// Deliveries under which memory should not grow.
    pub(crate) growth: u64,
    /// The largest backlog.
    pub(crate) backlog: u64,
}

impl Size {
    /// Enough to see where one stands.
    pub(crate) const SHORT: Self =
        Self { burst: 4, sustained: 10, rate: 10, growth: 100_000, backlog: 100_000 };

    /// What the targets are about. An hour's worth of load is 3,600,000 deliveries: 1,000 a second.
    pub(crate) const FULL: Self =
        Self { burst: 10, sustained: 60, rate: 30, growth: 3_600_000, backlog: 1_000_000 };
}

/// Who sends how much.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    /// Each connection sends when its last delivery is answered, for so many seconds.
    Closed { seconds: u64 },
    /// So many deliveries fall due each second, for so many seconds.
    Open { rate: u32, seconds: u64 },
    /// As many deliveries as this, each connection sending when its last one is answered.
    Count(u64),
}

/// One run.
pub(crate) struct Bench {
    /// How long and how much.
    pub(crate) size: Size,
    /// What was found out so far.
    pub(crate) report: Report,
    /// Filled data folders.
    pub(crate) stores: Stores,
    doorbell: Option<PathBuf>,
    folder: TempDir,
    next_id: u64,
}

impl Bench {
    /// A run that keeps its stores in `folder`. `doorbell` is the program to measure; `None`: built when needed.
    pub(crate) fn new(size: Size, doorbell: Option<PathBuf>, folder: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("doorbell-bench-")
            .tempdir_in(folder)
            .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
        let report = Report::new(Machine::look(folder.path())?);
        Ok(Self { size, report, stores: Stores::default(), doorbell, folder, next_id: 1_000_000_000 })
    }

    /// Measures one scenario. Whatever keeps it from being measured ends up in the report.
    pub(crate) async fn run(&mut self, scenario: Scenario) {
        self.progress(name(scenario));
        let measured = match scenario {
            Scenario::Burst => self.burst().await,
            Scenario::Rate => self.rate().await,
            Scenario::Start => self.start().await,
            Scenario::Memory => self.memory().await,
            Scenario::Jobs => self.jobs().await,
            Scenario::Sustained => self.sustained().await,
        };
        if let Err(error) = measured {
            let failure = format!("{}: {error:#}", name(scenario));
            self.progress(failure.clone());
            self.report.failures.push(failure);
        }
    }

    /// Where this run keeps its stores.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The program to measure.
    pub(crate) async fn doorbell(&mut self) -> anyhow::Result<PathBuf> {
        if let Some(doorbell) = &self.doorbell {
            return Ok(doorbell.clone());
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = product::build(Path::new(&cargo)).await?;
        Ok(self.doorbell.insert(built).clone())
    }

    /// Whether the library's part can be measured; if not, the report says so.
    pub(crate) fn has_receiver(&mut self, what: &str) -> bool {
        let has = cfg!(feature = "receiver");
        if !has {
            self.report.skipped.push(format!("{what}: build with `--features receiver`"));
        }
        has
    }

    /// Sends a load, from a process of its own. Deliveries that are not answered as they should end up in the report.
    pub(crate) async fn load(&mut self, what: &str, to: SocketAddr, shape: Shape) -> anyhow::Result<Outcome> {
        let mut command = product::this_program()?;
        command.args(["load", "--to", &to.to_string(), "--first-id", &self.next_id.to_string()]);
        let limit = match shape {
            Shape::Closed { seconds } | Shape::Open { seconds, .. } => {
                command.args(["--seconds", &seconds.to_string()]);
                seconds + 30
            }
            Shape::Count(count) => {
                command.args(["--count", &count.to_string()]);
                60 + count / 1000
            }
        };
        if let Shape::Open { rate, .. } = shape {
            command.args(["--rate", &rate.to_string()]);
        }
        command.args(["--limit", &limit.to_string()]);
        let mut generator = Process::start("the generator", &mut command, Output::Lines)?;
        let line = generator.line(Duration::from_secs(limit + 30)).await?;
        let outcome: Outcome =
            serde_json::from_str(&line).with_context(|| format!("the generator printed {line:?}"))?;
        self.next_id = outcome.next_id;
        if outcome.failed() > 0 {
            let (failed, all) = (outcome.failed(), outcome.failed() + outcome.acked);
            let kinds = outcome.failures.iter().take(5);
            let kinds = kinds.map(|(failure, times)| format!("\n    {times} × {failure}"));
            let text = format!("{what}: {failed} of {all} deliveries failed:{}", kinds.collect::<String>());
            self.report.failures.push(text);
        }
        Ok(outcome)
    }

    /// Measures the floor with this load.
    pub(crate) async fn floor(&mut self, shape: Shape) -> anyhow::Result<Measured> {
        let mut floor = Floor::start().await?;
        let outcome = self.load("the floor", floor.ingress, shape).await;
        floor.check().await?;
        Ok(Measured::new(&outcome?, floor.usage().map(|usage| usage.cpu_seconds)))
    }

    /// Says on stderr how far the run is.
    #[expect(clippy::unused_self, reason = "what a run says belongs to the run")]
    pub(crate) fn progress(&self, what: impl std::fmt::Display) {
        eprintln!("… {what}");
    }
}

/// What a load measured: the same for the floor and for the product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    per_second: f64,
    latency: Latency,
    /// The server's processor time for each ack, in microseconds.
    server_cpu: Option<f64>,
    /// The generator's.
    generator_cpu: Option<f64>,
}

impl Measured {
    /// What this outcome says, with the processor time that the server took for it, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    pub(crate) fn new(outcome: &Outcome, server_cpu_seconds: Option<f64>) -> Self {
        let each = |seconds: f64| seconds * 1e6 / outcome.acked.max(1) as f64;
        Self {
            per_second: outcome.per_second(),
            latency: outcome.latency,
            server_cpu: server_cpu_seconds.map(each),
            generator_cpu: outcome.cpu_seconds.map(each),
        }
    }

    /// The middle of two measurements of the same thing, before and after another.
    pub(crate) fn between(self, other: Self) -> Self {
        let middle = |a: f64, b: f64| f64::midpoint(a, b);
        Self {
            per_second: middle(self.per_second, other.per_second),
            latency: Latency {
                p50: middle(self.latency.p50, other.latency.p50),
                p99: middle(self.latency.p99, other.latency.p99),
                p999: middle(self.latency.p999, other.latency.p999),
                max: self.latency.max.max(other.latency.max),
            },
            server_cpu: self.server_cpu.zip(other.server_cpu).map(|(a, b)| middle(a, b)),
            generator_cpu: self.generator_cpu.zip(other.generator_cpu).map(|(a, b)| middle(a, b)),
        }
    }

    /// What was acknowledged, and what it cost, beside the floor. The first figure is the rate.
    pub(crate) fn figures(self, scenario: &'static str, floor: Self) -> Vec<Figure> {
        let mut figures =
            vec![Figure::new(scenario, "acks", self.per_second, Unit::PerSecond).floor(floor.per_second)];
        figures.extend(self.latencies(scenario, floor));
        for (name, cost, floor) in [
            ("server CPU an ack", self.server_cpu, floor.server_cpu),
            ("generator CPU an ack", self.generator_cpu, floor.generator_cpu),
        ] {
            if let Some((cost, floor)) = cost.zip(floor) {
                figures.push(Figure::new(scenario, name, cost, Unit::Microseconds).floor(floor));
            }
        }
        figures
    }

    /// How long acks took, beside the floor: p50, p99, p99.9, the longest.
    pub(crate) fn latencies(self, scenario: &'static str, floor: Self) -> [Figure; 4] {
        let (ours, theirs) = (self.latency, floor.latency);
        [
            ("ack p50", ours.p50, theirs.p50),
            ("ack p99", ours.p99, theirs.p99),
            ("ack p99.9", ours.p999, theirs.p999),
            ("ack longest", ours.max, theirs.max),
        ]
        .map(|(name, ours, theirs)| Figure::new(scenario, name, ours, Unit::Milliseconds).floor(theirs))
    }

    /// How much two measurements of the same thing differ, as a share of the larger.
    pub(crate) fn differs_from(self, other: Self) -> f64 {
        1.0 - self.per_second.min(other.per_second) / self.per_second.max(other.per_second)
    }
}

fn name(scenario: Scenario) -> String {
    format!("{scenario:?}").to_lowercase()
}
