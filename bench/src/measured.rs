//! What a load found out about a server, and how it stands beside the floor.

use crate::{
    load::{Latency, Outcome},
    report::{Figure, Unit},
};

/// Processor time, in seconds. `None` where it cannot be told, or there is no such process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    /// The server's.
    pub(crate) server: Option<f64>,
    /// That of its Redis.
    pub(crate) redis: Option<f64>,
}

impl Cpu {
    /// What was taken since an earlier look at the same processes.
    pub(crate) fn since(self, earlier: Self) -> Self {
        let between = |now: Option<f64>, then| now.zip(then).map(|(now, then): (f64, f64)| now - then);
        Self { server: between(self.server, earlier.server), redis: between(self.redis, earlier.redis) }
    }
}

/// What a load measured: the same for the floor and for the product.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    per_second: f64,
    latency: Latency,
    /// The server's processor time for each ack, in microseconds.
    server_cpu: Option<f64>,
    /// That of its Redis.
    redis_cpu: Option<f64>,
    /// The generator's.
    generator_cpu: Option<f64>,
}

impl Measured {
    /// What this outcome says, with the processor time that was taken for it.
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    pub(crate) fn new(outcome: &Outcome, cpu: Cpu) -> Self {
        let each = |seconds: f64| seconds * 1e6 / outcome.acked.max(1) as f64;
        Self {
            per_second: outcome.per_second(),
            latency: outcome.latency,
            server_cpu: cpu.server.map(each),
            redis_cpu: cpu.redis.map(each),
            generator_cpu: outcome.cpu_seconds.map(each),
        }
    }

    /// The middle of two measurements of the same thing, before and after another.
    pub(crate) fn between(self, other: Self) -> Self {
        let middle = |a: f64, b: f64| f64::midpoint(a, b);
        Self {
            per_second: middle(self.per_second, other.per_second),
            latency: Latency {
                p50: middle(self.latency.p50, other.latency.p50),
                p99: middle(self.latency.p99, other.latency.p99),
                p999: middle(self.latency.p999, other.latency.p999),
                max: self.latency.max.max(other.latency.max),
            },
            server_cpu: self.server_cpu.zip(other.server_cpu).map(|(a, b)| middle(a, b)),
            redis_cpu: self.redis_cpu.zip(other.redis_cpu).map(|(a, b)| middle(a, b)),
            generator_cpu: self.generator_cpu.zip(other.generator_cpu).map(|(a, b)| middle(a, b)),
        }
    }

    /// What was acknowledged, and what it cost, beside the floor. The first figure is the rate.
    pub(crate) fn figures(self, scenario: &'static str, floor: Self) -> Vec<Figure> {
        let mut figures =
            vec![Figure::new(scenario, "acks", self.per_second, Unit::PerSecond).floor(floor.per_second)];
        figures.extend(self.latencies(scenario, floor));
        for (name, cost, floor) in [
            ("server CPU an ack", self.server_cpu, floor.server_cpu),
            ("Redis CPU an ack", self.redis_cpu, floor.redis_cpu),
            ("generator CPU an ack", self.generator_cpu, floor.generator_cpu),
        ] {
            let figure = cost.map(|cost| Figure::new(scenario, name, cost, Unit::Microseconds));
            figures.extend(figure.map(|figure| match floor {
                Some(floor) => figure.floor(floor),
                None => figure,
            }));
        }
        figures
    }

    /// How long acks took, beside the floor: p50, p99, p99.9, the longest.
    pub(crate) fn latencies(self, scenario: &'static str, floor: Self) -> [Figure; 4] {
        let (ours, theirs) = (self.latency, floor.latency);
        [
            ("ack p50", ours.p50, theirs.p50),
            ("ack p99", ours.p99, theirs.p99),
            ("ack p99.9", ours.p999, theirs.p999),
            ("ack longest", ours.max, theirs.max),
        ]
        .map(|(name, ours, theirs)| Figure::new(scenario, name, ours, Unit::Milliseconds).floor(theirs))
    }

    /// How much two measurements of the same thing differ, as a share of the larger.
    pub(crate) fn differs_from(self, other: Self) -> f64 {
        1.0 - self.per_second.min(other.per_second) / self.per_second.max(other.per_second)
    }
}
