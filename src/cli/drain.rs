//! `doorbell drain`: works off what a data folder holds.

use std::{collections::BTreeSet, fmt, path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    FAILED, Failure, Global,
    client::{Api, shaped},
    connect, print,
};
use crate::{
    admin::view::JobsPage,
    clock::{self, Clock, SystemClock, Timestamp},
    config::Config,
    receiver::Role,
};
#[cfg(feature = "redis")]
use crate::{journal::Drained, provider::Secrets};

/// What `doorbell drain` takes.
#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// The data folder [default: as configured]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// End after this time at the latest, and wait for retries that are due within it [default: no limit, and no retry
    /// that is due later is waited for]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
}

/// How often the counters are looked at. They are maintained, so that costs next to nothing.
const INTERVAL: Duration = Duration::from_millis(100);
/// How many jobs are looked at with one request.
const PAGE: &str = "500";

pub(super) async fn run(args: &DrainArgs, global: &Global) -> Result<ExitCode, Failure> {
    let mut config = match (&args.dir, global.is_configured()) {
        // The folder's own made-up secrets, not those of another one.
        (Some(dir), false) => Config::embedded_preview(dir)?,
        _ => global.preview()?.config,
    };
    if let Some(dir) = &args.dir {
        config.journal.dir.clone_from(dir);
    }
    let dir = &config.journal.dir;
    if !dir.is_dir() {
        let text = format!("there is no data folder {}; name one with --dir", dir.display());
        return Err(Failure::Usage(text));
    }
    #[cfg(feature = "redis")]
    if let Some(drained) = relay(&config, args.timeout, global.json).await? {
        return Ok(drained);
    }
    let (receiver, token) = connect::open(&config, Some(Role::All)).await?;
    let api = Api::local(receiver.admin_router(), &token)?;
    let routes = config.routes.iter().map(|route| route.route.name.as_str()).collect();
    let drained = drain(&api, &routes, args.timeout, global.json).await;
    drop(api);
    receiver.shutdown().await;
    let left = drained?;
    print::value(global.json, &left)?;
    Ok(ExitCode::from(if left.is_empty() { 0 } else { FAILED }))
}

/// Moves what the folder's journals hold to the queue that machines share, if there is one.
#[cfg(feature = "redis")]
async fn relay(config: &Config, timeout: Option<Duration>, json: bool) -> Result<Option<ExitCode>, Failure> {
    let failed = |error: &dyn fmt::Display| Failure::Failed(error.to_string());
    // Nobody can ask it anything.
    let builder = config.builder(Secrets::default()).map_err(|error| failed(&error))?;
    let give_up_at = timeout.map(|timeout| clock::instant() + timeout);
    let mut printed = Ok(());
    let tell = |drained: &Drained| {
        if printed.is_ok() {
            printed = print::value(json, drained);
        }
    };
    let drained = builder.drain(give_up_at, tell).await.map_err(|error| failed(&error))?;
    printed?;
    let Some(drained) = drained else { return Ok(None) };
    print::value(json, &drained)?;
    Ok(Some(ExitCode::from(if drained.is_complete() { 0 } else { FAILED })))
}

/// Waits until the workers have nothing left to do, or the time is over.
async fn drain(
    api: &Api,
    routes: &BTreeSet<&str>,
    timeout: Option<Duration>,
    json: bool,
) -> Result<Left, Failure> {
    let give_up_at = timeout.map(|timeout| clock::instant() + timeout);
    let mut last = None;
    loop {
        let Stats { jobs } = shaped(&api.get("/api/stats", &[]).await?)?;
        let moved = last != Some(jobs);
        if moved {
            print::value(json, &jobs)?;
            last = Some(jobs);
        }
        let late = give_up_at.is_some_and(|at| clock::instant() >= at);
        // While anything moves, there is no need to look at single jobs.
        if late || !moved && jobs.running == 0 || jobs.unsettled() == 0 {
            let left = Left { dead: jobs.dead, ..left(api, routes, jobs, late).await? };
            let waits = timeout.is_some() && left.retrying > 0;
            if late || !left.is_due && !waits {
                return Ok(left);
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What the jobs that have not ended wait for. Unless `all` are to be counted, one that is due is enough to know that
/// this is not the end.
async fn left(api: &Api, routes: &BTreeSet<&str>, jobs: Jobs, all: bool) -> Result<Left, Failure> {
    let mut left = Left { running: jobs.running, ..Left::default() };
    left.is_due = jobs.running > 0;
    for state in ["queued", "retrying"] {
        let mut cursor = None::<String>;
        loop {
            let mut query = vec![("state", state.to_owned()), ("limit", PAGE.to_owned())];
            query.extend(cursor.take().map(|cursor| ("cursor", cursor)));
            let page: JobsPage = shaped(&api.get("/api/jobs", &query).await?)?;
            let now = SystemClock.now();
            for job in page.jobs {
                if !routes.contains(job.route.as_str()) {
                    left.without_route += 1;
                    left.missing_routes.insert(job.route);
                } else if job.due_at.is_none_or(|due| due <= now) {
                    left.queued += 1;
                    left.is_due = true;
                } else {
                    left.retrying += 1;
                    left.next_due = left.next_due.into_iter().chain(job.due_at).min();
                }
            }
            if left.is_due && !all {
                return Ok(left);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(left)
}

#[derive(Deserialize)]
struct Stats {
    jobs: Jobs,
}

/// How many jobs are in which state.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Jobs {
    queued: u64,
    running: u64,
    retrying: u64,
    done: u64,
    dead: u64,
    discarded: u64,
}

impl Jobs {
    fn unsettled(self) -> u64 {
        self.queued + self.running + self.retrying
    }
}

impl fmt::Display for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { queued, running, retrying, done, dead, discarded } = self;
        write!(
            f,
            "{queued} queued, {running} running, {retrying} retrying, {done} done, {dead} dead, {discarded} discarded"
        )
    }
}

/// What a drained folder still holds.
#[derive(Debug, Default, Serialize)]
struct Left {
    /// Could run now.
    queued: u64,
    running: u64,
    /// To be tried again later.
    retrying: u64,
    /// When the first of these is due.
    next_due: Option<Timestamp>,
    /// Jobs of routes that the configuration does not have.
    without_route: u64,
    missing_routes: BTreeSet<String>,
    /// Ended as dead letters.
    dead: u64,
    #[serde(skip)]
    is_due: bool,
}

impl Left {
    fn is_empty(&self) -> bool {
        self.queued + self.running + self.retrying + self.without_route == 0
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            f.write_str("Nothing is left to run.")?;
        } else {
            write!(f, "Left: {} that could run, {} running", self.queued, self.running)?;
            if let Some(due) = self.next_due {
                write!(f, "; {} to be tried again, the first at {due} (--timeout waits)", self.retrying)?;
            }
            if self.without_route > 0 {
                let routes: Vec<_> = self.missing_routes.iter().map(|route| print::harmless(route)).collect();
                write!(
                    f,
                    "; {} of routes that are not configured: {}",
                    self.without_route,
                    routes.join(", ")
                )?;
            }
            f.write_str(".")?;
        }
        if self.dead > 0 {
            write!(f, "\n{} dead letters; `doorbell dead list` shows them.", self.dead)?;
        }
        Ok(())
    }
}
