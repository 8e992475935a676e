//! Step 4: make it durable. Accepting, deduplicating and enqueueing are one atomic write; everything that comes
//! later (claims, attempts, retries, replays, listings) reads and writes the same store.
//!
//! [`Store`] is what every store must do; `conformance.rs` is the suite that every store must pass.

#[cfg(test)]
mod conformance;
mod listing;
mod moving;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(test, feature = "redis"))]
mod relay;
mod replay;
mod sealed;
mod sqlite;
mod stored;
#[cfg(test)]
mod waiting;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

pub(crate) use self::record::{
    AttemptRecord, DeliveryRecord, DeliveryState, DeliverySummary, EventRecord, Filter, ItemState, JobRecord,
    Page, Stats,
};
#[cfg(feature = "redis")]
pub use self::redis::RedisAddress;
#[cfg(all(test, feature = "redis"))]
pub(crate) use self::redis::servers as redis_servers;
#[cfg(all(feature = "redis", feature = "cli"))]
pub(crate) use self::redis::{REDIS_URL, RedisFinding, RedisUrl, Severity, Topology};
#[cfg(feature = "redis")]
pub(crate) use self::redis::{Redis, RedisOptions, StreamLimit, Streams};
#[cfg(feature = "redis")]
pub(crate) use self::relay::{AckWhen, LateDuplicate, OnDuplicate, RelayOptions, Relayed};
#[cfg(all(feature = "redis", feature = "cli"))]
pub(crate) use self::relay::{Drained, Looking, drain as drain_journals};
use self::sealed::Sealed;
#[cfg(feature = "redis")]
pub(crate) use self::sqlite::Outbox;
pub(crate) use self::sqlite::{Sqlite, SqliteOptions};
#[cfg(feature = "cli")]
pub(crate) use self::sqlite::{create_private_folder, is_in_use};
pub use self::{record::JobState, sqlite::OpenError};
use crate::{
    clock::Timestamp,
    delivery::{DedupeKey, DeliveryId, JobId},
    provider::ParsedEvent,
};

/// A durable queue of deliveries and their jobs.
///
/// A store that is away for a while is waited for inside; an [`Err`] says that the one operation did not happen (or,
/// for [`StoreError::Unavailable`] after a failed commit, is not known to have happened).
#[async_trait]
pub(crate) trait Store: Send + Sync + 'static {
    /// Stores a delivery with its events and jobs, or recognises it as one that is stored. When this returns `Ok`, an
    /// fsync that covers the delivery has returned. Dropping the future does not cancel a commit under way.
    async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError>;

    /// The jobs to run from now on: claimed, leased, their attempt counted, as far as `demand` has room. Each call
    /// takes over from the one before.
    fn claims(&self, demand: Arc<dyn Demand>) -> mpsc::UnboundedReceiver<ClaimedJob>;

    /// Says that `demand` has grown, or that time has moved.
    fn wake(&self);

    /// Records how an attempt ended. [`StoreError::LeaseLost`] if the job is no longer this attempt's: nothing is
    /// recorded then.
    async fn settle(&self, lease: Lease, outcome: Outcome) -> Result<(), StoreError>;

    /// Extends these leases to a full lease from now; returns those that were lost.
    async fn renew(&self, leases: Vec<Lease>) -> Result<Vec<Lease>, StoreError>;

    /// One page of deliveries, the newest first.
    async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError>;

    /// One page of jobs, those of the newest deliveries first.
    async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError>;

    /// All of one delivery.
    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError>;

    /// One job.
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError>;

    /// The delivery that an id of any kind (delivery, event, job) belongs to.
    async fn locate(&self, id: uuid::Uuid) -> Result<Option<DeliveryId>, StoreError>;

    /// Queues these jobs of a delivery again: attempts and crashes start from 0, the replay is counted. Running and
    /// queued ones are left as they are. Returns how many were queued.
    async fn replay(&self, delivery: DeliveryId, which: ReplayJobs) -> Result<usize, StoreError>;

    /// Gives up a job that is not running: it ends as discarded.
    async fn discard(&self, job: JobId) -> Result<Discarded, StoreError>;

    /// Replaces the events of a delivery that was quarantined or (partly) unrouted, and adds the jobs that it now has.
    /// Returns how many jobs were added.
    async fn reroute(&self, delivery: DeliveryId, events: Vec<NewEvent>) -> Result<usize, StoreError>;

    /// The maintained counters.
    async fn stats(&self) -> Result<Stats, StoreError>;

    /// Deletes one bounded step's worth of what is older than it may be.
    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError>;

    /// Whether the store can commit durably now.
    fn health(&self) -> Health;

    /// How far this process's relay is behind.
    fn relay(&self) -> RelayState {
        RelayState::default()
    }
}

/// A store that many machines share, and that a relay fills from a local journal.
#[async_trait]
pub(crate) trait Shared: Store {
    /// Stores those of a batch that are not known yet, in this order. May be repeated with the same deliveries, and is
    /// whenever its answer did not come: what it knows by its own id is answered as a duplicate of itself, and counted
    /// nowhere. An empty batch touches every lane: it only asks which copy of the data is there.
    async fn take_in(&self, batch: Vec<Sealed>) -> Result<TakenIn, StoreError>;

    /// Whether more was asked for than that the queue has what it took in. Then it counts as moved when
    /// [`make_safe`](Self::make_safe) says so.
    fn has_to_be_safe(&self) -> bool;

    /// Waits until everything that was taken in before is as safe as was asked for, or that does not come in time.
    async fn make_safe(&self) -> Result<Safe, StoreError>;
}

/// What became of a batch.
#[derive(Debug, Clone)]
pub(crate) struct TakenIn {
    /// One answer for each delivery.
    pub(crate) answers: Vec<Result<Accepted, StoreError>>,
    /// Which copy of the data took it: for each lane that was touched, the replication id of its server. When a lane's
    /// id is another than last time, writes that were confirmed before may be lost.
    pub(crate) histories: Vec<(u32, String)>,
}

/// How safe it is what was taken in.
#[derive(Debug, Clone)]
pub(crate) struct Safe {
    /// Which copy of the data says so, as in [`TakenIn::histories`].
    pub(crate) histories: Vec<(u32, String)>,
    /// In what it is less safe than was asked for: its jobs run, but a copy of the data that takes this one's place may
    /// lack it.
    pub(crate) short: Option<String>,
}

/// A delivery on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct NewDelivery {
    pub(crate) id: DeliveryId,
    pub(crate) source: Arc<str>,
    pub(crate) provider: Arc<str>,
    pub(crate) received_at: Timestamp,
    pub(crate) sender_id: Option<String>,
    pub(crate) dedupe: Option<Dedupe>,
    pub(crate) content_type: Option<String>,
    /// What is kept of the request's headers, as a JSON array of pairs.
    pub(crate) headers: String,
    pub(crate) body: Bytes,
    pub(crate) content: NewContent,
    /// After this there is no use in storing it: the sender has hung up. Nothing is stored if the store has not begun
    /// by then.
    pub(crate) give_up_at: Instant,
}

#[derive(Debug, Clone)]
pub(crate) enum NewContent {
    Events(Vec<NewEvent>),
    Quarantined { reason: String },
    Test,
}

#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) event: ParsedEvent,
    /// The routes that want it; none: it is unrouted.
    pub(crate) routes: Vec<Arc<str>>,
}

/// How a delivery is recognised, and for how long after it was last seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dedupe {
    pub(crate) key: DedupeKey,
    pub(crate) window: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Stored. `id_reused`: its sender used the same id before, with another body, or signed where it
    /// is not now or the other way round.
    New { id_reused: bool },
    /// The same as this one, which is durable.
    Duplicate { original: DeliveryId },
}

/// What the workers of this process could start now. Asked by the store whenever it claims; answers at once.
pub(crate) trait Demand: Send + Sync {
    /// The names of this process's routes.
    fn routes(&self) -> &[Arc<str>];

    /// How many more jobs of this route (an index into [`routes`](Self::routes)) could start now.
    fn free(&self, route: usize) -> usize;

    /// How many of the free slots are counted for every route at once: what one of them takes is free for none.
    fn pool(&self) -> usize;

    /// Says that this many jobs of the route are about to be claimed.
    fn claimed(&self, route: usize, jobs: usize);

    /// Says that this many of them were not claimed after all.
    fn not_claimed(&self, route: usize, jobs: usize);
}

/// The right to run one attempt of one job.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lease {
    pub(crate) delivery: DeliveryId,
    pub(crate) event: u32,
    pub(crate) route: Arc<str>,
    /// Tells this attempt from every other attempt at the job, also over replays.
    pub(crate) token: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct ClaimedJob {
    pub(crate) lease: Lease,
    pub(crate) source: Arc<str>,
    pub(crate) provider: Arc<str>,
    pub(crate) event: ParsedEvent,
    pub(crate) received_at: Timestamp,
    pub(crate) content_type: Option<String>,
    pub(crate) data: Bytes,
    /// From 1, this one included.
    pub(crate) attempt: u32,
    pub(crate) replay: u32,
    pub(crate) crashes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Failed; to be tried again after this time, by the store's clock.
    Retry {
        after: Duration,
        error: String,
    },
    Dead {
        error: String,
    },
    Discarded {
        reason: String,
    },
    /// Not run after all (a shutdown came first): the attempt does not count.
    Released,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ReplayJobs {
    /// Those that are not done; all, if all are done.
    Unfinished { route: Option<String> },
    /// This one, whatever its state.
    One(JobId),
    /// Those in this state.
    InState(JobState),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discarded {
    Yes,
    NotFound,
    /// It is running, or has ended already.
    NotWaiting(JobState),
}

/// How long ended deliveries are kept, counted from the end of their last job (one without jobs: from when it came);
/// `None`: for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Those whose jobs are all done or discarded.
    pub(crate) done: Option<Duration>,
    /// Those with a dead job or an unrouted event, and quarantined ones.
    pub(crate) failed: Option<Duration>,
}

impl Retention {
    /// Of these times those that are shorter than `keep`: what they forget may still be offered to Redis again, by journals
    /// that keep what they moved so long, and would run once more.
    #[cfg(any(feature = "redis", feature = "cli"))]
    pub(crate) fn shorter_than(self, keep: Duration) -> Self {
        let short = |time: &Duration| *time < keep;
        Self { done: self.done.filter(short), failed: self.failed.filter(short) }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    pub(crate) deliveries: usize,
    pub(crate) dedupe_keys: usize,
    /// Whether the sweep has come round to where it began.
    pub(crate) finished: bool,
    /// Whether there was so little to delete that the next step has time.
    pub(crate) no_hurry: bool,
}

/// How far the way from the journal to a shared queue is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RelayState {
    /// Deliveries that are acknowledged and not yet known to be in the shared queue.
    pub(crate) backlog: u64,
    /// For how long the oldest of them has waited; zero if there is none.
    pub(crate) oldest: Duration,
    /// Whether the shared queue takes deliveries now.
    pub(crate) queue: QueueState,
}

/// Whether a shared queue can be reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum QueueState {
    /// There is none: the journal is the queue.
    #[default]
    Off,
    Up,
    Down,
}

impl QueueState {
    /// The state's name: `up`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// `None` while durable commits work; otherwise what is wrong, in words.
    pub(crate) trouble: Option<String>,
    /// What is worth an operator's look although all works (the store is nearly full).
    pub(crate) warning: Option<String>,
}

#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StoreError {
    /// Nothing can be stored now, or it is not known whether it was.
    #[error("the store can't commit now: {0}")]
    Unavailable(String),
    /// Its sender's deadline was over before its turn came. Nothing was stored.
    #[error("the delivery's deadline was over before it could be stored")]
    TooLate,
    /// The job belongs to another attempt now.
    #[error("the lease on this job is lost: it was taken over, replayed or discarded meanwhile")]
    LeaseLost,
    /// A request that makes no sense, such as a cursor that no listing gave out.
    #[error("{0}")]
    Invalid(String),
}
