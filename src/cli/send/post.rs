//! One request on its way, as a sender's own client would make it.

use std::time::Duration;

use http::StatusCode;
use reqwest::{Client, Url, redirect};
use uuid::Uuid;

use crate::{
    cli::{Failure, client::innermost},
    clock,
    testing::SignedRequest,
};

/// Sends requests, each on a connection of its own.
#[derive(Debug)]
pub(super) struct Post {
    client: Client,
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) came: Came,
    /// From connecting to the reply's end.
    pub(super) took: Duration,
}

/// How a request ended.
#[derive(Debug)]
pub(super) enum Came {
    Reply {
        status: StatusCode,
        body: Vec<u8>,
        /// The delivery that the receiver made of it, if it says so.
        delivery: Option<Uuid>,
    },
    /// Not within the deadline.
    Late,
    /// Not at all.
    Nothing { why: String },
}

/// Doorbell names the delivery in its reply.
const DELIVERY: &str = "doorbell-delivery";

impl Post {
    pub(super) fn new() -> Result<Self, Failure> {
        crate::tls::choose_provider();
        let client = Client::builder()
            // No vendor follows a redirect, and a path secret goes to its own URL only.
            .redirect(redirect::Policy::none())
            .no_proxy()
            // The headers are the vendor's alone.
            .no_gzip()
            // The deadline counts from connecting on: nothing is kept open between two requests.
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| {
                Failure::Failed(format!("the HTTP client can't be made: {}", innermost(&error)))
            })?;
        Ok(Self { client })
    }

    /// Sends a request and waits for the reply until the vendor's deadline.
    pub(super) async fn send(&self, url: &Url, request: SignedRequest, deadline: Duration) -> Reply {
        let SignedRequest { method, query, headers, body } = request;
        let mut url = url.clone();
        if let Some(query) = query {
            let query = url.query().map_or(query.clone(), |own| format!("{own}&{query}"));
            url.set_query(Some(&query));
        }
        let request = self.client.request(method, url).headers(headers).body(body);
        let began = clock::instant();
        let exchange = async {
            let reply = request.send().await?;
            let delivery = reply.headers().get(DELIVERY).and_then(|id| id.to_str().ok()?.parse().ok());
            let status = reply.status();
            Ok::<_, reqwest::Error>(Came::Reply { status, delivery, body: reply.bytes().await?.into() })
        };
        let came = match tokio::time::timeout(deadline, exchange).await {
            Err(_) => Came::Late,
            Ok(Ok(came)) => came,
            Ok(Err(error)) => Came::Nothing { why: innermost(&error) },
        };
        Reply { came, took: clock::instant().saturating_duration_since(began) }
    }
}
