//! What is known of each kind of sender, for a check: what it proves, how its repetitions are recognised, and what
//! it does when it gets no success reply.

use super::provider::{ProviderKind, ProviderSettings};
use crate::provider::Secrets;

/// What a sender does when it gets no success reply.
pub(super) struct Facts {
    /// In words.
    pub(super) failure: &'static str,
    /// Whether it goes on trying for hours.
    pub(super) survives_an_outage: bool,
}

impl ProviderKind {
    pub(super) const fn facts(self) -> Facts {
        let (survives_an_outage, failure) = match self {
            Self::Kladana => (
                false,
                "after an error three more tries follow at once, after a timeout none; then the event is gone for good. \
                 The webhook itself is switched off when more than 7 of 10 days brought only errors. Gaps are filled \
                 from Kladana's audit and its lists by `updated`",
            ),
            Self::Quable => (
                false,
                "two more tries follow, 5 minutes apart; the third failure in a row switches the webhook off until a \
                 person switches it on again, and what happens meanwhile is not sent. Nothing but Quable's own \
                 interface fills the gap",
            ),
            Self::Poster => (
                true,
                "15 more tries follow over 2 days, so an outage of hours costs nothing; a notification that is not \
                 answered may hold back newer ones",
            ),
            Self::Shareactor => (
                false,
                "no tries are documented, so take it for lost; gaps are filled from the sender's own list of events",
            ),
            Self::Github => (
                false,
                "it does not try again; a failed delivery can be sent again by hand or API for 3 days",
            ),
            Self::Stripe => (true, "it tries again for up to 3 days, at growing distances"),
            Self::Shopify => (
                true,
                "8 more tries follow within 4 hours; if all fail, the subscription is removed and must be made again",
            ),
            Self::Slack => (
                false,
                "three more tries follow: at once, after a minute, after 5 minutes; if nearly all fail for an hour, \
                 deliveries are switched off",
            ),
            Self::Svix => {
                (true, "it tries again for more than a day; after 5 days of failures the endpoint is off")
            }
            Self::StandardWebhooks => {
                (true, "the standard asks senders to try again over days; ask this one how it does")
            }
            Self::Hmac => {
                (false, "not known of this sender: take it for lost until its documents say otherwise")
            }
        };
        Facts { failure, survives_an_outage }
    }
}

impl ProviderSettings {
    /// Whether nothing at all proves where a request comes from.
    pub(super) fn unproved(&self) -> bool {
        let given = |secrets: &Secrets| !secrets.is_empty() || secrets.had_empty();
        !self.kind.signs() && !given(&self.path_secrets) && !given(&self.authorization)
    }

    /// What proves where a request comes from, in words.
    pub(super) fn proof(&self) -> String {
        let path = !self.path_secrets.is_empty();
        let and_path = if path { ", and the secret in the URL" } else { "" };
        match self.kind {
            _ if self.unproved() => "none".to_owned(),
            ProviderKind::Kladana => "the secret in the URL; the sender signs nothing".to_owned(),
            ProviderKind::Quable if self.authorization.is_empty() => {
                "the secret in the URL; the sender signs nothing".to_owned()
            }
            ProviderKind::Quable => {
                format!("the fixed Authorization value{and_path}; the sender signs nothing")
            }
            ProviderKind::Poster => {
                format!("an md5 over account, object, id, action, data and time with the secret{and_path}")
            }
            ProviderKind::Shareactor if self.secrets.is_empty() => {
                "the secret in the URL; signatures are not looked at, because no secret is given".to_owned()
            }
            ProviderKind::Shareactor if path && !self.require_signature => {
                "the secret in the URL, and the signature wherever there is one".to_owned()
            }
            _ => format!("an HMAC over what was sent{and_path}"),
        }
    }

    /// By what a repeated delivery is recognised, in words.
    pub(super) fn sender_id(&self) -> String {
        match self.kind {
            ProviderKind::Kladana => "`requestId` in the URL and the body".to_owned(),
            ProviderKind::Quable => "`uuid` in the body and the body".to_owned(),
            ProviderKind::Poster => {
                "all signed fields, so a repetition that carries a new `time` counts as new".to_owned()
            }
            ProviderKind::Shareactor => "`_id` in the body, and the body where it is not signed".to_owned(),
            ProviderKind::Github => "`X-GitHub-Delivery` and the body".to_owned(),
            ProviderKind::Stripe => "`id` in the body".to_owned(),
            ProviderKind::Shopify => "Shopify's id in the headers and the body".to_owned(),
            ProviderKind::Slack => "`event_id` in the body".to_owned(),
            ProviderKind::Svix | ProviderKind::StandardWebhooks => "the signed id in the headers".to_owned(),
            ProviderKind::Hmac => match &self.id {
                Some(id) => format!("`{id}`"),
                None => "nothing of its own, because no `id` is configured".to_owned(),
            },
        }
    }
}
