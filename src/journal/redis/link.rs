//! The way to Redis: connections that come back by themselves, and scripts that find their lane's server.
//!
//! One [`Link`] has one connection (in a Cluster, one to each node), shared by all who call at the same time: calls are
//! sent behind one another without waiting, and each gets its own answer. Nothing is repeated after an unknown outcome;
//! that is for the caller, who knows whether a second time does harm.

mod error;
mod open;
mod script;
mod wait;
mod wakes;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use redis::{Cmd, Pipeline, Value};
use tokio::time::{sleep, timeout};

#[cfg(test)]
pub(super) use self::wakes::Wakes;
use self::{
    error::{Judged, judge},
    open::{Connection, Way},
};
pub(super) use self::{
    error::{LinkError, OptionsError},
    script::Script,
    wait::Waited,
    wakes::Wake,
};
use super::RedisAddress;
use crate::clock::instant;

/// A way to Redis that is opened when it is needed and again when it broke.
pub(super) struct Link {
    way: Arc<Way>,
    timeout: Duration,
    /// What is open, and how many were opened before it.
    current: Mutex<(u64, Option<Connection>)>,
    opening: tokio::sync::Mutex<Opening>,
    /// How many attempts to open it have failed.
    failed: AtomicU64,
}

/// Held by who opens the connection; others wait for it and share what comes of it.
struct Opening {
    /// Attempts that failed since the last success.
    failures: u32,
    /// Not before this is it tried again.
    next: Instant,
    last: LinkError,
}

impl Link {
    /// Checks what the address says. Asks nobody yet.
    pub(super) fn new(address: &RedisAddress) -> Result<Self, OptionsError> {
        let last = LinkError::Away("nothing was tried yet".to_owned());
        Ok(Self {
            way: Way::new(address)?.into(),
            timeout: address.timeout,
            current: Mutex::default(),
            opening: Opening { failures: 0, next: instant(), last }.into(),
            failed: AtomicU64::new(0),
        })
    }

    /// Runs a script on the server that has this lane. `KEYS[1]` is the prefix of the lane's keys.
    pub(super) async fn run(&self, lane: u32, script: &Script, args: &[&[u8]]) -> Result<Value, LinkError> {
        let answered = match self.ask(Place::Lane(lane), Ask::One(&script.by_digest(lane, args))).await {
            // A server that was restarted or promoted knows no scripts. It learns this one by running it.
            Err(failed) if failed.unknown_script => {
                self.ask(Place::Lane(lane), Ask::One(&script.by_code(lane, args))).await
            }
            answered => answered,
        };
        first(answered)
            .inspect_err(|error| tracing::debug!(script = script.name(), lane, %error, "no answer"))
    }

    /// Runs a command on the server that has this lane.
    pub(super) async fn command(&self, lane: u32, command: &Cmd) -> Result<Value, LinkError> {
        first(self.ask(Place::Lane(lane), Ask::One(command)).await)
    }

    /// Runs a command on the server that has this key, which need not be one of ours.
    pub(super) async fn command_on(&self, key: &str, command: &Cmd) -> Result<Value, LinkError> {
        first(self.ask(Place::Key(key), Ask::One(command)).await)
    }

    /// Sends it and waits for the answers, no longer than the timeout in all. An error in the place of the first answer
    /// is an error of the whole.
    async fn ask(&self, place: Place<'_>, ask: Ask<'_>) -> Result<Vec<Value>, Judged> {
        let deadline = instant() + self.timeout;
        // A server that sends us elsewhere has done nothing, so asking again there does no harm.
        let mut elsewhere = 0;
        loop {
            let (generation, mut connection) = self.within(deadline, self.connection()).await??;
            let judged = match self.within(deadline, connection.ask(place, ask)).await {
                Ok(Ok(answers)) => return Ok(answers),
                Ok(Err(error)) => judge(&error),
                Err(timed_out) => Judged { reopen: true, ..timed_out.into() },
            };
            if judged.reopen {
                self.forget(generation);
            }
            if !judged.again || elsewhere == ELSEWHERE {
                return Err(judged);
            }
            elsewhere += 1;
            self.within(deadline, sleep(pause(elsewhere))).await?;
        }
    }

    async fn within<T>(&self, deadline: Instant, what: impl Future<Output = T>) -> Result<T, LinkError> {
        let rest = deadline.saturating_duration_since(instant());
        timeout(rest, what)
            .await
            .map_err(|_| LinkError::Away(format!("no answer within {} ms", self.timeout.as_millis())))
    }

    /// The connection that is open, or a new one. Whoever comes first opens it; those who come meanwhile share what comes
    /// of it, and after a failure all wait a while, so that a Redis that is away is not flooded.
    async fn connection(&self) -> Result<(u64, Connection), LinkError> {
        let failed = self.failed.load(Ordering::Acquire);
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let mut opening = self.opening.lock().await;
        if let Some(open) = self.current() {
            return Ok(open);
        }
        if self.failed.load(Ordering::Acquire) != failed {
            return Err(opening.last.clone());
        }
        sleep(opening.next.saturating_duration_since(instant())).await;
        match self.way.open().await {
            Ok(connection) => {
                opening.failures = 0;
                opening.next = instant() + pause(0);
                let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                *current = (current.0 + 1, Some(connection.clone()));
                Ok((current.0, connection))
            }
            Err(error) => {
                opening.failures += 1;
                opening.next = instant() + pause(opening.failures);
                opening.last = error.clone();
                self.failed.fetch_add(1, Ordering::Release);
                Err(error)
            }
        }
    }

    fn current(&self) -> Option<(u64, Connection)> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.1.clone().map(|connection| (current.0, connection))
    }

    /// Has the next call open a new connection, unless somebody already has. Calls under way on the old one may still be
    /// answered.
    fn forget(&self, generation: u64) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 == generation {
            current.1 = None;
        }
    }
}

/// What decides which node of a Cluster is asked.
#[derive(Clone, Copy)]
enum Place<'a> {
    Lane(u32),
    Key(&'a str),
}

/// What is sent in one piece.
#[derive(Clone, Copy)]
enum Ask<'a> {
    One(&'a Cmd),
    /// Behind the first answer, errors are answers too ([`Value::ServerError`]).
    All(&'a Pipeline),
}

fn first(answered: Result<Vec<Value>, Judged>) -> Result<Value, LinkError> {
    let answers = answered.map_err(|judged| judged.error)?;
    answers.into_iter().next().ok_or_else(|| LinkError::Away("the answer is empty".to_owned()))
}

/// How often a call follows to where it is sent.
const ELSEWHERE: u32 = 3;

/// How long to wait after so many failures: from 50 ms, doubling, up to 1 s.
fn pause(failures: u32) -> Duration {
    let longest = Duration::from_secs(1);
    Duration::from_millis(50).saturating_mul(1 << failures.min(10)).min(longest)
}

/// The prefix of a lane's keys. The braces are Redis' hash tag: all keys of a lane are in one slot of a Cluster.
pub(super) fn prefix(lane: u32) -> String {
    format!("{{doorbell:{lane}}}:")
}
