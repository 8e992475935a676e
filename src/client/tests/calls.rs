//! What every client does, shown by Kladana's: hosts, redirects, attempts, time, size.

use serde_json::Value;

use super::*;

fn client(vendor: &Vendor, timer: &Arc<FastTimer>, options: ClientOptions) -> Kladana {
    Kladana::with_options(&vendor.url(), TOKEN, options).unwrap().with_timer(timer.clone())
}

async fn fetch(vendor: &Vendor, timer: &Arc<FastTimer>) -> Result<Value, ClientError> {
    client(vendor, timer, ClientOptions::default()).fetch(&product()).await
}

fn status(status: u16) -> Response {
    StatusCode::from_u16(status).unwrap().into_response()
}

#[tokio::test]
async fn redirects_are_not_followed_and_the_token_stays_here() {
    let elsewhere = Vendor::answers([json("{}")]).await;
    for code in [301, 302, 303, 307, 308] {
        let to = format!("{}/catch?{TOKEN}", elsewhere.url());
        let vendor = Vendor::answers([(StatusCode::from_u16(code).unwrap(), [(header::LOCATION, to)])]).await;
        let error = fetch(&vendor, &FastTimer::new()).await.unwrap_err();
        let ClientError::Redirected { to, .. } = &error else { panic!("{error:?}") };
        assert_eq!(to.as_deref(), Some(elsewhere.url().as_str()));
        assert!(!all_of(&error).contains(TOKEN), "{error}");
        assert_eq!(vendor.requests().len(), 1);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn trouble_is_tried_again_with_growing_pauses() {
    let vendor = Vendor::answers([status(500), status(503), status(408), json(r#"{"name":"tea"}"#)]).await;
    let timer = FastTimer::new();
    assert_eq!(fetch(&vendor, &timer).await.unwrap()["name"], "tea");
    let waits: Vec<_> = timer.waits().iter().map(Duration::as_millis).collect();
    let [first, second, third] = waits[..] else { panic!("{waits:?}") };
    assert!((125..=250).contains(&first) && (250..=500).contains(&second), "{waits:?}");
    assert!((500..=1000).contains(&third), "{waits:?}");
}

#[tokio::test]
async fn trouble_that_stays_is_said_with_what_the_vendor_said() {
    let body = r#"{"errors":[{"error":"works are under way","code":1074}]}"#;
    let vendor = Vendor::answers((0..4).map(|_| (StatusCode::SERVICE_UNAVAILABLE, body))).await;
    let error = fetch(&vendor, &FastTimer::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "kladana: GET /api/remap/1.2/entity/product/{PRODUCT}: the vendor is in trouble (503 Service Unavailable: \
             works are under way (error 1074))"
        )
    );
    assert_eq!(vendor.requests().len(), 4);
}

fn refused(code: u16) -> Response {
    let body = r#"{"errors":[{"error":"no such entity","code":1021}]}"#;
    (StatusCode::from_u16(code).unwrap(), body).into_response()
}

#[tokio::test]
async fn what_is_refused_is_not_asked_again() {
    for (code, case) in [(400, "Vendor"), (401, "Unauthorized"), (403, "Vendor"), (404, "NotFound")] {
        let vendor = Vendor::answers([refused(code)]).await;
        let timer = FastTimer::new();
        let error = fetch(&vendor, &timer).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(case), "{code}: {error:?}");
        assert_eq!((vendor.requests().len(), timer.waits().len()), (1, 0), "{code}");
    }
}

#[tokio::test]
async fn what_is_not_there_can_be_nothing() {
    let vendor = Vendor::answers([refused(404), refused(403)]).await;
    let client = client(&vendor, &FastTimer::new(), ClientOptions::default());
    assert_eq!(client.fetch::<Value>(&product()).await.optional().unwrap(), None);
    assert!(matches!(
        client.fetch::<Value>(&product()).await.optional(),
        Err(ClientError::Vendor { status: StatusCode::FORBIDDEN, .. })
    ));
}

#[tokio::test]
async fn a_vendor_that_does_not_answer_is_given_up() {
    let vendor = Vendor::start(|_| std::future::pending()).await;
    let mut options = ClientOptions::default();
    (options.timeout, options.attempts) = (Duration::from_millis(500), 2);
    let error = client(&vendor, &FastTimer::new(), options).fetch::<Value>(&product()).await.unwrap_err();
    let ClientError::NoAnswer { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.downcast_ref().is_some_and(reqwest::Error::is_timeout), "{error:?}");
    assert_eq!(vendor.requests().len(), 2);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_asked_for_again() {
    let vendor = Vendor::start({
        let first = Arc::new(Mutex::new(true));
        move |_| {
            let broken = Body::from_stream(futures_util::stream::iter([
                Ok(r#"{"name""#),
                Err(std::io::Error::other("the cable")),
            ]));
            let first = std::mem::take(&mut *first.lock().unwrap());
            std::future::ready(if first { broken.into_response() } else { json(r#"{"name":"tea"}"#) })
        }
    })
    .await;
    assert_eq!(fetch(&vendor, &FastTimer::new()).await.unwrap()["name"], "tea");
}

#[tokio::test]
async fn nobody_at_home_is_no_answer() {
    let ((_socket, url), timer) = (nobody(), FastTimer::new());
    let client = Kladana::new(&url, TOKEN).unwrap().with_timer(timer.clone());
    let error = client.fetch::<Value>(&product()).await.unwrap_err();
    let ClientError::NoAnswer { source, .. } = &error else { panic!("{error:?}") };
    assert!(source.downcast_ref().is_some_and(reqwest::Error::is_connect), "{error:?}");
    assert_eq!(timer.waits().len(), 3);
}

#[tokio::test]
async fn an_answer_that_swells_when_it_is_decompressed_is_cut_off() {
    let bomb = vec![b' '; 8 << 20];
    assert!(gzipped(&bomb).len() < 64 << 10);
    let vendor = Vendor::answers([json(&bomb), json(r#"{"n":1}"#)]).await;
    let options = ClientOptions { body_limit: 64 << 10, ..ClientOptions::default() };
    let client = client(&vendor, &FastTimer::new(), options);
    let error = client.fetch::<Value>(&product()).await.unwrap_err();
    assert!(matches!(error, ClientError::TooLarge { limit: 65_536, .. }), "{error:?}");
    assert_eq!(client.fetch::<Value>(&product()).await.unwrap()["n"], 1);
}

#[tokio::test]
async fn an_answer_of_another_shape_is_told_from_one_that_is_no_json() {
    for (body, shape) in [(r#"{"name":1}"#, true), ("<html>", false), ("", false)] {
        let vendor = Vendor::answers([json(body)]).await;
        let client = client(&vendor, &FastTimer::new(), ClientOptions::default());
        let error = client.fetch::<Vec<String>>(&product()).await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Unreadable { in_shape, .. } if *in_shape == shape),
            "{error:?}"
        );
        assert_eq!(vendor.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_wait_that_does_not_fit_is_left_to_the_caller() {
    let vendor = Vendor::answers([(
        StatusCode::TOO_MANY_REQUESTS,
        [("x-lognex-retry-after", "60000")],
        r#"{"errors":[{"error":"The limit on the number of requests","code":1049}]}"#,
    )])
    .await;
    let timer = FastTimer::new();
    let error = fetch(&vendor, &timer).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(60)));
    assert!(matches!(error, ClientError::RateLimited { code: Some(1049), .. }), "{error:?}");
    assert!(timer.waits().is_empty(), "{error:?}");
    // The vendor's own words, by which its support can be asked.
    let text = error.to_string();
    assert!(text.contains("(code 1049): The limit on the number of requests"), "{text}");
    assert!(text.ends_with("again in 60s"), "{text}");
}

#[tokio::test]
async fn credentials_that_no_header_takes_are_refused_when_the_client_is_made() {
    for token in ["", "two\nlines", "\u{7f}"] {
        let error = Kladana::new("api.kladana.com", token).unwrap_err().to_string();
        assert!(error.contains("the secret \"[REDACTED]\" can't be used"), "{error}");
    }
    let error = Kladana::new("api.kladana.com", Credentials::login("a:b@shop", "x")).unwrap_err();
    assert!(error.to_string().contains("the login \"a:b@shop\""), "{error}");
}
