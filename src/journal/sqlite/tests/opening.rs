//! The data folder and its file: whose it is, and what is done with one that is not ours.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use rusqlite::Connection;
use tempfile::TempDir;

use super::Embedded;
use crate::journal::sqlite::Session;
use crate::{
    clock::ManualClock,
    journal::{
        Accepted, OpenError, Sqlite, SqliteOptions, Store, StoreError,
        conformance::{Fixture, START, World, sent},
    },
};

fn try_open(dir: &Path) -> Result<Sqlite, OpenError> {
    Sqlite::open(SqliteOptions::new(dir), Arc::new(ManualClock::at(START)))
}

/// A data folder whose database file has been made by `make`.
fn folder(make: impl FnOnce(&Path)) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("journal-0")).unwrap();
    make(&dir.path().join("journal-0/journal.db"));
    dir
}

/// Asserts that the folder is refused, in these words, and that its file is as it was.
fn assert_refused(dir: &TempDir, expected: impl Fn(&OpenError) -> bool, words: &[&str]) {
    let file = dir.path().join("journal-0/journal.db");
    let before = fs::read(&file).unwrap();
    for _ in 0..2 {
        let error = try_open(dir.path()).err().expect("it is refused");
        let text = error.to_string();
        assert!(expected(&error), "{error:?}");
        assert!(words.iter().all(|word| text.contains(word)) && text.contains("journal.db"), "{text}");
        assert!(fs::read(&file).unwrap() == before, "the file is untouched");
    }
}

#[test]
fn one_folder_serves_one_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = try_open(dir.path()).unwrap();
    for _ in 0..2 {
        let error = try_open(dir.path()).err().expect("the second one is refused");
        assert!(matches!(error, OpenError::Locked { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("in use by another process") && text.contains("[journal] dir"), "{text}");
    }
    drop(first);
    try_open(dir.path()).unwrap();
}

#[test]
fn somebody_elses_database_is_refused() {
    let dir = folder(|path| {
        Connection::open(path)
            .unwrap()
            .execute_batch("CREATE TABLE precious (x); INSERT INTO precious VALUES (1)")
            .unwrap();
    });
    assert_refused(&dir, |error| matches!(error, OpenError::Foreign { .. }), &["not a journal", "1 tables"]);
}

#[test]
fn what_is_no_database_is_refused() {
    for content in [&b"precious, but no database at all"[..], &[0xff; 8192]] {
        let dir = folder(|path| fs::write(path, content).unwrap());
        assert_refused(
            &dir,
            |error| matches!(error, OpenError::Foreign { .. }),
            &["not a journal", "move it away"],
        );
    }
}

#[test]
fn the_file_of_a_newer_build_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(try_open(dir.path()).unwrap());
    let file = dir.path().join("journal-0/journal.db");
    Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_refused(
        &dir,
        |error| matches!(error, OpenError::Newer { found: 99, .. }),
        &["format 99", "newer build"],
    );
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let world = World::<Embedded>::new().await;
    for _ in 0..100 {
        world.add(&sent(&"x".repeat(2000))).await;
    }
    let Embedded { dir, store, .. } = world.fixture;
    drop(store);
    let file = dir.path().join("journal-0/journal.db");
    Connection::open(&file).unwrap().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let sound = fs::read(&file).unwrap();
    // Everything behind the header page, then the header page itself behind its header.
    for damaged in [4096..sound.len(), 100..4096] {
        let mut bytes = sound.clone();
        bytes[damaged].fill(0xa5);
        fs::write(&file, bytes).unwrap();
        assert_refused(&dir, |error| matches!(error, OpenError::Database { .. }), &["damaged", "salvaged"]);
    }
    fs::write(&file, sound).unwrap();
    assert_eq!(try_open(dir.path()).unwrap().stats().await.unwrap().accepted, 100);
}

#[tokio::test]
async fn only_the_owner_may_read_anything() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = try_open(&data).unwrap();
    store.stats().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for folder in [data.clone(), data.join("journal-0")] {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
    }
    let mut files = 0;
    for entry in fs::read_dir(data.join("journal-0")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert_eq!(files, 4, "lock, database, log and its index");
}

#[tokio::test]
async fn every_connection_syncs_each_commit() {
    let dir = tempfile::tempdir().unwrap();
    let store = try_open(dir.path()).unwrap();
    let settings = |connection: &Connection| {
        let text = |pragma: &str| {
            connection.pragma_query_value(None, pragma, |row| row.get::<_, String>(0)).unwrap()
        };
        let number =
            |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        (text("journal_mode"), number("synchronous"), number("fullfsync"), number("wal_autocheckpoint"))
    };
    let expected = ("wal".to_owned(), 2, 1, 0);
    assert_eq!(store.write(move |session| Ok(settings(session.connection))).await.unwrap(), expected);
    assert_eq!(store.read(move |connection| Ok(settings(connection))).await.unwrap(), expected);
    let slot_is_locked = try_open(dir.path()).is_err();
    assert!(slot_is_locked);
}

#[tokio::test]
async fn keys_are_found_wherever_a_merge_stopped() {
    let mut world = World::<Embedded>::new().await;
    let send = |number: usize| sent("{}").unsigned_id(&number.to_string());
    let mut ids = Vec::new();
    for number in 0..700 {
        ids.push(world.add(&send(number)).await);
    }
    for steps in 0..5 {
        // Some steps into a merge, more come in, another step, and the process dies.
        world.fixture.merge(steps).await;
        for number in ids.len()..ids.len() + 20 {
            ids.push(world.add(&send(number)).await);
        }
        world.fixture.merge(1).await;
        world.fixture.crash().await;
        for (number, id) in ids.iter().enumerate() {
            let again = world.accept(&send(number)).await.1.unwrap();
            assert_eq!(again, Accepted::Duplicate { original: *id });
            let job = id.event(0).job("a");
            assert_eq!(world.store().locate(job.into()).await.unwrap(), Some(*id));
        }
        if steps == 3 {
            world.fixture.mature().await;
        }
    }
}

impl Embedded {
    async fn merge(&self, steps: usize) {
        let merge = move |session: &mut Session<'_>| {
            (0..steps).try_for_each(|_| session.memory.tail.merge(session.connection))
        };
        self.store.as_ref().unwrap().write(merge).await.unwrap();
    }
}

#[tokio::test]
async fn two_deliveries_in_one_place_are_no_harm_to_others() {
    let world = World::<Embedded>::new().await;
    let first = world.prepare(&sent("first"));
    let second = crate::journal::NewDelivery { body: "second".into(), ..first.clone() };
    let id = first.id;
    world.store().accept(first).await.unwrap();
    let third = sent("other");
    let (refused, other) = tokio::join!(world.store().accept(second), world.accept(&third));
    assert!(
        matches!(&refused, Err(StoreError::Invalid(why)) if why.contains(&id.to_string())),
        "{refused:?}"
    );
    assert!(other.1.is_ok());
    assert_eq!(world.delivery(id).await.body, "first");
    assert_eq!(world.store().health().trouble, None);
}
