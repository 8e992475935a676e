//! One relay: moves the rows of one outbox, in the order in which they were acknowledged.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    AckWhen, LateDuplicate, OnDuplicate, RelayOptions,
    report::{Moved, Report},
};
use crate::{
    clock::{self, Clock, Timestamp},
    delivery::DeliveryId,
    journal::{
        Accepted, NewDelivery, Shared, StoreError, TakenIn,
        sqlite::{Held, Limits, Outbox, Progress},
    },
};

/// A batch of so many rows says that much comes in.
const MANY: i64 = 64;

/// When a relay is to end; `None`: not yet. It then moves what it can until that time.
pub(super) type Stop = watch::Receiver<Option<Instant>>;

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
    progress: Progress,
    /// What the file does not know yet.
    unsaved: Unsaved,
    /// How many rows are offered at once now. Fewer while one among them is looked for that can't be taken.
    rows: usize,
    pause: Duration,
    next_tidy: Instant,
    next_ask: Instant,
}

#[derive(Debug, Default)]
struct Unsaved {
    progress: bool,
    duplicates: Vec<i64>,
    refused: Vec<(i64, String)>,
}

impl Unsaved {
    fn is_some(&self) -> bool {
        self.progress || !self.duplicates.is_empty() || !self.refused.is_empty()
    }
}

/// What became of one row.
enum Fate {
    Taken {
        original: Option<DeliveryId>,
    },
    Refused(String),
    /// Not known, or not now.
    Open(String),
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
        let progress = outbox.progress().clone();
        Self {
            report: Arc::new(Report::new(progress.relayed, progress.once)),
            progress,
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
            let give_up_at = *stop.borrow();
            let end = *posted.borrow_and_update();
            let behind = end > self.progress.relayed;
            match give_up_at {
                Some(at) if !behind || clock::instant() >= at => break,
                _ => {}
            }
            let (mut went_well, before) = (true, self.progress.relayed);
            if behind {
                went_well = self.move_some(end, &mut stop).await;
            } else if self.next_ask <= clock::instant() {
                went_well = self.ask(&mut stop).await;
            }
            if self.next_tidy <= clock::instant() && self.tidy().await {
                return;
            }
            if self.unsaved.is_some() {
                self.next_tidy = self.next_tidy.min(clock::instant() + self.options.save_every);
            }
            if went_well && self.should_gather(self.progress.relayed - before) {
                tokio::select! {
                    () = tokio::time::sleep(self.options.gather) => {}
                    () = told(&mut stop, give_up_at) => {}
                }
            }
            let wait = match (went_well, self.outbox.end() > self.progress.relayed) {
                (true, true) => continue,
                (true, false) => self.next_tidy.min(self.next_ask),
                (false, _) => clock::instant() + self.back_off(),
            };
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
            tokio::select! {
                () = moved_on => {}
                () = tokio::time::sleep_until(wait.into()) => {}
                () = told(&mut stop, give_up_at) => {}
                () = over(give_up_at) => break,
            }
        }
        self.save().await;
    }

    /// Whether to let more rows gather after a batch of so many. While much comes in, fewer and larger batches leave the
    /// disk, which Redis may share, to the journal; a full batch means that there is a backlog, and none is waited for.
    fn should_gather(&self, moved: i64) -> bool {
        let full = i64::try_from(self.options.batch.rows).unwrap_or(i64::MAX);
        self.options.ack == AckWhen::Journal && (MANY..full).contains(&moved)
    }

    fn back_off(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.options.retry.1);
        pause
    }

    /// Offers the next rows. `false`: not now.
    async fn move_some(&mut self, end: i64, stop: &mut Stop) -> bool {
        let limits = Limits { rows: self.rows, ..self.options.batch };
        let rows = match self.outbox.after(self.progress.relayed, limits).await {
            Ok(rows) => rows,
            Err(error) => return self.trouble(&error.to_string()),
        };
        let Some(first) = rows.first() else {
            // What was counted and is not there was deleted as a duplicate, before the mark was set back.
            self.confirm(end, None);
            return true;
        };
        self.report.confirmed(self.progress.relayed, Some(first.received_at));
        let (rows, batch) = offer(rows);
        match self.take_in(batch, stop).await {
            Ok(taken) => self.took(rows, taken).await,
            Err(StoreError::Invalid(why)) if rows.len() <= 1 => {
                let refused = rows.into_iter().map(|row| (row, Fate::Refused(why.clone()))).collect();
                self.settle(refused);
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
                self.well();
                self.compare(&taken).await
            }
            Err(error) => self.trouble(&error.to_string()),
        }
    }

    /// Offers a batch. When its answer does not come in time, it is not known what became of it, and that is no harm.
    async fn take_in(&mut self, batch: Vec<NewDelivery>, stop: &mut Stop) -> Result<TakenIn, StoreError> {
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
    async fn took(&mut self, rows: Vec<Offered>, taken: TakenIn) -> bool {
        let TakenIn { answers, histories } = taken;
        let mut answers = answers.into_iter();
        let fates = rows.into_iter().map(|row| {
            let fate = match &row.unreadable {
                Some(why) => Fate::Refused(why.clone()),
                None => answers.next().map_or_else(|| Fate::Open("no answer".into()), fate_of),
            };
            (row, fate)
        });
        let open = self.settle(fates.collect());
        let compared = self.compare(&TakenIn { answers: Vec::new(), histories }).await;
        if let Some(why) = open {
            return self.trouble(&why);
        }
        self.well();
        self.rows = (self.rows * 2).min(self.options.batch.rows);
        compared
    }

    /// Confirms rows up to the first one whose fate is open; why it is.
    fn settle(&mut self, rows: Vec<(Offered, Fate)>) -> Option<String> {
        let mut moved = Moved::default();
        let mut confirmed = self.progress.relayed;
        let mut open = None;
        let mut oldest = None;
        for (row, fate) in rows {
            let again = row.position <= self.progress.once;
            match fate {
                Fate::Open(why) => {
                    (open, oldest) = (Some(why), Some(row.received_at));
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
            confirmed = row.position;
        }
        self.report.count(moved);
        self.confirm(confirmed, oldest);
        open
    }

    fn confirm(&mut self, position: i64, oldest: Option<Timestamp>) {
        let was_again = self.progress.relayed < self.progress.once;
        self.progress.relayed = position;
        self.progress.once = self.progress.once.max(position);
        self.unsaved.progress = true;
        if was_again && self.progress.relayed >= self.progress.once {
            let Moved { offered_again, brought_back, .. } = self.report.moved();
            tracing::warn!(
                offered_again,
                brought_back,
                slot = self.outbox.slot(),
                "all that is kept was offered to the queue again; what it had lost runs, perhaps for the second time"
            );
        }
        self.report.confirmed(position, oldest);
    }

    /// Sees whether the queue is the same copy of its data as before. If it is not, everything that is kept is offered
    /// again.
    async fn compare(&mut self, taken: &TakenIn) -> bool {
        let known = &mut self.progress.histories;
        let mut changed = Vec::new();
        let mut histories = known.clone();
        for (lane, history) in &taken.histories {
            match histories.insert(*lane, history.clone()) {
                Some(before) if before == *history => {}
                Some(_) => changed.push(*lane),
                None => self.unsaved.progress = true,
            }
        }
        if changed.is_empty() {
            *known = histories;
            return true;
        }
        tracing::warn!(
            lanes = ?changed, slot = self.outbox.slot(),
            "the queue has another copy of its data than before (failed over, or restarted without its data); all \
             that is kept is offered to it again"
        );
        // First what was found out: duplicates must not be offered again.
        if !self.save().await {
            return false;
        }
        match self.outbox.set_back(Progress { histories, ..self.progress.clone() }).await {
            Ok(progress) => {
                self.progress = progress;
                self.report.confirmed(self.progress.relayed, None);
                true
            }
            // The histories are still the old ones here, so the next answer says it again.
            Err(error) => self.trouble(&error.to_string()),
        }
    }

    /// Writes down what is not yet, and deletes what was kept long enough. `true`: this was the end.
    async fn tidy(&mut self) -> bool {
        self.save().await;
        let before = self.clock.now().minus(self.options.keep);
        let more = match self.outbox.sweep(before).await {
            Ok(more) => more,
            Err(error) => {
                tracing::debug!(%error, slot = self.outbox.slot(), "kept rows could not be deleted");
                false
            }
        };
        let wait = if more { Duration::ZERO } else { self.options.sweep_every };
        self.next_tidy = clock::instant() + wait;
        self.ends_when_empty && matches!(self.outbox.holds_nothing().await, Ok(true))
    }

    /// Whether the file knows all that this relay knows.
    async fn save(&mut self) -> bool {
        if !self.unsaved.is_some() {
            return true;
        }
        let Unsaved { progress, duplicates, refused } = std::mem::take(&mut self.unsaved);
        let saved = self.outbox.save(self.progress.clone(), duplicates.clone(), refused.clone()).await;
        if let Err(error) = &saved {
            tracing::debug!(%error, slot = self.outbox.slot(), "the relay's progress could not be written down");
            self.unsaved = Unsaved { progress, duplicates, refused };
        }
        saved.is_ok()
    }

    fn well(&mut self) {
        self.pause = self.options.retry.0;
        if self.report.set_trouble(None) {
            tracing::info!(slot = self.outbox.slot(), "the queue takes deliveries again");
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

/// What is remembered of a row while its delivery is on its way.
struct Offered {
    position: i64,
    id: DeliveryId,
    received_at: Timestamp,
    source: Option<Arc<str>>,
    unreadable: Option<String>,
}

fn offer(rows: Vec<Held>) -> (Vec<Offered>, Vec<NewDelivery>) {
    let mut batch = Vec::with_capacity(rows.len());
    let offered = rows.into_iter().map(|row| {
        let Held { position, id, received_at, delivery } = row;
        let (source, unreadable) = match delivery {
            Ok(delivery) => {
                let source = delivery.source.clone();
                batch.push(delivery);
                (Some(source), None)
            }
            Err(why) => (None, Some(format!("its row in the journal can't be read: {why}"))),
        };
        Offered { position, id, received_at, source, unreadable }
    });
    let offered = offered.collect();
    (offered, batch)
}

fn fate_of(answer: Result<Accepted, StoreError>) -> Fate {
    match answer {
        Ok(Accepted::New { .. }) => Fate::Taken { original: None },
        Ok(Accepted::Duplicate { original }) => Fate::Taken { original: Some(original) },
        Err(StoreError::Invalid(why)) => Fate::Refused(why),
        Err(error) => Fate::Open(error.to_string()),
    }
}

/// Resolves when the time to give up has come.
async fn over(give_up_at: Option<Instant>) {
    match give_up_at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Resolves when the time to give up has come, whether or not it is known yet when that is.
async fn stopped(stop: &mut Stop) {
    loop {
        let give_up_at = *stop.borrow_and_update();
        tokio::select! {
            () = over(give_up_at) => return,
            changed = stop.changed() => if changed.is_err() {
                // Nobody is left who could tell.
                return over(give_up_at).await;
            },
        }
    }
}

/// Resolves when the relay is told to stop, unless it knows.
async fn told(stop: &mut Stop, known: Option<Instant>) {
    if known.is_some() || stop.wait_for(Option::is_some).await.is_err() {
        // Nobody is left who could tell.
        std::future::pending::<()>().await;
    }
}
