//! Measures Doorbell from outside: how fast it acknowledges, how soon it handles, what it takes; each figure beside
//! a floor measured in the same run. See the README beside this crate.

mod clock;
mod floor;
mod http;
mod load;
mod measured;
mod noop;
mod peer;
mod poster;
mod process;
mod product;
mod queue;
#[cfg(feature = "receiver")]
mod receiver;
mod redis;
mod report;
mod scenario;
mod store;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use tokio::runtime;

use crate::{
    queue::Queue,
    scenario::{Bench, Scenario, Size},
};

/// The allocator of the `doorbell` command, for the floor as for the receiver.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Doorbell, each figure beside a floor measured in the same run.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    /// What to measure; everything, if nothing is named.
    scenarios: Vec<Scenario>,
    /// Where jobs wait. For Redis the run starts servers of its own, with `redis-server` from the PATH.
    #[arg(long, value_enum, default_value_t = Queue::Embedded)]
    queue: Queue,
    /// Measure as long and as much as the targets say, instead of just enough to see where one stands.
    #[arg(long)]
    full: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// The `doorbell` program to measure, instead of building the one beside this.
    #[arg(long)]
    doorbell: Option<PathBuf>,
    /// Where the stores are kept while measuring: on the disk that is meant. By default beside this program.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How long the loads last, in seconds.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: Option<u64>,
    /// How many jobs wait, or older deliveries lie in the store.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1000..=10_000_000))]
    backlog: Option<u64>,
}

/// What a run starts as processes of their own, so that what each takes can be told apart.
#[derive(Debug, Subcommand)]
enum Part {
    /// Send a load and print what came of it, as JSON.
    Load(load::Plan),
    /// Serve the floor: parse, check, store nothing.
    Floor {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:0")]
        listen: SocketAddr,
    },
    /// Serve a receiver whose handler does nothing.
    ServeNoop(noop::Options),
    /// Serve the peer: axum and the stock queue of apalis on Redis.
    ServePeer(peer::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("doorbell-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let one_thread = || runtime::Builder::new_current_thread().enable_all().build();
    let many_threads = || runtime::Builder::new_multi_thread().enable_all().build();
    match arguments.part {
        Some(Part::Load(plan)) => {
            let outcome = one_thread()?.block_on(load::run(plan))?;
            println!("{}", serde_json::to_string(&outcome)?);
            Ok(ExitCode::SUCCESS)
        }
        Some(Part::Floor { listen }) => {
            many_threads()?.block_on(floor::serve(listen))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Part::ServeNoop(options)) => {
            many_threads()?.block_on(serve_noop(options))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Part::ServePeer(options)) => {
            many_threads()?.block_on(peer::serve(options))?;
            Ok(ExitCode::SUCCESS)
        }
        None => one_thread()?.block_on(async {
            tokio::select! {
                code = measure(arguments) => code,
                // Dropping what was being measured ends its processes and removes its folders.
                interrupted = interrupted() => interrupted.map(|()| ExitCode::FAILURE),
            }
        }),
    }
}

#[cfg(feature = "receiver")]
use receiver::serve as serve_noop;

#[cfg(not(feature = "receiver"))]
fn serve_noop(_: noop::Options) -> impl Future<Output = anyhow::Result<()>> {
    std::future::ready(Err(anyhow::anyhow!("built without the library; build with `--features receiver`")))
}

async fn measure(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut size = if arguments.full { Size::FULL } else { Size::SHORT };
    if let Some(seconds) = arguments.seconds {
        (size.burst, size.sustained, size.rate) = (seconds, seconds, seconds);
    }
    size.backlog = arguments.backlog.unwrap_or(size.backlog);
    if let Some(doorbell) = &arguments.doorbell {
        ensure!(doorbell.is_file(), "--doorbell {}: there is no such file", doorbell.display());
    }
    let doorbell = arguments.doorbell.map(std::path::absolute).transpose()?;
    let folder = match arguments.dir {
        Some(folder) => std::path::absolute(folder)?,
        None => std::env::current_exe()?.parent().context("this program lies in no folder")?.to_owned(),
    };
    let mut scenarios = arguments.scenarios;
    if scenarios.is_empty() {
        scenarios = Scenario::all_on(arguments.queue);
    }
    // In the order in which they can use each other's stores.
    scenarios.sort_unstable();
    scenarios.dedup();

    let mut bench = Bench::new(size, arguments.queue, doorbell, &folder)?;
    for scenario in scenarios {
        bench.run(scenario).await;
    }
    let report = &bench.report;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        print!("{report}");
    }
    Ok(if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn interrupted() -> anyhow::Result<()> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed?,
        _ = terminated.recv() => {}
    }
    Ok(())
}
