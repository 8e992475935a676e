//! A source as the ingress needs it: all that can be worked out beforehand.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::fan_out::FanOut;
use crate::{
    metrics::{Metrics, OutcomeLabels, SourceLabels},
    provider::{Provider, Reply, Secrets},
    route::Route,
    source::Source,
};

/// A source, ready to take deliveries in.
#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) name: Arc<str>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) provider_name: Arc<str>,
    pub(super) path_secrets: Secrets,
    /// How long the sender waits.
    pub(super) deadline: Duration,
    /// How much of that is ours: the rest is for the reply's way back.
    pub(super) ours: Duration,
    pub(super) dedupe_fallback: Duration,
    pub(super) dedupe_window: Duration,
    pub(super) fan_out: FanOut,
    pub(super) totals: Totals,
    success: Reply,
}

/// What is counted for one source. Looked up once: looking up takes a lock.
#[derive(Debug)]
pub(super) struct Totals {
    pub(super) accepted: Counter,
    pub(super) duplicate: Counter,
    pub(super) quarantined: Counter,
    pub(super) test: Counter,
    pub(super) refused: Counter,
    pub(super) failed: Counter,
    pub(super) duplicate_after_ack: Counter,
    pub(super) id_reused: Counter,
    ack_seconds: Histogram,
    ack_deadline_ratio: Histogram,
}

impl Inlet {
    pub(super) fn new(
        name: &Arc<str>,
        source: &Source,
        routes: &[Route],
        margin: Duration,
        metrics: &Metrics,
    ) -> Self {
        Self {
            name: name.clone(),
            provider_name: source.provider.name().into(),
            path_secrets: source.path_secrets.clone(),
            deadline: source.deadline,
            ours: source.deadline.saturating_sub(margin.min(source.deadline / 4)),
            dedupe_fallback: source.dedupe_fallback,
            dedupe_window: source.dedupe_window,
            fan_out: FanOut::of(routes, name),
            totals: Totals::new(name, metrics),
            success: source.provider.profile().success,
            provider: source.provider.clone(),
        }
    }

    /// The reply that the sender takes for success.
    pub(super) fn success(&self) -> Response<Full<Bytes>> {
        let mut reply = Response::new(Full::new(Bytes::from_static(self.success.body.as_bytes())));
        *reply.status_mut() = self.success.status;
        if !self.success.body.is_empty() {
            reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        reply
    }
}

impl Totals {
    pub(super) fn new(source: &Arc<str>, metrics: &Metrics) -> Self {
        let outcome = |outcome| {
            metrics.deliveries.get_or_create_owned(&OutcomeLabels { source: source.clone(), outcome })
        };
        let labels = SourceLabels { source: source.clone() };
        Self {
            accepted: outcome("accepted"),
            duplicate: outcome("duplicate"),
            quarantined: outcome("quarantined"),
            test: outcome("test"),
            refused: outcome("refused"),
            failed: outcome("failed"),
            duplicate_after_ack: metrics.duplicate_after_ack.get_or_create_owned(&labels),
            id_reused: metrics.id_reused.get_or_create_owned(&labels),
            ack_seconds: metrics.ack_seconds.get_or_create_owned(&labels),
            ack_deadline_ratio: metrics.ack_deadline_ratio.get_or_create_owned(&labels),
        }
    }

    /// The sender was answered `took` after its deadline began to run.
    pub(super) fn answered(&self, took: Duration, deadline: Duration) {
        self.ack_seconds.observe(took.as_secs_f64());
        self.ack_deadline_ratio.observe(took.as_secs_f64() / deadline.as_secs_f64().max(f64::MIN_POSITIVE));
    }
}
