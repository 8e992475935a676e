//! What a Redis can lose, and what to set against it: asked of the servers, judged, said in plain words.

mod judge;
#[cfg(all(test, feature = "cli"))]
mod tests;
mod told;

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::join_all;
use redis::{Cmd, Value, cmd};
use serde::Serialize;
use tokio::time::timeout;

use self::{
    judge::judge,
    told::{Told, pairs},
};
use super::{
    Pauses, Redis, RedisOptions, answer,
    link::{Link, LinkError},
};

/// One thing that was found out about a Redis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RedisFinding {
    pub(crate) level: Severity,
    /// The setting or the part of Redis that it is about.
    pub(crate) subject: String,
    /// What would be lost when, and how to mend it.
    pub(crate) text: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Jobs are lost or can't move in normal operation.
    Error,
    /// A failure costs more than it has to, or it can't be seen what it costs.
    Warning,
    /// What holds.
    Info,
}

/// How long looking may take in all.
const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(feature = "cli")]
impl RedisOptions {
    /// Looks at the Redis that they name, over connections of its own. One that can't be asked is a finding, too.
    pub(crate) async fn findings(&self) -> Vec<RedisFinding> {
        let mut options = self.clone();
        options.address.timeout = PATIENCE;
        match Link::new(&options.address) {
            Ok(link) => or_say_why(bounded(survey(&link, &options)).await),
            Err(wrong) => {
                let text = format!("Redis can't be asked with these settings: {wrong}");
                vec![finding(Severity::Error, "url", text)]
            }
        }
    }
}

impl Redis {
    /// Looks at this Redis. One that can't be asked is a finding, too.
    pub(crate) async fn findings(&self) -> Vec<RedisFinding> {
        or_say_why(bounded(survey(&self.core.link, &self.core.options)).await)
    }

    /// Logs what this Redis can lose, once, as soon as it can be asked.
    pub(crate) fn log_findings(self: &Arc<Self>) {
        let redis = Arc::downgrade(self);
        tokio::spawn(log_findings(redis));
    }
}

async fn log_findings(redis: Weak<Redis>) {
    let mut pauses = Pauses::default();
    loop {
        // Nobody waits for this: it must not keep a store open that is closed.
        let Some(open) = redis.upgrade() else { return };
        let surveyed = bounded(survey(&open.core.link, &open.core.options)).await;
        drop(open);
        match surveyed {
            Ok(findings) => return findings.iter().for_each(log),
            // That Redis is away, others say.
            Err(_) => pauses.pause().await,
        }
    }
}

fn log(RedisFinding { level, subject, text }: &RedisFinding) {
    match level {
        Severity::Error => tracing::error!("Redis, {subject}: {text}"),
        Severity::Warning => tracing::warn!("Redis, {subject}: {text}"),
        Severity::Info => tracing::debug!("Redis, {subject}: {text}"),
    }
}

async fn bounded<T>(survey: impl Future<Output = Result<T, LinkError>>) -> Result<T, LinkError> {
    timeout(PATIENCE, survey)
        .await
        .unwrap_or_else(|_| Err(LinkError::Away(format!("no answer within {} s", PATIENCE.as_secs()))))
}

fn or_say_why(surveyed: Result<Vec<RedisFinding>, LinkError>) -> Vec<RedisFinding> {
    surveyed.unwrap_or_else(|why| {
        let text = format!(
            "it can't be asked what it would lose ({why}). Deliveries are acknowledged all the same and wait in the \
             journals; their jobs run when it is back"
        );
        vec![finding(Severity::Warning, "connection", text)]
    })
}

fn finding(level: Severity, subject: impl Into<String>, text: impl Into<String>) -> RedisFinding {
    RedisFinding { level, subject: subject.into(), text: text.into() }
}

/// Asks the server of every lane, each server once, and judges what they tell. The worst comes first.
async fn survey(link: &Link, options: &RedisOptions) -> Result<Vec<RedisFinding>, LinkError> {
    let mut servers: Vec<(Vec<u32>, Told)> = Vec::new();
    let lanes = options.lanes_of_all_servers();
    let infos = join_all((0..lanes).map(|lane| text(link, lane, cmd("INFO")))).await;
    for (lane, info) in (0..).zip(infos) {
        let told = Told::new(&info?);
        match servers.iter_mut().find(|(_, known)| known.is_same_server(&told)) {
            Some((lanes, _)) => lanes.push(lane),
            None => servers.push((vec![lane], told)),
        }
    }
    join_all(servers.iter_mut().map(|(lanes, told)| ask_more(link, lanes[0], told))).await;
    let mut findings: Vec<(RedisFinding, Vec<u32>)> = Vec::new();
    for (lanes, told) in &servers {
        for found in judge(options, told) {
            match findings.iter_mut().find(|(known, _)| *known == found) {
                Some((_, of)) => of.extend(lanes),
                None => findings.push((found, lanes.clone())),
            }
        }
    }
    let mut findings: Vec<_> = findings
        .into_iter()
        .map(|(mut found, of)| {
            if of.len() < lanes as usize {
                found.subject = format!("{} ({})", found.subject, name_lanes(of));
            }
            found
        })
        .collect();
    findings.sort_by_key(|found| found.level);
    Ok(findings)
}

fn name_lanes(mut lanes: Vec<u32>) -> String {
    lanes.sort_unstable();
    let lanes: Vec<_> = lanes.iter().map(ToString::to_string).collect();
    format!("lanes {}", lanes.join(", "))
}

/// What an access list or a provider may forbid.
async fn ask_more(link: &Link, lane: u32, told: &mut Told) {
    let mut settings = cmd("CONFIG");
    settings.arg("GET").arg(&told::SETTINGS);
    told.settings = match link.command(lane, &settings).await {
        Ok(answer) => pairs(answer).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    if told.is_cluster() {
        let mut cluster = cmd("CLUSTER");
        cluster.arg("INFO");
        told.cluster = Some(text(link, lane, cluster).await.map_err(|error| error.to_string()));
    }
}

async fn text(link: &Link, lane: u32, command: Cmd) -> Result<String, LinkError> {
    match link.command(lane, &command).await? {
        Value::VerbatimString { text, .. } => Ok(text),
        other => answer::text(other),
    }
}

/// The lines of an answer such as INFO's: `key:value`.
fn lines(text: &str) -> HashMap<String, String> {
    text.lines()
        .filter_map(|line| line.trim_end().split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
