//! Step 3: what a verified request becomes. Ids, and the key by which a delivery is recognised when it comes again.

use std::{fmt, str::FromStr, sync::Mutex};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    provider::{SenderId, Verdict},
};

/// A delivery's id: a `UUIDv7` whose time and counter are also its place in the journal.
///
/// The layout is RFC 9562's: 48 bits of Unix milliseconds, then a 20-bit counter (12 bits in `rand_a`, 8 at the
/// top of `rand_b`), then 54 random bits. Time and counter make the [sequence number](Self::seq) under which the
/// delivery is stored, so that looking an id up needs no index of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(Uuid);

/// An event's id: a `UUIDv7` that directly follows its delivery's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(Uuid);

/// A job's id: the `UUIDv5` of its event's id and its route's name. The same over retries and replays, so a handler
/// can be idempotent by it.
///
/// ```
/// use doorbell::delivery::{EventId, JobId};
///
/// let event: EventId = "01a1fc11-6294-7000-8018-26b7610ff7a9".parse()?;
/// let job: JobId = event.job("stock-to-erp");
/// assert_eq!(job, event.job("stock-to-erp"));
/// assert_ne!(job, event.job("stock-to-shop"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

/// How many bits of a [sequence number](DeliveryId::seq) count within a millisecond.
pub(crate) const COUNTER_BITS: u32 = 20;
const RANDOM_BITS: u32 = 54;

impl DeliveryId {
    fn assemble(seq: u64, random: u64) -> Self {
        let seq = u128::from(seq);
        let (millis, counter) = (seq >> COUNTER_BITS, seq & ((1 << COUNTER_BITS) - 1));
        let random = u128::from(random) & ((1 << RANDOM_BITS) - 1);
        let bits = (millis << 80)
            | (0x7 << 76)
            | ((counter >> 8) << 64)
            | (0b10 << 62)
            | ((counter & 0xff) << RANDOM_BITS)
            | random;
        Self(Uuid::from_u128(bits))
    }

    /// The id's place in the order of arrival: milliseconds and counter in one number below 2^63.
    pub fn seq(self) -> u64 {
        seq_of(self.0)
    }

    /// The id of this delivery's event number `index`, from 0.
    pub fn event(self, index: u32) -> EventId {
        let random = u64::try_from(self.0.as_u128() & ((1 << RANDOM_BITS) - 1)).unwrap_or_default();
        EventId(Self::assemble(self.seq() + 1 + u64::from(index), random).0)
    }

    /// Whether an id has this one's random part, which a delivery's events share with it.
    pub(crate) fn is_sibling(self, id: Uuid) -> bool {
        (self.0.as_u128() ^ id.as_u128()) & ((1 << RANDOM_BITS) - 1) == 0
    }

    /// The id as 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id that these 16 bytes are.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl EventId {
    /// The event's place in the order of arrival, just behind its delivery's.
    pub fn seq(self) -> u64 {
        seq_of(self.0)
    }

    /// The id of the job that this event is for the route of that name.
    pub fn job(self, route: &str) -> JobId {
        JobId(Uuid::new_v5(&self.0, route.as_bytes()))
    }
}

impl JobId {
    /// The id as 16 bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

fn seq_of(id: Uuid) -> u64 {
    let bits = id.as_u128();
    let counter = ((bits >> 64) & 0xfff) << 8 | ((bits >> RANDOM_BITS) & 0xff);
    u64::try_from(((bits >> 80) << COUNTER_BITS) | counter).unwrap_or(u64::MAX)
}

macro_rules! id_text {
    ($($id:ident),*) => {$(
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $id {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<$id> for Uuid {
            fn from(id: $id) -> Self {
                id.0
            }
        }

        impl From<Uuid> for $id {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    )*};
}
id_text!(DeliveryId, EventId, JobId);

/// Makes delivery ids: each greater than the one before, with room behind it for its events' ids.
#[derive(Debug)]
pub(crate) struct IdGenerator {
    state: Mutex<GeneratorState>,
}

#[derive(Debug)]
struct GeneratorState {
    next_seq: u64,
    random: u64,
}

impl IdGenerator {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(Self::seeded)
    }

    /// One whose ids are the same whenever it is asked the same.
    pub(crate) fn seeded(random: u64) -> Self {
        Self { state: Mutex::new(GeneratorState { next_seq: 0, random }) }
    }

    /// An id for a delivery of `events` events that arrives at `now`.
    pub(crate) fn next(&self, now: Timestamp, events: usize) -> DeliveryId {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let millis = u64::try_from(now.as_millis()).unwrap_or(0) & ((1 << 43) - 1);
        let seq = state.next_seq.max(millis << COUNTER_BITS);
        state.next_seq = seq + 1 + events as u64;
        // SplitMix64: the random part keeps the ids of different hosts apart; it is no secret.
        state.random = state.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        DeliveryId::assemble(seq, mixed ^ (mixed >> 31))
    }

    /// Never again makes an id at or before this place (the journal's last one: clocks can be set back).
    pub(crate) fn skip_past(&self, seq: u64) {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.next_seq = state.next_seq.max(seq.saturating_add(1));
    }
}

/// By what a delivery is recognised when its sender repeats it. Made only from a [`Verdict`]: an unproved request
/// has no key, so it can claim nothing.
///
/// Two digests: who says so (source and the sender's id) and what it says (the body, where the id is not signed).
/// The same id with another body is another delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DedupeKey {
    claim: [u8; 16],
    content: [u8; 16],
    /// Whether the body's digest stands in for a missing id, so that only a short while counts.
    fallback: bool,
}

impl DedupeKey {
    /// The key of a proved delivery to `source`, or `None` where nothing but an equal body could recognise it and
    /// `fallback` says that equal bodies are different deliveries.
    pub(crate) fn of(source: &str, verdict: &Verdict, body: &[u8], fallback: bool) -> Option<Self> {
        let sender_id = match verdict {
            Verdict::Accept { sender_id, .. } => sender_id,
            Verdict::Quarantine(unparsable) => &unparsable.sender_id,
            Verdict::Test => return None,
        };
        match sender_id {
            Some(SenderId { value, signed }) => Some(Self {
                claim: digest(&[b"id", source.as_bytes(), value.as_bytes()]),
                content: if *signed { [0; 16] } else { digest(&[body]) },
                fallback: false,
            }),
            None if fallback => Some(Self {
                claim: digest(&[b"body", source.as_bytes()]),
                content: digest(&[body]),
                fallback: true,
            }),
            None => None,
        }
    }

    /// Whether the body's digest stands in for a missing id.
    pub(crate) fn is_fallback(&self) -> bool {
        self.fallback
    }

    /// The key that was written as these [bytes](Self::to_bytes).
    #[cfg(any(test, feature = "redis"))]
    pub(crate) fn from_bytes(bytes: [u8; 32], fallback: bool) -> Self {
        let half = |at: usize| std::array::from_fn(|index| bytes[at + index]);
        Self { claim: half(0), content: half(16), fallback }
    }

    /// The key as 32 bytes, the sender's claim first.
    pub(crate) fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.claim);
        bytes[16..].copy_from_slice(&self.content);
        bytes
    }
}

impl fmt::Debug for DedupeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DedupeKey({})", hex::encode(self.to_bytes()))
    }
}

/// The first half of a SHA-256 over the parts, each preceded by its length so that none can leak into the next.
fn digest(parts: &[&[u8]]) -> [u8; 16] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hasher.finalize()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuid_v7_in_order_and_hold_their_sequence() {
        let ids = IdGenerator::new().unwrap();
        let now = Timestamp::from_millis(1_767_168_200_045);
        let first = ids.next(now, 3);
        let second = ids.next(now, 1);
        assert_eq!(Uuid::from(first).get_version_num(), 7);
        assert_eq!(Uuid::from(first).as_u128() >> 80, 1_767_168_200_045);
        assert_eq!(second.seq(), first.seq() + 4);
        assert!(first < second);
        assert_eq!(first.event(2).seq(), first.seq() + 3);
        assert!(
            Uuid::from(first.event(0)) > Uuid::from(first) && Uuid::from(first.event(2)) < Uuid::from(second)
        );
        // The clock is set back: order is kept.
        assert!(ids.next(now.minus(std::time::Duration::from_secs(3600)), 0) > second);
    }

    #[test]
    fn a_job_id_is_stable() {
        let event = EventId::from(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001));
        assert_eq!(event.job("stock-to-erp"), event.job("stock-to-erp"));
        assert_ne!(event.job("stock-to-erp"), event.job("other"));
        assert_eq!(Uuid::from(event.job("x")).get_version_num(), 5);
    }

    fn accepted(value: &str, signed: bool) -> Verdict {
        Verdict::Accept { sender_id: Some(SenderId { value: value.into(), signed }), events: vec![] }
    }

    #[test]
    fn an_unsigned_id_counts_only_with_its_body() {
        let key = |signed, body: &[u8]| DedupeKey::of("erp", &accepted("1", signed), body, false);
        assert_ne!(key(false, b"a"), key(false, b"b"));
        assert_eq!(key(true, b"a"), key(true, b"b"));
        assert_ne!(key(true, b"a"), DedupeKey::of("other", &accepted("1", true), b"a", false));
    }

    #[test]
    fn without_an_id_the_body_counts_only_where_allowed() {
        let verdict = Verdict::Accept { sender_id: None, events: vec![] };
        assert_eq!(DedupeKey::of("erp", &verdict, b"a", false), None);
        assert!(DedupeKey::of("erp", &verdict, b"a", true).unwrap().is_fallback());
        assert_eq!(DedupeKey::of("erp", &Verdict::Test, b"a", true), None);
    }
}
