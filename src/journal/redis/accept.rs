//! The atomic write: dedupe claim, delivery, jobs.

use std::{sync::LazyLock, time::Instant};

use super::{
    answer,
    batch::{HEAVY, MANY, Waiting},
    core::Core,
    feeder::{Command, Feeder},
    link::{LinkError, Script},
    script,
    value::Stored as Value,
};
use crate::{
    clock,
    delivery::DeliveryId,
    journal::{Accepted, NewDelivery, Safe, StoreError, TakenIn},
};

static ACCEPT: LazyLock<Script> = script!("accept");

/// A delivery with all that can be computed before its turn comes.
pub(super) struct Prepared {
    pub(super) lane: u32,
    stored: Value,
    /// The key, its kind (`i` an id, `f` an equal body), its window in milliseconds.
    dedupe: Option<([u8; 32], &'static str, u128)>,
    give_up_at: Instant,
}

impl Prepared {
    pub(super) fn new(new: &NewDelivery, lanes: u32) -> Self {
        let dedupe = new.dedupe.map(|by| {
            (by.key.to_bytes(), if by.key.is_fallback() { "f" } else { "i" }, by.window.as_millis())
        });
        let lane = lane_of(dedupe.as_ref().map(|(key, ..)| &key[..16]), new.id, lanes);
        Self { lane, stored: Value::new(new), dedupe, give_up_at: new.give_up_at }
    }

    /// How many bytes go to Redis for it, about.
    pub(super) fn weight(&self) -> usize {
        self.stored.value.len() + 128 * (1 + self.stored.jobs.len())
    }
}

/// The lane of a delivery: that of all with the same claim, so that one script sees them all.
fn lane_of(claim: Option<&[u8]>, id: DeliveryId, lanes: u32) -> u32 {
    // The last half of an id is random, and a claim is a digest.
    let digits = claim.unwrap_or(&id.as_bytes()[8..]).iter();
    let number = digits.fold(0_u64, |number, byte| number.wrapping_mul(257).wrapping_add(u64::from(*byte)));
    u32::try_from(number % u64::from(lanes)).unwrap_or(0)
}

/// Stores what has gathered for a lane, and answers each.
pub(super) async fn accept_gathered(
    core: &Core,
    feeder: &Feeder,
    lane: u32,
    gathered: Vec<Waiting<Prepared, Result<Accepted, StoreError>>>,
) {
    let now = clock::instant();
    let (timely, overdue): (Vec<_>, Vec<_>) = gathered.into_iter().partition(|(new, _)| new.give_up_at > now);
    for (_, reply) in overdue {
        // Whoever no longer waits for an answer needs none. The same below.
        let _ = reply.send(Err(StoreError::TooLate));
    }
    if timely.is_empty() {
        return;
    }
    let deliveries: Vec<_> = timely.iter().map(|(new, _)| new).collect();
    match store(core, feeder, lane, &deliveries, Way::Alone).await {
        Ok(stored) => {
            for ((_, reply), answer) in timely.into_iter().zip(stored.answers) {
                let _ = reply.send(Ok(answer));
            }
        }
        Err(error) => {
            for (_, reply) in timely {
                let _ = reply.send(Err(error.clone().into()));
            }
        }
    }
}

/// Stores a batch of any size. All lanes at the same time, each in the batch's order.
pub(super) async fn take_in(
    core: &Core,
    feeder: &Feeder,
    batch: &[NewDelivery],
) -> Result<TakenIn, StoreError> {
    let prepared: Vec<_> = batch.iter().map(|new| Prepared::new(new, core.lanes())).collect();
    let mut by_lane: Vec<Vec<usize>> = vec![Vec::new(); core.options.lanes as usize];
    for (place, new) in prepared.iter().enumerate() {
        by_lane[new.lane as usize].push(place);
    }
    let touched = (0..).zip(by_lane).filter(|(_, places)| batch.is_empty() || !places.is_empty());
    let prepared = &prepared;
    let lanes = touched.map(|(lane, places)| async move {
        let mut answers = Vec::with_capacity(places.len());
        let mut history = None;
        for piece in pieces(&places, |place| prepared[*place].weight()) {
            let deliveries: Vec<_> = piece.iter().map(|place| &prepared[*place]).collect();
            let stored = store(core, feeder, lane, &deliveries, Way::Relayed).await?;
            answers.extend(stored.answers);
            // The first one's: if the server changes between two pieces, the next answer tells of it.
            history.get_or_insert(stored.history);
        }
        Ok::<_, LinkError>((lane, places, Stored { answers, history: history.unwrap_or_default() }))
    });
    let mut taken = TakenIn { answers: Vec::new(), histories: Vec::new() };
    let mut answers = vec![None; batch.len()];
    for stored in futures_util::future::join_all(lanes).await {
        let (lane, places, stored) = stored?;
        taken.histories.push((lane, stored.history));
        for (place, answer) in places.into_iter().zip(stored.answers) {
            answers[place] = Some(answer);
        }
    }
    let missing = || StoreError::Unavailable("its lane gave no answer".into());
    taken.answers = answers.into_iter().map(|answer| answer.ok_or_else(missing)).collect();
    Ok(taken)
}

/// Waits until what was stored before is as safe as the options say.
pub(super) async fn make_safe(core: &Core) -> Result<Safe, StoreError> {
    let mut safe = Safe { histories: Vec::new(), short: None };
    // A server whose last write is safe has made all before it safe, on whichever lane. They are asked one after the other:
    // on a connection a wait holds up all that stands behind it.
    for lane in 0..core.options.lanes_of_all_servers() {
        let (answer, short) = core.run_safe(lane, &ACCEPT, &[b"2"]).await?;
        safe.histories.push((lane, pop_history(&mut answer::list(answer)?)?));
        safe.short = short;
        if safe.short.is_some() {
            break;
        }
    }
    Ok(safe)
}

/// Cuts a lane's share into what one call takes; one empty piece if there is nothing.
fn pieces(places: &[usize], weigh: impl Fn(&usize) -> usize) -> Vec<&[usize]> {
    let mut pieces = Vec::new();
    let (mut from, mut weight) = (0, 0);
    for (at, place) in places.iter().enumerate() {
        if at - from == MANY || weight >= HEAVY {
            pieces.push(&places[from..at]);
            (from, weight) = (at, 0);
        }
        weight += weigh(place);
    }
    pieces.push(&places[from..]);
    pieces
}

/// How deliveries come.
#[derive(Clone, Copy)]
enum Way {
    /// Each by itself.
    Alone,
    /// From a journal that is told on which copy of the data.
    Relayed,
}

/// What became of a batch on one lane.
struct Stored {
    answers: Vec<Accepted>,
    /// The replication id of the server, if the batch was relayed.
    history: String,
}

/// Stores these.
async fn store(
    core: &Core,
    feeder: &Feeder,
    lane: u32,
    deliveries: &[&Prepared],
    way: Way,
) -> Result<Stored, LinkError> {
    let mut texts = Vec::with_capacity(deliveries.len());
    for new in deliveries {
        let window = new.dedupe.as_ref().map(|(_, _, window)| window.to_string()).unwrap_or_default();
        let Value { state, unrouted, jobs, .. } = &new.stored;
        texts.push([window, (*state as u8).to_string(), unrouted.to_string(), jobs.len().to_string()]);
    }
    let jobs = deliveries.iter().flat_map(|new| {
        let id = new.stored.id;
        new.stored.jobs.iter().map(move |(event, route)| (event.to_string(), id.event(*event).job(route)))
    });
    let jobs: Vec<_> = jobs.collect();
    let mut rest = jobs.iter();
    let mut args: Vec<&[u8]> = Vec::with_capacity(1 + 8 * deliveries.len() + 3 * jobs.len());
    args.push(match way {
        Way::Alone => b"0",
        Way::Relayed => b"1",
    });
    for (new, [window, state, unrouted, count]) in deliveries.iter().zip(&texts) {
        let (key, kind): (&[u8], _) = match &new.dedupe {
            Some((key, kind, _)) => (key, *kind),
            None => (b"", ""),
        };
        args.extend([new.stored.id.as_bytes(), key, kind.as_bytes(), window.as_bytes()]);
        args.extend([state.as_bytes(), unrouted.as_bytes(), &new.stored.value, count.as_bytes()]);
        for ((_, route), (event, id)) in new.stored.jobs.iter().zip(&mut rest) {
            args.extend([event.as_bytes(), route.as_bytes(), id.as_bytes()]);
        }
    }
    let mut answers = answer::list(core.run(lane, &ACCEPT, &args).await?)?;
    if !jobs.is_empty() {
        feeder.tell(Command::Lane(lane));
    }
    let history = pop_history(&mut answers)?;
    if answers.len() != deliveries.len() {
        return Err(LinkError::Refused(format!(
            "{} answers came for {} deliveries",
            answers.len(),
            deliveries.len()
        )));
    }
    let accepted = answers.into_iter().map(|answer| {
        Ok(match &answer::bytes(answer)?[..] {
            b"" => Accepted::New { id_reused: false },
            b"r" => Accepted::New { id_reused: true },
            id => {
                let id = id.try_into().map_err(|_| LinkError::Refused("an answer is no id".into()))?;
                Accepted::Duplicate { original: DeliveryId::from_bytes(id) }
            }
        })
    });
    Ok(Stored { answers: accepted.collect::<Result<_, LinkError>>()?, history })
}

/// The replication id, which stands behind the answers.
fn pop_history(answers: &mut Vec<redis::Value>) -> Result<String, LinkError> {
    Ok(answers.pop().map(answer::text).transpose()?.unwrap_or_default())
}
