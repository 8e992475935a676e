//! Finding deliveries and their jobs. An id does not say in which lane it is, so all are asked at the same time.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use futures_util::future::{join_all, try_join_all};
use redis::{Cmd, Value};
use uuid::Uuid;

use super::{
    Redis, answer, job,
    link::{LinkError, Script, prefix},
    script,
};
use crate::{
    delivery::{DeliveryId, JobId},
    journal::{
        AttemptRecord, DeliverySummary, JobRecord,
        listing::LOOK_AT,
        moving::there_or_here,
        sealed::{Parts, RoutedEvent, new_job, routes},
    },
};

static HEADS: LazyLock<Script> = script!("heads", no_writes);
static DELIVERY: LazyLock<Script> = script!("delivery", no_writes);
static WAITING: LazyLock<Script> = script!("waiting", no_writes);

/// How many fields or members one command asks for.
const PIECE: usize = 500;

/// How many jobs that wait one call looks at.
const AT_A_TIME: u64 = 1_000;

/// How many deliveries one call looks at, at most.
pub(super) const AT_ONCE: usize = 100;

/// What a listing needs of a delivery.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) lane: u32,
    /// As it stands in Redis: the first line and the meta data.
    pub(super) text: Vec<u8>,
    pub(super) unrouted: u32,
    pub(super) events: Vec<RoutedEvent>,
    /// The numbers of the jobs' events, and the jobs, once they are [loaded](Redis::load_jobs).
    pub(super) jobs: Vec<(u32, JobRecord)>,
    /// Without its jobs.
    pub(super) summary: DeliverySummary,
}

impl Head {
    /// Reads what stands in front of a delivery's headers.
    pub(super) fn read(lane: u32, id: DeliveryId, text: Vec<u8>) -> Result<Self, LinkError> {
        let parts = Parts::of(&text)?;
        let (summary, events) = parts.summary(id)?;
        let unrouted = parts.unrouted;
        Ok(Self { lane, text, unrouted, events, jobs: Vec::new(), summary })
    }

    pub(super) fn id(&self) -> DeliveryId {
        self.summary.id
    }

    /// What a listing shows of it.
    pub(super) fn into_summary(self) -> DeliverySummary {
        let jobs = self.jobs.into_iter().map(|(_, job)| job).collect();
        DeliverySummary { jobs, ..self.summary }
    }
}

/// A delivery and the number of an event, as sets of waiting jobs have them.
pub(super) fn member(delivery: DeliveryId, event: u32) -> Vec<u8> {
    [delivery.as_bytes(), event.to_string().as_bytes()].concat()
}

/// A job's field in the hash of jobs.
fn field(delivery: DeliveryId, event: u32, route: &str) -> Vec<u8> {
    [delivery.as_bytes(), event.to_string().as_bytes(), b":", route.as_bytes()].concat()
}

impl Redis {
    /// The heads of the next deliveries in a set of a lane, the newest first, as far as they are below this id. Fewer
    /// than asked for means that there are no more. A head is empty if its delivery is gone.
    pub(super) async fn heads_below(
        &self,
        lane: u32,
        set: &str,
        below: Option<DeliveryId>,
        count: usize,
    ) -> Result<Vec<(DeliveryId, Vec<u8>)>, LinkError> {
        let from = below.map_or(b"+".to_vec(), |id| [b"(", &id.as_bytes()[..]].concat());
        let count = count.to_string();
        let args: [&[u8]; 3] = [set.as_bytes(), &from, count.as_bytes()];
        heads(self.core.run(lane, &HEADS, &args).await?)
    }

    /// The heads of these deliveries. A head is empty if its delivery is not in this lane.
    pub(super) async fn heads_of(
        &self,
        lane: u32,
        ids: &[DeliveryId],
    ) -> Result<Vec<(DeliveryId, Vec<u8>)>, LinkError> {
        let mut args: Vec<&[u8]> = vec![b""];
        args.extend(ids.iter().map(|id| &id.as_bytes()[..]));
        heads(self.core.run(lane, &HEADS, &args).await?)
    }

    /// A delivery's head.
    pub(super) async fn head(&self, id: DeliveryId) -> Result<Option<Head>, LinkError> {
        let found = self.in_any_lane(|lane| async move {
            let found = self.heads_of(lane, &[id]).await?;
            Ok(found.into_iter().map(|(_, text)| text).find(|text| !text.is_empty()))
        });
        let Some((lane, text)) = found.await? else { return Ok(None) };
        Head::read(lane, id, text).map(Some)
    }

    /// All that is stored of a delivery, and in which lane.
    pub(super) async fn value(&self, id: DeliveryId) -> Result<Option<(u32, Vec<u8>)>, LinkError> {
        self.in_any_lane(|lane| async move {
            answer::optional(self.core.run(lane, &DELIVERY, &[id.as_bytes()]).await?)
        })
        .await
    }

    /// One job with its lane and the number of its event.
    pub(super) async fn find_job(&self, id: JobId) -> Result<Option<(u32, u32, JobRecord)>, LinkError> {
        let waiting = self.in_any_lane(|lane| self.delivery_of_waiting(lane, id));
        let Some((lane, delivery)) = there_or_here(|| self.delivery_of(id), waiting).await? else {
            return Ok(None);
        };
        let mut heads = Vec::new();
        for (delivery, text) in self.heads_of(lane, &[delivery_id(&delivery)?]).await? {
            if !text.is_empty() {
                heads.push(Head::read(lane, delivery, text)?);
            }
        }
        self.load_jobs(&mut heads).await?;
        let mut jobs = heads.into_iter().flat_map(|head| head.jobs);
        Ok(jobs.find(|(_, job)| job.id == id).map(|(event, job)| (lane, event, job)))
    }

    /// The delivery of a job that was claimed before, or changed, and its lane.
    async fn delivery_of(&self, job: JobId) -> Result<Option<(u32, Vec<u8>)>, LinkError> {
        self.in_any_lane(|lane| async move {
            let mut ask = Cmd::new();
            ask.arg("HGET").arg(key(lane, b"jobids")).arg(job.as_bytes());
            answer::optional(self.core.link.command(lane, &ask).await?)
        })
        .await
    }

    /// The delivery of a job that was never claimed. To have it found at once would cost each job more than it is worth to
    /// the few that are asked for while they wait.
    async fn delivery_of_waiting(&self, lane: u32, job: JobId) -> Result<Option<Vec<u8>>, LinkError> {
        let routes =
            self.core.link.command(lane, Cmd::new().arg("SMEMBERS").arg(key(lane, b"routes"))).await?;
        for route in answer::list(routes)? {
            let route = answer::bytes(route)?;
            // What comes meanwhile is not what was asked for.
            let (mut looked_at, mut waiting) = (0, None);
            while waiting.is_none_or(|waiting| looked_at < waiting) {
                let (from, count) = (looked_at.to_string(), AT_A_TIME.to_string());
                let args: [&[u8]; 4] = [job.as_bytes(), &route, from.as_bytes(), count.as_bytes()];
                let [delivery, length] = answer::fixed(self.core.run(lane, &WAITING, &args).await?)?;
                if let Some(delivery) = answer::optional(delivery)? {
                    return Ok(Some(delivery));
                }
                waiting = waiting.or(Some(answer::uint(&length)?));
                looked_at += AT_A_TIME;
            }
        }
        Ok(None)
    }

    /// The delivery whose own id this is, or one of its events'.
    pub(super) async fn delivery_with(&self, id: Uuid) -> Result<Option<DeliveryId>, LinkError> {
        let siblings = try_join_all((0..self.lanes()).map(|lane| self.sibling(lane, id))).await?;
        for (lane, delivery) in (0..).zip(siblings) {
            let Some(delivery) = delivery else { continue };
            if Uuid::from(delivery) == id {
                return Ok(Some(delivery));
            }
            for (_, text) in self.heads_of(lane, &[delivery]).await? {
                let known = !text.is_empty()
                    && (0..)
                        .zip(Head::read(lane, delivery, text)?.events)
                        .any(|(index, _)| Uuid::from(delivery.event(index)) == id);
                if known {
                    return Ok(Some(delivery));
                }
            }
        }
        Ok(None)
    }

    /// The delivery of a lane that is or directly precedes this id and shares its random part.
    async fn sibling(&self, lane: u32, id: Uuid) -> Result<Option<DeliveryId>, LinkError> {
        // An event's id follows its delivery's by as many places as it has events before it, and a millisecond has more
        // places than a delivery has events.
        let end = DeliveryId::from(Uuid::from_u128((id.as_u128() >> 80).saturating_sub(1) << 80));
        let mut below = Some(Uuid::from_u128(id.as_u128().saturating_add(1)).into());
        let mut looked_at = 0;
        // Nearly always it is the first one.
        let mut count = 4;
        while looked_at < LOOK_AT {
            let found = self.heads_below(lane, "index", below, count).await?;
            if let Some((delivery, _)) = found.iter().find(|(delivery, _)| delivery.is_sibling(id)) {
                return Ok(Some(*delivery));
            }
            let last = found.last().filter(|(last, _)| found.len() == count && *last >= end);
            let Some((last, _)) = last else { break };
            below = Some(*last);
            looked_at += found.len();
            count = AT_ONCE;
        }
        Ok(None)
    }

    /// Fills in the deliveries' jobs.
    pub(super) async fn load_jobs(&self, heads: &mut [Head]) -> Result<(), LinkError> {
        let mut by_lane: BTreeMap<u32, Vec<(usize, u32, String)>> = BTreeMap::new();
        for (at, head) in heads.iter().enumerate() {
            let wanted = by_lane.entry(head.lane).or_default();
            wanted.extend(routes(&head.events).map(|(event, route)| (at, event, route.to_owned())));
        }
        let pieces: Vec<_> = by_lane
            .iter()
            .flat_map(|(lane, wanted)| wanted.chunks(PIECE).map(move |piece| (*lane, piece)))
            .collect();
        let known: &[Head] = heads;
        let texts = try_join_all(pieces.iter().map(async |(lane, piece)| {
            let mut ask = Cmd::new();
            ask.arg("HMGET").arg(key(*lane, b"jobs"));
            for (at, event, route) in *piece {
                ask.arg(field(known[*at].id(), *event, route));
            }
            answer::list(self.core.link.command(*lane, &ask).await?)
        }))
        .await?;
        for ((_, piece), texts) in pieces.into_iter().zip(texts) {
            for ((at, event, route), text) in piece.iter().zip(texts) {
                let job = match answer::optional(text)? {
                    Some(text) => job::read(&heads[*at].summary, *event, route, &text)?,
                    None => new_job(&heads[*at].summary, *event, route),
                };
                heads[*at].jobs.push((*event, job));
            }
        }
        Ok(())
    }

    /// The recorded attempts at a delivery's jobs, in no order.
    pub(super) async fn attempts(&self, lane: u32, id: DeliveryId) -> Result<Vec<AttemptRecord>, LinkError> {
        let key = key(lane, &[b"attempts:", &id.as_bytes()[..]].concat());
        let entries = self.scan(lane, "HSCAN", &key).await?;
        let (pairs, _) = entries.as_chunks::<2>();
        // A scan may show the same one twice.
        let each: HashMap<_, _> = pairs.iter().map(|[field, value]| (field, value)).collect();
        each.into_iter()
            .map(|(field, value)| {
                let (field, value) = (String::from_utf8_lossy(field), String::from_utf8_lossy(value));
                job::read_attempt(id, &field, &value)
                    .ok_or_else(|| LinkError::Refused(format!("a stored attempt can't be read: {field:?}")))
            })
            .collect()
    }

    /// The deliveries of a lane that have a running job, below this id, the newest first.
    pub(super) async fn running_below(
        &self,
        lane: u32,
        below: Option<DeliveryId>,
    ) -> Result<Vec<DeliveryId>, LinkError> {
        let entries = self.scan(lane, "ZSCAN", &key(lane, b"leases")).await?;
        let (pairs, _) = entries.as_chunks::<2>();
        let mut ids = pairs
            .iter()
            .map(|[member, _]| delivery_id(member.get(..16).unwrap_or_default()))
            .collect::<Result<Vec<_>, _>>()?;
        ids.retain(|id| below.is_none_or(|below| *id < below));
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        Ok(ids)
    }

    /// All of a hash or a sorted set, piece by piece: names and values by turns.
    async fn scan(&self, lane: u32, command: &str, key: &[u8]) -> Result<Vec<Vec<u8>>, LinkError> {
        let mut entries = Vec::new();
        let mut cursor = b"0".to_vec();
        loop {
            let mut ask = Cmd::new();
            ask.arg(command).arg(key).arg(&cursor).arg("COUNT").arg(PIECE);
            let [next, piece] = answer::fixed(self.core.link.command(lane, &ask).await?)?;
            for entry in answer::list(piece)? {
                entries.push(answer::bytes(entry)?);
            }
            cursor = answer::bytes(next)?;
            if cursor == b"0" {
                return Ok(entries);
            }
        }
    }

    /// Asks all lanes at the same time for what only one can have.
    async fn in_any_lane<T, F>(&self, ask: impl Fn(u32) -> F) -> Result<Option<(u32, T)>, LinkError>
    where
        F: Future<Output = Result<Option<T>, LinkError>>,
    {
        let answers = join_all((0..self.lanes()).map(ask)).await;
        let mut failed = None;
        for (lane, answer) in (0..).zip(answers) {
            match answer {
                Ok(Some(found)) => return Ok(Some((lane, found))),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        // It may be where no answer came from.
        failed.map_or(Ok(None), Err)
    }
}

/// A key of a lane.
fn key(lane: u32, name: &[u8]) -> Vec<u8> {
    [prefix(lane).as_bytes(), name].concat()
}

pub(super) fn heads(value: Value) -> Result<Vec<(DeliveryId, Vec<u8>)>, LinkError> {
    let mut answers = answer::list(value)?.into_iter();
    let mut heads = Vec::with_capacity(answers.len() / 2);
    while let (Some(id), Some(text)) = (answers.next(), answers.next()) {
        heads.push((id_of(id)?, answer::bytes(text)?));
    }
    Ok(heads)
}

fn id_of(value: Value) -> Result<DeliveryId, LinkError> {
    delivery_id(&answer::bytes(value)?)
}

fn delivery_id(bytes: &[u8]) -> Result<DeliveryId, LinkError> {
    let bytes =
        bytes.try_into().map_err(|_| LinkError::Refused("what should be a delivery's id is none".into()));
    bytes.map(DeliveryId::from_bytes)
}
