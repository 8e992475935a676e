//! Disks that are full, and disks that fail: no success is told that is not on the disk, and it goes on afterwards.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    http::Connection,
    sender::{delivery, is_success},
    service::{Service, Setup},
    sink::Sink,
    trace::{Call, Trace},
    until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_no_acknowledged_delivery_and_room_mends_it() {
    let Some(small) = SmallDisk::mount() else { return };
    let sink = Sink::start().await;
    let setup = Setup::with_sink(&sink).data_in(&small.path().join("data"));
    let mut service = setup.start().await;
    let mut sender = Sender::default();
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
    small.fill();
    sender.send_until_refused(&service).await;
    service.kill().await;
    small.make_room();
    service = setup.start().await;
    sender.repeat_refused(&service).await;
    sink.has(&sender.acknowledged).await;
    service.is_idle().await;
    let repeated = sink.repeated();
    assert!(repeated.len() <= 1, "only what ran when the process was killed may run again: {repeated:?}");
    service.stop().await;
}

/// The failing syncs of one thread: late enough for the start to be over, and so many that several tries to open the
/// journal anew fail as well.
const SOME_FAIL: &str = "fsync,fdatasync:error=EIO:when=40..47";
/// The same, and it never ends.
const ALL_FAIL: &str = "fsync,fdatasync:error=EIO:when=40+";
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
    let mut sender = Sender { trace: Some(trace), ..Sender::default() };

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
    let mut sender = Sender { trace: Some(trace), ..Sender::default() };
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

/// Starts the service as usual and has everything that was refused sent again.
async fn assert_all_handled_once(setup: &mut Setup, sink: &Sink, sender: &mut Sender) {
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

/// One sender that sends one delivery at a time, and remembers what came of each.
#[derive(Default)]
struct Sender {
    next: u64,
    acknowledged: BTreeSet<u64>,
    /// Not acknowledged yet: what to repeat, to the byte.
    refused: BTreeMap<u64, Vec<u8>>,
    connection: Option<Connection>,
    trace: Option<Trace>,
    /// For each success: how many calls had been traced before the request, and before the reply.
    spans: Vec<(usize, usize)>,
}

impl Sender {
    async fn send_new(&mut self, service: &Service, count: usize) {
        for _ in 0..count {
            self.next += 1;
            self.send(service, self.next, delivery(self.next)).await;
        }
    }

    /// Sends new deliveries until one is refused; says how many were taken before.
    async fn send_until_refused(&mut self, service: &Service) -> usize {
        assert!(self.refused.is_empty());
        for taken in 0..20_000 {
            self.send_new(service, 1).await;
            if !self.refused.is_empty() {
                return taken;
            }
        }
        panic!("the fault does not show");
    }

    /// Sends again what was refused: now all of it is taken.
    async fn repeat_refused(&mut self, service: &Service) {
        for (object, request) in std::mem::take(&mut self.refused) {
            self.send(service, object, request).await;
        }
        assert!(self.refused.is_empty(), "still refused: {:?}", self.refused.keys());
    }

    async fn send(&mut self, service: &Service, object: u64, request: Vec<u8>) {
        let traced = |trace: &Option<Trace>| trace.as_ref().map_or(0, |trace| trace.calls().len());
        let before = traced(&self.trace);
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => Connection::open(service.ingress).await.unwrap(),
        };
        let reply = connection.exchange(&request).await.unwrap();
        if !reply.closes() {
            self.connection = Some(connection);
        }
        if is_success(&reply) {
            self.acknowledged.insert(object);
            self.spans.push((before, traced(&self.trace)));
        } else {
            assert_eq!(reply.status, 503, "{reply:?}");
            self.refused.insert(object, request);
        }
    }

    /// Asserts that while each delivery was on its way that was acknowledged, a sync succeeded in the thread that
    /// commits.
    fn assert_synced(&self) {
        let calls = self.trace.as_ref().unwrap().calls();
        let committer = calls.iter().find(|call| call.is_sync() && !call.succeeded()).unwrap().thread;
        for &(before, after) in &self.spans {
            let synced = calls[before..after]
                .iter()
                .any(|call| call.thread == committer && call.is_sync() && call.succeeded());
            assert!(synced, "acknowledged without a sync: {:?}", &calls[before..after]);
        }
    }
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
