//! Kladana and its twin brand `MoySklad`: no signature, several events in one notification.
//!
#![doc = include_str!("kladana/guide.md")]

mod event;
mod href;
mod moment;

use std::{borrow::Cow, ops::Range, time::Duration};

use http::{
    HeaderValue,
    header::{CONNECTION, CONTENT_TYPE, USER_AGENT},
};
use serde::Deserialize;
use serde_json::value::RawValue;

#[cfg(feature = "client")]
pub(crate) use self::href::is_uuid;
pub(crate) use self::moment::{moment, moscow_time};
pub use self::{
    event::{Action, Audit, EntityEvent, Event, ReportType, StockEvent, StockType},
    href::EntityRef,
    moment::Moment,
};
use super::{
    Parsed, ParsedEvent, Profile, Provider, Refusal, Reply, Request, SenderId, SignError, SignedRequest,
    Slices, Unparsable,
    json::{object, or_default, text_or_nothing},
};
use crate::clock::Timestamp;

/// Kladana, and `MoySklad`, which sends the same.
///
/// It signs nothing, so the secret stands in the URL that it was given; a user agent proves nothing.
///
/// ```
/// use doorbell::{clock::Timestamp, provider::{Kladana, Provider, Refusal, Request, Verdict}};
///
/// let body = br#"{"events":[{"meta":{"type":"product",
///     "href":"https://api.kladana.com/api/remap/1.2/entity/product/75c8aa10-db16-11eb-0a80-0d0000000001"},
///     "action":"UPDATE","accountId":"3c1d6a52-7b40-11ee-0a80-0f4400021c77"}]}"#;
/// let (headers, now) = (http::HeaderMap::new(), Timestamp::from_seconds(1_767_168_000));
/// let request = Request { query: Some("requestId=e5a1d0b2"), ..Request::new(&headers, body) };
/// assert!(matches!(Kladana::new().verify(&request, now), Err(Refusal::MissingProof(_))));
///
/// // Whoever took the request has compared the secret in its path, as a receiver does.
/// let request = Request { path_secret_matched: true, ..request };
/// let Verdict::Accept { events, .. } = Kladana::new().verify(&request, now)? else { panic!() };
/// assert_eq!(events[0].kind, "product.update");
/// assert_eq!(events[0].subject.as_deref(), Some("product/75c8aa10-db16-11eb-0a80-0d0000000001"));
/// # Ok::<(), Refusal>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Kladana {
    insecure: bool,
}

impl Kladana {
    /// Kladana, proved by the secret in the request's path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes whatever comes, from anybody who knows or guesses the URL. For trying out, or behind something that
    /// lets only the sender through.
    pub fn insecure(mut self) -> Self {
        self.insecure = true;
        self
    }
}

impl Provider for Kladana {
    fn name(&self) -> &'static str {
        "kladana"
    }

    fn authenticate(&self, request: &Request<'_>, _now: Timestamp) -> Result<(), Refusal> {
        if self.insecure || request.path_secret_matched {
            Ok(())
        } else {
            Err(Refusal::MissingProof("secret in the path".into()))
        }
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        // The same on each repetition, but in the query: anybody could have written it.
        let sender_id = request
            .query_value("requestId")
            .filter(|id| !id.is_empty())
            .map(|value| SenderId { value, signed: false });
        match events(request.body) {
            Ok(events) => Ok(Parsed::Events { sender_id, events }),
            Err(reason) => Err(Unparsable::new(reason).with_sender_id(sender_id)),
        }
    }

    fn profile(&self) -> Profile {
        Profile {
            deadline: Duration::from_millis(1500),
            success: Reply::json(r#"{"status":"ok"}"#),
            // Bodies of older notifications are equal for different updates.
            dedupe_fallback: Duration::ZERO,
            needs_path_secret: !self.insecure,
            ..Profile::default()
        }
    }

    fn known_kinds(&self) -> &[&str] {
        &["*.create", "*.update", "*.delete", "*.processed", "stock.all", "stock.bystore"]
    }

    fn sign_request(&self, id: &str, _now: Timestamp, body: Vec<u8>) -> Result<SignedRequest, SignError> {
        let mut request = SignedRequest::new(body);
        let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        request.query = Some(format!("requestId={id}"));
        request.headers.extend([
            (
                USER_AGENT,
                HeaderValue::from_static("Kladana webhook touch agent 2.0 (/https://www.kladana.in)"),
            ),
            (CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8")),
            (CONNECTION, HeaderValue::from_static("close")),
        ]);
        Ok(request)
    }
}

/// Any of the shapes that a notification has; everything else in it is the user's business.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification<'a> {
    #[serde(borrow)]
    events: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    audit_context: AuditContext<'a>,
    // A notification of stock.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    report_type: Option<Cow<'a, str>>,
    // The form that the vendor's page shows: really that of the call which creates a webhook.
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    entity_type: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    action: Option<Cow<'a, str>>,
}

/// Absent in older notifications and in those of asynchronous tasks.
#[derive(Deserialize, Default)]
struct AuditContext<'a> {
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    moment: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    meta: Meta<'a>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    action: Option<Cow<'a, str>>,
}

#[derive(Deserialize, Default)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "type", deserialize_with = "text_or_nothing")]
    entity: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "text_or_nothing")]
    href: Option<Cow<'a, str>>,
}

fn events(body: &[u8]) -> Result<Vec<ParsedEvent>, String> {
    let notification: Notification<'_> =
        object(body).map_err(|error| format!("the body can't be read: {error}"))?;
    let whole =
        |kind: String| Ok(vec![ParsedEvent { kind, subject: None, occurred_at: None, data: Slices::WHOLE }]);
    match notification {
        Notification { events: Some(list), audit_context, .. } => {
            changes(body, list, audit_context.moment.as_deref().and_then(moment))
        }
        Notification { report_type: Some(report), .. } => whole(kind("stock", &report)),
        Notification { entity_type: Some(entity), action: Some(action), .. } => whole(kind(&entity, &action)),
        _ => Err("it is none of this sender's notifications: it has neither `events`, nor `reportType`, \
                  nor `entityType` with `action`"
            .into()),
    }
}

fn changes(body: &[u8], list: &RawValue, occurred_at: Option<Timestamp>) -> Result<Vec<ParsedEvent>, String> {
    let changes: Vec<&RawValue> =
        serde_json::from_str(list.get()).map_err(|error| format!("`events` is not a list: {error}"))?;
    if changes.is_empty() {
        return Err("`events` is empty: the notification says that nothing happened".into());
    }
    let only_one = changes.len() == 1;
    let parsed = changes.into_iter().enumerate().map(|(at, raw)| {
        let change: Change<'_> = serde_json::from_str(raw.get())
            .map_err(|error| format!("`events[{at}]` can't be read: {error}"))?;
        let entity = EntityRef::read(change.meta.entity, change.meta.href);
        let entity_type = entity.entity_type.as_deref();
        let entity_type = entity_type
            .ok_or_else(|| format!("`events[{at}].meta` has no `type`, nor an `href` that tells it"))?;
        let action = change.action.ok_or_else(|| format!("`events[{at}]` has no `action`"))?;
        Ok(ParsedEvent {
            kind: kind(entity_type, &action),
            subject: entity.id.map(|id| format!("{}/{id}", entity_type.to_lowercase())),
            occurred_at,
            data: if only_one { Slices::WHOLE } else { alone(body, list, raw) },
        })
    });
    parsed.collect()
}

fn kind(entity: &str, action: &str) -> String {
    format!("{entity}.{action}").to_lowercase()
}

/// The notification with this one event only: all before the list's first event, the event, all after its last.
fn alone(body: &[u8], list: &RawValue, event: &RawValue) -> Slices {
    let (list, event) = (place(body, list), place(body, event));
    Slices::parts([0..list.start + 1, event, list.end.saturating_sub(1)..body.len()])
}

/// Where in the body a value that was borrowed from it stands.
fn place(body: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + value.get().len()
}
