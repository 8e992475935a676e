//! Listings over the shared queue and what is still held here.
//!
//! Both are ordered by delivery id, the newest first, so that a page is a merge of two. A delivery that is in both (it
//! was moved meanwhile) is shown as the queue has it.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use super::slots::Slot;
use crate::{
    delivery::DeliveryId,
    journal::{
        DeliverySummary, Filter, JobRecord, Page, StoreError,
        listing::{self, Fit},
    },
};

/// Where a listing goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The delivery that was shown last, and how many of its items were.
    last: Option<(DeliveryId, usize)>,
    shared: SharedPlace,
}

/// Where the shared queue's own listing goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum SharedPlace {
    #[default]
    Begin,
    At(String),
    End,
}

impl Place {
    pub(super) fn parse(cursor: Option<&str>) -> Result<Self, StoreError> {
        let Some(cursor) = cursor else { return Ok(Self::default()) };
        let place = || {
            let (last, shared) = cursor.split_once('~')?;
            let last = match last {
                "" => None,
                last => {
                    let (id, shown) = last.split_once('+')?;
                    Some((id.parse().ok()?, shown.parse().ok()?))
                }
            };
            let shared = match shared.split_at_checked(1)? {
                ("b", "") => SharedPlace::Begin,
                ("e", "") => SharedPlace::End,
                ("s", cursor) => SharedPlace::At(cursor.to_owned()),
                _ => return None,
            };
            Some(Self { last, shared })
        };
        place().ok_or_else(|| listing::unknown_cursor(cursor))
    }

    fn write(&self) -> String {
        let last = self.last.map(|(id, shown)| format!("{id}+{shown}")).unwrap_or_default();
        match &self.shared {
            SharedPlace::Begin => format!("{last}~b"),
            SharedPlace::End => format!("{last}~e"),
            SharedPlace::At(cursor) => format!("{last}~s{cursor}"),
        }
    }
}

/// What the slots hold that fits the filter, the newest first: enough for a page.
pub(super) async fn held(
    slots: &[Slot],
    filter: &Filter,
    place: &Place,
) -> Result<Vec<DeliverySummary>, StoreError> {
    let mut all = Vec::new();
    for slot in slots {
        let found = Arc::new(Mutex::new(Vec::new()));
        let (filter, into) = (filter.clone(), found.clone());
        // One more than fits, so that it is known whether there is a next page.
        let enough = listing::limit(&filter) + 1;
        // The last one again: some of its jobs may have found no room.
        let below = place.last.map(|(id, _)| DeliveryId::from(after(id)));
        let beyond = slot.report.once();
        let take = move |summary: DeliverySummary, body: &[u8]| {
            let mut found = into.lock().unwrap_or_else(PoisonError::into_inner);
            if fits(&filter, &summary, body) {
                found.push(summary);
            }
            found.len() < enough
        };
        slot.outbox.summaries(beyond, below, take).await?;
        all.append(&mut found.lock().unwrap_or_else(PoisonError::into_inner));
    }
    all.sort_by_key(|summary| std::cmp::Reverse(summary.id));
    Ok(all)
}

/// The id behind this one in the order of ids.
fn after(id: DeliveryId) -> uuid::Uuid {
    uuid::Uuid::from_u128(uuid::Uuid::from(id).as_u128().saturating_add(1))
}

/// The jobs of a held delivery that fit the filter.
pub(super) fn jobs_of(summary: DeliverySummary, filter: &Filter) -> Vec<(DeliveryId, JobRecord)> {
    let id = summary.id;
    let wanted = summary.jobs.into_iter().filter(|job| listing::job_fits(filter, job));
    wanted.map(|job| (id, job)).collect()
}

fn fits(filter: &Filter, summary: &DeliverySummary, body: &[u8]) -> bool {
    match listing::fit(filter, summary) {
        Fit::No => false,
        Fit::Yes => true,
        Fit::IfInBody => {
            let text = filter.text.as_deref().unwrap_or_default().as_bytes();
            text.is_empty() || body.windows(text.len()).any(|window| window == text)
        }
    }
}

/// One page of both. `shared` asks the queue for one of its own; while it is away, the page has what is held.
pub(super) async fn merge<T, F>(
    filter: &Filter,
    place: Place,
    held: Vec<(DeliveryId, T)>,
    shared: impl Fn(Filter) -> F,
) -> Result<Page<T>, StoreError>
where
    F: Future<Output = Result<(Vec<(DeliveryId, T)>, Option<String>), StoreError>>,
{
    let limit = listing::limit(filter);
    let ask = async |limit: usize| {
        let cursor = match &place.shared {
            SharedPlace::Begin => None,
            SharedPlace::At(cursor) => Some(cursor.clone()),
            SharedPlace::End => return Ok((Vec::new(), SharedPlace::End)),
        };
        match shared(Filter { cursor, limit, ..filter.clone() }).await {
            Ok((mut items, next)) => {
                let mut skip = place.last.map_or(0, |(_, shown)| shown);
                // What was shown while it was still held here is not shown again.
                items.retain(|(id, _)| match place.last {
                    Some((last, _)) if last == *id && skip > 0 => {
                        skip -= 1;
                        false
                    }
                    Some((last, _)) => *id <= last,
                    None => true,
                });
                Ok((items, next.map_or(SharedPlace::End, SharedPlace::At)))
            }
            // Where it went on is kept for when it is back.
            Err(StoreError::Unavailable(_)) => Ok((Vec::new(), place.shared.clone())),
            Err(error) => Err(error),
        }
    };
    let is_away = |items: &[_], next: &SharedPlace| items.is_empty() && *next == place.shared;
    let (mut theirs, mut next) = ask(limit).await?;
    let known: HashSet<DeliveryId> = theirs.iter().map(|(id, _)| *id).collect();
    // What is older than the queue's page belongs to a later one, if there is one.
    let floor = match &next {
        SharedPlace::At(_) if !is_away(&theirs, &next) => theirs.last().map(|(id, _)| *id),
        _ => None,
    };
    let mut ours = Vec::new();
    let mut left_out = false;
    let mut shown = place.last;
    let mut skip = place.last.map_or(0, |(_, shown)| shown);
    for (id, item) in held {
        if known.contains(&id) {
            continue;
        }
        if place.last.is_some_and(|(last, _)| last == id) && skip > 0 {
            skip -= 1;
            continue;
        }
        if floor.is_some_and(|floor| id < floor) {
            left_out = true;
            break;
        }
        ours.push((id, item));
    }
    let total = theirs.len() + ours.len();
    if total > limit {
        // So many of theirs come before the page is full; ask for exactly these, so that the next page goes on there.
        let fit = count_first(&theirs, &ours, limit);
        if fit < theirs.len() {
            (theirs, next) = if fit == 0 { (Vec::new(), place.shared.clone()) } else { ask(fit).await? };
        }
    }
    let mut page = Vec::with_capacity(limit);
    let (mut theirs, mut ours) = (theirs.into_iter().peekable(), ours.into_iter().peekable());
    while page.len() < limit {
        let from_ours = match (ours.peek(), theirs.peek()) {
            (Some((our, _)), Some((their, _))) => our > their,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let item = if from_ours { ours.next() } else { theirs.next() };
        let Some((id, item)) = item else { break };
        if from_ours {
            let before = shown.filter(|(last, _)| *last == id).map_or(0, |(_, shown)| shown);
            shown = Some((id, before + 1));
        } else {
            // The queue's own cursor knows how many of its items were shown.
            shown = Some((id, 0));
        }
        page.push(item);
    }
    let more = left_out || ours.peek().is_some() || theirs.peek().is_some();
    let ended = !more && (next == SharedPlace::End || is_away(&[], &next) && page.is_empty());
    let next = (!ended).then(|| Place { last: shown, shared: next }.write());
    Ok(Page { items: page, next })
}

/// How many of `theirs` are among the first `limit` of both.
fn count_first<T>(theirs: &[(DeliveryId, T)], ours: &[(DeliveryId, T)], limit: usize) -> usize {
    let (mut their, mut our) = (0, 0);
    while their + our < limit {
        match (theirs.get(their), ours.get(our)) {
            (Some((a, _)), Some((b, _))) if b > a => our += 1,
            (Some(_), _) => their += 1,
            (None, Some(_)) => our += 1,
            (None, None) => break,
        }
    }
    their
}
