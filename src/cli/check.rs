//! `doorbell check`.

use clap::Args;

use super::{Failure, Global, USAGE, print};
use crate::config::Report;

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
        Ok(loaded) => loaded.config.check(),
        Err(Failure::Config(error)) => Report::from(&error),
        Err(other) => return Err(other),
    };
    print::value(global.json, &report)?;
    if !report.right || args.strict && report.has_warnings() {
        return Err(Failure::Reported(USAGE));
    }
    Ok(())
}
