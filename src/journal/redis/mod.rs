//! The queue on Redis, shared by any number of machines.
//!
//! Every operation is one script on one lane, so it happens as a whole or not at all. The scripts ask Redis for the
//! time: what two hosts must agree on never depends on a host's clock.

mod accept;
mod answer;
mod batch;
mod bundle;
mod claim;
mod core;
mod durability;
mod expire;
mod feeder;
mod find;
mod gather;
mod job;
mod lease;
mod link;
mod manage;
mod options;
mod read;
mod settle;
mod store;
mod stream;
mod sweep;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

pub use self::options::RedisAddress;
#[cfg(test)]
pub(crate) use self::tests::servers;
use self::{
    accept::Addressed,
    batch::Batches,
    core::Core,
    feeder::{Feeder, Feeding, Settlements},
    link::{LinkError, Script},
    settle::Settlement,
};
pub(crate) use self::{
    core::RedisOpenError,
    durability::{RedisFinding, Severity},
    options::{REDIS_URL, RedisOptions, RedisUrl, Topology},
    stream::{StreamLimit, Streams},
};
use crate::{
    clock::Clock,
    journal::{Accepted, StoreError},
};

/// Makes a script out of what all have in common and a body. With `allow_oom` it also runs when Redis is at its
/// `maxmemory`: for what frees memory or keeps jobs moving; so does one with `no_writes`, which only reads. All others are refused whole then, before they begin.
macro_rules! script {
    ($name:literal) => {
        $crate::journal::redis::script!(@ $name, "#!lua\n")
    };
    ($name:literal, allow_oom) => {
        $crate::journal::redis::script!(@ $name, "#!lua flags=allow-oom\n")
    };
    ($name:literal, no_writes) => {
        $crate::journal::redis::script!(@ $name, "#!lua flags=no-writes\n")
    };
    (@ $name:literal, $shebang:literal) => {
        std::sync::LazyLock::new(|| {
            $crate::journal::redis::link::Script::new(
                $name,
                concat!($shebang, include_str!("lua/common.lua"), include_str!(concat!("lua/", $name, ".lua"))),
            )
        })
    };
}
use script;

/// The shared store. What it was told to do and has not done yet is given up when it is dropped: its leases are taken
/// back by the next process of the same host, or run out.
pub(crate) struct Redis {
    core: Arc<Core>,
    feeder: Feeder,
    accepts: Batches<Addressed, Result<Accepted, StoreError>>,
    settlements: Arc<Settlements>,
    /// End with the store.
    _tasks: JoinSet<()>,
}

impl Redis {
    /// Opens the store. `host` says which jobs an earlier process of this host left running: they are taken back at
    /// once, so it must not have a second process at the same time. A Redis that is away, or does not answer at
    /// once, is waited for by whatever needs it.
    pub(crate) async fn open(
        options: RedisOptions,
        clock: Arc<dyn Clock>,
        host: &str,
    ) -> Result<Self, RedisOpenError> {
        Self::start(Core::new(options, clock, host, false)?, AT_START).await
    }

    /// Opens the store. After so long it goes on without an answer, and the first call on a lane asks again.
    async fn start(core: Core, patience: Duration) -> Result<Self, RedisOpenError> {
        let core = Arc::new(core);
        let (feeder, commands) = Feeder::new();
        let mut tasks = JoinSet::new();
        let (for_accepts, for_settlements) = ((core.clone(), feeder.clone()), (core.clone(), feeder.clone()));
        let accepts = Batches::start(
            &mut tasks,
            core.lanes(),
            Addressed::weight,
            |_, _| false,
            move |lane, gathered| {
                let (core, feeder) = for_accepts.clone();
                async move { accept::accept_gathered(&core, &feeder, lane, gathered).await }
            },
        );
        let at_work = core.clone();
        let settlements = Batches::start(
            &mut tasks,
            core.lanes(),
            Settlement::weight,
            move |settlement, ended| settle::more_end_soon(&at_work, settlement, ended),
            move |lane, gathered| {
                let (core, feeder) = for_settlements.clone();
                async move { settle::settle_gathered(&core, &feeder, lane, gathered).await }
            },
        );
        let settlements = Arc::new(settlements);
        let mut feeding = Feeding::new(core.clone(), settlements.clone());
        let meeting = async {
            core.meet().await?;
            // From here on contact counts. If there is none, the task goes on trying.
            feeding.look_after_leases().await;
            Ok(())
        };
        if let Ok(met) = tokio::time::timeout(patience, Box::pin(meeting)).await {
            met?;
        } else {
            tracing::warn!("Redis does not answer; going on without it until it does");
        }
        tasks.spawn(feeding.run(commands));
        Ok(Self { core, feeder, accepts, settlements, _tasks: tasks })
    }

    /// Over how many lanes the keys are spread; they are numbered from 0.
    fn lanes(&self) -> u32 {
        self.core.lanes()
    }

    /// Runs a script on a lane. In front of `args`, as `ARGV[1]`, comes the time.
    async fn run(&self, lane: u32, script: &Script, args: &[&[u8]]) -> Result<::redis::Value, StoreError> {
        Ok(self.core.run(lane, script, args).await?)
    }
}

/// For how long a start waits for Redis. A sender that is turned away meanwhile may never ask again, and one that hangs in
/// the backlog has a second and a half; so what Redis has to say is heard at the start only if it says it at once.
const AT_START: Duration = Duration::from_millis(200);

static STATS: std::sync::LazyLock<Script> = script!("stats", no_writes);

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".into())
}

/// How long to wait before Redis is asked again.
#[derive(Debug, Default)]
struct Pauses {
    failures: u32,
}

impl Pauses {
    const LONGEST: Duration = Duration::from_secs(1);

    /// Says what is wrong, once.
    fn note(&self, error: &LinkError, consequence: &str) {
        if self.failures == 0 {
            tracing::warn!(%error, "{consequence}");
        }
    }

    /// Waits: 50 ms, then twice as long each time, at most a second.
    async fn pause(&mut self) {
        let pause = Duration::from_millis(50).saturating_mul(1 << self.failures.min(5)).min(Self::LONGEST);
        self.failures += 1;
        tokio::time::sleep(pause).await;
    }
}
