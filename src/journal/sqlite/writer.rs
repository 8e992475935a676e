//! The one thread that writes. It takes whatever has come in since its last commit, applies it in one transaction,
//! fills the workers' free slots in the same transaction, commits (one fsync), and only then answers anybody.

mod finish;
mod leases;
mod trouble;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{mpsc as async_mpsc, oneshot, watch};

use self::leases::take_leased;
use super::{
    SqliteOptions,
    accept::Prepared,
    checkpoint::Checkpointer,
    claim::{Claims, JobKey, Running, RunningJob, Suspicion, Terms},
    hand_over::Openings,
    open::Slot,
    outbox::{OutboxRow, Recent},
    session::{Memory, Session},
    size,
};
use crate::{
    clock::{self, Clock},
    journal::{Accepted, ClaimedJob, Demand, Health, Lease, Outcome, StoreError},
};

/// How many commands one transaction takes at most.
const BATCH: usize = 1024;
/// How often leases and the file's size are looked at.
const TICK: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 1_000 });

/// What is wrong while the file may not grow.
pub(super) const FULL: &str = "the journal has reached [journal] max_size; raise it, or shorten retention";

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What the writer is asked to do.
pub(super) enum Command {
    Accept(Box<Prepared>, Reply<Accepted>),
    /// Keep it for the shared queue; answered with its position in the outbox.
    Post(Box<OutboxRow>, Reply<i64>),
    Settle(Lease, Outcome, Reply<()>),
    Renew(Vec<Lease>, Reply<Vec<Lease>>),
    Claims(Arc<dyn Demand>, async_mpsc::UnboundedSender<ClaimedJob>),
    Work(Box<dyn Work>),
    Wake,
}

/// An operation that is too rare to have a command of its own.
pub(super) trait Work: Send {
    /// Does it, inside the transaction.
    fn apply(&mut self, session: &mut Session<'_>) -> rusqlite::Result<()>;
    /// Answers, after the commit or its failure.
    fn answer(self: Box<Self>, failure: Option<StoreError>);
}

/// What applying a command came to, until the commit.
enum Applied {
    Accept(Result<Accepted, StoreError>),
    Post(Result<i64, StoreError>),
    Settle(bool),
    Work,
}

pub(super) struct Writer {
    commands: Receiver<Command>,
    connection: Connection,
    memory: Memory,
    running: Running,
    workers: Option<(Arc<dyn Demand>, async_mpsc::UnboundedSender<ClaimedJob>)>,
    slot: Arc<Slot>,
    options: SqliteOptions,
    clock: Arc<dyn Clock>,
    health: Arc<Mutex<Health>>,
    checkpointer: Checkpointer,
    /// The position of the outbox's last durable row.
    posted: watch::Sender<i64>,
    recent: Arc<Mutex<Recent>>,
    last_tick: Instant,
    /// No lease runs out before this, on the clock's monotonic scale.
    leases_until: Duration,
    full: bool,
    /// A suspect waits to run alone; nothing can be claimed before what runs has ended.
    held_up: bool,
    /// Ended attempts that could not be recorded yet.
    unsettled: Vec<Command>,
    closing: bool,
}

/// What applying a batch came to, until the commit.
#[derive(Default)]
struct Batch {
    applied: Vec<Applied>,
    /// What no longer runs if the batch is committed, and runs on if it is not.
    settled: Vec<(JobKey, RunningJob)>,
    claims: Claims,
}

impl Writer {
    /// Loads the memory and takes back the jobs that an earlier process left running.
    pub(super) fn start(
        commands: Receiver<Command>,
        connection: Connection,
        slot: Arc<Slot>,
        options: SqliteOptions,
        clock: Arc<dyn Clock>,
        health: Arc<Mutex<Health>>,
        checkpointer: Checkpointer,
    ) -> rusqlite::Result<Self> {
        let memory = Memory::load(&connection)?;
        let mut writer = Self {
            commands,
            posted: watch::Sender::new(memory.outbox_end),
            recent: Arc::default(),
            memory,
            connection,
            running: Running::new(),
            workers: None,
            slot,
            options,
            clock,
            health,
            checkpointer,
            last_tick: clock::instant(),
            leases_until: Duration::MAX,
            full: false,
            held_up: false,
            unsettled: Vec::new(),
            closing: false,
        };
        let max_crashes = writer.options.max_crashes;
        writer.recover(|session, key| session.recover_crashed(key, max_crashes))?;
        Ok(writer)
    }

    /// Follows the position of the outbox's last durable row.
    pub(super) fn posted(&self) -> watch::Receiver<i64> {
        self.posted.subscribe()
    }

    /// The outbox's rows that were committed last.
    pub(super) fn recent(&self) -> Arc<Mutex<Recent>> {
        self.recent.clone()
    }

    /// The sequence number of the last delivery stored.
    pub(super) fn last_seq(&self) -> rusqlite::Result<i64> {
        self.connection.query_row("SELECT coalesce(max(seq), 0) FROM delivery", [], |row| row.get(0))
    }

    /// Works until every sender of commands is gone.
    pub(super) fn run(mut self) {
        let mut waiting: Vec<Command> = Vec::with_capacity(BATCH);
        while !self.closing {
            let drained = self.collect(&mut waiting);
            match self.write(&mut waiting) {
                // After the write: a job whose end waited for the store longer than its lease has not crashed.
                Ok(()) if drained => self.tick_if_due(),
                Ok(()) => {}
                Err(error) => self.reopen(&error),
            }
        }
        if !self.unsettled.is_empty() {
            // The last chance to record how attempts ended; the error has been reported when it first came.
            let mut last = std::mem::take(&mut self.unsettled);
            let _ = self.write(&mut last);
        }
        self.checkpointer.stop();
    }

    /// Waits for the first command, then takes all that is there: `true` if nothing is left behind.
    fn collect(&mut self, waiting: &mut Vec<Command>) -> bool {
        waiting.append(&mut self.unsettled);
        if waiting.is_empty() && !self.memory.tail.wants_merge() {
            match self.commands.recv_timeout(self.idle_time()) {
                Ok(command) => waiting.push(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => self.closing = true,
            }
        }
        while waiting.len() < BATCH {
            match self.commands.try_recv() {
                Ok(command) => waiting.push(command),
                Err(TryRecvError::Empty) => return true,
                Err(TryRecvError::Disconnected) => {
                    self.closing = true;
                    return true;
                }
            }
        }
        false
    }

    /// Until when there is nothing to do: the next due job of a route that has room, or the next tick.
    fn idle_time(&self) -> Duration {
        let wait = self.next_claim().saturating_sub(self.clock.now().as_millis());
        Duration::from_millis(u64::try_from(wait).unwrap_or(0)).min(TICK)
    }

    /// The earliest time at which there may be something to claim; `i64::MAX` while nothing can be claimed.
    fn next_claim(&self) -> i64 {
        let Some((demand, claimed)) = &self.workers else { return i64::MAX };
        if self.held_up || claimed.is_closed() || self.runs(Suspicion::Alone) {
            return i64::MAX;
        }
        let suspects_wait = self.runs(Suspicion::Suspect);
        (0..)
            .zip(demand.routes())
            .filter(|(index, _)| demand.free(*index) > 0)
            .filter_map(|(_, route)| self.memory.number(route))
            .map(|route| {
                let suspects = if suspects_wait { i64::MAX } else { self.memory.suspects_due(route) };
                suspects.min(self.memory.due(route))
            })
            .fold(i64::MAX, i64::min)
    }

    fn runs(&self, suspicion: Suspicion) -> bool {
        self.running.values().any(|job| job.suspicion == suspicion)
    }

    /// One transaction: apply, claim, commit, answer.
    fn write(&mut self, waiting: &mut Vec<Command>) -> rusqlite::Result<()> {
        let mut commands: Vec<_> =
            waiting.drain(..).filter_map(|command| self.without_transaction(command)).collect();
        if commands.is_empty()
            && self.next_claim() > self.clock.now().as_millis()
            && !self.memory.tail.wants_merge()
        {
            return Ok(());
        }
        let mut batch = Batch { applied: Vec::with_capacity(commands.len()), ..Batch::default() };
        let result = {
            let gate = self.checkpointer.gate();
            let _inside = gate.enter();
            self.apply(&mut commands, &mut batch)
        };
        match result {
            Ok(()) => self.finish(commands, batch),
            Err(error) => {
                // SQLite may have rolled back by itself; then this fails, and that is fine.
                let _ = self.connection.execute_batch("ROLLBACK");
                self.give_back(commands, batch, &error);
                return Err(error);
            }
        }
        Ok(())
    }

    fn apply(&mut self, commands: &mut [Command], batch: &mut Batch) -> rusqlite::Result<()> {
        let terms = Terms {
            lease_until: self.clock.monotonic() + self.options.lease,
            max_crashes: self.options.max_crashes,
        };
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let stats_before = self.memory.stats.clone();
        let now = self.clock.now();
        let workers = self.workers.as_ref().filter(|(_, claimed)| !self.closing && !claimed.is_closed());
        let mut session = Session::new(&self.connection, &mut self.memory, now);
        // What has waited comes first; the slots that it leaves are for what comes in now.
        let mut openings = None;
        if let Some((demand, _)) = workers {
            session.claim(&**demand, &self.running, terms, &mut batch.claims)?;
            openings = Openings::new(&**demand, &self.running, &batch.claims, session.memory, terms, now);
        }
        for command in commands {
            batch.applied.push(match command {
                Command::Post(row, _) => Applied::Post(session.post(row, self.full)?),
                Command::Accept(prepared, _) => Applied::Accept(session.accept(
                    prepared,
                    self.full,
                    openings.as_mut(),
                    &mut batch.claims,
                )?),
                Command::Settle(lease, outcome, _) => {
                    let key = session.memory.key_of(lease);
                    match key.and_then(|key| Some((key, take_leased(&mut self.running, key, lease)?))) {
                        Some((key, job)) => {
                            batch.settled.push((key, job));
                            Applied::Settle(session.settle(key, outcome)?)
                        }
                        None => Applied::Settle(false),
                    }
                }
                Command::Work(work) => {
                    work.apply(&mut session)?;
                    Applied::Work
                }
                Command::Renew(..) | Command::Claims(..) | Command::Wake => Applied::Work,
            });
        }
        if let Some(openings) = openings {
            openings.announce(&mut batch.claims);
        }
        if let Some((demand, _)) = workers {
            session.claim(&**demand, &self.running, terms, &mut batch.claims)?;
        }
        session.memory.tail.merge_step(session.connection)?;
        if session.memory.stats != stats_before {
            session.save_stats()?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.checkpointer.committed();
        Ok(())
    }

    /// Deals with what needs no transaction; gives back what does.
    fn without_transaction(&mut self, command: Command) -> Option<Command> {
        match command {
            Command::Accept(prepared, reply) => {
                if prepared.new.give_up_at <= clock::instant() {
                    drop(reply.send(Err(StoreError::TooLate)));
                } else {
                    return Some(Command::Accept(prepared, reply));
                }
            }
            Command::Post(row, reply) => {
                if row.sealed.give_up_at <= clock::instant() {
                    drop(reply.send(Err(StoreError::TooLate)));
                } else {
                    return Some(Command::Post(row, reply));
                }
            }
            Command::Renew(leases, reply) => {
                let until = self.clock.monotonic() + self.options.lease;
                let lost = leases.into_iter().filter(|lease| !self.renew(lease, until)).collect();
                drop(reply.send(Ok(lost)));
            }
            Command::Claims(demand, claimed) => {
                self.workers = Some((demand, claimed));
                self.held_up = false;
            }
            Command::Wake => self.held_up = false,
            other => return Some(other),
        }
        None
    }

    fn tick_if_due(&mut self) {
        let mut result = Ok(());
        if self.leases_until <= self.clock.monotonic() {
            result = self.expire_leases();
        }
        if self.last_tick.elapsed() >= TICK {
            self.last_tick = clock::instant();
            result = result.and_then(|()| self.measure());
        }
        if let Err(error) = result {
            self.reopen(&error);
        }
    }

    /// Looks at the file's size.
    fn measure(&mut self) -> rusqlite::Result<()> {
        let size = size::used(&self.connection)?;
        let was_full = self.full;
        self.full = size >= self.options.max_size;
        let nearly = size >= size::nearly(self.options.max_size);
        let mut health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if self.full {
            health.trouble = Some(FULL.into());
        } else if was_full {
            health.trouble = None;
        }
        health.warning = nearly.then(|| {
            format!(
                "the journal holds {size} bytes of at most {} ([journal] max_size)",
                self.options.max_size
            )
        });
        Ok(())
    }

    fn transaction(
        &mut self,
        work: impl FnOnce(&mut Session<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        let mut session = Session::new(&self.connection, &mut self.memory, self.clock.now());
        work(&mut session)?;
        session.save_stats()?;
        self.connection.execute_batch("COMMIT")
    }
}
