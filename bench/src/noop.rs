//! What the no-op handler notes, and the small listener that tells it.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{Json, Router, extract::State, routing};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::{clock, load::Latency};

/// Where the receiver works.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The data folder.
    #[arg(long)]
    pub(crate) data: PathBuf,
    /// Where deliveries go.
    #[arg(long)]
    pub(crate) ingress: SocketAddr,
    /// Where the tally is told.
    #[arg(long)]
    pub(crate) control: SocketAddr,
    /// The Redis on which the queue is; without it, the queue is embedded.
    #[arg(long)]
    pub(crate) redis: Option<String>,
    /// Over how many lanes that queue is spread.
    #[arg(long, default_value_t = 1, requires = "redis")]
    pub(crate) lanes: u32,
    /// Only handle jobs, and take nothing in.
    #[arg(long, requires = "redis")]
    pub(crate) worker: bool,
}

impl Options {
    /// How many jobs run at once. A slot that is free waits for as long as a claim takes to Redis and back, so handlers that
    /// take no time need more of them there than the default.
    #[cfg(feature = "receiver")]
    pub(crate) fn slots(&self) -> usize {
        if self.redis.is_some() { 256 } else { 64 }
    }
}

/// What has been handled so far.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// How many jobs the handler was started for.
    pub(crate) handled: u64,
    /// When the handler was first started, in microseconds since 1970 began.
    pub(crate) first: u64,
    /// When it was latest started, the same.
    pub(crate) latest: u64,
    /// From a delivery's `received_at` to the start of the handler. `received_at` is in whole milliseconds, rounded
    /// down, so this errs by up to 1 ms, upwards.
    pub(crate) wait: Latency,
    /// How old the oldest job was at the mark, of those started after it, in seconds. Zero without such a job.
    pub(crate) oldest_at_mark: f64,
}

impl Tally {
    /// Jobs a second, from the first to the latest.
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    pub(crate) fn per_second(&self) -> f64 {
        self.handled.saturating_sub(1) as f64 / self.seconds().max(1e-6)
    }

    /// What part of so many jobs has been started.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub(crate) fn share_of(&self, jobs: u64) -> f64 {
        self.handled as f64 / jobs.max(1) as f64
    }

    /// From the first start of the handler to the latest, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "spans far below 2^52 microseconds")]
    fn seconds(&self) -> f64 {
        self.latest.saturating_sub(self.first) as f64 / 1e6
    }

    /// What several processes have handled between them. How long jobs waited is not told together.
    pub(crate) fn together(tallies: &[Self]) -> Self {
        let at_work = || tallies.iter().filter(|tally| tally.handled > 0);
        Self {
            handled: tallies.iter().map(|tally| tally.handled).sum(),
            first: at_work().map(|tally| tally.first).min().unwrap_or(0),
            latest: at_work().map(|tally| tally.latest).max().unwrap_or(0),
            wait: Latency::default(),
            oldest_at_mark: tallies.iter().map(|tally| tally.oldest_at_mark).fold(0.0, f64::max),
        }
    }
}

/// What the handler writes to. Cheap to clone.
#[derive(Clone)]
#[cfg_attr(
    not(any(feature = "receiver", feature = "peer")),
    allow(dead_code, reason = "only a handler writes")
)]
pub(crate) struct Recorder(Arc<Mutex<Record>>);

/// All times are microseconds since 1970 began.
struct Record {
    handled: u64,
    first: u64,
    latest: u64,
    wait: Histogram<u64>,
    mark: u64,
    oldest_at_mark: u64,
}

#[cfg_attr(
    not(any(feature = "receiver", feature = "peer")),
    allow(dead_code, reason = "only a handler writes")
)]
impl Recorder {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let wait = Histogram::new(3)?;
        Ok(Self(Arc::new(Mutex::new(Record {
            handled: 0,
            first: 0,
            latest: 0,
            wait,
            mark: 0,
            oldest_at_mark: 0,
        }))))
    }

    /// Notes that the handler was started now for a delivery of this time (milliseconds since 1970 began).
    pub(crate) fn started(&self, received_at: i64) {
        let received_at = u64::try_from(received_at).unwrap_or_default().saturating_mul(1000);
        self.lock().started(received_at, now());
    }

    /// The listener's routes: `GET /tally`, `POST /mark`.
    pub(crate) fn routes(self) -> Router {
        let tally = |State(recorder): State<Self>| async move { Json(recorder.lock().tally()) };
        let mark = |State(recorder): State<Self>| async move {
            let mut record = recorder.lock();
            (record.mark, record.oldest_at_mark) = (now(), 0);
            Json(record.tally())
        };
        Router::new()
            .route("/tally", routing::get(tally))
            .route("/mark", routing::post(mark))
            .with_state(self)
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Record {
    fn started(&mut self, received_at: u64, now: u64) {
        if self.handled == 0 {
            self.first = now;
        }
        self.handled += 1;
        self.latest = self.latest.max(now);
        // The histogram grows with its values, so recording cannot fail.
        let _ = self.wait.record(now.saturating_sub(received_at));
        self.oldest_at_mark = self.oldest_at_mark.max(self.mark.saturating_sub(received_at));
    }

    #[expect(clippy::cast_precision_loss, reason = "spans far below 2^52 microseconds")]
    fn tally(&self) -> Tally {
        Tally {
            handled: self.handled,
            first: self.first,
            latest: self.latest,
            wait: Latency::of(&self.wait),
            oldest_at_mark: self.oldest_at_mark as f64 / 1e6,
        }
    }
}

fn now() -> u64 {
    u64::try_from(clock::since_epoch().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_at_the_mark_is_as_old_as_its_oldest_job() {
        let recorder = Recorder::new().unwrap();
        let mut record = recorder.lock();
        record.started(1_000_000, 9_000_000);
        record.mark = 10_000_000;
        record.started(9_700_000, 10_001_000);
        record.started(9_400_000, 10_002_000);
        // Came after the mark.
        record.started(10_500_000, 10_501_000);
        let tally = record.tally();
        assert_eq!(tally.handled, 4);
        assert!((tally.oldest_at_mark - 0.6).abs() < 1e-9, "{tally:?}");
        assert!((tally.seconds() - 1.501).abs() < 1e-9, "{tally:?}");
    }

    #[test]
    fn processes_that_handled_nothing_move_no_time() {
        let tally = |handled, first, latest| Tally {
            handled,
            first,
            latest,
            wait: Latency::default(),
            oldest_at_mark: 0.0,
        };
        let both = Tally::together(&[
            tally(0, 0, 0),
            tally(600, 5_000_000, 7_000_000),
            tally(401, 6_000_000, 7_500_000),
        ]);
        assert_eq!((both.handled, both.first, both.latest), (1001, 5_000_000, 7_500_000));
        assert!((both.per_second() - 400.0).abs() < 1e-9, "{both:?}");
    }
}
