//! From what a configuration says about a sender to the provider that checks its requests.

use std::{sync::Arc, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderName;

use super::{
    entry::{Value, Zero},
    reader::Table,
};
use crate::{
    provider::{
        Encoding, Hmac, KeyDecoding, Kladana, Poster, Preset, Provider, Quable, Secret, Secrets, Shareactor,
        hmac::{Field, Scheme, SchemeError},
    },
    source::Source,
};

/// The kinds of sender that a configuration can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProviderKind {
    /// Kladana, and its twin `MoySklad`.
    Kladana,
    /// Quable PIM.
    Quable,
    /// Poster POS.
    Poster,
    /// Shareactor, and its twin Kvass.
    Shareactor,
    /// GitHub.
    Github,
    /// Stripe.
    Stripe,
    /// Shopify.
    Shopify,
    /// Slack.
    Slack,
    /// Svix.
    Svix,
    /// Any sender that keeps to Standard Webhooks.
    StandardWebhooks,
    /// Any sender that signs with an HMAC, as the `signature` table describes it.
    Hmac,
}

impl ProviderKind {
    /// All there are.
    pub const ALL: [Self; 11] = [
        Self::Kladana,
        Self::Quable,
        Self::Poster,
        Self::Shareactor,
        Self::Github,
        Self::Stripe,
        Self::Shopify,
        Self::Slack,
        Self::Svix,
        Self::StandardWebhooks,
        Self::Hmac,
    ];

    /// The name in a configuration: `standard-webhooks`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kladana => "kladana",
            Self::Quable => "quable",
            Self::Poster => "poster",
            Self::Shareactor => "shareactor",
            Self::Github => "github",
            Self::Stripe => "stripe",
            Self::Shopify => "shopify",
            Self::Slack => "slack",
            Self::Svix => "svix",
            Self::StandardWebhooks => "standard-webhooks",
            Self::Hmac => "hmac",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether its requests carry a signature made with a shared secret.
    pub const fn signs(self) -> bool {
        !matches!(self, Self::Kladana | Self::Quable)
    }

    /// Whether a text can be this sender's secret.
    pub(super) fn check_secret(self, secret: &str) -> Result<(), String> {
        if !matches!(self, Self::Svix | Self::StandardWebhooks) {
            return Ok(());
        }
        let key = secret.strip_prefix("whsec_").unwrap_or(secret);
        match BASE64_STANDARD.decode(key) {
            Ok(key) if !key.is_empty() => Ok(()),
            _ => Err("is not base64; expected `whsec_` and then base64, as the sender shows it".to_owned()),
        }
    }
}

/// What a configuration says about a sender: its kind, what proves its requests, and how it signs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProviderSettings {
    /// The kind of sender.
    pub kind: ProviderKind,
    /// What it signs with.
    pub secrets: Secrets,
    /// The whole value of its `Authorization` header (Quable).
    pub authorization: Secrets,
    /// What its URL ends with.
    pub path_secrets: Secrets,
    /// Whether it may go without any proof (Kladana, Quable).
    pub insecure: bool,
    /// Whether a right path secret does not stand in for a missing signature (Shareactor).
    pub require_signature: bool,
    /// Whether `data` may be a JSON object (Poster).
    pub accept_object_data: bool,
    /// How it signs, where that is configured (HMAC and Shareactor).
    pub signature: Option<Signature>,
    /// Where its id for a delivery stands, where that is configured (HMAC).
    pub id: Option<Field>,
}

/// How a sender signs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Signature {
    /// All of it: an HMAC sender.
    Scheme(Box<Scheme>),
    /// What differs from the default: Shareactor.
    #[non_exhaustive]
    Shareactor {
        /// The header that holds the signature.
        header: Option<HeaderName>,
        /// How the signature is written.
        encoding: Option<Encoding>,
        /// How the secret becomes the key.
        key: Option<KeyDecoding>,
    },
}

impl ProviderSettings {
    /// A sender of this kind with no secrets yet.
    pub fn new(kind: ProviderKind) -> Self {
        Self {
            kind,
            secrets: Secrets::none(),
            authorization: Secrets::none(),
            path_secrets: Secrets::none(),
            insecure: false,
            require_signature: false,
            accept_object_data: false,
            signature: None,
            id: None,
        }
    }

    /// The source that checks this sender's requests.
    ///
    /// # Errors
    /// The way of signing contradicts itself, or a secret is not written as it says.
    pub fn source(&self) -> Result<Source, SchemeError> {
        let secrets = self.secrets.clone();
        let preset = |preset| Hmac::preset(preset, secrets.clone()).map(Source::new);
        let source = match self.kind {
            ProviderKind::Kladana if self.unproved() && self.insecure => {
                Source::new(Kladana::new().insecure())
            }
            ProviderKind::Kladana => Source::new(Kladana::new()),
            ProviderKind::Quable if self.unproved() && self.insecure => {
                Source::new(Quable::path_secret_only().insecure())
            }
            ProviderKind::Quable => Source::new(Quable::new(self.authorization.clone())),
            ProviderKind::Poster => {
                Source::new(Poster::new(secrets).accept_object_data(self.accept_object_data))
            }
            ProviderKind::Shareactor => Source::new(self.shareactor()?),
            ProviderKind::Github => preset(Preset::Github)?,
            ProviderKind::Stripe => preset(Preset::Stripe)?,
            ProviderKind::Shopify => preset(Preset::Shopify)?,
            ProviderKind::Slack => preset(Preset::Slack)?,
            ProviderKind::Svix => preset(Preset::Svix)?,
            ProviderKind::StandardWebhooks => preset(Preset::StandardWebhooks)?,
            ProviderKind::Hmac => {
                let scheme = match &self.signature {
                    Some(Signature::Scheme(scheme)) => Scheme::clone(scheme),
                    _ => Scheme::new(DEFAULT_HEADER),
                };
                Source::new(Hmac::new(scheme, secrets)?)
            }
        };
        // Also if there are none: an empty text among them is told when a receiver is built.
        Ok(source.path_secret(self.path_secrets.clone()))
    }

    /// The provider that signs with this secret, as the source is configured to.
    ///
    /// # Errors
    /// As [`source`](Self::source).
    pub(crate) fn signing_with(&self, secret: &Secret) -> Result<Arc<dyn Provider>, SchemeError> {
        let secrets = Secrets::from(secret.clone());
        let own = Self { secrets: secrets.clone(), authorization: secrets, ..self.clone() };
        Ok(own.source()?.provider)
    }

    fn shareactor(&self) -> Result<Shareactor, SchemeError> {
        let mut provider = Shareactor::new(self.secrets.clone()).require_signature(self.require_signature);
        if let Some(Signature::Shareactor { header, encoding, key }) = &self.signature {
            if let Some(header) = header {
                provider = provider.header(header.clone());
            }
            if let Some(encoding) = encoding {
                provider = provider.encoding(*encoding);
            }
            if let Some(key) = key {
                provider = provider.key(*key)?;
            }
        }
        Ok(provider)
    }

    /// Reads `signature`, `id` and `kind`.
    pub(super) fn read_signature(&mut self, table: &Table<'_, '_>) {
        self.signature = match self.kind {
            ProviderKind::Shareactor => table.get("signature").and_then(|value| shareactor(&value)),
            ProviderKind::Hmac => {
                let example = "add signature = { header = \"X-Signature\" }, with what differs from algorithm = \
                               \"sha256\", encoding = \"hex\", key = \"utf8\" and signed = \"{body}\"";
                let mut scheme = table.required("signature", example).and_then(|value| scheme(&value));
                self.id = table.get("id").and_then(|value| value.setting());
                let kinds = table.get("kind").map(|value| value.items()).unwrap_or_default();
                if let Some(id) = &self.id {
                    scheme = scheme.map(|scheme| scheme.id(id.clone()));
                }
                for kind in kinds.iter().filter_map(Value::setting::<Field>) {
                    scheme = scheme.map(|scheme| scheme.kind(kind));
                }
                scheme.map(Box::new).map(Signature::Scheme)
            }
            _ => None,
        };
    }
}

/// Where an HMAC sender's signature stands if nothing is said; only ever used beside an error about that.
const DEFAULT_HEADER: HeaderName = HeaderName::from_static("x-signature");

fn shareactor(value: &Value<'_, '_>) -> Option<Signature> {
    let table = value
        .table("a table such as { header = \"X-Share-Signature\", encoding = \"hex\", key = \"utf8\" }")?;
    let signature = Signature::Shareactor {
        header: table.get("header").and_then(|value| header(&value)),
        encoding: table.get("encoding").and_then(|value| value.setting()),
        key: table.get("key").and_then(|value| value.setting()),
    };
    table.finish();
    Some(signature)
}

fn scheme(value: &Value<'_, '_>) -> Option<Scheme> {
    let table = value.table("a table such as { header = \"X-Signature\", signed = \"{body}\" }")?;
    let mend = "name the header that holds the signature, such as header = \"X-Signature\"";
    let header = table.required("header", mend).and_then(|value| header(&value));
    let mut scheme = Scheme::new(header.clone().unwrap_or(DEFAULT_HEADER));
    if let Some(algorithm) = table.get("algorithm").and_then(|value| value.setting()) {
        scheme = scheme.algorithm(algorithm);
    }
    if let Some(encoding) = table.get("encoding").and_then(|value| value.setting()) {
        scheme = scheme.encoding(encoding);
    }
    if let Some(prefix) = table.get("prefix").and_then(|value| value.text("a text such as \"sha256=\"")) {
        scheme = scheme.prefix(prefix.value);
    }
    if let Some(separator) =
        table.get("separator").and_then(|value| value.parsed("one character", one_character))
    {
        scheme = scheme.separator(separator);
    }
    if let Some(key) = table.get("key").and_then(|value| value.setting()) {
        scheme = scheme.key(key);
    }
    if let Some(signed) = table.get("signed").and_then(|value| value.setting()) {
        scheme = scheme.signed(signed);
    }
    let timestamp = table.get("timestamp").and_then(|value| value.setting());
    let has_timestamp = timestamp.is_some();
    if let Some(timestamp) = timestamp {
        scheme = scheme.timestamp(timestamp);
    }
    match table.get("tolerance").and_then(|value| value.duration(Zero::Means("any time"))) {
        Some(Duration::ZERO) => scheme = scheme.any_time(),
        Some(_) if !has_timestamp => table.problem(
            "tolerance",
            "protects nothing without `timestamp`, which says where the signed time stands; expected both, or neither",
        ),
        Some(tolerance) => scheme = scheme.tolerance(tolerance),
        None => {}
    }
    table.finish();
    header.map(|_| scheme)
}

fn header(value: &Value<'_, '_>) -> Option<HeaderName> {
    value.parsed("a header's name, such as \"X-Signature\"", |text| text.parse().ok())
}

fn one_character(text: &str) -> Option<char> {
    let mut characters = text.chars();
    characters.next().filter(|_| characters.next().is_none())
}
