//! Which rows of an outbox the queue has, which are safe in it, and which are offered next. Pure.

/// How far the rows of one outbox are, by their positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marks {
    /// The rows up to here are in the queue, or were once.
    once: i64,
    /// Those up to here are in it, as safely as was asked for.
    relayed: i64,
    /// The queue has the rows up to `offered`, and those behind `again` up to `once`. Those between are to be offered
    /// again.
    offered: i64,
    again: i64,
    /// Of which rows the last batch was.
    last: Part,
    /// Whether what the queue takes in counts as moved only when it is known to be safe. It runs before.
    has_to_be_safe: bool,
    /// How often the queue was another copy of its data.
    copies: u32,
}

/// What the queue has been offered at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    until: i64,
    copy: u32,
}

/// Of which rows a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Those that the queue never had.
    New,
    /// Those that it had, and may have lost.
    Again,
}

impl Marks {
    /// Goes on from what the file says. What the queue had and is not known to have now is offered again.
    pub(super) fn new(once: i64, relayed: i64, has_to_be_safe: bool) -> Self {
        Self { once, relayed, offered: relayed, again: once, last: Part::Again, has_to_be_safe, copies: 0 }
    }

    /// Of which rows the next batch is, where the outbox ends at `end`. What is new does not stand behind what is
    /// offered again, nor the other way round. While a row is looked for that can't be taken, the next batch is of the
    /// `same` ones.
    pub(super) fn next(&self, end: i64, same: bool) -> Option<Part> {
        match (end > self.once, self.offered < self.again) {
            (true, true) if same == (self.last == Part::New) => Some(Part::New),
            (_, true) => Some(Part::Again),
            (true, false) => Some(Part::New),
            (false, false) => None,
        }
    }

    /// Begins a batch of this part: its rows lie behind the first position, and no further than the second.
    pub(super) fn begin(&mut self, part: Part, end: i64) -> (i64, i64) {
        self.last = part;
        match part {
            Part::New => (self.once, end),
            Part::Again => (self.offered, self.again),
        }
    }

    /// The queue has the rows of this part up to here. `true`: with them it was offered again all that it may have lost.
    pub(super) fn confirm(&mut self, part: Part, position: i64) -> bool {
        let was_again = self.offered < self.again;
        match part {
            Part::New => self.once = position,
            Part::Again => self.offered = position,
        }
        let is_again = was_again && self.offered < self.again;
        if !is_again {
            (self.offered, self.again) = (self.once, self.once);
        }
        if !self.has_to_be_safe {
            self.relayed = self.offered;
        }
        was_again && !is_again
    }

    /// What was offered to this copy of the data until now.
    pub(super) fn offered(&self) -> Extent {
        Extent { until: self.offered, copy: self.copies }
    }

    /// Whether the queue is still the copy of its data to which this was offered.
    pub(super) fn is_there(&self, offered: Extent) -> bool {
        offered.copy == self.copies
    }

    /// What was offered is as safe as was asked for, if it is still there.
    pub(super) fn safe(&mut self, offered: Extent) {
        if self.is_there(offered) {
            self.relayed = self.relayed.max(offered.until);
        }
    }

    /// Whether the queue has rows that are not known to be as safe as was asked for.
    pub(super) fn has_unsafe(&self) -> bool {
        self.relayed < self.offered
    }

    /// The queue is another copy of its data: only the rows up to here are known to be in it.
    pub(super) fn set_back(&mut self, relayed: i64) {
        (self.relayed, self.offered, self.again) = (relayed, relayed, self.once);
        self.copies += 1;
    }

    /// Up to where the rows are in the queue, or were once.
    pub(super) fn once(&self) -> i64 {
        self.once
    }

    /// Up to where they are in it, as safely as was asked for.
    pub(super) fn relayed(&self) -> i64 {
        self.relayed
    }

    /// How many of those that the queue had are not known to be there now, or not safely.
    pub(super) fn unsure(&self) -> i64 {
        self.again - self.relayed
    }

    /// Whether nothing is to be offered again, so that what is new is all there is.
    pub(super) fn has_new_alone(&self) -> bool {
        self.offered == self.once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes and confirms batches of up to `rows` rows, until there are none; which part each was of, and its rows.
    fn drain(marks: &mut Marks, end: i64, rows: i64) -> Vec<(Part, i64, i64)> {
        let mut batches = Vec::new();
        while let Some(part) = marks.next(end, false) {
            let (after, until) = marks.begin(part, end);
            let last = until.min(after + rows);
            marks.confirm(part, last);
            batches.push((part, after, last));
        }
        batches
    }

    #[test]
    fn new_rows_are_offered_in_order_and_are_safe_when_confirmed() {
        let mut marks = Marks::new(0, 0, false);
        assert_eq!(marks.next(0, false), None);
        assert_eq!(drain(&mut marks, 25, 10), [(Part::New, 0, 10), (Part::New, 10, 20), (Part::New, 20, 25)]);
        assert_eq!((marks.once(), marks.relayed(), marks.unsure()), (25, 25, 0));
        assert!(marks.has_new_alone());
    }

    #[test]
    fn what_the_file_does_not_know_is_offered_again() {
        let mut marks = Marks::new(8, 5, false);
        assert_eq!((marks.unsure(), marks.has_new_alone()), (3, false));
        assert_eq!(drain(&mut marks, 8, 10), [(Part::Again, 5, 8)]);
        assert_eq!((marks.relayed(), marks.unsure()), (8, 0));
    }

    #[test]
    fn old_and_new_rows_take_turns() {
        let mut marks = Marks::new(20, 20, false);
        marks.set_back(0);
        let expected =
            [(Part::New, 20, 30), (Part::Again, 0, 10), (Part::New, 30, 40), (Part::Again, 10, 20)];
        assert_eq!(drain(&mut marks, 40, 10), expected);
        assert_eq!((marks.once(), marks.relayed()), (40, 40));
    }

    #[test]
    fn no_turn_is_taken_while_a_row_is_looked_for() {
        let mut marks = Marks::new(20, 0, false);
        for part in [Part::New, Part::Again] {
            marks.begin(part, 40);
            assert_eq!(marks.next(40, true), Some(part));
            assert_ne!(marks.next(40, false), Some(part));
        }
    }

    #[test]
    fn new_rows_are_not_safe_before_the_old_ones_are() {
        let mut marks = Marks::new(20, 10, false);
        assert!(!marks.confirm(Part::New, 30));
        assert_eq!((marks.once(), marks.relayed()), (30, 10));
        assert!(!marks.confirm(Part::Again, 15), "not yet all of them");
        assert_eq!(marks.relayed(), 15);
        assert!(marks.confirm(Part::Again, 20), "the last of them");
        assert_eq!((marks.relayed(), marks.unsure()), (30, 0), "what was new meanwhile is in this copy, too");
        assert!(!marks.confirm(Part::New, 31), "said once");
    }

    #[test]
    fn what_has_to_be_safe_counts_when_it_is() {
        let mut marks = Marks::new(0, 0, true);
        assert!(!marks.has_unsafe());
        drain(&mut marks, 30, 10);
        assert_eq!((marks.once(), marks.relayed(), marks.unsure()), (30, 0, 30));
        let offered = marks.offered();
        drain(&mut marks, 50, 10);
        marks.safe(offered);
        assert_eq!((marks.once(), marks.relayed(), marks.unsure()), (50, 30, 20), "what came after is not");
        assert!(marks.has_unsafe());
        marks.safe(marks.offered());
        assert_eq!((marks.relayed(), marks.unsure(), marks.has_unsafe()), (50, 0, false));
    }

    #[test]
    fn only_what_this_copy_was_offered_becomes_safe() {
        let mut marks = Marks::new(30, 30, true);
        let before = marks.offered();
        marks.set_back(0);
        marks.safe(before);
        assert_eq!(marks.relayed(), 0, "another copy was asked");
        marks.confirm(Part::Again, 10);
        marks.confirm(Part::New, 40);
        marks.safe(marks.offered());
        assert_eq!((marks.once(), marks.relayed(), marks.unsure()), (40, 10, 20));
        assert_eq!(marks.next(40, false), Some(Part::Again));
    }
}
