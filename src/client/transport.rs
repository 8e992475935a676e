//! One call of a vendor's API: limits, attempts, time, size, and what the answer means.

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, LOCATION},
};
use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::{
    ClientError, ClientOptions, budget,
    throttle::{NoRoom, Throttle},
    timer::{SystemTimer, Timer},
};
use crate::{
    clock::Timestamp,
    outbound::{self, LONGEST_RETRY_AFTER},
    provider::Secret,
    rate::Pace,
    text::one_line,
};

/// How a vendor says what went wrong, and when to come again. What is not said here goes by the answer's status.
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// The vendor, as errors and the log call it.
    fn name(&self) -> &'static str;

    /// What went wrong; `None` if nothing did.
    fn fault(&self, answer: &Answer) -> Option<Fault>;

    /// When the vendor wants to be asked again.
    fn retry_after(&self, headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
        outbound::retry_after(headers, now)
    }

    /// For how long no call at all should be made, given an answer to one that cost `units`.
    fn rest(&self, answer: &Answer, units: usize) -> Option<Duration> {
        let _ = (answer, units);
        None
    }

    /// How many calls are allowed in which time.
    fn pace(&self) -> Option<Pace> {
        None
    }

    /// How long a URL may be, in bytes.
    fn url_limit(&self) -> usize {
        usize::MAX
    }
}

/// What went wrong.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    /// The vendor's code.
    pub(super) code: Option<i64>,
    /// What the vendor said.
    pub(super) message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    Unauthorized,
    NotFound,
    RateLimited,
    Unavailable,
    Refused,
}

impl FaultKind {
    /// What a status means where the vendor says no more; `None` for success.
    pub(super) fn of(status: StatusCode) -> Option<Self> {
        match status {
            _ if status.is_success() => None,
            StatusCode::UNAUTHORIZED => Some(Self::Unauthorized),
            StatusCode::NOT_FOUND | StatusCode::GONE => Some(Self::NotFound),
            StatusCode::TOO_MANY_REQUESTS => Some(Self::RateLimited),
            StatusCode::REQUEST_TIMEOUT => Some(Self::Unavailable),
            _ if status.is_server_error() => Some(Self::Unavailable),
            _ => Some(Self::Refused),
        }
    }
}

/// A whole answer, decompressed.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// How a client proves who calls.
#[derive(Debug, Default)]
pub(super) struct Proof {
    headers: HeaderMap,
    parameter: Option<(&'static str, Secret)>,
    /// Cut out of whatever the vendor says: it may repeat what it was sent.
    secrets: Vec<Secret>,
}

impl Proof {
    /// By a header: `prefix`, then the secret.
    pub(super) fn header(
        mut self,
        name: HeaderName,
        prefix: &str,
        secret: &Secret,
    ) -> Result<Self, ClientError> {
        let text = [prefix.as_bytes(), secret.expose()].concat();
        let mut value = HeaderValue::from_bytes(&text)
            .ok()
            .filter(|_| !secret.expose().is_empty())
            .ok_or_else(Self::unusable)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self.secrets.push(secret.clone());
        Ok(self)
    }

    /// By `Authorization: Bearer`.
    pub(super) fn bearer(self, token: &Secret) -> Result<Self, ClientError> {
        self.header(AUTHORIZATION, "Bearer ", token)
    }

    /// By a parameter of the query.
    pub(super) fn parameter(mut self, name: &'static str, secret: Secret) -> Result<Self, ClientError> {
        if secret.expose().is_empty() || std::str::from_utf8(secret.expose()).is_err() {
            return Err(Self::unusable());
        }
        let encoded: String = form_urlencoded::byte_serialize(secret.expose()).collect();
        self.secrets.extend([secret.clone(), encoded.into()]);
        self.parameter = Some((name, secret));
        Ok(self)
    }

    /// Also to be cut out, although it is not sent as it stands.
    pub(super) fn hide(mut self, secret: Secret) -> Self {
        self.secrets.push(secret);
        self
    }

    fn unusable() -> ClientError {
        ClientError::Unusable {
            field: "the secret",
            value: "[REDACTED]".to_owned(),
            expected: "printable text, not empty and without line breaks",
        }
    }

    fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| match std::str::from_utf8(secret.expose()) {
            Ok(secret) if !secret.is_empty() => text.replace(secret, "[REDACTED]"),
            _ => text,
        })
    }
}

/// What the calls of one client share.
pub(super) struct Transport {
    dialect: &'static dyn Dialect,
    client: Client,
    base: Url,
    proof: Proof,
    throttle: Throttle,
    options: ClientOptions,
    timer: Arc<dyn Timer>,
}

impl Transport {
    /// Calls `base`, a host or a URL, to which `path` is added if it has none.
    pub(super) fn new(
        dialect: &'static dyn Dialect,
        base: &str,
        path: &str,
        proof: Proof,
        options: ClientOptions,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            dialect,
            client: outbound::http_client(|builder| builder.gzip(true)).map_err(ClientError::Setup)?,
            base: parse_base(base, path, &options)?,
            proof,
            throttle: Throttle::new(options.parallel, dialect.pace(), SystemTimer.instant()),
            options,
            timer: Arc::new(SystemTimer),
        })
    }

    #[cfg(all(test, feature = "receiver"))]
    pub(super) fn with_timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.throttle = Throttle::new(self.options.parallel, self.dialect.pace(), timer.instant());
        self.timer = timer;
        self
    }

    /// When it is, by the client's clock.
    pub(super) fn now(&self) -> Timestamp {
        self.timer.now()
    }

    /// Calls `path`, below the base and already checked by the caller, and reads the answer. `units` is what it costs of
    /// the vendor's pace.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
        units: usize,
    ) -> Result<T, ClientError> {
        let url = self.url(path, query)?;
        let call = format!("{}: GET {}", self.dialect.name(), url.path());
        let span = tracing::debug_span!("client", vendor = self.dialect.name(), path = url.path());
        let answer = self.attempts(&url, &call, units).instrument(span).await?;
        serde_json::from_slice(&answer.body).map_err(|error| ClientError::Unreadable {
            call,
            reason: self.proof.redact(&error.to_string()),
            in_shape: error.is_data(),
        })
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{path}", self.base.path().trim_end_matches('/')));
        let mut pairs = form_urlencoded::Serializer::new(String::new());
        if let Some((name, secret)) = &self.proof.parameter {
            pairs.append_pair(name, std::str::from_utf8(secret.expose()).unwrap_or_default());
        }
        pairs.extend_pairs(query);
        let pairs = pairs.finish();
        if !pairs.is_empty() {
            // A space as every server reads it; a plus sign is `%2B` by now.
            url.set_query(Some(&pairs.replace('+', "%20")));
        }
        if url.as_str().len() > self.dialect.url_limit() {
            return Err(ClientError::Unusable {
                field: "the URL",
                value: format!("{} ({} bytes)", url.path(), url.as_str().len()),
                expected: "a shorter one; ask for less at once",
            });
        }
        Ok(url)
    }

    async fn attempts(&self, url: &Url, call: &str, units: usize) -> Result<Answer, ClientError> {
        let began = self.timer.instant();
        let elapsed = || self.timer.instant().saturating_duration_since(began);
        let mut attempt = 1;
        loop {
            let left = self.options.total.saturating_sub(elapsed());
            let permit = self
                .throttle
                .enter(units, left, &*self.timer)
                .await
                .map_err(|NoRoom(after)| ClientError::RateLimited { call: call.to_owned(), after })?;
            let time = self.options.total.saturating_sub(elapsed()).min(self.options.timeout);
            let outcome = self.attempt(url, call, units, time).await;
            drop(permit);
            let error = match outcome {
                Ok(answer) => {
                    tracing::debug!(attempt, status = answer.status.as_u16(), "answered");
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let pause = match &error {
                ClientError::RateLimited { .. }
                | ClientError::Unavailable { .. }
                | ClientError::NoAnswer { .. } => {
                    budget::pause(&self.options, attempt, elapsed(), error.retry_after(), jitter())
                }
                _ => None,
            };
            tracing::debug!(attempt, error = &error as &dyn std::error::Error, ?pause, "failed");
            let Some(pause) = pause else { return Err(error) };
            self.timer.sleep(pause).await;
            attempt += 1;
        }
    }

    async fn attempt(
        &self,
        url: &Url,
        call: &str,
        units: usize,
        time: Duration,
    ) -> Result<Answer, ClientError> {
        let request = self.client.get(url.clone()).headers(self.proof.headers.clone()).timeout(time);
        // Its URL may hold a secret.
        let no_answer = |error: reqwest::Error| ClientError::NoAnswer {
            call: call.to_owned(),
            source: error.without_url(),
        };
        let mut response = request.send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        if status.is_redirection() {
            return Err(ClientError::Redirected { call: call.to_owned(), status, to: origin(&headers) });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            if body.len() + chunk.len() > self.options.body_limit {
                return Err(ClientError::TooLarge { call: call.to_owned(), limit: self.options.body_limit });
            }
            body.extend_from_slice(&chunk);
        }
        let answer = Answer { status, headers, body };
        if let Some(rest) = self.dialect.rest(&answer, units) {
            // Not for longer than a call may take: a wrong number must not stop the client for good.
            self.throttle.pause(rest.min(self.options.total), self.timer.instant());
        }
        match self.dialect.fault(&answer) {
            None => Ok(answer),
            Some(fault) => Err(self.error(call, &answer, &fault)),
        }
    }

    fn error(&self, call: &str, answer: &Answer, fault: &Fault) -> ClientError {
        let (call, status) = (call.to_owned(), answer.status);
        let message = shorten(self.proof.redact(&one_line(fault.message.as_bytes())));
        let after = || {
            let asked = self.dialect.retry_after(&answer.headers, self.timer.now())?;
            Some(asked.min(LONGEST_RETRY_AFTER))
        };
        match fault.kind {
            FaultKind::Unauthorized => ClientError::Unauthorized { call, status, message },
            FaultKind::NotFound => ClientError::NotFound { call, message },
            FaultKind::RateLimited => ClientError::RateLimited { call, after: after() },
            FaultKind::Unavailable => ClientError::Unavailable { call, status, message, after: after() },
            FaultKind::Refused => ClientError::Vendor { call, status, code: fault.code, message },
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("vendor", &self.dialect.name())
            .field("base", &self.base.as_str())
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Whether a path's part is nothing but that: it can't leave the folder, nor begin a query.
pub(super) fn is_plain(segment: &str) -> bool {
    (1..=64).contains(&segment.len())
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn parse_base(given: &str, path: &str, options: &ClientOptions) -> Result<Url, ClientError> {
    let refused = |expected| ClientError::Unusable {
        field: "the base URL",
        value: outbound::without_secrets(given),
        expected,
    };
    let text = if given.contains("://") { given.to_owned() } else { format!("https://{given}") };
    let mut url =
        Url::parse(&text).map_err(|_| refused("a host like api.example.com, or a URL with https"))?;
    match url.scheme() {
        "https" => {}
        "http" if options.allow_http || is_this_machine(&url) => {}
        "http" => return Err(refused("https, as the credentials would travel unencrypted")),
        _ => return Err(refused("a host like api.example.com, or a URL with https")),
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().or(url.fragment()).is_some() {
        return Err(refused("a URL without user, password, query and fragment"));
    }
    if url.path().trim_matches('/').is_empty() {
        url.set_path(path);
    }
    Ok(url)
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Where a redirect points to: not the path, which may repeat a secret.
fn origin(headers: &HeaderMap) -> Option<String> {
    let to = Url::parse(headers.get(LOCATION)?.to_str().ok()?).ok()?;
    Some(to.origin().ascii_serialization())
}

/// Between 0.5 and 1.0.
fn jitter() -> f64 {
    let dice = getrandom::u32().unwrap_or(u32::MAX / 2);
    0.5 + 0.5 * f64::from(dice) / f64::from(u32::MAX)
}

fn shorten(mut text: String) -> String {
    const LONGEST: usize = 500;
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(given: &str) -> Result<String, String> {
        let parsed = parse_base(given, "/api/remap/1.2", &ClientOptions::default());
        parsed.map(String::from).map_err(|error| error.to_string())
    }

    #[test]
    fn a_host_is_enough_and_a_path_of_its_own_is_kept() {
        for (given, expected) in [
            ("api.kladana.com", "https://api.kladana.com/api/remap/1.2"),
            ("https://api.kladana.com/", "https://api.kladana.com/api/remap/1.2"),
            ("https://proxy.example/kladana/v1", "https://proxy.example/kladana/v1"),
            ("api.example:8443", "https://api.example:8443/api/remap/1.2"),
            ("http://127.0.0.1:9", "http://127.0.0.1:9/api/remap/1.2"),
            ("http://[::1]:9", "http://[::1]:9/api/remap/1.2"),
            ("http://localhost:9", "http://localhost:9/api/remap/1.2"),
        ] {
            assert_eq!(base(given).as_deref(), Ok(expected), "{given}");
        }
    }

    #[test]
    fn what_would_leak_the_credentials_is_refused() {
        for (given, expected) in [
            ("http://api.kladana.com", "the credentials would travel unencrypted"),
            ("http://127.0.0.1.evil.example", "the credentials would travel unencrypted"),
            ("http://localhost.evil.example", "the credentials would travel unencrypted"),
            ("ftp://api.kladana.com", "a URL with https"),
            ("", "a host like"),
            ("https://", "a host like"),
            ("https://api.kladana.com/?a=b", "without user, password, query"),
        ] {
            let error = base(given).unwrap_err();
            assert!(error.contains("the base URL") && error.contains(expected), "{given}: {error}");
        }
        let error = base("https://me:hunter2@api.kladana.com").unwrap_err();
        assert!(error.contains("without user") && !error.contains("hunter2"), "{error}");
        let options = ClientOptions { allow_http: true, ..ClientOptions::default() };
        assert!(parse_base("http://vendor.test", "/api", &options).is_ok());
    }

    #[test]
    fn jitter_stays_in_its_range() {
        assert!((0..100).all(|_| (0.5..=1.0).contains(&jitter())));
    }
}
