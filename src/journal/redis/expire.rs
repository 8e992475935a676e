//! The feeder's care for leases: taking back what ran out, and what was claimed without an answer; and for lanes that do
//! not answer.

use std::{sync::LazyLock, time::Duration};

use futures_util::future::join_all;

use super::{
    Pauses, answer,
    core::Core,
    feeder::{Feeding, Lane},
    lease::Moment,
    link::{LinkError, Script},
    script, settle,
};
use crate::clock;

static EXPIRE: LazyLock<Script> = script!("expire", allow_oom);
static UNCLAIM: LazyLock<Script> = script!("unclaim", allow_oom);

impl Feeding {
    /// Takes back jobs whose lease ran out, where that is proved. All lanes at the same time.
    pub(super) async fn look_after_leases(&mut self) {
        let (core, round) = (self.core.clone(), self.round());
        let there = (0..).zip(&mut self.lanes).filter(|(_, state)| !state.away);
        let looked = there.map(|(number, lane)| {
            let core = &core;
            async move { (number, look_after_lane(core, number, lane, round).await) }
        });
        for (lane, looked) in join_all(looked).await {
            match looked {
                Ok(0) => {}
                Ok(taken) => {
                    tracing::warn!(jobs = taken, "took back jobs whose lease had run out");
                    self.ask_everything();
                }
                Err(error) => self.leave(lane, &error),
            }
        }
    }

    /// Puts back what was claimed by calls whose answers did not come. The attempts don't count.
    pub(super) async fn put_back(&mut self) {
        for call in std::mem::take(&mut self.unanswered) {
            let (lane, first, last) = call;
            if self.lanes[lane as usize].away {
                self.unanswered.push(call);
                continue;
            }
            let [first, last] = [first, last].map(|number| number.to_string());
            let args = [self.core.owner.as_bytes(), first.as_bytes(), last.as_bytes()];
            match self.core.page_through_leases(lane, &UNCLAIM, &args).await {
                Ok(put_back) => {
                    if put_back > 0 {
                        tracing::info!(jobs = put_back, "put back jobs of a claim whose answer did not come");
                    }
                    self.ask_everything();
                }
                Err(error) => {
                    self.unanswered.push(call);
                    self.leave(lane, &error);
                }
            }
        }
    }

    /// Leaves a lane that gave no answer, or refused, and has it asked until it answers.
    pub(super) fn leave(&mut self, lane: u32, error: &LinkError) {
        let state = &mut self.lanes[lane as usize];
        if std::mem::replace(&mut state.away, true) {
            return;
        }
        state.contact.lost();
        state.pauses.note(error, "a lane is away: none of its jobs are claimed until it answers");
        let (core, mut pauses) = (self.core.clone(), std::mem::take(&mut state.pauses));
        self.probes.spawn(async move {
            loop {
                pauses.pause().await;
                if settle::answers(&core, lane).await {
                    return (lane, pauses);
                }
            }
        });
    }

    /// Goes on with a lane that answers again. If it does not do what is asked of it then, the pauses go on growing.
    pub(super) fn come_back(&mut self, lane: u32, pauses: Pauses) {
        let state = &mut self.lanes[lane as usize];
        (state.away, state.pauses) = (false, pauses);
        state.next_lease = Duration::ZERO;
        state.next_due.fill(Duration::ZERO);
    }
}

/// Takes jobs back in a lane until nothing is left to take; how many.
async fn look_after_lane(
    core: &Core,
    number: u32,
    lane: &mut Lane,
    round: Duration,
) -> Result<u64, LinkError> {
    let mut all = 0;
    loop {
        let asked = core.moment();
        if lane.next_lease > asked.monotonic {
            return Ok(all);
        }
        let take: &[u8] = if lane.contact.is_proven(asked) { b"1" } else { b"0" };
        let latest = lane.contact.latest(asked).to_string();
        let max_crashes = core.options.max_crashes.to_string();
        let args = [core.owner.as_bytes(), max_crashes.as_bytes(), take, latest.as_bytes()];
        let answer = core.run(number, &EXPIRE, &args).await;
        let answered = core.moment();
        let [now, taken, next, tokens] = answer::fixed(answer?)?;
        lane.contact.heard(asked, answered, answer::int(&now)?);
        let next = u64::try_from(answer::int(&next)?).map_or(Duration::MAX, Duration::from_millis);
        // What has run out and may not be taken yet is looked at again in the next round.
        let wait = if next.is_zero() && take == b"0" { round } else { next.min(round) };
        lane.next_lease = asked.monotonic.saturating_add(wait);
        for token in answer::list(tokens)? {
            core.running.ended(answer::uint(&token)?);
        }
        let taken = answer::uint(&taken)?;
        if taken == 0 {
            return Ok(all);
        }
        all += taken;
        lane.next_lease = Duration::ZERO;
    }
}

impl Core {
    fn moment(&self) -> Moment {
        Moment { instant: clock::instant(), monotonic: self.clock.monotonic() }
    }
}
