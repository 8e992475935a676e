//! What is counted, in Prometheus' terms. Written by the ingress and the workers, read by the admin listener.

use std::{fmt, sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

#[cfg(any(test, feature = "admin"))]
use crate::journal::{JobState, QueueState, RelayState, Stats};

/// One set of metrics for one receiver. Cheap to clone; all clones count together.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    /// Requests by what became of them: accepted, duplicate, quarantined, test, refused, failed.
    pub(crate) deliveries: Family<OutcomeLabels, Counter>,
    /// Refused requests by reason.
    pub(crate) refusals: Family<RefusalLabels, Counter>,
    /// From the start of the sender's deadline to the reply.
    pub(crate) ack_seconds: Family<SourceLabels, Histogram, fn() -> Histogram>,
    /// The same, as a share of the deadline.
    pub(crate) ack_deadline_ratio: Family<SourceLabels, Histogram, fn() -> Histogram>,
    /// Repeated although the first was acknowledged in time: the sender likely never saw the reply.
    pub(crate) duplicate_after_ack: Family<SourceLabels, Counter>,
    /// Deliveries that reused a sender's id with another body.
    pub(crate) id_reused: Family<SourceLabels, Counter>,
    /// Connections now open at the ingress.
    pub(crate) connections: Gauge,
    /// How long handlers took.
    pub(crate) job_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Ended attempts by what became of the job: done, retry, dead, discarded.
    pub(crate) attempts: Family<AttemptLabels, Counter>,
    jobs: Family<StateLabels, Gauge>,
    queue_up: Gauge,
    relay_backlog: Gauge,
    relay_oldest_seconds: Gauge,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct SourceLabels {
    pub(crate) source: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    pub(crate) source: Arc<str>,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RefusalLabels {
    pub(crate) source: Arc<str>,
    pub(crate) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct RouteLabels {
    pub(crate) route: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct AttemptLabels {
    pub(crate) route: Arc<str>,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("doorbell");
        let mut metrics = Self {
            registry: Arc::default(),
            deliveries: Family::default(),
            refusals: Family::default(),
            ack_seconds: Family::new_with_constructor(ack_histogram),
            ack_deadline_ratio: Family::new_with_constructor(ratio_histogram),
            duplicate_after_ack: Family::default(),
            id_reused: Family::default(),
            connections: Gauge::default(),
            job_seconds: Family::new_with_constructor(job_histogram),
            attempts: Family::default(),
            jobs: Family::default(),
            queue_up: Gauge::default(),
            relay_backlog: Gauge::default(),
            relay_oldest_seconds: Gauge::default(),
        };
        let m = &metrics;
        registry.register("deliveries", "Requests by what became of them", m.deliveries.clone());
        registry.register("refusals", "Refused requests by reason", m.refusals.clone());
        registry.register_with_unit(
            "ack",
            "From the start of the sender's deadline to the reply",
            Unit::Seconds,
            m.ack_seconds.clone(),
        );
        registry.register(
            "ack_deadline_ratio",
            "The same, as a share of the deadline",
            m.ack_deadline_ratio.clone(),
        );
        registry.register(
            "duplicate_after_ack",
            "Repeated although the first was acknowledged in time",
            m.duplicate_after_ack.clone(),
        );
        registry.register("id_reused", "A sender's id came again with another body", m.id_reused.clone());
        registry.register("connections", "Connections now open at the ingress", m.connections.clone());
        registry.register_with_unit("job", "How long handlers took", Unit::Seconds, m.job_seconds.clone());
        registry.register("attempts", "Ended attempts by what became of the job", m.attempts.clone());
        registry.register("jobs", "Jobs by the state they are in", m.jobs.clone());
        registry.register("queue_up", "Whether the queue can be reached", m.queue_up.clone());
        registry.register("relay_backlog", "Deliveries not yet moved to Redis", m.relay_backlog.clone());
        registry.register_with_unit(
            "relay_oldest",
            "The age of the oldest of them",
            Unit::Seconds,
            m.relay_oldest_seconds.clone(),
        );
        metrics.registry = Arc::new(registry);
        metrics
    }

    /// All metrics in the `OpenMetrics` text format, those of the store filled in from `stats` (`None`: out of reach).
    #[cfg(any(test, feature = "admin"))]
    pub(crate) fn render(&self, stats: Option<&Stats>, relay: RelayState) -> Result<String, fmt::Error> {
        self.queue_up.set(i64::from(stats.is_some() && relay.queue != QueueState::Down));
        self.relay_backlog.set(i64::try_from(relay.backlog).unwrap_or(i64::MAX));
        self.relay_oldest_seconds.set(i64::try_from(relay.oldest.as_secs()).unwrap_or(i64::MAX));
        // Out of reach is not zero: the last known numbers stay.
        for (state, jobs) in
            stats.iter().flat_map(|stats| JobState::ALL.map(|state| (state, stats.jobs_in(state))))
        {
            self.jobs
                .get_or_create(&StateLabels { state: state.as_str() })
                .set(i64::try_from(jobs).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Counts a delivery that was acknowledged as new and turned out to repeat another one.
    #[cfg(feature = "redis")]
    pub(crate) fn recognised_late(&self, source: &Arc<str>) {
        let labels = OutcomeLabels { source: source.clone(), outcome: "duplicate" };
        self.deliveries.get_or_create(&labels).inc();
    }

    pub(crate) fn job_took(&self, route: &Arc<str>, outcome: &'static str, took: Duration) {
        self.job_seconds.get_or_create(&RouteLabels { route: route.clone() }).observe(took.as_secs_f64());
        self.attempts.get_or_create(&AttemptLabels { route: route.clone(), outcome }).inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn ack_histogram() -> Histogram {
    Histogram::new([0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0])
}

fn ratio_histogram() -> Histogram {
    Histogram::new([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
}

fn job_histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0])
}
