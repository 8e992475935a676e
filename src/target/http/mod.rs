//! Jobs posted to a URL: `CloudEvents` 1.0 in binary mode, signed by Standard Webhooks.

mod client;
mod reply;
mod request;
mod signing;
#[cfg(test)]
mod tests;

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use reqwest::Url;

pub(crate) use self::client::HttpClient;
use self::{
    reply::{Reply, Settled},
    signing::SigningKeys,
};
use super::{BreakerSettings, Rate, TargetError, gate::Gate};
use crate::{
    clock::instant,
    handler::{Capacity, Handler, HandlerError, Job},
    outbound,
    provider::Secrets,
};

/// An HTTP endpoint that takes jobs.
///
/// Each attempt is one `POST` of the event's data as it came, with its metadata in headers, as
/// [the contract](super#the-contract-with-consumers) says. It is signed by Standard Webhooks, with one signature for each
/// secret.
///
/// What the reply means:
///
/// | Reply | Then |
/// | --- | --- |
/// | 2xx | done |
/// | 410 | dead: the endpoint is gone for good |
/// | 429, 503 with `Retry-After` | tried again, not before that time is over (at most a day). A 429 also makes the whole target rest that long, up to a minute, so that the jobs behind it do not use up their attempts |
/// | anything else, 3xx included | tried again by the route's schedule; redirects are not followed |
///
/// The target is left alone while its [breaker](BreakerSettings) is open: its jobs stay in the queue, at no cost to
/// their attempts and to other routes. A request that is cut off by the route's time limit counts against it.
///
/// ```
/// use doorbell::target::{HttpOptions, HttpTarget};
///
/// let mut options = HttpOptions::default();
/// options.secrets = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".into();
/// let target = HttpTarget::new("http://127.0.0.1:3000/hooks", options)?;
/// # Ok::<_, doorbell::target::TargetError>(())
/// ```
pub struct HttpTarget {
    url: Url,
    keys: SigningKeys,
    gate: Arc<Gate>,
}

/// How an HTTP target is called.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Standard Webhooks keys (`whsec_` and base64) to sign with: none, one, or several while one is rotated out.
    pub secrets: Secrets,
    /// How many requests may be under way at once; 32 by default.
    pub concurrency: NonZeroUsize,
    /// How many requests a second may be started; no limit by default.
    pub rate: Option<Rate>,
    /// When the target counts as dead.
    pub breaker: BreakerSettings,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            secrets: Secrets::none(),
            concurrency: NonZeroUsize::MIN.saturating_add(31),
            rate: None,
            breaker: BreakerSettings::default(),
        }
    }
}

impl HttpTarget {
    /// Posts jobs to `url`, which may hold a user and password for Basic authentication.
    ///
    /// # Errors
    /// The URL is not an absolute one with `http` or `https`, or a secret is empty or not `whsec_` and base64.
    pub fn new(url: &str, options: HttpOptions) -> Result<Self, TargetError> {
        let refused = |reason: String| TargetError::Url { shown: outbound::without_secrets(url), reason };
        let parsed = Url::parse(url).map_err(|error| refused(error.to_string()))?;
        if !matches!(parsed.scheme(), "http" | "https") {
            return Err(refused(format!("its scheme is {:?}, not http or https", parsed.scheme())));
        }
        if options.secrets.had_empty() {
            return Err(TargetError::EmptySecret { shown: parsed.origin().ascii_serialization() });
        }
        Ok(Self {
            url: parsed,
            keys: SigningKeys::parse(&options.secrets)?,
            gate: Arc::new(Gate::new(options.concurrency, options.rate, options.breaker)),
        })
    }

    /// The handler that posts over `client`.
    pub(super) fn into_handler(self, client: &HttpClient) -> HttpHandler {
        HttpHandler(Arc::new(Endpoint {
            origin: self.url.origin().ascii_serialization(),
            url: self.url,
            keys: self.keys,
            gate: self.gate,
            client: client.clone(),
        }))
    }
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpTarget").field(&self.url.origin().ascii_serialization()).finish()
    }
}

/// An [`HttpTarget`] with the client that it posts over.
#[derive(Clone)]
pub(super) struct HttpHandler(Arc<Endpoint>);

struct Endpoint {
    url: Url,
    /// Scheme, host and port: all of the URL that is shown. The rest of it may hold secrets.
    origin: String,
    keys: SigningKeys,
    gate: Arc<Gate>,
    client: HttpClient,
}

impl Handler for HttpHandler {
    async fn handle(&self, job: Job) -> Result<(), HandlerError> {
        self.0.post(&job).await
    }

    fn capacity(&self, running: usize) -> Capacity {
        self.0.gate.capacity(running, instant())
    }

    fn starting(&self, jobs: usize) {
        self.0.gate.starting(jobs, instant());
    }
}

impl Endpoint {
    /// The longest that one reply makes the whole target rest.
    const LONGEST_PAUSE: Duration = Duration::from_secs(60);

    async fn post(&self, job: &Job) -> Result<(), HandlerError> {
        let headers = request::headers(job, &self.keys, self.client.now());
        let request = self.client.post(self.url.clone()).headers(headers).body(job.data.clone());
        let passing = self.gate.enter();
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                passing.failed();
                return Err(HandlerError::retry(NoReply {
                    origin: self.origin.clone(),
                    source: error.without_url(),
                }));
            }
        };
        let reply = Reply::of(response.status(), response.headers(), self.client.now());
        if reply.is_outage() {
            passing.failed();
        } else {
            passing.succeeded();
        }
        if let Some(rest) = reply.pause() {
            self.gate.pause(rest.min(Self::LONGEST_PAUSE), instant());
        }
        let excerpt = reply::excerpt(response).await;
        match reply.settle(&self.origin, &excerpt) {
            Settled::Done => Ok(()),
            Settled::Failed(error) => Err(error),
        }
    }
}

impl fmt::Debug for HttpHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpHandler").field(&self.0.origin).finish()
    }
}

/// The target did not answer.
#[derive(Debug, thiserror::Error)]
#[error("{origin} did not answer")]
struct NoReply {
    origin: String,
    source: reqwest::Error,
}
