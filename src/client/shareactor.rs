//! The API of Shareactor, now Kvass.

use std::{fmt, sync::Arc};

use http::HeaderName;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    ClientError, ClientOptions, address,
    dialect::{Answer, Dialect, Fault, FaultKind},
    proof::Proof,
    transport::Transport,
};
use crate::{
    clock::Timestamp,
    provider::{Secret, shareactor::Event},
};

/// A client of Shareactor's and Kvass' API: its events, to find what notifications did not bring. Cheap to clone; all
/// clones keep to the same limits.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use doorbell::client::Shareactor;
///
/// let api = Shareactor::new("api.kvass.ai", std::env::var("KVASS_API_KEY")?, std::env::var("KVASS_JWT")?)?;
/// // What may have been missed while the receiver was down.
/// let down_since = doorbell::clock::Timestamp::parse_rfc3339("2026-01-23T07:00:00Z").unwrap();
/// let mut orders = api.search_events("order.created").since(down_since);
/// while let Some(page) = orders.next_page().await? {
///     for event in page {
///         println!("{:?} {:?}", event.created, event.data.object_id());
///     }
/// }
///
/// // What a notification is about, as it is now.
/// let order: serde_json::Value = api.get("orders/65a1f00d0b1e2c3d4e5f6099", &[]).await?;
/// let event = api.event("65a1f00d0b1e2c3d4e5f6071").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Shareactor {
    transport: Arc<Transport>,
}

impl Shareactor {
    /// Calls the API at `base`: `api.kvass.ai`, `api.shareactor.io`, or a URL, with the default
    /// [options](ClientOptions). The API's key is sent under both of the names that it has had.
    ///
    /// # Errors
    /// [`ClientError::Unusable`] if `base`, the key or the token can't be used; [`ClientError::Setup`] if TLS can't.
    pub fn new(base: &str, api_key: impl Into<Secret>, jwt: impl Into<Secret>) -> Result<Self, ClientError> {
        Self::with_options(base, api_key, jwt, ClientOptions::default())
    }

    /// The same with options of your own.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_options(
        base: &str,
        api_key: impl Into<Secret>,
        jwt: impl Into<Secret>,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        let key = api_key.into();
        let proof = Proof::default()
            .header(HeaderName::from_static("x-share-api-key"), "", &key)?
            .header(HeaderName::from_static("x-kvass-api-key"), "", &key)?
            .bearer(&jwt.into())?;
        Ok(Self { transport: Arc::new(Transport::new(&Rest, base, "/", proof, options)?) })
    }

    /// All events, page by page, the newest first.
    pub fn events(&self) -> EventPages {
        EventPages::new(self.clone(), None)
    }

    /// The events that a search finds, by id or kind.
    pub fn search_events(&self, query: impl Into<String>) -> EventPages {
        EventPages::new(self.clone(), Some(query.into()))
    }

    /// One event.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] if there is none, which [`optional`](super::OptionalExt::optional) makes `None`.
    pub async fn event(&self, id: &str) -> Result<Event, ClientError> {
        self.get(&format!("events/{id}"), &[]).await
    }

    /// What stands at a path of the API, such as `orders/65a1f00d0b1e2c3d4e5f6099`: what a notification is about, as it
    /// is now. `T` is a type of yours, or [`serde_json::Value`].
    ///
    /// # Errors
    /// [`ClientError::Unusable`] if the path has anything but letters, digits, `-`, `_` and single slashes.
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ClientError> {
        let expected = "words like events or orders/65a1f00d0b1e2c3d4e5f6099, and parameters apart";
        address::check_path(path, expected)?;
        self.transport.get(path, query, 1).await
    }
}

impl fmt::Debug for Shareactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shareactor").field(&self.transport).finish()
    }
}

/// Events, fetched page by page. What comes in meanwhile shifts them, so one may come twice.
#[derive(Debug)]
#[must_use = "nothing is fetched before `next_page`"]
pub struct EventPages {
    client: Shareactor,
    query: Option<String>,
    sort: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    size: u32,
    page: u64,
    ended: bool,
}

impl EventPages {
    fn new(client: Shareactor, query: Option<String>) -> Self {
        Self { client, query, sort: None, since: None, until: None, size: 100, page: 0, ended: false }
    }

    /// So many events a page; 100 by default.
    pub fn size(mut self, events: u32) -> Self {
        self.size = events.max(1);
        self
    }

    /// Sorted by this field, in the vendor's words; `-created`, the newest first, by default.
    pub fn sort(mut self, field: impl Into<String>) -> Self {
        self.sort = Some(field.into());
        self
    }

    /// Only events that were created at or after this time; for a [search](Shareactor::search_events) alone. Whole seconds,
    /// as this API writes times in requests: its page calls the parameter a timestamp.
    pub fn since(mut self, time: Timestamp) -> Self {
        self.since = Some(time);
        self
    }

    /// Only events that were created before or at this time; the same holds as of [`since`](Self::since).
    pub fn until(mut self, time: Timestamp) -> Self {
        self.until = Some(time);
        self
    }

    /// Fetches the next page. `None` after the last one. A page that failed can be asked for again.
    ///
    /// # Errors
    /// As [`Shareactor::get`]; [`ClientError::Unusable`] if a time is given, and it is no search.
    pub async fn next_page(&mut self) -> Result<Option<Vec<Event>>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let time = |time: Option<Timestamp>| time.map(|time| time.as_seconds().to_string());
        let (since, until) = (time(self.since), time(self.until));
        if self.query.is_none()
            && let Some(time) = self.since.or(self.until)
        {
            // Left out, it would bring all events, as if they were the ones asked for.
            self.ended = true;
            return Err(ClientError::unusable(
                "the time",
                &time.to_string(),
                "none here, or `search_events`, as the API takes times in searches alone",
            ));
        }
        let (size, page) = (self.size.to_string(), self.page.to_string());
        let path = if self.query.is_some() { "events/search" } else { "events" };
        let query: Vec<_> = [
            ("query", self.query.as_deref()),
            ("size", Some(size.as_str())),
            ("page", Some(page.as_str())),
            ("sort", self.sort.as_deref()),
            ("from_date", since.as_deref()),
            ("to_date", until.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let events: Vec<Event> = self.client.get(path, &query).await?;
        self.page += 1;
        // A page that is not full may be cut down by the vendor's own limit, so only an empty one is the end.
        self.ended = events.is_empty();
        Ok((!self.ended).then_some(events))
    }
}

/// Errors have the usual statuses, and a body of no documented shape.
#[derive(Debug)]
struct Rest;

impl Dialect for Rest {
    fn name(&self) -> &'static str {
        "shareactor"
    }

    fn fault(&self, answer: &Answer) -> Option<Fault> {
        let kind = FaultKind::of(answer.status)?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let message = ["message", "error", "description"].iter().find_map(|name| body[name].as_str());
        Some(Fault { kind, code: body["code"].as_i64(), message: message.unwrap_or_default().to_owned() })
    }
}
