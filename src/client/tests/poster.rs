//! Poster's ways: errors with status 200, a token in the URL that nobody may see.

use serde_json::Value;

use super::*;
use crate::provider::{FromEvent, poster::Event};

const TRANSACTION: &str = include_str!("../../../tests/samples/poster_transaction_closed.json");

/// A vendor that wants the token, and answers `content`.
async fn vendor(content: &'static str) -> Vendor {
    Vendor::start(move |parts| {
        let query: Vec<(String, String)> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let right = query.first().is_some_and(|(name, value)| name == "token" && value == TOKEN);
        let refusal = r#"{"error":{"code":11,"message":"Bad access token"}}"#;
        std::future::ready(json(if right { content } else { refusal }))
    })
    .await
}

fn event(object: &str, data: &str) -> Event {
    let message = serde_json::json!({
        "account": "demo-cafe", "object": object, "object_id": 7, "action": "changed", "time": "1767168000",
        "verify": "0", "data": data,
    });
    Event::from_event("x.changed", message.to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_transaction_is_fetched_by_its_notification() {
    let vendor = vendor(include_str!("../../../tests/samples/poster_api_dash_getTransaction.json")).await;
    let poster = Poster::new(&vendor.url(), TOKEN).unwrap();
    let event = Event::from_event("transaction.closed", TRANSACTION.as_bytes()).unwrap();
    let transaction: Value = poster.fetch(&event).await.unwrap();
    assert_eq!(transaction["payed_sum"], "4500");
    let token = TOKEN.replace(':', "%3A");
    assert_eq!(vendor.targets(), [format!("/api/dash.getTransaction?token={token}&transaction_id=41873")]);
}

#[tokio::test]
async fn each_object_has_its_method() {
    let vendor = vendor(r#"{"response":{"name":"tea"}}"#).await;
    let poster = Poster::new(&vendor.url(), TOKEN).unwrap();
    for (object, data, expected) in [
        ("product", "", "menu.getProduct?product_id=7"),
        ("dish", "", "menu.getProduct?product_id=7"),
        ("category", "", "menu.getCategory?category_id=7"),
        ("ingredient", "", "menu.getIngredient?ingredient_id=7"),
        ("ingredients_category", "", "menu.getCategoryIngredients?category_id=7"),
        ("workshop", "", "menu.getWorkshop?workshop_id=7"),
        ("client", "", "clients.getClient?client_id=7"),
        ("clients_group", "", "clients.getGroup?group_id=7"),
        ("supply", "", "storage.getSupply?supply_id=7"),
        ("storage", "", "storage.getStorage?storage_id=7"),
        ("book_transaction", "", "finance.getTransaction?transaction_id=7"),
        ("incoming_order", r#"{"type":1}"#, "incomingOrders.getIncomingOrder?incoming_order_id=7"),
        ("incoming_order", r#"{"type":"2"}"#, "incomingOrders.getReservation?incoming_order_id=7"),
    ] {
        poster.fetch::<Value>(&event(object, data)).await.unwrap();
        let target = vendor.targets().pop().unwrap();
        let token = format!("token={}&", TOKEN.replace(':', "%3A"));
        assert_eq!(target.replace(&token, ""), format!("/api/{expected}"));
    }
    let asked = vendor.requests().len();
    for (object, data) in [("stock", "{}"), ("incoming_order", r#"{"type":3}"#), ("../x", "")] {
        let error = poster.fetch::<Value>(&event(object, data)).await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable { field: "the object", .. }), "{error:?}");
    }
    for method in ["", "../x", "dash.", "dash.getTransaction?x", "a/b"] {
        let error = poster.get::<Value>(method, &[]).await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable { field: "the method", .. }), "{error:?}");
    }
    assert_eq!(vendor.requests().len(), asked);
}

#[tokio::test]
async fn errors_with_status_200_are_errors() {
    for (body, case) in [
        (r#"{"error":{"code":12,"message":"expired"}}"#, "Unauthorized"),
        (include_str!("../../../tests/samples/poster_api_error_flat.json"), "Vendor"),
        (r#"{"error":404,"message":"Record not found"}"#, "NotFound"),
        (r#"{"error":{"code":32,"message":"The ID doesn't exist"}}"#, "NotFound"),
        (r#"{"response":[]}"#, "NotFound"),
        (r#"{"response":false}"#, "NotFound"),
        (r#"{"answer":[]}"#, "Unreadable"),
    ] {
        let vendor = vendor(body).await;
        let poster = Poster::new(&vendor.url(), TOKEN).unwrap();
        let error = poster.fetch::<Value>(&event("client", "")).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(case), "{body}: {error:?}");
        assert_eq!(vendor.requests().len(), 1, "{body}");
    }
    let vendor = vendor(include_str!("../../../tests/samples/poster_api_error_flat.json")).await;
    let error = Poster::new(&vendor.url(), TOKEN).unwrap().get::<Value>("dash.getTransaction", &[]).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "poster: GET /api/dash.getTransaction: refused (200 OK, code 42: transaction_id is undefined)"
    );
}

#[tokio::test]
async fn a_rate_limit_is_waited_for() {
    let limited = || json(r#"{"error":{"code":700,"message":"Rate restriction"}}"#);
    let mut later = limited();
    later.headers_mut().insert(header::RETRY_AFTER, 2.into());
    let vendor = Vendor::answers([limited(), later, json(r#"{"response":1}"#)]).await;
    let timer = FastTimer::new();
    let poster = Poster::new(&vendor.url(), TOKEN).unwrap().with_timer(timer.clone());
    assert_eq!(poster.get::<u8>("settings.getAllSettings", &[]).await.unwrap(), 1);
    let [first, second] = timer.waits()[..] else { panic!("{:?}", timer.waits()) };
    assert!(first <= Duration::from_millis(250) && second == Duration::from_secs(2), "{first:?} {second:?}");
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn the_token_is_in_no_error_and_no_line_of_the_log() {
    use tracing_subscriber::{fmt::MakeWriter, util::SubscriberInitExt as _};

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl MakeWriter<'_> for Log {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    // Where there is a single subscriber, a thread of another test, which has none, switches off for all what it meets
    // first.
    let _another = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_max_level(tracing::Level::TRACE);
    let _guard = subscriber.finish().set_default();
    // Beside one subscriber alone, a line that another test's thread reaches first would be switched off for all.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let encoded = TOKEN.replace(':', "%3A");
    let echo = |status: u16| {
        let body = format!(r#"{{"error":{{"code":1,"message":"bad token={TOKEN} or {encoded}"}}}}"#);
        (StatusCode::from_u16(status).unwrap(), body).into_response()
    };
    let redirect = (StatusCode::FOUND, [(header::LOCATION, format!("/?token={TOKEN}"))]).into_response();
    let garbage = json(format!("{TOKEN} {encoded}"));
    let string = json(format!(r#"{{"response":"{TOKEN}"}}"#));
    let vendor = Vendor::answers([echo(200), echo(401), echo(500), redirect, garbage, string]).await;
    let mut options = ClientOptions { attempts: 1, ..ClientOptions::default() };
    let poster = Poster::with_options(&vendor.url(), TOKEN, options.clone()).unwrap();
    let mut shown = format!("{poster:?}");
    for _ in 0..6 {
        shown += &all_of(&poster.get::<u64>("dash.getTransaction", &[]).await.unwrap_err());
    }
    let hung = Vendor::start(|_| std::future::pending()).await;
    options.timeout = Duration::from_millis(30);
    let (_socket, nobody) = nobody();
    for base in [hung.url(), nobody] {
        let poster = Poster::with_options(&base, TOKEN, options.clone()).unwrap();
        shown += &all_of(&poster.get::<u64>("dash.getTransaction", &[]).await.unwrap_err());
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("dash.getTransaction") && shown.contains("[REDACTED]"), "{log}\n{shown}");
    for secret in [TOKEN, &encoded, "4164553abf6a"] {
        assert!(!shown.contains(secret), "{shown}");
        assert!(!log.contains(secret), "{log}");
    }
}
