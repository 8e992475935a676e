//! What holds for every provider, whatever comes.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

#[path = "provider_properties/events.rs"]
mod events;

use std::sync::LazyLock;

use bytes::Bytes;
use doorbell::{
    clock::Timestamp,
    provider::{Hmac, Kladana, Mask, Poster, Provider, Quable, Request, Secret, Shareactor, Verdict},
    testing::{Sample, Sender, SignedRequest},
};
use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::{prelude::*, sample::select};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn now() -> Timestamp {
    Timestamp::from_seconds(1_767_168_300)
}

fn provider_of(sender: &Sender) -> Box<dyn Provider> {
    match sender {
        Sender::Kladana => Box::new(Kladana::new()),
        Sender::Quable => Box::new(Quable::new(SECRET)),
        Sender::Poster => Box::new(Poster::new(SECRET)),
        Sender::Shareactor => Box::new(Shareactor::new(SECRET)),
        Sender::Preset(preset) => Box::new(Hmac::preset(*preset, SECRET).unwrap()),
        other => panic!("{other:?}"),
    }
}

/// Every provider, as strict and as lenient as it can be set.
static PROVIDERS: LazyLock<Vec<Box<dyn Provider>>> = LazyLock::new(|| {
    let mut all: Vec<Box<dyn Provider>> = vec![
        Box::new(Kladana::new().insecure()),
        Box::new(Quable::path_secret_only().insecure()),
        Box::new(Poster::new(SECRET).accept_object_data(true)),
        Box::new(Shareactor::new(SECRET).require_signature(true)),
    ];
    all.extend(Sample::ALL.iter().map(|sample| provider_of(&sample.sender())));
    all
});

fn signed(sample: Sample, unique: u128) -> SignedRequest {
    sample.request(Some(&Secret::from(SECRET)), now(), unique).unwrap()
}

/// The samples whose signature covers the whole body.
fn body_signed() -> impl Strategy<Value = Sample> {
    select(
        &[
            Sample::Shareactor,
            Sample::Github,
            Sample::Stripe,
            Sample::Shopify,
            Sample::Slack,
            Sample::Svix,
            Sample::StandardWebhooks,
        ][..],
    )
}

/// The headers that hold what proves the request or is covered by the proof.
const PROOFS: &[&str] = &[
    "x-share-signature",
    "x-hub-signature-256",
    "stripe-signature",
    "x-shopify-hmac-sha256",
    "x-slack-signature",
    "x-slack-request-timestamp",
    "svix-id",
    "svix-timestamp",
    "svix-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
];

proptest! {
    #[test]
    fn one_changed_byte_of_a_signed_body_is_refused(
        sample in body_signed(),
        unique: u128,
        at: prop::sample::Index,
        flip in 1..=255_u8,
    ) {
        let mut request = signed(sample, unique);
        let at = at.index(request.body.len());
        request.body[at] ^= flip;
        // Not even a right path secret mends it.
        let refusal = provider_of(&sample.sender()).verify(&request.with_path_secret(), now()).unwrap_err();
        prop_assert_eq!(refusal.reason(), "wrong_proof");
    }

    #[test]
    fn a_longer_or_shorter_body_is_refused(sample in body_signed(), unique: u128, more: bool, byte: u8) {
        let mut request = signed(sample, unique);
        if more { request.body.push(byte) } else { request.body.pop(); }
        let refusal = provider_of(&sample.sender()).verify(&request.with_path_secret(), now()).unwrap_err();
        prop_assert_eq!(refusal.reason(), "wrong_proof");
    }

    #[test]
    fn one_changed_byte_of_a_proof_is_refused(
        sample in body_signed(),
        unique: u128,
        which: prop::sample::Index,
        at: prop::sample::Index,
        to in 0x20..=0xff_u8,
    ) {
        let mut request = signed(sample, unique);
        let proofs: Vec<_> = PROOFS.iter().filter(|name| request.headers.contains_key(**name)).collect();
        let name = **which.get(&proofs);
        let mut value = request.headers[name].as_bytes().to_vec();
        let at = at.index(value.len());
        prop_assume!(value[at] != to && to != 0x7f);
        value[at] = to;
        request.headers.insert(name, HeaderValue::from_bytes(&value).unwrap());
        let verdict = provider_of(&sample.sender()).verify(&request.with_path_secret(), now());
        prop_assert!(verdict.is_err(), "{name}: {value:?}");
    }

    /// The md5 does not cover everything: a change is refused, or it has changed nothing that is signed.
    #[test]
    fn a_change_of_posters_body_is_refused_or_changes_nothing(
        sample in select(&[Sample::Poster, Sample::PosterTest, Sample::PosterTestForm][..]),
        unique: u128,
        at: prop::sample::Index,
        to: u8,
    ) {
        let mut request = signed(sample, unique);
        let poster = Poster::new(SECRET);
        let before = poster.verify(&request.as_request(), now()).unwrap();
        let at = at.index(request.body.len());
        request.body[at] = to;
        if let Ok(after) = poster.verify(&request.as_request(), now()) {
            prop_assert_eq!(after, before, "{}", String::from_utf8_lossy(&request.body));
        }
    }

    #[test]
    fn both_ways_to_ask_agree(
        provider in 0..19_usize,
        sample in select(Sample::ALL),
        unique: u128,
        path_secret_matched: bool,
        cut: prop::sample::Index,
    ) {
        let Some(provider) = PROVIDERS.get(provider) else { panic!("{}", PROVIDERS.len()) };
        let mut signed = signed(sample, unique);
        if unique % 3 == 0 {
            signed.body.truncate(cut.index(signed.body.len() + 1));
        }
        let mut request = signed.as_request();
        request.path_secret_matched = path_secret_matched;
        let authentic = provider.authenticate(&request, now());
        let verdict = provider.verify(&request, now());
        prop_assert_eq!(authentic.as_ref().err(), verdict.as_ref().err());
        if let Ok(verdict) = verdict {
            prop_assert_eq!(Verdict::from(provider.parse(&request)), verdict);
        }
    }

    #[test]
    fn nothing_panics(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            json_like().prop_map(String::into_bytes),
            (select(Sample::ALL), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8))
                .prop_map(|(sample, edits)| {
                    let mut body = signed(sample, 1).body;
                    for (at, to) in edits {
                        if !body.is_empty() {
                            let at = at.index(body.len());
                            body[at] = to;
                        }
                    }
                    body
                }),
        ],
        query in prop::option::of(".{0,40}"),
        values in prop::collection::vec((select(PROOFS), prop_oneof![".{0,80}", "[0-9a-f]{64}", "-?[0-9]{1,20}"]), 0..6),
        path_secret_matched: bool,
        millis: i64,
    ) {
        let headers: HeaderMap = values
            .iter()
            .filter_map(|(name, value)| Some((HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).ok()?)))
            .collect();
        let request = Request { query: query.as_deref(), path_secret_matched, ..Request::new(&headers, &body) };
        let owned = Bytes::copy_from_slice(&body);
        for provider in PROVIDERS.iter() {
            let _ = provider.verify(&request, Timestamp::from_millis(millis));
            if let Ok(doorbell::provider::Parsed::Events { events, .. }) = provider.parse(&request) {
                prop_assert!(!events.is_empty());
                for event in events {
                    let data = event.data.of(&owned);
                    events::read_as_every_type(&event.kind, &data);
                }
            }
        }
        let _ = Mask::default().text(&body);
    }

    #[test]
    fn kladanas_events_are_cut_out_whole(
        events in prop::collection::vec(json_like(), 1..6),
        before in json_like(),
        after in json_like(),
        space in "[ \\t\\r\\n]{0,3}",
    ) {
        let event = |extra: &String| format!(r#"{{"action":"UPDATE","x":{extra},"meta":{{"type":"product"}}}}"#);
        let list: Vec<String> = events.iter().map(event).collect();
        let wrap = |list: &str| format!(r#"{space}{{"before":{before},"events"{space}:{space}[{list}],"after":{after}}}{space}"#);
        let body = Bytes::from(wrap(&format!("{space}{}{space}", list.join(&format!("{space},{space}")))));
        let verdict = Kladana::new().insecure().verify(&Request::new(&HeaderMap::new(), &body), now());
        let Ok(Verdict::Accept { events, .. }) = verdict else { panic!("{verdict:?} {body:?}") };
        prop_assert_eq!(events.len(), list.len());
        for (event, original) in events.iter().zip(&list) {
            let data = event.data.of(&body);
            let expected = if list.len() == 1 { body.clone() } else { Bytes::from(wrap(original)) };
            prop_assert_eq!(data, expected);
        }
    }

    #[test]
    fn no_neighbour_brings_a_token_to_light(
        before in prop::collection::vec(select(MASK_TOKENS), 0..12),
        after in prop::collection::vec(select(MASK_TOKENS), 0..12),
    ) {
        const TOKEN: &str = "401122:0a1b2c3d4e5f";
        let (before, after) = (before.concat(), after.concat());
        let json = serde_json::json!({"a": &before, "access_token": TOKEN, "b": &after}).to_string();
        let nested = serde_json::json!({"data": &json, "b": &after}).to_string();
        let encoded: String = form_urlencoded::byte_serialize(json.as_bytes()).collect();
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("a", &before).append_pair("data[access_token]", TOKEN).append_pair("data", &json);
        for payload in [json.clone(), nested, format!("data={encoded}"), form.finish()] {
            let shown = Mask::default().text(payload.as_bytes());
            prop_assert!(!shown.contains("0a1b2c3d4e5f"), "{}\n{}", payload, shown);
        }
        let _ = Mask::default().text(format!("{before}access_token{after}").as_bytes());
    }

    #[test]
    fn masking_hides_and_keeps(depth in 0..4_u32, secret in "[a-z0-9:]{8,20}", value in json_like()) {
        let mut text = format!(r#"{{"value":{value},"access_token":"{secret}"}}"#);
        for _ in 0..depth {
            text = format!(r#"{{"data":{}}}"#, serde_json::to_string(&text).unwrap());
        }
        let shown = Mask::default().text(text.as_bytes());
        prop_assert!(!shown.contains(&secret) || value.contains(&secret), "{}", shown);
        prop_assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{}", shown);
        let plain = format!(r#"{{"value":{value}}}"#);
        prop_assert_eq!(Mask::default().text(plain.as_bytes()), plain);
    }
}

/// What makes trouble for something that looks for keys in text.
const MASK_TOKENS: &[&str] = &[
    "access_token",
    "\"",
    "\\",
    "\\\"",
    "=",
    ":",
    "&",
    ",",
    "{",
    "}",
    "[",
    "]",
    " ",
    "\n",
    "%22",
    "%3A",
    "%5B",
    "%5D",
    "%25",
    "%5C",
    "+",
    "a",
    "7",
    "[REDACTED]",
    "\\u005f",
    "\u{e9}",
    "<",
    ">",
];

/// JSON of all kinds.
fn json_like() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,10})?",
        "[^\\p{C}]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(("[a-z_]{1,8}", inner), 0..4).prop_map(|members| {
                let mut seen = std::collections::HashSet::new();
                let members: Vec<_> = members
                    .iter()
                    .filter(|(name, _)| seen.insert(name.clone()))
                    .map(|(name, value)| format!("\"{name}\":{value}"))
                    .collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}
