//! The one HTTP client of a receiver.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, RequestBuilder, Url, redirect};

use crate::{
    clock::{Clock, Timestamp},
    tls,
};

/// The pooled HTTP client that all HTTP targets of a receiver share. Cheap to clone.
///
/// It follows no redirects, and takes no proxy from the environment: it calls what was configured, nothing else. It
/// speaks HTTP/1.1, over TLS with the certificates that the machine trusts.
#[derive(Debug, Clone)]
pub struct HttpClient {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl HttpClient {
    /// How long a target may take to accept a connection.
    const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
    /// How long an unused connection is kept. Shorter than the 5 s after which Node.js and Uvicorn close theirs: a
    /// request sent into a connection that is just being closed is lost.
    const IDLE: Duration = Duration::from_secs(4);

    /// A client whose requests carry this clock's time.
    ///
    /// Makes ring the process' TLS provider if none has been chosen yet. On a machine without trusted certificates it
    /// warns, and calls to `https` fail.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub fn new(clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        tls::choose_provider();
        let client = Self::builder().build().or_else(|error| {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no trusted certificates were found, so https targets will fail; install ca-certificates"
            );
            Self::builder().tls_certs_only([]).build()
        })?;
        Ok(Self { client, clock })
    }

    fn builder() -> reqwest::ClientBuilder {
        Client::builder()
            .user_agent(concat!("doorbell/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Self::CONNECT_TIMEOUT)
            .pool_idle_timeout(Self::IDLE)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
