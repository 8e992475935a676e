use doorbell::provider::kladana::{Action, EntityEvent, Event, ReportType, StockEvent, StockType};

use super::*;

fn entity(name: &str) -> EntityEvent {
    match read("x", name) {
        Event::Entity(event) => event,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entitys_change() {
    let event = entity("kladana_entity_update_fields");
    assert_eq!(event.action, Action::Update);
    assert_eq!(event.entity.entity_type.as_deref(), Some("customerorder"));
    assert_eq!(event.entity.id.as_deref(), Some("4081aa10-f82b-11f0-0a80-047200060001"));
    assert_eq!(event.updated_fields, ["state"]);
    assert_eq!(event.account_id.as_deref(), Some("3c1d6a52-7b40-11ee-0a80-0f4400021c77"));
    assert!(event.extra.is_empty(), "{:?}", event.extra);
    let audit = event.audit.unwrap();
    assert_eq!(audit.uid.as_deref(), Some("manager@democafe"));
    assert_eq!(audit.moment, Timestamp::parse_rfc3339("2026-01-23T07:44:23Z"));
    assert_eq!(audit.id.as_deref(), Some("55aa10f2-f82f-11f0-0a80-0b3c00061001"));
    assert!(audit.extra.is_empty(), "{:?}", audit.extra);

    assert_eq!(entity("kladana_entity_create").action, Action::Create);
    assert_eq!(entity("kladana_entity_delete").action, Action::Delete);
    assert!(entity("kladana_entity_update_nodiff").updated_fields.is_empty());
}

#[test]
fn the_words_of_its_actions() {
    for (word, action) in [
        ("CREATE", Action::Create),
        ("UPDATE", Action::Update),
        ("DELETE", Action::Delete),
        ("PROCESSED", Action::Processed),
    ] {
        assert_eq!((Action::from(word), action.to_string().as_str()), (action.clone(), word));
        let data = format!(r#"{{"events":[{{"meta":{{"type":"async"}},"action":"{word}"}}]}}"#);
        let event = EntityEvent::from_event("async.processed", data.as_bytes()).unwrap();
        assert_eq!((event.action, event.audit), (action, None));
    }
}

#[test]
fn its_kinds_are_those_of_its_words() {
    let actions = Action::KNOWN.iter().map(|action| format!("*.{action}").to_lowercase());
    let reports = ReportType::KNOWN.iter().map(|report| format!("stock.{report}"));
    assert_kinds(&Kladana::new(), actions.chain(reports));
}

#[test]
fn what_it_may_add_is_kept() {
    let newer = br#"{"auditContext":{"id":"jane","source":"app"},"version":2,
        "events":[{"meta":{"type":"a","href":"b","mediaType":"json"},"action":"Launch","new":1,
            "updatedFields":["state",null,{},"owner"]}]}"#;
    let event = EntityEvent::from_event("a.launch", newer).unwrap();
    assert_eq!(event.action, Action::Other("Launch".into()));
    assert_eq!(event.entity.href.as_deref(), Some("b"));
    assert_eq!((&event.extra["new"], &event.extra["version"]), (&json!(1), &json!(2)));
    assert_eq!(event.extra["meta"], json!({"mediaType": "json"}));
    assert_eq!(event.updated_fields, ["state", "owner"]);
    let audit = event.audit.unwrap();
    assert_eq!((audit.uid.as_deref(), &audit.extra["source"]), (Some("jane"), &json!("app")));

    let both = br#"{"auditContext":{"id":"7","uid":"jane"},"events":[{"action":"CREATE"}]}"#;
    let audit = EntityEvent::from_event("a.create", both).unwrap().audit.unwrap();
    assert_eq!((audit.uid.as_deref(), audit.id.as_deref()), (Some("jane"), Some("7")));

    let stock = br#"{"reportType":"byowner","stockType":"lent","accountId":7,"reportUrl":null,"new":[1]}"#;
    let Event::Stock(stock) = Event::from_event("stock.byowner", stock).unwrap() else { panic!() };
    assert_eq!(stock.report_type, ReportType::Other("byowner".into()));
    assert_eq!(stock.stock_type, Some(StockType::Other("lent".into())));
    assert_eq!((stock.account_id.as_deref(), stock.changed_since()), (Some("7"), None));
    assert_eq!(stock.extra["new"], json!([1]));
}

#[test]
fn the_form_on_the_vendors_page() {
    let form = br#"{"url":"http://www.example.com","action":"CREATE","entityType":"supply"}"#;
    let Event::Entity(event) = Event::from_event("supply.create", form).unwrap() else { panic!() };
    assert_eq!((event.action, event.entity.entity_type.as_deref()), (Action::Create, Some("supply")));
    assert!(event.audit.is_none());

    let event = entity("kladana_webhook_created");
    assert_eq!(event.account_id.as_deref(), Some("3c1d6a52-7b40-11ee-0a80-0f4400021c77"));
    assert!(!format!("{event:?}").contains("s3cr3t"), "{event:?}");
}

#[test]
fn a_change_of_stock() {
    for (name, report) in
        [("kladana_stock_all", ReportType::All), ("kladana_stock_bystore", ReportType::ByStore)]
    {
        let Event::Stock(stock) = read("x", name) else { panic!("{name}") };
        assert_eq!(stock.report_type, report);
        assert_eq!(stock.stock_type, Some(StockType::Stock));
        assert_eq!(stock.account_id.as_deref(), Some("3c1d6a52-7b40-11ee-0a80-0f4400021c77"));
        assert_eq!(stock.changed_since(), Timestamp::parse_rfc3339("2026-01-23T10:40:00+03:00"));
        assert!(stock.extra.is_empty(), "{:?}", stock.extra);
    }
    for word in ["stock", "freeStock", "quantity", "reserve", "inTransit"] {
        assert!(StockType::KNOWN.contains(&word.into()), "{word}");
    }
}

#[test]
fn the_time_in_a_reports_url() {
    let since = Timestamp::parse_rfc3339("2026-01-23T10:40:00+03:00");
    let milliseconds = Timestamp::parse_rfc3339("2026-01-23T10:40:00.250+03:00");
    for (query, time) in [
        ("?changedSince=2026-01-23 10:40:00", since),
        ("?changedSince=2026-01-23%2010:40:00", since),
        ("?changedSince=2026-01-23+10%3A40%3A00", since),
        ("?fromDate=2026-01-23 10:40:00", since),
        ("?stockType=stock&changedSince=2026-01-23 10:40:00&include=zeroLines#top", since),
        ("?changedSince=2026-01-23 10:40:00#top", since),
        ("?changedSince=&fromDate=2026-01-23 10:40:00", since),
        ("?changedSince=2026-01-23T07:40:00Z", since),
        ("?changedSince=2026-01-23 10:40:00.250", milliseconds),
        ("?changedSince=yesterday", None),
        ("?changedSince=2026-13-45 10:40:00", None),
        ("?since=2026-01-23 10:40:00", None),
        ("#?changedSince=2026-01-23 10:40:00", None),
        ("?", None),
        ("", None),
    ] {
        let url = format!("https://api.kladana.com/api/remap/1.2/report/stock/all/current{query}");
        let data = json!({"reportType": "all", "reportUrl": url}).to_string();
        let event = StockEvent::from_event("stock.all", data.as_bytes()).unwrap();
        assert_eq!(event.changed_since(), time, "{query}");
    }
}

#[test]
fn what_is_no_event_says_why() {
    let error = Event::from_event("x", &sample("kladana_entity_multi_events")).unwrap_err();
    assert!(error.to_string().contains("3 events"), "{error}");
    let error = StockEvent::from_event("x", b"{}").unwrap_err();
    assert!(error.to_string().contains("`reportType`"), "{error}");
    let error = EntityEvent::from_event("x", br#"{"events":[{"meta":{}}]}"#).unwrap_err();
    assert!(error.to_string().contains("`action`"), "{error}");
}
