//! A handler that takes its process down. The receiver is this test program itself, started once more as a process of
//! its own, and again whenever it aborts.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    future::pending,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use doorbell::{
    Attempt, Event, HandlerError, Receiver, State,
    provider::{Poster, Secrets},
};
use serde_json::{Value, json};
use tokio::{process::Command, sync::Notify};

use crate::{
    http::Connection,
    sender::{SECRET, delivery, delivery_of, is_success},
    service::{Service, token},
    until,
};

/// Set in the process that is to be the receiver: its data folder.
const FOLDER: &str = "DOORBELL_TEST_RECEIVER";
/// How many jobs run beside the one that aborts.
const NEIGHBOURS: usize = 63;
const MAX_CRASHES: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_job_that_aborts_its_process_ends_dead_and_none_beside_it_does() {
    let folder = tempfile::tempdir().unwrap();
    let receiver = start_receiver(folder.path()).await.unwrap();
    let mut sender = Connection::open(receiver.ingress()).await.unwrap();
    for object in 1..=NEIGHBOURS as u64 {
        assert!(is_success(&sender.exchange(&delivery(object)).await.unwrap()));
    }
    let poison = delivery_of("transaction", "changed", 1000);
    // Its handler may start as soon as it is durable, and so take the process down before the answer is written.
    if let Ok(reply) = sender.exchange(&poison).await {
        assert!(is_success(&reply));
    }

    let mut aborts = 0;
    let mut restarted = Ok(receiver);
    let (receiver, jobs) = loop {
        // It may abort before it has even said where it listens.
        if let Ok(mut receiver) = restarted {
            until("it aborts, or has nothing left to do", async || {
                receiver.ended().is_some() || is_settled(&receiver).await
            })
            .await;
            if receiver.ended().is_none() {
                let jobs = all_jobs(&receiver).await;
                break (receiver, jobs);
            }
        }
        aborts += 1;
        assert!(aborts <= MAX_CRASHES, "the job still runs after {MAX_CRASHES} crashes");
        restarted = start_receiver(folder.path()).await;
    };

    assert_eq!(aborts, MAX_CRASHES);
    assert_eq!(jobs.len(), NEIGHBOURS + 1);
    for job in &jobs {
        let (state, crashes) = (job["state"].as_str().unwrap(), job["crashes"].as_u64().unwrap());
        if job["kind"] == "transaction.changed" {
            assert_eq!((state, crashes), ("dead", MAX_CRASHES as u64), "{job}");
        } else {
            // The first crash may have been any one's; the others it was not there for.
            assert_eq!((state, crashes), ("done", 1), "{job}");
        }
    }
    let mut effects = BTreeMap::<u64, usize>::new();
    for line in fs::read_to_string(effects_in(folder.path())).unwrap().lines() {
        *effects.entry(line.parse().unwrap()).or_default() += 1;
    }
    assert_eq!(effects, (1..=NEIGHBOURS as u64).map(|object| (object, 1)).collect());
    receiver.kill().await;
}

async fn start_receiver(folder: &Path) -> Result<Service, String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "poison::the_receiver", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
    Service::start(command).await
}

/// Whether no job waits or runs; an answer that does not come (it is aborting just now) is a no.
async fn is_settled(receiver: &Service) -> bool {
    let Ok(reply) = receiver.ask("/api/stats").await else { return false };
    let Ok(stats) = serde_json::from_slice::<Value>(&reply.body) else { return false };
    ["queued", "running", "retrying"].iter().all(|state| stats["jobs"][state] == 0)
}

async fn all_jobs(receiver: &Service) -> Vec<Value> {
    receiver.json("/api/jobs?limit=500").await["jobs"].as_array().unwrap().clone()
}

fn effects_in(folder: &Path) -> std::path::PathBuf {
    folder.join("effects")
}

/// What the handlers share.
#[derive(Clone)]
struct Shared {
    effects: Arc<fs::File>,
    /// Neighbours that run, and wait with the first attempt.
    running: Arc<AtomicUsize>,
    all_run: Arc<Notify>,
}

/// No test of its own: the receiver's process. Without the variable it does nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_receiver() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let effects = OpenOptions::new().create(true).append(true).open(effects_in(folder)).unwrap();
    let shared = Shared { effects: Arc::new(effects), running: Arc::default(), all_run: Arc::default() };
    let receiver = Receiver::builder()
        .source("cafe", Poster::new(SECRET))
        .on("cafe", "transaction.*", abort)
        .on("cafe", "stock.*", write_down)
        .with_state(shared)
        .data_dir(folder.join("data"))
        .listen(([127, 0, 0, 1], 0).into())
        .admin(([127, 0, 0, 1], 0).into(), Secrets::from(token()))
        // Each route has slots of its own that no other can take: so many that all neighbours run at once.
        .concurrency(4 * NEIGHBOURS)
        .build()
        .await
        .unwrap();
    let bound = receiver.bind().await.unwrap();
    let announced = json!({
        "listening": bound.local_addr().unwrap(), "admin": format!("http://{}", bound.admin_addr().unwrap()),
    });
    println!("\n{announced}");
    bound.serve(pending()).await;
}

/// Takes the process down: the first time when all its neighbours run.
async fn abort(attempt: Attempt, State(shared): State<Shared>) -> Result<(), HandlerError> {
    while attempt.number == 1 && shared.running.load(Ordering::SeqCst) < NEIGHBOURS {
        shared.all_run.notified().await;
    }
    std::process::abort();
}

/// Still runs when the process goes down for the first time; then writes its object down.
async fn write_down(
    attempt: Attempt,
    Event(event): Event<Value>,
    State(shared): State<Shared>,
) -> Result<(), HandlerError> {
    if attempt.number == 1 {
        shared.running.fetch_add(1, Ordering::SeqCst);
        shared.all_run.notify_one();
        pending::<()>().await;
    }
    // One write of a whole line: in the file as soon as it returns, whatever becomes of the process.
    (&*shared.effects).write_all(format!("{}\n", event["object_id"]).as_bytes())?;
    Ok(())
}
