//! What every store must do, written against [`Store`] alone. A store runs it by implementing [`Fixture`] and calling
//! [`conformance_suite!`] in its tests.
//!
//! Time is made up: a [`ManualClock`] stands still until a case moves it. Nothing here sleeps; what must *not* happen
//! is asserted after [`Fixture::quiesce`], by when it would have.

mod accept;
mod claim;
mod crash;
mod list;
mod manage;
mod model;
mod retention;
mod workers;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use self::{
    accept::*, claim::*, crash::*, list::*, manage::*, model::*, retention::*, workers::Workers,
};
use crate::{
    clock::{self, Clock, ManualClock, Timestamp},
    delivery::{DedupeKey, DeliveryId, IdGenerator, JobId},
    journal::{
        Accepted, Dedupe, DeliveryRecord, JobRecord, JobState, NewContent, NewDelivery, NewEvent, Stats,
        Store, StoreError,
    },
    provider::{ParsedEvent, SenderId, Slices, Verdict},
};

/// How long the fixture's leases last.
pub(crate) const LEASE: Duration = Duration::from_secs(30);
/// After how many crashes the fixture's jobs are dead.
pub(crate) const MAX_CRASHES: u32 = 5;
/// How long an id is remembered after it was last seen.
pub(crate) const WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long an equal body is taken for a repetition.
pub(crate) const FALLBACK: Duration = Duration::from_secs(10);
/// When the made-up time begins.
pub(crate) const START: Timestamp = Timestamp::from_seconds(1_767_168_200);

/// A store under test.
#[async_trait]
pub(crate) trait Fixture: Sized + Send + Sync + 'static {
    /// Whether all jobs wait in one queue: then they begin in the order of arrival, and a suspect that has to be alone
    /// holds up the others at once. Spread over several, no order is promised, and one more job may begin first.
    const ONE_QUEUE: bool = true;

    /// A new, empty store that asks `clock` for the time, with [`LEASE`] and [`MAX_CRASHES`].
    async fn new(clock: ManualClock) -> Self;

    /// The store as the process now has it.
    fn store(&self) -> &dyn Store;

    /// The process dies and another one starts on what is durable.
    async fn crash(&mut self);

    /// Brings about at once what the store otherwise does when enough has gathered (merges, promotions).
    async fn mature(&self);

    /// Waits until everything that can be claimed now has been handed out.
    async fn quiesce(&self) {
        // An answer says that the store has seen everything that was said before; the second one, that what it did
        // along with the first has come out.
        for _ in 0..2 {
            self.store().stats().await.unwrap();
        }
    }
}

/// Runs every case on a store: one test each.
macro_rules! conformance_suite {
    ($fixture:ty) => {
        $crate::journal::conformance::conformance_suite! { @cases $fixture:
            a_delivery_is_new_then_a_duplicate_of_its_original,
            the_same_signed_id_with_another_body_is_a_duplicate,
            the_same_unsigned_id_with_another_body_is_its_own_delivery,
            the_same_id_of_another_source_is_its_own_delivery,
            equal_bodies_are_duplicates_for_a_while,
            an_id_is_remembered_from_its_last_sighting,
            a_hundred_equal_deliveries_at_once_are_one_event,
            an_event_becomes_a_job_for_each_of_its_routes,
            what_has_no_jobs_is_kept_all_the_same,
            a_delivery_whose_sender_has_hung_up_is_not_stored,
            what_was_accepted_survives_a_crash,
            claims_respect_the_free_slots_of_each_route,
            slots_that_routes_share_are_filled_once,
            an_attempt_is_counted_before_the_job_is_handed_out,
            a_claimed_job_brings_its_event,
            each_outcome_is_recorded,
            a_retry_is_due_when_its_time_has_come,
            a_released_job_has_not_been_attempted,
            a_lease_settles_once,
            a_released_lease_settles_nothing_more,
            a_lease_that_ran_out_settles_nothing,
            a_renewed_lease_does_not_run_out,
            the_attempts_of_a_job_are_its_history,
            a_route_that_nobody_serves_holds_up_no_other,
            a_long_queue_of_one_route_holds_up_no_other,
            claims_take_over_from_those_before,
            jobs_for_a_receiver_that_is_gone_are_not_claimed,
            jobs_recovered_from_a_crash_run_one_at_a_time,
            the_job_that_kills_its_process_ends_dead_and_its_neighbours_do_not,
            suspects_of_a_route_that_nobody_serves_hold_up_no_other,
            a_suspect_without_a_free_slot_waits_for_one,
            a_last_chance_waits_until_it_is_alone,
            a_last_chance_begins_when_the_last_lease_runs_out,
            a_lease_of_a_dead_process_settles_nothing,
            a_replay_starts_afresh_under_the_same_id,
            a_replay_takes_what_is_not_done_or_else_all,
            a_replay_by_state_or_id_takes_just_that,
            a_replay_is_not_swallowed_as_a_duplicate,
            only_what_waits_or_is_dead_can_be_discarded,
            a_quarantined_delivery_is_routed_afresh,
            an_unrouted_event_is_routed_afresh_beside_its_neighbours,
            events_with_jobs_outlive_a_reroute_without_them,
            the_counters_survive_a_crash,
            a_listing_is_filtered,
            a_listing_goes_on_where_it_ended_while_states_change,
            a_listing_of_jobs_holds_no_more_than_asked_for,
            a_cursor_that_nobody_gave_out_is_refused,
            every_id_leads_to_its_delivery,
            ids_of_a_rerouted_delivery_lead_to_it,
            what_is_shown_of_a_delivery_is_what_came,
            ended_deliveries_go_when_their_time_is_over,
            failed_ones_are_kept_longer_or_for_ever,
            retention_counts_from_the_end_of_the_last_job,
            keys_outlive_neither_their_window_nor_their_delivery,
            keys_of_one_id_are_forgotten_each_in_its_own_time,
            random_operations_agree_with_a_model,
        }
    };
    (@cases $fixture:ty: $($case:ident,)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            $crate::journal::conformance::$case::<$fixture>().await;
        }
    )*};
}
pub(crate) use conformance_suite;

/// A store, its clock, and what a case does with them.
pub(crate) struct World<F> {
    pub(crate) fixture: F,
    pub(crate) clock: ManualClock,
    pub(crate) ids: IdGenerator,
}

impl<F: Fixture> World<F> {
    pub(crate) async fn new() -> Self {
        let clock = ManualClock::at(START);
        Self { fixture: F::new(clock.clone()).await, clock, ids: IdGenerator::new().unwrap() }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        self.fixture.store()
    }

    /// Moves the time, and says so to the store.
    pub(crate) async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.store().wake();
        self.fixture.quiesce().await;
    }

    /// Makes a delivery out of what was sent, and stores it.
    pub(crate) async fn accept(&self, sent: &Sent) -> (DeliveryId, Result<Accepted, StoreError>) {
        let new = self.prepare(sent);
        let id = new.id;
        (id, self.store().accept(new).await)
    }

    /// The same, for what must be new.
    pub(crate) async fn add(&self, sent: &Sent) -> DeliveryId {
        let (id, accepted) = self.accept(sent).await;
        assert!(matches!(accepted, Ok(Accepted::New { .. })), "{accepted:?}");
        id
    }

    pub(crate) fn prepare(&self, sent: &Sent) -> NewDelivery {
        prepare(sent, &self.clock, &self.ids)
    }

    pub(crate) async fn stats(&self) -> Stats {
        self.store().stats().await.unwrap()
    }

    /// How many jobs are in each state, in the order of [`JobState::ALL`].
    pub(crate) async fn jobs_by_state(&self) -> [u64; 6] {
        self.stats().await.jobs
    }

    pub(crate) async fn delivery(&self, id: DeliveryId) -> DeliveryRecord {
        self.store().delivery(id).await.unwrap().expect("the delivery is stored")
    }

    pub(crate) async fn job(&self, id: JobId) -> JobRecord {
        self.store().job(id).await.unwrap().expect("the job is stored")
    }

    pub(crate) async fn state(&self, id: JobId) -> JobState {
        self.job(id).await.state
    }
}

/// Makes a delivery out of what was sent.
pub(crate) fn prepare(sent: &Sent, clock: &ManualClock, ids: &IdGenerator) -> NewDelivery {
    let now = clock.now();
    let events = match &sent.content {
        NewContent::Events(events) => events.len(),
        _ => 0,
    };
    NewDelivery {
        id: ids.next(now, events),
        source: sent.source.into(),
        provider: "hmac".into(),
        received_at: now,
        sender_id: sent.sender_id.as_ref().map(|id| id.value.clone()),
        dedupe: sent.dedupe(),
        content_type: Some("application/json".into()),
        headers: r#"[["X-Event-Id","1"],["x-event-id","2"]]"#.into(),
        body: Bytes::from(sent.body.clone()),
        content: sent.content.clone(),
        give_up_at: clock::instant() + Duration::from_secs(600),
    }
}

/// What a sender sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    source: &'static str,
    sender_id: Option<SenderId>,
    by_body: bool,
    body: String,
    content: NewContent,
}

/// A delivery with this body and one event, `thing.changed`, for the route `a`. Nothing recognises it.
pub(crate) fn sent(body: &str) -> Sent {
    Sent {
        source: "shop",
        sender_id: None,
        by_body: false,
        body: body.into(),
        content: NewContent::Events(vec![event("thing.changed", &["a"])]),
    }
}

pub(crate) fn event(kind: &str, routes: &[&str]) -> NewEvent {
    NewEvent {
        event: ParsedEvent {
            kind: kind.into(),
            subject: Some(format!("{kind}/1")),
            occurred_at: Some(START),
            data: Slices::WHOLE,
        },
        routes: routes.iter().map(|route| Arc::from(*route)).collect(),
    }
}

impl Sent {
    pub(crate) fn source(self, source: &'static str) -> Self {
        Self { source, ..self }
    }

    pub(crate) fn signed_id(self, value: &str) -> Self {
        Self { sender_id: Some(SenderId { value: value.into(), signed: true }), ..self }
    }

    pub(crate) fn unsigned_id(self, value: &str) -> Self {
        Self { sender_id: Some(SenderId { value: value.into(), signed: false }), ..self }
    }

    /// Recognised by its body for a while.
    pub(crate) fn by_body(self) -> Self {
        Self { by_body: true, ..self }
    }

    pub(crate) fn events(self, events: Vec<NewEvent>) -> Self {
        Self { content: NewContent::Events(events), ..self }
    }

    pub(crate) fn route(self, route: &str) -> Self {
        self.events(vec![event("thing.changed", &[route])])
    }

    pub(crate) fn quarantined(self) -> Self {
        Self { content: NewContent::Quarantined { reason: "not JSON".into() }, ..self }
    }

    pub(crate) fn test(self) -> Self {
        Self { content: NewContent::Test, ..self }
    }

    fn dedupe(&self) -> Option<Dedupe> {
        let verdict = Verdict::Accept { sender_id: self.sender_id.clone(), events: Vec::new() };
        let key = DedupeKey::of(self.source, &verdict, self.body.as_bytes(), self.by_body)?;
        Some(Dedupe { key, window: if key.is_fallback() { FALLBACK } else { WINDOW } })
    }
}
