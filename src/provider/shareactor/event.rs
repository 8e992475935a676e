//! Shareactor's notifications as types.

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::extended_json::{date, reference};
use crate::{
    clock::Timestamp,
    provider::{
        self, EventError, FromEvent,
        event::{optional, or_default},
        json::{object, raw},
        words::words,
    },
};

/// A notification. Its shape is inferred from the vendor's API for events: everything in it but the kind may be
/// missing.
///
/// ```
/// use doorbell::provider::{Decimal, FromEvent, shareactor::{Action, Date, Entity, Event, Kind}};
///
/// #[derive(serde::Deserialize)]
/// struct Order {
///     human_id: String,
///     total_amount: Decimal,
///     created: Date,
/// }
///
/// let data = br#"{"_id":{"$oid":"65a1f00d0b1e2c3d4e5f6071"},"kind":"order.created","created":{"$date":1767168000000},
///     "data":{"object_type":"order","object":{"_id":{"$oid":"65a1f00d0b1e2c3d4e5f6099"},"human_id":"7KQ2ZD",
///         "total_amount":349.5,"created":{"$date":1767168000000}}}}"#;
/// let event = Event::from_event("order.created", data)?;
/// match &event.kind {
///     Kind { entity: Entity::Order, action: Action::Created | Action::Updated } => {
///         let order: Order = event.data.object_as()?;
///         assert_eq!((order.human_id.as_str(), order.total_amount.as_str()), ("7KQ2ZD", "349.5"));
///         assert_eq!(Some(order.created.0), event.created);
///     }
///     Kind { entity: Entity::Payment, action: Action::Failed } => println!("{:?} was not paid", event.data.object_id()),
///     _ => {}
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(from = "Body")]
#[non_exhaustive]
pub struct Event {
    /// The event's id.
    pub id: Option<String>,
    /// What happened: `order.created`. Empty words if nothing says it.
    pub kind: Kind,
    /// When it happened.
    pub created: Option<Timestamp>,
    /// The id of the company that it happened in.
    pub company: Option<String>,
    /// What it happened to.
    pub data: EventData,
    /// Who did it.
    pub author: Option<Author>,
    /// The id of the request or task that it comes from.
    pub reference_id: Option<String>,
    /// Members that this version does not know.
    pub extra: Map<String, Value>,
}

/// What happened: an entity and an action, `order.created`.
pub type Kind = provider::Kind<Entity, Action>;

words! {
    /// What an event is about.
    pub enum Entity {
        /// An order.
        Order = "order",
        /// An invoice.
        Invoice = "invoice",
        /// A user.
        User = "user",
        /// A subscription.
        Subscription = "subscription",
        /// A payment.
        Payment = "payment",
        /// A product.
        Product = "product",
        /// A plan.
        Plan = "plan",
    }
}

words! {
    /// What happened to an entity.
    pub enum Action {
        /// It was created.
        Created = "created",
        /// It was changed.
        Updated = "updated",
        /// It was deleted.
        Deleted = "deleted",
        /// It was cancelled: an order, a subscription, a payment.
        Cancelled = "cancelled",
        /// A subscription was activated.
        Activated = "activated",
        /// A subscription was put off.
        Future = "future",
        /// A subscription is completed.
        Completed = "completed",
        /// A subscription ends with its next cycle.
        NonRenewing = "non_renewing",
        /// A payment succeeded.
        Succeeded = "succeeded",
        /// A payment is under way.
        Processing = "processing",
        /// A payment failed.
        Failed = "failed",
        /// A payment was captured.
        Captured = "captured",
    }
}

/// What something happened to.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(from = "Inner")]
#[non_exhaustive]
pub struct EventData {
    /// The object's type.
    pub object_type: Option<Entity>,
    /// The event's kind once more.
    pub kind: Option<Kind>,
    /// The object as it is now. Its numbers are binary floating point here; [`object_as`](Self::object_as) gives them
    /// as the sender wrote them.
    pub object: Value,
    /// What was changed, as it was before: on updates. The vendor has it in `data` or beside it: read from both. Its
    /// numbers are binary floating point here; [`previous_data_as`](Self::previous_data_as) gives them as the sender wrote
    /// them.
    pub previous_data: Value,
    /// Members that this version does not know.
    pub extra: Map<String, Value>,
    /// The object as the sender wrote it; empty if there is none.
    object_text: String,
    /// The same of what was before.
    previous_text: String,
}

impl EventData {
    /// The object's id.
    pub fn object_id(&self) -> Option<&str> {
        let id = self.object.get("_id")?;
        id.get("$oid").unwrap_or(id).as_str()
    }

    /// The object as a type of yours, read from what the sender wrote. [`Date`](super::Date) and
    /// [`ObjectId`](super::ObjectId) read the sender's times and ids, [`Decimal`](crate::provider::Decimal) its amounts to
    /// the last digit.
    ///
    /// # Errors
    /// What in the object is not as the type needs it.
    pub fn object_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        read(&self.object_text)
    }

    /// What was before as a type of yours, read from what the sender wrote, as [`object_as`](Self::object_as) reads what is
    /// now. It may hold only the members that were changed, and nothing at all where nothing was: make them `Option`s.
    ///
    /// ```
    /// use doorbell::provider::{Decimal, FromEvent, shareactor::Event};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Before {
    ///     total_amount: Option<Decimal>,
    /// }
    ///
    /// let data = br#"{"kind":"order.updated","data":{"object":{"total_amount":12345678901234567.90},
    ///     "previous_data":{"total_amount":12345678901234567.89}}}"#;
    /// let event = Event::from_event("order.updated", data)?;
    /// let before: Option<Before> = event.data.previous_data_as()?;
    /// let amount = before.and_then(|before| before.total_amount).ok_or("the amount was not changed")?;
    /// assert_eq!(amount.as_str(), "12345678901234567.89");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What in it is not as the type needs it.
    pub fn previous_data_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        read(&self.previous_text)
    }
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[non_exhaustive]
pub struct Author {
    /// The id of the user.
    #[serde(default, rename = "_id", deserialize_with = "object_id")]
    pub id: Option<String>,
    /// The first name.
    #[serde(default, deserialize_with = "optional")]
    pub first_name: Option<String>,
    /// The last name.
    #[serde(default, deserialize_with = "optional")]
    pub last_name: Option<String>,
    /// The e-mail address.
    #[serde(default, deserialize_with = "optional")]
    pub email: Option<String>,
    /// The number of the mobile phone, with its country's code.
    #[serde(default, deserialize_with = "optional")]
    pub mobile_phone_number: Option<String>,
    /// All else that the sender knows of its users.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl FromEvent for Event {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        let mut body: Body =
            object(data).map_err(|error| EventError::new(kind, "a notification of Shareactor's", error))?;
        if body.kind.is_none() && body.data.kind.is_none() {
            body.kind = Some(kind.into());
        }
        Ok(body.into())
    }
}

/// An event as the sender writes it.
#[derive(Deserialize)]
struct Body {
    #[serde(default, rename = "_id", deserialize_with = "object_id")]
    id: Option<String>,
    #[serde(default, deserialize_with = "optional")]
    kind: Option<Kind>,
    #[serde(default, deserialize_with = "time")]
    created: Option<Timestamp>,
    #[serde(default, deserialize_with = "object_id")]
    company: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    data: EventData,
    #[serde(default, deserialize_with = "author")]
    author: Option<Author>,
    #[serde(default, deserialize_with = "object_id")]
    reference_id: Option<String>,
    #[serde(default, rename = "previous_data", deserialize_with = "text")]
    previous_text: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// The same of its data.
#[derive(Deserialize)]
struct Inner {
    #[serde(default, deserialize_with = "optional")]
    object_type: Option<Entity>,
    #[serde(default, deserialize_with = "optional")]
    kind: Option<Kind>,
    #[serde(default, rename = "object", deserialize_with = "text")]
    object_text: String,
    #[serde(default, rename = "previous_data", deserialize_with = "text")]
    previous_text: String,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<Inner> for EventData {
    fn from(data: Inner) -> Self {
        let Inner { object_type, kind, object_text, previous_text, extra } = data;
        let (object, previous_data) = (value(&object_text), value(&previous_text));
        Self { object_type, kind, object, previous_data, extra, object_text, previous_text }
    }
}

impl From<Body> for Event {
    fn from(body: Body) -> Self {
        let Body { id, kind, created, company, mut data, author, reference_id, previous_text, extra } = body;
        if matches!(data.previous_text.as_str(), "" | "null") {
            data.previous_data = value(&previous_text);
            data.previous_text = previous_text;
        }
        let kind = kind.or_else(|| data.kind.clone()).unwrap_or_else(|| "".into());
        Self { id, kind, created, company, data, author, reference_id, extra }
    }
}

/// A member's text as a type; none is `null`.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(if text.is_empty() { "null" } else { text })
}

/// The same for a quick look: what a [`Value`] can't hold, such as a number beyond its bounds, is `null`.
fn value(text: &str) -> Value {
    read(text).unwrap_or_default()
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(raw(deserializer)?.get().to_owned())
}

fn object_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(reference(&raw(deserializer)?).map(Into::into))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(date(&raw(deserializer)?))
}

/// A user, or a user's id alone.
fn author<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Author>, D::Error> {
    let raw = raw(deserializer)?;
    let user = object::<Author>(raw.get().as_bytes()).ok().filter(|user| !user.extra.contains_key("$oid"));
    Ok(user.or_else(|| reference(&raw).map(|id| Author { id: Some(id.into()), ..Author::default() })))
}
