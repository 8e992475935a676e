//! Ports for programs that can't choose one for themselves.

use std::{collections::BTreeSet, net::TcpListener, sync::Mutex};

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
