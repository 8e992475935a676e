//! The admin API, asked over HTTP while a service runs, or called in this process while none does.

use std::{error::Error, fmt::Write, io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderValue, Method, Request, StatusCode, header},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::Service;

use super::{connect::callable, feed::Feed};
use crate::provider::Secret;

/// The admin API of one receiver.
#[derive(Debug, Clone)]
pub(crate) enum Api {
    /// Of a running service.
    Remote {
        client: reqwest::Client,
        /// Of the admin listener; what the API's paths are put behind.
        url: reqwest::Url,
        authorization: HeaderValue,
    },
    /// Of a receiver in this process.
    Local { router: Router, authorization: HeaderValue },
}

/// How long a service may take to take up a connection. How long it takes to answer is its own affair: a bulk replay
/// is long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl Api {
    /// The API of the service whose admin listener is at this URL.
    pub(crate) fn remote(url: &str, token: &Secret) -> Result<Self, ApiError> {
        let wrong = |why: String| ApiError::Url { url: url.to_owned(), why };
        let parsed: reqwest::Url = url.parse().map_err(|error| wrong(format!("{error}")))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(wrong(format!("its scheme is {:?}", parsed.scheme())));
        }
        crate::tls::choose_provider();
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // The token goes to this URL and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .build()
            .map_err(|error| wrong(innermost(&error)))?;
        Ok(Self::Remote { client, url: parsed, authorization: authorization(token)? })
    }

    /// The API of a receiver in this process.
    pub(crate) fn local(router: Router, token: &Secret) -> Result<Self, ApiError> {
        Ok(Self::Local { router, authorization: authorization(token)? })
    }

    /// The URL by which an admin listener at this address is reached from the same machine.
    pub(crate) fn url_of(listen: SocketAddr) -> String {
        format!("http://{}", callable(listen))
    }

    /// Asks for what is at a path.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, ApiError> {
        self.call(Method::GET, path, query, None).await
    }

    /// Has something done.
    pub(crate) async fn post(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        self.call(Method::POST, path, query, body).await
    }

    /// Follows what happens. Only a running service can tell.
    pub(crate) async fn feed(&self) -> Result<Feed, ApiError> {
        let Self::Remote { client, url, authorization } = self else { return Err(ApiError::NotRunning) };
        let url = at(url, "/api/live");
        let response = client
            .get(url.clone())
            .header(header::AUTHORIZATION, authorization)
            .send()
            .await
            .map_err(|error| unreachable(&url, &error))?;
        if response.status().is_success() {
            return Ok(Feed::new(url, response));
        }
        let status = response.status();
        let body = response.bytes().await.map_err(|error| unreachable(&url, &error))?;
        Err(read(url.as_str(), status, &body).err().unwrap_or(ApiError::NotRunning))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<Value, ApiError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        match self {
            Self::Remote { client, url, authorization } => {
                let url = at(url, path);
                let mut request = client.request(method, url.clone()).query(query).body(body);
                request = request.header(header::AUTHORIZATION, authorization);
                request = request.header(header::CONTENT_TYPE, "application/json");
                let response = request.send().await.map_err(|error| unreachable(&url, &error))?;
                let status = response.status();
                let body = response.bytes().await.map_err(|error| unreachable(&url, &error))?;
                read(url.as_str(), status, &body)
            }
            Self::Local { router, authorization } => {
                let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
                let foreign = |why: String| ApiError::Foreign { url: path.to_owned(), why };
                let request = Request::builder()
                    .method(method)
                    .uri(format!("{path}?{query}"))
                    .header(header::AUTHORIZATION, authorization)
                    .body(Body::from(body))
                    .map_err(|error| foreign(error.to_string()))?;
                let Ok(response) = router.clone().call(request).await;
                let status = response.status();
                let body = to_bytes(response.into_body(), usize::MAX)
                    .await
                    .map_err(|error| foreign(error.to_string()))?;
                read(path, status, &body)
            }
        }
    }
}

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("--url: {url:?} can't be used: {why}; a URL like http://127.0.0.1:8081 expected")]
    Url { url: String, why: String },
    #[error("the admin token holds characters that no HTTP header can carry; visible ASCII expected")]
    Token,
    #[error("no answer from {url}: {why}; is the service running, and is --url its admin listener?")]
    Unreachable { url: String, why: String },
    #[error(
        "there is no service running to follow; start it with `doorbell serve`, or name another by --url"
    )]
    NotRunning,
    #[error("{detail}")]
    Problem { status: u16, detail: String },
    #[error("{url} does not answer like the admin API ({why}); is --url the admin listener?")]
    Foreign { url: String, why: String },
    #[error("the output can't be written: {0}")]
    Output(#[from] io::Error),
}

impl ApiError {
    /// How the command ends: 2 if it was asked wrongly or is configured wrongly, else 1.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Url { .. } | Self::Token | Self::Problem { status: 400 | 401, .. } => 2,
            _ => 1,
        }
    }

    /// Whether only this one request is wrong, so that the next may succeed.
    pub(super) fn is_of_this_request(&self) -> bool {
        matches!(self, Self::Problem { status: 404 | 409 | 422, .. })
    }
}

/// Reads an answer of the API into the shape it should have.
pub(super) fn shaped<T: DeserializeOwned>(answer: &Value) -> Result<T, ApiError> {
    T::deserialize(answer)
        .map_err(|error| ApiError::Foreign { url: "the service".to_owned(), why: error.to_string() })
}

fn authorization(token: &Secret) -> Result<HeaderValue, ApiError> {
    let mut value =
        HeaderValue::try_from([b"Bearer ", token.expose()].concat()).map_err(|_| ApiError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn at(url: &reqwest::Url, path: &str) -> reqwest::Url {
    let mut url = url.clone();
    url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    url
}

fn read(url: &str, status: StatusCode, body: &[u8]) -> Result<Value, ApiError> {
    let foreign = |why: String| ApiError::Foreign { url: url.to_owned(), why };
    let answer: Value = serde_json::from_slice(body)
        .map_err(|error| foreign(format!("status {status}, no JSON: {error}")))?;
    if status.is_success() {
        return Ok(answer);
    }
    let Some(detail) = answer["detail"].as_str() else { return Err(foreign(format!("status {status}"))) };
    let mut detail = detail.to_owned();
    if let (Some(replayed), Some(deliveries)) = (answer["replayed"].as_u64(), answer["deliveries"].as_u64()) {
        // Writing to a string can't fail.
        let _ = write!(detail, "; {replayed} jobs of {deliveries} deliveries were replayed before that");
    }
    Err(ApiError::Problem { status: status.as_u16(), detail })
}

pub(super) fn unreachable(url: &reqwest::Url, error: &reqwest::Error) -> ApiError {
    ApiError::Unreachable { url: url.origin().ascii_serialization(), why: innermost(error) }
}

/// The innermost reason: the outer ones only repeat the URL.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
