//! The vendors' notifications as types.

use doorbell::{
    clock::Timestamp,
    provider::{FromEvent, kladana, poster, quable, shareactor},
};

use super::sample;

#[test]
fn poster_events() {
    let event = poster::Event::from_event("stock.changed", &sample("poster_stock_changed")).unwrap();
    assert_eq!((event.account.as_str(), event.object_id.as_str()), ("demo-cafe", "512"));
    assert_eq!(event.time, Some(Timestamp::from_seconds(1_767_168_200)));
    let poster::Data::Stock(stock) = event.data else { panic!("{:?}", event.data) };
    assert_eq!(stock, poster::Stock::from_event("stock.changed", &sample("poster_stock_changed")).unwrap());
    assert_eq!(stock.element_type, poster::ElementType::Product);
    assert_eq!((stock.element_id.as_str(), stock.storage_id.as_str()), ("512", "1"));
    assert_eq!((stock.value_relative.as_str(), stock.value_absolute.as_str()), ("-1", "23.5"));

    let event = poster::Event::from_event("application.added", &sample("poster_application_added")).unwrap();
    let printed = format!("{event:?}");
    assert!(!printed.contains("0a1b2c3d"), "{printed}");
    let poster::Data::Application(application) = event.data else { panic!("{printed}") };
    assert_eq!(application.access_token.unwrap().expose(), b"401122:0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    assert_eq!(application.extra["url"], "https://example.com/cb");

    let sum =
        poster::Balance::from_event("client_payed_sum.changed", &sample("poster_client_payed_sum")).unwrap();
    assert_eq!(sum.value_absolute.as_str(), "240");

    let event =
        poster::Event::from_event("transaction.closed", &sample("poster_transaction_closed")).unwrap();
    assert!(matches!(event.data, poster::Data::None));

    let with_data = |object: &str, data: &str| {
        let data = serde_json::json!(data);
        format!(
            r#"{{"account":"a","object":"{object}","object_id":1,"action":"added","time":"x","data":{data}}}"#
        )
    };
    let order = with_data("incoming_order", r#"{"type":"2","spot_id":1}"#);
    let order = poster::IncomingOrder::from_event("incoming_order.added", order.as_bytes()).unwrap();
    assert_eq!(order.order_type, poster::IncomingOrderType::Reservation);
    // Not as documented: kept, not an error.
    for (object, data, kept) in [
        ("stock", r#"{"type":9}"#, serde_json::json!({"type": 9})),
        ("starship", "no JSON", serde_json::json!("no JSON")),
    ] {
        let event = poster::Event::from_event("x", with_data(object, data).as_bytes()).unwrap();
        assert!(matches!(&event.data, poster::Data::Other(value) if *value == kept), "{:?}", event.data);
        assert_eq!(event.time, None);
    }
    let error = poster::Stock::from_event("stock.changed", with_data("stock", "{}").as_bytes()).unwrap_err();
    assert!(error.to_string().contains("stock.changed") && error.to_string().contains("`type`"), "{error}");
}

#[test]
fn kladana_events() {
    let read = |name: &str| kladana::Event::from_event("x", &sample(name)).unwrap();
    let kladana::Event::Entity(event) = read("kladana_entity_update_fields") else { panic!() };
    assert_eq!(event.action, kladana::Action::Update);
    assert_eq!(event.entity.entity_type.as_deref(), Some("customerorder"));
    assert_eq!(event.entity.id.as_deref(), Some("4081aa10-f82b-11f0-0a80-047200060001"));
    assert_eq!(event.updated_fields, ["state"]);
    assert_eq!(event.account_id.as_deref(), Some("3c1d6a52-7b40-11ee-0a80-0f4400021c77"));
    let audit = event.audit.unwrap();
    assert_eq!(audit.uid.as_deref(), Some("manager@democafe"));
    assert_eq!(audit.moment, Timestamp::parse_rfc3339("2026-01-23T07:44:23Z"));
    assert_eq!(audit.id.as_deref(), Some("55aa10f2-f82f-11f0-0a80-0b3c00061001"));

    for (name, report) in [("kladana_stock_all", "all"), ("kladana_stock_bystore", "bystore")] {
        let kladana::Event::Stock(stock) = read(name) else { panic!() };
        assert_eq!(stock.report_type, report);
        assert_eq!(stock.changed_since().as_deref(), Some("2026-01-23 10:40:00"));
    }

    let older =
        br#"{"auditContext":{"id":"jane"},"events":[{"meta":{"type":"a"},"action":"Launch","new":1}]}"#;
    let event = kladana::EntityEvent::from_event("a.launch", older).unwrap();
    assert_eq!(event.action, kladana::Action::Other("Launch".into()));
    assert_eq!(event.audit.unwrap().uid.as_deref(), Some("jane"));
    assert_eq!(event.extra["new"], 1);
    let form = br#"{"url":"http://www.example.com","action":"CREATE","entityType":"supply"}"#;
    let kladana::Event::Entity(event) = kladana::Event::from_event("supply.create", form).unwrap() else {
        panic!()
    };
    assert_eq!(
        (event.action, event.entity.entity_type.as_deref()),
        (kladana::Action::Create, Some("supply"))
    );
    assert!(event.audit.is_none());

    let error = kladana::Event::from_event("x", &sample("kladana_entity_multi_events")).unwrap_err();
    assert!(error.to_string().contains("3 events"), "{error}");
}

#[test]
fn quable_events() {
    let nested = quable::Event::from_event("x", &sample("quable_document_update_nested")).unwrap();
    assert_eq!((nested.code.as_str(), nested.created_by.as_deref()), ("document.update", Some("jane_roe")));
    assert_eq!(nested.locales.updated, ["fr_FR"]);
    assert_eq!(nested.locales.inherited, ["en_GB", "fr_FR"]);
    assert_eq!(nested.updated_items.len(), 2);
    assert_eq!(nested.updated_items[1].code.as_deref(), Some("name"));
    assert_eq!(nested.resource.document_type_code.as_deref(), Some("product"));
    assert_eq!(nested.resource.links[0].href, "https://demo.quable.com/api/documents/sku_blue_shirt");
    assert!(nested.resource.extra.is_empty());
    assert_eq!(nested.process.unwrap().correlation_id.as_deref(), Some("A4548C0354f48954x-000001"));

    let import = quable::Event::from_event("x", &sample("quable_import_finish_inferred")).unwrap();
    assert_eq!(import.resource, quable::Resource::default());
    let create = quable::Event::from_event("x", &sample("quable_document_create_no_process")).unwrap();
    assert_eq!(create.process, None);

    let top = br#"{"code":"value.update","locales":{"updated":["de_DE"]},"updated_items":[{"type":"field","code":"c"}],"new":true}"#;
    let top = quable::Event::from_event("x", top).unwrap();
    assert_eq!(top.locales.updated, ["de_DE"]);
    assert_eq!(top.updated_items[0].item_type.as_deref(), Some("field"));
    assert_eq!(top.extra["new"], true);
}

#[test]
fn shareactor_events() {
    let body = sample("shareactor_event_order_created_inferred");
    let event = shareactor::Event::from_event("order.created", &body).unwrap();
    assert_eq!(event.id.as_deref(), Some("65a1f00d0b1e2c3d4e5f6071"));
    assert_eq!(event.kind.as_deref(), Some("order.created"));
    assert_eq!(event.created, Some(Timestamp::from_seconds(1_767_168_000)));
    assert_eq!(event.data.object_type.as_deref(), Some("order"));
    assert_eq!(event.data.object_id(), Some("65a1f00d0b1e2c3d4e5f6099"));
    assert_eq!(event.author["first_name"], "Kari");
    assert!(event.data.previous_data.is_null());

    let other = br#"{"_id":"plain","created":{"$date":{"$numberLong":"1767168000000"}},"data":7}"#;
    let other = shareactor::Event::from_event("x", other).unwrap();
    assert_eq!((other.id.as_deref(), other.created), (Some("plain"), event.created));
}

#[test]
fn any_event_as_json() {
    let value = serde_json::Value::from_event("x", br#"{"a":1}"#).unwrap();
    assert_eq!(value["a"], 1);
    let error = serde_json::Value::from_event("order.created", b"a=1").unwrap_err();
    assert!(error.to_string().contains("order.created"), "{error}");
}
