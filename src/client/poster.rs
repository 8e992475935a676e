//! Poster's web API.

use std::{fmt, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Value, value::RawValue};

use super::{
    ClientError, ClientOptions,
    dialect::{Answer, Dialect, Fault, FaultKind},
    proof::Proof,
    transport::Transport,
};
use crate::provider::{
    Secret,
    poster::{Data, Event, IncomingOrderType},
};

/// A client of Poster's API. Cheap to clone; all clones keep to the same limits.
///
/// Poster takes the token as a parameter of the URL. It is in no error and no line of the log; a proxy between here and
/// Poster would see it.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use doorbell::client::Poster;
///
/// let poster = Poster::new("joinposter.com", std::env::var("POSTER_TOKEN")?)?;
/// let sales: serde_json::Value =
///     poster.get("dash.getTransactions", &[("dateFrom", "20260123"), ("dateTo", "20260123")]).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Poster {
    transport: Arc<Transport>,
}

impl Poster {
    /// Calls the API at `base`: `joinposter.com`, or a URL, with the default [options](ClientOptions). The token is an
    /// account's: of a personal integration, or from an application's `access_token`.
    ///
    /// # Errors
    /// [`ClientError::Unusable`] if `base` or the token can't be used; [`ClientError::Setup`] if TLS can't.
    pub fn new(base: &str, token: impl Into<Secret>) -> Result<Self, ClientError> {
        Self::with_options(base, token, ClientOptions::default())
    }

    /// The same with options of your own.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_options(
        base: &str,
        token: impl Into<Secret>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let proof = Proof::default().parameter("token", token.into())?;
        Ok(Self { transport: Arc::new(Transport::new(&WebApi, base, "/api", proof, options)?) })
    }

    /// Calls a method that reads, such as `menu.getProducts`, and gives what its answer has as `response`.
    ///
    /// # Errors
    /// [`ClientError::Unusable`] if the method's name has anything but letters, digits and dots.
    pub async fn get<T: DeserializeOwned>(
        &self,
        method: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if method.len() > 64 || !method.split('.').all(plain) {
            return Err(ClientError::unusable("the method", method, "a name like dash.getTransaction"));
        }
        let envelope: Envelope<T> = self.transport.get(method, parameters, 1).await?;
        Ok(envelope.response)
    }

    /// What a notification is about, as it is now. `T` is one object, also where the method answers with a list of one.
    ///
    /// | object | method |
    /// | --- | --- |
    /// | `transaction` | `dash.getTransaction` |
    /// | `incoming_order` | `incomingOrders.getIncomingOrder`, or `getReservation`, by its data |
    /// | `product`, `dish` | `menu.getProduct` |
    /// | `category` | `menu.getCategory` |
    /// | `ingredient` | `menu.getIngredient` |
    /// | `ingredients_category` | `menu.getCategoryIngredients` |
    /// | `workshop` | `menu.getWorkshop` |
    /// | `client` | `clients.getClient` |
    /// | `clients_group` | `clients.getGroup` |
    /// | `supply` | `storage.getSupply` |
    /// | `storage` | `storage.getStorage` |
    /// | `book_transaction` | `finance.getTransaction` |
    ///
    /// The others have no method here: call the one that fits by [`get`](Self::get). `stock`, `client_ewallet` and
    /// `client_payed_sum` bring what has changed in their data.
    ///
    /// ```no_run
    /// # async fn run(poster: doorbell::client::Poster, event: doorbell::provider::poster::Event)
    /// # -> Result<(), doorbell::client::ClientError> {
    /// let sale: serde_json::Value = poster.fetch(&event).await?;
    /// println!("receipt {}: {}", event.object_id, sale["payed_sum"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if it is gone, which [`optional`](super::OptionalExt::optional) makes `None`;
    /// [`ClientError::Unusable`] for an object that is not in the table.
    pub async fn fetch<T: DeserializeOwned>(&self, event: &Event) -> Result<T, ClientError> {
        let (method, parameter) = method(event)?;
        let found: One<T> = self.get(method, &[(parameter, &event.object_id)]).await?;
        found.0.ok_or_else(|| ClientError::NotFound {
            call: format!("{}: {method}", WebApi.name()),
            message: format!("no {} {}", event.object, event.object_id),
        })
    }

    #[cfg(all(test, feature = "receiver"))]
    pub(super) fn with_timer(self, timer: Arc<dyn super::timer::Timer>) -> Self {
        let transport = Arc::into_inner(self.transport).expect("not cloned yet");
        Self { transport: Arc::new(transport.with_timer(timer)) }
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Poster").field(&self.transport).finish()
    }
}

/// The method that shows an event's object, and the parameter that takes its id.
fn method(event: &Event) -> Result<(&'static str, &'static str), ClientError> {
    Ok(match (event.object.as_str(), &event.data) {
        ("transaction", _) => ("dash.getTransaction", "transaction_id"),
        ("incoming_order", Data::IncomingOrder(order)) if order.order_type == IncomingOrderType::Order => {
            ("incomingOrders.getIncomingOrder", "incoming_order_id")
        }
        ("incoming_order", Data::IncomingOrder(order))
            if order.order_type == IncomingOrderType::Reservation =>
        {
            ("incomingOrders.getReservation", "incoming_order_id")
        }
        ("product" | "dish", _) => ("menu.getProduct", "product_id"),
        ("category", _) => ("menu.getCategory", "category_id"),
        ("ingredient", _) => ("menu.getIngredient", "ingredient_id"),
        ("ingredients_category", _) => ("menu.getCategoryIngredients", "category_id"),
        ("workshop", _) => ("menu.getWorkshop", "workshop_id"),
        ("client", _) => ("clients.getClient", "client_id"),
        ("clients_group", _) => ("clients.getGroup", "group_id"),
        ("supply", _) => ("storage.getSupply", "supply_id"),
        ("storage", _) => ("storage.getStorage", "storage_id"),
        ("book_transaction", _) => ("finance.getTransaction", "transaction_id"),
        (object, _) => {
            let expected = "one that a method of Poster's shows by its id; call the right method with `get`";
            return Err(ClientError::unusable("the object", object, expected));
        }
    })
}

#[derive(Deserialize)]
struct Envelope<T> {
    response: T,
}

/// An object, a list of one, or what Poster writes for nothing: an empty list, `false` or `null`.
struct One<T>(Option<T>);

impl<'de, T: DeserializeOwned> Deserialize<'de> for One<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get();
        let one = match text.as_bytes().first() {
            Some(b'[') => {
                let list: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(D::Error::custom)?;
                list.into_iter().next()
            }
            Some(b'f' | b'n') => None,
            _ => Some(raw),
        };
        one.map(|one| serde_json::from_str(one.get())).transpose().map(Self).map_err(D::Error::custom)
    }
}

/// Poster's errors come with status 200: `{"error":{"code":11,"message":"…"}}`, or `{"error":42,"message":"…"}`.
#[derive(Debug)]
struct WebApi;

impl Dialect for WebApi {
    fn name(&self) -> &'static str {
        "poster"
    }

    fn fault(&self, answer: &Answer) -> Option<Fault> {
        let by_status = FaultKind::of(answer.status);
        let Some((code, message)) = error(&answer.body) else {
            return by_status.map(|kind| Fault { kind, code: None, message: String::new() });
        };
        // https://dev.joinposter.com/en/docs/v3/web/errors
        let by_code = match code {
            Some(10..=12) => FaultKind::Unauthorized,
            Some(32 | 404) => FaultKind::NotFound,
            Some(700) => FaultKind::RateLimited,
            _ => FaultKind::Refused,
        };
        let kind = by_status.filter(|kind| *kind != FaultKind::Refused).unwrap_or(by_code);
        Some(Fault { kind, code, message })
    }
}

fn error(body: &[u8]) -> Option<(Option<i64>, String)> {
    #[derive(Deserialize)]
    struct Failed {
        #[serde(default)]
        error: Value,
        #[serde(default)]
        message: Value,
    }
    let code = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let Failed { error, message } = serde_json::from_slice(body).ok()?;
    match &error {
        Value::Null | Value::Bool(false) => None,
        _ if code(&error) == Some(0) => None,
        Value::Object(inner) => {
            let of = |name| inner.get(name).unwrap_or(&Value::Null);
            (code(of("code")) != Some(0)).then(|| (code(of("code")), text(of("message"))))
        }
        flat => {
            let message = text(&message);
            let message = if message.is_empty() { text(flat) } else { message };
            Some((code(flat), message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_come_in_two_shapes() {
        let object = include_bytes!("../../tests/samples/poster_api_error_object.json");
        assert_eq!(error(object), Some((Some(11), "Bad access token".to_owned())));
        let flat = include_bytes!("../../tests/samples/poster_api_error_flat.json");
        assert_eq!(error(flat), Some((Some(42), "transaction_id is undefined".to_owned())));
        assert_eq!(error(br#"{"error":"no access"}"#), Some((None, "no access".to_owned())));
        assert_eq!(error(br#"{"error":{"code":"34"}}"#), Some((Some(34), String::new())));
        for none in
            [r#"{"response":[]}"#, r#"{"error":0,"response":{}}"#, r#"{"error":null}"#, "<html>", "[]"]
        {
            assert_eq!(error(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn one_object_comes_in_several_shapes() {
        let read = |text: &str| serde_json::from_str::<Envelope<One<Value>>>(text).unwrap().response.0;
        assert_eq!(read(r#"{"response":{"id":1}}"#).unwrap()["id"], 1);
        assert_eq!(read(r#"{"response":[{"id":1}]}"#).unwrap()["id"], 1);
        for none in ["[]", "false", "null"] {
            assert_eq!(read(&format!(r#"{{"response":{none}}}"#)), None, "{none}");
        }
    }
}
