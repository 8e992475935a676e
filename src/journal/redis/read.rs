//! Listings, and all of one delivery. Each call looks at a bounded number of deliveries, so that nobody else has to wait
//! for it; bodies stay in Redis unless they are asked for.

use std::{collections::VecDeque, sync::LazyLock};

use futures_util::future::{join_all, try_join_all};
use uuid::Uuid;

use super::{
    Redis, answer,
    find::{AT_ONCE, Head},
    link::{LinkError, Script},
    script,
};
use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        DeliveryRecord, DeliveryState, DeliverySummary, Filter, ItemState, JobRecord, JobState, Page,
        StoreError,
        listing::{self, Begin, Fit, Gather, LOOK_AT, Next},
        sealed::{Parts, body_of},
    },
};

static HOLDS: LazyLock<Script> = script!("holds", no_writes);

impl Redis {
    /// One page of deliveries, the newest first.
    pub(super) async fn deliveries(&self, filter: &Filter) -> Result<Page<DeliverySummary>, StoreError> {
        let (mut gathered, below) = listing::Deliveries::begin(filter, |text| text.parse().ok())?;
        let next = self.walk(filter, below, &mut gathered).await?;
        Ok(gathered.page(next))
    }

    /// One page of jobs, those of the newest deliveries first.
    pub(super) async fn jobs(&self, filter: &Filter) -> Result<Page<JobRecord>, StoreError> {
        let (mut gathered, begin) = listing::Jobs::begin(filter, |text| text.parse().ok())?;
        let below = match begin {
            Begin::Newest => None,
            Begin::Below(id) => Some(id),
            Begin::Within(id) => Some(successor(id)),
        };
        let next = self.walk(filter, below, &mut gathered).await?;
        Ok(gathered.page(next))
    }

    /// All of one delivery.
    pub(super) async fn delivery(&self, id: DeliveryId) -> Result<Option<DeliveryRecord>, StoreError> {
        let Some((lane, value)) = self.value(id).await? else { return Ok(None) };
        let parts = Parts::of(&value)?;
        let headers = serde_json::from_str(parts.headers).unwrap_or_default();
        let (body_at, head_end) = (parts.body_at, parts.body_at - parts.headers.len());
        let mut heads = [Head::read(lane, id, value[..head_end].to_vec())?];
        self.load_jobs(&mut heads).await?;
        let [head] = heads;
        let summary = head.into_summary();
        let attempts = listing::history(self.attempts(lane, id).await?, &summary.jobs);
        Ok(Some(DeliveryRecord { summary, headers, body: body_of(value, body_at), attempts }))
    }

    /// One job.
    pub(super) async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.find_job(id).await?.map(|(_, _, job)| job))
    }

    /// The delivery that an id of any kind belongs to.
    pub(super) async fn locate(&self, id: Uuid) -> Result<Option<DeliveryId>, StoreError> {
        if id.get_version_num() == 5 {
            return Ok(self.job(id.into()).await?.map(|job| job.delivery_id));
        }
        Ok(self.delivery_with(id).await?)
    }

    /// Shows the deliveries that fit the filter to the page, the newest first, until it has had enough.
    async fn walk(
        &self,
        filter: &Filter,
        below: Option<DeliveryId>,
        page: &mut impl Gather<DeliveryId>,
    ) -> Result<Next<DeliveryId>, LinkError> {
        let set = Set::of(filter);
        let mut lanes =
            try_join_all((0..self.lanes()).map(|lane| Ahead::begin(self, lane, set, below))).await?;
        // As far as one must see if all fit; if they do not, as far as one may.
        let mut at_once = (listing::limit(filter) + 1).min(AT_ONCE);
        let mut looked_at = 0;
        loop {
            let each = at_once.div_ceil(lanes.len()) + 4;
            try_join_all(lanes.iter_mut().map(|lane| lane.refill(self, each.min(AT_ONCE)))).await?;
            let mut group = newest(&mut lanes, at_once.min(LOOK_AT - looked_at));
            let Some(last) = group.last().map(|found| found.id) else { return Ok(Next::End) };
            looked_at += group.len();
            // No delivery is received after the time in its own id, so none that follows is recent enough either.
            let recent = |id: DeliveryId| filter.since.is_none_or(|since| millis(id) >= since.as_millis());
            group.retain(|found| recent(found.id));
            for head in self.fitting(filter, group).await? {
                if !page.take(head.id(), head.into_summary()) {
                    return Ok(Next::Full);
                }
            }
            if !recent(last) {
                return Ok(Next::End);
            }
            if looked_at >= LOOK_AT {
                return Ok(Next::Below(last));
            }
            at_once = AT_ONCE;
        }
    }

    /// Those that fit the filter, with their jobs.
    async fn fitting(&self, filter: &Filter, found: Vec<Found>) -> Result<Vec<Head>, LinkError> {
        let mut heads = Vec::with_capacity(found.len());
        for Found { lane, id, text } in found {
            match Head::read(lane, id, text) {
                Ok(head) if listing::may_fit(filter, &head.summary) => heads.push(head),
                Ok(_) => {}
                // One that can't be shown must not hide those around it.
                Err(error) => tracing::warn!(delivery = %id, %error, "a delivery is left out of a listing"),
            }
        }
        self.load_jobs(&mut heads).await?;
        let mut fitting = Vec::with_capacity(heads.len());
        for head in heads {
            let lane = head.lane;
            let jobs = head.jobs.iter().map(|(_, job)| job.clone()).collect();
            let summary = DeliverySummary { jobs, ..head.summary.clone() };
            match listing::fit(filter, &summary) {
                Fit::No => {}
                fit => fitting.push((lane, fit, head)),
            }
        }
        let text = filter.text.as_deref().unwrap_or_default();
        let mut held = Vec::new();
        for lane in 0..self.lanes() {
            let ids: Vec<_> = fitting
                .iter()
                .filter(|(of, fit, _)| *of == lane && *fit == Fit::IfInBody)
                .map(|(_, _, head)| head.id())
                .collect();
            held.push(self.bodies_that_hold(lane, ids, text));
        }
        let held: Vec<_> = join_all(held).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        fitting.retain(|(_, fit, head)| *fit == Fit::Yes || held.contains(&head.id()));
        Ok(fitting.into_iter().map(|(_, _, head)| head).collect())
    }

    /// Those of these deliveries whose body holds the text.
    async fn bodies_that_hold(
        &self,
        lane: u32,
        ids: Vec<DeliveryId>,
        text: &str,
    ) -> Result<Vec<DeliveryId>, LinkError> {
        let mut holding = Vec::new();
        let mut rest = &ids[..];
        while !rest.is_empty() {
            let mut args: Vec<&[u8]> = vec![text.as_bytes()];
            args.extend(rest.iter().map(|id| &id.as_bytes()[..]));
            let answers = answer::list(self.core.run(lane, &HOLDS, &args).await?)?;
            if answers.is_empty() || answers.len() > rest.len() {
                return Err(LinkError::Refused(format!(
                    "{} answers came for {} deliveries",
                    answers.len(),
                    rest.len()
                )));
            }
            for (id, holds) in rest.iter().zip(&answers) {
                if answer::uint(holds)? == 1 {
                    holding.push(*id);
                }
            }
            rest = &rest[answers.len()..];
        }
        Ok(holding)
    }
}

/// The set that holds all that could fit a filter, and as little else as possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Named(&'static str),
    /// Those with a running job: there are never more than workers have slots.
    Running,
}

impl Set {
    fn of(filter: &Filter) -> Self {
        match filter.state {
            Some(ItemState::Job(JobState::Running)) => Self::Running,
            Some(ItemState::Job(JobState::Retrying | JobState::Dead | JobState::Discarded)) => {
                Self::Named("failing")
            }
            Some(ItemState::Unrouted | ItemState::Delivery(DeliveryState::Quarantined)) => Self::Named("odd"),
            _ => Self::Named("index"),
        }
    }
}

/// A delivery of a lane, not yet looked at.
struct Found {
    lane: u32,
    id: DeliveryId,
    text: Vec<u8>,
}

/// What comes next in a lane.
struct Ahead {
    lane: u32,
    rest: Rest,
    found: VecDeque<Found>,
}

/// What a lane has besides.
enum Rest {
    /// What is below this id in a set.
    Below(&'static str, Option<DeliveryId>),
    These(VecDeque<DeliveryId>),
    Nothing,
}

impl Ahead {
    async fn begin(store: &Redis, lane: u32, set: Set, below: Option<DeliveryId>) -> Result<Self, LinkError> {
        let rest = match set {
            Set::Named(set) => Rest::Below(set, below),
            Set::Running => Rest::These(store.running_below(lane, below).await?.into()),
        };
        Ok(Self { lane, rest, found: VecDeque::new() })
    }

    /// Whether the next one of this lane is known, or that there is none.
    fn is_known(&self) -> bool {
        !self.found.is_empty() || matches!(self.rest, Rest::Nothing)
    }

    /// Gets the next ones, if none is known.
    async fn refill(&mut self, store: &Redis, count: usize) -> Result<(), LinkError> {
        while !self.is_known() {
            let found = match &mut self.rest {
                Rest::Below(set, below) => {
                    let found = store.heads_below(self.lane, set, *below, count).await?;
                    if let Some((last, _)) = found.last() {
                        *below = Some(*last);
                    }
                    if found.len() < count {
                        self.rest = Rest::Nothing;
                    }
                    found
                }
                Rest::These(ids) => {
                    let next: Vec<_> = ids.drain(..count.min(ids.len())).collect();
                    if ids.is_empty() {
                        self.rest = Rest::Nothing;
                    }
                    store.heads_of(self.lane, &next).await?
                }
                Rest::Nothing => Vec::new(),
            };
            let there = found.into_iter().filter(|(_, text)| !text.is_empty());
            self.found.extend(there.map(|(id, text)| Found { lane: self.lane, id, text }));
        }
        Ok(())
    }
}

/// The newest ones of all lanes, in order, as long as each lane's next one is known.
fn newest(lanes: &mut [Ahead], at_most: usize) -> Vec<Found> {
    let mut group = Vec::new();
    while group.len() < at_most && lanes.iter().all(Ahead::is_known) {
        let next = lanes.iter_mut().max_by_key(|lane| lane.found.front().map(|found| found.id));
        let Some(found) = next.and_then(|lane| lane.found.pop_front()) else { break };
        group.push(found);
    }
    group
}

/// The time in a delivery's id, in Unix milliseconds.
fn millis(id: DeliveryId) -> i64 {
    i64::try_from(Uuid::from(id).as_u128() >> 80).unwrap_or(i64::MAX)
}

/// The least id that is greater.
fn successor(id: DeliveryId) -> DeliveryId {
    DeliveryId::from(Uuid::from_u128(Uuid::from(id).as_u128().saturating_add(1)))
}
