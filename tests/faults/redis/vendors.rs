//! Kladana and Poster, true to the vendor: each waits no longer than its deadline, and Kladana tries no more than four
//! times, at once, and not after a timeout.

use std::{
    collections::BTreeSet,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use doorbell::clock::instant;
use tokio::{task::JoinSet, time::timeout};

use crate::{
    PATIENCE,
    control::{Control, Trouble},
    http::{Connection, Reply},
    sender::{PATH_SECRET, delivery, is_success},
    service::Service,
};

/// For how long both wait for a reply, connecting included.
pub(super) const DEADLINE: Duration = Duration::from_millis(1500);
/// How often Kladana sends a notification in all.
const KLADANA_TRIES: usize = 4;
/// What each sender leaves between two deliveries. A shop or a till sends now and then, and the machine of the test does
/// all parts' work at once.
const PAUSE: Duration = Duration::from_millis(20);

/// Several senders of each kind, one delivery at a time each.
pub(super) struct Vendors {
    log: Arc<Log>,
    senders: JoinSet<()>,
}

#[derive(Default)]
struct Log {
    acknowledged: Mutex<BTreeSet<u64>>,
    /// What went wrong. Nothing in it is a reason to fail where an ingress is killed.
    troubles: Mutex<Vec<Trouble>>,
    /// What a vendor has given up: the last try of each.
    given_up: Mutex<Vec<Trouble>>,
    /// Where to send: what stands behind an unreachable one is tried next, as a reverse proxy does.
    addresses: Mutex<Vec<SocketAddr>>,
    next: AtomicU64,
    stopping: AtomicBool,
    control: Control,
}

#[derive(Clone, Copy)]
enum Vendor {
    Kladana,
    Poster,
}

impl Vendors {
    /// Begins to send to these ingresses.
    pub(super) fn start(ingresses: &[&Service]) -> Self {
        Self::start_behind(0, ingresses)
    }

    /// The same; the first delivery has the number behind this one.
    pub(super) fn start_behind(last: u64, ingresses: &[&Service]) -> Self {
        let log = Arc::<Log>::default();
        log.next.store(last, Ordering::Relaxed);
        *log.addresses.lock().unwrap() = ingresses.iter().map(|ingress| ingress.ingress()).collect();
        let mut senders = JoinSet::new();
        for vendor in [Vendor::Kladana, Vendor::Kladana, Vendor::Poster, Vendor::Poster] {
            senders.spawn(send(log.clone(), vendor));
        }
        Self { log, senders }
    }

    /// From now on these are the ingresses.
    pub(super) fn send_to(&self, ingresses: &[&Service]) {
        *self.log.addresses.lock().unwrap() = ingresses.iter().map(|ingress| ingress.ingress()).collect();
    }

    /// How many deliveries have been acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        self.log.acknowledged.lock().unwrap().len()
    }

    /// Which ones.
    pub(super) fn numbers(&self) -> BTreeSet<u64> {
        self.log.acknowledged.lock().unwrap().clone()
    }

    /// Begins no further delivery, and gives the numbers of those that were acknowledged. No try may have failed: an
    /// ingress was there all the time.
    pub(super) async fn stop(self) -> BTreeSet<u64> {
        let log = self.log.clone();
        let acknowledged = self.stop_after_trouble().await;
        let troubles = log.control.put_aside(log.troubles.lock().unwrap().clone());
        assert!(troubles.is_empty(), "{} of {}: {troubles:#?}", troubles.len(), acknowledged.len());
        acknowledged
    }

    /// The same where ingresses were killed: tries may have failed, but no vendor has given up.
    pub(super) async fn stop_after_trouble(mut self) -> BTreeSet<u64> {
        self.log.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = timeout(PATIENCE, self.senders.join_next()).await.expect("a sender hangs") {
            ended.unwrap();
        }
        let given_up = self.log.control.put_aside(self.log.given_up.lock().unwrap().clone());
        assert!(given_up.is_empty(), "lost for good: {given_up:#?}");
        self.numbers()
    }
}

async fn send(log: Arc<Log>, vendor: Vendor) {
    let mut kept = None;
    while !log.stopping.load(Ordering::Relaxed) {
        let number = log.next.fetch_add(1, Ordering::Relaxed) + 1;
        match vendor {
            Vendor::Kladana => kladana(&log, number).await,
            Vendor::Poster => poster(&log, number, &mut kept).await,
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Each try on a connection of its own. Any reply that is no success, and a connection that fails, is tried again at
/// once; a reply that does not come in time is not.
async fn kladana(log: &Log, number: u64) {
    let request = notification(number);
    for attempt in 1..=KLADANA_TRIES {
        let began = instant();
        let once = async {
            let mut connection = connect(log, attempt - 1).await?;
            connection.exchange(&request).await
        };
        let (what, is_late, is_last) = match timeout(DEADLINE, once).await {
            Ok(Ok(reply)) if matches!(reply.status, 200 | 204) => return log.acknowledge(number),
            Ok(Ok(reply)) => {
                (format!("status {}", reply.status), reply.says_late(), attempt == KLADANA_TRIES)
            }
            Ok(Err(error)) => (error.to_string(), false, attempt == KLADANA_TRIES),
            Err(_) => (format!("no reply within {DEADLINE:?}"), true, true),
        };
        let trouble = Trouble::new(format!("notification {number}: {what}"), is_late, began);
        if is_last {
            return log.given_up.lock().unwrap().push(trouble);
        }
        log.troubles.lock().unwrap().push(trouble);
    }
}

/// On a connection that is kept. It asks again for two days, so here until it is done.
async fn poster(log: &Log, number: u64, kept: &mut Option<Connection>) {
    let request = delivery(number);
    for attempt in 0.. {
        let began = instant();
        let once = async {
            let mut connection = match kept.take().filter(|connection| !connection.is_closed()) {
                Some(connection) => connection,
                None => connect(log, attempt).await?,
            };
            let reply = connection.exchange(&request).await?;
            if !reply.closes() {
                *kept = Some(connection);
            }
            Ok::<Reply, io::Error>(reply)
        };
        let (what, is_late) = match timeout(DEADLINE, once).await {
            Ok(Ok(reply)) if is_success(&reply) => return log.acknowledge(number),
            Ok(Ok(reply)) => (format!("status {}", reply.status), reply.says_late()),
            Ok(Err(error)) => (error.to_string(), false),
            Err(_) => (format!("no reply within {DEADLINE:?}"), true),
        };
        let trouble = Trouble::new(format!("delivery {number}: {what}"), is_late, began);
        log.troubles.lock().unwrap().push(trouble);
        *kept = None;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Log {
    fn acknowledge(&self, number: u64) {
        self.acknowledged.lock().unwrap().insert(number);
    }
}

/// Each further try begins at another ingress; one that refuses the connection is passed over.
async fn connect(log: &Log, attempt: usize) -> io::Result<Connection> {
    let addresses = log.addresses.lock().unwrap().clone();
    let mut refused = io::ErrorKind::NotFound.into();
    for turn in 0..addresses.len() {
        match Connection::open(addresses[(attempt + turn) % addresses.len()]).await {
            Ok(connection) => return Ok(connection),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// One change of one product.
fn notification(number: u64) -> Vec<u8> {
    let href = "https://api.kladana.com/api/remap/1.2/entity/product/4081aa10-f82b-11f0-0a80";
    let body = format!(
        r#"{{"auditContext":{{"meta":{{"type":"audit","href":"https://api.kladana.com/api/remap/1.2/audit/55aa10f2-f82f-11f0-0a80-0b3c00061001"}},"uid":"manager@demo","moment":"2026-01-23 10:44:23"}},"events":[{{"meta":{{"type":"product","href":"{href}-{number:012x}"}},"action":"UPDATE","accountId":"3c1d6a52-7b40-11ee-0a80-0f4400021c77"}}]}}"#
    );
    format!(
        "POST /in/erp/{PATH_SECRET}?requestId=8c1f02aa-0000-4000-8000-{number:012x} HTTP/1.1\r\nhost: localhost\r\n\
         user-agent: Kladana webhook touch agent 2.0 (/https://www.kladana.in)\r\n\
         content-type: application/json; charset=UTF-8\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
