//! What only this store promises; what every store does is in `conformance`.

mod opening;
mod sweeping;
mod trouble;

use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{Sqlite, SqliteOptions};
use crate::{
    clock::ManualClock,
    journal::{
        Store,
        conformance::{Fixture, LEASE, MAX_CRASHES, conformance_suite},
    },
};

conformance_suite!(Embedded);

/// A store in a folder of its own.
struct Embedded {
    dir: TempDir,
    clock: ManualClock,
    /// `None` only while it is opened anew.
    store: Option<Sqlite>,
}

#[async_trait]
impl Fixture for Embedded {
    async fn new(clock: ManualClock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Some(open(&dir, &clock));
        Self { dir, clock, store }
    }

    fn store(&self) -> &dyn Store {
        self.store.as_ref().unwrap()
    }

    async fn crash(&mut self) {
        self.store.as_ref().unwrap().assert_consistent().await;
        self.store = None;
        self.store = Some(open(&self.dir, &self.clock));
    }

    async fn mature(&self) {
        let store = self.store.as_ref().unwrap();
        store.assert_consistent().await;
        store.write(merge_all).await.unwrap();
        store.assert_consistent().await;
    }
}

impl Sqlite {
    /// Panics (in the writer's thread, which closes the store) if what is in memory does not follow from the file.
    async fn assert_consistent(&self) {
        self.write(|session| session.memory.assert_follows_from(session.connection)).await.unwrap();
    }
}

fn open(dir: &TempDir, clock: &ManualClock) -> Sqlite {
    let options = SqliteOptions { lease: LEASE, max_crashes: MAX_CRASHES, ..SqliteOptions::new(dir.path()) };
    Sqlite::open(options, Arc::new(clock.clone())).unwrap()
}

/// Merges all keys into their tables, as happens when enough have gathered.
fn merge_all(session: &mut super::Session<'_>) -> rusqlite::Result<()> {
    // Twice: what a merge under way does not hold is merged after it.
    for _ in 0..2 {
        session.memory.tail.merge(session.connection)?;
        while session.memory.tail.is_merging() {
            session.memory.tail.merge(session.connection)?;
        }
    }
    Ok(())
}
