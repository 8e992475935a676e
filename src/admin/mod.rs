//! The admin listener: health, metrics and the JSON API by which an operator lists, reads and replays what came in.
//!
//! Everything but `/livez` and the one word of `/readyz` needs the token. The contract of each path is in
//! `openapi.json`, which the listener serves itself.

mod auth;
mod extract;
mod feed;
mod health;
mod listing;
mod problem;
mod replay;
mod stats;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(feature = "cli")]
pub(crate) mod token;
pub(crate) mod view;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::AtomicBool},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderValue, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use futures_util::future::BoxFuture;

use self::problem::Problem;
use crate::{
    Route, Source, clock::Clock, ingress::RefusedLog, journal::Store, live::Live, metrics::Metrics,
    provider::Secrets,
};

/// The requests that this API takes are small; nothing larger is read.
const BODY_LIMIT: usize = 16 * 1024;

/// What the admin listener shows and acts on.
#[derive(Clone)]
pub(crate) struct AdminContext {
    pub(crate) store: Arc<dyn Store>,
    /// The configured sources by name, to read quarantined deliveries afresh.
    pub(crate) sources: Arc<HashMap<String, Source>>,
    /// The configured routes, to route afresh what none wanted.
    pub(crate) routes: Arc<[Route]>,
    pub(crate) metrics: Metrics,
    pub(crate) refused: Arc<RefusedLog>,
    /// Closing it ends the feeds of `/api/live`.
    pub(crate) live: Live,
    pub(crate) clock: Arc<dyn Clock>,
    /// What is wrong with the workers, in words.
    pub(crate) workers: Arc<dyn Fn() -> Option<String> + Send + Sync>,
    /// What the Redis that jobs wait in can lose; `None`: there is none.
    pub(crate) redis: Option<AskRedis>,
    /// The tokens that open this listener; with none it stays shut.
    pub(crate) token: Secrets,
    /// Hides what a payload holds and nobody should see.
    pub(crate) mask: Masking,
    /// Whether this process is about to stop, so that a load balancer should look elsewhere.
    pub(crate) draining: Arc<AtomicBool>,
}

impl fmt::Debug for AdminContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminContext").finish_non_exhaustive()
    }
}

/// Copies a payload with its secrets masked.
pub(crate) type Masking = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// Asks Redis what it can lose: a list of findings. Answers in a bounded time, whatever Redis does.
pub(crate) type AskRedis = Arc<dyn Fn() -> BoxFuture<'static, serde_json::Value> + Send + Sync>;

type Context = Arc<AdminContext>;

/// The admin listener's paths, to be served or called in-process.
pub(crate) fn router(context: AdminContext) -> Router {
    let context = Arc::new(context);
    let collect = |endpoints: Vec<(&'static str, MethodRouter<Context>)>| {
        endpoints
            .into_iter()
            .fold(Router::new(), |router, (path, methods)| router.route(path, methods))
            .method_not_allowed_fallback(method_not_allowed)
    };
    let guarded = collect(guarded_endpoints())
        .fallback(not_found)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(context.clone(), auth::demand));
    collect(open_endpoints())
        .merge(guarded)
        .layer(middleware::map_response(forbid_caching))
        .with_state(context)
}

/// What answers without the token, although it may tell more with it.
fn open_endpoints() -> Vec<(&'static str, MethodRouter<Context>)> {
    vec![("/livez", get(health::livez)), ("/readyz", get(health::readyz))]
}

fn guarded_endpoints() -> Vec<(&'static str, MethodRouter<Context>)> {
    vec![
        ("/metrics", get(stats::metrics)),
        ("/api/deliveries", get(listing::deliveries)),
        ("/api/deliveries/{id}", get(listing::delivery)),
        ("/api/deliveries/{id}/replay", post(replay::delivery)),
        ("/api/jobs", get(listing::jobs)),
        ("/api/jobs/{id}/replay", post(replay::job)),
        ("/api/jobs/{id}/discard", post(listing::discard)),
        ("/api/replay", post(replay::bulk)),
        ("/api/stats", get(stats::stats)),
        ("/api/refused", get(stats::refused)),
        ("/api/live", get(feed::live)),
        ("/api/openapi.json", get(openapi)),
    ]
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("openapi.json"))
}

async fn not_found() -> Problem {
    Problem::not_found("there is nothing at this path; /api/openapi.json lists the paths there are")
}

async fn method_not_allowed() -> Problem {
    Problem::method_not_allowed(
        "this path does not take this method; the `allow` header names those it takes",
    )
}

/// What is shown here is private and out of date a moment later.
async fn forbid_caching(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
