//! `doorbell check`.

use clap::Args;

use super::{Failure, Global, USAGE, print};
use crate::config::{Config, Report};

/// What `doorbell check` takes.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(args: &CheckArgs, global: &Global) -> Result<(), Failure> {
    let report = match global.preview() {
        Ok(loaded) if loaded.file.is_none() => loaded.config.check().without_file(),
        Ok(loaded) => ask_redis(&loaded.config, loaded.config.check())?,
        Err(Failure::Config(error)) => Report::from(&error),
        Err(other) => return Err(other),
    };
    print::value(global.json, &report)?;
    if !report.right || args.strict && report.has_warnings() {
        return Err(Failure::Reported(USAGE));
    }
    Ok(())
}

/// Adds what the Redis that jobs wait in can lose, where they wait in one.
#[cfg(feature = "redis")]
fn ask_redis(config: &Config, report: Report) -> Result<Report, Failure> {
    use crate::config::QueueConfig;

    match &config.queue {
        QueueConfig::Embedded => Ok(report),
        QueueConfig::Redis(queue) => Ok(report.with_redis(super::runtime()?.block_on(queue.findings()))),
    }
}

#[cfg(not(feature = "redis"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature `redis` it can fail")]
fn ask_redis(_: &Config, report: Report) -> Result<Report, Failure> {
    Ok(report)
}
