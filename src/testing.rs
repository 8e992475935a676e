//! For tests: requests as the senders really make them, and a receiver that takes them without a network and ends its
//! jobs without waiting.
//!
//! # Testing handlers
//!
//! Put your sources and routes into a function of their own: `main` gives it `Receiver::builder()` and serves what it
//! returns, tests give the same to a [`TestReceiver`]. A test is three lines then: start, send, run.
//!
#![cfg_attr(feature = "receiver", doc = "```")]
#![cfg_attr(not(feature = "receiver"), doc = "```ignore")]
//! use doorbell::{
//!     Builder, Event, HandlerError, Receiver,
//!     provider::{Poster, poster::Stock},
//!     testing::{JobState, Sample, TestReceiver},
//! };
//!
//! fn shop(builder: Builder) -> Builder {
//!     builder.source("cafe", Poster::new("the application's secret")).on("cafe", "stock.*", stock_changed)
//! }
//!
//! async fn stock_changed(Event(stock): Event<Stock>) -> Result<(), HandlerError> {
//!     println!("item {}: {} left", stock.element_id, stock.value_absolute);
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut doorbell = TestReceiver::start(shop(Receiver::builder())).await?;
//! doorbell.send("cafe", Sample::Poster).await;
//! assert_eq!(doorbell.run().await[0].state, JobState::Done);
//! # Ok(())
//! # }
//! ```
//!
//! What is tested is what will run: the ingress answers, the store recognises and enqueues, each attempt is the
//! workers' own. Targets alone are left out, so that no test posts to a real address: their jobs are done at once. And time
//! is made up, so two days of retries are over at once, and their times are the same in every
//! run. [`TestReceiver`] says more.
//!
//! # Content of your own
//!
//! [`Sample`]s are fixed. [`poster`], [`kladana`], [`quable`] and [`shareactor`] make notifications with the content that
//! a test is about, [`hmac`] does it for every sender that signs with an HMAC; a body as text or as
//! [`serde_json::Value`] will do, too. All of them are [`Message`]s, which are signed with the secret of whichever
//! source they are sent to.
//!
#![cfg_attr(feature = "receiver", doc = "```")]
#![cfg_attr(not(feature = "receiver"), doc = "```ignore")]
//! # use doorbell::{Receiver, provider::{Hmac, Kladana, Poster, Preset}, Source, testing::{self, TestReceiver}};
//! # use serde_json::json;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let builder = Receiver::builder()
//! #     .source("cafe", Poster::new("secret"))
//! #     .source("erp", Source::new(Kladana::new()).path_secret("0f1e2d3c"))
//! #     .source("repo", Hmac::preset(Preset::Github, "secret")?);
//! # let mut doorbell = TestReceiver::start(builder).await?;
//! let closed = testing::poster::notification("transaction", "closed").object_id(41873);
//! assert!(doorbell.send("cafe", closed).await.status.is_success());
//!
//! let renamed = testing::kladana::notification("product", "UPDATE").updated_fields(["name"]);
//! doorbell.send("erp", renamed.and("product", "DELETE")).await;
//!
//! let opened = testing::hmac::notification(json!({"action": "opened"})).header("x-github-event", "pull_request");
//! doorbell.send("repo", opened).await;
//!
//! let kinds: Vec<_> = doorbell.deliveries().iter().flat_map(|one| &one.events).map(|event| &event.kind).collect();
//! assert_eq!(kinds, ["transaction.closed", "product.update", "product.delete", "pull_request"]);
//! # Ok(())
//! # }
//! ```
//!
//! # Without a receiver
//!
//! ```
//! use doorbell::{clock::Timestamp, provider::{Poster, Provider, Verdict}, testing::{Message, Sample}};
//!
//! let poster = Poster::new("5d8e1c0f47a94b62b3f0a7c1e9d24680");
//! let now = Timestamp::from_seconds(1_767_168_200);
//! let request = Sample::Poster.signed_by(&poster, now, 1)?;
//! let verdict = poster.verify(&request.as_request(), now)?;
//! assert!(matches!(verdict, Verdict::Accept { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod hmac;
pub mod kladana;
mod made_up;
pub mod poster;
pub mod quable;
#[cfg(feature = "receiver")]
mod receiver;
mod sample;
pub mod shareactor;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

#[cfg(feature = "receiver")]
pub use self::receiver::{
    AttemptReport, DeliveryReport, EventReport, JobReport, Outcome, Reply, TestReceiver,
};
pub use self::sample::Sample;
#[cfg(feature = "receiver")]
pub use crate::journal::JobState;
pub use crate::provider::{SignError, SignedRequest};
use crate::{
    clock::Timestamp,
    provider::{Hmac, Kladana, Poster, Preset, Provider, Quable, Secret, Secrets, Shareactor},
};

/// Something that a sender sends: a [`Sample`], a vendor's notification with content of your own, a body as text, bytes
/// or JSON, or a [`SignedRequest`], which is sent as it is.
pub trait Message {
    /// The request by which this provider's sender would deliver it at `now`.
    ///
    /// `unique` makes what the message leaves open, the sender's id above all: another number makes another delivery,
    /// the same number the sender's repetition.
    ///
    /// # Errors
    /// See [`Provider::sign_request`].
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError>;
}

impl Message for SignedRequest {
    fn signed_by(&self, _: &dyn Provider, _: Timestamp, _: u128) -> Result<SignedRequest, SignError> {
        Ok(self.clone())
    }
}

impl<M: Message + ?Sized> Message for &M {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        (**self).signed_by(provider, now, unique)
    }
}

macro_rules! body_message {
    ($($body:ty: $bytes:expr),+ $(,)?) => {$(
        impl Message for $body {
            fn signed_by(
                &self,
                provider: &dyn Provider,
                now: Timestamp,
                unique: u128,
            ) -> Result<SignedRequest, SignError> {
                let bytes: fn(&Self) -> Vec<u8> = $bytes;
                sign(provider, now, unique, bytes(self))
            }
        }
    )+};
}
body_message! {
    str: |text| text.into(),
    String: |text| text.as_bytes().to_vec(),
    [u8]: <[u8]>::to_vec,
    Vec<u8>: Vec::clone,
    Bytes: |bytes| bytes.to_vec(),
    Value: |json| json.to_string().into(),
}

/// Who sends.
///
/// ```
/// use doorbell::{clock::Timestamp, provider::{Hmac, Preset, Provider}, testing::Sender};
///
/// let (secret, now) = ("a-made-up-secret", Timestamp::from_seconds(1_767_168_200));
/// let sender = Sender::of("github").ok_or("no sender of that name")?;
/// let request = sender.sign(Some(&secret.into()), now, 1, br#"{"ref":"refs/heads/main"}"#.to_vec())?;
/// assert!(Hmac::preset(Preset::Github, secret)?.verify(&request.as_request(), now).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sender {
    /// Kladana.
    Kladana,
    /// Quable.
    Quable,
    /// Poster.
    Poster,
    /// Shareactor.
    Shareactor,
    /// One of the generic family.
    Preset(Preset),
}

impl Sender {
    /// The sender that a provider's name in the configuration means; `None` for `hmac` and unknown ones.
    pub fn of(provider: &str) -> Option<Self> {
        Some(match provider {
            "kladana" => Self::Kladana,
            "quable" => Self::Quable,
            "poster" => Self::Poster,
            "shareactor" => Self::Shareactor,
            _ => Self::Preset(provider.parse().ok()?),
        })
    }

    /// A body of your own, signed and wrapped as this sender would. Poster's signature is put into the body.
    ///
    /// # Errors
    /// If a secret is needed and missing, or is not one of this sender's; if the body has no place for the signature.
    pub fn sign(
        &self,
        secret: Option<&Secret>,
        now: Timestamp,
        unique: u128,
        body: Vec<u8>,
    ) -> Result<SignedRequest, SignError> {
        sign(&*self.provider(secret)?, now, unique, body)
    }

    /// The provider of this sender, with one secret (Quable: its `Authorization`) or none.
    fn provider(&self, secret: Option<&Secret>) -> Result<Box<dyn Provider>, SignError> {
        let secrets: Secrets = secret.cloned().into_iter().collect();
        Ok(match self {
            Self::Kladana => Box::new(Kladana::new()),
            Self::Quable => Box::new(Quable::new(secrets)),
            Self::Poster => Box::new(Poster::new(secrets)),
            Self::Shareactor => Box::new(Shareactor::new(secrets)),
            Self::Preset(preset) => Box::new(Hmac::preset(*preset, secrets)?),
        })
    }
}

/// A body, signed and wrapped as this provider's sender would, under an id that follows from `unique`.
pub(crate) fn sign(
    provider: &dyn Provider,
    now: Timestamp,
    unique: u128,
    body: Vec<u8>,
) -> Result<SignedRequest, SignError> {
    let id = made_up::uuid(unique);
    let id = match preset_of(provider) {
        Some(Preset::Svix | Preset::StandardWebhooks) => format!("msg_{}", id.replace('-', "")),
        _ => id,
    };
    sign_under(provider, now, &id, body)
}

/// The same under this id.
fn sign_under(
    provider: &dyn Provider,
    now: Timestamp,
    id: &str,
    body: Vec<u8>,
) -> Result<SignedRequest, SignError> {
    let mut request = provider.sign_request(id, now, body)?;
    if let Some(preset) = preset_of(provider) {
        request.headers.extend(usual_headers(preset, now, id)?);
    }
    Ok(request)
}

/// The well-known sender that a provider is for: presets are named after theirs.
fn preset_of(provider: &dyn Provider) -> Option<Preset> {
    provider.name().parse().ok()
}

/// What a sender sets beside the signature.
fn usual_headers(preset: Preset, now: Timestamp, id: &str) -> Result<HeaderMap, SignError> {
    let now = now.to_string();
    let headers: &[(&'static str, &str)] = match preset {
        Preset::Github => &[
            ("user-agent", "GitHub-Hookshot/0a1b2c3"),
            ("accept", "*/*"),
            ("x-github-event", "push"),
            ("x-github-hook-id", "292430182"),
            ("x-github-hook-installation-target-type", "repository"),
        ],
        Preset::Stripe => &[
            ("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
            ("content-type", "application/json; charset=utf-8"),
        ],
        Preset::Shopify => &[
            ("user-agent", "Shopify-Captain-Hook"),
            ("x-shopify-topic", "orders/create"),
            ("x-shopify-shop-domain", "demo.myshopify.com"),
            ("x-shopify-api-version", "2026-07"),
            ("x-shopify-event-id", id),
            ("x-shopify-triggered-at", &now),
        ],
        Preset::Slack => &[("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")],
        Preset::Svix | Preset::StandardWebhooks => &[("user-agent", "Svix-Webhooks/1.40")],
    };
    headers
        .iter()
        .map(|&(name, value)| Ok((HeaderName::from_static(name), HeaderValue::from_str(value)?)))
        .collect()
}
