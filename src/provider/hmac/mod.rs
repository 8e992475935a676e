//! The generic family: any sender that signs its requests by an HMAC in a header, described by a [`Scheme`].
//! The well-known ones are [`Preset`]s, which are schemes like any other.
//!
#![doc = include_str!("guide.md")]

mod field;
mod preset;
mod scheme;
mod template;

use std::{borrow::Cow, time::Duration};

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_TYPE, InvalidHeaderValue},
};
use serde_json::value::RawValue;

pub use self::{
    field::{Field, Pointer, TimestampSource},
    preset::Preset,
    scheme::{Scheme, SchemeError},
    template::Template,
};
use self::{scheme::Tolerance, template::Values};
use super::{
    Parsed, ParsedEvent, Provider, Refusal, Request, Secrets, SenderId, SignError, SignedRequest, Slices,
    Unparsable,
};
use crate::clock::Timestamp;

/// A sender that signs its requests by an HMAC in a header.
///
/// ```
/// use doorbell::provider::{Hmac, Preset, hmac::Scheme};
///
/// let repo = Hmac::preset(Preset::Github, "secret")?;
/// let other = Hmac::new(
///     Scheme::new("x-signature".parse()?)
///         .prefix("sha256=")
///         .signed("{timestamp}.{body}".parse()?)
///         .timestamp("header:X-Timestamp".parse()?)
///         .id("header:X-Event-Id".parse()?)
///         .kind("json:/type".parse()?),
///     ["new secret", "old secret"],
/// )?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// An event's kind is what the sender says it is, `event` if it says nothing.
#[derive(Debug, Clone)]
pub struct Hmac {
    name: Cow<'static, str>,
    /// The scheme, and those to take where its header is missing. At least one.
    variants: Vec<Variant>,
}

/// A scheme and the keys that its settings make of the secrets.
#[derive(Debug, Clone)]
struct Variant {
    scheme: Scheme,
    keys: Secrets,
}

impl Hmac {
    /// A sender that signs by this scheme, with one secret or several.
    ///
    /// # Errors
    /// If the scheme contradicts itself, if a secret is missing or empty, or is not written as the scheme says.
    pub fn new(scheme: Scheme, secrets: impl Into<Secrets>) -> Result<Self, SchemeError> {
        let secrets = secrets.into();
        if secrets.is_empty() || secrets.had_empty() {
            return Err(SchemeError::NoSecret);
        }
        let mut variants = Vec::new();
        let mut next = Some(Box::new(scheme));
        while let Some(mut scheme) = next {
            next = scheme.alternative.take();
            scheme.check()?;
            variants.push(Variant { keys: scheme.key.keys(&secrets)?, scheme: *scheme });
        }
        Ok(Self { name: Cow::Borrowed("hmac"), variants })
    }

    /// A well-known sender, with one secret or several.
    ///
    /// # Errors
    /// If a secret is missing or empty, or is not written as that sender writes them.
    pub fn preset(preset: Preset, secrets: impl Into<Secrets>) -> Result<Self, SchemeError> {
        Ok(Self::new(preset.scheme(), secrets)?.named(preset.name()))
    }

    /// Gives the provider a name of its own in place of `hmac`.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The headers that prove this body as the sender would: the signature, and time and id where they are signed.
    ///
    /// # Errors
    /// If `id` can't stand in a header.
    pub fn sign(&self, id: &str, now: Timestamp, body: &[u8]) -> Result<HeaderMap, InvalidHeaderValue> {
        let mut headers = HeaderMap::new();
        // A provider has at least one scheme, and that at least one key.
        let first = self.variants.first().and_then(|first| Some((&first.scheme, first.keys.iter().next()?)));
        let Some((scheme, key)) = first else { return Ok(headers) };
        let time = now.as_seconds().to_string();
        let parts = scheme.signed.fill(Values { id, timestamp: &time, body });
        let digest = scheme.algorithm.sign(key, &parts);
        let mut signature = format!("{}{}", scheme.prefix, scheme.encoding.encode(&digest));
        match &scheme.timestamp {
            Some(TimestampSource::Header(name)) => {
                headers.insert(name.clone(), HeaderValue::from_str(&time)?);
            }
            Some(TimestampSource::Signature(name)) => {
                let separator = scheme.separator.unwrap_or(',');
                signature = format!("{name}={time}{separator}{signature}");
            }
            None => {}
        }
        if let Some(Field::Header(name)) = &scheme.id {
            headers.insert(name.clone(), HeaderValue::from_str(id)?);
        }
        headers.insert(scheme.header.clone(), HeaderValue::from_str(&signature)?);
        Ok(headers)
    }

    /// The scheme that the request follows: the first one whose header it has.
    fn variant(&self, headers: &HeaderMap) -> Option<&Variant> {
        self.variants.iter().find(|variant| headers.contains_key(&variant.scheme.header))
    }
}

impl Provider for Hmac {
    fn name(&self) -> &str {
        &self.name
    }

    fn authenticate(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Refusal> {
        match self.variant(request.headers) {
            Some(variant) => variant.check(request, now),
            None => {
                Err(missing(self.variants.first().map_or("signature", |first| first.scheme.header.as_str())))
            }
        }
    }

    fn parse(&self, request: &Request<'_>) -> Result<Parsed, Unparsable> {
        let Some(Variant { scheme, .. }) = self.variant(request.headers).or(self.variants.first()) else {
            return Err(Unparsable::new("no scheme is configured"));
        };
        let json: Result<&RawValue, _> =
            if scheme.reads_json() { serde_json::from_slice(request.body) } else { Ok(RawValue::NULL) };
        let read = |field: &Field| field.read(request, json.as_ref().ok().map(|raw| raw.get()));
        let sender_id = scheme.id.as_ref().and_then(|field| {
            Some(SenderId { value: read(field)?.into_owned(), signed: scheme.signs(field) })
        });
        if let Err(error) = &json
            && matches!(request.body.trim_ascii_start().first(), Some(b'{' | b'['))
        {
            let reason = format!("the body looks like JSON and is not: {error}");
            return Err(Unparsable::new(reason).with_sender_id(sender_id));
        }
        let kind = scheme.kinds.iter().find_map(read);
        let occurred_at = scheme.occurred_at.as_ref().and_then(read).and_then(|text| time(&text));
        Ok(Parsed::Events {
            sender_id,
            events: vec![ParsedEvent {
                kind: kind.map_or_else(|| "event".to_owned(), Cow::into_owned),
                subject: None,
                occurred_at,
                data: Slices::WHOLE,
            }],
        })
    }

    fn sign_request(&self, id: &str, now: Timestamp, body: Vec<u8>) -> Result<SignedRequest, SignError> {
        let mut request = SignedRequest::new(body);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers.extend(self.sign(id, now, &request.body)?);
        Ok(request)
    }
}

impl Variant {
    fn check(&self, request: &Request<'_>, now: Timestamp) -> Result<(), Refusal> {
        let Self { scheme, keys } = self;
        let header = scheme.header.as_str();
        let items: Vec<&str> = match (request.header(header), scheme.separator) {
            (None, _) => Vec::new(),
            (Some(text), None) => vec![text.trim()],
            (Some(text), Some(separator)) => text.split(separator).map(str::trim).collect(),
        };
        let candidates: Vec<Vec<u8>> = items
            .iter()
            .filter_map(|item| scheme.encoding.decode(item.strip_prefix(scheme.prefix.as_str())?))
            .filter(|digest| digest.len() == scheme.algorithm.length())
            .collect();
        if candidates.is_empty() {
            return Err(Refusal::MalformedProof {
                field: format!("the `{header}` header").into(),
                expected: "a digest of the scheme's length and encoding, after its prefix,",
            });
        }
        let timestamp = match &scheme.timestamp {
            None => "",
            Some(TimestampSource::Header(name)) => {
                request.header(name.as_str()).ok_or_else(|| missing(name.as_str()))?
            }
            Some(TimestampSource::Signature(name)) => items
                .iter()
                .find_map(|item| item.strip_prefix(name.as_str())?.strip_prefix('='))
                .ok_or_else(|| Refusal::MissingProof(format!("`{name}` in the `{header}` header").into()))?,
        };
        let id = match &scheme.id {
            Some(Field::Header(name)) if scheme.signed.has_id() => {
                request.header(name.as_str()).ok_or_else(|| missing(name.as_str()))?
            }
            _ => "",
        };
        let parts = scheme.signed.fill(Values { id, timestamp, body: request.body });
        if !scheme.algorithm.verify(keys, &parts, &candidates) {
            return Err(Refusal::WrongProof(format!("the `{header}` header").into()));
        }
        match (&scheme.timestamp, &scheme.tolerance) {
            (Some(source), Some(tolerance)) => in_time(timestamp, source, *tolerance, now),
            _ => Ok(()),
        }
    }
}

/// Checks a time whose signature is right. Anything may stand there all the same: senders have made mistakes.
fn in_time(
    text: &str,
    source: &TimestampSource,
    tolerance: Tolerance,
    now: Timestamp,
) -> Result<(), Refusal> {
    let signed: i64 = text.parse().map_err(|_| Refusal::MalformedProof {
        field: format!("the timestamp ({source})").into(),
        expected: "whole seconds since 1970",
    })?;
    // In whole seconds, and 128 bits wide, so that the smallest and greatest numbers do no harm.
    let age = i128::from(now.as_seconds()) - i128::from(signed);
    let off = Duration::from_secs(u64::try_from(age.unsigned_abs()).unwrap_or(u64::MAX));
    if off > tolerance.by && (age > 0 || !tolerance.past_only) {
        return Err(Refusal::StaleTimestamp { off, tolerance: tolerance.by });
    }
    Ok(())
}

/// RFC 3339, or seconds since 1970, or milliseconds where seconds would be thousands of years away.
fn time(text: &str) -> Option<Timestamp> {
    const FAR: u64 = 100_000_000_000;
    match text.parse::<i64>() {
        Ok(number) if number.unsigned_abs() < FAR => Some(Timestamp::from_seconds(number)),
        Ok(number) => Some(Timestamp::from_millis(number)),
        Err(_) => Timestamp::parse_rfc3339(text),
    }
}

fn missing(header: &str) -> Refusal {
    Refusal::MissingProof(format!("`{header}` header").into())
}
