//! The atomic write: dedupe claim, delivery, jobs.

use std::sync::LazyLock;

use super::{
    answer,
    batch::{HEAVY, MANY, Waiting},
    bundle,
    core::Core,
    feeder::{Command, Feeder},
    link::{LinkError, Script},
    script,
};
use crate::{
    clock,
    delivery::DeliveryId,
    journal::{Accepted, Safe, StoreError, TakenIn, sealed::Sealed},
};

static ACCEPT: LazyLock<Script> = script!("accept");

/// A delivery, and where it goes.
pub(super) struct Addressed {
    pub(super) lane: u32,
    sealed: Sealed,
}

impl Addressed {
    pub(super) fn new(sealed: Sealed, lanes: u32) -> Self {
        let claim = sealed.dedupe.map(|by| by.key.to_bytes());
        let lane = lane_of(claim.as_ref().map(|key| &key[..16]), sealed.id, lanes);
        Self { lane, sealed }
    }

    /// How many bytes go to Redis for it, about.
    pub(super) fn weight(&self) -> usize {
        let Sealed { head, body, jobs, .. } = &self.sealed;
        head.len() + body.len() + 128 * (1 + jobs.len())
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
    gathered: Vec<Waiting<Addressed, Result<Accepted, StoreError>>>,
) {
    let now = clock::instant();
    let (timely, overdue): (Vec<_>, Vec<_>) =
        gathered.into_iter().partition(|(new, _)| new.sealed.give_up_at > now);
    for (_, reply) in overdue {
        // Whoever no longer waits for an answer needs none. The same below.
        let _ = reply.send(Err(StoreError::TooLate));
    }
    if timely.is_empty() {
        return;
    }
    let deliveries: Vec<_> = timely.iter().map(|(new, _)| &new.sealed).collect();
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
pub(super) async fn take_in(core: &Core, feeder: &Feeder, batch: Vec<Sealed>) -> Result<TakenIn, StoreError> {
    let batch: Vec<_> = batch.into_iter().map(|sealed| Addressed::new(sealed, core.lanes())).collect();
    let mut by_lane: Vec<Vec<usize>> = vec![Vec::new(); core.options.lanes as usize];
    for (place, new) in batch.iter().enumerate() {
        by_lane[new.lane as usize].push(place);
    }
    let touched = (0..).zip(by_lane).filter(|(_, places)| batch.is_empty() || !places.is_empty());
    let deliveries = &batch;
    let lanes = touched.map(|(lane, places)| async move {
        let mut answers = Vec::with_capacity(places.len());
        let mut history = None;
        for piece in pieces(&places, |place| deliveries[*place].weight()) {
            let piece: Vec<_> = piece.iter().map(|place| &deliveries[*place].sealed).collect();
            let stored = store(core, feeder, lane, &piece, Way::Relayed).await?;
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
        let [_, _, history] = answer::fixed(answer)?;
        safe.histories.push((lane, answer::text(history)?));
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
    deliveries: &[&Sealed],
    way: Way,
) -> Result<Stored, LinkError> {
    let mut routes: Vec<&str> = Vec::new();
    let mut bundles: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for bundle in bundle::split(deliveries) {
        let mut plan = Vec::with_capacity(32 + bundle.len() * 128);
        if let Some((last, first)) = bundle::span(bundle) {
            plan.extend([last, first].iter().flat_map(DeliveryId::as_bytes));
        }
        for new in bundle {
            write_plan(&mut plan, new, &mut routes);
        }
        bundles.push((plan, bundle::write(bundle)));
    }
    let route_count = routes.len().to_string();
    let mut args: Vec<&[u8]> = vec![
        match way {
            Way::Alone => b"0",
            Way::Relayed => b"1",
        },
        route_count.as_bytes(),
    ];
    args.extend(routes.iter().map(|route| route.as_bytes()));
    args.extend(bundles.iter().flat_map(|(plan, bundle)| [&plan[..], bundle]));
    let [letters, originals, history] = answer::fixed(core.run(lane, &ACCEPT, &args).await?)?;
    if !routes.is_empty() {
        feeder.tell(Command::Lane(lane));
    }
    let answers = read_answers(&answer::bytes(letters)?, &answer::bytes(originals)?)?;
    if answers.len() != deliveries.len() {
        return Err(LinkError::Refused(format!(
            "{} answers came for {} deliveries",
            answers.len(),
            deliveries.len()
        )));
    }
    Ok(Stored { answers, history: answer::text(history)? })
}

/// Adds to a plan what the script has to know of a delivery; `accept.lua` says how it is written.
fn write_plan<'a>(plan: &mut Vec<u8>, new: &'a Sealed, routes: &mut Vec<&'a str>) {
    let Sealed { id, state, unrouted, jobs, received_at, .. } = new;
    plan.extend(id.as_bytes());
    let (key, kind, window) = match &new.dedupe {
        Some(by) => (by.key.to_bytes(), if by.key.is_fallback() { 2 } else { 1 }, by.window.as_millis()),
        None => ([0; 32], 0, 0),
    };
    plan.extend(key);
    plan.push(kind);
    write_millis(plan, window);
    // A clock that says it is before 1970 is wrong by more than any window.
    write_millis(plan, u128::try_from(received_at.as_millis()).unwrap_or_default());
    plan.push(*state as u8);
    plan.extend(unrouted.to_be_bytes());
    write_count(plan, jobs.len());
    for (event, route) in jobs {
        let number = routes.iter().position(|known| *known == &**route).unwrap_or_else(|| {
            routes.push(route);
            routes.len() - 1
        });
        plan.extend(event.to_be_bytes());
        write_count(plan, number);
        plan.extend(id.event(*event).job(route).as_bytes());
    }
}

/// Milliseconds, in six bytes.
fn write_millis(plan: &mut Vec<u8>, millis: u128) {
    let millis = u64::try_from(millis).unwrap_or(u64::MAX).min((1 << 48) - 1);
    plan.extend(&millis.to_be_bytes()[2..]);
}

/// A number, in four bytes.
fn write_count(plan: &mut Vec<u8>, count: usize) {
    plan.extend(u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

/// What became of each: a letter, and for duplicates the next one of the originals.
fn read_answers(letters: &[u8], originals: &[u8]) -> Result<Vec<Accepted>, LinkError> {
    let (originals, _) = originals.as_chunks::<16>();
    let mut originals = originals.iter();
    let unreadable = || LinkError::Refused("an answer is neither new nor a duplicate".into());
    let read = |letter: &u8| match letter {
        b'n' => Ok(Accepted::New { id_reused: false }),
        b'r' => Ok(Accepted::New { id_reused: true }),
        b'd' => {
            let id = originals.next().ok_or_else(unreadable)?;
            Ok(Accepted::Duplicate { original: DeliveryId::from_bytes(*id) })
        }
        _ => Err(unreadable()),
    };
    letters.iter().map(read).collect()
}
