//! Kladana's and `MoySklad`'s notifications with content of your own.
//!
//! ```
//! use doorbell::{clock::Timestamp, provider::Kladana, testing::{Message, kladana}};
//!
//! let several = kladana::notification("product", "UPDATE")
//!     .entity_id("75c8aa10-db16-11eb-0a80-0d0000000003")
//!     .updated_fields(["salePrices"])
//!     .and("product", "DELETE");
//! let request = several.signed_by(&Kladana::new(), Timestamp::from_seconds(1_767_168_200), 1)?;
//! # Ok::<(), doorbell::testing::SignError>(())
//! ```

use serde::Serialize;

use super::{Message, made_up::uuid, sign, sign_under};
use crate::{
    clock::Timestamp,
    provider::{Provider, SignError, SignedRequest, kladana::moscow_time},
};

const ACCOUNT: &str = "3c1d6a52-7b40-11ee-0a80-0f4400021c77";
const API: &str = "https://api.kladana.com/api/remap/1.2";

/// A notification that something (`action`: `CREATE`, `UPDATE`, `DELETE`, `PROCESSED`) happened to an entity (`product`,
/// `customerorder`, …).
pub fn notification(entity: &str, action: &str) -> Notification {
    let (account_id, api) = (ACCOUNT.into(), API.into());
    let empty = Notification { account_id, api, request_id: None, moment: None, audit: true, events: vec![] };
    empty.and(entity, action)
}

/// A notification that stock levels have changed. `report`: `all` or `bystore`.
pub fn stock(report: &str) -> Stock {
    Stock {
        account_id: ACCOUNT.into(),
        api: API.into(),
        report: report.into(),
        request_id: None,
        changed_since: None,
    }
}

/// A notification of one event or several.
#[derive(Debug, Clone)]
#[must_use = "a notification does nothing until it is sent"]
pub struct Notification {
    account_id: String,
    api: String,
    request_id: Option<String>,
    moment: Option<Timestamp>,
    audit: bool,
    events: Vec<Event>,
}

#[derive(Debug, Clone)]
struct Event {
    entity: String,
    action: String,
    id: Option<String>,
    updated_fields: Vec<String>,
}

impl Notification {
    /// Adds another event; [`entity_id`](Self::entity_id) and [`updated_fields`](Self::updated_fields) after it are
    /// about that one.
    pub fn and(mut self, entity: &str, action: &str) -> Self {
        let (entity, action) = (entity.into(), action.into());
        self.events.push(Event { entity, action, id: None, updated_fields: Vec::new() });
        self
    }

    /// The id of the last event's entity: a UUID. Made up where nothing is said.
    pub fn entity_id(self, id: impl Into<String>) -> Self {
        self.change(|event| event.id = Some(id.into()))
    }

    /// Which fields the last event has changed. Left out where nothing is said, as by webhooks without
    /// `diffType: FIELDS`.
    pub fn updated_fields<F: Into<String>>(self, fields: impl IntoIterator<Item = F>) -> Self {
        self.change(|event| event.updated_fields = fields.into_iter().map(Into::into).collect())
    }

    fn change(mut self, change: impl FnOnce(&mut Event)) -> Self {
        if let Some(last) = self.events.last_mut() {
            change(last);
        }
        self
    }

    /// The notification's id, the same on each of its repetitions. Made up where nothing is said.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// When it happened. When it is sent, where nothing is said.
    pub fn moment(mut self, moment: Timestamp) -> Self {
        self.moment = Some(moment);
        self
    }

    /// Leaves `auditContext` out, as older notifications do and those of asynchronous tasks.
    pub fn without_audit(mut self) -> Self {
        self.audit = false;
        self
    }

    /// The account that it happened in.
    pub fn account_id(mut self, id: impl Into<String>) -> Self {
        self.account_id = id.into();
        self
    }

    /// What hrefs begin with: `https://api.moysklad.ru/api/remap/1.2`. Kladana's own API where nothing is said.
    pub fn api(mut self, url: impl Into<String>) -> Self {
        self.api = url.into();
        self
    }

    fn body(&self, now: Timestamp, unique: u128) -> Body<'_> {
        let meta = |entity, path: String| Meta { entity, href: format!("{}/{path}", self.api) };
        let events = (0..).zip(&self.events).map(|(at, event)| {
            let id = event.id.clone().unwrap_or_else(|| uuid(unique ^ (at << 64)));
            EventBody {
                meta: meta(&event.entity, format!("entity/{}/{id}", event.entity)),
                updated_fields: &event.updated_fields,
                action: &event.action,
                account_id: &self.account_id,
            }
        });
        Body {
            audit_context: self.audit.then(|| AuditContext {
                meta: meta("audit", format!("audit/{}", uuid(!unique))),
                uid: "manager@democafe",
                moment: moscow_time(self.moment.unwrap_or(now)).unwrap_or_default(),
            }),
            events: events.collect(),
        }
    }
}

/// The members in the order in which they were seen.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_context: Option<AuditContext<'a>>,
    events: Vec<EventBody<'a>>,
}

#[derive(Serialize)]
struct AuditContext<'a> {
    meta: Meta<'a>,
    uid: &'a str,
    moment: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EventBody<'a> {
    meta: Meta<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    updated_fields: &'a [String],
    action: &'a str,
    account_id: &'a str,
}

#[derive(Serialize)]
struct Meta<'a> {
    #[serde(rename = "type")]
    entity: &'a str,
    href: String,
}

impl Message for Notification {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        send(provider, now, unique, self.request_id.as_deref(), &self.body(now, unique))
    }
}

/// A notification that stock levels have changed.
#[derive(Debug, Clone)]
#[must_use = "a notification does nothing until it is sent"]
pub struct Stock {
    account_id: String,
    api: String,
    report: String,
    request_id: Option<String>,
    changed_since: Option<Timestamp>,
}

impl Stock {
    /// From when on the report shows changes. Five minutes ago where nothing is said.
    pub fn changed_since(mut self, since: Timestamp) -> Self {
        self.changed_since = Some(since);
        self
    }

    /// The notification's id, the same on each of its repetitions. Made up where nothing is said.
    pub fn request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The account that it happened in.
    pub fn account_id(mut self, id: impl Into<String>) -> Self {
        self.account_id = id.into();
        self
    }

    /// What the report's URL begins with. Kladana's own API where nothing is said.
    pub fn api(mut self, url: impl Into<String>) -> Self {
        self.api = url.into();
        self
    }
}

/// The members in the order of the vendor's page.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StockBody<'a> {
    account_id: &'a str,
    stock_type: &'a str,
    report_type: &'a str,
    report_url: String,
}

impl Message for Stock {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        let since = self.changed_since.unwrap_or_else(|| Timestamp::from_seconds(now.as_seconds() - 300));
        let body = StockBody {
            account_id: &self.account_id,
            stock_type: "stock",
            report_type: &self.report,
            report_url: format!(
                "{}/report/stock/{}/current?changedSince={}",
                self.api,
                self.report,
                moscow_time(since).unwrap_or_default()
            ),
        };
        send(provider, now, unique, self.request_id.as_deref(), &body)
    }
}

fn send(
    provider: &dyn Provider,
    now: Timestamp,
    unique: u128,
    request_id: Option<&str>,
    body: &impl Serialize,
) -> Result<SignedRequest, SignError> {
    // Texts in structs: nothing that could fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    match request_id {
        Some(id) => sign_under(provider, now, id, body),
        None => sign(provider, now, unique, body),
    }
}
