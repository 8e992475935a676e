//! What the four vendors' own rules and quirks come to.

use std::time::Duration;

use bytes::Bytes;
use doorbell::{
    provider::{
        Encoding, KeyDecoding, Kladana, Poster, Provider, Quable, Request, Secrets, Shareactor, Verdict,
    },
    testing::Sample,
};
use http::HeaderMap;

use super::{POSTER_SECRET, Timestamp, accepted, headers, now, proved, refused, sample, unsigned, verify};

#[test]
fn profiles() {
    for (profile, millis, body, fallback, path) in [
        (Kladana::new().profile(), 1500, r#"{"status":"ok"}"#, 0, true),
        (Kladana::new().insecure().profile(), 1500, r#"{"status":"ok"}"#, 0, false),
        (Poster::new("s").profile(), 1500, r#"{"status":"accept"}"#, 10, false),
        (Quable::new("s").profile(), 5000, "", 10, false),
        (Quable::path_secret_only().profile(), 5000, "", 10, true),
        (Quable::path_secret_only().insecure().profile(), 5000, "", 10, false),
        (Shareactor::new("s").profile(), 5000, "", 10, false),
        (Shareactor::new(Secrets::none()).profile(), 5000, "", 10, true),
    ] {
        assert_eq!(profile.deadline, Duration::from_millis(millis));
        assert_eq!((profile.success.status.as_u16(), profile.success.body), (200, body));
        assert_eq!(profile.dedupe_fallback, Duration::from_secs(fallback));
        assert_eq!(profile.needs_path_secret, path);
    }
}

#[test]
fn kladana_needs_the_path_secret() {
    let body = sample("kladana_entity_create");
    assert_eq!(refused(verify(&Kladana::new(), &body)), "missing_proof");
    accepted(verify(&Kladana::new().insecure(), &body));
}

#[test]
fn kladana_events_are_sliced_from_the_body() {
    let body = Bytes::from(sample("kladana_entity_multi_events"));
    let (_, events) = accepted(verify(&Kladana::new().insecure(), &body));
    for (at, event) in events.iter().enumerate() {
        let data = event.data.of(&body);
        let (_, alone) = accepted(verify(&Kladana::new().insecure(), &data));
        assert_eq!(alone.len(), 1);
        assert!(alone[0].data.is_whole());
        assert_eq!((&alone[0].kind, &alone[0].subject), (&event.kind, &event.subject));
        assert_eq!(alone[0].occurred_at, event.occurred_at);
        let text = std::str::from_utf8(&data).unwrap();
        for other in 3..=5 {
            assert_eq!(text.contains(&format!("0d000000000{other}")), other == at + 3);
        }
    }
}

#[test]
fn kladana_keeps_what_it_does_not_know() {
    let id = "75c8aa10-db16-11eb-0a80-0d0000000001";
    for (body, kind, subject) in [
        // Without auditContext; PROCESSED; `id` for `uid`.
        (
            format!(
                r#"{{"events":[{{"meta":{{"type":"product","href":"/entity/product/{id}"}},"action":"UPDATE"}}]}}"#
            ),
            "product.update",
            true,
        ),
        (
            format!(
                r#"{{"events":[{{"meta":{{"type":"async","href":"/async/{id}"}},"action":"PROCESSED"}}]}}"#
            ),
            "async.processed",
            true,
        ),
        (
            format!(
                r#"{{"auditContext":{{"id":"x","moment":7}},"events":[{{"meta":{{"type":"Starship","href":"https://evil.example/{id}?a"}},"action":"Launch","x":1}}],"y":[]}}"#
            ),
            "starship.launch",
            true,
        ),
        (
            format!(
                r#"{{"auditContext":null,"events":[{{"meta":{{"href":"/entity/demand/{id}"}},"action":"CREATE"}}]}}"#
            ),
            "demand.create",
            true,
        ),
        (r#"{"events":[{"meta":{"type":"product"},"action":"DELETE"}]}"#.into(), "product.delete", false),
        (
            r#"{"url": "http://www.example.com", "action": "CREATE", "entityType": "supply"}"#.into(),
            "supply.create",
            false,
        ),
        (r#"{"reportType":"ByShelf"}"#.into(), "stock.byshelf", false),
    ] {
        let (sender_id, events) = accepted(verify(&Kladana::new().insecure(), body.as_bytes()));
        assert_eq!(sender_id, None);
        assert_eq!(events[0].kind, kind);
        assert_eq!(events[0].subject.is_some(), subject, "{body}");
        assert_eq!(events[0].occurred_at, None, "{body}");
    }
}

#[test]
fn kladana_moments_are_moscow_time() {
    for (moment, utc) in [
        ("2026-01-23 10:44:23", Some("2026-01-23T07:44:23Z")),
        ("2026-01-23 10:44:23.123", Some("2026-01-23T07:44:23.123Z")),
        ("2026-01-01 01:00:00", Some("2025-12-31T22:00:00Z")),
        ("2026-01-23T10:44:23+05:00", Some("2026-01-23T05:44:23Z")),
        ("yesterday", None),
        ("9999-12-31 23:59:59.999999999", Some("9999-12-31T20:59:59.999Z")),
        ("-9999-01-01 00:00:00", None),
    ] {
        let body = format!(
            r#"{{"auditContext":{{"moment":"{moment}"}},"events":[{{"meta":{{"type":"a"}},"action":"b"}}]}}"#
        );
        let (_, events) = accepted(verify(&Kladana::new().insecure(), body.as_bytes()));
        assert_eq!(events[0].occurred_at, utc.and_then(Timestamp::parse_rfc3339), "{moment}");
    }
}

#[test]
fn kladana_quarantines_what_it_can_not_read() {
    for (body, reason) in [
        ("", "not a JSON object"),
        (r#"{"events":[]}"#, "empty"),
        (r#"{"events":{}}"#, "not a list"),
        (r#"{"events":[1]}"#, "events[0]"),
        (
            r#"{"events":[{"meta":{"type":"a"},"action":"b"},{"meta":{"type":"a"}}]}"#,
            "`events[1]` has no `action`",
        ),
        (r#"{"events":[{"meta":{},"action":"b"}]}"#, "`events[0].meta`"),
        (r#"{"events":[{"meta":{"type":"a"},"action":"b"}],"events":[]}"#, "duplicate field"),
        ("{\"a\":\"\u{0}\"}", "control character"),
    ] {
        let verdict = verify(&Kladana::new().insecure(), body.as_bytes());
        let Ok(Verdict::Quarantine(unparsable)) = verdict else { panic!("{body}: {verdict:?}") };
        assert!(unparsable.reason.contains(reason), "{body}: {unparsable}");
    }
}

#[test]
fn quable_compares_the_whole_authorization() {
    let body = sample("quable_media_update");
    let quable = Quable::new(["Bearer new", "Bearer old"]);
    for (value, reason) in [
        (Some("Bearer new"), None),
        (Some("Bearer old"), None),
        (Some("Bearer ol"), Some("wrong_proof")),
        (Some("bearer old"), Some("wrong_proof")),
        (Some(""), Some("wrong_proof")),
        (Some("Bearer \u{e9}"), Some("wrong_proof")),
        (None, Some("missing_proof")),
    ] {
        let headers = value.map(|value| headers(&[("authorization", value)])).unwrap_or_default();
        // A right path secret does not stand in for it.
        let verdict = quable.verify(&proved(&headers, &body), now());
        assert_eq!(verdict.err().map(|refusal| refusal.reason()), reason, "{value:?}");
    }
    assert_eq!(refused(verify(&Quable::new(Secrets::none()), &body)), "missing_proof");
    assert_eq!(refused(verify(&Quable::new("a").insecure(), &body)), "missing_proof");
    accepted(verify(&Quable::path_secret_only().insecure(), &body));
}

#[test]
fn quable_quarantines_what_names_no_event() {
    let quable = Quable::path_secret_only().insecure();
    for (body, id) in [
        ("[]", None),
        (r#"{"uuid":"u"}"#, Some(unsigned("u"))),
        (r#"{"uuid":"u","code":{}}"#, Some(unsigned("u"))),
    ] {
        let verdict = verify(&quable, body.as_bytes());
        let Ok(Verdict::Quarantine(unparsable)) = verdict else { panic!("{body}: {verdict:?}") };
        assert_eq!(unparsable.sender_id, id, "{body}");
    }
    let (id, events) =
        accepted(verify(&quable, br#"{"code":"Teapot.Boil","resource":7,"created_at":0,"uuid":5}"#));
    assert_eq!(
        (id, events[0].kind.as_str(), &events[0].subject),
        (Some(unsigned("5")), "teapot.boil", &None)
    );
}

fn poster_body(fields: &str, signed: &str) -> String {
    use md5::{Digest as _, Md5};
    let verify = hex::encode(Md5::digest(format!("{signed};{POSTER_SECRET}")));
    format!(r#"{{{fields},"verify":"{verify}"}}"#)
}

#[test]
fn poster_signs_texts_as_they_stand() {
    let poster = Poster::new(POSTER_SECRET);
    for (fields, signed, kind) in [
        (
            r#""account":"a","object":"Loyalty Rule","object_id":7,"action":"changed","time":1"#,
            "a;Loyalty Rule;7;changed;1",
            "loyalty_rule.changed",
        ),
        (
            r#""account":"a","object":"o","object_id":90071992547409931234567890,"action":"x","time":1"#,
            "a;o;90071992547409931234567890;x;1",
            "o.x",
        ),
        (r#""account":"a","object":"o","object_id":1.50,"action":"x","time":1"#, "a;o;1.50;x;1", "o.x"),
        // `data` is the one field that may hold the separator; an empty one counts as given, or not.
        (
            r#""account":"a","object":"o","object_id":1,"action":"x","time":1,"data":"a;b""#,
            "a;o;1;x;a;b;1",
            "o.x",
        ),
        (r#""account":"a","object":"o","object_id":1,"action":"x","time":1,"data":"""#, "a;o;1;x;;1", "o.x"),
        (r#""account":"a","object":"o","object_id":1,"action":"x","time":1,"data":"""#, "a;o;1;x;1", "o.x"),
        (
            r#""account":"a","object":"o","object_id":1,"action":"x","time":1,"data":12.0"#,
            "a;o;1;x;12.0;1",
            "o.x",
        ),
    ] {
        let (_, events) = accepted(verify(&poster, poster_body(fields, signed).as_bytes()));
        assert_eq!(events[0].kind, kind, "{fields}");
    }
}

#[test]
fn poster_refuses_what_proves_nothing() {
    let poster = Poster::new(POSTER_SECRET);
    let field = |object_id: &str| {
        format!(r#""account":"a","object":"o","object_id":{object_id},"action":"x","time":1"#)
    };
    for (body, reason) in [
        // `1;x` in the id and `x` in the action have the same signature as `1` and `x;x`.
        (poster_body(&field(r#""1;x""#), "a;o;1;x;x;1"), "ambiguous"),
        (poster_body(&field("null"), "a;o;;x;1"), "unreadable"),
        (poster_body(&field("[1]"), "a;o;Array;x;1"), "unreadable"),
        (poster_body(&field("true"), "a;o;1;x;1"), "unreadable"),
        (poster_body(&format!(r#"{},"object_id":1"#, field("1")), "a;o;1;x;1"), "unreadable"),
        (poster_body(&format!(r#"{},"data":{{}}"#, field("1")), "a;o;1;x;Array;1"), "unreadable"),
        (format!(r#"{{{},"verify":"0e830400451993494058024219903391"}}"#, field("1")), "wrong_proof"),
        (format!(r#"{{{},"verify":"0"}}"#, field("1")), "malformed_proof"),
        (format!(r#"{{{},"verify":0}}"#, field("1")), "malformed_proof"),
        (format!(r#"{{{},"verify":""}}"#, field("1")), "malformed_proof"),
        (format!(r#"{{{},"verify":null}}"#, field("1")), "missing_proof"),
        (String::new(), "unreadable"),
        ("[]".into(), "unreadable"),
        ("{".into(), "unreadable"),
        ("account=a".into(), "unreadable"),
        ("account=a&account=b".into(), "unreadable"),
        ("account=a&object=o&object_id=1&action=x&time=1".into(), "missing_proof"),
    ] {
        assert_eq!(refused(verify(&poster, body.as_bytes())), reason, "{body}");
    }
    assert_eq!(
        refused(verify(&Poster::new(""), poster_body(&field("1"), "a;o;1;x;1").as_bytes())),
        "wrong_proof"
    );
}

#[test]
fn poster_knows_a_repetition_by_what_is_signed() {
    let poster = Poster::new(POSTER_SECRET);
    let id = |body: &str| accepted(verify(&poster, body.as_bytes())).0.unwrap().value;
    let plain = r#""account":"a","object":"o","object_id":1,"action":"x","time":1"#;
    let first = id(&poster_body(plain, "a;o;1;x;1"));
    for same in [
        r#""time":"1","account":"a","object":"o","object_id":"1","action":"x","account_number":"other""#
            .to_owned(),
        format!(r#"{plain},"data":"""#),
        format!(r#"{plain},"data":null"#),
    ] {
        assert_eq!(id(&poster_body(&same, "a;o;1;x;1")), first, "{same}");
    }
    let form = "account=a&object=o&object_id=1&action=x&time=1&verify=";
    let verify = poster_body(plain, "a;o;1;x;1").rsplit('"').nth(1).unwrap().to_owned();
    assert_eq!(id(&format!("{form}{verify}")), first);
    let later = r#""account":"a","object":"o","object_id":1,"action":"x","time":2"#;
    assert_ne!(id(&poster_body(later, "a;o;1;x;2")), first);
    // A new secret does not make a repetition another delivery.
    let rotating = Poster::new(["new", POSTER_SECRET]);
    let (sender_id, _) = accepted(super::verify(&rotating, poster_body(plain, "a;o;1;x;1").as_bytes()));
    assert_eq!(sender_id.unwrap().value, first);
}

#[test]
fn shareactor_takes_any_usual_form_of_its_signature() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let secret = "5b1f0c9d2e8a47f6a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";
    let body = sample("shareactor_event_order_created_inferred");
    let digest = |key: &[u8]| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(&body);
        mac.finalize().into_bytes()
    };
    let as_text = digest(secret.as_bytes());
    let as_hex = digest(&hex::decode(secret).unwrap());
    let base64 = |bytes: &[u8]| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);

    let default = Shareactor::new(["other", secret]).require_signature(true);
    let check = |shareactor: &Shareactor, name: &str, value: &str| {
        shareactor.verify(&Request::new(&headers(&[(name, value)]), &body), now())
    };
    for right in [
        hex::encode(as_text),
        hex::encode_upper(as_text),
        format!("sha256={}", hex::encode(as_text)),
        base64(&as_text),
        format!("sha256={}", base64(&as_text)),
    ] {
        let (sender_id, _) = accepted(check(&default, "x-share-signature", &right));
        assert!(sender_id.unwrap().signed, "{right}");
        assert_eq!(refused(check(&default, "x-kvass-signature", &right)), "missing_proof");
        let other = default.clone().header("x-kvass-signature".parse().unwrap());
        accepted(check(&other, "x-kvass-signature", &right));
    }
    let only_base64 = default.clone().encoding(Encoding::Base64);
    accepted(check(&only_base64, "x-share-signature", &base64(&as_text)));
    assert_eq!(refused(check(&only_base64, "x-share-signature", &hex::encode(as_text))), "malformed_proof");

    assert_eq!(refused(check(&default, "x-share-signature", &hex::encode(as_hex))), "wrong_proof");
    let hex_key = Shareactor::new(secret).key(KeyDecoding::Hex).unwrap();
    accepted(check(&hex_key, "x-share-signature", &hex::encode(as_hex)));
    let error = Shareactor::new(["00", "no hex"]).key(KeyDecoding::Hex).unwrap_err().to_string();
    assert!(error.contains("number 2") && !error.contains("no hex"), "{error}");
}

#[test]
fn shareactor_path_secret_stands_in_for_a_missing_signature_only() {
    let body = sample("shareactor_event_order_created_inferred");
    let none = HeaderMap::new();
    let shareactor = Shareactor::new("secret");
    let strict = shareactor.clone().require_signature(true);
    let (sender_id, _) = accepted(shareactor.verify(&proved(&none, &body), now()));
    assert!(!sender_id.unwrap().signed);
    assert_eq!(refused(strict.verify(&proved(&none, &body), now())), "missing_proof");
    assert_eq!(refused(shareactor.verify(&Request::new(&none, &body), now())), "missing_proof");
    for (value, reason) in [
        ("", "malformed_proof"),
        ("sha256=", "malformed_proof"),
        (&"0".repeat(64), "wrong_proof"),
        ("\u{e9}", "malformed_proof"),
    ] {
        let headers = headers(&[("x-share-signature", value)]);
        assert_eq!(refused(shareactor.verify(&proved(&headers, &body), now())), reason, "{value}");
        assert!(shareactor.verify(&proved(&headers, b""), now()).is_err(), "{value}");
    }
    // Without a secret only the path counts, and an id is never taken for signed.
    let path_only = Shareactor::new(Secrets::none());
    let headers = headers(&[("x-share-signature", "anything")]);
    let (sender_id, _) = accepted(path_only.verify(&proved(&headers, &body), now()));
    assert!(!sender_id.unwrap().signed);
    assert_eq!(refused(path_only.verify(&Request::new(&headers, &body), now())), "missing_proof");
}

#[test]
fn shareactor_answers_its_verification() {
    let strict = Shareactor::new("secret").require_signature(true);
    for empty in ["", " \r\n"] {
        assert_eq!(verify(&strict, empty.as_bytes()), Ok(Verdict::Test));
    }
    assert_eq!(refused(verify(&strict, b"{}")), "missing_proof");
    let shareactor = Shareactor::new("secret");
    for probe in ["{}", " { } ", ""] {
        assert_eq!(shareactor.verify(&proved(&HeaderMap::new(), probe.as_bytes()), now()), Ok(Verdict::Test));
    }
    let verdict = shareactor.verify(&proved(&HeaderMap::new(), b"{\"a\":1}"), now());
    assert!(matches!(verdict, Ok(Verdict::Quarantine(_))));
}

#[test]
fn samples_verify_and_repeat() {
    let secret = doorbell::provider::Secret::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    for &sample in Sample::ALL {
        use doorbell::{
            provider::Hmac,
            testing::{Sender, SignError},
        };
        let provider: Box<dyn Provider> = match sample.sender() {
            Sender::Kladana => Box::new(Kladana::new()),
            Sender::Quable => Box::new(Quable::new(secret.clone())),
            Sender::Poster => Box::new(Poster::new(secret.clone())),
            Sender::Shareactor => Box::new(Shareactor::new(secret.clone()).require_signature(true)),
            Sender::Preset(preset) => Box::new(Hmac::preset(preset, secret.clone()).unwrap()),
            other => panic!("{other:?}"),
        };
        let verify = |at: Timestamp, unique| {
            let request = sample.request(Some(&secret), at, unique).unwrap();
            let mut seen = request.as_request();
            seen.path_secret_matched = sample.sender() == Sender::Kladana;
            provider.verify(&seen, at).unwrap_or_else(|refusal| panic!("{sample}: {refusal}"))
        };
        if matches!(sample, Sample::PosterTest | Sample::PosterTestForm | Sample::ShareactorVerify) {
            assert_eq!(verify(now(), 1), Verdict::Test, "{sample}");
            continue;
        }
        let (first, events) = accepted(Ok(verify(now(), 1)));
        assert!(first.is_some(), "{sample}");
        assert_eq!(events.len(), if sample == Sample::KladanaSeveral { 3 } else { 1 }, "{sample}");
        for event in &events {
            assert_ne!(event.kind, "event", "{sample}");
            let known = provider.known_kinds();
            assert!(known.is_empty() || event.kind.contains('.'), "{sample}");
        }
        assert_eq!(accepted(Ok(verify(now(), 1))).0, first, "{sample}");
        assert_ne!(accepted(Ok(verify(now(), 2))).0, first, "{sample}");
        let unsigned = sample.request(None, now(), 1);
        let needs_secret = !matches!(sample.sender(), Sender::Kladana | Sender::Quable | Sender::Shareactor);
        assert_eq!(matches!(unsigned, Err(SignError::NoSecret)), needs_secret, "{sample}");
    }
}

#[test]
fn a_body_of_ones_own_is_signed() {
    use doorbell::{provider::Secret, testing::Sender};
    let secret = Secret::from(POSTER_SECRET);
    let poster = Poster::new(POSTER_SECRET);
    let bodies = [
        r#"{"account":"a","object":"o","verify":"old","object_id":1.10,"action":"x","time":1,"data":"{}"}"#,
        "account=a&object=o&verify=old&object_id=1&action=x&time=1&data=%7B%7D",
    ];
    for body in bodies {
        let request = Sender::Poster.sign(Some(&secret), now(), 1, body.into()).unwrap();
        accepted(poster.verify(&request.as_request(), now()));
    }
    let error = Sender::Poster.sign(Some(&secret), now(), 1, b"{}".into()).unwrap_err();
    assert!(error.to_string().contains("`account` is missing"), "{error}");
}

/// An empty secret is one that nothing matches: it does not make another proof do.
#[test]
fn an_empty_secret_lets_nobody_in() {
    let (body, none) = (sample("quable_media_update"), HeaderMap::new());
    let empty = headers(&[("authorization", ""), ("x-share-signature", "")]);
    for headers in [&none, &empty] {
        for quable in [Quable::new(""), Quable::new("").insecure()] {
            let request = Request { path_secret_matched: true, ..Request::new(headers, &body) };
            refused(quable.verify(&request, now()));
        }
        let open = Shareactor::new("");
        refused(open.verify(&Request::new(headers, &body), now()));
        let demanding = Shareactor::new(Secrets::none()).require_signature(true);
        let request = Request { path_secret_matched: true, ..Request::new(headers, &body) };
        refused(demanding.verify(&request, now()));
        refused(Poster::new("").verify(&Request::new(headers, &body), now()));
    }
    let forged = headers(&[("x-share-signature", &"0".repeat(64))]);
    let request = Request { path_secret_matched: true, ..Request::new(&forged, &body) };
    assert_eq!(refused(Shareactor::new("").verify(&request, now())), "wrong_proof");
}
