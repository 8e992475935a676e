use doorbell::provider::poster::{
    Action, Application, Balance, Data, ElementType, Event, IncomingOrder, IncomingOrderType, Object,
    StepType, Stock, Transaction,
};

use super::*;

fn with_data(object: &str, data: &str) -> Vec<u8> {
    json!({"account": "a", "object": object, "object_id": 1, "action": "added", "time": "x", "data": data})
        .to_string()
        .into_bytes()
}

#[test]
fn a_change_of_stock() {
    let event: Event = read("stock.changed", "poster_stock_changed");
    assert_eq!((event.account.as_str(), event.account_number.as_deref()), ("demo-cafe", Some("401122")));
    assert_eq!(
        (event.object, event.object_id.as_str(), event.action),
        (Object::Stock, "512", Action::Changed)
    );
    assert_eq!(event.time, Some(Timestamp::from_seconds(1_767_168_200)));
    let Data::Stock(stock) = event.data else { panic!("{:?}", event.data) };
    assert_eq!(stock, read("stock.changed", "poster_stock_changed"));
    assert_eq!(stock.element_type, ElementType::Product);
    assert_eq!((stock.element_id.as_str(), stock.storage_id.as_str()), ("512", "1"));
    assert_eq!((stock.value_relative.as_str(), stock.value_absolute.as_str()), ("-1", "23.5"));
}

#[test]
fn numbers_keep_their_digits() {
    for number in ["0.1", "-0.30", "123456789012345678901234567890.123456789", "1e-7", "2.5E+400"] {
        for written in [number.to_owned(), format!("\"{number}\"")] {
            let data = format!(
                r#"{{"type":1,"element_id":9007199254740993,"storage_id":"18446744073709551617","value_relative":{written},"value_absolute":{written}}}"#
            );
            let stock = Stock::from_event("stock.changed", &with_data("stock", &data)).unwrap();
            assert_eq!((stock.value_relative.as_str(), stock.value_absolute.as_str()), (number, number));
            assert_eq!(stock.element_id, "9007199254740993");
            assert_eq!(stock.storage_id, "18446744073709551617");
        }
    }
    let body =
        br#"{"account":"a","object":"client","object_id":123456789012345678901,"action":"added","time":1}"#;
    assert_eq!(Event::from_event("client.added", body).unwrap().object_id, "123456789012345678901");
}

#[test]
fn sums() {
    let event: Event = read("client_payed_sum.changed", "poster_client_payed_sum");
    assert_eq!(event.object, Object::ClientPayedSum);
    let Data::ClientPayedSum(sum) = event.data else { panic!("{:?}", event.data) };
    assert_eq!((sum.value_relative.as_str(), sum.value_absolute.as_str()), ("15", "240"));
    assert_eq!(sum, read::<Balance>("client_payed_sum.changed", "poster_client_payed_sum"));

    let deposit = with_data("client_ewallet", r#"{"value_relative":"-0.10","value_absolute":3}"#);
    let event = Event::from_event("client_ewallet.added", &deposit).unwrap();
    let Data::ClientEwallet(deposit) = event.data else { panic!("{:?}", event.data) };
    assert_eq!(deposit.value_relative.as_str(), "-0.10");
}

#[test]
fn an_applications_token_is_read_and_never_shown() {
    let event: Event = read("application.added", "poster_application_added");
    let printed = format!("{event:?}");
    assert!(!printed.contains("0a1b2c3d") && printed.contains("[REDACTED]"), "{printed}");
    let Data::Application(application) = event.data else { panic!("{printed}") };
    assert_eq!(application.user_id.as_deref(), Some("4"));
    assert_eq!(application.access_token.unwrap().expose(), b"401122:0a1b2c3d4e5f60718293a4b5c6d7e8f9");
    assert_eq!(application.extra["url"], "https://example.com/cb");

    let removed = with_data("application", r#"{"user_id":4}"#);
    let removed = Application::from_event("application.removed", &removed).unwrap();
    assert_eq!((removed.user_id.as_deref(), removed.access_token.is_none()), (Some("4"), true));
}

#[test]
fn orders() {
    for (number, order_type) in [
        ("1", IncomingOrderType::Order),
        (r#""2""#, IncomingOrderType::Reservation),
        ("3", IncomingOrderType::Other("3".into())),
    ] {
        let data = with_data("incoming_order", &format!(r#"{{"type":{number},"spot_id":1}}"#));
        let order = IncomingOrder::from_event("incoming_order.added", &data).unwrap();
        assert_eq!((order.order_type, &order.extra["spot_id"]), (order_type, &json!(1)));
        let event = Event::from_event("incoming_order.added", &data).unwrap();
        assert!(matches!(event.data, Data::IncomingOrder(_)), "{event:?}");
    }

    let event: Event = read("transaction.closed", "poster_transaction_closed");
    assert_eq!((event.object, event.action), (Object::Transaction, Action::Closed));
    assert!(matches!(event.data, Data::None));

    let step = r#"{"transactions_history":{"type_history":"additem","time":1688722229115,"value":483,"value5":null,"value_text":"{\"price\":50}","user_id":6,"spot_tablet_id":1}}"#;
    let event = Event::from_event("transaction.changed", &with_data("transaction", step)).unwrap();
    let Data::Transaction(transaction) = event.data else { panic!("{:?}", event.data) };
    assert_eq!(transaction.step.step_type, StepType::AddItem);
    let alone = Transaction::from_event("transaction.changed", &with_data("transaction", step)).unwrap();
    assert_eq!(alone, transaction);
    assert_eq!(transaction.step.time, Some(Timestamp::from_millis(1_688_722_229_115)));
    assert_eq!(transaction.step.user_id.as_deref(), Some("6"));
    assert_eq!(transaction.step.spot_tablet_id.as_deref(), Some("1"));
    assert_eq!(transaction.step.extra["value"], 483);
    assert_eq!(transaction.step.extra["value_text"], r#"{"price":50}"#);
}

#[test]
fn its_words() {
    for (word, object) in [
        ("loyalty rule", Object::LoyaltyRule),
        ("loyalty_rule", Object::LoyaltyRule),
        ("Loyalty_Rule", Object::LoyaltyRule),
        ("cash_shift_transaction", Object::CashShiftTransaction),
        ("starship", Object::Other("starship".into())),
    ] {
        let event = Event::from_event("x", &with_data(word, "")).unwrap();
        assert_eq!(event.object, object);
    }
    for word in ["added", "changed", "removed", "transformed", "closed", "test"] {
        assert!(Action::KNOWN.contains(&word.into()), "{word}");
        assert_eq!(Action::from(word).as_str(), word);
    }
    for (at, element) in (1..).zip(ElementType::KNOWN) {
        assert_eq!(element.to_string(), at.to_string());
    }
    assert_eq!(ElementType::KNOWN.len(), 5);
    assert_eq!(ElementType::from("6"), ElementType::Other("6".into()));
    // A test makes no event; what is closed is an order.
    let documented = ["added", "changed", "removed", "transformed"];
    let of_any =
        Object::KNOWN.iter().flat_map(|object| documented.map(|action| format!("{object}.{action}")));
    assert_kinds(&Poster::new("x"), of_any.chain(["transaction.closed".to_owned()]));
    assert_eq!(Object::KNOWN.len(), 26);
}

#[test]
fn members_that_it_may_add_are_kept() {
    let event: Event = read("stock.changed", "poster_stock_changed");
    assert!(event.extra.is_empty(), "{event:?}");
    let newer =
        br#"{"account":"a","object":"dish","object_id":1,"action":"added","time":1,"data":null,"verify":"x",
        "account_number":"7","spot":{"id":2}}"#;
    let event = Event::from_event("dish.added", newer).unwrap();
    assert_eq!(json!(event.extra), json!({"spot": {"id": 2}}));
    let form = b"account=a&object=dish&object_id=1&action=added&time=1&spot=2";
    assert!(Event::from_event("dish.added", form).unwrap().extra.is_empty());
}

#[test]
fn what_is_not_as_documented_is_kept() {
    for (object, data, kept) in [
        ("stock", r#"{"type":9}"#, json!({"type": 9})),
        ("stock", "[2,512,1,-1,23.5]", json!([2, 512, 1, -1, 23.5])),
        ("transaction", r#"{"new":1}"#, json!({"new": 1})),
        ("starship", r#"{"warp":9}"#, json!({"warp": 9})),
        ("starship", "no JSON", json!("no JSON")),
    ] {
        let event = Event::from_event("x", &with_data(object, data)).unwrap();
        assert!(matches!(&event.data, Data::Other(value) if *value == kept), "{:?}", event.data);
        assert_eq!(event.time, None);
    }
    let more =
        r#"{"type":"7","element_id":1,"storage_id":1,"value_relative":1,"value_absolute":1,"unit":"kg"}"#;
    let stock = Stock::from_event("stock.changed", &with_data("stock", more)).unwrap();
    assert_eq!(stock.element_type, ElementType::Other("7".into()));
    assert_eq!(stock.extra["unit"], "kg");
}

#[test]
fn what_is_no_event_says_why() {
    let error = Stock::from_event("stock.changed", &with_data("stock", "{}")).unwrap_err();
    assert!(error.to_string().contains("stock.changed") && error.to_string().contains("`type`"), "{error}");
    let error = Stock::from_event("x", &sample("poster_transaction_closed")).unwrap_err();
    assert!(error.to_string().contains("no `data`"), "{error}");
    let error = Event::from_event("x", br#"{"account":"a"}"#).unwrap_err();
    assert!(error.to_string().contains("`object` is missing"), "{error}");
}
