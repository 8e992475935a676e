//! Poster's notifications as types.

use serde_json::{Map, Value};

use super::{Data, message::Message};
use crate::{
    clock::Timestamp,
    provider::{EventError, FromEvent, words::words},
};

/// A notification, of any object.
///
/// ```
/// use doorbell::provider::{FromEvent, poster::{Action, Data, Event, Object}};
///
/// let data = br#"{"account":"demo-cafe","object":"stock","object_id":512,"action":"changed","time":"1767168200",
///     "data":"{\"type\":2,\"element_id\":512,\"storage_id\":1,\"value_relative\":-1,\"value_absolute\":23.5}"}"#;
/// let event = Event::from_event("stock.changed", data)?;
/// match (&event.object, &event.action, &event.data) {
///     (Object::Stock, _, Data::Stock(stock)) => {
///         assert_eq!(stock.element_id, "512");
///         assert_eq!(stock.value_absolute.as_str(), "23.5");
///     }
///     (Object::Transaction, Action::Closed, _) => println!("order {} is paid", event.object_id),
///     (object, action, _) => println!("{object} {} was {action}", event.object_id),
/// }
/// # Ok::<(), doorbell::provider::EventError>(())
/// ```
///
/// Where only one object's data matters, a handler can ask for it alone: [`Stock`](super::Stock),
/// [`Balance`](super::Balance), [`Application`](super::Application), [`IncomingOrder`](super::IncomingOrder),
/// [`Transaction`](super::Transaction).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The account that it happened in. Signed.
    pub account: String,
    /// The account's number. **Not signed**: never route or authorise by it.
    pub account_number: Option<String>,
    /// What it happened to. Signed, as all that follows.
    pub object: Object,
    /// Its primary key.
    pub object_id: String,
    /// What happened.
    pub action: Action,
    /// When the notification was sent.
    pub time: Option<Timestamp>,
    /// More, for some objects.
    pub data: Data,
    /// Members that this version does not know. Not signed. Empty where the notification is a form.
    pub extra: Map<String, Value>,
}

words! {
    /// What a notification is about.
    pub enum Object {
        /// An order at the till.
        Transaction = "transaction",
        /// An order or a reservation made online.
        IncomingOrder = "incoming_order",
        /// A product.
        Product = "product",
        /// A dish, made by a recipe.
        Dish = "dish",
        /// A category of products and dishes.
        Category = "category",
        /// A prepack: something half-made.
        Prepack = "prepack",
        /// An ingredient.
        Ingredient = "ingredient",
        /// A workshop, where dishes are made.
        Workshop = "workshop",
        /// A category of ingredients.
        IngredientsCategory = "ingredients_category",
        /// A client.
        Client = "client",
        /// What a client has paid in all: an order of a known client was closed.
        ClientPayedSum = "client_payed_sum",
        /// A group of clients.
        ClientsGroup = "clients_group",
        /// A promotion.
        Promotion = "promotion",
        /// What is saved up in a promotion.
        PromotionPrize = "promotion_prize",
        /// A client's deposit.
        ClientEwallet = "client_ewallet",
        /// A rule by which clients change their group. The sender also writes `loyalty rule`; the kind is always
        /// `loyalty_rule`.
        LoyaltyRule = "loyalty_rule" | "loyalty rule",
        /// A storage.
        Storage = "storage",
        /// An item's quantity in a storage.
        Stock = "stock",
        /// A supply.
        Supply = "supply",
        /// A financial transaction.
        BookTransaction = "book_transaction",
        /// A transaction of a cash shift.
        CashShiftTransaction = "cash_shift_transaction",
        /// A spot: one of the account's places.
        Spot = "spot",
        /// A till.
        Register = "register",
        /// A waiter.
        Waiter = "waiter",
        /// The settings.
        Configs = "configs",
        /// This application itself.
        Application = "application",
    }
}

words! {
    /// What happened to an object.
    pub enum Action {
        /// It was added.
        Added = "added",
        /// It was changed.
        Changed = "changed",
        /// It was removed.
        Removed = "removed",
        /// It became something else: a dish a product, or the other way round.
        Transformed = "transformed",
        /// It was closed: an order was paid. Not on the vendor's page, but sent.
        Closed = "closed",
        /// The dashboard's test. A receiver answers it and makes no event of it.
        Test = "test",
    }
}

impl FromEvent for Event {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        let message = read(kind, data)?;
        let object = message.object.into_owned().into();
        Ok(Self {
            data: Data::read(&object, &message.data),
            account: message.account.into_owned(),
            account_number: message.account_number.map(Into::into),
            object,
            object_id: message.object_id.into_owned(),
            action: message.action.into_owned().into(),
            time: message.time.parse().ok().map(Timestamp::from_seconds),
            extra: extra(data),
        })
    }
}

fn extra(data: &[u8]) -> Map<String, Value> {
    let mut members: Map<_, _> = serde_json::from_slice(data).unwrap_or_default();
    members.retain(|name, _| !Message::FIELDS.contains(&name.as_str()));
    members
}

pub(super) fn read<'a>(kind: &str, data: &'a [u8]) -> Result<Message<'a>, EventError> {
    Message::read(data).map_err(|reason| EventError::new(kind, "a notification of Poster's", reason))
}
