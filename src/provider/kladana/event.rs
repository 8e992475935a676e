//! Kladana's notifications as types.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{EntityRef, Meta, moment};
use crate::{
    clock::Timestamp,
    provider::{
        EventError, FromEvent,
        json::{object, or_default, text_or_nothing},
    },
};

/// One event: something happened to an entity, or stock levels changed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Something happened to an entity.
    Entity(EntityEvent),
    /// Stock levels changed.
    Stock(StockEvent),
}

/// Something happened to an entity. What the entity is now, the API says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct EntityEvent {
    /// What happened.
    pub action: Action,
    /// What it happened to.
    pub entity: EntityRef,
    /// The account that it happened in.
    pub account_id: Option<String>,
    /// Which fields changed. Filled only on updates, of a webhook made with `diffType=FIELDS`.
    pub updated_fields: Vec<String>,
    /// Who did it and when. Missing in older notifications and in those of asynchronous tasks.
    pub audit: Option<Audit>,
    /// Members of the event that this version does not know.
    pub extra: Map<String, Value>,
}

/// What happened to an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// It was created.
    Create,
    /// It was changed.
    Update,
    /// It was deleted.
    Delete,
    /// An asynchronous task is finished.
    Processed,
    /// Something else, as the sender wrote it.
    Other(String),
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Audit {
    /// Who: a user of the account.
    pub uid: Option<String>,
    /// When. The sender writes Moscow time.
    pub moment: Option<Timestamp>,
    /// The audit's id. With an entity and an action it is the key that pushed and polled events share.
    pub id: Option<String>,
}

/// Stock levels changed. The report says which; build its URL from your own configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StockEvent {
    /// The account that it happened in.
    pub account_id: Option<String>,
    /// What is counted: `stock`.
    pub stock_type: Option<String>,
    /// The report that shows it: `all`, or `bystore`.
    pub report_type: String,
    /// The report of what changed, **never to be called as it stands**: take only its time from it.
    pub report_url: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl StockEvent {
    /// Since when the report shows changes, as the sender wrote it (`2026-01-23 10:40:00`, Moscow time): from
    /// `changedSince` in the URL, or `fromDate`, as an older page of the vendor has it.
    pub fn changed_since(&self) -> Option<String> {
        let (_, query) = self.report_url.as_deref()?.split_once('?')?;
        form_urlencoded::parse(query.as_bytes())
            .find(|(name, _)| name == "changedSince" || name == "fromDate")
            .map(|(_, value)| value.into_owned())
    }
}

impl From<Cow<'_, str>> for Action {
    fn from(text: Cow<'_, str>) -> Self {
        match text.to_ascii_uppercase().as_str() {
            "CREATE" => Self::Create,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "PROCESSED" => Self::Processed,
            _ => Self::Other(text.into_owned()),
        }
    }
}

impl FromEvent for Event {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        let shape: Shape<'_> = read(kind, data)?;
        match shape {
            Shape { events: None, report_type: Some(_), .. } => {
                StockEvent::from_event(kind, data).map(Self::Stock)
            }
            _ => EntityEvent::from_event(kind, data).map(Self::Entity),
        }
    }
}

impl FromEvent for StockEvent {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        read(kind, data)
    }
}

impl FromEvent for EntityEvent {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        let error = |reason: &str| EventError::new(kind, EXPECTED, reason);
        let shape: Shape<'_> = read(kind, data)?;
        let change = match shape {
            Shape { events: Some(events), .. } => {
                let [change] = <[Change<'_>; 1]>::try_from(events).map_err(|events| {
                    error(&format!("it has {} events where one is expected", events.len()))
                })?;
                change
            }
            Shape { entity_type: Some(entity), action: Some(action), .. } => {
                let entity = EntityRef::read(Some(entity), None);
                return Ok(Self {
                    action: action.into(),
                    entity,
                    account_id: None,
                    updated_fields: Vec::new(),
                    audit: None,
                    extra: Map::new(),
                });
            }
            _ => return Err(error("it has no `events`")),
        };
        Ok(Self {
            action: change.action.ok_or_else(|| error("it has no `action`"))?.into(),
            entity: EntityRef::read(change.meta.entity, change.meta.href),
            account_id: change.account_id.map(Into::into),
            updated_fields: change.updated_fields,
            audit: shape.audit_context.map(|audit| Audit {
                uid: audit.uid.or(audit.id).map(Into::into),
                moment: audit.moment.as_deref().and_then(moment),
                id: EntityRef::read(None, audit.meta.href).id,
            }),
            extra: change.extra,
        })
    }
}

const EXPECTED: &str = "a notification of Kladana's";

fn read<'a, T: Deserialize<'a>>(kind: &str, data: &'a [u8]) -> Result<T, EventError> {
    object(data).map_err(|error| EventError::new(kind, EXPECTED, error))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape<'a> {
    #[serde(borrow)]
    events: Option<Vec<Change<'a>>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    audit_context: Option<Author<'a>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    report_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    entity_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    action: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    meta: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    action: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    account_id: Option<Cow<'a, str>>,
    #[serde(default, deserialize_with = "or_default")]
    updated_fields: Vec<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct Author<'a> {
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    uid: Option<Cow<'a, str>>,
    // What some pages of the vendor call `uid`.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    meta: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    moment: Option<Cow<'a, str>>,
}
