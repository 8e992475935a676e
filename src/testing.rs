//! Requests as the senders really make them: to try a receiver out, and for tests.
//!
//! ```
//! use doorbell::{clock::Timestamp, provider::{Poster, Provider, Secret, Verdict}, testing::Sample};
//!
//! let secret = Secret::from("5d8e1c0f47a94b62b3f0a7c1e9d24680");
//! let now = Timestamp::from_seconds(1_767_168_200);
//! let request = Sample::Poster.request(Some(&secret), now, 1)?;
//! let verdict = Poster::new(secret).verify(&request.as_request(), now)?;
//! assert!(matches!(verdict, Verdict::Accept { .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, InvalidHeaderValue, USER_AGENT},
};

use crate::{
    clock::Timestamp,
    provider::{Hmac, Preset, Request, SchemeError, Secret, named::named, poster, shareactor},
};

/// A request, ready to be sent or verified.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    /// The method: always `POST` as yet.
    pub method: Method,
    /// What the sender adds to the URL that it was given, without a question mark.
    pub query: Option<String>,
    /// The headers that the sender sets itself; `Host` and `Content-Length` are the client's business.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl SignedRequest {
    /// The request as a provider sees it, sent to a path without a secret.
    pub fn as_request(&self) -> Request<'_> {
        Request { query: self.query.as_deref(), ..Request::new(&self.headers, &self.body) }
    }

    /// The request as a provider sees it, sent to a path with the right secret.
    pub fn with_path_secret(&self) -> Request<'_> {
        Request { path_secret_matched: true, ..self.as_request() }
    }
}

/// What to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// Kladana: an order was updated.
    Kladana,
    /// Kladana: three products were updated, in one notification.
    KladanaSeveral,
    /// Kladana: stock levels changed.
    KladanaStock,
    /// Quable: a document was updated.
    Quable,
    /// Poster: a stock level changed.
    Poster,
    /// Poster: the dashboard's test, as JSON.
    PosterTest,
    /// Poster: the dashboard's test, as a form.
    PosterTestForm,
    /// Shareactor: an order was created.
    Shareactor,
    /// Shareactor: the call that verifies a webhook, empty and unsigned.
    ShareactorVerify,
    /// GitHub: a push.
    Github,
    /// Stripe: an invoice was paid.
    Stripe,
    /// Shopify: an order was created.
    Shopify,
    /// Slack: a message was posted.
    Slack,
    /// Svix: an invoice was paid.
    Svix,
    /// Standard Webhooks: the same.
    StandardWebhooks,
}

named!(Sample, "a sample", {
    Kladana => "kladana",
    KladanaSeveral => "kladana-several",
    KladanaStock => "kladana-stock",
    Quable => "quable",
    Poster => "poster",
    PosterTest => "poster-test",
    PosterTestForm => "poster-test-form",
    Shareactor => "shareactor",
    ShareactorVerify => "shareactor-verify",
    Github => "github",
    Stripe => "stripe",
    Shopify => "shopify",
    Slack => "slack",
    Svix => "svix",
    StandardWebhooks => "standard-webhooks",
});

impl Sample {
    /// The provider that sends it.
    pub const fn sender(self) -> Sender {
        match self {
            Self::Kladana | Self::KladanaSeveral | Self::KladanaStock => Sender::Kladana,
            Self::Quable => Sender::Quable,
            Self::Poster | Self::PosterTest | Self::PosterTestForm => Sender::Poster,
            Self::Shareactor | Self::ShareactorVerify => Sender::Shareactor,
            Self::Github => Sender::Preset(Preset::Github),
            Self::Stripe => Sender::Preset(Preset::Stripe),
            Self::Shopify => Sender::Preset(Preset::Shopify),
            Self::Slack => Sender::Preset(Preset::Slack),
            Self::Svix => Sender::Preset(Preset::Svix),
            Self::StandardWebhooks => Sender::Preset(Preset::StandardWebhooks),
        }
    }

    /// The sample as its sender would send it now. `unique` makes its id: another number makes another delivery, the
    /// same number the sender's repetition.
    ///
    /// `secret` is what the sender signs with (Quable: its `Authorization`); those that can do without do.
    ///
    /// # Errors
    /// See [`Sender::sign`].
    pub fn request(
        self,
        secret: Option<&Secret>,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        let secret = if self == Self::ShareactorVerify { None } else { secret };
        self.sender().sign(secret, now, unique, body::of(self, now, unique))
    }
}

/// Who sends.
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
        let id = body::uuid(unique);
        let mut request =
            SignedRequest { method: Method::POST, query: None, headers: HeaderMap::new(), body };
        let headers = &mut request.headers;
        match self {
            Self::Kladana => {
                request.query = Some(format!("requestId={id}"));
                headers.insert(
                    USER_AGENT,
                    from_static("Kladana webhook touch agent 2.0 (/https://www.kladana.in)"),
                );
                headers.insert(CONTENT_TYPE, from_static("application/json; charset=UTF-8"));
                headers.insert(CONNECTION, from_static("close"));
            }
            Self::Quable => {
                headers.insert(CONTENT_TYPE, from_static("application/json"));
                if let Some(secret) = secret {
                    let mut value = HeaderValue::from_bytes(secret.expose())?;
                    value.set_sensitive(true);
                    headers.insert(AUTHORIZATION, value);
                }
            }
            Self::Poster => {
                let secret = secret.ok_or(SignError::NoSecret)?;
                let is_json = request.body.trim_ascii_start().first() == Some(&b'{');
                let content_type =
                    if is_json { "application/json" } else { "application/x-www-form-urlencoded" };
                headers.insert(CONTENT_TYPE, from_static(content_type));
                let verify = poster::sign(&request.body, secret).map_err(SignError::Body)?;
                request.body = body::with_verify(&request.body, &verify).map_err(SignError::Body)?;
            }
            Self::Shareactor => {
                if !request.body.is_empty() {
                    headers.insert(CONTENT_TYPE, from_static("application/json"));
                }
                if let Some(signature) = secret.and_then(|secret| shareactor::sign(&request.body, secret)) {
                    headers.insert("x-share-signature", HeaderValue::from_str(&signature)?);
                }
            }
            Self::Preset(preset) => {
                let secret = secret.ok_or(SignError::NoSecret)?;
                let signer = Hmac::preset(*preset, secret.clone())?;
                headers.insert(CONTENT_TYPE, from_static("application/json"));
                headers.extend(signer.sign(&signed_id(*preset, &id), now, &request.body)?);
                for (name, value) in usual_headers(*preset, now, &id) {
                    headers.insert(name, HeaderValue::from_str(&value)?);
                }
            }
        }
        Ok(request)
    }
}

/// Why a request can't be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// This sender signs, and there is no secret to sign with.
    #[error("this sender signs its requests: give the secret that it shares with the receiver")]
    NoSecret,
    /// The secret is not one of this sender's.
    #[error(transparent)]
    Secret(#[from] SchemeError),
    /// The body is not one of this sender's.
    #[error("the body can't be signed as this sender would: {0}")]
    Body(String),
    /// Something can't stand in a header.
    #[error("the secret or the id holds characters that can't stand in a header")]
    Header,
}

impl From<InvalidHeaderValue> for SignError {
    fn from(_: InvalidHeaderValue) -> Self {
        Self::Header
    }
}

fn signed_id(preset: Preset, id: &str) -> String {
    match preset {
        Preset::Svix | Preset::StandardWebhooks => format!("msg_{}", id.replace('-', "")),
        _ => id.to_owned(),
    }
}

/// What a sender sets beside the signature.
fn usual_headers(preset: Preset, now: Timestamp, id: &str) -> Vec<(HeaderName, String)> {
    let header = |name: &'static str, value: &str| (HeaderName::from_static(name), value.to_owned());
    match preset {
        Preset::Github => vec![
            header("user-agent", "GitHub-Hookshot/0a1b2c3"),
            header("accept", "*/*"),
            header("x-github-event", "push"),
            header("x-github-hook-id", "292430182"),
            header("x-github-hook-installation-target-type", "repository"),
        ],
        Preset::Stripe => vec![
            header("user-agent", "Stripe/1.0 (+https://stripe.com/docs/webhooks)"),
            header("content-type", "application/json; charset=utf-8"),
        ],
        Preset::Shopify => vec![
            header("user-agent", "Shopify-Captain-Hook"),
            header("x-shopify-topic", "orders/create"),
            header("x-shopify-shop-domain", "demo.myshopify.com"),
            header("x-shopify-api-version", "2026-07"),
            header("x-shopify-event-id", id),
            header("x-shopify-triggered-at", &now.to_string()),
        ],
        Preset::Slack => vec![header("user-agent", "Slackbot 1.0 (+https://api.slack.com/robots)")],
        Preset::Svix | Preset::StandardWebhooks => vec![header("user-agent", "Svix-Webhooks/1.40")],
    }
}

fn from_static(value: &'static str) -> HeaderValue {
    HeaderValue::from_static(value)
}
