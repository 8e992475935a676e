//! The relay, against a queue that fails as it is told to.

mod fake;
mod keeping;
mod moving;
mod slots;
mod store;

use std::{path::Path, sync::Arc, time::Duration};

use self::fake::Fake;
use super::{AckWhen, LateDuplicate, RelayOptions, Relayed};
use crate::{
    clock::ManualClock,
    delivery::IdGenerator,
    journal::{
        Accepted, NewDelivery, OpenError, Store,
        conformance::{START, Sent, prepare},
        sqlite::{Limits, Outbox, SqliteOptions},
        waiting::until,
    },
};

/// A host with a data folder, and the queue that it shares.
struct Host {
    dir: Arc<tempfile::TempDir>,
    clock: ManualClock,
    ids: Arc<IdGenerator>,
    queue: Arc<Fake>,
    duplicates: Arc<std::sync::Mutex<Vec<LateDuplicate>>>,
    options: RelayOptions,
}

impl Host {
    fn new() -> Self {
        let clock = ManualClock::at(START);
        Self {
            dir: Arc::new(tempfile::tempdir().unwrap()),
            queue: Arc::new(Fake::new(clock.clone())),
            clock,
            ids: Arc::new(IdGenerator::new().unwrap()),
            duplicates: Arc::default(),
            options: RelayOptions {
                ack: AckWhen::Journal,
                gather: Duration::from_millis(1),
                keep: Duration::from_secs(3600),
                look_every: Duration::from_millis(20),
                batch: Limits { rows: 64, bytes: 1 << 20 },
                patience: Duration::from_secs(60),
                ask_every: Duration::from_millis(20),
                save_every: Duration::from_millis(10),
                sweep_every: Duration::from_millis(10),
                retry: (Duration::from_millis(1), Duration::from_millis(10)),
            },
        }
    }

    /// Its relays give up soon, for a queue that hangs. Where none does, they must not: the machine of the test may take
    /// as long for an answer.
    fn impatient(self) -> Self {
        Self { options: RelayOptions { patience: Duration::from_millis(500), ..self.options }, ..self }
    }

    fn journal(&self) -> SqliteOptions {
        SqliteOptions::new(self.dir.path())
    }

    fn outbox(&self) -> Outbox {
        Outbox::open_free(self.journal(), Arc::new(self.clock.clone())).unwrap()
    }

    fn start(&self) -> Relayed {
        self.start_on(self.outbox())
    }

    fn start_on(&self, outbox: Outbox) -> Relayed {
        let duplicates = self.duplicates.clone();
        Relayed::start(
            outbox,
            self.queue.clone(),
            self.options,
            self.journal(),
            Arc::new(self.clock.clone()),
            Arc::new(move |found| duplicates.lock().unwrap().push(found)),
        )
    }

    fn prepare(&self, sent: &Sent) -> NewDelivery {
        prepare(sent, &self.clock, &self.ids)
    }

    /// Accepts this and says under which id.
    async fn add(&self, store: &Relayed, sent: &Sent) -> crate::delivery::DeliveryId {
        let new = self.prepare(sent);
        let id = new.id;
        assert_eq!(store.accept(new).await.unwrap(), Accepted::New { id_reused: false });
        id
    }
}

/// Waits until everything is moved.
async fn drained(store: &Relayed) {
    until("an empty backlog", || async { (store.relay().backlog == 0).then_some(()) }).await;
}

/// Waits until each relay has gone round a few times, so that it has done what it would do.
async fn settled(host: &Host) {
    let before = host.queue.questions();
    until("some rounds", || async { (host.queue.questions() > before + 5).then_some(()) }).await;
}

async fn end(store: Relayed) {
    store.end(Duration::from_secs(60)).await;
    tokio::task::spawn_blocking(move || drop(store)).await.unwrap();
}

fn embedded(dir: &Path) -> Result<crate::journal::Sqlite, OpenError> {
    crate::journal::Sqlite::open(SqliteOptions::new(dir), Arc::new(ManualClock::at(START)))
}
