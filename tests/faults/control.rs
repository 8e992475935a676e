//! The pauses of the machine that the tests run on, so that none is held against the service.

use std::{
    fmt,
    io::Write,
    sync::{
        Arc, Mutex,
        mpsc::{self, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use doorbell::clock::instant;
use tempfile::NamedTempFile;

/// What the control rests for between two rounds.
const REST: Duration = Duration::from_millis(20);
/// A round that takes longer is a stall. With half as long for itself, the service is late for its senders.
const STALL: Duration = Duration::from_millis(700);

/// Does again and again what every delivery needs, some time on a processor and a sync of a small file, and so is held up
/// by whatever holds up all of the machine. Watches from its beginning until it is dropped.
pub(crate) struct Control {
    /// When each round began.
    rounds: Arc<Mutex<Vec<Instant>>>,
    /// `None` only while it is dropped: then the rounds end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A try that failed.
#[derive(Clone)]
pub(crate) struct Trouble {
    what: String,
    /// Whether it says no more than that something took too long.
    is_late: bool,
    began: Instant,
    ended: Instant,
}

impl Trouble {
    /// One that ends now.
    pub(crate) fn new(what: String, is_late: bool, began: Instant) -> Self {
        Self { what, is_late, began, ended: instant() }
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Default for Control {
    fn default() -> Self {
        let rounds = Arc::new(Mutex::new(vec![instant()]));
        let (stop, stopped) = mpsc::channel();
        let mut file = NamedTempFile::new().unwrap();
        let log = rounds.clone();
        let thread = thread::spawn(move || {
            while stopped.recv_timeout(REST) == Err(RecvTimeoutError::Timeout) {
                file.write_all(b"a delivery").unwrap();
                file.as_file().sync_data().unwrap();
                log.lock().unwrap().push(instant());
            }
        });
        Self { rounds, stop: Some(stop), thread: Some(thread) }
    }
}

impl Control {
    /// Puts those aside that say no more than that something took too long while the machine stalled, and prints how many.
    /// Gives the others, which are the service's own.
    pub(crate) fn put_aside(&self, troubles: Vec<Trouble>) -> Vec<Trouble> {
        let mut rounds = self.rounds.lock().unwrap().clone();
        // The one that is under way may be a stall as well.
        rounds.push(instant());
        let stalls: Vec<_> = rounds.windows(2).filter(|round| round[1] - round[0] > STALL).collect();
        let stalled = |trouble: &Trouble| {
            stalls.iter().any(|stall| stall[0] <= trouble.ended && trouble.began <= stall[1])
        };
        let (aside, own): (Vec<_>, Vec<_>) =
            troubles.into_iter().partition(|trouble| trouble.is_late && stalled(trouble));
        if !aside.is_empty() {
            println!("{} tries put aside, as the machine stalled meanwhile: {aside:#?}", aside.len());
        }
        own
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}
