//! Leases: what this host runs, and when it may take back what others ran.

use std::{
    collections::HashMap,
    sync::{
        LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::journal::Lease;

/// The number of the next token. One count for all stores of the process: a lease of one settles nothing in another. It
/// begins anywhere: what is left of an attempt that has ended is its token, and an outcome that is told again must not
/// find that of another process' attempt.
static TOKENS: LazyLock<AtomicU64> =
    LazyLock::new(|| AtomicU64::new(first_number(getrandom::u64().unwrap_or_default())));
/// A token's lowest bits name its lane.
const LANE_BITS: u32 = 8;
/// Scripts count exactly up to here, so no token is larger.
const LARGEST_TOKEN: u64 = 1 << 53;

/// Where a process' count begins: in the lower half of the room, so that the other one is left for its lifetime.
fn first_number(random: u64) -> u64 {
    1 + random % (LARGEST_TOKEN >> (LANE_BITS + 1))
}

/// The number of the first of so many new tokens.
pub(super) fn new_tokens(count: u64) -> u64 {
    TOKENS.fetch_add(count, Ordering::Relaxed)
}

/// The token with this number.
pub(super) fn token(number: u64, lane: u32) -> u64 {
    number << LANE_BITS | u64::from(lane)
}

/// In which lane the job is that a token is for.
pub(super) fn lane_of_token(token: u64) -> u32 {
    u32::try_from(token & ((1 << LANE_BITS) - 1)).unwrap_or(u32::MAX)
}

/// A job as it stands in Redis: delivery, event, route.
pub(super) fn job_key(lease: &Lease) -> Vec<u8> {
    [lease.delivery.as_bytes(), lease.event.to_string().as_bytes(), b":", lease.route.as_bytes()].concat()
}

/// Whether a job is suspected of having taken its process down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Suspicion {
    None,
    /// A process died while it ran. Of these, a host runs one at a time.
    Suspect,
    /// It runs while nothing else of this host does: if the process dies again, it was this one.
    Alone,
}

/// What this host runs.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<RunningJobs>);

#[derive(Debug, Default)]
struct RunningJobs {
    /// By token: the suspicion, and when the lease ends on the clock's monotonic scale.
    jobs: HashMap<u64, (Suspicion, Duration)>,
    /// How many of them there are in each lane.
    in_lane: HashMap<u32, usize>,
    /// How many of them are suspects.
    suspects: usize,
    /// Those of which nothing was heard for long. They don't count, unless they turn out to run after all.
    silent: HashMap<u64, Suspicion>,
    /// A suspect waits until nothing else runs.
    held_up: bool,
}

/// What matters to a claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) busy: bool,
    pub(super) suspect: bool,
    pub(super) alone: bool,
}

impl Running {
    pub(super) fn begun(&self, token: u64, suspicion: Suspicion, until: Duration) {
        self.lock().begun(token, suspicion, until);
    }

    pub(super) fn extend(&self, token: u64, to: Duration) {
        let mut running = self.lock();
        if let Some((_, until)) = running.jobs.get_mut(&token) {
            *until = to;
        } else if let Some(suspicion) = running.silent.remove(&token) {
            running.begun(token, suspicion, to);
        }
    }

    /// Forgets a job; `true` if another may have waited for its end.
    pub(super) fn ended(&self, token: u64) -> bool {
        let mut running = self.lock();
        running.silent.remove(&token);
        let ended = running.remove(token);
        ended.is_some_and(|suspicion| suspicion != Suspicion::None || running.held_up)
    }

    pub(super) fn load(&self) -> Load {
        let running = self.lock();
        Load {
            busy: !running.jobs.is_empty(),
            suspect: running.suspects > 0,
            alone: running.suspects > 0
                && running.jobs.values().any(|(suspicion, _)| *suspicion == Suspicion::Alone),
        }
    }

    /// Whether the lease of a job runs until later than this: it began, or was renewed, accordingly late.
    pub(super) fn began_after(&self, token: u64, until: Duration) -> bool {
        self.lock().jobs.get(&token).is_some_and(|(_, lease_end)| *lease_end > until)
    }

    /// How many jobs of a lane run.
    pub(super) fn in_lane(&self, lane: u32) -> usize {
        self.lock().in_lane.get(&lane).copied().unwrap_or_default()
    }

    /// Notes whether a suspect waits until nothing else runs; `true` if it has to wait still.
    pub(super) fn hold_up(&self, held_up: bool) -> bool {
        let mut running = self.lock();
        running.held_up = held_up;
        held_up && !running.jobs.is_empty()
    }

    /// No longer counts what ended before this without a word: perhaps nobody runs it any more, or Redis was away so long
    /// that nobody could renew it.
    pub(super) fn silence_before(&self, long_ago: Duration) {
        let mut running = self.lock();
        let due = running.jobs.iter().filter(|(_, (_, until))| *until < long_ago);
        let due: Vec<_> = due.map(|(token, _)| *token).collect();
        for token in due {
            if let Some(suspicion) = running.remove(token) {
                running.silent.insert(token, suspicion);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, RunningJobs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment, on both scales that this process has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The machine's, for how long calls really take.
    pub(super) instant: Instant,
    /// The clock's, for leases.
    pub(super) monotonic: Duration,
}

impl RunningJobs {
    fn begun(&mut self, token: u64, suspicion: Suspicion, until: Duration) {
        self.suspects += usize::from(suspicion != Suspicion::None);
        if self.jobs.insert(token, (suspicion, until)).is_none() {
            *self.in_lane.entry(lane_of_token(token)).or_default() += 1;
        }
    }

    fn remove(&mut self, token: u64) -> Option<Suspicion> {
        let (suspicion, _) = self.jobs.remove(&token)?;
        self.suspects -= usize::from(suspicion != Suspicion::None);
        if let Some(running) = self.in_lane.get_mut(&lane_of_token(token)) {
            *running -= 1;
        }
        Some(suspicion)
    }
}

/// For how long a lane's server has been heard without interruption.
///
/// Leases of other hosts are taken back only after one full lease of that: if this host, the network or Redis was
/// away, the others may not have been able to renew theirs either. Nor if Redis' time jumps.
#[derive(Debug)]
pub(super) struct Contact {
    lease: Duration,
    /// Since when, on the clock's monotonic scale; and the last beat.
    steady: Option<(Duration, Beat)>,
}

#[derive(Debug, Clone, Copy)]
struct Beat {
    at: Instant,
    /// Redis' time less the clock's, in ms, was between these.
    ahead: (i64, i64),
}

impl Contact {
    pub(super) fn new(lease: Duration) -> Self {
        Self { lease, steady: None }
    }

    /// Whether a full lease of uninterrupted contact is over.
    pub(super) fn is_proven(&self, now: Moment) -> bool {
        self.steady.as_ref().is_some_and(|(since, beat)| {
            now.monotonic.saturating_sub(*since) >= self.lease
                && now.instant.saturating_duration_since(beat.at) <= self.too_long()
        })
    }

    /// The latest time, in Unix ms, that Redis can have now unless it jumps.
    pub(super) fn latest(&self, now: Moment) -> i64 {
        let too_long = millis(self.too_long());
        self.steady.as_ref().map_or(0, |(_, beat)| {
            millis(now.monotonic).saturating_add(beat.ahead.1).saturating_add(too_long)
        })
    }

    /// An answer came, and said that it is `redis_now` in Unix ms.
    pub(super) fn heard(&mut self, asked: Moment, answered: Moment, redis_now: i64) {
        let too_long = self.too_long();
        let ahead = (redis_now - millis(answered.monotonic), redis_now - millis(asked.monotonic));
        let beat = Beat { at: answered.instant, ahead };
        let slow = answered.instant.saturating_duration_since(asked.instant) > too_long;
        let since = self.steady.as_ref().and_then(|(since, last)| {
            let gap = answered.instant.saturating_duration_since(last.at) > too_long;
            let tolerance = millis(too_long);
            let jumped = ahead.0 > last.ahead.1 + tolerance || ahead.1 < last.ahead.0 - tolerance;
            (!gap && !jumped && !slow).then_some(*since)
        });
        self.steady = Some((since.unwrap_or(answered.monotonic), beat));
    }

    /// No answer came.
    pub(super) fn lost(&mut self) {
        self.steady = None;
    }

    fn too_long(&self) -> Duration {
        self.lease / 3
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const LEASE: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);

    /// A machine's two scales, and Redis' time: an hour ahead.
    struct World {
        start: Instant,
        passed: Duration,
        ahead: i64,
        contact: Contact,
    }

    impl World {
        /// In contact since now.
        fn new() -> Self {
            let (start, contact) = (clock::instant(), Contact::new(LEASE));
            let mut world = Self { start, passed: Duration::ZERO, ahead: 3_600_000, contact };
            world.beat(Duration::ZERO);
            world
        }

        fn now(&self) -> Moment {
            Moment { instant: self.start + self.passed, monotonic: self.passed }
        }

        /// A call that takes so long.
        fn beat(&mut self, took: Duration) {
            let asked = self.now();
            self.passed += took;
            self.contact.heard(asked, self.now(), millis(self.passed) + self.ahead);
        }

        fn beats(&mut self, count: u32) {
            for _ in 0..count {
                self.passed += 5 * SECOND;
                self.beat(Duration::ZERO);
            }
        }

        fn is_proven(&self) -> bool {
            self.contact.is_proven(self.now())
        }
    }

    #[test]
    fn a_full_lease_of_contact_proves() {
        let mut world = World::new();
        world.beats(5);
        assert!(!world.is_proven());
        world.beats(1);
        assert!(world.is_proven());
    }

    #[test]
    fn every_interruption_begins_it_anew() {
        type Interruption = fn(&mut World);
        let interruptions: [(&str, Interruption); 5] = [
            ("no answer", |world| world.contact.lost()),
            ("a slow answer", |world| world.beat(11 * SECOND)),
            ("a gap", |world| world.passed += 11 * SECOND),
            ("Redis' time jumps forward", |world| world.ahead += 11_000),
            ("Redis' time jumps back", |world| world.ahead -= 11_000),
        ];
        for (what, interrupt) in interruptions {
            let mut world = World::new();
            world.beats(6);
            assert!(world.is_proven());
            interrupt(&mut world);
            world.beat(Duration::ZERO);
            world.beats(5);
            assert!(!world.is_proven(), "{what}");
            world.beats(1);
            assert!(world.is_proven(), "{what}");
        }
    }

    #[test]
    fn a_silent_host_believes_nothing() {
        let mut world = World::new();
        world.beats(6);
        world.passed += 11 * SECOND;
        assert!(!world.is_proven());
    }

    #[test]
    fn a_time_that_redis_cannot_have_is_not_believed() {
        let mut world = World::new();
        world.beats(6);
        let latest = world.contact.latest(world.now());
        assert!(latest >= millis(world.passed) + world.ahead);
        assert!(latest < millis(world.passed) + world.ahead + 11_000);
    }

    #[test]
    fn a_token_is_one_that_scripts_can_count_for_all_of_a_process_life() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            let first = first_number(random);
            assert!(first > 0, "0 would be no number");
            // A million a second for half a year.
            let last = token(first + 1_000_000 * 3600 * 24 * 180, 255);
            assert!(last < LARGEST_TOKEN, "{last}");
        }
        assert_ne!(first_number(7), first_number(8), "two processes begin apart");
    }

    #[test]
    fn the_jobs_of_each_lane_are_counted() {
        let running = Running::default();
        for number in 1..=3 {
            running.begun(token(number, 5), Suspicion::None, LEASE);
        }
        running.begun(token(4, 6), Suspicion::Suspect, LEASE);
        running.ended(token(1, 5));
        running.ended(token(1, 5));
        assert_eq!([5, 6, 7].map(|lane| running.in_lane(lane)), [2, 1, 0]);
        running.silence_before(2 * LEASE);
        assert_eq!([5, 6].map(|lane| running.in_lane(lane)), [0, 0]);
        running.extend(token(4, 6), 2 * LEASE);
        assert_eq!(running.in_lane(6), 1);
    }

    #[test]
    fn a_suspect_counts_until_it_has_ended() {
        let running = Running::default();
        running.begun(1, Suspicion::None, LEASE);
        running.begun(2, Suspicion::Alone, LEASE);
        let load = running.load();
        assert!(load.busy && load.suspect && load.alone);
        assert!(!running.ended(1), "nobody waits for it");
        assert!(running.ended(2));
        running.begun(3, Suspicion::None, LEASE);
        running.extend(3, 2 * LEASE);
        running.silence_before(2 * LEASE);
        running.hold_up(true);
        assert!(running.load().busy && !running.load().suspect);
        running.silence_before(3 * LEASE);
        assert!(!running.load().busy);
    }

    #[test]
    fn a_job_that_outlives_an_outage_counts_again() {
        let running = Running::default();
        running.begun(1, Suspicion::Alone, LEASE);
        running.begun(2, Suspicion::None, LEASE);
        running.silence_before(3 * LEASE);
        assert!(!running.load().busy && !running.load().suspect);
        running.extend(1, 5 * LEASE);
        assert!(running.load().alone, "it runs, and still as what it was claimed");
        assert!(running.ended(1));
        // Its outcome was recorded while it was silent; a renewal that was under way comes too late.
        assert!(!running.ended(2));
        running.extend(2, 5 * LEASE);
        assert!(!running.load().busy);
    }
}
