//! A Redis of a test's own, in each shape that Redis comes in, and what can go wrong with it. Shared by the tests of the
//! store and those of the whole service.
//!
//! Everything is on ports of the loopback interface and in folders that go with the test. Each server hangs on a pipe of
//! the process that started it, so none outlives it, however it ends.

mod cluster;
#[path = "../ports.rs"]
mod ports;
mod proxy;
mod sentinels;
mod server;
mod tls;

use std::{thread::sleep, time::Duration};

pub(crate) use self::{
    cluster::Cluster,
    ports::free_port,
    proxy::Proxy,
    sentinels::{PRIMARY, Sentinels},
    server::RedisServer,
    tls::Certificates,
};

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
