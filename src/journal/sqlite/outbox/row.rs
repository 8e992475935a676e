//! How a delivery stands in the outbox: sealed, and beside it what the relay has to know of it.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{self, Timestamp},
    delivery::{DedupeKey, DeliveryId},
    journal::{
        Dedupe, DeliveryState, DeliverySummary,
        sealed::{Parts, Sealed, Unreadable, new_job, routes},
    },
};

/// Source, how it is recognised, jobs.
#[derive(Debug, Serialize, Deserialize)]
struct Plan<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Option<DedupePlan<'a>>,
    #[serde(borrow)] Vec<JobPlan<'a>>,
);

/// The key's bytes in hex, the window in milliseconds, whether an id is missing.
#[derive(Debug, Serialize, Deserialize)]
struct DedupePlan<'a>(#[serde(borrow)] Cow<'a, str>, u64, bool);

/// The number of an event, and a route.
#[derive(Debug, Serialize, Deserialize)]
struct JobPlan<'a>(u32, #[serde(borrow)] Cow<'a, str>);

/// What stands beside a delivery.
pub(super) fn plan(sealed: &Sealed) -> String {
    let mut digits = [0; 64];
    let dedupe = sealed.dedupe.map(|by| {
        // Two digits for each byte have room, and are text.
        let _ = hex::encode_to_slice(by.key.to_bytes(), &mut digits);
        let window = u64::try_from(by.window.as_millis()).unwrap_or(u64::MAX);
        DedupePlan(String::from_utf8_lossy(&digits), window, by.key.is_fallback())
    });
    let jobs = sealed.jobs.iter().map(|(event, route)| JobPlan(*event, Cow::Borrowed(&**route)));
    let plan = Plan(Cow::Borrowed(&*sealed.source), dedupe, jobs.collect());
    // Strings, numbers and lists always have a JSON form.
    serde_json::to_string(&plan).unwrap_or_default()
}

/// Names that were seen before, so that thousands of rows share one copy of each.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Arc<str>>);

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| ***known == *name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.0.push(name.clone());
        name
    }
}

/// When what was acknowledged is given up.
pub(super) fn never() -> Instant {
    clock::instant() + Duration::from_secs(365 * 24 * 3600)
}

/// Puts a delivery together again. The error says what in the row is not as it was written.
pub(super) fn sealed(
    id: DeliveryId,
    received_at: Timestamp,
    plan: &str,
    head: Vec<u8>,
    body: Bytes,
    names: &mut Names,
) -> Result<Sealed, String> {
    let Plan(source, dedupe, jobs) =
        serde_json::from_str(plan).map_err(|error| format!("its plan: {error}"))?;
    let Parts { state, unrouted, .. } = Parts::of(&head).map_err(|error| error.to_string())?;
    let dedupe = dedupe.map(|DedupePlan(key, window, fallback)| {
        let mut bytes = [0; 32];
        hex::decode_to_slice(&*key, &mut bytes)
            .map_err(|error| format!("its dedupe key {key:?}: {error}"))?;
        let key = DedupeKey::from_bytes(bytes, fallback);
        Ok::<_, String>(Dedupe { key, window: Duration::from_millis(window) })
    });
    Ok(Sealed {
        id,
        source: names.get(&source),
        received_at,
        state,
        unrouted,
        dedupe: dedupe.transpose()?,
        jobs: jobs.iter().map(|JobPlan(event, route)| (*event, names.get(route))).collect(),
        head,
        body,
        give_up_at: never(),
    })
}

/// What a listing shows of a row that waits to be moved. One that the queue `refused` shows as quarantined.
pub(super) fn summary(
    id: DeliveryId,
    head: &[u8],
    refused: Option<String>,
) -> Result<DeliverySummary, Unreadable> {
    let (mut summary, events) = Parts::of(head)?.summary(id)?;
    if let Some(why) = refused {
        summary.state = DeliveryState::Quarantined;
        summary.reason = Some(format!("the queue will not take it: {why}"));
        return Ok(summary);
    }
    summary.jobs = routes(&events).map(|(event, route)| new_job(&summary, event, route)).collect();
    Ok(summary)
}
