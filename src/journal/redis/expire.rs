//! The feeder's care for leases: taking back what ran out, and what was claimed without an answer.

use std::{sync::LazyLock, time::Duration};

use super::{
    answer,
    core::Core,
    feeder::Feeding,
    lease::Moment,
    link::{LinkError, Script},
    script,
};
use crate::clock;

static EXPIRE: LazyLock<Script> = script!("expire", allow_oom);
static UNCLAIM: LazyLock<Script> = script!("unclaim", allow_oom);

impl Feeding {
    /// Takes back jobs whose lease ran out, where that is proved.
    pub(super) async fn look_after_leases(&mut self) -> Result<(), LinkError> {
        let mut all = Ok(());
        for lane in 0..self.core.lanes() {
            all = all.and(self.look_after_lane(lane).await);
        }
        all
    }

    async fn look_after_lane(&mut self, lane: u32) -> Result<(), LinkError> {
        let round = self.round();
        loop {
            let state = &mut self.lanes[lane as usize];
            let asked = self.core.moment();
            if state.next_lease > asked.monotonic {
                return Ok(());
            }
            let take: &[u8] = if state.contact.is_proven(asked) { b"1" } else { b"0" };
            let latest = state.contact.latest(asked).to_string();
            let max_crashes = self.core.options.max_crashes.to_string();
            let args = [self.core.owner.as_bytes(), max_crashes.as_bytes(), take, latest.as_bytes()];
            let answer = self.core.run(lane, &EXPIRE, &args).await;
            let answered = self.core.moment();
            let [now, taken, next, tokens] = answer::fixed(answer.inspect_err(|_| state.contact.lost())?)?;
            state.contact.heard(asked, answered, answer::int(&now)?);
            let next = u64::try_from(answer::int(&next)?).map_or(Duration::MAX, Duration::from_millis);
            // What has run out and may not be taken yet is looked at again in the next round.
            let wait = if next.is_zero() && take == b"0" { round } else { next.min(round) };
            state.next_lease = asked.monotonic.saturating_add(wait);
            for token in answer::list(tokens)? {
                self.core.running.ended(answer::uint(&token)?);
            }
            let taken = answer::uint(&taken)?;
            if taken == 0 {
                return Ok(());
            }
            tracing::warn!(jobs = taken, "took back jobs whose lease had run out");
            state.next_lease = Duration::ZERO;
            self.ask_everything();
        }
    }

    /// Puts back what was claimed by calls whose answers did not come. The attempts don't count.
    pub(super) async fn put_back(&mut self) -> Result<(), LinkError> {
        let mut all = Ok(());
        for call in std::mem::take(&mut self.unanswered) {
            let (lane, first, last) = call;
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
                    all = all.and(Err(error));
                }
            }
        }
        all
    }
}

impl Core {
    fn moment(&self) -> Moment {
        Moment { instant: clock::instant(), monotonic: self.clock.monotonic() }
    }
}
