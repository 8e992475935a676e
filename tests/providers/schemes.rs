//! The generic family: schemes, their settings, and what is wrong with them.

use doorbell::provider::{
    Algorithm, Encoding, Hmac, KeyDecoding, Preset, Provider, Request,
    hmac::{Field, Scheme, SchemeError, Template, TimestampSource},
};

use super::{Timestamp, accepted, headers, now, refused, unsigned};

fn scheme() -> Scheme {
    Scheme::new("X-Signature".parse().unwrap())
        .prefix("sha256=")
        .signed("{timestamp}.{body}".parse().unwrap())
        .timestamp("header:X-Timestamp".parse().unwrap())
        .id("header:X-Event-Id".parse().unwrap())
        .kind("json:/data/type".parse().unwrap())
}

#[test]
fn every_algorithm_and_encoding() {
    for &algorithm in Algorithm::ALL {
        for &encoding in Encoding::ALL {
            let hmac = Hmac::new(scheme().algorithm(algorithm).encoding(encoding), "secret").unwrap();
            let signed = hmac.sign("7", now(), b"{}").unwrap();
            accepted(hmac.verify(&Request::new(&signed, b"{}"), now()));
            assert_eq!(refused(hmac.verify(&Request::new(&signed, b"{} "), now())), "wrong_proof");
            for &other in Algorithm::ALL.iter().filter(|&&other| other != algorithm) {
                let other = Hmac::new(scheme().algorithm(other).encoding(encoding), "secret").unwrap();
                assert_eq!(refused(other.verify(&Request::new(&signed, b"{}"), now())), "malformed_proof");
            }
        }
    }
}

#[test]
fn ids_kinds_and_times_are_read_where_the_scheme_says() {
    let hmac = Hmac::new(scheme().kind("header:X-Kind".parse().unwrap()), "secret").unwrap();
    let read = |body: &[u8], more: &[(&str, &str)]| {
        let mut all = hmac.sign("7", now(), body).unwrap();
        all.extend(headers(more));
        accepted(hmac.verify(&Request::new(&all, body), now()))
    };
    // The header is not signed; a missing kind is looked for in the next place.
    let (id, events) = read(br#"{"data":{"type":"a.b"}}"#, &[("x-kind", "other")]);
    assert_eq!((id, events[0].kind.as_str()), (Some(unsigned("7")), "a.b"));
    assert_eq!(read(b"a form=1", &[("x-kind", "other")]).1[0].kind, "other");
    assert_eq!(read(b"{\"data\":{\"type\":{}}}", &[]).1[0].kind, "event");

    let hmac = Hmac::new(
        Scheme::new("x-s".parse().unwrap())
            .id("json:/a~1b/0".parse().unwrap())
            .occurred_at("json:/at".parse().unwrap()),
        "secret",
    )
    .unwrap();
    for (at, expected) in [
        ("1767168300", Some(now())),
        ("1767168300000", Some(now())),
        ("\"2025-12-31T08:05:00Z\"", Some(now())),
        ("\"soon\"", None),
        ("-9223372036854775808", Some(Timestamp::from_millis(i64::MIN))),
        ("1e400", None),
    ] {
        let body = format!(r#"{{"a/b":[9007199254740993],"at":{at}}}"#);
        let signed = hmac.sign("", now(), body.as_bytes()).unwrap();
        let (id, events) = accepted(hmac.verify(&Request::new(&signed, body.as_bytes()), now()));
        let id = id.unwrap();
        assert_eq!((id.value.as_str(), id.signed), ("9007199254740993", true));
        assert_eq!(events[0].occurred_at, expected, "{at}");
    }
    let broken = b"{\"a/b\":[";
    let signed = hmac.sign("", now(), broken).unwrap();
    let verdict = hmac.verify(&Request::new(&signed, broken), now());
    assert!(matches!(verdict, Ok(doorbell::provider::Verdict::Quarantine(_))), "{verdict:?}");
}

#[test]
fn signed_times_are_held_against_now() {
    let seconds = now().as_seconds();
    let at = Timestamp::from_seconds;
    let both = Hmac::preset(Preset::Slack, "secret").unwrap();
    let past = Hmac::preset(Preset::Stripe, "secret").unwrap();
    for (now, both_ways, past_only) in [
        (at(seconds + 300), None, None),
        (at(seconds + 301), Some("stale_timestamp"), Some("stale_timestamp")),
        (at(seconds - 300), None, None),
        (at(seconds - 301), Some("stale_timestamp"), None),
        (at(i64::MAX), Some("stale_timestamp"), Some("stale_timestamp")),
        (Timestamp::from_millis(i64::MIN), Some("stale_timestamp"), None),
    ] {
        for (hmac, reason) in [(&both, both_ways), (&past, past_only)] {
            let signed = hmac.sign("1", at(seconds), b"{}").unwrap();
            let verdict = hmac.verify(&Request::new(&signed, b"{}"), now);
            assert_eq!(verdict.err().map(|refusal| refusal.reason()), reason, "{now} {hmac:?}");
        }
    }
    let any = Hmac::new(scheme().any_time(), "secret").unwrap();
    let signed = any.sign("1", at(0), b"{}").unwrap();
    accepted(any.verify(&Request::new(&signed, b"{}"), now()));
}

#[test]
fn extreme_and_foreign_times_are_refused_without_a_panic() {
    use hmac::{KeyInit as _, Mac as _};
    let scheme = Hmac::new(scheme(), "secret").unwrap();
    for (time, reason) in [
        ("-9223372036854775808", "stale_timestamp"),
        ("9223372036854775807", "stale_timestamp"),
        ("9223372036854775808", "malformed_proof"),
        ("1767168300.5", "malformed_proof"),
        ("soon", "malformed_proof"),
        ("", "malformed_proof"),
    ] {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(b"secret").unwrap();
        mac.update(format!("{time}.{{}}").as_bytes());
        let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
        let headers = headers(&[("x-signature", &signature), ("x-timestamp", time)]);
        for now in [now(), Timestamp::from_millis(i64::MIN), Timestamp::from_millis(i64::MAX)] {
            let verdict = scheme.verify(&Request::new(&headers, b"{}"), now);
            assert_eq!(refused(verdict), reason, "{time}");
        }
    }
}

#[test]
fn what_is_missing_is_named() {
    let hmac = Hmac::preset(Preset::Svix, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed = hmac.sign("msg_1", now(), b"{}").unwrap();
    accepted(hmac.verify(&Request::new(&signed, b"{}"), now()));
    for name in ["svix-id", "svix-timestamp", "svix-signature"] {
        let mut headers = signed.clone();
        headers.remove(name);
        let refusal = hmac.verify(&Request::new(&headers, b"{}"), now()).unwrap_err();
        assert_eq!(refusal.to_string(), format!("no `{name}` header in the request"));
    }
    // Svix' own names may be missing as long as all of the standard's are there.
    let standard = Hmac::preset(Preset::StandardWebhooks, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let signed = standard.sign("msg_1", now(), b"{}").unwrap();
    accepted(hmac.verify(&Request::new(&signed, b"{}"), now()));
}

#[test]
fn one_right_signature_in_a_list_suffices() {
    let hmac = Hmac::preset(Preset::Stripe, "secret").unwrap();
    let signed = hmac.sign("1", now(), b"{}").unwrap();
    let right = signed["stripe-signature"].to_str().unwrap();
    let wrong = "0".repeat(64);
    for (value, reason) in [
        (right.replace(",v1", &format!(", v0={wrong}, v1={wrong} ,v1")), None),
        (format!("{right},v1={wrong},v9=x"), None),
        (right.replace("v1=", "v0="), Some("malformed_proof")),
        (right.replace("t=", "u="), Some("missing_proof")),
        (right.split_once(',').unwrap().1.to_owned(), Some("missing_proof")),
        (format!("t=1,{right}"), Some("wrong_proof")),
    ] {
        let verdict = hmac.verify(&Request::new(&headers(&[("stripe-signature", &value)]), b"{}"), now());
        assert_eq!(verdict.err().map(|refusal| refusal.reason()), reason, "{value}");
    }
}

#[test]
fn whsec_means_what_the_scheme_says() {
    let stripe = Hmac::preset(Preset::Stripe, "whsec_not base64!").unwrap();
    assert_eq!(stripe.name(), "stripe");
    let error = Hmac::preset(Preset::Svix, ["whsec_MfKQ", "whsec_not base64!"]).unwrap_err();
    assert!(matches!(&error, SchemeError::Key(key) if key.number == 2), "{error}");
    assert!(!error.to_string().contains("not base64!"), "{error}");
    for empty in ["whsec_", ""] {
        assert!(Hmac::preset(Preset::Svix, empty).is_err(), "{empty}");
    }
    assert_eq!(Hmac::preset(Preset::Github, "").unwrap_err(), SchemeError::NoSecret);
    assert!(!format!("{stripe:?}").contains("base64!"));
}

#[test]
fn settings_read_what_they_print() {
    for text in
        ["{timestamp}.{body}", "{id}.{timestamp}.{body}", "v0:{timestamp}:{body}", "{body}", "a{body}b"]
    {
        assert_eq!(text.parse::<Template>().unwrap().to_string(), text);
    }
    for text in ["header:x-event-id", "json:/id", "json:/a~1b/0/~0"] {
        assert_eq!(text.parse::<Field>().unwrap().to_string(), text);
    }
    for text in ["header:x-timestamp", "signature:t"] {
        assert_eq!(text.parse::<TimestampSource>().unwrap().to_string(), text);
    }
    for (error, named) in [
        ("{body".parse::<Template>().unwrap_err(), "{body"),
        ("{time}.{body}".parse::<Template>().unwrap_err(), "{timestamp}"),
        ("X-Id".parse::<Field>().unwrap_err(), "header:<name>"),
        ("header:a b".parse::<Field>().unwrap_err(), "header's name"),
        ("json:id".parse::<Field>().unwrap_err(), "/data/id"),
        ("signature:".parse::<TimestampSource>().unwrap_err(), "signature:<item>"),
        ("sha3".parse::<Algorithm>().unwrap_err(), "sha256"),
        ("Hex".parse::<Encoding>().unwrap_err(), "hex"),
        ("utf-8".parse::<KeyDecoding>().unwrap_err(), "utf8"),
        ("gitlab".parse::<Preset>().unwrap_err(), "github"),
    ] {
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[test]
fn schemes_that_can_not_work_say_why() {
    let plain = || Scheme::new("x-s".parse().unwrap());
    for (scheme, named) in [
        (plain().signed("{timestamp}".parse().unwrap()), "{body}"),
        (plain().signed("{id}{body}".parse().unwrap()), "id = \"header:<name>\""),
        (plain().signed("{id}{body}".parse().unwrap()).id("json:/id".parse().unwrap()), "header"),
        (plain().signed("{timestamp}{body}".parse().unwrap()), "timestamp = "),
        (plain().timestamp("header:x-t".parse().unwrap()), "leaves it out"),
        (
            plain().signed("{timestamp}{body}".parse().unwrap()).timestamp("signature:t".parse().unwrap()),
            "separator",
        ),
        (plain().or(plain().signed("x".parse().unwrap())), "{body}"),
    ] {
        let error = Hmac::new(scheme, "secret").unwrap_err().to_string();
        assert!(error.contains(named), "{error}");
    }
}
