//! When the disk does not do what it should: no false success, nothing forgotten, back as soon as it works again.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};

use super::{super::checkpoint, Embedded};
use crate::{
    clock::ManualClock,
    journal::{
        Accepted, Filter, JobState, Outcome, Retention, Sqlite, SqliteOptions, Store, StoreError,
        conformance::{LEASE, START, Workers, World, sent},
        waiting::until,
    },
};

/// Keeps the writer from doing anything until the returned sender is dropped, so that what is said meanwhile is one
/// batch.
fn hold(store: &Sqlite) -> (impl Future<Output = ()>, mpsc::Sender<()>) {
    let (release, held) = mpsc::channel::<()>();
    let (entered, inside) = mpsc::channel();
    let mut waiting = Box::pin(store.write(move |_| {
        entered.send(()).unwrap();
        // An error says that it was released.
        let _ = held.recv();
        Ok(())
    }));
    assert!(waiting.as_mut().now_or_never().is_none());
    inside.recv().unwrap();
    (async { waiting.await.unwrap() }, release)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_commit_answers_nobody_and_forgets_nothing() {
    let world = World::<Embedded>::new().await;
    let store = world.fixture.store.as_ref().unwrap();
    let done = world.add(&sent("done")).await;
    let mut workers = Workers::start(&world, &[("a", 2)]);
    let job = workers.next().await;
    // The file may not grow any more; a connection opened anew knows nothing of that.
    let limit = |session: &mut super::super::Session<'_>| {
        let pages: i64 = session.connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
        session.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    };
    store.write(limit).await.unwrap();
    let before = store.stats().await.unwrap();
    let (held, release) = hold(store);
    let (large, small) = (sent(&"x".repeat(1 << 20)), sent("small"));
    let (settled, small_answer, large_answer, (), ()) = tokio::join!(
        store.settle(job.lease.clone(), Outcome::Done),
        world.accept(&small),
        world.accept(&large),
        held,
        async { drop(release) },
    );
    // The ended attempt was kept and recorded when the store worked again; the deliveries were refused and are not
    // there; nobody was handed a job of theirs.
    settled.unwrap();
    for (id, answer) in [small_answer, large_answer] {
        assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
        assert!(store.delivery(id).await.unwrap().is_none());
    }
    workers.idle(&world).await;
    assert_eq!(workers.free_now("a"), 1, "what was not claimed after all is free again");
    let after = store.stats().await.unwrap();
    assert_eq!((after.accepted, before.accepted, after.jobs), (1, 1, [0, 0, 0, 1, 0, 0]));
    let record = world.job(done.event(0).job("a")).await;
    assert_eq!((record.state, record.attempts, record.crashes), (JobState::Done, 1, 0));
    until("health", || async { store.health().trouble.is_none().then_some(()) }).await;
    world.add(&large).await;
    assert_eq!(workers.next().await.attempt, 1);
    store.assert_consistent().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_runs_through_a_failed_commit_keeps_its_lease() {
    let world = World::<Embedded>::new().await;
    let store = world.fixture.store.as_ref().unwrap();
    world.add(&sent("runs")).await;
    let mut workers = Workers::start(&world, &[("a", 5)]);
    let job = workers.next().await;
    let failure = store.write(|_| Err::<(), _>(rusqlite::Error::InvalidQuery)).await;
    assert!(matches!(failure, Err(StoreError::Unavailable(_))), "{failure:?}");
    until("recovery", || async { store.stats().await.ok() }).await;
    assert!(store.renew(vec![job.lease.clone()]).await.unwrap().is_empty());
    workers.idle(&world).await;
    store.settle(job.lease, Outcome::Done).await.unwrap();
    assert_eq!(world.jobs_by_state().await, [0, 0, 0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_row_costs_its_own_job_and_nothing_else() {
    let mut world = World::<Embedded>::new().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(world.add(&sent("{}").signed_id(&format!("id-{}", ids.len()))).await);
    }
    for (id, events) in [(ids[0], "[{"), (ids[1], "[]")] {
        let damage = move |session: &mut super::super::Session<'_>| {
            let seq = super::super::to_sql(id.seq());
            session.connection.execute(
                "UPDATE delivery SET events = ?2, dedupe = x'00' WHERE seq = ?1",
                rusqlite::params![seq, events],
            )
        };
        world.fixture.store.as_ref().unwrap().write(damage).await.unwrap();
    }
    // What is known of it is read from the damaged rows, too.
    world.fixture.store = None;
    world.fixture.store = Some(super::open(&world.fixture.dir, &world.clock));

    let mut workers = Workers::start(&world, &[("a", 3)]);
    let jobs = workers.all(&world).await;
    assert_eq!(jobs.iter().map(|job| job.lease.delivery).collect::<Vec<_>>(), [ids[2]]);
    assert_eq!(workers.free_now("a"), 2);
    assert_eq!(world.store().health().trouble, None);
    assert_eq!(world.jobs_by_state().await, [0, 1, 0, 0, 2, 0]);
    for id in &ids[..2] {
        let job = world.job(id.event(0).job("a")).await;
        assert_eq!((job.state, job.attempts), (JobState::Dead, 0));
        let error = job.error.unwrap();
        assert!(error.contains("can't be read") && error.contains("sent again"), "{error}");
    }
    // A new one comes in and is handed out as ever.
    world.add(&sent("{}")).await;
    workers.next().await;
    world.pass(Duration::from_secs(3600)).await;
    let retention = Retention { done: Some(Duration::from_secs(1)), failed: Some(Duration::from_secs(1)) };
    assert_eq!(crate::journal::conformance::sweep_all(&world, retention).await.deliveries, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_journal_refuses_until_something_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(START);
    let options = SqliteOptions { max_size: 2 << 20, ..SqliteOptions::new(dir.path()) };
    let store = Sqlite::open(options, Arc::new(clock.clone())).unwrap();
    let world = World {
        fixture: Embedded { dir, clock: clock.clone(), store: Some(store) },
        clock,
        ..World::<Embedded>::new().await
    };
    let mut workers = Workers::start(&world, &[("a", 1_000)]);
    let large = sent(&"x".repeat(100_000));
    let mut stored = 0;
    let refusal = until("a refusal", || async { world.accept(&large).await.1.err() }).await;
    assert!(matches!(&refusal, StoreError::Unavailable(why) if why.contains("max_size")), "{refusal:?}");
    assert!(world.store().health().warning.unwrap().contains("max_size"));
    assert!(world.store().health().trouble.unwrap().contains("max_size"), "not ready while it refuses");
    // What is there goes on, and room is made.
    for job in workers.all(&world).await {
        world.store().settle(job.lease, Outcome::Done).await.unwrap();
        stored += 1;
    }
    assert!(stored > 10, "{stored}");
    world.pass(Duration::from_secs(60)).await;
    let second = Some(Duration::from_secs(1));
    let retention = Retention { done: second, failed: second };
    assert_eq!(crate::journal::conformance::sweep_all(&world, retention).await.deliveries, stored);
    until("room", || async { world.accept(&large).await.1.ok() }).await;
    assert!(world.store().health().warning.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_copied_and_begun_anew_while_deliveries_come_in() {
    let world = World::<Embedded>::new().await;
    let log = world.fixture.dir.path().join("journal-0/journal.db-wal");
    let body = sent(&"x".repeat(4096));
    let mut written = 0;
    let page = 4096;
    let large = u64::try_from(checkpoint::LARGE).unwrap() * page;
    // Each delivery takes two pages of the log at least.
    let mut size = 0;
    for _ in 0..10_000 {
        join_all((0..64).map(|_| world.add(&body))).await;
        written += 64 * 2 * page;
        size = fs::metadata(&log).unwrap().len();
        if written > 20 * large && size < written / 4 {
            return;
        }
    }
    panic!("{written} bytes were written, the log has {size}");
}

/// A small file system of its own, or `None` where that is not permitted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            other => {
                println!("skipped: a small file system can't be mounted here: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_never_a_false_success() {
    let Some(disk) = SmallDisk::mount("24m") else { return };
    let clock = ManualClock::at(START);
    let options = || SqliteOptions { lease: LEASE, ..SqliteOptions::new(disk.path().join("data")) };
    let store = Sqlite::open(options(), Arc::new(clock.clone())).unwrap();
    let fixture = Embedded { dir: tempfile::tempdir().unwrap(), clock: clock.clone(), store: Some(store) };
    let mut world = World { fixture, clock: clock.clone(), ..World::<Embedded>::new().await };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 8 << 20]).unwrap();

    let mut workers = Workers::start(&world, &[("a", 1)]);
    let mut stored = vec![world.add(&sent("first")).await];
    let running = workers.next().await;
    let large = sent(&"x".repeat(50_000)).route("other");
    let refusal = loop {
        match world.accept(&large).await {
            (id, Ok(_)) => stored.push(id),
            (_, Err(error)) => break error,
        }
    };
    assert!(matches!(refusal, StoreError::Unavailable(_)), "{refusal:?}");
    assert!(stored.len() > 20);
    // Now that nothing goes, everything is refused at once, and the attempt that ends is not forgotten.
    until("the disk to be full to the last page", || async {
        let filled = fs::OpenOptions::new()
            .append(true)
            .open(&ballast)
            .and_then(|mut file| std::io::Write::write_all(&mut file, &[0; 4096]));
        filled.is_err().then_some(())
    })
    .await;
    let store = world.fixture.store.as_ref().unwrap();
    until("trouble", || async {
        let _ = store.accept(world.prepare(&large)).await;
        store.health().trouble
    })
    .await;
    let settle = store.settle(running.lease.clone(), Outcome::Done);
    let make_room = async {
        fs::remove_file(&ballast).unwrap();
        until("recovery", || async { world.accept(&large).await.1.ok() }).await
    };
    let (settled, again) = tokio::join!(settle, make_room);
    settled.unwrap();
    assert!(matches!(again, Accepted::New { .. }));
    until("health", || async { store.health().trouble.is_none().then_some(()) }).await;
    assert_eq!(world.state(running.lease.delivery.event(0).job("a")).await, JobState::Done);

    let accepted = world.stats().await.accepted;
    world.fixture.store = None;
    world.fixture.store = Some(Sqlite::open(options(), Arc::new(clock)).unwrap());
    assert_eq!(world.stats().await.accepted, accepted);
    assert_eq!(accepted, stored.len() as u64 + 1, "what was refused is not there");
    for id in stored {
        assert!(world.store().delivery(id).await.unwrap().is_some());
    }
    let page = world.store().deliveries(Filter { limit: 500, ..Filter::default() }).await.unwrap();
    assert_eq!(page.items.len() as u64, accepted);
    // The file system can only go when nothing uses it.
    world.fixture.store = None;
}
