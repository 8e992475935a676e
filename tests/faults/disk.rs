//! Disks that are full, and disks that fail: no success is told that is not on the disk, and it goes on afterwards.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    crashes::assert_blamed_on_crashes,
    sender::OneByOne,
    service::Setup,
    sink::Sink,
    trace::{Call, Trace},
    until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_no_acknowledged_delivery_and_room_mends_it() {
    let Some(small) = SmallDisk::mount() else { return };
    let sink = Sink::start().await;
    let setup = Setup::with_sink(&sink).data_in(small.path().join("data"));
    let mut service = setup.start().await;
    let mut sender = OneByOne::default();
    sender.send_new(&service, 20).await;
    assert_eq!(sender.acknowledged.len(), 20);

    small.fill();
    let written = sender.send_until_refused(&service).await;
    println!("{written} deliveries still had room on the full disk");
    until("readiness is withdrawn", async || !service.is_ready().await).await;
    sender.send_new(&service, 20).await;

    small.make_room();
    until("it is ready again", async || service.is_ready().await).await;
    sender.repeat_refused(&service).await;
    sender.send_new(&service, 20).await;
    sink.has(&sender.acknowledged).await;
    service.is_idle().await;

    // Once more, and this time the process does not live to see the room return.
    let settled = sink.objects();
    small.fill();
    sender.send_until_refused(&service).await;
    service.kill().await;
    small.make_room();
    service = setup.start().await;
    sender.repeat_refused(&service).await;
    sink.has(&sender.acknowledged).await;
    service.is_idle().await;
    let times = sink.times();
    assert!(settled.iter().all(|object| times[object] == 1), "what had ended runs again: {times:?}");
    // One ran when the process was killed; another one if it was its end that found the disk full.
    assert_blamed_on_crashes(&service, &sink).await;
    service.stop().await;
}

/// The failing syncs of one thread: late enough for the start to be over, and so many that several tries to open the
/// journal anew fail as well.
const SOME_FAIL: &str = "fsync,fdatasync:error=EIO:when=40..47";
/// The same, and it never ends.
const ALL_FAIL: &str = "fsync,fdatasync:error=EIO:when=40+";
/// Again and again one sync of a thread fails, and the next one works.
const EVERY_TENTH_FAILS: &str = "fsync,fdatasync:error=EIO:when=40..400+10";
const CALLS: &str = "openat,fsync,fdatasync";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_success_is_told_of_what_was_not_synced() {
    let Some(trace) = Trace::new(CALLS, &[SOME_FAIL]) else { return };
    let sink = Sink::start().await;
    let mut setup = Setup::with_sink(&sink);
    // Without workers, each commit is one delivery's.
    setup.arguments = vec!["--role", "ingress"];
    setup.wrapper = trace.command();
    let service = setup.start().await;
    let mut sender = OneByOne::traced(trace);

    sender.send_until_refused(&service).await;
    until("readiness is withdrawn", async || !service.is_ready().await).await;
    until("it is ready again", async || service.is_ready().await).await;
    sender.repeat_refused(&service).await;
    sender.send_new(&service, 20).await;
    let log = service.log().concat();
    assert!(log.contains("the journal can't commit") && log.contains("the journal commits again"), "{log}");
    sender.assert_synced();
    assert_reopened(&sender.trace.take().unwrap().calls());
    service.kill().await;

    assert_all_handled_once(&mut setup, &sink, &mut sender).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_disk_fails_it_believes_only_what_it_acknowledged() {
    let Some(trace) = Trace::new(CALLS, &[ALL_FAIL]) else { return };
    let sink = Sink::start().await;
    let mut setup = Setup::with_sink(&sink);
    setup.arguments = vec!["--role", "ingress"];
    setup.wrapper = trace.command();
    let service = setup.start().await;
    let mut sender = OneByOne::traced(trace);
    sender.send_until_refused(&service).await;
    let before = sender.acknowledged.len();
    sender.send_new(&service, 30).await;
    assert_eq!(sender.acknowledged.len(), before, "acknowledged on a disk that takes nothing");
    assert!(!service.is_ready().await);
    sender.assert_synced();
    service.kill().await;
    // What the failed sync left behind may be in the kernel's memory only: the next process writes and syncs it anew
    // before it believes it.
    sender.trace = Trace::new(CALLS, &[]);
    setup.wrapper = sender.trace.as_ref().unwrap().command();
    let service = setup.start().await;
    let calls = sender.trace.take().unwrap().calls();
    let opened = calls.iter().position(|call| call.opens("journal.db-wal")).expect("the log is opened");
    let synced = calls[opened..].iter().find(|call| call.is_sync()).expect("the log is synced");
    assert!(synced.succeeded() && synced.thread == calls[opened].thread, "{synced:?}");
    service.stop().await;

    assert_all_handled_once(&mut setup, &sink, &mut sender).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_end_could_not_be_stored_at_once_is_not_repeated() {
    let Some(trace) = Trace::new(CALLS, &[EVERY_TENTH_FAILS]) else { return };
    let sink = Sink::start().await;
    let mut setup = Setup::with_sink(&sink);
    setup.wrapper = trace.command();
    let service = setup.start().await;
    let mut sender = OneByOne::default();
    for _ in 0..200 {
        sender.send_new(&service, 1).await;
        while !sender.refused.is_empty() {
            until("it is ready again", async || service.is_ready().await).await;
            sender.send_refused(&service).await;
        }
    }
    sink.has(&sender.acknowledged).await;
    service.is_idle().await;
    assert!(trace.calls().iter().filter(|call| call.is_sync() && !call.succeeded()).count() > 10);
    assert_reopened(&trace.calls());
    assert!(sink.repeated().is_empty(), "{:?}", sink.repeated());
    assert!(sink.effects().iter().all(|effect| effect.attempt == 1), "{:?}", sink.effects());
    service.stop().await;
}

/// Starts the service as usual and has everything that was refused sent again.
async fn assert_all_handled_once(setup: &mut Setup, sink: &Sink, sender: &mut OneByOne) {
    setup.arguments.clear();
    setup.wrapper.clear();
    let service = setup.start().await;
    sender.trace = None;
    sender.repeat_refused(&service).await;
    sink.has(&sender.acknowledged).await;
    service.is_idle().await;
    assert_eq!(sink.objects(), sender.acknowledged, "handled, and never acknowledged");
    assert_eq!(sink.effects().len(), sender.acknowledged.len(), "one effect each");
    service.stop().await;
}

/// After a sync that failed, a thread opens the journal's log anew before it syncs anything again.
fn assert_reopened(calls: &[Call]) {
    let mut failed = BTreeMap::new();
    let mut failures = 0;
    for call in calls {
        let failed = failed.entry(call.thread).or_insert(false);
        if call.opens("journal.db-wal") {
            *failed = false;
        } else if call.is_sync() {
            assert!(!*failed, "{call:?} comes after a failed sync, on the same open files");
            *failed = !call.succeeded();
            failures += usize::from(*failed);
        }
    }
    assert!(failures > 1, "only {failures} syncs failed");
}

/// A file system of a few megabytes.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None`, and the reason printed, where mounting is not permitted.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            Ok(output) => {
                println!(
                    "skipped: mounting is not permitted: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                None
            }
            Err(error) => {
                println!("skipped: mount can't be run: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut ballast = File::create(self.ballast()).unwrap();
        let error = loop {
            if let Err(error) = ballast.write_all(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a service that is killed only now may still hold files.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
