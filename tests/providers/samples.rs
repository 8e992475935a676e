//! What is read from each of the shared samples.

use doorbell::provider::{Kladana, Poster, Provider, Quable, Request, Shareactor, Verdict};
use http::HeaderMap;

use super::{POSTER_SECRET, Timestamp, accepted, now, proved, sample, unsigned, verify};

#[test]
fn kladana() {
    let moment = Timestamp::parse_rfc3339("2026-01-23T07:44:23Z");
    for (name, expected, at) in [
        ("kladana_entity_create", "product.create product/75c8aa10-db16-11eb-0a80-0d0000000001", moment),
        ("kladana_entity_delete", "product.delete product/75c8aa10-db16-11eb-0a80-0d0000000002", moment),
        (
            "kladana_entity_multi_events",
            "product.update product/75c8aa10-db16-11eb-0a80-0d0000000003, \
             product.update product/75c8aa10-db16-11eb-0a80-0d0000000004, \
             product.update product/75c8aa10-db16-11eb-0a80-0d0000000005",
            moment,
        ),
        (
            "kladana_entity_update_fields",
            "customerorder.update customerorder/4081aa10-f82b-11f0-0a80-047200060001",
            moment,
        ),
        ("kladana_entity_update_nodiff", "demand.update demand/b47caa10-99ba-11ee-0a80-02cf00220001", moment),
        ("kladana_stock_all", "stock.all ", None),
        ("kladana_stock_bystore", "stock.bystore ", None),
        // What a webhook's creation answers: taken leniently, as the vendor's own page shows such a form.
        ("kladana_webhook_created", "customerorder.update ", None),
    ] {
        let body = sample(name);
        let headers = HeaderMap::new();
        let request =
            Request { query: Some("requestId=640569eb-522d-427a%2D1&x"), ..proved(&headers, &body) };
        let (sender_id, events) = accepted(Kladana::new().verify(&request, now()));
        assert_eq!(sender_id, Some(unsigned("640569eb-522d-427a-1")), "{name}");
        let read: Vec<_> = events
            .iter()
            .map(|event| format!("{} {}", event.kind, event.subject.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(read.join(", "), expected, "{name}");
        assert!(events.iter().all(|event| event.occurred_at == at), "{name}");
    }
    for (name, reason) in [
        ("kladana_audit_list", "`events`"),
        ("kladana_api_error", "`events`"),
        ("kladana_report_stock_all_current", "not a JSON object"),
        ("kladana_report_stock_bystore_current", "not a JSON object"),
    ] {
        let verdict = Kladana::new().insecure().verify(
            &Request { query: Some("requestId=7"), ..Request::new(&HeaderMap::new(), &sample(name)) },
            now(),
        );
        let Ok(Verdict::Quarantine(unparsable)) = verdict else { panic!("{name}: {verdict:?}") };
        assert!(unparsable.reason.contains(reason), "{name}: {unparsable}");
        assert_eq!(unparsable.sender_id, Some(unsigned("7")), "{name}");
    }
}

#[test]
fn poster() {
    let poster = Poster::new(POSTER_SECRET);
    for (name, kind, subject, time) in [
        ("poster_application_added", "application.added", "application/77", 1_767_168_400),
        ("poster_client_payed_sum", "client_payed_sum.changed", "client_payed_sum/33", 1_767_168_900),
        ("poster_stock_changed", "stock.changed", "stock/512", 1_767_168_200),
        ("poster_transaction_closed", "transaction.closed", "transaction/41873", 1_767_168_000),
    ] {
        let (sender_id, events) = accepted(verify(&poster, &sample(name)));
        assert!(sender_id.unwrap().signed, "{name}");
        assert_eq!(events.len(), 1, "{name}");
        assert_eq!((events[0].kind.as_str(), events[0].subject.as_deref()), (kind, Some(subject)), "{name}");
        assert_eq!(events[0].occurred_at, Some(Timestamp::from_seconds(time)), "{name}");
        assert!(events[0].data.is_whole(), "{name}");
    }
    assert_eq!(verify(&poster, &sample("poster_test_action")), Ok(Verdict::Test));
    for name in ["poster_api_error_object", "poster_api_error_flat", "poster_api_dash_getTransaction"] {
        assert_eq!(super::refused(verify(&poster, &sample(name))), "unreadable", "{name}");
    }
}

#[test]
fn quable() {
    let quable = Quable::path_secret_only();
    for (name, id, kind, subject, at) in [
        (
            "quable_document_create_no_process",
            "0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f01",
            "document.create",
            Some("document/sku_new"),
            "2026-01-23T09:48:17Z",
        ),
        (
            "quable_document_update_nested",
            "0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f01",
            "document.update",
            Some("document/sku_blue_shirt"),
            "2026-01-23T09:48:17Z",
        ),
        (
            "quable_import_finish_inferred",
            "0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f09",
            "import.finish",
            None,
            "2026-01-23T10:00:00Z",
        ),
        (
            "quable_media_update",
            "0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f01",
            "media.update",
            Some("asset/packshot_01"),
            "2026-01-23T09:48:17Z",
        ),
    ] {
        let (sender_id, events) = accepted(quable.verify(&proved(&HeaderMap::new(), &sample(name)), now()));
        assert_eq!(sender_id, Some(unsigned(id)), "{name}");
        assert_eq!(events.len(), 1, "{name}");
        assert_eq!((events[0].kind.as_str(), events[0].subject.as_deref()), (kind, subject), "{name}");
        assert_eq!(events[0].occurred_at, Timestamp::parse_rfc3339(at), "{name}");
    }
}

#[test]
fn shareactor() {
    let shareactor = Shareactor::new("secret");
    let headers = HeaderMap::new();
    let body = sample("shareactor_event_order_created_inferred");
    let (sender_id, events) = accepted(shareactor.verify(&proved(&headers, &body), now()));
    assert_eq!(sender_id, Some(unsigned("65a1f00d0b1e2c3d4e5f6071")));
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].kind, "order.created");
    assert_eq!(events[0].subject.as_deref(), Some("order/65a1f00d0b1e2c3d4e5f6099"));
    assert_eq!(events[0].occurred_at, Some(Timestamp::from_seconds(1_767_168_000)));

    // The webhook itself is no event; a call of `/verify` might bring it. It is kept aside and answered with success.
    let body = sample("shareactor_webhook_created");
    let Ok(Verdict::Quarantine(unparsable)) = shareactor.verify(&proved(&headers, &body), now()) else {
        panic!()
    };
    assert!(unparsable.reason.contains("`kind`"), "{unparsable}");
}

#[test]
fn no_sample_shows_a_token() {
    let body = sample("poster_application_added");
    let shown = doorbell::provider::Mask::default().text(&body);
    assert!(!shown.contains("0a1b2c3d") && shown.contains("[REDACTED]"), "{shown}");
    assert!(serde_json::from_str::<serde_json::Value>(&shown).is_ok(), "{shown}");
    let other = sample("poster_stock_changed");
    assert_eq!(doorbell::provider::Mask::default().apply(&other), other);
}
