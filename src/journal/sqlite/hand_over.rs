//! The short way of a job: accepted while its route has room and nothing of that route waits, it is stored as running
//! and handed out from memory. It never stands among the waiting jobs, and its delivery is not read back.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    claim::{Claims, Running, RunningJob, Suspicion, Terms, next_token},
    session::Memory,
};
use crate::{
    clock::Timestamp,
    journal::{ClaimedJob, Demand, Lease, NewDelivery},
    provider::ParsedEvent,
};

/// What a new job's handler gets, made before the writer's turn comes.
#[derive(Debug)]
pub(super) struct Handout {
    /// Which event of the delivery it is, from 0.
    pub(super) index: u32,
    pub(super) route: Arc<str>,
    pub(super) event: ParsedEvent,
    pub(super) data: Bytes,
    pub(super) content_type: Option<String>,
}

/// Which jobs of the transaction under way may take the short way.
pub(super) struct Openings<'a> {
    demand: &'a dyn Demand,
    terms: Terms,
    now: Timestamp,
    /// The routes that jobs have come for; few, so looked through one by one.
    routes: Vec<Opening>,
}

#[derive(Debug, Clone, Copy)]
struct Opening {
    /// The route's number in the file.
    route: i64,
    /// Its index in the demand; `None`: this process has no such route.
    index: Option<usize>,
    free: usize,
    taken: usize,
}

impl<'a> Openings<'a> {
    /// `None` while suspects run alone or wait: in which order they come is decided for all jobs together.
    pub(super) fn new(
        demand: &'a dyn Demand,
        running: &Running,
        claims: &Claims,
        memory: &Memory,
        terms: Terms,
        now: Timestamp,
    ) -> Option<Self> {
        let suspects_wait = demand
            .routes()
            .iter()
            .filter_map(|route| memory.number(route))
            .any(|route| memory.suspects_due(route) <= now.as_millis());
        let one_is_alone = claims.any(running, Suspicion::Alone);
        (!suspects_wait && !one_is_alone).then(|| Self { demand, terms, now, routes: Vec::new() })
    }

    /// Claims a new job, if a slot of its route is free and no other job waits for it.
    pub(super) fn claim(
        &mut self,
        memory: &Memory,
        route: i64,
        new: &NewDelivery,
        job: Handout,
    ) -> Option<(RunningJob, ClaimedJob)> {
        if !self.take(memory, route, &job.route) {
            return None;
        }
        let token = next_token();
        let running = RunningJob { token, lease_until: self.terms.lease_until, suspicion: Suspicion::None };
        let claimed = ClaimedJob {
            lease: Lease { delivery: new.id, event: job.index, route: job.route, token },
            source: new.source.clone(),
            provider: new.provider.clone(),
            event: job.event,
            received_at: new.received_at,
            content_type: job.content_type,
            data: job.data,
            attempt: 1,
            replay: 0,
            crashes: 0,
        };
        Some((running, claimed))
    }

    /// Announces what was taken to the demand, before anything else is asked of it.
    pub(super) fn announce(self, claims: &mut Claims) {
        for opening in self.routes.iter().filter(|opening| opening.taken > 0) {
            if let Some(index) = opening.index {
                claims.announce(self.demand, index, opening.taken);
            }
        }
    }

    /// Whether a slot of this route is free for which no other job waits; then it is taken.
    fn take(&mut self, memory: &Memory, route: i64, name: &str) -> bool {
        // Those that wait come first. One that had no room waits as well, so order is kept within a batch, too.
        if memory.due(route) <= self.now.as_millis() {
            return false;
        }
        let at = self.routes.iter().position(|opening| opening.route == route).unwrap_or_else(|| {
            let index = self.demand.routes().iter().position(|other| **other == *name);
            let free = index.map_or(0, |index| self.demand.free(index));
            self.routes.push(Opening { route, index, free, taken: 0 });
            self.routes.len() - 1
        });
        let opening = &mut self.routes[at];
        let taken = opening.taken < opening.free;
        opening.taken += usize::from(taken);
        taken
    }
}
