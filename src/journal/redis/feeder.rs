//! Feeds this host's workers: claims what is due as soon as a slot is free, and looks after leases that run out.
//!
//! One task does all of it, so that what it knows of this host (what runs, which suspect waits) needs no agreement.

use std::{collections::HashSet, sync::Arc, time::Duration};

#[cfg(test)]
use tokio::sync::oneshot;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Pauses,
    batch::Batches,
    claim::{self, Ask, Claimed},
    core::Core,
    gather::Gathering,
    lease::{self, Contact},
    link::{LinkError, Wake},
    settle::Settlement,
};
use crate::{
    clock,
    journal::{ClaimedJob, Demand, Outcome, StoreError},
};

/// What the feeder is told.
pub(super) enum Command {
    /// The demand has grown, or time has moved.
    Wake,
    /// Something is ready in this lane.
    Lane(u32),
    /// Something is ready in some lane.
    Anywhere,
    /// A job of this route can be claimed in so long.
    Due { lane: u32, route: Arc<str>, due_in: Duration },
    /// A suspect has ended, or what another waited for.
    Eased,
    /// From now on jobs go here.
    Claims(Arc<dyn Demand>, mpsc::UnboundedSender<ClaimedJob>),
    /// Answered after a pass over everything that left nothing to claim.
    #[cfg(test)]
    Pass(oneshot::Sender<()>),
}

impl From<Wake> for Command {
    fn from(wake: Wake) -> Self {
        match wake {
            Wake::Lane(lane) => Self::Lane(lane),
            Wake::Subscribed => Self::Anywhere,
        }
    }
}

/// Where to tell it.
#[derive(Clone)]
pub(super) struct Feeder(mpsc::UnboundedSender<Command>);

impl Feeder {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Command>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// Nothing happens if the store is closed.
    pub(super) fn tell(&self, command: Command) {
        let _ = self.0.send(command);
    }
}

/// The outcomes that go to Redis.
pub(super) type Settlements = Batches<Settlement, Result<(), StoreError>>;

/// The feeder's task.
pub(super) struct Feeding {
    pub(super) core: Arc<Core>,
    settlements: Arc<Settlements>,
    claims: Option<(Arc<dyn Demand>, mpsc::UnboundedSender<ClaimedJob>)>,
    pub(super) lanes: Vec<Lane>,
    /// Which lane is asked first; another one each time, unless a suspect waits in this one.
    first: usize,
    /// Claims whose answer did not come: lane, first and last token's number. Nothing more is claimed in such a lane
    /// before they are put back.
    pub(super) unanswered: Vec<(u32, u64, u64)>,
    /// Each waits until a lane that was left answers again.
    pub(super) probes: JoinSet<(u32, Pauses)>,
    /// When it was last looked for what is due, on the clock's monotonic scale.
    looked_at: Duration,
    /// When all is looked at, whether or not anything was heard of it.
    next_round: std::time::Instant,
    #[cfg(test)]
    passes: Vec<oneshot::Sender<()>>,
}

/// Whether other lanes may be asked as well.
enum Go {
    On,
    NoFurther,
}

pub(super) struct Lane {
    /// For each route, before when, on the clock's monotonic scale, there is no use in asking.
    pub(super) next_due: Vec<Duration>,
    /// The same for leases that run out.
    pub(super) next_lease: Duration,
    pub(super) contact: Contact,
    /// A claim has just filled the slots.
    gathering: Option<Gathering>,
    /// Whether it gave no answer, or refused. Then it is asked on the side, and the others go on without it.
    pub(super) away: bool,
    pub(super) pauses: Pauses,
}

impl Feeding {
    pub(super) fn new(core: Arc<Core>, settlements: Arc<Settlements>) -> Self {
        let lane = |_| Lane {
            next_due: Vec::new(),
            next_lease: Duration::ZERO,
            contact: Contact::new(core.options.lease),
            gathering: None,
            away: false,
            pauses: Pauses::default(),
        };
        Self {
            lanes: (0..core.lanes()).map(lane).collect(),
            settlements,
            claims: None,
            first: 0,
            unanswered: Vec::new(),
            probes: JoinSet::new(),
            looked_at: Duration::ZERO,
            next_round: clock::instant(),
            #[cfg(test)]
            passes: Vec::new(),
            core,
        }
    }

    /// Goes on until the store is closed.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut wakes = self.core.link.wakes();
        loop {
            let wait = tokio::time::sleep_until(self.next_look().into());
            tokio::select! {
                command = commands.recv() => {
                    let Some(command) = command else { return };
                    self.hear(command);
                }
                wake = wakes.next() => self.hear(wake.into()),
                Some(Ok((lane, pauses))) = self.probes.join_next() => self.come_back(lane, pauses),
                () = wait => {}
            }
            // All that has gathered meanwhile, so that one look is for all of it.
            while let Ok(command) = commands.try_recv() {
                self.hear(command);
            }
            while let Some(wake) = wakes.try_next() {
                self.hear(wake.into());
            }
            self.pass().await;
            #[cfg(test)]
            if self.lanes.iter().all(|lane| !lane.away && lane.gathering.is_none()) {
                for pass in self.passes.drain(..) {
                    let _ = pass.send(());
                }
            }
        }
    }

    fn hear(&mut self, command: Command) {
        match command {
            Command::Wake => {}
            Command::Lane(lane) => {
                if let Some(lane) = self.lanes.get_mut(lane as usize) {
                    lane.next_due.fill(Duration::ZERO);
                }
            }
            Command::Due { lane, route, due_in } => {
                let at = self.core.clock.monotonic().saturating_add(due_in);
                let number = self
                    .claims
                    .iter()
                    .flat_map(|(demand, _)| demand.routes())
                    .position(|name| *name == route);
                let lane = self.lanes.get_mut(lane as usize);
                if let Some(due) = lane.zip(number).and_then(|(lane, number)| lane.next_due.get_mut(number)) {
                    *due = at.min(*due);
                }
            }
            Command::Anywhere | Command::Eased => self.ask_everything(),
            Command::Claims(demand, sender) => {
                for lane in &mut self.lanes {
                    lane.next_due = vec![Duration::ZERO; demand.routes().len()];
                }
                self.claims = Some((demand, sender));
            }
            #[cfg(test)]
            Command::Pass(reply) => {
                self.next_round = clock::instant();
                self.passes.push(reply);
            }
        }
    }

    pub(super) fn ask_everything(&mut self) {
        for lane in &mut self.lanes {
            lane.next_due.fill(Duration::ZERO);
        }
    }

    /// When to look again if nothing is heard.
    fn next_look(&self) -> std::time::Instant {
        let (now, monotonic) = (clock::instant(), self.core.clock.monotonic());
        // What was due by then waits for a slot, and whoever frees one wakes this.
        let there = || self.lanes.iter().filter(|lane| !lane.away);
        let dues = there().flat_map(|lane| &lane.next_due).filter(|due| **due > self.looked_at);
        let leases = there().map(|lane| &lane.next_lease);
        let next = dues.chain(leases).min().map(|next| next.saturating_sub(monotonic));
        let gathered = there().filter_map(|lane| lane.gathering).map(Gathering::until);
        let next = gathered.chain(next.and_then(|wait| now.checked_add(wait))).min();
        next.map_or(self.next_round, |at| at.min(self.next_round))
    }

    /// One look at everything that may need it. A lane that does not answer is left, and holds up no other.
    async fn pass(&mut self) {
        if clock::instant() >= self.next_round {
            if !self.lanes[0].away
                && let Err(error) = self.core.check_layout().await
            {
                self.leave(0, &error);
            }
            self.next_round = clock::instant() + self.round();
            // Nobody else may be left who knows of what waits.
            self.ask_everything();
            for lane in &mut self.lanes {
                lane.next_lease = Duration::ZERO;
            }
            let long_ago = self.core.clock.monotonic().saturating_sub(self.core.options.lease);
            self.core.running.silence_before(long_ago);
        }
        self.put_back().await;
        self.look_after_leases().await;
        self.claim().await;
        for lane in self.lanes.iter_mut().filter(|lane| !lane.away) {
            lane.pauses = Pauses::default();
        }
    }

    /// How often all is looked at: often enough to notice in time that contact was lost.
    pub(super) fn round(&self) -> Duration {
        self.core.options.lease / 6
    }

    /// Claims what is due as far as slots are free.
    async fn claim(&mut self) {
        self.looked_at = self.core.clock.monotonic();
        let now = clock::instant();
        for lane in &mut self.lanes {
            lane.gathering = lane.gathering.and_then(|gathering| gathering.going_on(now));
        }
        let lanes = self.lanes.len();
        let first = self.first;
        // Slots that are freed after their route's were filled gather for the next pass: a claim for each would keep
        // Redis busy with small ones.
        let mut filled = HashSet::new();
        for turn in 0..lanes {
            let lane = (first + turn) % lanes;
            if self.lanes[lane].away {
                continue;
            }
            match self.claim_in(lane, &mut filled).await {
                Ok(Go::On) => {}
                Ok(Go::NoFurther) => return,
                Err(error) => {
                    self.leave(number(lane), &error);
                    // Those that share its fate are found at the same time, not each by a claim that waits in vain.
                    for lane in &mut self.lanes {
                        lane.next_lease = Duration::ZERO;
                    }
                    self.look_after_leases().await;
                }
            }
        }
        self.first = (first + 1) % lanes;
    }

    /// Claims until nothing is left in a lane that is due, but for the routes whose slots are filled.
    async fn claim_in(&mut self, lane: usize, filled: &mut HashSet<usize>) -> Result<Go, LinkError> {
        let Some((demand, sender)) = self.claims.clone() else { return Ok(Go::NoFurther) };
        loop {
            if sender.is_closed() {
                self.claims = None;
                return Ok(Go::NoFurther);
            }
            let load = self.core.running.load();
            if load.alone {
                return Ok(Go::NoFurther);
            }
            let asks = self.asks(lane, &*demand, filled);
            let gathering = self.lanes[lane].gathering;
            if asks.iter().all(|ask| gathering.is_some_and(|gathering| gathering.holds(ask.free))) {
                return Ok(Go::On);
            }
            let asked_at = self.core.clock.monotonic();
            let number = number(lane);
            let first_token = lease::new_tokens(claim::AT_ONCE);
            // After the routes were asked: what is freed in between must not count twice.
            let asked = claim::Asked { routes: &asks, pool: demand.pool(), load };
            let claims = claim::claim(&self.core, number, asked, first_token).await;
            let claims = claims.inspect_err(|error| {
                if matches!(error, LinkError::Away(_)) {
                    self.unanswered.push((number, first_token, first_token + claim::AT_ONCE - 1));
                }
            })?;
            for (ask, due_in) in asks.iter().zip(claims.next_due) {
                self.lanes[lane].next_due[ask.route] =
                    due_in.map_or(Duration::MAX, |due_in| asked_at.saturating_add(due_in));
            }
            let claimed = self.hand_out(claims.jobs, &*demand, &sender);
            if self.core.running.hold_up(claims.held_up) {
                // Nothing else begins until it has had its turn.
                self.first = lane;
                return Ok(Go::NoFurther);
            }
            let full = || asks.iter().filter(|ask| claimed[ask.route] >= ask.free);
            if let Some(most) = full().map(|ask| claimed[ask.route]).max() {
                self.lanes[lane].gathering = Some(Gathering::after(most, clock::instant()));
            }
            filled.extend(full().map(|ask| ask.route));
        }
    }

    /// The routes to ask a lane for.
    fn asks(&self, lane: usize, demand: &dyn Demand, filled: &HashSet<usize>) -> Vec<Ask> {
        let now = self.core.clock.monotonic();
        let due = demand.routes().iter().enumerate().zip(&self.lanes[lane].next_due);
        due.filter(|((route, _), due)| **due <= now && !filled.contains(route))
            .map(|((route, name), _)| Ask { route, name: name.clone(), free: demand.free(route) })
            .filter(|ask| ask.free > 0)
            .collect()
    }

    /// Hands jobs to the workers; returns how many of each route were claimed.
    fn hand_out(
        &self,
        jobs: Vec<Claimed>,
        demand: &dyn Demand,
        sender: &mpsc::UnboundedSender<ClaimedJob>,
    ) -> Vec<usize> {
        let until = self.core.lease_end();
        for claimed in &jobs {
            self.core.running.begun(claimed.lease.token, claimed.suspicion, until);
        }
        let mut counts = vec![0; demand.routes().len()];
        for claimed in &jobs {
            counts[claimed.route] += 1;
        }
        for (route, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            demand.claimed(route, *count);
        }
        for Claimed { route, lease, job, .. } in jobs {
            let outcome = match job {
                Ok(job) => match sender.send(job) {
                    Ok(()) => continue,
                    // Whoever would have run it is gone.
                    Err(_) => Outcome::Released,
                },
                Err(error) => Outcome::Dead { error: error.to_string() },
            };
            demand.not_claimed(route, 1);
            let settlements = self.settlements.clone();
            tokio::spawn(async move {
                let lane = lease::lane_of_token(lease.token);
                settlements.submit(lane, Settlement { lease, outcome }).await;
            });
        }
        counts
    }
}

/// A lane's number: there are 256 at most.
fn number(lane: usize) -> u32 {
    u32::try_from(lane).unwrap_or(u32::MAX)
}
