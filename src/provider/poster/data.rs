//! The `data` of Poster's notifications.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    event::{Object, read},
    message::Content,
};
use crate::{
    clock::Timestamp,
    provider::{
        Decimal, EventError, FromEvent, Secret,
        event::{id, optional},
        json::object,
        words::words,
    },
};

/// The `data` of a notification. Data that is not as documented is [`Other`](Self::Other), never an error.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Data {
    /// There is none: ask the API for the object.
    None,
    /// Of `stock`.
    Stock(Stock),
    /// Of `client_ewallet`: the client's deposit.
    ClientEwallet(Balance),
    /// Of `client_payed_sum`: what the client has paid in all.
    ClientPayedSum(Balance),
    /// Of `application`.
    Application(Application),
    /// Of `incoming_order`.
    IncomingOrder(IncomingOrder),
    /// Of `transaction`, where the sender tells what was done to it.
    Transaction(Transaction),
    /// Of another object, or not as documented. A string if it is not JSON.
    Other(Value),
}

impl Data {
    pub(super) fn read(kind: &Object, content: &Content<'_>) -> Self {
        let Some(text) = content.text().filter(|text| !text.is_empty()) else { return Self::None };
        let known = match kind {
            Object::Stock => typed(text, Self::Stock),
            Object::ClientEwallet => typed(text, Self::ClientEwallet),
            Object::ClientPayedSum => typed(text, Self::ClientPayedSum),
            Object::Application => typed(text, Self::Application),
            Object::IncomingOrder => typed(text, Self::IncomingOrder),
            Object::Transaction => typed(text, Self::Transaction),
            _ => None,
        };
        known.unwrap_or_else(|| {
            Self::Other(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
        })
    }
}

fn typed<'a, T: Deserialize<'a>>(text: &'a str, variant: fn(T) -> Data) -> Option<Data> {
    object(text.as_bytes()).map(variant).ok()
}

/// An item's quantity in a storage has changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Stock {
    /// What kind of item it is.
    #[serde(rename = "type")]
    pub element_type: ElementType,
    /// The item's primary key.
    #[serde(deserialize_with = "id")]
    pub element_id: String,
    /// The storage's primary key.
    #[serde(deserialize_with = "id")]
    pub storage_id: String,
    /// By how much.
    pub value_relative: Decimal,
    /// What is left. Notifications may come late and out of order: the newest `time` counts.
    pub value_absolute: Decimal,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

words! {
    /// What kind of item a stock level is of.
    pub enum ElementType {
        /// 1: an ingredient.
        Ingredient = "1",
        /// 2: a product.
        Product = "2",
        /// 3: a modifier.
        Modifier = "3",
        /// 4: a dish that is produced.
        ProducedDish = "4",
        /// 5: a prepack that is produced.
        ProducedPrepack = "5",
    }
}

/// A sum has changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Balance {
    /// By how much.
    pub value_relative: Decimal,
    /// What it is now.
    pub value_absolute: Decimal,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// The application was installed in an account, or removed from it.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct Application {
    /// The employee who did it.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<String>,
    /// The token for the account's API, on `added` only. Prints as `[REDACTED]`.
    #[serde(default, deserialize_with = "optional")]
    pub access_token: Option<Secret>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// An order or reservation made online has come in or changed its state. Which state it is now, the API says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct IncomingOrder {
    /// Which of the two it is.
    #[serde(rename = "type")]
    pub order_type: IncomingOrderType,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

words! {
    /// What was made online.
    pub enum IncomingOrderType {
        /// 1: an order.
        Order = "1",
        /// 2: a reservation.
        Reservation = "2",
    }
}

/// What was done to an order at the till. The vendor does not document it, but sends it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Transaction {
    /// The step.
    #[serde(rename = "transactions_history")]
    pub step: TransactionStep,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// One step in an order's history.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct TransactionStep {
    /// What was done. A change of an order is a payment only if it is [`Close`](StepType::Close).
    #[serde(rename = "type_history")]
    pub step_type: StepType,
    /// When, by the till.
    #[serde(default, deserialize_with = "milliseconds")]
    pub time: Option<Timestamp>,
    /// The employee who did it.
    #[serde(default, deserialize_with = "optional")]
    pub user_id: Option<String>,
    /// The till that it was done at.
    #[serde(default, deserialize_with = "optional")]
    pub spot_tablet_id: Option<String>,
    /// All else: `value`, `value2` to `value5` and `value_text`, whose meaning goes by the type.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

words! {
    /// What was done to an order. These are known from notifications, not from the vendor's pages.
    pub enum StepType {
        /// It was opened.
        Open = "open",
        /// An item was added.
        AddItem = "additem",
        /// It was given a table.
        SetTable = "settable",
        /// Its status was changed.
        ChangeOrderStatus = "changeorderstatus",
        /// How it is delivered was changed.
        ChangeDeliveryInfo = "changedeliveryinfo",
        /// It was paid and closed.
        Close = "close",
    }
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let digits: Option<String> = optional(deserializer)?;
    Ok(digits.and_then(|digits| digits.parse().ok()).map(Timestamp::from_millis))
}

/// The types of `data` alone can be asked for directly.
macro_rules! from_data {
    ($($type:ty: $expected:literal),+ $(,)?) => {$(
        impl FromEvent for $type {
            fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
                match read(kind, data)?.data {
                    Content::Absent => Err(EventError::new(kind, $expected, "it has no `data`")),
                    content => object(content.text().unwrap_or_default().as_bytes())
                        .map_err(|error| EventError::new(kind, $expected, format!("in `data`: {error}"))),
                }
            }
        }
    )+};
}
from_data! {
    Stock: "Poster's stock data",
    Balance: "Poster's data of a sum",
    Application: "Poster's application data",
    IncomingOrder: "Poster's incoming order data",
    Transaction: "Poster's transaction data",
}
