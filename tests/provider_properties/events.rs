//! What holds for events as types, whatever comes.

use doorbell::provider::{EventError, FromEvent, kladana, poster, quable, shareactor};
use proptest::{prelude::*, sample::select};

use super::json_like;

proptest! {
    #[test]
    fn reading_events_never_panics(kind in ".{0,20}", body in prop_oneof![json_like(), event_like(), ".{0,60}"]) {
        read_as_every_type(&kind, body.as_bytes());
    }

    #[test]
    fn an_event_with_a_strange_member_is_read(
        (event, read) in select(EVENTS),
        member in "[a-z_]{1,12}",
        value in json_like(),
    ) {
        // The members that say what kind of notification it is.
        prop_assume!(!event.contains(&format!("\"{member}\":")) && !["events", "reportType"].contains(&&*member));
        let strange = event.replacen('{', &format!(r#"{{"{member}":{value},"#), 1);
        prop_assert!(read(&strange).is_ok(), "{}: {:?}", strange, read(&strange));
    }

    #[test]
    fn an_unknown_word_is_kept(word in "[^\\p{C}.]{1,20}") {
        let json = serde_json::to_string(&word).unwrap();
        let same = |read: &str| read == word || read.replace('_', " ").eq_ignore_ascii_case(&word.replace('_', " "));
        let poster = format!(r#"{{"account":"a","object":{json},"object_id":1,"action":{json},"time":1}}"#);
        let poster = poster::Event::from_event("x", poster.as_bytes()).unwrap();
        prop_assert!(same(poster.object.as_str()) && same(poster.action.as_str()), "{:?}", poster);
        let kladana = format!(r#"{{"events":[{{"meta":{{"type":{json}}},"action":{json}}}]}}"#);
        let kladana = kladana::EntityEvent::from_event("x", kladana.as_bytes()).unwrap();
        prop_assert!(same(kladana.action.as_str()), "{:?}", kladana);
        let code = format!("{word}.{word}");
        let quable = serde_json::json!({"code": &code}).to_string();
        prop_assert!(same(quable::Event::from_event("x", quable.as_bytes()).unwrap().code.entity.as_str()));
        let shareactor = shareactor::Event::from_event(&code, b"{}").unwrap();
        prop_assert!(same(shareactor.kind.action.as_str()), "{:?}", shareactor);
    }

    #[test]
    fn decimals_keep_every_digit(number in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?") {
        let data = format!(r#"{{"value_relative":{number},"value_absolute":"{number}"}}"#);
        let body = serde_json::json!({"account": "a", "object": "client_ewallet", "object_id": 1, "action": "added", "time": 1, "data": data});
        let sum = poster::Balance::from_event("client_ewallet.added", body.to_string().as_bytes()).unwrap();
        prop_assert_eq!(sum.value_relative.as_str(), &number);
        prop_assert_eq!(&sum.value_relative, &sum.value_absolute);
        prop_assert_eq!(serde_json::to_string(&sum.value_relative).unwrap(), number);
    }
}

type Read = fn(&str) -> Result<(), EventError>;

fn read<E: FromEvent>(data: &str) -> Result<(), EventError> {
    E::from_event("x", data.as_bytes()).map(drop)
}

/// Events that are as they should be, and how each is read.
const EVENTS: &[(&str, Read)] = &[
    (
        r#"{"auditContext":{"uid":"a"},"events":[{"meta":{"type":"product"},"action":"UPDATE"}]}"#,
        read::<kladana::Event>,
    ),
    (
        r#"{"stockType":"stock","reportType":"all","reportUrl":"https://x/?changedSince=2026-01-23 10:40:00"}"#,
        read::<kladana::Event>,
    ),
    (
        r#"{"account":"a","object":"stock","object_id":1,"action":"changed","time":1,"data":"{}"}"#,
        read::<poster::Event>,
    ),
    (r#"{"code":"document.update","resource":{"code":"x"}}"#, read::<quable::Event>),
    (r#"{"kind":"order.created","data":{"object":{}}}"#, read::<shareactor::Event>),
];

pub(crate) fn read_as_every_type(kind: &str, data: &[u8]) {
    if let Ok(stock) = kladana::StockEvent::from_event(kind, data) {
        let _ = stock.changed_since();
    }
    let _ = kladana::Event::from_event(kind, data);
    let _ = kladana::EntityEvent::from_event(kind, data);
    let _ = poster::Event::from_event(kind, data);
    let _ = poster::Stock::from_event(kind, data);
    let _ = poster::Balance::from_event(kind, data);
    let _ = poster::Application::from_event(kind, data);
    let _ = poster::IncomingOrder::from_event(kind, data);
    let _ = quable::Event::from_event(kind, data);
    if let Ok(event) = shareactor::Event::from_event(kind, data) {
        let _ = (event.data.object_id(), event.data.object_as::<shareactor::Date>());
    }
}

/// JSON whose members are named as those of events.
fn event_like() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        json_like(),
        json_like().prop_map(|json| serde_json::to_string(&json).unwrap()),
        select(
            &[
                r#""all""#,
                r#""UPDATE""#,
                r#""stock""#,
                r#""order.created""#,
                r#""2026-01-23 10:40:00""#,
                r#""https://x/?changedSince=9999-12-31 23:59:59""#
            ][..]
        )
        .prop_map(str::to_owned),
    ];
    value.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::hash_map(select(MEMBERS), inner, 0..8).prop_map(|members| {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

const MEMBERS: &[&str] = &[
    "account",
    "accountId",
    "action",
    "auditContext",
    "author",
    "code",
    "company",
    "created",
    "created_at",
    "data",
    "entityType",
    "events",
    "href",
    "kind",
    "links",
    "locales",
    "meta",
    "moment",
    "object",
    "object_id",
    "process",
    "previous_data",
    "reportType",
    "reportUrl",
    "resource",
    "stockType",
    "time",
    "type",
    "updated",
    "updatedFields",
    "updated_items",
    "value_absolute",
    "value_relative",
    "element_id",
    "storage_id",
    "_id",
    "$oid",
    "$date",
    "$numberLong",
    "transactions_history",
    "type_history",
];
