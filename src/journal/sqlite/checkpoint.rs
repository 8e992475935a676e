//! Copies the write-ahead log back into the file, off the way of an acknowledgement.
//!
//! A passive checkpoint runs beside the writer. Under steady load it never quite catches up, so the log would grow for
//! ever; once the log is large and nearly copied, the writer is held for the few pages that remain, and its next commit
//! begins the log anew.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;

/// How often to copy, while there is something to copy.
const EVERY: Duration = Duration::from_secs(1);
/// Pages (4 KiB each) in the log from which on the writer is held for the rest.
const LARGE: i64 = 65_536;
/// How many pages may remain for it to be held.
const SHORT_HOLD: i64 = 1_024;

pub(super) struct Checkpointer {
    gate: Arc<Mutex<()>>,
    uncopied: Arc<AtomicBool>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How far a checkpoint came, in pages.
struct Progress {
    logged: i64,
    copied: i64,
}

impl Checkpointer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let gate = Arc::new(Mutex::new(()));
        let (stop, stopped) = channel();
        let uncopied = Arc::new(AtomicBool::new(true));
        let (held, made) = (gate.clone(), uncopied.clone());
        let thread = std::thread::Builder::new().name("doorbell-checkpoint".into()).spawn(move || {
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                if !made.swap(false, Ordering::Relaxed) {
                    continue;
                }
                if let Err(error) = copy(&connection, &held) {
                    // The writer meets the same trouble and says so; the log is copied when it is over.
                    tracing::warn!(%error, "a checkpoint failed");
                    made.store(true, Ordering::Relaxed);
                }
            }
        })?;
        Ok(Self { gate, uncopied, stop: Some(stop), thread: Some(thread) })
    }

    /// Whoever commits holds this meanwhile.
    pub(super) fn gate(&self) -> Arc<Mutex<()>> {
        self.gate.clone()
    }

    /// Says that there is something to copy.
    pub(super) fn committed(&self) {
        self.uncopied.store(true, Ordering::Relaxed);
    }

    pub(super) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy(connection: &Connection, gate: &Mutex<()>) -> rusqlite::Result<()> {
    let mut progress = passive(connection)?;
    if progress.logged < LARGE {
        return Ok(());
    }
    // Each pass leaves what was written during the one before: a geometric series.
    for _ in 0..8 {
        if progress.logged - progress.copied <= SHORT_HOLD {
            break;
        }
        progress = passive(connection)?;
    }
    let _held = gate.lock().unwrap_or_else(PoisonError::into_inner);
    passive(connection)?;
    Ok(())
}

fn passive(connection: &Connection) -> rusqlite::Result<Progress> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(Progress { logged: row.get(1)?, copied: row.get(2)? })
    })
}
