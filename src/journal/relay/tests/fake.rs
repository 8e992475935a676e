//! A shared queue that fails as it is told to. What it takes in is in an embedded store.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::{mpsc, watch};
use uuid::Uuid;

use crate::{
    clock::ManualClock,
    delivery::{DeliveryId, JobId},
    journal::{
        Accepted, ClaimedJob, DeliveryRecord, DeliverySummary, Demand, Discarded, Filter, Health, JobRecord,
        Lease, NewDelivery, NewEvent, Outcome, Page, ReplayJobs, Retention, Safe, Shared, Sqlite,
        SqliteOptions, Stats, Store, StoreError, Swept, TakenIn, sealed::Sealed,
    },
};

/// What the queue does with a batch instead of taking it in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Refuses it.
    Refuse,
    /// Takes it in, and does not say so.
    TakeInSilently,
    /// Never answers.
    Hang,
    /// Takes the first one in and calls the rest unknown.
    OnlyTheFirst,
}

pub(super) struct Fake {
    state: Mutex<State>,
    clock: ManualClock,
    /// Whether those who ask if something is safe wait for the answer.
    waiting: watch::Sender<bool>,
}

#[expect(clippy::struct_excessive_bools, reason = "what it does wrong, each for itself")]
struct State {
    store: Arc<Sqlite>,
    _dir: tempfile::TempDir,
    history: u32,
    away: bool,
    failures: VecDeque<Failure>,
    poison: HashSet<DeliveryId>,
    /// Whether one poisonous delivery spoils its whole batch.
    spoils: bool,
    known: HashMap<DeliveryId, Option<DeliveryId>>,
    /// In the order in which they were taken in, once each.
    taken: Vec<DeliveryId>,
    largest: usize,
    /// A batch hangs.
    asked: bool,
    /// How often it was asked which copy of its data it has.
    questions: usize,
    takes_nothing: bool,
    /// What it takes has to be safe, and whether it is not.
    short: Option<bool>,
    /// Only records ids: for very many.
    shallow: bool,
}

impl State {
    fn empty(clock: &ManualClock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Sqlite::open(SqliteOptions::new(dir.path()), Arc::new(clock.clone())).unwrap();
        Self {
            store: Arc::new(store),
            _dir: dir,
            history: 1,
            away: false,
            failures: VecDeque::new(),
            poison: HashSet::new(),
            spoils: false,
            known: HashMap::new(),
            taken: Vec::new(),
            largest: 0,
            asked: false,
            questions: 0,
            takes_nothing: false,
            short: None,
            shallow: false,
        }
    }
}

impl Fake {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self { state: Mutex::new(State::empty(&clock)), clock, waiting: watch::Sender::new(false) }
    }

    fn state<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut self.state.lock().unwrap())
    }

    pub(super) fn set_away(&self, away: bool) {
        self.state(|state| (state.away, state.takes_nothing) = (away, false));
    }

    pub(super) fn set_shallow(&self) {
        self.state(|state| state.shallow = true);
    }

    pub(super) fn fail(&self, failures: &[Failure]) {
        self.state(|state| state.failures.extend(failures));
    }

    pub(super) fn poison(&self, id: DeliveryId, spoils: bool) {
        self.state(|state| {
            state.poison.insert(id);
            state.spoils = spoils;
        });
    }

    /// Restarted without its data.
    pub(super) fn lose_everything(&self) {
        self.state(|state| {
            let (history, short) = (state.history + 1, state.short);
            *state = State { history, short, ..State::empty(&self.clock) };
        });
    }

    /// Failed over, with all its data.
    pub(super) fn fail_over(&self) {
        self.state(|state| state.history += 1);
    }

    pub(super) fn taken(&self) -> Vec<DeliveryId> {
        self.state(|state| state.taken.clone())
    }

    pub(super) fn largest_batch(&self) -> usize {
        self.state(|state| state.largest)
    }

    /// Takes in a delivery that another host relayed, also while it is away for this one.
    pub(super) async fn accept_from_elsewhere(&self, new: NewDelivery) {
        let (store, id) = (self.state(|state| state.store.clone()), new.id);
        store.accept(new).await.unwrap();
        self.state(|state| state.known.insert(id, None));
    }

    pub(super) fn knows(&self, id: DeliveryId) -> bool {
        self.state(|state| state.known.contains_key(&id))
    }

    /// Answers questions, and takes nothing in until it is told that it is not away.
    pub(super) fn only_answer(&self) {
        self.state(|state| (state.away, state.takes_nothing) = (false, true));
    }

    /// From the start on: what it takes in has to be safe. Then: whether it has no replica for it.
    pub(super) fn set_short(&self, short: bool) {
        self.state(|state| state.short = Some(short));
    }

    /// Whether those who ask if something is safe wait for the answer.
    pub(super) fn set_waiting(&self, waiting: bool) {
        self.waiting.send_replace(waiting);
    }

    /// Whether a batch hangs, or did.
    pub(super) fn is_asked(&self) -> bool {
        self.state(|state| state.asked)
    }

    /// How often it was asked which copy of its data it has, and has answered.
    pub(super) fn questions(&self) -> usize {
        self.state(|state| state.questions)
    }

    fn store(&self) -> Result<Arc<Sqlite>, StoreError> {
        self.state(|state| if state.away { Err(away()) } else { Ok(state.store.clone()) })
    }

    async fn take(&self, batch: Vec<Sealed>) -> TakenIn {
        let ids: Vec<_> = batch.iter().map(|new| new.id).collect();
        let (store, shallow) = self.state(|state| {
            state.largest = state.largest.max(batch.len());
            (state.store.clone(), state.shallow)
        });
        let taking = batch.into_iter().map(|new| async {
            let id = new.id;
            if let Some(known) = self.state(|state| state.known.get(&id).copied()) {
                return Ok(Accepted::Duplicate { original: known.unwrap_or(id) });
            }
            if self.state(|state| state.poison.contains(&id)) {
                return Err(StoreError::Invalid("poison".into()));
            }
            if shallow { Ok(Accepted::New { id_reused: false }) } else { store.accept(new.open()).await }
        });
        let answers = join_all(taking).await;
        self.state(|state| {
            for (id, answer) in ids.iter().zip(&answers) {
                if let Ok(Accepted::New { .. }) = answer {
                    state.known.insert(*id, None);
                    state.taken.push(*id);
                }
            }
            TakenIn { answers, histories: vec![(0, state.history.to_string())] }
        })
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("away".into())
}

#[async_trait]
impl Shared for Fake {
    async fn take_in(&self, mut batch: Vec<Sealed>) -> Result<TakenIn, StoreError> {
        self.store()?;
        if self.state(|state| state.takes_nothing) {
            return Err(away());
        }
        self.state(|state| state.questions += usize::from(batch.is_empty()));
        let failure = self.state(|state| if batch.is_empty() { None } else { state.failures.pop_front() });
        let spoilt =
            self.state(|state| state.spoils && batch.iter().any(|new| state.poison.contains(&new.id)));
        if spoilt {
            return Err(StoreError::Invalid("something in here is poison".into()));
        }
        match failure {
            None => Ok(self.take(batch).await),
            Some(Failure::Refuse) => Err(StoreError::Unavailable("refused".into())),
            Some(Failure::TakeInSilently) => {
                self.take(batch).await;
                Err(StoreError::Unavailable("no answer".into()))
            }
            Some(Failure::Hang) => {
                self.state(|state| state.asked = true);
                std::future::pending().await
            }
            Some(Failure::OnlyTheFirst) => {
                let rest = batch.split_off(1).len();
                let mut taken = self.take(batch).await;
                taken.answers.extend((0..rest).map(|_| Err(away())));
                Ok(taken)
            }
        }
    }

    fn has_to_be_safe(&self) -> bool {
        self.state(|state| state.short.is_some())
    }

    async fn make_safe(&self) -> Result<Safe, StoreError> {
        self.store()?;
        let mut waiting = self.waiting.subscribe();
        // The sender is as long there as this is.
        let _ = waiting.wait_for(|waits| !waits).await;
        Ok(self.state(|state| Safe {
            histories: vec![(0, state.history.to_string())],
            short: (state.short == Some(true)).then(|| "no replica has it".to_owned()),
        }))
    }
}

#[async_trait]
impl Store for Fake {
    async fn accept(&self, delivery: NewDelivery) -> Result<Accepted, StoreError> {
        self.store()?.accept(delivery).await
    }

    fn claims(&self, demand: Arc<dyn Demand>) -> mpsc::UnboundedReceiver<ClaimedJob> {
        self.store().unwrap().claims(demand)
    }

    fn wake(&self) {}

    async fn settle(&self, lease: Lease, outcome: Outcome) -> Result<(), StoreError> {
        self.store()?.settle(lease, outcome).await
    }

    async fn renew(&self, leases: Vec<Lease>) -> Result<Vec<Lease>, StoreError> {
        self.store()?.renew(leases).await
    }

    async fn deliveries(&self, filter: Filter) -> Result<Page<DeliverySummary>, StoreError> {
        self.store()?.deliveries(filter).await
    }

    async fn jobs(&self, filter: Filter) -> Result<Page<JobRecord>, StoreError> {
        self.store()?.jobs(filter).await
    }

    async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        self.store()?.delivery(id).await
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        self.store()?.job(id).await
    }

    async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        self.store()?.locate(id).await
    }

    async fn replay(&self, delivery: DeliveryId, which: ReplayJobs) -> Result<usize, StoreError> {
        self.store()?.replay(delivery, which).await
    }

    async fn discard(&self, job: JobId) -> Result<Discarded, StoreError> {
        self.store()?.discard(job).await
    }

    async fn reroute(&self, delivery: DeliveryId, events: Vec<NewEvent>) -> Result<usize, StoreError> {
        self.store()?.reroute(delivery, events).await
    }

    async fn stats(&self) -> Result<Stats, StoreError> {
        self.store()?.stats().await
    }

    async fn sweep(&self, retention: Retention) -> Result<Swept, StoreError> {
        self.store()?.sweep(retention).await
    }

    fn health(&self) -> Health {
        Health { trouble: self.store().err().map(|error| error.to_string()), warning: None }
    }
}
