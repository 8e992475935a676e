//! Where jobs wait, and what a process does.

#[cfg(feature = "redis")]
use std::time::Duration;

#[cfg(feature = "redis")]
use crate::{
    journal::{AckWhen, RedisAddress, RedisOptions},
    provider::Secret,
};

/// What a process does for a receiver.
///
/// On the embedded queue one process has the journal, so there `Worker` is refused, and what an `Ingress` takes in
/// waits for a later process that is `All`.
///
/// ```
/// use doorbell::{Receiver, RedisQueue, Role};
///
/// // A process that only runs jobs, beside others that take deliveries in.
/// let worker = Receiver::builder::<()>().queue(RedisQueue::new(["redis://127.0.0.1:6379"])).role(Role::Worker);
/// assert!(Role::Worker.runs_jobs() && !Role::Worker.takes_in());
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// Takes deliveries in and runs their jobs.
    #[default]
    All,
    /// Only takes deliveries in.
    Ingress,
    /// Only runs jobs.
    Worker,
}

impl Role {
    /// Whether it takes deliveries in.
    pub fn takes_in(self) -> bool {
        matches!(self, Self::All | Self::Ingress)
    }

    /// Whether it runs jobs.
    pub fn runs_jobs(self) -> bool {
        matches!(self, Self::All | Self::Worker)
    }
}

/// Where jobs wait for their workers.
///
/// ```
/// use doorbell::{Queue, Receiver, RedisQueue};
///
/// let queue = match std::env::var("REDIS_URL") {
///     Ok(url) => RedisQueue::new([url]).into(),
///     Err(_) => Queue::Embedded,
/// };
/// let builder = Receiver::builder::<()>().queue(queue);
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Queue {
    /// In the journal itself: one machine, nothing to install.
    #[default]
    Embedded,
    /// In Redis, shared by any number of machines. Every delivery is still committed to the local journal first.
    #[cfg(feature = "redis")]
    Redis(RedisQueue),
}

#[cfg(feature = "redis")]
impl From<RedisQueue> for Queue {
    fn from(queue: RedisQueue) -> Self {
        Self::Redis(queue)
    }
}

/// A queue in Redis 7 or later, or Valkey.
///
/// ```
/// use doorbell::{Receiver, RedisQueue};
///
/// let queue = RedisQueue::new(["redis://127.0.0.1:6379"]).lanes(4).wait_replicas(1);
/// let builder = Receiver::builder::<()>().queue(queue);
/// ```
#[cfg(feature = "redis")]
#[derive(Debug, Clone)]
pub struct RedisQueue {
    pub(crate) options: RedisOptions,
    pub(crate) ack: AckWhen,
    pub(crate) keep: Duration,
}

#[cfg(feature = "redis")]
impl RedisQueue {
    /// Redis at this URL, `redis://[user][:password@]host[:port][/db]`, or `rediss://` for TLS; several where
    /// [Sentinels](Self::sentinel) or a [Cluster](Self::cluster) have several.
    pub fn new<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        RedisAddress::new(urls).into()
    }

    /// The URLs are those of Sentinels, which know the primary of this name.
    #[must_use]
    pub fn sentinel(mut self, primary: impl Into<String>) -> Self {
        self.options.address = self.options.address.sentinel(primary);
        self
    }

    /// What the Sentinels themselves ask for: a password, and a user where they have users.
    #[must_use]
    pub fn sentinel_login(mut self, user: Option<String>, password: impl Into<Secret>) -> Self {
        self.options.address = self.options.address.sentinel_login(user, password);
        self
    }

    /// With `rediss://`: the certificates to trust, as PEM. Those that the system trusts where nothing is said.
    #[must_use]
    pub fn ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.options.address = self.options.address.ca(pem);
        self
    }

    /// The URLs are those of some nodes of a Redis Cluster.
    #[must_use]
    pub fn cluster(mut self) -> Self {
        self.options.address = self.options.address.cluster();
        self
    }

    /// Over how many hash slots the keys are spread, 1 to 256; a Cluster of n nodes wants a few times n. Fixed when the
    /// store is made. 1 where nothing is said.
    #[must_use]
    pub fn lanes(mut self, lanes: u32) -> Self {
        self.options.lanes = lanes.clamp(1, 256);
        self
    }

    /// How many replicas must have a delivery before it counts as moved out of the journal. None where nothing is said.
    /// While there are fewer, jobs run all the same, and the journal keeps everything until it is full.
    #[must_use]
    pub fn wait_replicas(mut self, replicas: u32) -> Self {
        self.options.wait_replicas = replicas;
        self
    }

    /// Whether Redis must have fsynced a delivery before it counts as moved out of the journal. Needs Redis 7.2.
    #[must_use]
    pub fn wait_aof(mut self, wait: bool) -> Self {
        self.options.wait_aof = wait;
        self
    }

    /// Acknowledges when Redis has a delivery too, if that takes no longer than this; what a lost disk can cost is
    /// narrowed. A Redis that is away delays nothing. No receiver is built with a time for which one of its senders would
    /// not wait.
    #[must_use]
    pub fn ack_both(mut self, timeout: Duration) -> Self {
        self.ack = AckWhen::Both { timeout };
        self
    }

    /// What this Redis can lose; asked of it, no longer than 3 s.
    #[cfg(feature = "cli")]
    pub(crate) async fn findings(&self) -> Vec<crate::journal::RedisFinding> {
        self.options.findings().await
    }

    /// For how long the journal keeps what was moved, to offer it again to a Redis that has lost writes; less long while
    /// the journal is nearly full. An hour where nothing is said. No receiver is built that [retains](super::Builder::retention)
    /// deliveries for less: what is offered again must still be recognised.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }
}

#[cfg(feature = "redis")]
impl From<RedisAddress> for RedisQueue {
    fn from(address: RedisAddress) -> Self {
        RedisOptions::new(address).into()
    }
}

#[cfg(feature = "redis")]
impl From<RedisOptions> for RedisQueue {
    fn from(options: RedisOptions) -> Self {
        Self { options, ack: AckWhen::Journal, keep: Duration::from_secs(3600) }
    }
}
