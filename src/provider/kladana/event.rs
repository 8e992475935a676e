//! Kladana's notifications as types.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{EntityRef, moment};
use crate::{
    clock::Timestamp,
    provider::{
        EventError, FromEvent,
        event::{each, optional},
        json::{object, or_default, text_or_nothing},
        words::words,
    },
};

/// One event: something happened to an entity, or stock levels changed.
///
/// ```
/// use doorbell::provider::{FromEvent, kladana::{Action, Event, ReportType}};
///
/// let data = br#"{"accountId":"3c1d6a52-7b40-11ee-0a80-0f4400021c77","stockType":"stock","reportType":"bystore",
///     "reportUrl":"https://api.kladana.com/api/remap/1.2/report/stock/bystore/current?changedSince=2026-01-23 10:40:00"}"#;
/// match Event::from_event("stock.bystore", data)? {
///     Event::Entity(event) => match event.action {
///         Action::Create | Action::Update => println!("fetch {:?} {:?}", event.entity.entity_type, event.entity.id),
///         Action::Delete => println!("forget {:?}", event.entity.id),
///         _ => {}
///     },
///     Event::Stock(event) => {
///         assert_eq!(event.report_type, ReportType::ByStore);
///         // The sender wrote Moscow time.
///         assert_eq!(event.changed_since().map(|at| at.to_string()).as_deref(), Some("2026-01-23T07:40:00.000Z"));
///     }
///     _ => {}
/// }
/// # Ok::<(), doorbell::provider::EventError>(())
/// ```
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
    /// Members of the event, and of the notification around it, that this version does not know; under `meta` those of
    /// the event's own `meta`.
    pub extra: Map<String, Value>,
}

words! {
    /// What happened to an entity.
    pub enum Action {
        /// It was created.
        Create = "CREATE",
        /// It was changed.
        Update = "UPDATE",
        /// It was deleted.
        Delete = "DELETE",
        /// An asynchronous task is finished.
        Processed = "PROCESSED",
    }
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Audit {
    /// Who: the login of a user of the account.
    pub uid: Option<String>,
    /// When. The sender writes Moscow time.
    pub moment: Option<Timestamp>,
    /// The audit's id. With an entity and an action it is the key that pushed and polled events share.
    pub id: Option<String>,
    /// Members that this version does not know.
    pub extra: Map<String, Value>,
}

/// Stock levels changed. The report says which; build its URL from your own configuration.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct StockEvent {
    /// The account that it happened in.
    #[serde(default, deserialize_with = "optional")]
    pub account_id: Option<String>,
    /// What is counted.
    #[serde(default, deserialize_with = "optional")]
    pub stock_type: Option<StockType>,
    /// The report that shows it.
    pub report_type: ReportType,
    /// The report of what changed, **never to be called as it stands**: take only its time from it.
    #[serde(default, deserialize_with = "optional")]
    pub report_url: Option<String>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl StockEvent {
    /// Since when the report shows changes: from `changedSince` in its URL, or `fromDate`, as an older page of the
    /// vendor has it. The sender writes Moscow time; the report itself goes back 24 hours at most.
    pub fn changed_since(&self) -> Option<Timestamp> {
        let url = self.report_url.as_deref()?.split('#').next()?;
        let (_, query) = url.split_once('?')?;
        form_urlencoded::parse(query.as_bytes())
            .filter(|(name, _)| name == "changedSince" || name == "fromDate")
            .find_map(|(_, value)| moment(value.trim()))
    }
}

words! {
    /// A report of stock levels.
    pub enum ReportType {
        /// Over all stores.
        All = "all",
        /// For each store.
        ByStore = "bystore",
    }
}

words! {
    /// What a stock level counts. Notifications are documented for `stock` alone; the others are what the same report
    /// can also show.
    pub enum StockType {
        /// What is there.
        Stock = "stock",
        /// What is there and not reserved.
        FreeStock = "freeStock",
        /// What is there and not reserved, and what is on its way.
        Quantity = "quantity",
        /// What is reserved.
        Reserve = "reserve",
        /// What is on its way.
        InTransit = "inTransit",
    }
}

impl FromEvent for Event {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        let shape: Shape<'_> = read(kind, data)?;
        match shape {
            Shape { events: None, report_type: Some(_), .. } => {
                StockEvent::from_event(kind, data).map(Self::Stock)
            }
            _ => EntityEvent::read(kind, shape).map(Self::Entity),
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
        Self::read(kind, read(kind, data)?)
    }
}

impl EntityEvent {
    fn read(kind: &str, shape: Shape<'_>) -> Result<Self, EventError> {
        let error = |reason: &str| EventError::new(kind, EXPECTED, reason);
        let change = match shape {
            Shape { events: Some(events), .. } => {
                let [change] = <[Change<'_>; 1]>::try_from(events).map_err(|events| {
                    error(&format!("it has {} events where one is expected", events.len()))
                })?;
                change
            }
            Shape { entity_type: Some(entity), action: Some(action), account_id, .. } => {
                return Ok(Self {
                    action: action.into_owned().into(),
                    entity: EntityRef::read(Some(entity), None),
                    account_id: account_id.map(Into::into),
                    updated_fields: Vec::new(),
                    audit: None,
                    // This form describes a webhook. Its URL, with our secret in it, is nothing for a handler.
                    extra: Map::new(),
                });
            }
            _ => return Err(error("it has no `events`")),
        };
        let mut extra = shape.extra;
        extra.extend(change.extra);
        if !change.meta.extra.is_empty() {
            extra.insert("meta".to_owned(), Value::Object(change.meta.extra));
        }
        Ok(Self {
            action: change.action.ok_or_else(|| error("it has no `action`"))?.into_owned().into(),
            entity: EntityRef::read(change.meta.entity, change.meta.href),
            account_id: change.account_id.or(shape.account_id).map(Into::into),
            updated_fields: change.updated_fields,
            audit: shape.audit_context.map(Audit::from),
            extra,
        })
    }
}

const EXPECTED: &str = "a notification of Kladana's";

fn read<'a, T: Deserialize<'a>>(kind: &str, data: &'a [u8]) -> Result<T, EventError> {
    object(data).map_err(|error| EventError::new(kind, EXPECTED, error))
}

/// Any of the shapes that a notification has.
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
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    account_id: Option<Cow<'a, str>>,
    #[serde(flatten)]
    extra: Map<String, Value>,
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
    #[serde(default, deserialize_with = "each")]
    updated_fields: Vec<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "text_or_nothing")]
    entity: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    href: Option<Cow<'a, str>>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Deserialize)]
struct Author<'a> {
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    meta: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    moment: Option<Cow<'a, str>>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<Author<'_>> for Audit {
    fn from(author: Author<'_>) -> Self {
        // Some pages of the vendor call the login `id`.
        let (uid, id) = match (author.uid, author.id) {
            (None, login) => (login, None),
            both => both,
        };
        Self {
            uid: uid.map(Into::into),
            moment: author.moment.as_deref().and_then(moment),
            id: EntityRef::read(None, author.meta.href).id.or(id.map(Into::into)),
            extra: author.extra,
        }
    }
}
