//! `kladana_enrich`, with a Kladana of the test's own that keeps to the rules for clients.

use std::{
    io::Write as _,
    path::Path,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path as UrlPath, State},
    response::{IntoResponse, Response},
    routing::get,
};
use doorbell::{
    clock::{Clock, SystemClock},
    testing::Sender,
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, StatusCode, header};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{Example, post};

const PRODUCT: &str = "75c8aa10-db16-11eb-0a80-0d0000000001";
/// One that the vendor does not show yet.
const NEW: &str = "75c8aa10-db16-11eb-0a80-0d0000000002";

/// What the vendor knows of the product; `None` once it is deleted. It knows no other.
type Shelf = Arc<Mutex<Option<Value>>>;

// The example and its vendor run at the same time, while the test waits for what the example prints.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn kladana_enrich() {
    let shelf = Shelf::default();
    let (missed, not_found) = mpsc::channel();
    let vendor = vendor((shelf.clone(), missed)).await;
    tokio::task::spawn_blocking(move || enriches(&vendor, &shelf, &not_found)).await.unwrap();
}

fn enriches(vendor: &str, shelf: &Shelf, not_found: &mpsc::Receiver<()>) {
    let folder = tempfile::tempdir().unwrap();
    let variables = [("KLADANA_URL", vendor), ("KLADANA_TOKEN", "a-made-up-token")];
    let mut example = Example::start_in(folder.path(), "kladana_enrich", &["127.0.0.1:0"], &variables);
    let url = example.line();
    let mut unique = 0;
    let mut after = |action: &str, now: Option<(&str, &str)>| {
        *shelf.lock().unwrap() =
            now.map(|(name, updated)| json!({"id": PRODUCT, "name": name, "updated": updated}));
        unique += 1;
        notify(&url, PRODUCT, action, unique);
        example.line()
    };
    let (tea, gone) = (format!("product {PRODUCT}: tea"), format!("product {PRODUCT} is gone"));
    let nothing_new = format!("product {PRODUCT}: nothing new");
    assert_eq!(after("CREATE", Some(("tea", "2026-01-23 10:44:23.000"))), tea);
    assert_eq!(after("UPDATE", Some(("te", "2026-01-23 10:44:22.999"))), nothing_new, "that is older");
    assert_eq!(stored(folder.path()), [(PRODUCT.to_owned(), "tea".to_owned(), false)]);
    assert_eq!(after("UPDATE", Some(("tea", "2026-01-23 10:44:24.000"))), tea);
    assert_eq!(after("DELETE", None), gone);
    assert_eq!(after("UPDATE", Some(("tea", "2026-01-23 10:44:25.000"))), gone, "it stays gone");
    // What is not found is not gone: only a notification of its deletion says that.
    notify(&url, NEW, "CREATE", 99);
    not_found.recv_timeout(Duration::from_secs(60)).unwrap();
    #[cfg(feature = "cli")]
    super::play("kladana_enrich", &url);
    example.stop();
    assert_eq!(stored(folder.path()), [(PRODUCT.to_owned(), "tea".to_owned(), true)]);
}

/// As Kladana notifies. The href leads nowhere, and nothing may call it.
fn notify(printed: &str, product: &str, action: &str, unique: u128) {
    let body = json!({"events": [{
        "meta": {"type": "product", "href": format!("http://127.0.0.1:1/api/remap/1.2/entity/product/{product}")},
        "action": action,
    }]});
    let body = body.to_string().into_bytes();
    let request = Sender::Kladana.sign(None, SystemClock.now(), unique, body).unwrap();
    let url = format!("{printed}?{}", request.query.unwrap());
    let answer = post(&url, &request.headers, &request.body);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"status":"ok"}"#), "{answer}");
}

fn stored(folder: &Path) -> Vec<(String, String, bool)> {
    let products = Connection::open(folder.join("products.db")).unwrap();
    let mut all = products.prepare("SELECT id, name, gone FROM product").unwrap();
    let rows = all.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

async fn vendor(state: (Shelf, mpsc::Sender<()>)) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/api/remap/1.2/entity/product/{id}", get(show)).with_state(state);
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn show(
    State((shelf, missed)): State<(Shelf, mpsc::Sender<()>)>,
    id: UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    let is = |name: header::HeaderName, value: &str| headers.get(name).is_some_and(|found| found == value);
    if !is(header::ACCEPT_ENCODING, "gzip") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    if !is(header::AUTHORIZATION, "Bearer a-made-up-token") {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    match shelf.lock().unwrap().as_ref().filter(|_| *id == PRODUCT) {
        None => {
            missed.send(()).unwrap();
            let body = r#"{"errors":[{"error":"the object is not found","code":1021}]}"#;
            (StatusCode::NOT_FOUND, body).into_response()
        }
        Some(product) => {
            let mut body = GzEncoder::new(Vec::new(), Compression::fast());
            body.write_all(product.to_string().as_bytes()).unwrap();
            ([(header::CONTENT_ENCODING, "gzip")], body.finish().unwrap()).into_response()
        }
    }
}
