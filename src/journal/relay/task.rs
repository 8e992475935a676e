//! One relay: moves the rows of one outbox, in the order in which they were acknowledged.

mod tidy;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use self::tidy::Unsaved;
use super::{
    AckWhen, LateDuplicate, OnDuplicate, RelayOptions,
    kept::Kept,
    marks::{Extent, Marks, Part},
    offer::{Fate, Offered, fates, offer},
    report::{Moved, Report},
    safety::{Answer, Safety},
    stop::{Stop, over, stopped, told},
};
use crate::{
    clock::{self, Clock, Timestamp},
    journal::{
        Safe, Shared, StoreError, TakenIn,
        sealed::Sealed,
        sqlite::{Limits, Outbox, Progress},
    },
};

/// A batch of so many rows says that much comes in.
const MANY: i64 = 64;

/// What a relay works with.
pub(super) struct Relay {
    outbox: Arc<Outbox>,
    shared: Arc<dyn Shared>,
    options: RelayOptions,
    clock: Arc<dyn Clock>,
    report: Arc<Report>,
    on_duplicate: OnDuplicate,
    /// Whether to end when the outbox holds nothing any more.
    ends_when_empty: bool,
    /// True now; the file lags behind.
    marks: Marks,
    /// The same: which copy of its data the queue has, by lane.
    histories: BTreeMap<u32, String>,
    safety: Safety,
    /// Whether what the queue has was found to be less safe than was asked for.
    is_short: bool,
    kept: Kept,
    /// Whether rows were deleted before their time, and none was kept to its end since.
    keeps_less: bool,
    /// What the file does not know yet.
    unsaved: Unsaved,
    /// How many rows are offered at once now. Fewer while one among them is looked for that can't be taken.
    rows: usize,
    pause: Duration,
    next_tidy: Instant,
    next_ask: Instant,
}

impl Relay {
    pub(super) fn new(
        outbox: Arc<Outbox>,
        shared: Arc<dyn Shared>,
        options: RelayOptions,
        clock: Arc<dyn Clock>,
        on_duplicate: OnDuplicate,
        ends_when_empty: bool,
    ) -> Self {
        let Progress { relayed, once, histories } = outbox.progress().clone();
        let marks = Marks::new(once, relayed, shared.has_to_be_safe());
        Self {
            report: Arc::new(Report::new(marks.once(), marks.unsure())),
            kept: Kept::new(options.keep, outbox.watch(), relayed, clock.monotonic()),
            keeps_less: false,
            marks,
            histories,
            safety: Safety::new(shared.clone()),
            is_short: false,
            outbox,
            shared,
            clock,
            on_duplicate,
            ends_when_empty,
            unsaved: Unsaved::default(),
            rows: options.batch.rows,
            pause: options.retry.0,
            next_tidy: clock::instant(),
            next_ask: clock::instant(),
            options,
        }
    }

    pub(super) fn report(&self) -> Arc<Report> {
        self.report.clone()
    }

    /// Moves rows until it is told to stop, or the outbox is empty and that is the end.
    pub(super) async fn run(mut self, mut stop: Stop) {
        let mut posted = self.outbox.posted();
        loop {
            if let Some(answer) = self.safety.take_answer() {
                self.heed(answer).await;
            }
            let now = clock::instant();
            if self.marks.has_unsafe() && self.safety.next().is_some_and(|next| next <= now) {
                self.safety.ask(self.marks.offered());
            }
            let give_up_at = *stop.borrow();
            let next = self.next_part(*posted.borrow_and_update());
            // What is not known to be safe would be offered again by the next process.
            let is_done = next.is_none() && (self.is_short || !self.marks.has_unsafe());
            if give_up_at.is_some_and(|at| is_done || now >= at) {
                break;
            }
            let (mut went_well, before) = (true, self.marks.once());
            if let Some(part) = next {
                went_well = self.move_some(part, &mut stop).await;
            } else if !self.report.is_asked() || self.next_ask <= clock::instant() {
                went_well = self.ask(&mut stop).await;
            }
            if self.next_tidy <= clock::instant() && self.tidy().await {
                return;
            }
            if self.unsaved.is_some() {
                self.next_tidy = self.next_tidy.min(clock::instant() + self.options.save_every);
            }
            if went_well && self.should_gather(self.marks.once() - before) {
                tokio::select! {
                    () = tokio::time::sleep(self.options.gather) => {}
                    () = told(&mut stop, give_up_at) => {}
                }
            }
            let has_more = self.next_part(self.outbox.end()).is_some() || !self.report.is_asked();
            let mut wait = match (went_well, has_more) {
                (true, true) => continue,
                (true, false) => self.next_tidy.min(self.next_ask),
                (false, _) => clock::instant() + self.back_off(),
            };
            if self.marks.has_unsafe() {
                wait = self.safety.next().map_or(wait, |next| wait.min(next));
            }
            let moved_on = async {
                if went_well {
                    // An error means that the outbox is closed; then there is nothing to wait for but the end.
                    if posted.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let answer = tokio::select! {
                () = moved_on => None,
                answer = self.safety.answer() => Some(answer),
                () = tokio::time::sleep_until(wait.into()) => None,
                () = told(&mut stop, give_up_at) => None,
                () = over(give_up_at) => break,
            };
            if let Some(answer) = answer {
                self.heed(answer).await;
            }
        }
        self.unsaved.watch = true;
        self.save().await;
    }

    /// Of which rows the next batch is.
    fn next_part(&self, end: i64) -> Option<Part> {
        let looks_for_one = self.rows < self.options.batch.rows;
        self.marks.next(end, looks_for_one)
    }

    /// Whether to let more rows gather after a batch of so many. While much comes in, fewer and larger batches leave the
    /// disk, which Redis may share, to the journal; a full batch means that there is a backlog, and none is waited for.
    fn should_gather(&self, moved: i64) -> bool {
        let full = i64::try_from(self.options.batch.rows).unwrap_or(i64::MAX);
        let may_wait = self.options.ack == AckWhen::Journal && self.marks.has_new_alone();
        may_wait && (MANY..full).contains(&moved)
    }

    fn back_off(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.options.retry.1);
        pause
    }

    /// Offers the next rows. `false`: not now.
    async fn move_some(&mut self, part: Part, stop: &mut Stop) -> bool {
        let (after, until) = self.marks.begin(part, self.outbox.end());
        let limits = Limits { rows: self.rows, ..self.options.batch };
        let rows = match self.outbox.between(after, until, limits).await {
            Ok(rows) => rows,
            Err(error) => return self.trouble(&error.to_string()),
        };
        let Some(first) = rows.first() else {
            // What was counted and is not there was deleted as a duplicate, before the mark was set back.
            self.confirm(part, until);
            return true;
        };
        self.tell(part, Some(first.received_at));
        let (rows, batch) = offer(rows);
        match self.take_in(batch, stop).await {
            Ok(taken) => self.took(part, rows, taken).await,
            Err(StoreError::Invalid(why)) if rows.len() <= 1 => {
                let refused = rows.into_iter().map(|row| (row, Fate::Refused(why.clone()))).collect();
                self.settle(part, refused);
                self.well();
                true
            }
            Err(StoreError::Invalid(_)) => {
                // One of them can never be taken. With half as many it is found soon, and the others pass.
                self.rows = (rows.len() / 2).max(1);
                true
            }
            Err(error) => self.trouble(&error.to_string()),
        }
    }

    /// Asks which copy of its data the queue has. `false`: it does not answer.
    async fn ask(&mut self, stop: &mut Stop) -> bool {
        match self.take_in(Vec::new(), stop).await {
            Ok(taken) => {
                let compared = self.compare(&taken.histories).await;
                if compared {
                    self.report.set_asked();
                    self.well();
                }
                compared
            }
            Err(error) => self.trouble(&error.to_string()),
        }
    }

    /// Offers a batch. When its answer does not come in time, it is not known what became of it, and that is no harm.
    async fn take_in(&mut self, batch: Vec<Sealed>, stop: &mut Stop) -> Result<TakenIn, StoreError> {
        let expected = batch.len();
        let patience = self.options.patience;
        let taken = tokio::select! {
            taken = self.shared.take_in(batch) => taken,
            () = tokio::time::sleep(patience) => {
                Err(StoreError::Unavailable(format!("no answer to a batch within {patience:?}")))
            }
            () = stopped(stop) => Err(StoreError::Unavailable("the relay has to stop".into())),
        };
        self.next_ask = clock::instant() + self.options.ask_every;
        let taken = taken?;
        if taken.answers.len() == expected {
            Ok(taken)
        } else {
            let why = format!("{} answers to a batch of {expected}", taken.answers.len());
            Err(StoreError::Unavailable(why))
        }
    }

    /// Takes the answers to a batch up to the first one that is open.
    async fn took(&mut self, part: Part, rows: Vec<Offered>, taken: TakenIn) -> bool {
        let TakenIn { answers, histories } = taken;
        let open = self.settle(part, fates(rows, answers));
        let compared = self.compare(&histories).await;
        if let Some(why) = open {
            return self.trouble(&why);
        }
        self.well();
        self.rows = (self.rows * 2).min(self.options.batch.rows);
        compared
    }

    /// Confirms rows up to the first one whose fate is open; why it is.
    fn settle(&mut self, part: Part, rows: Vec<(Offered, Fate)>) -> Option<String> {
        let again = part == Part::Again;
        let mut moved = Moved::default();
        let mut confirmed = None;
        let mut open = None;
        for (row, fate) in rows {
            match fate {
                Fate::Open(why) => {
                    open = Some((why, row.received_at));
                    break;
                }
                Fate::Refused(why) => {
                    tracing::error!(
                        id = %row.id, error = %why, slot = self.outbox.slot(),
                        "the queue will never take this delivery; it stays in the journal, and is listed as quarantined"
                    );
                    moved.refused += 1;
                    self.unsaved.refused.push((row.position, why));
                }
                Fate::Taken { original: Some(original) } if original != row.id => {
                    moved.duplicates += 1;
                    moved.relayed += u64::from(!again);
                    // Once it is recognised, it must not be offered again when its original may be forgotten.
                    self.unsaved.duplicates.push(row.position);
                    if let Some(source) = row.source {
                        (self.on_duplicate)(LateDuplicate { source, id: row.id, original });
                    }
                }
                Fate::Taken { original } if again => {
                    moved.offered_again += 1;
                    moved.brought_back += u64::from(original.is_none());
                }
                Fate::Taken { .. } => moved.relayed += 1,
            }
            confirmed = Some(row.position);
        }
        self.report.count(moved);
        if let Some(position) = confirmed {
            self.confirm(part, position);
        }
        open.map(|(why, received_at)| {
            self.tell(part, Some(received_at));
            why
        })
    }

    /// The queue has the rows of this part up to here.
    fn confirm(&mut self, part: Part, position: i64) {
        let all_again = self.marks.confirm(part, position);
        self.kept.moved(self.marks.relayed(), self.clock.monotonic());
        self.unsaved.progress = true;
        if all_again {
            let Moved { offered_again, brought_back, .. } = self.report.moved();
            tracing::warn!(
                offered_again,
                brought_back,
                slot = self.outbox.slot(),
                "all that is kept was offered to the queue again; what it had lost runs, perhaps for the second time"
            );
        }
        if self.next_part(self.outbox.end()).is_none() {
            self.tell(part, None);
        } else {
            // What waits came behind the first row of this batch; by how much says the next one.
            self.report.reached(self.marks.once(), self.marks.unsure());
        }
    }

    /// Whether what was offered is safe, if the queue is still the copy of its data that had it.
    async fn heed(&mut self, (offered, answer): Answer) {
        self.safety.pause_until(clock::instant() + self.options.save_every);
        if !self.marks.is_there(offered) {
            return;
        }
        match answer {
            Ok(Safe { histories, short }) => match short {
                _ if !self.compare(&histories).await => {}
                Some(why) => self.less_safe(&why, self.options.ask_every),
                None => self.safe(offered),
            },
            Err(error) => self.less_safe(&error.to_string(), self.options.retry.1),
        }
    }

    /// What was offered is as safe as was asked for.
    fn safe(&mut self, offered: Extent) {
        self.marks.safe(offered);
        self.kept.moved(self.marks.relayed(), self.clock.monotonic());
        self.unsaved.progress = true;
        if !self.marks.has_unsafe() {
            self.tell(Part::Again, None);
        }
        self.is_short = false;
        self.well();
    }

    /// Reports how far this relay is, and when the first row of a part that waits was received.
    fn tell(&self, part: Part, oldest: Option<Timestamp>) {
        let unsure = self.marks.unsure();
        self.report.reached(self.marks.once(), unsure);
        // What is new was received later than what is offered again.
        if part == Part::Again || unsure == 0 {
            self.report.set_oldest(oldest);
        }
    }

    /// Sees whether the queue is the same copy of its data as before. If it is not, everything that is kept is offered
    /// again.
    async fn compare(&mut self, found: &[(u32, String)]) -> bool {
        let mut changed = Vec::new();
        let mut histories = self.histories.clone();
        for (lane, history) in found {
            match histories.insert(*lane, history.clone()) {
                Some(before) if before == *history => {}
                Some(_) => changed.push(*lane),
                None => self.unsaved.progress = true,
            }
        }
        if changed.is_empty() {
            self.histories = histories;
            return true;
        }
        tracing::warn!(
            lanes = ?changed, slot = self.outbox.slot(),
            "the queue has another copy of its data than before (failed over, or restarted without its data); all \
             that is kept is offered to it again, and what comes in meanwhile beside it"
        );
        // First what was found out: duplicates must not be offered again.
        if !self.save().await {
            return false;
        }
        match self.outbox.set_back(Progress { histories, ..self.progress() }).await {
            Ok(Progress { relayed, histories, .. }) => {
                self.histories = histories;
                self.marks.set_back(relayed);
                self.kept.set_back(relayed);
                self.tell(Part::Again, None);
                true
            }
            // The histories are still the old ones here, so the next answer says it again.
            Err(error) => self.trouble(&error.to_string()),
        }
    }

    fn well(&mut self) {
        self.pause = self.options.retry.0;
        if !self.is_short && self.report.set_trouble(None) {
            tracing::info!(slot = self.outbox.slot(), "the queue takes deliveries again");
        }
    }

    /// What the queue takes in now may be lost with the server that has it. Whether it still is so is asked after a while.
    fn less_safe(&mut self, why: &str, ask_after: Duration) {
        self.is_short = true;
        self.safety.pause_until(clock::instant() + ask_after);
        if self.report.set_trouble(Some(format!("it has them, less safely than was asked for: {why}"))) {
            tracing::warn!(
                slot = self.outbox.slot(),
                error = why,
                "the queue takes deliveries, but less safely than was asked for; they run, and stay in the journal until \
                 they are safe"
            );
        }
    }

    fn trouble(&mut self, why: &str) -> bool {
        if self.report.set_trouble(Some(why.to_owned())) {
            tracing::warn!(
                slot = self.outbox.slot(),
                error = why,
                "the queue does not take deliveries; they wait in the journal"
            );
        }
        false
    }
}
