use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::Kladana;
use crate::{
    client::ClientError,
    clock::Timestamp,
    provider::kladana::{moment, moscow_time},
};

/// A list, fetched page by page, by offsets: the vendor's `nextHref` is never followed.
///
/// What is created or deleted meanwhile shifts the rows behind it, so a row may come twice or be missed; an `order` in
/// which changed rows go to the front, as [`since`](Self::since) sets it, only brings some twice.
///
/// ```no_run
/// # async fn run(kladana: doorbell::client::Kladana) -> Result<(), doorbell::client::ClientError> {
/// use doorbell::{client::AuditEntry, clock::Timestamp};
/// use serde_json::Value;
///
/// let down_since = Timestamp::parse_rfc3339("2026-01-23T07:00:00Z").unwrap();
/// let mut orders = kladana.list::<Value>("customerorder").since(down_since).filter("applicable=true").expand("agent");
/// while let Some(page) = orders.next_page().await? {
///     println!("{} orders were changed meanwhile", page.len());
/// }
///
/// // What was deleted is in no list, but in the audit.
/// let mut acts = kladana.audit::<AuditEntry>().since(down_since).filter("eventType=delete");
/// while let Some(page) = acts.next_page().await? {
///     for act in page {
///         let mut events = kladana.audit_events::<Value>(&act.id);
///         while let Some(page) = events.next_page().await? {
///             println!("{:?} has deleted {page:?}", act.uid);
///         }
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is fetched before `next_page`"]
pub struct Pages<T> {
    client: Kladana,
    path: Result<String, Option<ClientError>>,
    listing: Listing,
    filters: Vec<String>,
    order: Option<String>,
    expand: Option<String>,
    limit: u32,
    offset: u64,
    ended: bool,
    rows: PhantomData<fn() -> T>,
}

/// What differs between the vendor's lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
    /// The most rows of one page.
    limit: u32,
    /// The attribute that tells when.
    time: &'static str,
    /// The order in which changed rows go to the front, where it is not always so.
    newest_first: Option<&'static str>,
}

impl Listing {
    pub(super) const ENTITIES: Self =
        Self { limit: 1000, time: "updated", newest_first: Some("updated,desc") };
    pub(super) const AUDIT: Self = Self { limit: 100, time: "moment", newest_first: None };
}

#[derive(Deserialize)]
struct Page<T> {
    meta: PageMeta,
    rows: Vec<T>,
}

#[derive(Deserialize)]
struct PageMeta {
    /// How many rows there are in all.
    size: u64,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(super) fn new(client: Kladana, path: Result<String, ClientError>, listing: Listing) -> Self {
        Self {
            client,
            path: path.map_err(Some),
            listing,
            filters: Vec::new(),
            order: None,
            expand: None,
            limit: listing.limit,
            offset: 0,
            ended: false,
            rows: PhantomData,
        }
    }

    /// Only rows for which this holds, in the vendor's words: `archived=false`. Several filters are joined as the
    /// vendor joins them: those of one attribute by "or", those of different ones by "and".
    pub fn filter(mut self, filter: impl Into<String>) -> Self {
        self.filters.push(filter.into());
        self
    }

    /// Only what was changed (for the audit: done) at or after this time, the newest first. The vendor counts in whole
    /// seconds.
    pub fn since(mut self, time: Timestamp) -> Self {
        match moscow_time(time) {
            Some(text) => self.filters.push(format!("{}>={text}", self.listing.time)),
            None => {
                self.path = Err(Some(ClientError::Unusable {
                    field: "the time",
                    value: time.to_string(),
                    expected: "a time that can be written with a year of four digits",
                }));
            }
        }
        self.order = self.order.or(self.listing.newest_first.map(Into::into));
        self
    }

    /// In this order, in the vendor's words: `updated,desc`.
    pub fn order(mut self, order: impl Into<String>) -> Self {
        self.order = Some(order.into());
        self
    }

    /// With these references filled in, in the vendor's words: `agent,positions`. Pages then have 100 rows at most,
    /// because the vendor ignores the wish for longer ones.
    pub fn expand(mut self, expand: impl Into<String>) -> Self {
        self.expand = Some(expand.into());
        self
    }

    /// At most so many rows a page: 1000 by default, which is also the most (100 for the audit).
    pub fn limit(mut self, rows: u32) -> Self {
        self.limit = rows.clamp(1, self.listing.limit);
        self
    }

    /// Fetches the next page. `None` after the last one. A page that failed can be asked for again.
    ///
    /// # Errors
    /// As [`Kladana::get`].
    pub async fn next_page(&mut self) -> Result<Option<Vec<T>>, ClientError> {
        if self.ended {
            return Ok(None);
        }
        let path = match &mut self.path {
            Ok(path) => path.as_str(),
            Err(error) => {
                self.ended = true;
                return error.take().map_or(Ok(None), Err);
            }
        };
        let limit = if self.expand.is_some() { self.limit.min(100) } else { self.limit };
        let (limit, offset, filter) = (limit.to_string(), self.offset.to_string(), self.filters.join(";"));
        let query: Vec<_> = [
            ("limit", Some(limit.as_str())),
            ("offset", Some(offset.as_str())),
            ("filter", Some(filter.as_str()).filter(|filter| !filter.is_empty())),
            ("order", self.order.as_deref()),
            ("expand", self.expand.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect();
        let page: Page<T> = self.client.get(path, &query).await?;
        self.offset += page.rows.len() as u64;
        self.ended = page.rows.is_empty() || self.offset >= page.meta.size;
        Ok((!page.rows.is_empty()).then_some(page.rows))
    }
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("path", &self.path)
            .field("filters", &self.filters)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// One entry of the audit: one act, on one or many entities.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditEntry {
    /// Its id, the same as [`Audit::id`](crate::provider::kladana::Audit::id) of a notification.
    pub id: String,
    /// When it was done. The vendor writes Moscow time.
    #[serde(default, deserialize_with = "optional_moment")]
    pub moment: Option<Timestamp>,
    /// Who did it: a user of the account.
    pub uid: Option<String>,
    /// From where: `app`, `remap-1.2`.
    pub source: Option<String>,
    /// What was done, if the same to all: `update`.
    pub event_type: Option<String>,
    /// To what, if all were of one type: `customerorder`.
    pub entity_type: Option<String>,
    /// To how many.
    pub object_count: Option<u64>,
    /// Members that this version does not know.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn optional_moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.as_deref().and_then(moment))
}
