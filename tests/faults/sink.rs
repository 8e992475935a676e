//! The target: an HTTP server that writes down every effect.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::PATIENCE;

pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    log: Arc<Log>,
    server: JoinHandle<()>,
}

struct Log {
    effects: Mutex<Vec<Effect>>,
    count: watch::Sender<usize>,
    /// Whether replies are held back.
    holds: watch::Sender<bool>,
}

/// One request to the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The number of the sender's object: which delivery it was.
    pub(crate) object: u64,
    /// The job's id.
    pub(crate) job: String,
    pub(crate) attempt: u32,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Log {
            effects: Mutex::default(),
            count: watch::Sender::new(0),
            holds: watch::Sender::new(false),
        });
        let router = Router::new().route("/", post(take)).with_state(log.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, log, server }
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.log.effects.lock().unwrap().clone()
    }

    /// From now on effects are written down and not answered; or they are, those held back too.
    pub(crate) fn hold(&self, hold: bool) {
        self.log.holds.send_replace(hold);
    }

    /// The objects that took effect.
    pub(crate) fn objects(&self) -> BTreeSet<u64> {
        self.effects().into_iter().map(|effect| effect.object).collect()
    }

    /// Waits until all of these objects have taken effect.
    pub(crate) async fn has(&self, objects: &BTreeSet<u64>) {
        let mut count = self.log.count.subscribe();
        let all = async {
            while !objects.is_subset(&self.objects()) {
                count.changed().await.unwrap();
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            let lost: Vec<_> = objects.difference(&self.objects()).copied().take(20).collect();
            panic!("acknowledged and never handled, among others: {lost:?}");
        }
    }

    /// Asserts that every object had one job, and gives back how often each took effect.
    pub(crate) fn times(&self) -> BTreeMap<u64, usize> {
        let (mut jobs, mut times) = (BTreeMap::new(), BTreeMap::new());
        for Effect { object, job, .. } in self.effects() {
            assert_eq!(jobs.entry(object).or_insert(job.clone()), &job, "object {object} became two jobs");
            *times.entry(object).or_default() += 1;
        }
        times
    }

    /// Asserts that every object had one job, that no attempt took effect twice, and gives back the jobs that took
    /// effect more than once, with how often.
    pub(crate) fn repeated(&self) -> BTreeMap<String, usize> {
        let effects = self.effects();
        let mut jobs = BTreeMap::new();
        let mut attempts = BTreeMap::<_, Vec<_>>::new();
        for effect in &effects {
            let job = jobs.entry(effect.object).or_insert(&effect.job);
            assert_eq!(*job, &effect.job, "object {} became two jobs", effect.object);
            attempts.entry(effect.job.clone()).or_default().push(effect.attempt);
        }
        attempts
            .into_iter()
            .filter(|(_, attempts)| attempts.len() > 1)
            .map(|(job, mut attempts)| {
                let times = attempts.len();
                attempts.sort_unstable();
                attempts.dedup();
                assert_eq!(attempts.len(), times, "job {job} took effect twice in one attempt");
                assert!(attempts.last().is_some_and(|last| *last >= 2), "job {job} says no second attempt");
                (job, times)
            })
            .collect()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Poster says the number itself; at Kladana's it ends the address of what has changed.
fn object_of(body: &serde_json::Value) -> u64 {
    body["object_id"].as_u64().unwrap_or_else(|| {
        let href = body["events"][0]["meta"]["href"].as_str().unwrap();
        u64::from_str_radix(href.rsplit('-').next().unwrap(), 16).unwrap()
    })
}

async fn take(State(log): State<Arc<Log>>, headers: HeaderMap, body: Bytes) {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let effect = Effect {
        object: object_of(&body),
        job: text("webhook-id"),
        attempt: text("doorbell-attempt").parse().unwrap(),
    };
    {
        let mut effects = log.effects.lock().unwrap();
        effects.push(effect);
        log.count.send_replace(effects.len());
    }
    // An error means that the sink is gone.
    let _ = log.holds.subscribe().wait_for(|holds| !holds).await;
}
