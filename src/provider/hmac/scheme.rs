use std::time::Duration;

use http::HeaderName;

use super::{Field, Template, TimestampSource};
use crate::provider::{Algorithm, Encoding, KeyDecoding, KeyError};

/// How a sender signs, and where it says what a request is about. Each method is a key of the configuration file.
///
/// ```
/// use doorbell::{clock::Timestamp, provider::{Hmac, Provider, Refusal, Request, hmac::Scheme}};
///
/// let scheme = Scheme::new("x-signature".parse()?)
///     .prefix("v1=")
///     .separator(',')
///     .signed("{timestamp}.{body}".parse()?)
///     .timestamp("signature:t".parse()?) // X-Signature: t=1767168200,v1=…
///     .id("json:/id".parse()?)
///     .kind("json:/type".parse()?);
/// let sender = Hmac::new(scheme, "a-made-up-secret")?.named("courier");
///
/// let (sent, body) = (Timestamp::from_seconds(1_767_168_200), br#"{"id":"7","type":"parcel.sent"}"#);
/// let headers = sender.sign("", sent, body)?;
/// let request = Request::new(&headers, body);
/// assert!(sender.verify(&request, sent).is_ok());
/// let later = Timestamp::from_seconds(1_767_168_200 + 301);
/// assert!(matches!(sender.verify(&request, later), Err(Refusal::StaleTimestamp { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheme {
    pub(super) header: HeaderName,
    pub(super) algorithm: Algorithm,
    pub(super) encoding: Encoding,
    pub(super) prefix: String,
    pub(super) separator: Option<char>,
    pub(super) key: KeyDecoding,
    pub(super) signed: Template,
    pub(super) timestamp: Option<TimestampSource>,
    pub(super) tolerance: Option<Tolerance>,
    pub(super) id: Option<Field>,
    pub(super) kinds: Vec<Field>,
    pub(super) occurred_at: Option<Field>,
    pub(super) alternative: Option<Box<Scheme>>,
}

/// How far a signed time may be away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tolerance {
    pub(super) by: Duration,
    pub(super) past_only: bool,
}

impl Scheme {
    /// How far a signed time may be away where nothing else is said.
    pub const DEFAULT_TOLERANCE: Duration = Duration::from_secs(300);

    /// An HMAC-SHA256 of the body, in hex, in this header; the secret's text is the key.
    pub fn new(header: HeaderName) -> Self {
        Self {
            header,
            algorithm: Algorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: String::new(),
            separator: None,
            key: KeyDecoding::Utf8,
            signed: Template::body(),
            timestamp: None,
            tolerance: Some(Tolerance { by: Self::DEFAULT_TOLERANCE, past_only: false }),
            id: None,
            kinds: Vec::new(),
            occurred_at: None,
            alternative: None,
        }
    }

    /// The hash function. Default: SHA-256.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// How the signature is written. Default: hex.
    pub fn encoding(mut self, encoding: Encoding) -> Self {
        self.encoding = encoding;
        self
    }

    /// What stands before the signature: `sha256=`. In a list, items without it are skipped. Default: nothing.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What stands between several signatures in the header; one right one suffices. Default: there is only one.
    pub fn separator(mut self, separator: char) -> Self {
        self.separator = Some(separator);
        self
    }

    /// How the secret becomes the key. Default: its text is the key.
    pub fn key(mut self, decoding: KeyDecoding) -> Self {
        self.key = decoding;
        self
    }

    /// What is signed. Default: `{body}`.
    pub fn signed(mut self, template: Template) -> Self {
        self.signed = template;
        self
    }

    /// Where the signed time stands. Default: no time is signed.
    pub fn timestamp(mut self, source: TimestampSource) -> Self {
        self.timestamp = Some(source);
        self
    }

    /// How far the signed time may be away, in the past or in the future. Default: 5 minutes.
    pub fn tolerance(mut self, by: Duration) -> Self {
        self.tolerance = Some(Tolerance { by, past_only: false });
        self
    }

    /// How far the signed time may lie in the past; how far in the future does not matter.
    pub fn tolerance_past_only(mut self, by: Duration) -> Self {
        self.tolerance = Some(Tolerance { by, past_only: true });
        self
    }

    /// Takes any signed time: whoever once saw a request can send it again after the dedupe window has passed.
    pub fn any_time(mut self) -> Self {
        self.tolerance = None;
        self
    }

    /// Where the sender's own id for the delivery stands. Default: nowhere.
    pub fn id(mut self, field: Field) -> Self {
        self.id = Some(field);
        self
    }

    /// Where the event's kind stands. Said more than once: the first place that holds one counts.
    pub fn kind(mut self, field: Field) -> Self {
        self.kinds.push(field);
        self
    }

    /// Where it stands when the event happened: RFC 3339, or seconds or milliseconds since 1970. Default: nowhere.
    pub fn occurred_at(mut self, field: Field) -> Self {
        self.occurred_at = Some(field);
        self
    }

    /// The scheme to take for requests that lack this one's header.
    pub fn or(mut self, other: Self) -> Self {
        self.alternative = Some(Box::new(match self.alternative {
            Some(first) => first.or(other),
            None => other,
        }));
        self
    }

    /// Whether a field is covered by the signature.
    pub(super) fn signs(&self, field: &Field) -> bool {
        match field {
            Field::Json(_) => true,
            Field::Header(_) => self.signed.has_id(),
        }
    }

    /// Whether anything is read from the body.
    pub(super) fn reads_json(&self) -> bool {
        self.id
            .iter()
            .chain(&self.kinds)
            .chain(&self.occurred_at)
            .any(|field| matches!(field, Field::Json(_)))
    }

    pub(super) fn check(&self) -> Result<(), SchemeError> {
        if !self.signed.has_body() {
            return Err(SchemeError::BodyNotSigned(self.signed.clone()));
        }
        if self.signed.has_id() && !matches!(self.id, Some(Field::Header(_))) {
            return Err(SchemeError::IdNowhere(self.signed.clone()));
        }
        match (&self.timestamp, self.signed.has_timestamp()) {
            (None, true) => Err(SchemeError::TimestampNowhere(self.signed.clone())),
            (Some(source), false) => Err(SchemeError::TimestampNotSigned {
                template: self.signed.clone(),
                source_of_time: source.clone(),
            }),
            (Some(TimestampSource::Signature(item)), true) if self.separator.is_none() => {
                Err(SchemeError::NoSeparator(item.clone()))
            }
            _ => Ok(()),
        }
    }
}

/// Why a scheme can't work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemeError {
    /// There is no secret to check signatures by, or an empty one.
    #[error(
        "there is no secret, or an empty one, by which anybody could sign: set secret to the one that the sender signs with \
         (if it comes from an environment variable: that is set, and empty)"
    )]
    NoSecret,
    /// A secret is not written as the scheme says.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What is signed does not include the body.
    #[error("signed = \"{0}\" leaves the body out, so anybody could change it: put {{body}} in")]
    BodyNotSigned(Template),
    /// The signed id has no header.
    #[error("signed = \"{0}\" needs an id that stands in a header: set id = \"header:<name>\"")]
    IdNowhere(Template),
    /// The signed time has no place.
    #[error("signed = \"{0}\" needs a time: set timestamp = \"header:<name>\" or \"signature:<item>\"")]
    TimestampNowhere(Template),
    /// There is a place for a time that is not signed.
    #[error(
        "timestamp = \"{source_of_time}\" is of no use: signed = \"{template}\" leaves it out, so anybody could change it"
    )]
    TimestampNotSigned {
        /// What is signed.
        template: Template,
        /// Where the time is said to stand.
        source_of_time: TimestampSource,
    },
    /// The time stands among several items that nothing separates.
    #[error(
        "timestamp = \"signature:{0}\" needs to know what stands between the items: set separator = \",\""
    )]
    NoSeparator(String),
}
