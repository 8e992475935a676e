//! One job at a time.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use crate::{journal::Demand, worker::Dispatcher};

/// Lets one job of one route through whenever it is told to. What rate limits and breakers say does not count: they
/// hold jobs up by the machine's time, and change nothing about what becomes of one.
#[derive(Debug)]
pub(super) struct Turnstile {
    dispatcher: Arc<Dispatcher>,
    /// The route that one job may be claimed of.
    open: AtomicUsize,
}

const CLOSED: usize = usize::MAX;

impl Turnstile {
    pub(super) fn new(dispatcher: Arc<Dispatcher>) -> Self {
        Self { dispatcher, open: AtomicUsize::new(CLOSED) }
    }

    /// The place of a route among all of them, in the order in which they were given to the builder.
    pub(super) fn position(&self, route: &str) -> usize {
        self.routes().iter().position(|name| **name == *route).unwrap_or(CLOSED)
    }

    /// From now on, one job of this route may be claimed.
    pub(super) fn open(&self, route: usize) {
        self.open.store(route, Ordering::SeqCst);
    }

    /// Whether one has been claimed. If not, none will be.
    pub(super) fn was_used(&self) -> bool {
        self.open.swap(CLOSED, Ordering::SeqCst) == CLOSED
    }
}

impl Demand for Turnstile {
    fn routes(&self) -> &[Arc<str>] {
        self.dispatcher.routes()
    }

    fn free(&self, route: usize) -> usize {
        usize::from(self.open.load(Ordering::SeqCst) == route)
    }

    fn pool(&self) -> usize {
        1
    }

    fn claimed(&self, route: usize, jobs: usize) {
        if jobs > 0 {
            self.open.store(CLOSED, Ordering::SeqCst);
        }
        self.dispatcher.claimed(route, jobs);
    }

    fn not_claimed(&self, route: usize, jobs: usize) {
        self.dispatcher.not_claimed(route, jobs);
    }
}
