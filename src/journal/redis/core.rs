//! What all parts of the store work with: the link, who this process is, and that it fits the store's layout.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use redis::Value;
use tokio::sync::OnceCell;

use super::{
    RedisOptions, answer,
    lease::Running,
    link::{Link, LinkError, Script, Waited},
    script,
};
use crate::clock::Clock;

/// The layout that this version reads and writes.
const VERSION: &str = "3";
/// A lease's token names its lane in this many values.
const MAX_LANES: u32 = 256;

static STORE: LazyLock<Script> = script!("store", allow_oom);
static RECOVER: LazyLock<Script> = script!("recover", allow_oom);

/// Why the shared store can't be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RedisOpenError {
    #[error("where Redis is can't be understood: {0}")]
    Options(String),
    #[error("lanes = {0} is out of range: 1 to {MAX_LANES} are possible")]
    Lanes(u32),
    /// The store was made with another number of lanes.
    #[error(
        "the store in this Redis was made with lanes = {stored}, and the configuration says lanes = {configured}; \
         set lanes = {stored}, or use another database or an empty Redis"
    )]
    OtherLanes { stored: String, configured: u32 },
    /// The store was made by another version.
    #[error(
        "the store in this Redis has layout version {0}; this version of doorbell reads version {VERSION} only"
    )]
    OtherVersion(String),
}

/// The link, who this process is, and that it fits the store's layout.
pub(super) struct Core {
    pub(super) link: Link,
    /// A connection of its own for what waits for replicas or a disk.
    waits: Link,
    pub(super) options: RedisOptions,
    pub(super) clock: Arc<dyn Clock>,
    /// Who settles and renews: `<host>/<incarnation>`.
    pub(super) owner: String,
    host: String,
    /// What this host runs.
    pub(super) running: Running,
    /// Whether the last call had an answer.
    answering: AtomicBool,
    /// Whether scripts take the time from `clock`.
    made_up_time: bool,
    /// Whether the layout was found to fit.
    met: OnceCell<Result<(), RedisOpenError>>,
    /// For each lane, whether jobs that earlier processes of this host left running were taken back.
    recovered: Vec<OnceCell<()>>,
}

impl Core {
    pub(super) fn new(
        options: RedisOptions,
        clock: Arc<dyn Clock>,
        host: &str,
        made_up_time: bool,
    ) -> Result<Self, RedisOpenError> {
        if !(1..=MAX_LANES).contains(&options.lanes) {
            return Err(RedisOpenError::Lanes(options.lanes));
        }
        let new_link =
            || Link::new(&options.address).map_err(|error| RedisOpenError::Options(error.to_string()));
        let (link, waits) = (new_link()?, new_link()?);
        let incarnation = getrandom::u64().map_err(|error| RedisOpenError::Options(error.to_string()))?;
        let host = hex::encode(host);
        let owner = format!("{host}/{incarnation:016x}");
        Ok(Self {
            link,
            waits,
            recovered: (0..options.lanes).map(|_| OnceCell::new()).collect(),
            options,
            clock,
            owner,
            host,
            running: Running::default(),
            answering: AtomicBool::new(true),
            made_up_time,
            met: OnceCell::new(),
        })
    }

    pub(super) fn lanes(&self) -> u32 {
        self.options.lanes
    }

    /// Which host this is, whichever its incarnation.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Makes sure that the store is laid out as this process needs it, and that what earlier ones of this host left
    /// running is taken back. Does nothing where Redis is away: then the first script on a lane does it.
    pub(super) async fn meet(&self) -> Result<(), RedisOpenError> {
        match self.met().await {
            Ok(met) => met.clone()?,
            Err(error) => {
                tracing::warn!(%error, "Redis is away; going on without it until it is there");
                return Ok(());
            }
        }
        let lanes = (0..self.lanes()).map(|lane| async move { (lane, self.prepare(lane).await) });
        for (lane, prepared) in join_all(lanes).await {
            if let Err(error) = prepared {
                tracing::warn!(lane, %error, "a lane is away; going on without it until it is there");
            }
        }
        Ok(())
    }

    /// Runs a script on a lane. In front of `args`, as `ARGV[1]`, comes the time.
    pub(super) async fn run(&self, lane: u32, script: &Script, args: &[&[u8]]) -> Result<Value, LinkError> {
        self.prepare(lane).await?;
        self.run_unmet(lane, script, args).await
    }

    async fn met(&self) -> Result<&Result<(), RedisOpenError>, LinkError> {
        if let Some(met) = self.met.get() {
            return Ok(met);
        }
        let met = self.met.get_or_try_init(|| self.layout());
        // Boxed, here and below: it happens once, and would weigh on every call.
        Box::pin(self.in_time(met, "whether its store fits")).await
    }

    /// Makes sure that a lane can be used: the layout fits, and what an earlier process of this host left running in it
    /// was taken back. Each lane for itself, as another one may be away.
    async fn prepare(&self, lane: u32) -> Result<(), LinkError> {
        if let Err(misfit) = self.met().await? {
            return Err(LinkError::Refused(misfit.to_string()));
        }
        let Some(recovered) = self.recovered.get(lane as usize).filter(|recovered| !recovered.initialized())
        else {
            return Ok(());
        };
        let recover = recovered.get_or_try_init(|| self.recover(lane));
        Box::pin(self.in_time(recover, "what this host left running")).await?;
        Ok(())
    }

    /// Whoever waits while others try, one after the other, waits no longer than for a call.
    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, LinkError>>,
        what: &str,
    ) -> Result<T, LinkError> {
        let late = |_| LinkError::Away(format!("Redis could not be asked in time {what}"));
        tokio::time::timeout(self.options.address.timeout, asked).await.map_err(late)?
    }

    async fn recover(&self, lane: u32) -> Result<(), LinkError> {
        let max_crashes = self.options.max_crashes.to_string();
        let args = [self.owner.as_bytes(), max_crashes.as_bytes()];
        let taken = self.page_through_leases(lane, &RECOVER, &args).await?;
        if taken > 0 {
            tracing::warn!(
                jobs = taken,
                lane,
                "took back jobs that an earlier process of this host left running"
            );
        }
        Ok(())
    }

    /// Makes sure that the layout is still written down: Redis may have lost all.
    pub(super) async fn check_layout(&self) -> Result<(), LinkError> {
        self.met().await?;
        self.layout().await?.map_err(|misfit| LinkError::Refused(misfit.to_string()))
    }

    async fn layout(&self) -> Result<Result<(), RedisOpenError>, LinkError> {
        let lanes = self.lanes();
        let answer = self.run_unmet(0, &STORE, &[VERSION.as_bytes(), lanes.to_string().as_bytes()]).await?;
        let [version, stored] = answer::texts(answer)?;
        Ok(if version != VERSION {
            Err(RedisOpenError::OtherVersion(version))
        } else if stored != lanes.to_string() {
            Err(RedisOpenError::OtherLanes { stored, configured: lanes })
        } else {
            Ok(())
        })
    }

    /// Runs a script on one page of a lane's leases after the other, until a whole round changes nothing: leases that
    /// end meanwhile move the others. Returns how many it changed.
    pub(super) async fn page_through_leases(
        &self,
        lane: u32,
        script: &Script,
        args: &[&[u8]],
    ) -> Result<u64, LinkError> {
        let mut changed = 0;
        loop {
            let (mut from, mut changed_now) = (0, 0);
            loop {
                let from_text = from.to_string();
                let args = [args, &[from_text.as_bytes()]].concat();
                let [leases, some] = answer::fixed(self.run_unmet(lane, script, &args).await?)?;
                let (leases, some) = (answer::uint(&leases)?, answer::uint(&some)?);
                if leases == 0 {
                    break;
                }
                from += leases.saturating_sub(some);
                changed_now += some;
            }
            changed += changed_now;
            if changed_now == 0 {
                return Ok(changed);
            }
        }
    }

    /// When a lease that begins now ends, on the clock's monotonic scale.
    pub(super) fn lease_end(&self) -> Duration {
        self.clock.monotonic().saturating_add(self.options.lease)
    }

    /// What is wrong, in words.
    pub(super) fn trouble(&self) -> Option<String> {
        if let Some(Err(misfit)) = self.met.get() {
            return Some(misfit.to_string());
        }
        let answering = self.answering.load(Ordering::Relaxed);
        (!answering || self.met.get().is_none()).then(|| "Redis does not answer".into())
    }

    /// Runs a script whose writes have to be as safe as the options say before they count; in what they are not yet, if
    /// that does not come in time.
    pub(super) async fn run_safe(
        &self,
        lane: u32,
        script: &Script,
        args: &[&[u8]],
    ) -> Result<(Value, Option<String>), LinkError> {
        self.prepare(lane).await?;
        let RedisOptions { wait_replicas, wait_aof, .. } = self.options;
        let timeout = self.options.address.timeout;
        let now = self.made_up_now();
        let args = [&[now.as_bytes()], args].concat();
        let answer = self.waits.run_waiting(lane, script, &args, wait_replicas, wait_aof, timeout).await;
        let (answer, waited) = self.note(answer)?;
        Ok(match waited {
            Waited::Enough => (answer, None),
            Waited::Short(why) => (answer, Some(why)),
        })
    }

    async fn run_unmet(&self, lane: u32, script: &Script, args: &[&[u8]]) -> Result<Value, LinkError> {
        let now = self.made_up_now();
        let args = [&[now.as_bytes()], args].concat();
        let answer = self.link.run(lane, script, &args).await;
        self.note(answer)
    }

    /// What scripts are told about the time.
    fn made_up_now(&self) -> String {
        if self.made_up_time { self.clock.now().as_millis().to_string() } else { String::new() }
    }

    fn note<T>(&self, answer: Result<T, LinkError>) -> Result<T, LinkError> {
        self.answering.store(!matches!(answer, Err(LinkError::Away(_))), Ordering::Relaxed);
        answer
    }
}
