//! Which jobs this process could start now.
//!
//! Every route has a share of the worker's slots that no other route can take; what is left over is for whoever comes
//! first. So a route whose target hangs can hold up most slots, and never all.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use crate::{clock, handler::SharedHandler, journal::Demand, route::Route};

/// A route with what handles its jobs.
#[derive(Debug, Clone)]
pub(crate) struct HandledRoute {
    pub(crate) name: Arc<str>,
    pub(crate) route: Route,
    pub(crate) handler: SharedHandler,
}

/// Counts what runs, and says what could run beside it.
#[derive(Debug)]
pub(crate) struct Dispatcher {
    names: Vec<Arc<str>>,
    routes: Vec<HandledRoute>,
    slots: Mutex<Slots>,
    /// When a handler that had no room will have some again.
    room: Mutex<Option<Instant>>,
    room_changed: Notify,
}

#[derive(Debug)]
struct Slots {
    running: Vec<usize>,
    /// Slots that only the route itself can take.
    share: usize,
    /// Slots for whoever comes first.
    pool: usize,
    closed: bool,
}

impl Dispatcher {
    /// At most `concurrency` jobs at once; one for each route if there are more routes than that.
    pub(crate) fn new(routes: Vec<HandledRoute>, concurrency: usize) -> Self {
        Self {
            names: routes.iter().map(|route| route.name.clone()).collect(),
            slots: Mutex::new(Slots::new(routes.len(), concurrency)),
            routes,
            room: Mutex::new(None),
            room_changed: Notify::new(),
        }
    }

    pub(super) fn route(&self, name: &str) -> Option<&HandledRoute> {
        self.routes.iter().find(|route| *route.name == *name)
    }

    /// Says that a job of this route has ended.
    pub(super) fn ended(&self, route: &str) {
        if let Some(index) = self.names.iter().position(|name| **name == *route) {
            self.not_claimed(index, 1);
        }
    }

    /// From now on nothing more is started.
    pub(super) fn close(&self) {
        self.slots().closed = true;
    }

    /// Resolves when a handler has room again that had said when.
    pub(super) async fn room_returns(&self) {
        loop {
            let at = *self.room.lock().unwrap_or_else(PoisonError::into_inner);
            match at {
                Some(at) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(at.into()) => {
                            self.room.lock().unwrap_or_else(PoisonError::into_inner).take();
                            return;
                        }
                        () = self.room_changed.notified() => {}
                    }
                }
                None => self.room_changed.notified().await,
            }
        }
    }

    fn ask_again_in(&self, wait: Duration) {
        // Further away than the clock reaches: never.
        let Some(at) = clock::instant().checked_add(wait) else { return };
        let mut room = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        if room.is_none_or(|earlier| at < earlier) {
            *room = Some(at);
            self.room_changed.notify_one();
        }
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Demand for Dispatcher {
    fn routes(&self) -> &[Arc<str>] {
        &self.names
    }

    fn free(&self, route: usize) -> usize {
        let (free, running) = {
            let slots = self.slots();
            (slots.free(route), slots.running[route])
        };
        if free == 0 {
            return 0;
        }
        let handler = &self.routes[route].handler;
        // The store's writer asks this; a handler of the user's must not take it down.
        let Ok(capacity) = catch_unwind(AssertUnwindSafe(|| handler.capacity(running))) else { return 0 };
        if let Some(wait) = capacity.ask_again {
            self.ask_again_in(wait);
        }
        free.min(capacity.free)
    }

    fn pool(&self) -> usize {
        self.slots().free_in_pool()
    }

    fn claimed(&self, route: usize, jobs: usize) {
        self.slots().running[route] += jobs;
        let handler = &self.routes[route].handler;
        // Reported by the panic hook; the jobs are claimed all the same.
        let _ = catch_unwind(AssertUnwindSafe(|| handler.starting(jobs)));
    }

    fn not_claimed(&self, route: usize, jobs: usize) {
        let running = &mut self.slots().running[route];
        *running = running.saturating_sub(jobs);
    }
}

impl Slots {
    fn new(routes: usize, concurrency: usize) -> Self {
        let share = (concurrency / (2 * routes.max(1))).max(1);
        Self {
            running: vec![0; routes],
            share,
            pool: concurrency.saturating_sub(share * routes),
            closed: false,
        }
    }

    fn free(&self, route: usize) -> usize {
        if self.closed {
            return 0;
        }
        self.share.saturating_sub(self.running[route]) + self.free_in_pool()
    }

    fn free_in_pool(&self) -> usize {
        let over = |running: &usize| running.saturating_sub(self.share);
        let taken: usize = self.running.iter().map(over).sum();
        self.pool.saturating_sub(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_route_may_take_every_slot() {
        let mut slots = Slots::new(1, 64);
        assert_eq!(slots.free(0), 64);
        slots.running[0] = 64;
        assert_eq!(slots.free(0), 0);
    }

    #[test]
    fn a_greedy_route_leaves_the_others_their_share() {
        let mut slots = Slots::new(2, 64);
        slots.running[0] = slots.free(0);
        assert_eq!(slots.running[0], 48);
        assert_eq!(slots.free(0), 0);
        assert_eq!(slots.free(1), 16);
        slots.running[1] = 16;
        assert_eq!(slots.free(1), 0);
    }

    #[test]
    fn more_routes_than_slots_get_one_each() {
        let slots = Slots::new(10, 4);
        assert!((0..10).all(|route| slots.free(route) == 1));
    }

    #[test]
    fn nothing_is_free_once_closed() {
        let mut slots = Slots::new(2, 8);
        slots.closed = true;
        assert_eq!(slots.free(0), 0);
    }
}
