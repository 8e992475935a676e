//! Shareactor's ways: two names of one key, pages by number.

use serde_json::Value;

use super::*;

const EVENT: &str = include_str!("../../../tests/samples/shareactor_event_order_created_inferred.json");

/// A vendor that wants both proofs, and has 25 events.
async fn vendor(key_header: &'static str) -> Vendor {
    Vendor::start(move |parts| {
        let has = |name: &str, value: &str| parts.headers.get(name).is_some_and(|found| found == value);
        if !has(key_header, "key") || !has("authorization", "Bearer jwt") {
            let body = r#"{"message":"Your API key is either wrong, missing or you have no permissions"}"#;
            return std::future::ready((StatusCode::UNAUTHORIZED, body).into_response());
        }
        let query: Vec<(String, String)> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let number = |name, default| {
            let found = query.iter().find(|(key, _)| key == name);
            found.map_or(default, |(_, value)| value.parse::<usize>().unwrap())
        };
        let (size, page) = (number("size", 10), number("page", 0));
        let rows = 25_usize.saturating_sub(size * page).min(size);
        std::future::ready(json(format!("[{}]", vec![EVENT; rows].join(","))))
    })
    .await
}

#[tokio::test]
async fn events_are_typed_and_paged_under_either_name_of_the_key() {
    for header in ["x-share-api-key", "x-kvass-api-key"] {
        let vendor = vendor(header).await;
        let api = Shareactor::new(&vendor.url(), "key", "jwt").unwrap();
        let (mut events, mut pages) = (Vec::new(), api.events().size(10).sort("created"));
        while let Some(page) = pages.next_page().await.unwrap() {
            events.extend(page);
        }
        assert_eq!(events.len(), 25);
        assert!(events[24].kind == "order.created");
        assert_eq!(events[24].data.object_id(), Some("65a1f00d0b1e2c3d4e5f6099"));
        assert_eq!(vendor.targets()[1], "/events?size=10&page=1&sort=created");
    }
}

#[tokio::test]
async fn events_are_searched_and_shown_by_id() {
    let vendor = Vendor::answers([json("[]"), json(EVENT), json(r#"{"order_status":"CREATED"}"#)]).await;
    let api = Shareactor::new(&vendor.url(), "key", "jwt").unwrap();
    assert_eq!(api.search_events("order created").next_page().await.unwrap(), None);
    let event = api.event("65a1f00d0b1e2c3d4e5f6071").await.unwrap();
    assert_eq!(event.id.as_deref(), Some("65a1f00d0b1e2c3d4e5f6071"));
    let order: Value = api.get("orders/65a1f00d0b1e2c3d4e5f6099", &[("expand", "user")]).await.unwrap();
    assert_eq!(order["order_status"], "CREATED");
    assert_eq!(
        vendor.targets(),
        [
            "/events/search?query=order%20created&size=100&page=0",
            "/events/65a1f00d0b1e2c3d4e5f6071",
            "/orders/65a1f00d0b1e2c3d4e5f6099?expand=user",
        ]
    );
    for id in ["", "..", "a/b/../c", "a?b"] {
        let error = api.event(id).await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable { field: "the path", .. }), "{id}: {error:?}");
    }
}

#[tokio::test]
async fn a_search_may_be_of_a_time_and_nothing_else_may() {
    let vendor = Vendor::answers([json(format!("[{EVENT}]")), json("[]")]).await;
    let api = Shareactor::new(&vendor.url(), "key", "jwt").unwrap();
    let (since, until) = (
        Timestamp::from_millis(1_767_168_000_999),
        Timestamp::parse_rfc3339("2026-01-23T07:45:00Z").unwrap(),
    );
    let mut found = api.search_events("order.created").since(since).until(until);
    assert_eq!(found.next_page().await.unwrap().unwrap().len(), 1);
    assert_eq!(found.next_page().await.unwrap(), None);
    let times = "from_date=1767168000&to_date=1769154300";
    let target = |page| format!("/events/search?query=order.created&size=100&page={page}&{times}");
    assert_eq!(vendor.targets(), [target(0), target(1)]);
    for mut all in [api.events().since(since), api.events().until(until)] {
        let error = all.next_page().await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable { field: "the time", .. }), "{error:?}");
        assert!(error.to_string().contains("search_events"), "{error}");
        assert_eq!(all.next_page().await.unwrap(), None);
    }
    assert_eq!(vendor.requests().len(), 2);
}

#[tokio::test]
async fn wrong_keys_are_refused_in_the_vendors_words() {
    let vendor = vendor("x-share-api-key").await;
    let error = Shareactor::new(&vendor.url(), "wrong-key", "jwt").unwrap().event("1").await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().contains("no permissions") && !all_of(&error).contains("wrong-key"), "{error}");
}
