//! Kladana's rules: compression, errors, limits, lists, reports.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;
use tokio::sync::Barrier;

use super::*;
use crate::provider::{
    Decimal, FromEvent,
    kladana::{EntityEvent, StockEvent},
};

/// A vendor that refuses what breaks its documented rules, and answers what is within them by `content`.
async fn strict<F>(timer: Arc<FastTimer>, content: F) -> Vendor
where
    F: Fn(&Parts) -> String + Clone + Send + Sync + 'static,
{
    let window = Arc::<Mutex<VecDeque<Instant>>>::default();
    Vendor::start(move |parts| {
        let judged = judge(&parts, &window, timer.instant());
        std::future::ready(match judged {
            Ok(remaining) => {
                let mut answer = json(content(&parts));
                answer.headers_mut().insert("x-ratelimit-remaining", remaining.into());
                answer
            }
            Err(refusal) => refusal,
        })
    })
    .await
}

/// How many calls are left within the window, or the refusal.
#[expect(clippy::result_large_err, reason = "a refusal is an answer")]
fn judge(parts: &Parts, window: &Mutex<VecDeque<Instant>>, now: Instant) -> Result<usize, Response> {
    let header = |name: header::HeaderName| parts.headers.get(name).map(|value| value.to_str().unwrap());
    if header(header::ACCEPT_ENCODING) != Some("gzip") {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response());
    }
    if header(header::AUTHORIZATION) != Some(&format!("Bearer {TOKEN}")) {
        let body = r#"{"errors":[{"error":"Authentication error: wrong token","code":1056}]}"#;
        return Err((StatusCode::UNAUTHORIZED, body).into_response());
    }
    if parts.uri.to_string().len() > 8_000 {
        return Err(StatusCode::URI_TOO_LONG.into_response());
    }
    let mut window = window.lock().unwrap();
    while window.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(3)) {
        window.pop_front();
    }
    if window.len() >= 45 {
        let body = r#"{"errors":[{"error":"The limit on the number of requests","code":1049}]}"#;
        let headers = [("x-lognex-retry-after", "3000"), ("x-lognex-retry-timeinterval", "3000")];
        return Err((StatusCode::TOO_MANY_REQUESTS, headers, body).into_response());
    }
    window.push_back(now);
    Ok(45 - window.len())
}

fn client(vendor: &Vendor, timer: &Arc<FastTimer>) -> Kladana {
    Kladana::new(&vendor.url(), TOKEN).unwrap().with_timer(timer.clone())
}

fn too_many(code: i64) -> (StatusCode, String) {
    (StatusCode::TOO_MANY_REQUESTS, format!(r#"{{"errors":[{{"error":"too many","code":{code}}}]}}"#))
}

#[tokio::test]
async fn an_entity_is_fetched_from_the_configured_host_whatever_its_href_says() {
    let (timer, evil) = (FastTimer::new(), Vendor::answers([json("{}")]).await);
    let vendor = strict(timer.clone(), |_| r#"{"id":"1","name":"tea"}"#.to_owned()).await;
    let notification = format!(
        r#"{{"events":[{{"meta":{{"type":"product","href":"{}/api/remap/1.2/entity/product/{PRODUCT}"}},"action":"UPDATE"}}]}}"#,
        evil.url()
    );
    let event = EntityEvent::from_event("product.update", notification.as_bytes()).unwrap();
    let product: Value = client(&vendor, &timer).fetch(&event.entity).await.unwrap();
    assert_eq!(product["name"], "tea");
    assert_eq!(vendor.targets(), [format!("/api/remap/1.2/entity/product/{PRODUCT}")]);
    assert!(evil.requests().is_empty());
}

#[tokio::test]
async fn what_an_answer_refers_to_is_fetched_from_the_configured_host_too() {
    #[derive(serde::Deserialize)]
    struct Order {
        agent: EntityRef,
    }
    let (timer, evil) = (FastTimer::new(), Vendor::answers([json("{}")]).await);
    let href = format!("{}/api/remap/1.2/entity/counterparty/{PRODUCT}", evil.url());
    let answer = format!(r#"{{"name":"tea","agent":{{"meta":{{"type":"counterparty","href":"{href}"}}}}}}"#);
    let vendor = strict(timer.clone(), move |_| answer.clone()).await;
    let client = client(&vendor, &timer);
    let order: Order = client.fetch(&EntityRef::new("customerorder", PRODUCT)).await.unwrap();
    client.fetch::<Value>(&order.agent).await.unwrap();
    assert_eq!(vendor.targets()[1], format!("/api/remap/1.2/entity/counterparty/{PRODUCT}"));
    assert!(evil.requests().is_empty());
}

#[tokio::test]
async fn strange_references_call_nothing() {
    let (timer, vendor) = (FastTimer::new(), Vendor::answers([json("{}")]).await);
    let client = client(&vendor, &timer);
    let mut nameless = product();
    nameless.id = None;
    for (entity, field) in [
        (EntityRef::new("../../evil", PRODUCT), "the entity's type"),
        (EntityRef::new("Product", PRODUCT), "the entity's type"),
        (EntityRef::new("", PRODUCT), "the entity's type"),
        (EntityRef::new("product?x=", PRODUCT), "the entity's type"),
        (EntityRef::new("product", "1/../../x"), "the id"),
        (nameless, "the id"),
    ] {
        let error = client.fetch::<Value>(&entity).await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable { field: named, .. } if named == field), "{error:?}");
    }
    for path in ["", "/entity", "entity//product", "entity/..", "entity/product?x=y", "https://evil.example/"]
    {
        let error = client.get::<Value>(path, &[]).await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable { field: "the path", .. }), "{path}: {error:?}");
    }
    let mut list = client.list::<Value>("../audit");
    assert!(matches!(list.next_page().await, Err(ClientError::Unusable { .. })));
    assert_eq!(list.next_page().await.unwrap(), None);
    assert!(vendor.requests().is_empty());
}

#[tokio::test]
async fn a_url_that_the_vendor_would_refuse_is_not_sent() {
    let timer = FastTimer::new();
    let vendor = strict(timer.clone(), |_| r#"{"meta":{"size":0},"rows":[]}"#.to_owned()).await;
    let client = client(&vendor, &timer);
    let ids = |count| (0..count).map(|_| format!("id={PRODUCT}")).collect::<Vec<_>>().join(";");
    assert_eq!(client.list::<Value>("product").filter(ids(140)).next_page().await.unwrap(), None);
    let error = client.list::<Value>("product").filter(ids(180)).next_page().await.unwrap_err();
    assert!(matches!(error, ClientError::Unusable { field: "the URL", .. }), "{error:?}");
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn wrong_credentials_are_said_and_not_shown() {
    let timer = FastTimer::new();
    let vendor = strict(timer.clone(), |_| "{}".to_owned()).await;
    let client = Kladana::new(&vendor.url(), "hunter2hunter2").unwrap();
    let error = client.fetch::<Value>(&product()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().contains("wrong token (error 1056)"), "{error}");
    assert!(!format!("{client:?}{}", all_of(&error)).contains("hunter2"), "{client:?}");
    assert_eq!(vendor.requests().len(), 1);
}

#[tokio::test]
async fn of_many_answers_at_once_all_errors_are_said_and_no_success() {
    let timer = FastTimer::new();
    let body = r#"[{"errors":[{"error":"no name","code":3000,"parameter":"name"}]},
        {"id":"75c8aa10-db16-11eb-0a80-0d0000000001","name":"tea"},
        {"errors":[{"error":"no such unit","code":1021},{"error":"no such group","code":1022}]}]"#;
    let vendor = Vendor::answers([(StatusCode::BAD_REQUEST, body)]).await;
    let error = client(&vendor, &timer).get::<Value>("entity/product", &[]).await.unwrap_err();
    assert!(
        matches!(error, ClientError::Vendor { status: StatusCode::BAD_REQUEST, code: Some(3000), .. }),
        "{error:?}"
    );
    let expected = "no name in name (error 3000); no such unit (error 1021); no such group (error 1022)";
    assert!(error.to_string().contains(expected) && !error.to_string().contains("tea"), "{error}");
    assert_eq!(
        (vendor.requests().len(), timer.waits()),
        (1, Vec::new()),
        "nothing that a repetition would mend"
    );
}

#[tokio::test]
async fn a_path_that_nobody_knows_is_no_news_of_the_entity() {
    for body in ["", "<html>no such page</html>", r#"{"detail":"Not Found"}"#, r#"{"errors":[]}"#] {
        let vendor = Vendor::answers([(StatusCode::NOT_FOUND, body)]).await;
        let client = Kladana::new(&format!("{}/api", vendor.url()), TOKEN).unwrap();
        let error = client.fetch::<Value>(&product()).await.optional().unwrap_err();
        assert!(matches!(error, ClientError::Vendor { status: StatusCode::NOT_FOUND, .. }), "{error:?}");
        assert!(error.to_string().contains("the base URL may lack its path, /api/remap/1.2"), "{error}");
    }
}

#[tokio::test]
async fn a_login_goes_by_basic_authentication() {
    let vendor = Vendor::answers([json("{}")]).await;
    let client = Kladana::new(&vendor.url(), Credentials::login("admin@shop", "hunter2")).unwrap();
    client.fetch::<Value>(&product()).await.unwrap();
    // echo -n admin@shop:hunter2 | base64
    assert_eq!(vendor.requests()[0].headers[header::AUTHORIZATION], "Basic YWRtaW5Ac2hvcDpodW50ZXIy");
}

#[tokio::test]
async fn the_wait_that_the_vendor_names_is_kept_to_the_millisecond() {
    let (timer, (status, body)) = (FastTimer::new(), too_many(1049));
    let headers = [("x-lognex-retry-after", "1500"), ("x-lognex-retry-timeinterval", "3000")];
    let vendor = Vendor::answers([(status, headers, body).into_response(), json(r#"{"name":"tea"}"#)]).await;
    client(&vendor, &timer).fetch::<Value>(&product()).await.unwrap();
    assert_eq!(timer.waits(), [Duration::from_millis(1500)]);
}

#[tokio::test]
async fn too_many_at_once_is_a_short_pause() {
    let timer = FastTimer::new();
    let vendor = Vendor::answers([too_many(1073).into_response(), json("{}")]).await;
    client(&vendor, &timer).fetch::<Value>(&product()).await.unwrap();
    assert!(matches!(timer.waits()[..], [wait] if wait <= Duration::from_millis(250)), "{:?}", timer.waits());
}

#[tokio::test]
async fn the_limit_of_45_in_3_s_is_kept_and_used() {
    let timer = FastTimer::new();
    let vendor = strict(timer.clone(), |_| "{}".to_owned()).await;
    // A single refusal would end the test.
    let options = ClientOptions { attempts: 1, ..ClientOptions::default() };
    let client = Kladana::with_options(&vendor.url(), TOKEN, options).unwrap().with_timer(timer.clone());
    for _ in 0..150 {
        client.fetch::<Value>(&product()).await.unwrap();
    }
    assert!(timer.passed() < Duration::from_secs(13), "slower than need be: {:?}", timer.passed());
}

#[tokio::test]
async fn what_others_have_used_up_is_rested_for() {
    let timer = FastTimer::new();
    let used_up =
        [("x-ratelimit-remaining", "0"), ("x-lognex-retry-timeinterval", "3000"), ("x-lognex-reset", "0")];
    let vendor = Vendor::answers([(used_up, "{}").into_response(), json("{}")]).await;
    let client = client(&vendor, &timer);
    client.fetch::<Value>(&product()).await.unwrap();
    assert_eq!(timer.passed(), Duration::ZERO);
    client.clone().fetch::<Value>(&product()).await.unwrap();
    assert_eq!(timer.passed(), Duration::from_secs(3));
}

#[tokio::test]
async fn dearer_calls_go_slower() {
    let timer = FastTimer::new();
    let vendor = strict(timer.clone(), |_| "{}".to_owned()).await;
    let client = client(&vendor, &timer).units_per_call(4);
    for _ in 0..12 {
        client.fetch::<Value>(&product()).await.unwrap();
    }
    // 48 units, which nobody gets within 3 s.
    assert!(timer.passed() > Duration::from_secs(3), "{:?}", timer.passed());
}

#[tokio::test]
async fn five_calls_run_at_once_and_never_six() {
    let (running, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let vendor = Vendor::start({
        // None of five is answered before all five have come.
        let (all, running, most) = (Arc::new(Barrier::new(5)), running.clone(), most.clone());
        move |_| {
            let (all, running, most) = (all.clone(), running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                all.wait().await;
                running.fetch_sub(1, Ordering::SeqCst);
                json("{}")
            }
        }
    })
    .await;
    let client = client(&vendor, &FastTimer::new());
    let calls = (0..20).map(|_| {
        let client = client.clone();
        async move { client.fetch::<Value>(&product()).await }
    });
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    assert_eq!(most.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn lists_are_paged_by_offsets_and_next_hrefs_are_not_called() {
    let (timer, evil) = (FastTimer::new(), Vendor::answers([json("{}")]).await);
    let next = evil.url();
    let vendor = strict(timer.clone(), move |parts| {
        let query: Vec<(String, String)> =
            form_urlencoded::parse(parts.uri.query().unwrap().as_bytes()).into_owned().collect();
        let number = |name| query.iter().find(|(key, _)| key == name).unwrap().1.parse::<u64>().unwrap();
        let (limit, offset) = (number("limit"), number("offset"));
        let rows: Vec<_> = (offset..(offset + limit).min(250)).collect();
        format!(r#"{{"meta":{{"size":250,"limit":{limit},"offset":{offset},"nextHref":"{next}"}},"rows":{rows:?}}}"#)
    })
    .await;
    let since = Timestamp::parse_rfc3339("2026-01-23T07:00:00Z").unwrap();
    let mut list = client(&vendor, &timer).list::<u64>("product").filter("name~чай+").since(since).limit(100);
    let mut rows = Vec::new();
    while let Some(page) = list.next_page().await.unwrap() {
        rows.extend(page);
    }
    assert_eq!(rows, (0..250).collect::<Vec<_>>());
    assert_eq!(list.next_page().await.unwrap(), None);
    let target = |offset| {
        format!(
            "/api/remap/1.2/entity/product?limit=100&offset={offset}&filter=name%7E%D1%87%D0%B0%D0%B9%2B%3B\
             updated%3E%3D2026-01-23%2010%3A00%3A00&order=updated%2Cdesc"
        )
    };
    assert_eq!(vendor.targets(), [target(0), target(100), target(200)]);
    assert!(evil.requests().is_empty());
}

#[tokio::test]
async fn pages_are_never_longer_than_the_vendor_gives() {
    let timer = FastTimer::new();
    let vendor = strict(timer.clone(), |_| r#"{"meta":{"size":0},"rows":[]}"#.to_owned()).await;
    let client = client(&vendor, &timer);
    client.list::<Value>("product").limit(5_000).next_page().await.unwrap();
    client.list::<Value>("product").expand("images").next_page().await.unwrap();
    client.audit::<Value>().limit(5_000).next_page().await.unwrap();
    let targets = vendor.targets();
    assert!(targets[0].ends_with("/entity/product?limit=1000&offset=0"), "{targets:?}");
    assert!(targets[1].ends_with("/entity/product?limit=100&offset=0&expand=images"), "{targets:?}");
    assert!(targets[2].ends_with("/audit?limit=100&offset=0"), "{targets:?}");
}

#[tokio::test]
async fn the_audit_is_read_for_what_was_missed() {
    let timer = FastTimer::new();
    let vendor =
        strict(timer.clone(), |_| include_str!("../../../tests/samples/kladana_audit_list.json").to_owned())
            .await;
    let client = client(&vendor, &timer);
    let since = Timestamp::parse_rfc3339("2026-01-23T07:00:00Z").unwrap();
    let mut audit = client.audit::<AuditEntry>().since(since).filter("entityType=customerorder");
    let [entry] = &audit.next_page().await.unwrap().unwrap()[..] else { panic!("not one") };
    assert_eq!(entry.entity_type.as_deref(), Some("customerorder"));
    assert_eq!(entry.moment, Timestamp::parse_rfc3339("2026-01-23T07:44:23Z"));
    drop(client.audit_events::<Value>(&entry.id).next_page().await.unwrap());
    assert_eq!(
        vendor.targets(),
        [
            "/api/remap/1.2/audit?limit=100&offset=0&filter=moment%3E%3D2026-01-23%2010%3A00%3A00%3BentityType%3Dcustomerorder"
                .to_owned(),
            format!("/api/remap/1.2/audit/{}/events?limit=100&offset=0", entry.id),
        ]
    );
}

async fn stock(notification: &str, report: &'static str) -> (StockReport, Vec<String>) {
    let timer = FastTimer::new();
    let vendor = strict(timer.clone(), move |_| report.to_owned()).await;
    let event = StockEvent::from_event("stock.all", notification.as_bytes()).unwrap();
    let report = client(&vendor, &timer).stock(&event).await.unwrap();
    (report, vendor.targets())
}

#[tokio::test]
async fn a_stock_notification_becomes_levels() {
    let (report, targets) = stock(
        include_str!("../../../tests/samples/kladana_stock_bystore.json"),
        include_str!("../../../tests/samples/kladana_report_stock_bystore_current.json"),
    )
    .await;
    assert_eq!(
        targets,
        [
            "/api/remap/1.2/report/stock/bystore/current?stockType=stock&changedSince=2026-01-23%2010%3A40%3A00"
        ]
    );
    assert_eq!(report.changed_since, Timestamp::parse_rfc3339("2026-01-23T10:40:00+03:00"));
    let levels: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.store_id.is_some(), row.stock.as_ref().map(|level| level.as_str().to_owned())))
        .collect();
    assert_eq!(levels, [(true, Some("4".to_owned())), (false, Some("-5".to_owned())), (true, None)]);
    let (report, _) = stock(
        include_str!("../../../tests/samples/kladana_stock_all.json"),
        include_str!("../../../tests/samples/kladana_report_stock_all_current.json"),
    )
    .await;
    assert_eq!(report.rows[2].stock.as_ref().map(Decimal::as_str), Some("46.5"));
}

#[tokio::test]
async fn a_period_that_the_vendor_no_longer_reports_becomes_all_levels() {
    for url in [
        "https://evil.example/api/remap/1.2/report/stock/all/current?changedSince=2026-01-22 10:44:00",
        "https://evil.example/?fromDate=2027-01-01 00:00:00",
        "https://evil.example/?changedSince=x%26limit=1",
        "https://evil.example/",
    ] {
        let notification = format!(r#"{{"reportType":"all","stockType":"stock","reportUrl":"{url}"}}"#);
        let (report, targets) = stock(&notification, "[]").await;
        assert_eq!(
            targets,
            ["/api/remap/1.2/report/stock/all/current?stockType=stock&include=zeroLines"],
            "{url}"
        );
        assert_eq!(report.changed_since, None);
    }
}

#[tokio::test]
async fn an_unknown_report_is_not_asked_for() {
    let client = Kladana::new("api.kladana.com", TOKEN).unwrap();
    for (notification, field) in [
        (r#"{"reportType":"../evil","stockType":"stock"}"#, "the report's type"),
        (r#"{"reportType":"all","stockType":"x&y"}"#, "the type of stock"),
    ] {
        let event = StockEvent::from_event("stock.all", notification.as_bytes()).unwrap();
        let error = client.stock(&event).await.unwrap_err();
        assert!(matches!(error, ClientError::Unusable { field: named, .. } if named == field), "{error:?}");
    }
}
