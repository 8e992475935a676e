//! The `doorbell` command: one file a subcommand.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.

mod check;
pub(crate) mod client;
pub(crate) mod conditions;
mod connect;
pub(crate) mod dead;
mod drain;
mod feed;
mod health;
mod init;
pub(crate) mod list;
pub(crate) mod output;
mod print;
pub(crate) mod refused;
pub(crate) mod replay;
mod send;
mod serve;
pub(crate) mod show;
pub(crate) mod tail;
#[cfg(test)]
mod tests;
mod verify;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};

use self::{client::ApiError, output::Output};
use crate::config::{Config, ConfigError, JournalConfig};

/// Runs the command that this process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come here too. If not even that can be printed, nobody is there to be told.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command.unwrap_or_default().run(&cli.global) {
        Ok(code) => code,
        Err(failure) => {
            print::failure(cli.global.json, &failure);
            failure.exit_code()
        }
    }
}

const DONE: u8 = 0;
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// Receives webhooks from senders that neither wait nor ask twice.
#[derive(Debug, Parser)]
#[command(name = "doorbell", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    /// What to do [default: serve]
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every subcommand takes.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// The configuration file [default: doorbell.toml, where there is one]
    #[arg(long, short, global = true, value_name = "FILE", env = "DOORBELL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The admin address of the running service [default: as configured]
    #[arg(long, global = true, value_name = "URL", env = "DOORBELL_URL")]
    pub(crate) url: Option<reqwest::Url>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take deliveries in, acknowledge them, run their jobs
    Serve(serve::ServeArgs),
    /// Write a commented configuration file
    Init(init::InitArgs),
    /// Say what is wrong in the configuration, and what would be lost in which failure
    Check(check::CheckArgs),
    /// Check one request's proof and show what it holds; its body is read from the standard input
    Verify(verify::VerifyArgs),
    /// Play a sender: make a request as it would, send it, and show what becomes of it
    Send(send::SendArgs),
    /// Say whether the running service is ready; exit code 0 if it is
    Health(health::HealthArgs),
    /// Run the jobs that a data folder holds until none is left, without taking anything in
    Drain(drain::DrainArgs),
    #[command(flatten)]
    Data(DataCommand),
}

/// The subcommands that ask the admin API.
#[derive(Debug, Subcommand)]
enum DataCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Replay(replay::ReplayArgs),
    Dead(dead::DeadArgs),
    Refused(refused::RefusedArgs),
    Tail(tail::TailArgs),
}

impl Default for Command {
    fn default() -> Self {
        Self::Serve(serve::ServeArgs::default())
    }
}

impl Command {
    fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        match self {
            Self::Serve(args) => serve::run(&args, global)?,
            Self::Init(args) => init::run(&args, global)?,
            Self::Check(args) => check::run(&args, global)?,
            Self::Verify(args) => verify::run(&args, global)?,
            Self::Send(args) => return runtime()?.block_on(send::run(args, global)),
            Self::Health(args) => return runtime()?.block_on(health::run(&args, global)),
            Self::Drain(args) => return runtime()?.block_on(drain::run(&args, global)),
            Self::Data(command) => return runtime()?.block_on(command.run(global)),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl DataCommand {
    async fn run(self, global: &Global) -> Result<ExitCode, Failure> {
        let out = Output { json: global.json };
        let connection = connect::connect(global, self.needs_a_service()).await?;
        if connection.is_local() && self.queues_jobs() {
            eprintln!(
                "doorbell: no service runs; what is replayed waits for `doorbell serve` or `doorbell drain`"
            );
        }
        let api = &connection.api;
        let done = match self {
            Self::List(args) => list::run(args, api, out).await,
            Self::Show(args) => show::run(args, api, out).await,
            Self::Replay(args) => replay::run(args, api, out).await,
            Self::Dead(args) => dead::run(args, api, out).await,
            Self::Refused(args) => refused::run(args, api, out).await,
            Self::Tail(args) => tail::run(args, api, out).await,
        };
        connection.close().await;
        Ok(done?)
    }

    fn queues_jobs(&self) -> bool {
        match self {
            Self::Replay(_) => true,
            Self::Dead(args) => matches!(args.command, dead::DeadCommand::Replay(_)),
            _ => false,
        }
    }

    /// Why only a running service can answer, where that is so.
    fn needs_a_service(&self) -> Option<&'static str> {
        match self {
            Self::Refused(_) => Some("refused requests are kept in its memory only"),
            Self::Tail(_) => Some("nothing happens that could be followed"),
            Self::List(_) | Self::Show(_) | Self::Replay(_) | Self::Dead(_) => None,
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("the asynchronous runtime can't be started: {error}")))
}

impl Global {
    /// The configuration: the named file, or `doorbell.toml` where there is one, or else the embedded default.
    pub(crate) fn load(&self) -> Result<Loaded, Failure> {
        self.load_or(Config::embedded_default)
    }

    /// The same, but without writing anything: made-up secrets that are not kept yet are not kept now either.
    pub(crate) fn preview(&self) -> Result<Loaded, Failure> {
        self.load_or(Config::embedded_preview)
    }

    /// Whether there is a configuration file.
    pub(crate) fn is_configured(&self) -> bool {
        self.file().is_some()
    }

    fn file(&self) -> Option<PathBuf> {
        let default = Path::new(Config::DEFAULT_FILE);
        self.config.clone().or_else(|| default.exists().then(|| default.to_owned()))
    }

    fn load_or(&self, default: impl FnOnce(&Path) -> Result<Config, ConfigError>) -> Result<Loaded, Failure> {
        let file = self.file();
        let config = match &file {
            Some(file) => Config::load(file),
            None => default(&JournalConfig::default().dir),
        };
        Ok(Loaded { config: config?, file })
    }
}

/// A configuration, and where it came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    /// `None`: the embedded default.
    pub(crate) file: Option<PathBuf>,
}

/// Why a subcommand did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It was asked for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The configuration is not right.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
    /// The admin API did not do it.
    #[error("{0}")]
    Api(ApiError),
    /// The output says already how it ended, or nobody reads it any more.
    #[error("failed")]
    Reported(u8),
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Usage(_) | Self::Config(_) => USAGE,
            Self::Failed(_) => FAILED,
            Self::Api(error) => error.code(),
            Self::Reported(code) => *code,
        })
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            // A reader that has seen enough (`doorbell list | head`) is no failure.
            ApiError::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Self::Reported(DONE),
            error => Self::Api(error),
        }
    }
}
