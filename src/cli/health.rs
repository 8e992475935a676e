//! `doorbell health`: whether the running service is ready, for health checks where there is no curl.

use std::{fmt, process::ExitCode, time::Duration};

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::{
    DONE, FAILED, Failure, Global,
    client::{Api, innermost},
    print,
};

/// What `doorbell health` takes.
#[derive(Debug, Args)]
pub(super) struct HealthArgs {
    /// Only ask whether the process answers at all, ready or not
    #[arg(long)]
    live: bool,
    /// How long to wait for the answer
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(super) async fn run(args: &HealthArgs, global: &Global) -> Result<ExitCode, Failure> {
    let mut url = match &global.url {
        Some(url) => url.clone(),
        None => own_url(global)?,
    };
    let path = if args.live { "livez" } else { "readyz" };
    url.set_path(&format!("{}/{path}", url.path().trim_end_matches('/')));
    let no_answer = |error: &reqwest::Error| {
        let why = if error.is_timeout() {
            format!("nothing came within {}", humantime::format_duration(args.timeout))
        } else {
            innermost(error)
        };
        Failure::Failed(format!(
            "no answer from {url}: {why}; is the service running, and is --url its admin listener?"
        ))
    };
    crate::tls::choose_provider();
    let client = reqwest::Client::builder()
        .timeout(args.timeout)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .build()
        .map_err(|error| no_answer(&error))?;
    let response = client.get(url.clone()).send().await.map_err(|error| no_answer(&error))?;
    let status = response.status();
    let body = response.bytes().await.map_err(|error| no_answer(&error))?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(word) = body["status"].as_str() else {
        return Err(Failure::Failed(format!(
            "{url} does not answer like the admin listener (status {status}); is --url the admin listener?"
        )));
    };
    print::value(global.json, &Health { status: print::harmless(word) })?;
    Ok(ExitCode::from(if status.is_success() { DONE } else { FAILED }))
}

/// What the service says of itself: alive, ready, degraded, draining or unavailable.
#[derive(Serialize)]
struct Health {
    status: String,
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.status)
    }
}

/// The admin listener of the configured service, as reached from this machine.
fn own_url(global: &Global) -> Result<reqwest::Url, Failure> {
    let url = Api::url_of(global.preview()?.config.admin.listen);
    url.parse().map_err(|error| Failure::Failed(format!("{url} can't be called: {error}")))
}
