//! What the writer does when a commit failed: it refuses everybody, opens the file anew and proves that it can be
//! trusted.

use std::{
    sync::{PoisonError, mpsc::RecvTimeoutError},
    time::Duration,
};

use rusqlite::Connection;

use super::{Command, Memory, Writer};
use crate::{
    clock,
    journal::{StoreError, sqlite::open},
};

/// How long to wait before a store that failed is tried again, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

impl Writer {
    /// A commit failed, so nothing that this connection believes may be believed: not what it has cached, nor that a
    /// second fsync of the same pages means anything. Opens the file anew and proves with a commit of its own that it
    /// can be trusted again. Until then every delivery is refused at once, and its sender will come again.
    pub(super) fn reopen(&mut self, error: &rusqlite::Error) {
        tracing::error!(%error, "the journal can't commit; deliveries are answered 503 until it can");
        self.set_trouble(Some(error.to_string()));
        // Whatever the log holds, copying it makes room.
        self.checkpointer.committed();
        let mut wait = RETRY.0;
        while !self.closing {
            self.refuse_for(wait);
            wait = (wait * 2).min(RETRY.1);
            match self.try_reopen() {
                Ok(()) => {
                    tracing::info!("the journal commits again");
                    self.set_trouble(None);
                    return;
                }
                Err(error) => self.set_trouble(Some(error.to_string())),
            }
        }
    }

    fn try_reopen(&mut self) -> Result<(), open::OpenError> {
        let path = self.slot.database.clone();
        let database = |source| open::OpenError::database(&path, source);
        // The old connection may still hold a lock; it goes first.
        let placeholder = Connection::open_in_memory().map_err(database)?;
        drop(std::mem::replace(&mut self.connection, placeholder));
        self.connection = open::open_writer(&self.slot)?;
        self.memory = Memory::load(&self.connection).map_err(database)?;
        // Claims whose commit failed may have been stored all the same; no handler ever saw them.
        self.recover(|session, key| session.release(key).map(drop)).map_err(database)?;
        open::prove(&self.connection).map_err(database)?;
        // What was refused may have been stored all the same; then it goes its way.
        self.posted.send_replace(self.memory.outbox_end);
        Ok(())
    }

    /// Refuses everything for a while, except what must not be forgotten.
    fn refuse_for(&mut self, time: Duration) {
        let until = clock::instant() + time;
        let trouble = self.health.lock().unwrap_or_else(PoisonError::into_inner).trouble.clone();
        let error = StoreError::Unavailable(trouble.unwrap_or_default());
        loop {
            match self.commands.recv_timeout(until.saturating_duration_since(clock::instant())) {
                Ok(command @ Command::Settle(..)) => self.unsettled.push(command),
                Ok(command @ (Command::Renew(..) | Command::Claims(..) | Command::Wake)) => {
                    self.without_transaction(command);
                }
                Ok(command) => refuse(command, &error),
                Err(RecvTimeoutError::Timeout) => return,
                Err(RecvTimeoutError::Disconnected) => {
                    self.closing = true;
                    return;
                }
            }
        }
    }

    fn set_trouble(&self, trouble: Option<String>) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).trouble = trouble;
    }
}

/// Says to whoever waits that nothing was done.
pub(super) fn refuse(command: Command, error: &StoreError) {
    match command {
        Command::Post(_, reply) => drop(reply.send(Err(error.clone()))),
        Command::Accept(_, reply) => drop(reply.send(Err(error.clone()))),
        Command::Settle(_, _, reply) => drop(reply.send(Err(error.clone()))),
        Command::Renew(_, reply) => drop(reply.send(Err(error.clone()))),
        Command::Work(work) => work.answer(Some(error.clone())),
        Command::Claims(..) | Command::Wake => {}
    }
}
