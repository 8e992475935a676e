//! Poster, true to the vendor: signed bodies on kept-alive connections, repeated to the byte until answered as it
//! wants.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use doorbell::{
    clock::{Clock, SystemClock},
    provider::Secret,
    testing::Sender,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    PATIENCE,
    http::{Connection, Reply},
};

pub(crate) const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

/// One delivery, as bytes on the wire: `object` of kind `<entity>.<action>`.
pub(crate) fn delivery_of(entity: &str, action: &str, object: u64) -> Vec<u8> {
    let now = SystemClock.now();
    let seconds = now.as_seconds();
    let body = format!(
        r#"{{"account":"demo-cafe","object":"{entity}","object_id":{object},"action":"{action}","time":"{seconds}","verify":"","account_number":"401122","data":"{{\"type\":2,\"element_id\":{object},\"storage_id\":1,\"value_relative\":-1,\"value_absolute\":23.5}}"}}"#
    );
    let secret = Secret::from(SECRET);
    let signed = Sender::Poster.sign(Some(&secret), now, u128::from(object), body.into_bytes()).unwrap();
    let mut request = String::from("POST /in/cafe HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in &signed.headers {
        request += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    request += &format!("content-length: {}\r\n\r\n", signed.body.len());
    let mut bytes = request.into_bytes();
    bytes.extend(signed.body);
    bytes
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
    troubles: Mutex<Vec<(u64, String)>>,
    next: AtomicU64,
    stopping: AtomicBool,
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

    pub(crate) fn troubles(&self) -> Vec<(u64, String)> {
        self.log.troubles.lock().unwrap().clone()
    }

    /// Begins no further delivery, repeats those under way until they are acknowledged, and says what was.
    pub(crate) async fn stop(mut self) -> (BTreeSet<u64>, Vec<(u64, String)>) {
        self.log.stopping.store(true, Ordering::Relaxed);
        for connection in self.connections.drain(..) {
            timeout(PATIENCE, connection).await.expect("a delivery is not taken any more").unwrap();
        }
        (self.log.acknowledged.lock().unwrap().clone(), self.troubles())
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
            let target = *address.borrow();
            match timeout(PATIENCE, attempt(&mut connection, target, &request)).await {
                Ok(Ok(reply)) if is_success(&reply) => break,
                Ok(Ok(reply)) => log.trouble(object, format!("status {}", reply.status)),
                Ok(Err(error)) => log.trouble(object, error.to_string()),
                Err(_) => log.trouble(object, "no reply".into()),
            }
            connection = None;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        log.acknowledged.lock().unwrap().insert(object);
        // What a till sends, not as much as will go through: the target has to keep up.
        tokio::time::sleep(Duration::from_millis(4)).await;
    }
}

impl Log {
    fn trouble(&self, object: u64, what: String) {
        self.troubles.lock().unwrap().push((object, what));
    }
}

async fn attempt(
    kept: &mut Option<Connection>,
    address: SocketAddr,
    request: &[u8],
) -> std::io::Result<Reply> {
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
