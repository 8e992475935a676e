//! Signatures that independent implementations agree on.

use std::collections::BTreeMap;

use doorbell::provider::{Hmac, Poster, Preset, Provider, Request, Verdict};
use serde::Deserialize;

use super::{Timestamp, accepted, headers, now, refused, verify};

#[derive(Deserialize)]
struct Vectors {
    poster: Cases<PosterCase>,
    hmac: Cases<HmacCase>,
}

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

#[derive(Deserialize)]
struct PosterCase {
    id: String,
    secret: String,
    content_type: String,
    body: String,
    expect: String,
}

#[derive(Deserialize)]
struct HmacCase {
    id: String,
    scheme: String,
    secret: String,
    headers: BTreeMap<String, String>,
    body: String,
    expect: String,
    now: Option<i64>,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("../vectors/signatures.json")).unwrap()
}

#[test]
fn poster() {
    for case in vectors().poster.cases {
        let headers = headers(&[("content-type", &case.content_type)]);
        let request = Request::new(&headers, case.body.as_bytes());
        let poster = Poster::new(case.secret.as_str());
        let verdict = poster.verify(&request, now());
        assert_eq!(verdict.is_ok(), poster.authenticate(&request, now()).is_ok(), "{}", case.id);
        let reason = match case.id.as_str() {
            "poster-neg-tampered-action" => Some("wrong_proof"),
            "poster-neg-missing-verify" => Some("missing_proof"),
            "poster-data-object" => Some("unreadable"),
            _ => None,
        };
        match (case.expect.as_str(), reason) {
            ("valid", None) if case.body.contains("test") => {
                assert_eq!(verdict, Ok(Verdict::Test), "{}", case.id);
            }
            ("valid", None) => {
                let (sender_id, events) = accepted(verdict);
                assert!(sender_id.unwrap().signed, "{}", case.id);
                assert_eq!(events.len(), 1, "{}", case.id);
            }
            ("invalid" | "configurable", Some(reason)) => assert_eq!(refused(verdict), reason, "{}", case.id),
            other => panic!("{}: {other:?}", case.id),
        }
        let other_secret = Poster::new("another secret");
        assert!(verify(&other_secret, case.body.as_bytes()).is_err(), "{}", case.id);
        let rotating = Poster::new(["another secret", &case.secret]);
        assert_eq!(
            rotating.authenticate(&request, now()),
            poster.authenticate(&request, now()),
            "{}",
            case.id
        );
        if case.expect == "configurable" {
            let (_, events) = accepted(verify(&poster.accept_object_data(true), case.body.as_bytes()));
            assert_eq!(events[0].kind, "incoming_order.added");
        }
    }
}

#[test]
fn hmac() {
    for case in vectors().hmac.cases {
        let preset: Preset = case.scheme.parse().unwrap();
        let pairs: Vec<_> =
            case.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let headers = headers(&pairs);
        let request = Request::new(&headers, case.body.as_bytes());
        let now = case.now.map_or_else(now, Timestamp::from_seconds);
        let verdict = Hmac::preset(preset, case.secret.as_str()).unwrap().verify(&request, now);
        let (sender_id, kind) = match case.id.as_str() {
            "standard-webhooks-sign" => (Some(("msg_p5jXN8AQM9LWM0D4loKWxJek", true)), "event"),
            "svix-sign" => (Some(("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", true)), "event"),
            "github-docs" | "slack-docs" => (None, "event"),
            "stripe-full" => (Some(("evt_demo_0001", true)), "invoice.paid"),
            "shopify-full" => (Some(("b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", false)), "orders/create"),
            "standard-webhooks-too-old" => {
                assert_eq!(refused(verdict), "stale_timestamp");
                continue;
            }
            "stripe-only-v0" => {
                assert_eq!(refused(verdict), "malformed_proof");
                continue;
            }
            other => panic!("{other}: no expectation"),
        };
        assert_eq!(case.expect, "valid", "{}", case.id);
        let (id, events) = accepted(verdict);
        assert_eq!(id.as_ref().map(|id| (id.value.as_str(), id.signed)), sender_id, "{}", case.id);
        assert_eq!(events[0].kind, kind, "{}", case.id);
        let wrong =
            if matches!(preset, Preset::Svix | Preset::StandardWebhooks) { "whsec_AAAA" } else { "other" };
        let other = Hmac::preset(preset, wrong).unwrap();
        assert_eq!(refused(other.verify(&request, now)), "wrong_proof", "{}", case.id);
        let rotating = Hmac::preset(preset, [wrong, &case.secret]).unwrap();
        assert!(rotating.verify(&request, now).is_ok(), "{}", case.id);
    }
}
