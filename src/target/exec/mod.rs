//! Jobs given to a command.

mod process;
#[cfg(test)]
mod tests;

use std::{
    ffi::{OsStr, OsString},
    fmt,
    num::NonZeroUsize,
    sync::Arc,
};

use tokio::process::Command;

use super::TargetError;
use crate::handler::{Capacity, Handler, HandlerError, Job};

/// A command that takes jobs, one process for each attempt.
///
/// No shell reads the command; its program and arguments are used as they stand, and nothing of a job gets into them.
/// The event's data comes on standard input (a command that does not read it is fine). The metadata is in the
/// environment: `DOORBELL_JOB_ID` (what to be idempotent by), `DOORBELL_EVENT_ID`, `DOORBELL_DELIVERY_ID`,
/// `DOORBELL_SOURCE`, `DOORBELL_PROVIDER`, `DOORBELL_KIND`, `DOORBELL_SUBJECT`, `DOORBELL_ROUTE`, `DOORBELL_ATTEMPT`
/// (from 1), `DOORBELL_REPLAY` (0 unless replayed), `DOORBELL_RECEIVED_AT` and `DOORBELL_OCCURRED_AT` (RFC 3339).
/// What is unknown is not set.
///
/// Of Doorbell's own environment the command gets `PATH`, `HOME`, `USER`, `TMPDIR`, `LANG`, `LC_ALL` and `TZ`, so that
/// the secrets in the rest do not reach it; [`env`](Self::env) adds to that. Standard output is thrown away.
///
/// | Exit | Then |
/// | --- | --- |
/// | 0 | done |
/// | 65 (`EX_DATAERR` of sysexits.h) | dead: the data is at fault, no repetition helps |
/// | anything else, such as 75 (`EX_TEMPFAIL`), or a signal | tried again by the route's schedule |
///
/// The end of standard error (2 KiB) becomes the attempt's error. An attempt that is cut off (by the route's time
/// limit, or when a shutdown's grace is over) is killed, with all that it has started, unless that made itself a process
/// group of its own. What a command leaves running when it ends by itself is left running. If Doorbell itself is
/// killed, its commands run on, and their jobs run again.
///
/// ```
/// use std::num::NonZeroUsize;
///
/// use doorbell::{Receiver, Route, target::ExecTarget};
///
/// let import = ExecTarget::new(["/usr/local/bin/import", "--quiet"])?
///     .env("DATABASE_URL", "postgres://127.0.0.1/shop")
///     .concurrency(NonZeroUsize::MIN); // one at a time
/// let builder = Receiver::builder::<()>().target(Route::new("erp", "product.*"), import);
/// # Ok::<(), doorbell::target::TargetError>(())
/// ```
#[derive(Clone)]
pub struct ExecTarget(Arc<Program>);

#[derive(Clone)]
struct Program {
    path: String,
    arguments: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    concurrency: NonZeroUsize,
}

/// What a command gets of Doorbell's own environment.
const INHERITED: [&str; 7] = ["PATH", "HOME", "USER", "TMPDIR", "LANG", "LC_ALL", "TZ"];

/// The exit status that says that the data is at fault.
const EX_DATAERR: i32 = 65;

impl ExecTarget {
    /// Runs this command: the program, then its arguments.
    ///
    /// # Errors
    /// There is no program, or there is a NUL byte in the command.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, TargetError> {
        let mut words = command.into_iter().map(Into::into);
        let program = words.next().unwrap_or_default();
        let arguments: Vec<String> = words.collect();
        let refused = |reason| Err(TargetError::Command { shown: program.clone(), reason });
        if program.is_empty() {
            return refused("it names no program");
        }
        if program.contains('\0') || arguments.iter().any(|argument| argument.contains('\0')) {
            return refused("it holds a NUL byte");
        }
        let inherited = INHERITED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
        Ok(Self(Arc::new(Program {
            path: program,
            arguments,
            environment: inherited.collect(),
            concurrency: NonZeroUsize::MIN.saturating_add(7),
        })))
    }

    /// How many of these processes may run at once; 8 by default.
    pub fn concurrency(mut self, processes: NonZeroUsize) -> Self {
        Arc::make_mut(&mut self.0).concurrency = processes;
        self
    }

    /// Sets a variable of the command's environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let variable = (name.as_ref().to_owned(), value.as_ref().to_owned());
        Arc::make_mut(&mut self.0).environment.push(variable);
        self
    }
}

impl Handler for ExecTarget {
    async fn handle(&self, job: Job) -> Result<(), HandlerError> {
        self.0.run(job).await
    }

    fn capacity(&self, running: usize) -> Capacity {
        Capacity::free(self.0.concurrency.get().saturating_sub(running))
    }
}

impl fmt::Debug for ExecTarget {
    /// Only the program: arguments and environment may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ExecTarget").field(&self.0.path).finish()
    }
}

impl Program {
    async fn run(&self, job: Job) -> Result<(), HandlerError> {
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.envs(metadata(&job));
        let ended = process::run(command, &job.data)
            .await
            .map_err(|error| HandlerError::retry(CannotRun { program: self.path.clone(), source: error }))?;
        if ended.status.success() {
            return Ok(());
        }
        let mut error = format!("{:?} ended with {}", self.path, ended.status);
        if !ended.stderr.is_empty() {
            error.push_str(": ");
            error.push_str(&ended.stderr);
        }
        Err(if ended.status.code() == Some(EX_DATAERR) {
            HandlerError::dead(error)
        } else {
            HandlerError::retry(error)
        })
    }
}

/// The variables that say what the job is. NUL bytes can't stand in them, and are left out.
fn metadata(job: &Job) -> impl Iterator<Item = (&'static str, String)> {
    let variables = [
        ("DOORBELL_JOB_ID", Some(job.id.to_string())),
        ("DOORBELL_EVENT_ID", Some(job.event_id.to_string())),
        ("DOORBELL_DELIVERY_ID", Some(job.delivery_id.to_string())),
        ("DOORBELL_SOURCE", Some(job.source.to_string())),
        ("DOORBELL_PROVIDER", Some(job.provider.to_string())),
        ("DOORBELL_KIND", Some(job.kind.clone())),
        ("DOORBELL_SUBJECT", job.subject.clone()),
        ("DOORBELL_ROUTE", Some(job.route.to_string())),
        ("DOORBELL_ATTEMPT", Some(job.attempt.number.to_string())),
        ("DOORBELL_REPLAY", Some(job.attempt.replay.to_string())),
        ("DOORBELL_RECEIVED_AT", Some(job.received_at.to_string())),
        ("DOORBELL_OCCURRED_AT", job.occurred_at.map(|at| at.to_string())),
    ];
    variables.into_iter().filter_map(|(name, value)| Some((name, value?.replace('\0', ""))))
}

/// The command could not be started, or could not be waited for.
#[derive(Debug, thiserror::Error)]
#[error("can't run {program:?}")]
struct CannotRun {
    program: String,
    source: std::io::Error,
}
