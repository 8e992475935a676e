//! Jobs added to a Redis stream, for consumers in any language.

#[cfg(test)]
mod tests;

use std::{
    fmt,
    num::{NonZeroU64, NonZeroUsize},
    sync::Arc,
    time::Duration,
};

use super::{BreakerSettings, TargetError, cloudevents, gate::Gate};
use crate::{
    clock::{Clock, instant},
    handler::{Capacity, Handler, HandlerError, Job},
    journal::{RedisAddress, StreamLimit, Streams},
};

/// A Redis stream that takes jobs.
///
/// Each attempt is one `XADD`, its fields as [the contract](super#the-contract-with-consumers) says. The job is done when
/// Redis has answered with the entry's id. An answer that does not come leaves it open whether there is an entry: the job
/// is tried again by the route's schedule, and consumers know a second one by its `webhook-id`. Within one attempt, nothing
/// is sent twice.
///
/// The stream is in the queue's own Redis, or in the one that [`at`](Self::at) names. The name is configured; nothing of a
/// job has a part in it. The user that the URL names needs `+xadd` on that key. In a Cluster, a stream is on one node.
///
/// **Nothing is removed from the stream unless you say so.** Consumers remove what they have read (`XDEL`, `XTRIM`).
/// Where they don't, Redis is full one day, if it has a `maxmemory` with `noeviction`: then it refuses entries, and jobs wait in the queue,
/// nothing being lost. [`max_length`](Self::max_length) and [`max_age`](Self::max_age) remove what is old, *whether or not
/// anybody has read it*: choose them so that a consumer that is down over a weekend still finds all.
///
/// In the queue's own Redis (unless that is a Cluster) an entry is written before its job is done, in the same history: a
/// failover that loses the entry also loses the end of the job, which then runs again. A Redis of its own keeps an entry
/// as safe as its own settings say (`appendonly yes`, `appendfsync always`, `min-replicas-to-write`).
///
/// The target is left alone while its [breaker](BreakerSettings) is open: its jobs stay in the queue, at no cost to their
/// attempts and to other routes. Every failure counts against it (no answer, no memory, no right, a key of another type),
/// because each would befall the next job, too.
///
/// ```
/// use doorbell::{RedisAddress, target::RedisStreamTarget};
///
/// let target = RedisStreamTarget::new("orders")?.at(RedisAddress::new(["redis://127.0.0.1:6379"]));
/// # Ok::<_, doorbell::target::TargetError>(())
/// ```
#[derive(Clone)]
pub struct RedisStreamTarget {
    stream: String,
    address: Option<RedisAddress>,
    limit: Option<Limit>,
    concurrency: NonZeroUsize,
    breaker: BreakerSettings,
}

#[derive(Debug, Clone, Copy)]
enum Limit {
    Length(NonZeroU64),
    Age(Duration),
}

impl RedisStreamTarget {
    /// Adds jobs to the stream of this name. A name may hold a hash tag (`{shop}:orders`), which decides its place in a
    /// Cluster.
    ///
    /// # Errors
    /// The name is empty, holds control characters, or is one of the queue's own (`{doorbell:…`).
    pub fn new(stream: impl Into<String>) -> Result<Self, TargetError> {
        let stream = stream.into();
        let wrong = if stream.is_empty() {
            Some("it is empty")
        } else if stream.chars().any(char::is_control) {
            Some("it holds control characters")
        } else if stream.starts_with("{doorbell:") {
            Some("the keys that begin with {doorbell: are the queue's own")
        } else {
            None
        };
        if let Some(reason) = wrong {
            return Err(TargetError::Stream { shown: stream, reason });
        }
        Ok(Self {
            stream,
            address: None,
            limit: None,
            concurrency: NonZeroUsize::MIN.saturating_add(31),
            breaker: BreakerSettings::default(),
        })
    }

    /// The Redis that has the stream; the queue's own where nothing is said.
    pub fn at(mut self, redis: RedisAddress) -> Self {
        self.address = Some(redis);
        self
    }

    /// Keeps about so many entries and removes the oldest beyond them, read or not (`MAXLEN ~`): Redis removes in blocks,
    /// of 100 by default, so there may be somewhat more. In the place of a [`max_age`](Self::max_age).
    pub fn max_length(mut self, entries: NonZeroU64) -> Self {
        self.limit = Some(Limit::Length(entries));
        self
    }

    /// Keeps entries for about this long and then removes them, read or not (`MINID ~`), when others are added. By this
    /// machine's clock, while the entries carry Redis' time. In the place of a [`max_length`](Self::max_length).
    pub fn max_age(mut self, age: Duration) -> Self {
        self.limit = Some(Limit::Age(age));
        self
    }

    /// How many jobs may be under way at once; 32 by default. They share one connection.
    pub fn concurrency(mut self, jobs: NonZeroUsize) -> Self {
        self.concurrency = jobs;
        self
    }

    /// When the Redis counts as dead.
    pub fn breaker(mut self, settings: BreakerSettings) -> Self {
        self.breaker = settings;
        self
    }

    /// The handler that writes to the target's own Redis, or else to the queue's, by this clock.
    pub(super) fn into_handler(
        self,
        queue: Option<&Arc<Streams>>,
        clock: Arc<dyn Clock>,
    ) -> Result<RedisStreamHandler, TargetError> {
        let streams = match (&self.address, queue) {
            (Some(address), _) => Streams::new(address)
                .map_err(|reason| TargetError::Redis { stream: self.stream.clone(), reason })?
                .into(),
            (None, Some(queue)) => queue.clone(),
            (None, None) => return Err(TargetError::NoRedis { stream: self.stream }),
        };
        Ok(RedisStreamHandler {
            gate: Arc::new(Gate::new(self.concurrency, None, self.breaker)),
            stream: self.stream,
            limit: self.limit,
            streams,
            clock,
        })
    }
}

impl fmt::Debug for RedisStreamTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RedisStreamTarget").field(&self.stream).finish()
    }
}

/// A [`RedisStreamTarget`] with its way to Redis.
pub(super) struct RedisStreamHandler {
    stream: String,
    limit: Option<Limit>,
    gate: Arc<Gate>,
    streams: Arc<Streams>,
    clock: Arc<dyn Clock>,
}

impl Handler for RedisStreamHandler {
    async fn handle(&self, job: Job) -> Result<(), HandlerError> {
        self.append(&job).await
    }

    fn capacity(&self, running: usize) -> Capacity {
        self.gate.capacity(running, instant())
    }

    fn starting(&self, jobs: usize) {
        self.gate.starting(jobs, instant());
    }
}

impl RedisStreamHandler {
    async fn append(&self, job: &Job) -> Result<(), HandlerError> {
        let (attributes, attempt) = (cloudevents::attributes(job), cloudevents::attempt(job));
        let content_type = job.content_type.as_deref().unwrap_or(cloudevents::DEFAULT_CONTENT_TYPE);
        let mut fields: Vec<(&str, &[u8])> =
            attributes.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        fields.push(("datacontenttype", content_type.as_bytes()));
        fields.extend(attempt.iter().map(|(name, value)| (*name, value.as_bytes())));
        fields.push(("data", &job.data));

        let passing = self.gate.enter();
        match self.streams.append(&self.stream, self.limit(), &fields).await {
            Ok(entry) => {
                passing.succeeded();
                tracing::debug!(job = %job.id, stream = self.stream, entry, "added to the stream");
                Ok(())
            }
            Err(error) => {
                passing.failed();
                Err(HandlerError::retry(error))
            }
        }
    }

    fn limit(&self) -> Option<StreamLimit> {
        self.limit.map(|limit| match limit {
            Limit::Length(entries) => StreamLimit::Length(entries.get()),
            Limit::Age(age) => {
                let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
                StreamLimit::Since(self.clock.now().as_millis().saturating_sub(age).max(0).unsigned_abs())
            }
        })
    }
}
