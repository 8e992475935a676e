//! A delivery as it stands in its bundle: a text that a script makes no sense of beyond its first line.
//!
//! `<state> <unrouted> <received_at> <length of meta> <length of headers>\n`, then the meta data (JSON), the headers
//! (JSON), the body.

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::link::LinkError;
use crate::{
    clock::Timestamp,
    delivery::DeliveryId,
    journal::{DeliveryState, NewContent, NewDelivery, stored::StoredEvent},
};

/// What is not the request's own bytes. Short names: there is one in every delivery.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Meta<'a> {
    #[serde(rename = "s", borrow)]
    pub(super) source: Cow<'a, str>,
    #[serde(rename = "p", borrow)]
    pub(super) provider: Cow<'a, str>,
    #[serde(rename = "i", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) sender_id: Option<Cow<'a, str>>,
    #[serde(rename = "c", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) content_type: Option<Cow<'a, str>>,
    /// Why it is quarantined.
    #[serde(rename = "x", borrow, default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<Cow<'a, str>>,
    /// The body's size in bytes: listings don't fetch the body.
    #[serde(rename = "z")]
    pub(super) size: usize,
    #[serde(rename = "e", default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(super) events: Vec<RoutedEvent>,
}

/// An event, and the routes that it has jobs for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RoutedEvent {
    #[serde(flatten)]
    pub(super) event: StoredEvent,
    #[serde(rename = "r", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) routes: Vec<String>,
}

/// A stored delivery, cut into its parts.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub(super) state: DeliveryState,
    /// How many of its events no route wants.
    pub(super) unrouted: u32,
    pub(super) received_at: Timestamp,
    /// JSON: a [`Meta`].
    pub(super) meta: &'a str,
    /// A JSON array of pairs; empty if the value ends before it.
    pub(super) headers: &'a str,
    /// Where the body begins.
    pub(super) body_at: usize,
}

impl<'a> Parts<'a> {
    /// Cuts a stored delivery up. It may end behind its meta data, if no more is asked for.
    pub(super) fn of(value: &'a [u8]) -> Result<Self, LinkError> {
        Self::cut(value).ok_or_else(|| LinkError::Refused("a stored delivery can't be read".into()))
    }

    fn cut(value: &'a [u8]) -> Option<Self> {
        let end = value.iter().position(|byte| *byte == b'\n')?;
        let mut fields = std::str::from_utf8(&value[..end]).ok()?.split(' ');
        let state = match fields.next()? {
            "0" => DeliveryState::Accepted,
            "1" => DeliveryState::Quarantined,
            "2" => DeliveryState::Test,
            _ => return None,
        };
        let unrouted = fields.next()?.parse().ok()?;
        let received_at = Timestamp::from_millis(fields.next()?.parse().ok()?);
        let (meta, headers): (usize, usize) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let meta_end = (end + 1).checked_add(meta)?;
        let body_at = meta_end.checked_add(headers)?;
        Some(Self {
            state,
            unrouted,
            received_at,
            meta: std::str::from_utf8(value.get(end + 1..meta_end)?).ok()?,
            headers: std::str::from_utf8(value.get(meta_end..body_at).unwrap_or_default()).ok()?,
            body_at,
        })
    }

    /// The meta data, read.
    pub(super) fn read_meta(&self) -> Result<Meta<'a>, LinkError> {
        serde_json::from_str(self.meta).map_err(|error| {
            LinkError::Refused(format!("a stored delivery's meta data can't be read: {error}"))
        })
    }
}

/// Puts a stored delivery together.
pub(super) fn assemble(
    state: DeliveryState,
    received_at: Timestamp,
    meta: &Meta<'_>,
    headers: &str,
    body: &[u8],
) -> Vec<u8> {
    let unrouted = meta.events.iter().filter(|event| event.event.unrouted).count();
    // Strings, numbers and lists always have a JSON form.
    let meta = serde_json::to_string(meta).unwrap_or_default();
    let line =
        format!("{} {unrouted} {} {} {}\n", state as u8, received_at.as_millis(), meta.len(), headers.len());
    [line.as_bytes(), meta.as_bytes(), headers.as_bytes(), body].concat()
}

/// What is stored of a new delivery.
pub(super) struct Stored {
    pub(super) id: DeliveryId,
    pub(super) received_at: Timestamp,
    pub(super) state: DeliveryState,
    pub(super) unrouted: usize,
    pub(super) value: Vec<u8>,
    /// The number of an event, and a route that wants it.
    pub(super) jobs: Vec<(u32, Arc<str>)>,
}

impl Stored {
    pub(super) fn new(new: &NewDelivery) -> Self {
        let (state, reason, events) = match &new.content {
            NewContent::Events(events) => (DeliveryState::Accepted, None, &events[..]),
            NewContent::Quarantined { reason } => {
                (DeliveryState::Quarantined, Some(reason.as_str().into()), &[][..])
            }
            NewContent::Test => (DeliveryState::Test, None, &[][..]),
        };
        let meta = Meta {
            source: (&*new.source).into(),
            provider: (&*new.provider).into(),
            sender_id: new.sender_id.as_deref().map(Cow::from),
            content_type: new.content_type.as_deref().map(Cow::from),
            reason,
            size: new.body.len(),
            events: events
                .iter()
                .map(|event| RoutedEvent {
                    event: StoredEvent::of(event),
                    routes: event.routes.iter().map(ToString::to_string).collect(),
                })
                .collect(),
        };
        Self {
            id: new.id,
            received_at: new.received_at,
            state,
            unrouted: meta.events.iter().filter(|event| event.event.unrouted).count(),
            value: assemble(state, new.received_at, &meta, &new.headers, &new.body),
            jobs: (0..)
                .zip(events)
                .flat_map(|(index, event)| event.routes.iter().map(move |route| (index, route.clone())))
                .collect(),
        }
    }
}

/// The body of a stored delivery.
pub(super) fn body_of(value: Vec<u8>, parts_body_at: usize) -> Bytes {
    let mut bytes = Bytes::from(value);
    bytes.split_off(parts_body_at.min(bytes.len()))
}
