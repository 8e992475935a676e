//! For how long moved rows have been kept.
//!
//! It counts from when a row was moved, not from when it was received: what a long outage held up is as young for the
//! queue as anything, and as easily lost. And it counts only time in which a relay watched, on a scale of its own: a
//! clock that jumps makes no row older.

use std::{collections::VecDeque, time::Duration};

use crate::journal::sqlite::Watch;

/// How many marks there are for the time that rows are kept. Rows stay longer by one such part at most.
const PARTS: u32 = 60;

/// Which of the moved rows have been kept long enough.
#[derive(Debug)]
pub(super) struct Kept {
    keep: Duration,
    /// What the clock showed when this began, and for how long rows had been watched by then.
    began: (Duration, Duration),
    /// In order, by time as by position.
    marks: VecDeque<Mark>,
    /// When this was last written down.
    saved: Duration,
}

/// The rows up to this position had been moved at that time.
#[derive(Debug)]
struct Mark {
    /// When its first row was moved. For a while the mark moves on with the rows.
    opened: Duration,
    time: Duration,
    position: i64,
}

impl Kept {
    /// Goes on from what the file says, when the clock's monotonic time is `now` and rows up to `relayed` are moved.
    pub(super) fn new(keep: Duration, watch: &Watch, relayed: i64, now: Duration) -> Self {
        let time = Duration::from_millis(watch.time);
        let known = watch.moved.iter().filter(|(_, position)| *position <= relayed);
        let marks = known.map(|(millis, position)| {
            let time = Duration::from_millis(*millis).min(time);
            // It does not move on any more: with frequent restarts it would for ever.
            Mark { opened: Duration::ZERO, time, position: *position }
        });
        let mut kept = Self { keep, began: (now, time), marks: marks.collect(), saved: time };
        // When the last ones were moved was not written down.
        kept.moved(relayed, now);
        kept
    }

    /// Rows up to here are moved now.
    pub(super) fn moved(&mut self, position: i64, now: Duration) {
        let (time, part) = (self.time(now), self.part());
        match self.marks.back_mut() {
            Some(last) if last.position >= position => {}
            Some(last) if time.saturating_sub(last.opened) < part => {
                (last.time, last.position) = (time, position);
            }
            _ => self.marks.push_back(Mark { opened: time, time, position }),
        }
    }

    /// Only the rows up to here are moved; the others will be anew.
    pub(super) fn set_back(&mut self, position: i64) {
        self.marks.retain(|mark| mark.position <= position);
    }

    /// Up to which position rows have been kept long enough, if there are any.
    pub(super) fn long_enough(&self, now: Duration) -> Option<i64> {
        let time = self.time(now);
        let old = self.marks.iter().take_while(|mark| time.saturating_sub(mark.time) >= self.keep);
        old.last().map(|mark| mark.position)
    }

    /// No moved row is left up to here.
    pub(super) fn cleared(&mut self, position: i64) {
        self.marks.retain(|mark| mark.position > position);
    }

    /// Whether enough has changed to write it down.
    pub(super) fn is_worth_saving(&self, now: Duration) -> bool {
        !self.marks.is_empty() && self.time(now).saturating_sub(self.saved) >= self.part()
    }

    /// What is to be written down.
    pub(super) fn watch(&self, now: Duration) -> Watch {
        let moved = self.marks.iter().map(|mark| (millis(mark.time), mark.position));
        Watch { time: millis(self.time(now)), moved: moved.collect() }
    }

    /// It was written down.
    pub(super) fn saved(&mut self, watch: &Watch) {
        self.saved = Duration::from_millis(watch.time);
    }

    /// For how long rows have been watched.
    fn time(&self, now: Duration) -> Duration {
        let (began, before) = self.began;
        before + now.saturating_sub(began)
    }

    fn part(&self) -> Duration {
        self.keep / PARTS
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(3600);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_counts_from_when_rows_were_moved() {
        let mut kept = Kept::new(KEEP, &Watch::default(), 0, at(100));
        kept.moved(10, at(100));
        kept.moved(20, at(130));
        kept.moved(30, at(200));
        assert_eq!(kept.long_enough(at(3729)), None);
        assert_eq!(kept.long_enough(at(3730)), Some(20), "those of one minute go together");
        assert_eq!(kept.long_enough(at(3800)), Some(30));
        kept.cleared(20);
        assert_eq!(kept.long_enough(at(3799)), None);
        kept.set_back(0);
        kept.moved(30, at(3799));
        assert_eq!(kept.long_enough(at(7398)), None, "moved anew, kept anew");
        assert_eq!(kept.long_enough(at(7399)), Some(30));
    }

    #[test]
    fn time_in_which_nobody_watched_does_not_count() {
        let mut kept = Kept::new(KEEP, &Watch::default(), 0, at(1_000_000));
        kept.moved(10, at(1_000_000));
        assert!(!kept.is_worth_saving(at(1_000_059)));
        assert!(kept.is_worth_saving(at(1_000_060)));
        let watch = kept.watch(at(1_003_000));
        kept.saved(&watch);
        assert!(!kept.is_worth_saving(at(1_003_000)));
        // Another process, another scale; and rows that were moved after that was written down.
        let kept = Kept::new(KEEP, &watch, 15, at(7));
        assert_eq!(kept.long_enough(at(606)), None);
        assert_eq!(kept.long_enough(at(607)), Some(10));
        assert_eq!(kept.long_enough(at(3606)), Some(10));
        assert_eq!(kept.long_enough(at(3607)), Some(15));
        let behind = Kept::new(KEEP, &watch, 5, at(0));
        assert_eq!(behind.long_enough(at(3599)), None, "what is to be moved anew was not kept");
    }

    #[test]
    fn there_are_never_more_marks_than_parts() {
        let mut kept = Kept::new(KEEP, &Watch::default(), 0, at(0));
        for second in 0..20_000 {
            kept.moved(i64::try_from(second).unwrap(), at(second));
            if let Some(position) = kept.long_enough(at(second)) {
                kept.cleared(position);
            }
            assert!(kept.marks.len() <= 62, "{}", kept.marks.len());
        }
    }
}
