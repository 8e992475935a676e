use doorbell::provider::shareactor::{Action, Date, Entity, Event, Kind, ObjectId};

use super::*;

#[test]
fn an_order() {
    let event: Event = read("order.created", "shareactor_event_order_created_inferred");
    assert_eq!(event.id.as_deref(), Some("65a1f00d0b1e2c3d4e5f6071"));
    assert_eq!(event.kind, Kind { entity: Entity::Order, action: Action::Created });
    assert_eq!(event.created, Some(Timestamp::from_seconds(1_767_168_000)));
    assert_eq!(event.company.as_deref(), Some("57ee9c71d76d431f8511ffff"));
    assert_eq!(event.data.object_type, Some(Entity::Order));
    assert_eq!(event.data.kind.as_ref(), Some(&event.kind));
    assert_eq!(event.data.object_id(), Some("65a1f00d0b1e2c3d4e5f6099"));
    assert!(event.data.previous_data.is_null());
    assert!(event.extra.is_empty() && event.data.extra.is_empty(), "{event:?}");
    let author = event.author.unwrap();
    assert_eq!(author.id.as_deref(), Some("57ee9c72d76d431f8511eeee"));
    assert_eq!(
        (author.first_name.as_deref(), author.last_name.as_deref(), author.email.as_deref()),
        (Some("Kari"), Some("Nordmann"), Some("kari@example.com"))
    );
    assert_eq!(author.extra["_cls"], "User");
}

#[test]
fn its_object_as_a_type_of_ones_own() {
    #[derive(serde::Deserialize)]
    struct Order {
        #[serde(rename = "_id")]
        id: ObjectId,
        created: Date,
        total_amount: Decimal,
    }
    let event: Event = read("order.created", "shareactor_event_order_created_inferred");
    let order: Order = event.data.object_as().unwrap();
    assert_eq!(Some(order.id.0.as_str()), event.data.object_id());
    assert_eq!(Some(order.created.0), event.created);
    assert_eq!(order.total_amount.as_str(), "349.0");
    let error = event.data.object_as::<Vec<u8>>().unwrap_err();
    assert!(error.to_string().contains("sequence"), "{error}");
}

#[test]
fn its_amounts_keep_their_digits() {
    #[derive(serde::Deserialize)]
    struct Order {
        total_amount: Decimal,
        tax: Decimal,
    }
    let data =
        br#"{"kind":"order.created","data":{"object":{"total_amount":349.10,"tax":0.10000000000000000001}}}"#;
    let event = Event::from_event("order.created", data).unwrap();
    let order: Order = event.data.object_as().unwrap();
    assert_eq!((order.total_amount.as_str(), order.tax.as_str()), ("349.10", "0.10000000000000000001"));
    assert_eq!(event.data.object["total_amount"], 349.1);

    let none = Event::from_event("order.created", b"{}").unwrap();
    assert_eq!(none.data.object_as::<Option<u8>>().unwrap(), None);
    assert!(none.data.object.is_null() && none.data.object_id().is_none());
}

/// As a page of the vendor's API for events holds them.
#[test]
fn a_list_of_events() {
    let one = String::from_utf8(sample("shareactor_event_order_created_inferred")).unwrap();
    let events: Vec<Event> = serde_json::from_str(&format!("[{one},{{}},{one}]")).unwrap();
    assert_eq!(events[2], read("x", "shareactor_event_order_created_inferred"));
    assert!(events[0].kind == "order.created" && events[1].kind == "");
}

#[test]
fn its_kinds() {
    let documented = [
        "order.created",
        "order.updated",
        "order.cancelled",
        "invoice.created",
        "invoice.updated",
        "invoice.deleted",
        "user.created",
        "user.updated",
        "user.deleted",
        "subscription.created",
        "subscription.updated",
        "subscription.deleted",
        "subscription.activated",
        "subscription.future",
        "subscription.completed",
        "subscription.non_renewing",
        "subscription.cancelled",
        "payment.created",
        "payment.updated",
        "payment.deleted",
        "payment.succeeded",
        "payment.processing",
        "payment.failed",
        "payment.captured",
        "payment.cancelled",
        "product.created",
        "product.updated",
        "product.deleted",
        "plan.created",
        "plan.updated",
        "plan.deleted",
    ];
    for kind in documented {
        let data = json!({"kind": kind}).to_string();
        let event = Event::from_event(kind, data.as_bytes()).unwrap();
        assert!(Entity::KNOWN.contains(&event.kind.entity), "{kind}");
        assert!(Action::KNOWN.contains(&event.kind.action), "{kind}");
        assert_eq!(event.kind.to_string(), kind);
    }
    assert_kinds(&Shareactor::new("x"), documented.map(str::to_owned));
}

#[test]
fn an_update_with_what_was_before() {
    for data in [
        r#"{"kind":"order.updated","data":{"object":{"total":500},"previous_data":{"total":1200}}}"#,
        r#"{"kind":"order.updated","data":{"object":{"total":500}},"previous_data":{"total":1200}}"#,
    ] {
        let event = Event::from_event("order.updated", data.as_bytes()).unwrap();
        assert_eq!(event.data.previous_data, json!({"total": 1200}));
        assert_eq!(event.data.object, json!({"total": 500}));
        assert!(event.extra.is_empty(), "{event:?}");
    }
}

/// Amounts that no `f64` holds, wherever the vendor has them.
#[test]
fn what_was_before_keeps_its_digits() {
    #[derive(serde::Deserialize)]
    struct Before {
        total_amount: Decimal,
        tax: Decimal,
        lines: Vec<Line>,
        #[serde(flatten)]
        rest: serde_json::Map<String, serde_json::Value>,
    }
    #[derive(serde::Deserialize)]
    struct Line {
        price: Decimal,
    }
    let before = r#"{"total_amount":12345678901234567.89,"tax":0.1000000000000000055,"lines":[{"price":1e400},{"price":2.50}],"new":{"a":[7]}}"#;
    for data in [
        format!(
            r#"{{"kind":"order.updated","data":{{"object":{{"total_amount":1}},"previous_data":{before}}}}}"#
        ),
        format!(
            r#"{{"kind":"order.updated","data":{{"object":{{"total_amount":1}}}},"previous_data":{before}}}"#
        ),
        format!(r#"{{"kind":"order.updated","data":{{"previous_data":null}},"previous_data":{before}}}"#),
    ] {
        let event = Event::from_event("order.updated", data.as_bytes()).unwrap();
        let read: Before = event.data.previous_data_as().unwrap();
        assert_eq!(read.total_amount.as_str(), "12345678901234567.89", "{data}");
        assert_eq!(read.tax.as_str(), "0.1000000000000000055", "{data}");
        let prices: Vec<_> = read.lines.iter().map(|line| line.price.as_str()).collect();
        assert_eq!(prices, ["1e400", "2.50"], "{data}");
        assert_eq!(serde_json::Value::Object(read.rest), json!({"new": {"a": [7]}}), "{data}");
        assert!(event.extra.is_empty() && event.data.extra.is_empty(), "{event:?}");
    }

    // The one beside `data` does not replace the one in it.
    let both = br#"{"data":{"previous_data":{"total":0.10}},"previous_data":{"total":0.20}}"#;
    let both = Event::from_event("order.updated", both).unwrap();
    assert_eq!(both.data.previous_data, json!({"total": 0.1}));
    let total: std::collections::HashMap<String, Decimal> = both.data.previous_data_as().unwrap();
    assert_eq!(total["total"].as_str(), "0.10");

    let none = Event::from_event("order.created", b"{}").unwrap();
    assert_eq!(none.data.previous_data_as::<Option<u8>>().unwrap(), None);
    let error = both.data.previous_data_as::<Vec<u8>>().unwrap_err();
    assert!(error.to_string().contains("sequence"), "{error}");
}

#[test]
fn whatever_is_missing_or_new() {
    let event = Event::from_event("order.created", b"{}").unwrap();
    assert_eq!(event.kind, Kind { entity: Entity::Order, action: Action::Created });
    assert_eq!((event.id, event.created, event.author), (None, None, None));

    let other =
        br#"{"_id":"plain","created":{"$date":{"$numberLong":"1767168000000"}},"data":7,"new":{"a":[]},
        "author":{"$oid":"57ee9c72d76d431f8511eeee"},"company":{"_id":{"$oid":"57ee9c71d76d431f8511ffff"}},
        "reference_id":"req-1"}"#;
    let other = Event::from_event("ship.sunk", other).unwrap();
    assert_eq!(other.id.as_deref(), Some("plain"));
    assert_eq!(other.created, Some(Timestamp::from_seconds(1_767_168_000)));
    assert_eq!(
        other.kind,
        Kind { entity: Entity::Other("ship".into()), action: Action::Other("sunk".into()) }
    );
    assert_eq!(other.author.unwrap().id.as_deref(), Some("57ee9c72d76d431f8511eeee"));
    assert_eq!(other.company.as_deref(), Some("57ee9c71d76d431f8511ffff"));
    assert_eq!(other.reference_id.as_deref(), Some("req-1"));
    assert_eq!(other.extra["new"], json!({"a": []}));

    let inner = br#"{"data":{"kind":"plan.archived","object_type":"plan","by":1}}"#;
    let inner = Event::from_event("x", inner).unwrap();
    assert_eq!(inner.kind.to_string(), "plan.archived");
    assert_eq!((inner.data.object_type, &inner.data.extra["by"]), (Some(Entity::Plan), &json!(1)));
}
