//! The receiver's side, as its admin API tells it.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use http::StatusCode;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::timeout_at;
use uuid::Uuid;

use super::timeline::{Step, Timeline};
use crate::{
    admin::view::DeliveryView,
    cli::{
        ApiError, Global,
        client::{Api, shaped},
        connect,
        feed::Feed,
    },
    clock::{self, Clock, SystemClock},
    delivery::JobId,
    journal::{DeliveryState, JobState},
};

/// Sees through the admin API what becomes of deliveries.
#[derive(Debug)]
pub(super) struct Watch {
    api: Api,
    /// `None` once the service has ended it.
    feed: Option<Feed>,
    /// How long attempts took, in microseconds, by job and number. The API's own times are in milliseconds.
    took: HashMap<(String, u64), u64>,
    /// The originals of deliveries that the shared queue found to be repeated, by the repetition's id.
    recognised: HashMap<String, Uuid>,
}

/// How long the feed may lag behind a reply.
const LAG: Duration = Duration::from_secs(2);
/// How often a delivery is looked at while nothing is heard of it.
const INTERVAL: Duration = Duration::from_millis(500);

impl Watch {
    /// Begins to watch: what happens from now on is seen.
    ///
    /// # Errors
    /// Why nothing can be seen, in words.
    pub(super) async fn start(global: &Global) -> Result<Self, String> {
        let api = connect::remote(global).await.map_err(|error| error.to_string())?;
        let feed = api.feed().await.map_err(|error| error.to_string())?;
        Ok(Self { api, feed: Some(feed), took: HashMap::new(), recognised: HashMap::new() })
    }

    /// What the receiver took a request for that it has answered: `accepted`, `duplicate`, `quarantined`, `test`; and
    /// the kinds of its events. `None` if it does not say.
    pub(super) async fn outcome(&mut self, delivery: Uuid) -> Option<(String, Vec<String>)> {
        let id = delivery.to_string();
        let until = clock::instant() + LAG;
        while let Some(item) = self.next(until).await {
            if item["type"] == "delivery" && item["id"] == id {
                let outcome = item["outcome"].as_str()?.to_owned();
                let kinds = item["kinds"].as_array().into_iter().flatten();
                return Some((outcome, kinds.filter_map(|kind| Some(kind.as_str()?.to_owned())).collect()));
            }
        }
        None
    }

    /// Why the receiver has just turned this body away: a short name, and a sentence.
    pub(super) async fn refusal(
        &self,
        source: Option<&str>,
        status: StatusCode,
        body: &[u8],
    ) -> Option<(String, String)> {
        let answer = self.api.get("/api/refused", &[]).await.ok()?;
        let digest = hex::encode(Sha256::digest(body));
        let is_it = |refused: &&Value| {
            // Where the body was not even read, the newest of the source (or of none: a wrong path) must do.
            let unread = status.is_client_error()
                && refused["digest"] == ""
                && [Some(""), source].contains(&refused["source"].as_str());
            refused["digest"] == digest || unread
        };
        let refused = answer["refused"].as_array()?.iter().find(is_it)?;
        Some((refused["reason"].as_str()?.to_owned(), refused["detail"].as_str()?.to_owned()))
    }

    /// Follows a delivery until all of its jobs have ended or the time is over. Whether everything was handled.
    ///
    /// In Redis mode it may turn out only after the reply that another host has it already: then it is forgotten, and
    /// its original is followed.
    pub(super) async fn follow(
        &mut self,
        delivery: Uuid,
        until: Instant,
        timeline: &Timeline,
    ) -> Result<bool, ApiError> {
        let mut id = delivery.to_string();
        let mut told = HashSet::new();
        loop {
            let answer = self.api.get(&format!("/api/deliveries/{id}"), &[]).await;
            if matches!(answer, Err(ApiError::Problem { status: 404, .. })) {
                let soon = until.min(clock::instant() + LAG);
                while !self.recognised.contains_key(&id) && self.next(soon).await.is_some() {}
            }
            if let Some(original) = self.recognised.remove(&id) {
                timeline.step(&Step::Deduped { duplicate: true, original: Some(original) })?;
                id = original.to_string();
                continue;
            }
            let view: DeliveryView = shaped(&answer?)?;
            let late = is_hopeless(&view, until);
            self.tell_attempts(&view, &mut told, timeline)?;
            match view.summary.state {
                DeliveryState::Test => return timeline.step(&Step::Test).map(|()| true),
                DeliveryState::Quarantined => {
                    let reason = view.summary.reason.as_deref().unwrap_or("it can't be read");
                    return timeline.step(&Step::Quarantined { reason }).map(|()| false);
                }
                DeliveryState::Accepted => {}
            }
            if late || view.summary.jobs.iter().all(|job| has_ended(job.state)) {
                return tell_end(&view, timeline);
            }
            let look_again = until.min(clock::instant() + INTERVAL);
            while let Some(item) = self.next(look_again).await {
                let is_attempt = item["type"] == "attempt" && item["delivery_id"] == *id;
                if is_attempt || self.recognised.contains_key(&id) {
                    break;
                }
            }
        }
    }

    fn tell_attempts(
        &self,
        view: &DeliveryView,
        told: &mut HashSet<(JobId, u32, u32)>,
        timeline: &Timeline,
    ) -> Result<(), ApiError> {
        for attempt in &view.attempts {
            if !told.insert((attempt.job_id, attempt.replay, attempt.number)) {
                continue;
            }
            let (route, number) = (attempt.route.as_str(), u64::from(attempt.number));
            let error = attempt.error.as_deref().unwrap_or("no reason given");
            let exactly = self.took.get(&(attempt.job_id.to_string(), number));
            let took = exactly.map_or_else(
                || attempt.finished_at.since(attempt.started_at),
                |micros| Duration::from_micros(*micros),
            );
            timeline.step(&match attempt.outcome.as_str() {
                "done" => Step::Handled { route, attempt: number, ms: took.into() },
                "retry" | "crashed" => {
                    let job = view.summary.jobs.iter().find(|job| job.id == attempt.job_id);
                    let due_at = job.filter(|job| job.attempts == attempt.number).and_then(|job| job.due_at);
                    Step::Retrying { route, attempt: number, error, due_at }
                }
                outcome => Step::NotHandled { route, attempt: number, outcome, error },
            })?;
        }
        Ok(())
    }

    /// The next thing that happens; `None` when the time is over.
    async fn next(&mut self, until: Instant) -> Option<Value> {
        let Some(feed) = &mut self.feed else {
            tokio::time::sleep_until(until.into()).await;
            return None;
        };
        match timeout_at(until.into(), feed.next()).await {
            Err(_) => None,
            Ok(Ok(Some(item))) => {
                self.note(&item);
                Some(item)
            }
            Ok(Ok(None) | Err(_)) => {
                // The service has ended it; what can be asked for is still there.
                self.feed = None;
                None
            }
        }
    }

    /// Keeps what may be asked for later.
    fn note(&mut self, item: &Value) {
        let Some(id) = item["id"].as_str() else { return };
        if item["type"] == "attempt" {
            let (number, took) = (item["number"].as_u64(), item["took_micros"].as_u64());
            self.took.extend(number.zip(took).map(|(number, took)| ((id.to_owned(), number), took)));
        }
        if item["type"] == "recognised" {
            let original = item["original"].as_str().and_then(|original| original.parse().ok());
            self.recognised.extend(original.map(|original| (id.to_owned(), original)));
        }
    }
}

/// Whether nothing more can happen by then: the time is over, or all that is left is to be tried again later.
fn is_hopeless(view: &DeliveryView, until: Instant) -> bool {
    let left = until.saturating_duration_since(clock::instant());
    let over = SystemClock.now().plus(left);
    let mut open = view.summary.jobs.iter().filter(|job| !has_ended(job.state)).peekable();
    let any = open.peek().is_some();
    left.is_zero() || any && open.all(|job| job.state == JobState::Retrying && job.due_at > Some(over))
}

const fn has_ended(state: JobState) -> bool {
    matches!(state, JobState::Done | JobState::Dead | JobState::Discarded)
}

fn tell_end(view: &DeliveryView, timeline: &Timeline) -> Result<bool, ApiError> {
    let unrouted = view.summary.events.iter().filter(|event| event.unrouted);
    for event in unrouted.clone() {
        timeline.step(&Step::Unrouted { kind: &event.kind })?;
    }
    let open = view.summary.jobs.iter().filter(|job| !has_ended(job.state));
    for job in open {
        timeline.step(&Step::Unsettled { route: &job.route, state: job.state.as_str() })?;
    }
    let all_done = view.summary.jobs.iter().all(|job| job.state == JobState::Done);
    Ok(all_done && unrouted.count() == 0)
}
