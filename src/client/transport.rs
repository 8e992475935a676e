//! One call of a vendor's API: limits, attempts, time, size, and what the answer means.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::{Client, Url};
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use super::{
    ClientError, ClientOptions, address, budget,
    dialect::{Answer, Dialect, Fault, FaultKind},
    proof::Proof,
    throttle::{NoRoom, Throttle},
    timer::{SystemTimer, Timer},
};
use crate::{
    clock::Timestamp,
    outbound::{self, LONGEST_RETRY_AFTER},
    text::{one_line, shorten},
};

/// How long what a vendor says may be, in bytes; the rest is cut off.
const MAX_MESSAGE: usize = 500;

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
            client: outbound::http_client(|builder| builder.gzip(true))
                .map_err(|error| ClientError::Setup(error.into()))?,
            base: address::base(base, path, &options)?,
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
        pairs.extend_pairs(self.proof.pair()).extend_pairs(query);
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
            let permit = self.throttle.enter(units, left, &*self.timer).await.map_err(|NoRoom(after)| {
                ClientError::RateLimited { call: call.to_owned(), code: None, message: String::new(), after }
            })?;
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
        let request = self.client.get(url.clone()).headers(self.proof.headers()).timeout(time);
        // Its URL may hold a secret.
        let no_answer = |error: reqwest::Error| ClientError::NoAnswer {
            call: call.to_owned(),
            source: error.without_url().into(),
        };
        let mut response = request.send().await.map_err(no_answer)?;
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        if status.is_redirection() {
            let to = outbound::redirect_origin(&headers);
            return Err(ClientError::Redirected { call: call.to_owned(), status, to });
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
        let message = shorten(self.proof.redact(&one_line(fault.message.as_bytes())), MAX_MESSAGE);
        let after = || {
            let asked = self.dialect.retry_after(&answer.headers, self.timer.now())?;
            Some(asked.min(LONGEST_RETRY_AFTER))
        };
        match fault.kind {
            FaultKind::Unauthorized => ClientError::Unauthorized { call, status, message },
            FaultKind::NotFound => ClientError::NotFound { call, message },
            FaultKind::RateLimited => {
                ClientError::RateLimited { call, code: fault.code, message, after: after() }
            }
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

/// Between 0.5 and 1.0.
fn jitter() -> f64 {
    let dice = getrandom::u32().unwrap_or(u32::MAX / 2);
    0.5 + 0.5 * f64::from(dice) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_stays_in_its_range() {
        assert!((0..100).all(|_| (0.5..=1.0).contains(&jitter())));
    }
}
