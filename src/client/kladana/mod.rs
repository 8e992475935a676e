//! Kladana's JSON API 1.2, and `MoySklad`'s, which is the same.

mod dialect;
mod pages;
mod stock;

use std::{fmt, sync::Arc};

use serde::de::DeserializeOwned;

use self::{dialect::Remap, pages::Listing};
pub use self::{
    pages::{AuditEntry, Pages},
    stock::{StockReport, StockRow},
};
use super::{ClientError, ClientOptions, address, proof::Proof, transport::Transport};
use crate::provider::{
    Secret,
    kladana::{EntityRef, is_uuid},
};

/// A client of Kladana's API, and of `MoySklad`'s. Cheap to clone; all clones keep to the same limits.
///
/// The vendor allows 45 units in 3 s and 5 calls at once for each user or application. The client keeps to both by
/// itself, with some room for the network's unsteadiness, and rests when the vendor says that others have used them up.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use doorbell::{client::Kladana, provider::kladana::EntityRef};
///
/// let kladana = Kladana::new("api.kladana.com", std::env::var("KLADANA_TOKEN")?)?;
/// let order = EntityRef::new("customerorder", "4081aa10-f82b-11f0-0a80-047200060001");
/// let order: serde_json::Value = kladana.fetch(&order).await?;
///
/// let mut products = kladana.list::<serde_json::Value>("product").filter("archived=false");
/// while let Some(page) = products.next_page().await? {
///     println!("{} more", page.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Kladana {
    transport: Arc<Transport>,
    /// What one call costs.
    units: usize,
}

/// Who calls Kladana. A text or a [`Secret`] alone is a token.
///
/// ```
/// # fn main() -> Result<(), doorbell::client::ClientError> {
/// use doorbell::client::{Credentials, Kladana};
///
/// let by_token = Kladana::new("api.kladana.com", "an access token")?;
/// let by_login = Kladana::new("api.kladana.com", Credentials::login("admin@shop", "a password"))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credentials {
    /// An access token of an application or a user.
    Token(Secret),
    /// A user's login, as `user@account`, and password.
    Login {
        /// The login.
        login: String,
        /// The password.
        password: Secret,
    },
}

impl Credentials {
    /// A user's login, as `user@account`, and password.
    pub fn login(login: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::Login { login: login.into(), password: password.into() }
    }

    fn proof(&self) -> Result<Proof, ClientError> {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        match self {
            Self::Token(token) => Proof::default().bearer(token),
            Self::Login { login, password } => {
                if login.contains(':') {
                    return Err(ClientError::Unusable {
                        field: "the login",
                        value: login.clone(),
                        expected: "user@account, without a colon",
                    });
                }
                let pair = [login.as_bytes(), b":", password.expose()].concat();
                let encoded = Secret::new(BASE64_STANDARD.encode(pair));
                let proof = Proof::default().header(http::header::AUTHORIZATION, "Basic ", &encoded)?;
                Ok(proof.hide(password.clone()))
            }
        }
    }
}

impl<S: Into<Secret>> From<S> for Credentials {
    fn from(token: S) -> Self {
        Self::Token(token.into())
    }
}

impl Kladana {
    /// Where the API begins, if the base URL has no path of its own.
    const PATH: &str = "/api/remap/1.2";

    /// Calls the API at `base`: `app.kladana.in`, `api.kladana.com`, `api.moysklad.ru`, or a URL, with the default
    /// [options](ClientOptions).
    ///
    /// # Errors
    /// [`ClientError::Unusable`] if `base` or the credentials can't be used; [`ClientError::Setup`] if TLS can't.
    pub fn new(base: &str, credentials: impl Into<Credentials>) -> Result<Self, ClientError> {
        Self::with_options(base, credentials, ClientOptions::default())
    }

    /// The same with options of your own.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_options(
        base: &str,
        credentials: impl Into<Credentials>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let transport = Transport::new(&Remap, base, Self::PATH, credentials.into().proof()?, options)?;
        Ok(Self { transport: Arc::new(transport), units: 1 })
    }

    /// What the vendor charges for one call, from 1 to 5 of its units; 1 by default. Where it charges more, its answers say
    /// how much is left, and the client rests when that is used up. Knowing the price avoids those rests.
    #[must_use]
    pub fn units_per_call(mut self, units: u8) -> Self {
        self.units = usize::from(units.clamp(1, Remap::BURST));
        self
    }

    /// The entity as it is now. `T` is a type of yours, or [`serde_json::Value`].
    ///
    /// Only its type and id are used, never its href. What the API's answers refer to is fetched the same way:
    ///
    /// ```no_run
    /// # async fn run(kladana: doorbell::client::Kladana, event: doorbell::provider::kladana::EntityEvent)
    /// # -> Result<(), doorbell::client::ClientError> {
    /// use doorbell::provider::kladana::{EntityRef, Moment};
    /// use serde::Deserialize;
    ///
    /// #[derive(Deserialize)]
    /// struct Order {
    ///     agent: EntityRef,
    ///     updated: Moment,
    /// }
    ///
    /// #[derive(Deserialize)]
    /// struct Customer {
    ///     name: String,
    /// }
    ///
    /// let order: Order = kladana.fetch(&event.entity).await?;
    /// let customer: Customer = kladana.fetch(&order.agent).await?;
    /// println!("{} has changed its order at {}", customer.name, order.updated.0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if the API says that it is not there, which
    /// [`optional`](super::OptionalExt::optional) makes `None`. That alone does not say that it is gone: a notification
    /// of its deletion does. A 404 without the API's own error is [`ClientError::Vendor`].
    /// [`ClientError::Unusable`] if the reference has no id or an impossible type.
    pub async fn fetch<T: DeserializeOwned>(&self, entity: &EntityRef) -> Result<T, ClientError> {
        let entity_type = checked_type(entity.entity_type.as_deref().unwrap_or_default())?;
        let id = checked_id(entity.id.as_deref().unwrap_or_default())?;
        self.get(&format!("entity/{entity_type}/{id}"), &[]).await
    }

    /// What stands at a path below the API's root, such as `entity/product/metadata`, with parameters such as `expand`.
    ///
    /// # Errors
    /// [`ClientError::Unusable`] if the path has anything but letters, digits, `-`, `_` and single slashes, or the URL
    /// would be longer than the vendor takes.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let expected = "words like entity/product with single slashes between them, and parameters apart";
        address::check_path(path, expected)?;
        // These two are charged five for everybody.
        let units = match path {
            "report/stock/all" | "report/stock/bystore" => usize::from(Remap::BURST),
            _ => self.units,
        };
        self.transport.get(path, query, units).await
    }

    /// All entities of a type, page by page.
    pub fn list<T: DeserializeOwned>(&self, entity_type: &str) -> Pages<T> {
        let path = checked_type(entity_type).map(|entity_type| format!("entity/{entity_type}"));
        Pages::new(self.clone(), path, Listing::ENTITIES)
    }

    /// What was done in the account, newest first: to find what notifications did not bring. `T` is [`AuditEntry`], or a
    /// type of yours.
    pub fn audit<T: DeserializeOwned>(&self) -> Pages<T> {
        Pages::new(self.clone(), Ok("audit".to_owned()), Listing::AUDIT)
    }

    /// The events of one [`AuditEntry`]: each entity that it was about. Audit id, entity and action are the key that
    /// they share with notifications.
    pub fn audit_events<T: DeserializeOwned>(&self, audit_id: &str) -> Pages<T> {
        let path = checked_id(audit_id).map(|id| format!("audit/{id}/events"));
        Pages::new(self.clone(), path, Listing::AUDIT)
    }

    #[cfg(all(test, feature = "receiver"))]
    pub(super) fn with_timer(self, timer: Arc<dyn super::timer::Timer>) -> Self {
        let transport = Arc::into_inner(self.transport).expect("not cloned yet");
        Self { transport: Arc::new(transport.with_timer(timer)), ..self }
    }
}

impl fmt::Debug for Kladana {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kladana").field(&self.transport).finish()
    }
}

fn checked_type(entity_type: &str) -> Result<&str, ClientError> {
    if (1..=64).contains(&entity_type.len()) && entity_type.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Ok(entity_type);
    }
    Err(ClientError::unusable("the entity's type", entity_type, "lower-case letters such as customerorder"))
}

fn checked_id(id: &str) -> Result<&str, ClientError> {
    if is_uuid(id) {
        return Ok(id);
    }
    Err(ClientError::unusable("the id", id, "a UUID"))
}
