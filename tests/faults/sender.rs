//! Poster, true to the vendor: signed bodies on kept-alive connections, repeated to the byte until answered as it
//! wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use doorbell::{
    clock::{Clock, SystemClock, instant},
    provider::Secret,
    testing::Sender,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    PATIENCE,
    control::{Control, Trouble},
    http::{Connection, Reply},
    service::Service,
    trace::Trace,
};

pub(crate) const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";
pub(crate) const PATH_SECRET: &str = "a-path-secret-for-these-tests";

/// One delivery, as bytes on the wire: `object` of kind `<entity>.<action>`.
pub(crate) fn delivery_of(entity: &str, action: &str, object: u64) -> Vec<u8> {
    let now = SystemClock.now();
    let seconds = now.as_seconds();
    let body = format!(
        r#"{{"account":"demo-cafe","object":"{entity}","object_id":{object},"action":"{action}","time":"{seconds}","verify":"","account_number":"401122","data":"{{\"type\":2,\"element_id\":{object},\"storage_id\":1,\"value_relative\":-1,\"value_absolute\":23.5}}"}}"#
    );
    let secret = Secret::from(SECRET);
    let signed = Sender::Poster.sign(Some(&secret), now, u128::from(object), body.into_bytes()).unwrap();
    let mut request = Vec::from("POST /in/cafe HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in &signed.headers {
        write!(request, "{name}: {}\r\n", value.to_str().unwrap()).unwrap();
    }
    write!(request, "content-length: {}\r\n\r\n", signed.body.len()).unwrap();
    request.extend(signed.body);
    request
}

/// One `stock.changed`.
pub(crate) fn delivery(object: u64) -> Vec<u8> {
    delivery_of("stock", "changed", object)
}

/// Whether this is what Poster takes for success.
pub(crate) fn is_success(reply: &Reply) -> bool {
    reply.status == 200 && reply.body == br#"{"status":"accept"}"#
}

/// Many connections, each sending one delivery after the other.
pub(crate) struct Load {
    log: Arc<Log>,
    connections: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Log {
    acknowledged: Mutex<BTreeSet<u64>>,
    /// Whatever was no success reply: the object, and what came instead.
    troubles: Mutex<Vec<Trouble>>,
    next: AtomicU64,
    stopping: AtomicBool,
    control: Control,
}

impl Load {
    /// Begins to send, to whichever address `address` shows at the time.
    pub(crate) fn start(address: &watch::Receiver<SocketAddr>, connections: usize) -> Self {
        let log = Arc::new(Log::default());
        let connections =
            (0..connections).map(|_| tokio::spawn(send_on(log.clone(), address.clone()))).collect();
        Self { log, connections }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.log.acknowledged.lock().unwrap().len()
    }

    /// Begins no further delivery, repeats those under way until they are acknowledged, and says what was.
    pub(crate) async fn stop(mut self) -> (BTreeSet<u64>, Vec<Trouble>) {
        self.log.stopping.store(true, Ordering::Relaxed);
        for connection in self.connections.drain(..) {
            timeout(PATIENCE, connection).await.expect("a delivery is not taken any more").unwrap();
        }
        let troubles = self.log.troubles.lock().unwrap().clone();
        (self.log.acknowledged.lock().unwrap().clone(), self.log.control.put_aside(troubles))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.connections.iter().for_each(JoinHandle::abort);
    }
}

async fn send_on(log: Arc<Log>, address: watch::Receiver<SocketAddr>) {
    let mut connection = None;
    while !log.stopping.load(Ordering::Relaxed) {
        let object = log.next.fetch_add(1, Ordering::Relaxed) + 1;
        let request = delivery(object);
        loop {
            let (target, began) = (*address.borrow(), instant());
            let (what, is_late) = match timeout(PATIENCE, attempt(&mut connection, target, &request)).await {
                Ok(Ok(reply)) if is_success(&reply) => break,
                Ok(Ok(reply)) => (format!("status {}", reply.status), reply.says_late()),
                Ok(Err(error)) => (error.to_string(), false),
                Err(_) => ("no reply".into(), true),
            };
            let trouble = Trouble::new(format!("delivery {object}: {what}"), is_late, began);
            log.troubles.lock().unwrap().push(trouble);
            connection = None;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        log.acknowledged.lock().unwrap().insert(object);
        // What a till sends, not as much as will go through: the target has to keep up.
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

async fn attempt(kept: &mut Option<Connection>, address: SocketAddr, request: &[u8]) -> io::Result<Reply> {
    let mut connection = match kept.take().filter(|connection| !connection.is_closed()) {
        Some(connection) => connection,
        None => Connection::open(address).await?,
    };
    let reply = connection.exchange(request).await?;
    if !reply.closes() {
        *kept = Some(connection);
    }
    Ok(reply)
}

/// One sender that sends one delivery at a time, and remembers what came of each.
#[derive(Default)]
pub(crate) struct OneByOne {
    next: u64,
    pub(crate) acknowledged: BTreeSet<u64>,
    /// Not acknowledged yet: what to repeat, to the byte.
    pub(crate) refused: BTreeMap<u64, Vec<u8>>,
    connection: Option<Connection>,
    pub(crate) trace: Option<Trace>,
    /// For each success: how many calls had been traced before the request, and before the reply.
    spans: Vec<(usize, usize)>,
}

impl OneByOne {
    /// One that knows what the service's disk has done while each of its deliveries was on its way.
    pub(crate) fn traced(trace: Trace) -> Self {
        Self { trace: Some(trace), ..Self::default() }
    }

    pub(crate) async fn send_new(&mut self, service: &Service, count: usize) {
        for _ in 0..count {
            self.next += 1;
            self.send(service, self.next, delivery(self.next)).await;
        }
    }

    /// Sends new deliveries until one is refused; says how many were taken before.
    pub(crate) async fn send_until_refused(&mut self, service: &Service) -> usize {
        assert!(self.refused.is_empty());
        for taken in 0..20_000 {
            self.send_new(service, 1).await;
            if !self.refused.is_empty() {
                return taken;
            }
        }
        panic!("the fault does not show");
    }

    /// Sends again what was refused.
    pub(crate) async fn send_refused(&mut self, service: &Service) {
        for (object, request) in std::mem::take(&mut self.refused) {
            self.send(service, object, request).await;
        }
    }

    /// Sends again what was refused: now all of it is taken.
    pub(crate) async fn repeat_refused(&mut self, service: &Service) {
        self.send_refused(service).await;
        assert!(self.refused.is_empty(), "still refused: {:?}", self.refused.keys());
    }

    async fn send(&mut self, service: &Service, object: u64, request: Vec<u8>) {
        let traced = |trace: &Option<Trace>| trace.as_ref().map_or(0, |trace| trace.calls().len());
        let before = traced(&self.trace);
        let mut connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => Connection::open(service.ingress()).await.unwrap(),
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
    pub(crate) fn assert_synced(&self) {
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
