//! Poster's notifications as types.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::message::{Content, Message};
use crate::{
    clock::Timestamp,
    provider::{
        Decimal, EventError, FromEvent, Secret,
        event::{id, optional_id},
    },
};

/// A notification, of any object.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Event {
    /// The account that it happened in. Signed.
    pub account: String,
    /// The account's number. **Not signed**: never route or authorise by it.
    pub account_number: Option<String>,
    /// What it happened to: `transaction`, `stock`, `loyalty rule`. Signed, as all that follows.
    pub object: String,
    /// Its primary key.
    pub object_id: String,
    /// What happened: `added`, `changed`, `removed`, `transformed`, `closed`.
    pub action: String,
    /// When the notification was sent.
    pub time: Option<Timestamp>,
    /// More, for some objects.
    pub data: Data,
}

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
    /// Of another object, or not as documented. A string if it is not JSON.
    Other(Value),
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

/// What kind of item a stock level is of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ElementType {
    /// 1: an ingredient.
    Ingredient,
    /// 2: a product.
    Product,
    /// 3: a modifier.
    Modifier,
    /// 4: a dish that is produced.
    ProducedDish,
    /// 5: a prepack that is produced.
    ProducedPrepack,
    /// Something else, as the sender wrote it.
    Other(String),
}

impl<'de> Deserialize<'de> for ElementType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = id(deserializer)?;
        Ok(match number.as_str() {
            "1" => Self::Ingredient,
            "2" => Self::Product,
            "3" => Self::Modifier,
            "4" => Self::ProducedDish,
            "5" => Self::ProducedPrepack,
            _ => Self::Other(number),
        })
    }
}

/// A sum has changed.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
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
    /// Who did it.
    #[serde(default, deserialize_with = "optional_id")]
    pub user_id: Option<String>,
    /// The token for the account's API, on `added` only. Prints as `[REDACTED]`.
    #[serde(default, deserialize_with = "optional_secret")]
    pub access_token: Option<Secret>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Ok(optional_id(deserializer)?.map(Secret::from))
}

/// An order or reservation made online has come in or changed its state.
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

/// What was made online.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum IncomingOrderType {
    /// 1: an order.
    Order,
    /// 2: a reservation.
    Reservation,
    /// Something else, as the sender wrote it.
    Other(String),
}

impl<'de> Deserialize<'de> for IncomingOrderType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = id(deserializer)?;
        Ok(match number.as_str() {
            "1" => Self::Order,
            "2" => Self::Reservation,
            _ => Self::Other(number),
        })
    }
}

impl FromEvent for Event {
    fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
        let message = read(kind, data)?;
        let text = message.data.text();
        Ok(Self {
            data: match message.object.as_ref() {
                _ if text.is_none_or(str::is_empty) => Data::None,
                "stock" => typed(text, Data::Stock),
                "client_ewallet" => typed(text, Data::ClientEwallet),
                "client_payed_sum" => typed(text, Data::ClientPayedSum),
                "application" => typed(text, Data::Application),
                "incoming_order" => typed(text, Data::IncomingOrder),
                _ => other(text),
            },
            account: message.account.into_owned(),
            account_number: message.account_number.map(Into::into),
            object: message.object.into_owned(),
            object_id: message.object_id.into_owned(),
            action: message.action.into_owned(),
            time: message.time.parse().ok().map(Timestamp::from_seconds),
        })
    }
}

fn typed<'a, T: Deserialize<'a>>(text: Option<&'a str>, variant: fn(T) -> Data) -> Data {
    text.and_then(|text| serde_json::from_str(text).ok()).map_or_else(|| other(text), variant)
}

fn other(text: Option<&str>) -> Data {
    let text = text.unwrap_or_default();
    Data::Other(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

/// The types of `data` alone can be asked for directly.
macro_rules! from_data {
    ($($type:ty: $expected:literal),+ $(,)?) => {$(
        impl FromEvent for $type {
            fn from_event(kind: &str, data: &[u8]) -> Result<Self, EventError> {
                match read(kind, data)?.data {
                    Content::Absent => Err(EventError::new(kind, $expected, "it has no `data`")),
                    content => serde_json::from_str(content.text().unwrap_or_default())
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
}

fn read<'a>(kind: &str, data: &'a [u8]) -> Result<Message<'a>, EventError> {
    Message::read(data).map_err(|reason| EventError::new(kind, "a notification of Poster's", reason))
}
