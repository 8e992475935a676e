//! The one HTTP client of a receiver.

use std::sync::Arc;

use reqwest::{Client, RequestBuilder, Url};

use crate::{
    clock::{Clock, Timestamp},
    outbound,
};

/// The pooled HTTP client that all HTTP targets of a receiver share. Cheap to clone.
///
/// It follows no redirects, and takes no proxy from the environment: it calls what was configured, nothing else. It
/// speaks HTTP/1.1, over TLS with the certificates that the machine trusts.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: Client,
    clock: Arc<dyn Clock>,
}

impl HttpClient {
    /// A client whose requests carry this clock's time.
    ///
    /// Makes ring the process' TLS provider if none has been chosen yet. On a machine without trusted certificates it
    /// warns, and calls to `https` fail.
    ///
    /// # Errors
    /// TLS can't be set up.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Result<Self, reqwest::Error> {
        Ok(Self { client: outbound::http_client(|builder| builder)?, clock })
    }

    pub(super) fn post(&self, url: Url) -> RequestBuilder {
        self.client.post(url)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}
