use doorbell::provider::quable::{
    Action, Code, Entity, Event, ItemType, ProcessType, Resource, ResourceType,
};

use super::*;

#[test]
fn a_documents_update() {
    let event: Event = read("x", "quable_document_update_nested");
    assert_eq!(event.code, Code { entity: Entity::Document, action: Action::Update });
    assert_eq!(event.uuid.as_deref(), Some("0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f01"));
    assert_eq!(event.created_at, Timestamp::parse_rfc3339("2026-01-23T09:48:17Z"));
    assert_eq!(event.created_by.as_deref(), Some("jane_roe"));
    assert_eq!(
        (event.links[0].rel.as_str(), event.links[0].href.as_str()),
        ("self", "/events/0d6f1c52-3b1e-4a76-9c55-9d0a6c1e7f01")
    );
    assert_eq!(event.resource.code.as_deref(), Some("sku_blue_shirt"));
    assert_eq!(event.resource.resource_type, Some(ResourceType::Document));
    assert_eq!(event.resource.document_type_code.as_deref(), Some("product"));
    assert_eq!(event.resource.links[0].href, "https://demo.quable.com/api/documents/sku_blue_shirt");
    assert!(event.resource.extra.is_empty() && event.extra.is_empty(), "{event:?}");
    assert_eq!(event.locales.updated, ["fr_FR"]);
    assert_eq!(event.locales.inherited, ["en_GB", "fr_FR"]);
    let items: Vec<_> =
        event.updated_items.iter().map(|item| (item.item_type.clone(), item.code.as_deref())).collect();
    assert_eq!(items, [(Some(ItemType::Field), Some("color")), (Some(ItemType::Field), Some("name"))]);
    let process = event.process.unwrap();
    assert_eq!(process.process_type, Some(ProcessType::BulkEdit));
    assert_eq!(process.id.as_deref(), Some("20aaabe5-5dcb-4cbb-80e8-000000000001"));
    assert_eq!(process.correlation_id.as_deref(), Some("A4548C0354f48954x-000001"));
}

#[test]
fn the_other_samples() {
    let create: Event = read("x", "quable_document_create_no_process");
    assert_eq!((create.code.action, create.process), (Action::Create, None));
    assert!(create.updated_items.is_empty());

    let media: Event = read("x", "quable_media_update");
    assert_eq!(media.code.entity, Entity::Media);
    assert_eq!(media.resource.resource_type, Some(ResourceType::Asset));
    assert_eq!(media.process.unwrap().process_type, None);

    let import: Event = read("x", "quable_import_finish_inferred");
    assert_eq!(import.code, Code { entity: Entity::Import, action: Action::Finish });
    assert_eq!(import.resource, Resource::default());
    assert_eq!(import.process.unwrap().process_type, Some(ProcessType::Import));
}

#[test]
fn its_codes() {
    let provider = Quable::path_secret_only();
    for code in provider.known_kinds() {
        let Code { entity, action } = Code::from(*code);
        assert!(Entity::KNOWN.contains(&entity), "{code}");
        assert!(Action::KNOWN.contains(&action) || action == "*", "{code}");
        assert_eq!(Code { entity, action }.to_string(), *code);
    }
    for entity in Entity::KNOWN {
        assert!(provider.known_kinds().iter().any(|code| Code::from(*code).entity == *entity), "{entity}");
    }
    for code in ["user.logged_in", "channel.publish.done", "alone"] {
        let data = json!({"code": code}).to_string();
        assert_eq!(Event::from_event(code, data.as_bytes()).unwrap().code.to_string(), code);
    }
}

#[test]
fn its_types_by_all_their_names() {
    for (word, resource_type) in [
        ("predefined value", ResourceType::PredefinedValue),
        ("predefined_value", ResourceType::PredefinedValue),
        ("value", ResourceType::PredefinedValue),
        ("link", ResourceType::Link),
        ("channel", ResourceType::Other("channel".into())),
    ] {
        assert_eq!(ResourceType::from(word), resource_type, "{word}");
    }
    for (word, item_type) in [
        ("media", ItemType::Asset),
        ("attribute", ItemType::Field),
        ("field", ItemType::Field),
        ("sku", ItemType::Variant),
        ("label", ItemType::Other("label".into())),
    ] {
        assert_eq!(ItemType::from(word), item_type, "{word}");
    }
}

#[test]
fn locales_and_items_at_the_top() {
    let top = br#"{"code":"value.update","locales":{"updated":["de_DE"],"inherited":7},
        "updated_items":[{"type":"field","code":12345678901234567890123,"from":"red"}],"new":true,
        "resource":{"code":"x","locales":{"updated":["fr_FR"]},"colour":1},"process":{"id":7,"step":2}}"#;
    let top = Event::from_event("value.update", top).unwrap();
    assert_eq!((&top.locales.updated[..], &top.locales.inherited[..]), (&["de_DE".to_owned()][..], &[][..]));
    assert_eq!(top.updated_items[0].item_type, Some(ItemType::Field));
    assert_eq!(top.updated_items[0].code.as_deref(), Some("12345678901234567890123"));
    // What this version does not know is kept, each where it stood.
    assert_eq!(top.updated_items[0].extra["from"], "red");
    assert_eq!(top.extra["new"], true);
    assert_eq!(top.resource.extra["colour"], 1);
    assert_eq!(top.resource.extra["locales"], json!({"updated": ["fr_FR"]}));
    let process = top.process.unwrap();
    assert_eq!((process.id.as_deref(), &process.extra["step"]), (Some("7"), &json!(2)));
}

#[test]
fn what_is_no_event_says_why() {
    let error = Event::from_event("x", br#"{"uuid":"1"}"#).unwrap_err();
    assert!(error.to_string().contains("`code`"), "{error}");
}

#[test]
fn what_it_may_add_is_kept_and_one_odd_entry_costs_no_others() {
    let items = r#"[{"type":"field","code":"color"},7,{"type":"media"}]"#;
    for (top, inside) in [(items, "null"), ("[]", items)] {
        let data = format!(
            r#"{{"code":"document.update","links":[{{"rel":"self","href":"/x","title":"t"}},null],
                "locales":{{"updated":["fr_FR",null,"en_GB"],"removed":["de_DE"]}},
                "updated_items":{top},"resource":{{"updated_items":{inside}}}}}"#
        );
        let event = Event::from_event("document.update", data.as_bytes()).unwrap();
        assert_eq!((event.links.len(), &event.links[0].extra["title"]), (1, &json!("t")));
        assert_eq!(event.locales.updated, ["fr_FR", "en_GB"]);
        assert_eq!(event.locales.extra["removed"], json!(["de_DE"]));
        assert_eq!(event.updated_items.len(), 2, "{event:?}");
        assert_eq!(event.updated_items[0].code.as_deref(), Some("color"));
    }
}
