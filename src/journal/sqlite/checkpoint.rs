//! Copies the write-ahead log back into the file, off the way of an acknowledgement.
//!
//! A passive checkpoint runs beside the writer. Under steady load it never quite catches up, so the log would grow for
//! ever; once the log is large and nearly copied, the writer is held for the few pages that remain, and its next commit
//! begins the log anew.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, Sender, channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;

/// How often to copy, while there is something to copy.
const EVERY: Duration = Duration::from_millis(if cfg!(test) { 10 } else { 250 });
/// Pages (4 KiB each) in the log from which on the writer is held for the rest. With four times as many the longest
/// acknowledgements of a burst took twice as long, and no more were made.
pub(super) const LARGE: i64 = if cfg!(test) { 256 } else { 4_096 };
/// How many pages may remain for it to be held.
const SHORT_HOLD: i64 = 512;

pub(super) struct Checkpointer {
    gate: Arc<Gate>,
    uncopied: Arc<AtomicBool>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Lets one of the two pass at a time. A mutex alone would not do: a busy writer could take it again and again before
/// the other one wakes up.
#[derive(Default)]
pub(super) struct Gate {
    /// Held only while waiting for `inside`, so it is nearly always free, and who holds it is next.
    queue: Mutex<()>,
    inside: Mutex<()>,
}

impl Gate {
    pub(super) fn enter(&self) -> MutexGuard<'_, ()> {
        let _next = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a checkpoint came, in pages.
struct Progress {
    logged: i64,
    copied: i64,
}

impl Checkpointer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Self> {
        let gate = Arc::new(Gate::default());
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
    pub(super) fn gate(&self) -> Arc<Gate> {
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

fn copy(connection: &Connection, gate: &Gate) -> rusqlite::Result<()> {
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
    let _held = gate.enter();
    passive(connection)?;
    Ok(())
}

fn passive(connection: &Connection) -> rusqlite::Result<Progress> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
        Ok(Progress { logged: row.get(1)?, copied: row.get(2)? })
    })
}
