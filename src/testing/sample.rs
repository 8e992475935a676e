//! A request of each kind that a sender makes.

use serde_json::json;

use super::{
    Message, Sender, kladana,
    made_up::{number, object_id},
    poster, quable, shareactor, sign,
};
use crate::{
    clock::Timestamp,
    provider::{Preset, Provider, Secret, SignError, SignedRequest, named::named},
};

/// A message with fixed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Who sends it.
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
        self.signed_by(&*self.sender().provider(secret)?, now, unique)
    }
}

impl Message for Sample {
    fn signed_by(
        &self,
        provider: &dyn Provider,
        now: Timestamp,
        unique: u128,
    ) -> Result<SignedRequest, SignError> {
        let json = |body: String| sign(provider, now, unique, body.into());
        let (number, seconds) = (number(unique), now.as_seconds());
        match self {
            Self::Kladana => kladana::notification("customerorder", "UPDATE")
                .updated_fields(["state"])
                .signed_by(provider, now, unique),
            Self::KladanaSeveral => (0..2)
                .fold(kladana::notification("product", "UPDATE"), |notification, _| {
                    notification.updated_fields(["salePrices"]).and("product", "UPDATE")
                })
                .updated_fields(["salePrices"])
                .signed_by(provider, now, unique),
            Self::KladanaStock => kladana::stock("all").signed_by(provider, now, unique),
            Self::Quable => quable::notification("document.update")
                .resource("document", "sku_blue_shirt")
                .updated_item("field", "color")
                .signed_by(provider, now, unique),
            Self::Poster => poster::notification("stock", "changed")
                .data(json!({
                    "type": 2, "element_id": number, "storage_id": 1, "value_relative": -1, "value_absolute": 23.5
                }))
                .account_number("401122")
                .signed_by(provider, now, unique),
            Self::PosterTest => poster::test().signed_by(provider, now, unique),
            Self::PosterTestForm => poster::test().form().signed_by(provider, now, unique),
            Self::Shareactor => shareactor::notification("order.created")
                .object(json!({
                    "_id": {"$oid": "65a1f00d0b1e2c3d4e5f6099"}, "human_id": "7KQ2ZD", "order_status": "CREATED",
                    "currency": "NOK", "total_amount": 349.0, "created": {"$date": now.as_millis()}
                }))
                .signed_by(provider, now, unique),
            Self::ShareactorVerify => Ok(SignedRequest::new("")),
            Self::Github => json(format!(
                r#"{{"ref":"refs/heads/main","after":"{unique:040x}","repository":{{"full_name":"demo/doorbell"}},"pusher":{{"name":"jane-roe"}}}}"#
            )),
            Self::Stripe => json(format!(
                r#"{{"id":"evt_{}","object":"event","created":{seconds},"type":"invoice.paid","data":{{"object":{{"id":"in_demo_1","amount_paid":4200}}}}}}"#,
                object_id(unique)
            )),
            Self::Shopify => json(format!(
                r##"{{"id":{},"name":"#{number}","total_price":"398.00"}}"##,
                820_982_911_000_000_000 + number
            )),
            Self::Slack => json(format!(
                r#"{{"type":"event_callback","team_id":"T1DC2JH3J","event_id":"Ev{}","event_time":{seconds},"event":{{"type":"message","channel":"C2147483705","user":"U2147483697","text":"Hello","ts":"{seconds}.000200"}}}}"#,
                object_id(unique).to_uppercase()
            )),
            Self::Svix | Self::StandardWebhooks => json(format!(
                r#"{{"type":"invoice.paid","timestamp":"{now}","data":{{"id":"in_demo_1","amount_paid":4200}}}}"#
            )),
        }
    }
}
