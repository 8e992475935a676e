//! What a provider reads in a request whose origin is proved.

use std::{fmt, ops::Range};

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// What [`Provider::parse`](super::Provider::parse) read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parsed {
    /// Events to process.
    Events {
        /// The sender's own id for this delivery.
        sender_id: Option<SenderId>,
        /// The events, in the order in which they stand in the body.
        events: Vec<ParsedEvent>,
    },
    /// The sender's test or probe.
    Test,
}

/// The sender's own id for a delivery, the same on each of its retries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderId {
    /// The id, as text.
    pub value: String,
    /// Whether the signature covers it. If not, the body's digest is taken into account as well when deliveries are
    /// compared: a forged id must not swallow a true event.
    pub signed: bool,
}

/// One unit of work inside a delivery.
///
/// ```
/// use doorbell::provider::ParsedEvent;
///
/// let sent = ParsedEvent { subject: Some("parcel/4711".into()), ..ParsedEvent::new("parcel.sent") };
/// assert!(sent.data.is_whole() && sent.occurred_at.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParsedEvent {
    /// `<entity>.<action>` in lower case for the four vendors, the sender's own type for the generic family.
    pub kind: String,
    /// What the event is about: `product/<uuid>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it happened, by the sender's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// Which parts of the body are this event's data.
    #[serde(default, skip_serializing_if = "Slices::is_whole")]
    pub data: Slices,
}

impl ParsedEvent {
    /// An event of this kind whose data is the whole body.
    pub fn new(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), subject: None, occurred_at: None, data: Slices::WHOLE }
    }
}

/// Which parts of a body, put together in order, are an event's data. The default is the whole body.
///
/// ```
/// use bytes::Bytes;
/// use doorbell::provider::Slices;
///
/// let body = Bytes::from_static(br#"{"events":[{"id":1},{"id":2}]}"#);
/// // The notification with its second event alone, to the byte as it came.
/// assert_eq!(Slices::parts([0..11, 20..30]).of(&body), r#"{"events":[{"id":2}]}"#);
/// assert_eq!(Slices::WHOLE.of(&body), body);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slices(Vec<(usize, usize)>);

impl Slices {
    /// The whole body.
    pub const WHOLE: Self = Self(Vec::new());

    /// These parts of the body, in this order. An empty list means the whole body.
    pub fn parts(parts: impl IntoIterator<Item = Range<usize>>) -> Self {
        Self(parts.into_iter().map(|part| (part.start, part.end)).collect())
    }

    /// Whether this is the whole body.
    pub fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The data: without copying where it is one piece. Parts that lie outside the body are left out.
    pub fn of(&self, body: &Bytes) -> Bytes {
        let part = |&(start, end): &(usize, usize)| body.get(start..end).unwrap_or_default();
        match self.0.as_slice() {
            [] => body.clone(),
            [one] => body.slice_ref(part(one)),
            parts => {
                let mut data = BytesMut::with_capacity(parts.iter().map(|range| part(range).len()).sum());
                for range in parts {
                    data.extend_from_slice(part(range));
                }
                data.freeze()
            }
        }
    }
}

/// Why the body of a proved request can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Unparsable {
    /// The reason, in words.
    pub reason: String,
    /// The sender's own id for the delivery, where it stands outside the body.
    pub sender_id: Option<SenderId>,
}

impl Unparsable {
    /// A reason, in words.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), sender_id: None }
    }

    /// Adds the sender's own id for the delivery, so that its repetitions are recognised all the same.
    pub fn with_sender_id(mut self, id: Option<SenderId>) -> Self {
        self.sender_id = id;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_put_parts_together_and_survive_foreign_ranges() {
        let body = Bytes::from_static(b"[1,2,3]");
        assert_eq!(Slices::WHOLE.of(&body), body);
        assert_eq!(Slices::parts([0..1, 3..4, 6..7]).of(&body).as_ref(), b"[2]");
        assert_eq!(Slices::parts(std::iter::once(3..4)).of(&body).as_ref(), b"2");
        assert_eq!(Slices::parts([5..90, 0..1]).of(&body).as_ref(), b"[");
    }
}
