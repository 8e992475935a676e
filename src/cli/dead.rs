//! `doorbell dead`: dead letters.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    client::{Api, ApiError, shaped},
    conditions::{self, Conditions},
    output::{Output, line, table},
    replay::{self, counted},
};
use crate::{
    admin::view::{DeliveryView, JobsPage},
    delivery::JobId,
    journal::JobState,
};

/// List, replay or discard dead letters: jobs that were given up after their last attempt
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    pub(crate) command: DeadCommand,
}

/// What to do with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DeadCommand {
    /// List them, those of the newest deliveries first
    List {
        #[command(flatten)]
        conditions: Conditions,
        /// At most this many
        #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// Queue them again
    Replay(Which),
    /// Give them up for good
    Discard(Which),
}

/// Which dead letters.
#[derive(Debug, Clone, Args)]
pub(crate) struct Which {
    /// Ids of jobs, or of the deliveries or events whose dead jobs are meant
    #[arg(required_unless_present = "all", conflicts_with_all = ["all", "Conditions"])]
    pub(crate) ids: Vec<Uuid>,
    /// All of them that fulfil the conditions
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) conditions: Conditions,
}

/// How many jobs are discarded at once, so that they share the store's commits.
const AT_ONCE: usize = 16;

/// Does it.
pub(crate) async fn run(args: DeadArgs, api: &Api, out: Output) -> Result<ExitCode, ApiError> {
    match args.command {
        DeadCommand::List { conditions, limit } => {
            let page = dead(api, &conditions, limit as usize).await?;
            out.answer(&page, text)?;
            Ok(ExitCode::SUCCESS)
        }
        DeadCommand::Replay(which) if which.all => {
            let answer = replay::by_condition(api, &which.conditions, Some("dead".to_owned())).await?;
            out.answer(&answer, replay::text)?;
            Ok(ExitCode::SUCCESS)
        }
        DeadCommand::Replay(which) => {
            let mut done = replay::Tally::default();
            for id in which.ids {
                match dead_of(api, id).await {
                    Ok(jobs) => {
                        for job in jobs {
                            done.add(id, api.post(&format!("/api/jobs/{job}/replay"), &[], None).await)?;
                        }
                    }
                    Err(error) => done.add(id, Err(error))?,
                }
            }
            done.print(out)
        }
        DeadCommand::Discard(which) => discard(which, api, out).await,
    }
}

async fn dead(api: &Api, conditions: &Conditions, limit: usize) -> Result<Value, ApiError> {
    let mut query = conditions.to_query();
    query.push(("state", "dead".to_owned()));
    conditions::gather(api, "jobs", &query, limit).await
}

/// The dead jobs that an id means.
async fn dead_of(api: &Api, id: Uuid) -> Result<Vec<JobId>, ApiError> {
    let delivery: DeliveryView = shaped(&api.get(&format!("/api/deliveries/{id}"), &[]).await?)?;
    let meant = |delivery: Uuid, event: Uuid, job: Uuid| [delivery, event, job].contains(&id);
    let jobs: Vec<_> = delivery
        .summary
        .jobs
        .iter()
        .filter(|job| job.state == JobState::Dead)
        .filter(|job| meant(job.delivery_id.into(), job.event_id.into(), job.id.into()))
        .map(|job| job.id)
        .collect();
    if jobs.is_empty() {
        return Err(ApiError::Problem {
            status: 409,
            detail: format!("{id} is no dead letter and has none"),
        });
    }
    Ok(jobs)
}

async fn discard(which: Which, api: &Api, out: Output) -> Result<ExitCode, ApiError> {
    let mut done = Discarded::default();
    if which.all {
        done.add_all(api, &which.conditions).await?;
    }
    for id in which.ids {
        match dead_of(api, id).await {
            Ok(jobs) => done.add(api, jobs).await?,
            Err(error) if error.is_of_this_request() => done.failed.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    let Discarded { discarded, failed } = done;
    out.answer(&json!({ "discarded": discarded, "failed": failed }), |_| {
        Ok(format!("Discarded {}.\n", counted(discarded, "job", "jobs")))
    })?;
    for detail in &failed {
        eprintln!("doorbell: {detail}");
    }
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}

#[derive(Debug, Default)]
struct Discarded {
    discarded: usize,
    /// Why some could not be.
    failed: Vec<String>,
}

impl Discarded {
    /// Page by page: there may be more of them than fit into memory.
    async fn add_all(&mut self, api: &Api, conditions: &Conditions) -> Result<(), ApiError> {
        let mut cursor = None;
        loop {
            let mut query = conditions.to_query();
            query.extend([("state", "dead".to_owned()), ("limit", "500".to_owned())]);
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: JobsPage = shaped(&api.get("/api/jobs", &query).await?)?;
            self.add(api, page.jobs.into_iter().map(|job| job.id)).await?;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn add(&mut self, api: &Api, jobs: impl IntoIterator<Item = JobId>) -> Result<(), ApiError> {
        let mut steps = stream::iter(jobs)
            .map(|job| async move { api.post(&format!("/api/jobs/{job}/discard"), &[], None).await })
            .buffer_unordered(AT_ONCE);
        while let Some(step) = steps.next().await {
            match step {
                Ok(_) => self.discarded += 1,
                Err(error) if error.is_of_this_request() => self.failed.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

pub(super) fn text(page: &Value) -> Result<String, ApiError> {
    let page: JobsPage = shaped(page)?;
    if page.jobs.is_empty() {
        return Ok("No dead letters.\n".to_owned());
    }
    let rows: Vec<_> = page
        .jobs
        .into_iter()
        .map(|job| {
            [
                job.finished_at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
                job.id.to_string(),
                job.route,
                job.kind,
                job.attempts.to_string(),
                job.error.unwrap_or_default(),
            ]
        })
        .collect();
    let mut text = table(["DIED", "JOB", "ROUTE", "KIND", "ATTEMPTS", "ERROR"], &rows);
    if page.next.is_some() {
        line(&mut text, "There are more; see --limit.");
    }
    Ok(text)
}
