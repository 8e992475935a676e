//! A Redis of a test's own, in each shape that Redis comes in, and what can go wrong with it. Shared by the tests of the
//! store and those of the whole service.
//!
//! Everything is on ports of the loopback interface and in folders that go with the test. Each server hangs on a pipe of
//! the process that started it, so none outlives it, however it ends.

mod cluster;
mod proxy;
mod sentinels;
mod server;
mod tls;

use std::{collections::BTreeSet, net::TcpListener, sync::Mutex, thread::sleep, time::Duration};

pub(crate) use self::{
    cluster::Cluster,
    proxy::Proxy,
    sentinels::{PRIMARY, Sentinels},
    server::RedisServer,
    tls::Certificates,
};

/// What was given out: who has it may not listen on it yet, or may be down just now.
static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// A port that nobody has now, and that this process gives to nobody else. Not among those that outgoing connections are
/// given: a server must get its port again when it is restarted, and who tries to reach one that is down must not be
/// connected to itself.
pub(crate) fn free_port() -> u16 {
    for _ in 0..1000 {
        let port = 10_000 + (getrandom::u32().unwrap() % 20_000) as u16;
        if GIVEN.lock().unwrap().insert(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("there is no free port");
}

/// Asks again and again until the answer is yes.
pub(crate) fn until(what: &str, mut ask: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if ask() {
            return;
        }
        sleep(Duration::from_millis(10));
    }
    panic!("waited a minute in vain for this: {what}");
}
