//! The scenarios, and what they share.

mod burst;
mod jobs;
mod memory;
mod peer;
mod rate;
mod relay;
mod scaling;
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
    load::Outcome,
    measured::{Cpu, Measured},
    process::{Output, Process, Usage},
    product::{self, Floor},
    queue::Queue,
    report::{Machine, Report},
    store::{Store, Stores},
};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Scenario {
    /// Acks a second with no worker running.
    Burst,
    /// The same, and with every job handled, by axum and the stock queue of apalis on Redis.
    Peer,
    /// Latency at 1,000 deliveries a second, to the ack and to the handler.
    Rate,
    /// From start to ready with many jobs waiting.
    Start,
    /// Memory at rest, with many jobs waiting, and under load over time.
    Memory,
    /// Jobs a second from backlogs of several sizes.
    Jobs,
    /// How fast what was taken in without Redis is moved there once it answers, with others coming in.
    Relay,
    /// What a job costs in Redis, by worker processes and lanes.
    Scaling,
    /// Acks a second with every job handled and many older deliveries in the store.
    Sustained,
}

impl Scenario {
    /// Whether this is about a queue on Redis, and nothing else.
    fn needs_redis(self) -> bool {
        matches!(self, Self::Relay | Self::Scaling)
    }

    /// All that there is to measure on this queue.
    pub(crate) fn all_on(queue: Queue) -> Vec<Self> {
        let about_redis = |scenario: &Self| scenario.needs_redis() || *scenario == Self::Peer;
        let fits = |scenario: &Self| queue == Queue::Redis || !about_redis(scenario);
        Self::value_variants().iter().copied().filter(fits).collect()
    }
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

/// A floor that moves by more than this between two measurements makes its share doubtful.
const QUIET: f64 = 0.1;

/// One run.
pub(crate) struct Bench {
    /// How long and how much.
    pub(crate) size: Size,
    /// Where jobs wait.
    pub(crate) queue: Queue,
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
    pub(crate) fn new(
        size: Size,
        queue: Queue,
        doorbell: Option<PathBuf>,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("doorbell-bench-")
            .tempdir_in(folder)
            .with_context(|| format!("cannot make a folder in {}", folder.display()))?;
        let report = Report::new(Machine::look(folder.path())?, queue);
        Ok(Self { size, queue, report, stores: Stores::default(), doorbell, folder, next_id: 1_000_000_000 })
    }

    /// Measures one scenario. Whatever keeps it from being measured ends up in the report.
    pub(crate) async fn run(&mut self, scenario: Scenario) {
        self.progress(name(scenario));
        if scenario.needs_redis() && self.queue != Queue::Redis {
            self.report.skipped.push(format!("{}: only with `--queue redis`", name(scenario)));
            return;
        }
        let measured = match scenario {
            Scenario::Burst => self.burst().await,
            Scenario::Peer => self.peer().await,
            Scenario::Rate => self.rate().await,
            Scenario::Start => self.start().await,
            Scenario::Memory => self.memory().await,
            Scenario::Jobs => self.jobs().await,
            Scenario::Relay => self.relay().await,
            Scenario::Scaling => self.scaling().await,
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
        let cpu = Cpu { server: floor.usage().map(|usage| usage.cpu_seconds), redis: None };
        Ok(Measured::new(&outcome?, cpu))
    }

    /// The floor measured once more, and the middle of both: so that a machine that slows down meanwhile does not
    /// look like the product's doing.
    pub(crate) async fn floor_around(
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

    /// Says on stderr how far the run is.
    #[expect(clippy::unused_self, reason = "what a run says belongs to the run")]
    pub(crate) fn progress(&self, what: impl std::fmt::Display) {
        eprintln!("… {what}");
    }
}

/// The processor time that a server and its store's Redis have taken so far.
async fn cpu(server: Option<Usage>, store: &mut Store) -> anyhow::Result<Cpu> {
    let redis = store.costs().await?.map(|costs| costs.cpu_seconds);
    Ok(Cpu { server: server.map(|usage| usage.cpu_seconds), redis })
}

fn name(scenario: Scenario) -> String {
    format!("{scenario:?}").to_lowercase()
}
