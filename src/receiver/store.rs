//! The store that a receiver's settings ask for.

use std::sync::Arc;
#[cfg(feature = "redis")]
use std::time::Duration;

#[cfg(feature = "redis")]
use super::RedisQueue;
use super::{BuildError, Queue, Settings};
#[cfg(all(feature = "redis", feature = "cli"))]
use crate::journal::{Drained, Looking, drain_journals};
#[cfg(feature = "redis")]
use crate::journal::{LateDuplicate, OnDuplicate, Outbox, Redis, RelayOptions, Relayed};
use crate::{
    journal::{OpenError, Sqlite, SqliteOptions, Store},
    live::Live,
    metrics::Metrics,
};

/// A store, open.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// The place of the last delivery that this host took in before.
    pub(super) last_seq: u64,
    #[cfg(feature = "redis")]
    relay: Option<Arc<Relayed>>,
    #[cfg(feature = "redis")]
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "the admin API is who asks"))]
    redis: Option<Arc<Redis>>,
}

/// What is to be ended after everything that uses the store.
#[derive(Default)]
pub(super) struct Closing {
    #[cfg(feature = "redis")]
    relay: Option<(Arc<Relayed>, Duration)>,
}

impl Opened {
    /// Asks the shared queue what it can lose. `None`: there is none.
    #[cfg(feature = "admin")]
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_self, reason = "there is no Redis to ask"))]
    pub(super) fn ask_redis(&self) -> Option<crate::admin::AskRedis> {
        #[cfg(feature = "redis")]
        return self.redis.clone().map(|redis| -> crate::admin::AskRedis {
            Arc::new(move || {
                let redis = redis.clone();
                Box::pin(async move { serde_json::json!(redis.findings().await) })
            })
        });
        #[cfg(not(feature = "redis"))]
        None
    }

    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_self, reason = "only a relay has to be ended"))]
    pub(super) fn closing(&self, settings: &Settings) -> Closing {
        #[cfg(not(feature = "redis"))]
        let _ = settings;
        Closing {
            #[cfg(feature = "redis")]
            relay: self.relay.clone().map(|relay| (relay, settings.shutdown_grace)),
        }
    }
}

impl Closing {
    /// Moves what is left to the shared queue, as far as the grace allows.
    #[cfg_attr(not(feature = "redis"), expect(clippy::unused_async, reason = "there is nothing to wait for"))]
    pub(super) async fn close(self) {
        #[cfg(feature = "redis")]
        if let Some((relay, grace)) = self.relay {
            relay.end(grace).await;
        }
    }
}

/// Opens it.
pub(super) async fn open(settings: &Settings, metrics: &Metrics, live: &Live) -> Result<Opened, BuildError> {
    #[cfg(not(feature = "redis"))]
    let _ = (metrics, live);
    match &settings.queue {
        Queue::Embedded if settings.runs_jobs && !settings.takes_in => Err(BuildError::WorkerWithoutRedis),
        Queue::Embedded => {
            let (options, clock) = (journal_options(settings), settings.clock.clone());
            let sqlite = blocking(move || Sqlite::open(options, clock)).await?;
            Ok(Opened {
                last_seq: sqlite.last_seq(),
                store: Arc::new(sqlite),
                #[cfg(feature = "redis")]
                relay: None,
                #[cfg(feature = "redis")]
                redis: None,
            })
        }
        #[cfg(feature = "redis")]
        Queue::Redis(queue) if settings.takes_in => relayed(settings, queue, metrics, live).await,
        #[cfg(all(feature = "redis", feature = "cli"))]
        Queue::Redis(queue) if !settings.runs_jobs => looking(settings, queue).await,
        #[cfg(feature = "redis")]
        Queue::Redis(queue) => {
            // Nothing tells one worker's host from another's but the process itself.
            let host = random_host()?;
            let redis = shared(settings, queue, &host).await?;
            Ok(Opened { store: redis.clone(), last_seq: 0, relay: None, redis: Some(redis) })
        }
    }
}

/// How this process' journals are opened.
fn journal_options(settings: &Settings) -> SqliteOptions {
    SqliteOptions {
        max_size: settings.max_size,
        max_crashes: settings.max_crashes,
        lease: settings.lease,
        ..SqliteOptions::new(&settings.data_dir)
    }
}

async fn blocking<T: Send + 'static>(
    open: impl FnOnce() -> Result<T, OpenError> + Send + 'static,
) -> Result<T, OpenError> {
    match tokio::task::spawn_blocking(open).await {
        Ok(opened) => opened,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

#[cfg(feature = "redis")]
async fn relayed(
    settings: &Settings,
    queue: &RedisQueue,
    metrics: &Metrics,
    live: &Live,
) -> Result<Opened, BuildError> {
    let (options, clock) = (journal_options(settings), settings.clock.clone());
    let outbox = blocking(move || Outbox::open_free(options, clock)).await?;
    let last_seq = outbox.last_seq();
    // The slot's lock proves that no other process of this host lives.
    let redis = shared(settings, queue, outbox.host()).await?;
    let relay = Arc::new(Relayed::start(
        outbox,
        redis.clone(),
        relay_options(queue),
        journal_options(settings),
        settings.clock.clone(),
        on_duplicate(metrics, live),
    ));
    Ok(Opened { store: relay.clone(), last_seq, relay: Some(relay), redis: Some(redis) })
}

/// For whoever only looks: the shared queue, and what waits for it on this host while no service moves it.
#[cfg(all(feature = "redis", feature = "cli"))]
async fn looking(settings: &Settings, queue: &RedisQueue) -> Result<Opened, BuildError> {
    let redis = shared(settings, queue, &random_host()?).await?;
    let (shared, journal, clock) = (redis.clone(), journal_options(settings), settings.clock.clone());
    let store = Arc::new(blocking(move || Looking::open(shared, &journal, &clock)).await?);
    Ok(Opened { store, last_seq: 0, relay: None, redis: Some(redis) })
}

/// Moves what the data folder's journals hold to the shared queue, until nothing is left or the time is over.
#[cfg(all(feature = "redis", feature = "cli"))]
pub(super) async fn drain(
    settings: &Settings,
    queue: &RedisQueue,
    give_up_at: Option<std::time::Instant>,
    tell: impl FnMut(&Drained) + Send,
) -> Result<Drained, BuildError> {
    let redis = shared(settings, queue, &random_host()?).await?;
    let (options, journal) = (relay_options(queue), journal_options(settings));
    let on_duplicate = on_duplicate(&Metrics::new(), &Live::new());
    let drained =
        drain_journals(redis, options, journal, settings.clock.clone(), on_duplicate, give_up_at, tell);
    Ok(drained.await?)
}

#[cfg(feature = "redis")]
fn relay_options(queue: &RedisQueue) -> RelayOptions {
    RelayOptions { ack: queue.ack, keep: queue.keep, ..RelayOptions::default() }
}

#[cfg(feature = "redis")]
async fn shared(settings: &Settings, queue: &RedisQueue, host: &str) -> Result<Arc<Redis>, BuildError> {
    let mut options = queue.options.clone();
    options.lease = settings.lease;
    options.max_crashes = settings.max_crashes;
    let redis = Redis::open(options, settings.clock.clone(), host)
        .await
        .map_err(|error| BuildError::Redis(error.to_string()))?;
    let redis = Arc::new(redis);
    redis.log_findings();
    Ok(redis)
}

#[cfg(feature = "redis")]
fn random_host() -> Result<String, BuildError> {
    let number = getrandom::u64().map_err(|error| BuildError::Random(error.to_string()))?;
    Ok(format!("worker-{number:016x}"))
}

/// Counts what Redis recognises after it was acknowledged: until then it was taken for new.
#[cfg(feature = "redis")]
fn on_duplicate(metrics: &Metrics, live: &Live) -> OnDuplicate {
    let (metrics, live) = (metrics.clone(), live.clone());
    Arc::new(move |LateDuplicate { source, id, original }| {
        metrics.recognised_late(&source);
        live.tell(|| crate::live::LiveItem::Recognised { source: source.to_string(), id, original });
    })
}
