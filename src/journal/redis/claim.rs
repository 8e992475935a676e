//! One claim on one lane: what is asked of Redis, and what its answer means.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use redis::Value;

use super::{
    answer,
    core::Core,
    lease::{self, Load, Suspicion},
    link::{LinkError, Script},
    script,
};
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{
        ClaimedJob, Lease,
        sealed::{Parts, body_of},
        stored::StoredEvent,
    },
};

static CLAIM: LazyLock<Script> = script!("claim", allow_oom);

/// How many jobs one call claims at most: a bound on how long Redis is busy with it.
pub(super) const AT_ONCE: u64 = 128;

/// A route with free slots.
pub(super) struct Ask {
    /// Its number in the demand.
    pub(super) route: usize,
    pub(super) name: Arc<str>,
    pub(super) free: usize,
}

/// What a call may claim.
pub(super) struct Asked<'a> {
    pub(super) routes: &'a [Ask],
    /// How many of the free slots are counted for each route.
    pub(super) pool: usize,
    pub(super) load: Load,
}

/// What a call claimed.
pub(super) struct Claims {
    pub(super) jobs: Vec<Claimed>,
    /// A suspect has to run alone, and waits until nothing else runs.
    pub(super) held_up: bool,
    /// For each route that was asked for, in how long its next job is due; `None`: none waits.
    pub(super) next_due: Vec<Option<Duration>>,
}

/// A job that is claimed, leased, its attempt counted.
pub(super) struct Claimed {
    /// The route's number in the demand.
    pub(super) route: usize,
    pub(super) suspicion: Suspicion,
    pub(super) lease: Lease,
    /// `Err`: its delivery can't be read.
    pub(super) job: Result<ClaimedJob, LinkError>,
}

/// Claims jobs, with tokens from number `first` on.
pub(super) async fn claim(core: &Core, lane: u32, asked: Asked<'_>, first: u64) -> Result<Claims, LinkError> {
    let Asked { routes: asks, pool, load } = asked;
    let pool = pool.to_string();
    let lease_ms = core.options.lease.as_millis().to_string();
    let [first_text, lane_text, limit, max_crashes] =
        [first, u64::from(lane), AT_ONCE, u64::from(core.options.max_crashes)]
            .map(|number| number.to_string());
    let flag = |set: bool| if set { &b"1"[..] } else { b"0" };
    let free: Vec<_> = asks.iter().map(|ask| ask.free.to_string()).collect();
    let mut args: Vec<&[u8]> = vec![
        core.owner.as_bytes(),
        lease_ms.as_bytes(),
        first_text.as_bytes(),
        lane_text.as_bytes(),
        limit.as_bytes(),
        flag(!load.suspect),
        flag(load.busy),
        max_crashes.as_bytes(),
        pool.as_bytes(),
    ];
    for (ask, free) in asks.iter().zip(&free) {
        args.extend([ask.name.as_bytes(), free.as_bytes()]);
    }
    let [_, verdict, jobs, values, next_due] = answer::fixed(core.run(lane, &CLAIM, &args).await?)?;
    let verdict = answer::int(&verdict)?;
    let mut deliveries = Vec::new();
    for value in answer::list(values)? {
        deliveries.push(Delivery::of(answer::bytes(value)?));
    }
    let mut claims = Claims { jobs: Vec::new(), held_up: verdict == 1, next_due: Vec::new() };
    let mut fields = answer::list(jobs)?.into_iter();
    while let Some(route) = fields.next() {
        let suspicion = match (claims.jobs.is_empty(), verdict) {
            (true, 2) => Suspicion::Suspect,
            (true, 3) => Suspicion::Alone,
            _ => Suspicion::None,
        };
        let token = lease::token(first + claims.jobs.len() as u64, lane);
        claims.jobs.push(read_job(&route, &mut fields, asks, &deliveries, token, suspicion)?);
    }
    for due in answer::list(next_due)? {
        claims.next_due.push(u64::try_from(answer::int(&due)?).ok().map(Duration::from_millis));
    }
    Ok(claims)
}

fn read_job(
    route: &Value,
    fields: &mut impl Iterator<Item = Value>,
    asks: &[Ask],
    deliveries: &[Delivery],
    token: u64,
    suspicion: Suspicion,
) -> Result<Claimed, LinkError> {
    let short = || LinkError::Refused("a claim's answer is too short".into());
    let mut next = || fields.next().ok_or_else(short);
    let ask = asks.get(place(route)?).ok_or_else(short)?;
    let member = answer::bytes(next()?)?;
    let (delivery, event) = read_member(&member).ok_or_else(short)?;
    let (attempt, crashes, replay) = (small(&next()?)?, small(&next()?)?, small(&next()?)?);
    let stored = deliveries.get(place(&next()?)?).ok_or_else(short)?;
    let lease = Lease { delivery, event, route: ask.name.clone(), token };
    let job = stored.event(event).map(|(common, event)| ClaimedJob {
        lease: lease.clone(),
        source: common.source.clone(),
        provider: common.provider.clone(),
        data: event.data.of(&common.body),
        event: event.clone().into_event(),
        received_at: common.received_at,
        content_type: common.content_type.clone(),
        attempt,
        replay,
        crashes,
    });
    Ok(Claimed { route: ask.route, suspicion, lease, job })
}

/// A delivery that jobs of a claim share.
struct Delivery(Result<Common, LinkError>);

struct Common {
    source: Arc<str>,
    provider: Arc<str>,
    received_at: Timestamp,
    content_type: Option<String>,
    events: Vec<StoredEvent>,
    body: Bytes,
}

impl Delivery {
    fn of(value: Vec<u8>) -> Self {
        let read = |value: &[u8]| {
            let parts = Parts::of(value)?;
            let meta = parts.read_meta()?;
            let common = Common {
                source: meta.source.into(),
                provider: meta.provider.into(),
                received_at: parts.received_at,
                content_type: meta.content_type.map(Into::into),
                events: meta.events.into_iter().map(|routed| routed.event).collect(),
                body: Bytes::new(),
            };
            Ok((common, parts.body_at))
        };
        Self(read(&value).map(|(common, body_at)| Common { body: body_of(value, body_at), ..common }))
    }

    fn event(&self, index: u32) -> Result<(&Common, &StoredEvent), LinkError> {
        let common = self.0.as_ref().map_err(Clone::clone)?;
        let event = usize::try_from(index).ok().and_then(|index| common.events.get(index));
        let missing = || LinkError::Refused(format!("the delivery has no event number {index}"));
        Ok((common, event.ok_or_else(missing)?))
    }
}

fn read_member(member: &[u8]) -> Option<(DeliveryId, u32)> {
    let (id, event) = member.split_at_checked(16)?;
    Some((DeliveryId::from_bytes(id.try_into().ok()?), std::str::from_utf8(event).ok()?.parse().ok()?))
}

fn place(value: &Value) -> Result<usize, LinkError> {
    Ok(usize::try_from(answer::uint(value)?).unwrap_or(usize::MAX))
}

fn small(value: &Value) -> Result<u32, LinkError> {
    Ok(u32::try_from(answer::uint(value)?).unwrap_or(u32::MAX))
}
