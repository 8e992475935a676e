use http::HeaderName;

use super::{Field, Scheme, Template, TimestampSource};
use crate::provider::{Encoding, KeyDecoding, named::named};

/// A well-known sender.
///
/// In the terms of the configuration file:
///
/// | preset | `signature` | `id` | `kind` |
/// |---|---|---|---|
/// | `github` | `header = "X-Hub-Signature-256", prefix = "sha256="` | `header:X-GitHub-Delivery` | `header:X-GitHub-Event` |
/// | `stripe` | `header = "Stripe-Signature", separator = ",", prefix = "v1=", signed = "{timestamp}.{body}", timestamp = "signature:t"`, in the past only | `json:/id` | `json:/type` |
/// | `shopify` | `header = "X-Shopify-Hmac-Sha256", encoding = "base64"` | `header:X-Shopify-Webhook-Id` | `header:X-Shopify-Topic` |
/// | `slack` | `header = "X-Slack-Signature", prefix = "v0=", signed = "v0:{timestamp}:{body}", timestamp = "header:X-Slack-Request-Timestamp"` | `json:/event_id` | `json:/event/type`, else `json:/type` |
/// | `standard-webhooks` | `header = "webhook-signature", encoding = "base64", separator = " ", prefix = "v1,", key = "whsec", signed = "{id}.{timestamp}.{body}", timestamp = "header:webhook-timestamp"` | `header:webhook-id` | `json:/type` |
/// | `svix` | the same with `svix-*`, else with `webhook-*` | `header:svix-id` | `json:/type` |
///
/// ```
/// use std::time::Duration;
///
/// use doorbell::provider::{Hmac, Preset};
///
/// let repo = Hmac::preset(Preset::Github, ["new-secret", "old-secret"])?;
/// // The same, but for one setting.
/// let strict = Preset::Stripe.scheme().tolerance(Duration::from_secs(60));
/// let shop = Hmac::new(strict, "whsec_a-made-up-secret")?.named("stripe");
/// # Ok::<(), doorbell::provider::SchemeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preset {
    /// GitHub. Kinds are its event names (`push`), without the action.
    Github,
    /// Stripe. The key is the whole `whsec_…` as text.
    Stripe,
    /// Shopify. Kinds are topics: `orders/create`.
    Shopify,
    /// Slack: forms from commands and interactions, whose kind is `event`, and its events API. The latter takes no URL that does
    /// not echo its challenge, which a receiver does not: the [guide](super#slack) says what to do.
    Slack,
    /// Svix.
    Svix,
    /// Any sender that follows Standard Webhooks.
    StandardWebhooks,
}

named!(Preset, "a preset", {
    Github => "github",
    Stripe => "stripe",
    Shopify => "shopify",
    Slack => "slack",
    Svix => "svix",
    StandardWebhooks => "standard-webhooks",
});

impl Preset {
    /// How this sender signs.
    pub fn scheme(self) -> Scheme {
        match self {
            Self::Github => Scheme::new(HeaderName::from_static("x-hub-signature-256"))
                .prefix("sha256=")
                .id(header("x-github-delivery"))
                .kind(header("x-github-event")),
            Self::Stripe => Scheme::new(HeaderName::from_static("stripe-signature"))
                .separator(',')
                .prefix("v1=")
                .signed(Template::timestamp_and_body("", "."))
                .timestamp(TimestampSource::Signature("t".into()))
                .tolerance_past_only(Scheme::DEFAULT_TOLERANCE)
                .id(json(&["id"]))
                .kind(json(&["type"]))
                .occurred_at(json(&["created"])),
            Self::Shopify => shopify(
                "x-shopify-hmac-sha256",
                "x-shopify-webhook-id",
                "x-shopify-topic",
                "x-shopify-triggered-at",
            )
            .or(shopify(
                "shopify-hmac-sha256",
                "shopify-webhook-id",
                "shopify-topic",
                "shopify-triggered-at",
            )),
            Self::Slack => Scheme::new(HeaderName::from_static("x-slack-signature"))
                .prefix("v0=")
                .signed(Template::timestamp_and_body("v0:", ":"))
                .timestamp(TimestampSource::Header(HeaderName::from_static("x-slack-request-timestamp")))
                .id(json(&["event_id"]))
                .kind(json(&["event", "type"]))
                .kind(json(&["type"]))
                .occurred_at(json(&["event_time"])),
            Self::Svix => standard("svix-id", "svix-timestamp", "svix-signature").or(standard(
                "webhook-id",
                "webhook-timestamp",
                "webhook-signature",
            )),
            Self::StandardWebhooks => standard("webhook-id", "webhook-timestamp", "webhook-signature"),
        }
    }
}

fn shopify(signature: &'static str, id: &'static str, topic: &'static str, at: &'static str) -> Scheme {
    Scheme::new(HeaderName::from_static(signature))
        .encoding(Encoding::Base64)
        .id(header(id))
        .kind(header(topic))
        .occurred_at(header(at))
}

fn standard(id: &'static str, timestamp: &'static str, signature: &'static str) -> Scheme {
    Scheme::new(HeaderName::from_static(signature))
        .encoding(Encoding::Base64)
        .separator(' ')
        .prefix("v1,")
        .key(KeyDecoding::Whsec)
        .signed(Template::id_timestamp_and_body())
        .timestamp(TimestampSource::Header(HeaderName::from_static(timestamp)))
        .id(header(id))
        .kind(json(&["type"]))
        .occurred_at(json(&["timestamp"]))
}

fn header(name: &'static str) -> Field {
    Field::Header(HeaderName::from_static(name))
}

fn json(path: &[&str]) -> Field {
    Field::Json(path.iter().copied().collect())
}
