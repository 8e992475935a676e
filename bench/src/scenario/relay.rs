use std::time::{Duration, Instant};

use anyhow::{bail, ensure};

use crate::{
    clock,
    measured::{Cpu, Measured},
    product::{Doorbell, NOOP_ROUTE, Role},
    report::{Figure, Target, Unit},
    scenario::{Bench, Shape, rate::RATE},
    store::{Store, drain_limit},
};

const NAME: &str = "relay";

/// What the relay should move to Redis a second.
const PER_SECOND: u32 = 20_000;

/// How often the service is asked what it has not yet moved.
const EVERY: Duration = Duration::from_millis(50);

impl Bench {
    /// How fast deliveries are moved to Redis that were taken in without it, while others are acknowledged.
    pub(super) async fn relay(&mut self) -> anyhow::Result<()> {
        let backlog = self.size.backlog;
        let program = self.doorbell().await?;
        // Its Redis is not running yet.
        let mut store = self.closed_store(self.queue)?;
        let mut doorbell = Doorbell::start(&program, &store, Role::Ingress, NOOP_ROUTE).await?;
        self.progress(format!("taking in {backlog} deliveries without Redis"));
        let outcome = self.load("taking in without Redis", doorbell.ingress, Shape::Count(backlog)).await;
        doorbell.check().await?;
        let waiting = outcome?.acked;

        self.progress("starting Redis while others come in");
        let seconds = (backlog / u64::from(PER_SECOND)).max(1);
        let shape = Shape::Open { rate: RATE, seconds };
        let ingress = doorbell.ingress;
        let (outcome, drained) =
            tokio::join!(self.load(NAME, ingress, shape), drain(&mut doorbell, &mut store, waiting));
        doorbell.check().await?;
        let (outcome, drained) = (outcome?, drained?);
        let queued = doorbell.relayed(drain_limit(waiting)).await?.queued;
        let acked = waiting + outcome.acked;
        ensure!(queued == acked, "{acked} deliveries acknowledged, {queued} jobs queued");
        doorbell.stop().await?;

        if drained.all().as_secs_f64() < outcome.seconds / 2.0 {
            self.report.notes.push(format!(
                "{NAME}: the backlog was gone after {:.1} s of the {seconds} s of load; the acks' latencies count all of it",
                drained.all().as_secs_f64()
            ));
        }
        let floor = self.floor(shape).await?;
        self.report.figure(
            Figure::new(
                NAME,
                format!("from a backlog of {backlog}, {RATE}/s coming in"),
                drained.per_second(),
                Unit::PerSecond,
            )
            .target(Target::AtLeast(f64::from(PER_SECOND))),
        );
        let lost = drained.first.at.duration_since(drained.begin).as_secs_f64();
        self.report.figure(Figure::new(NAME, "from Redis answering to the first moved", lost, Unit::Seconds));
        let [p50, p99, p999, longest] = Measured::new(&outcome, Cpu::default()).latencies(NAME, floor);
        self.report.figures.extend([p50, p99.target(Target::Below(50.0)), p999, longest]);
        Ok(())
    }
}

/// How a backlog went down.
struct Drained {
    /// When Redis answered.
    begin: Instant,
    /// The first time that the backlog had become less.
    first: Seen,
    /// The first time that no more was left than comes in within a second.
    last: Seen,
}

/// What was not yet in Redis at a time.
struct Seen {
    at: Instant,
    backlog: u64,
}

impl Drained {
    /// From the moment that Redis answered.
    fn all(&self) -> Duration {
        self.last.at.duration_since(self.begin)
    }

    /// Deliveries moved a second, those that came in meanwhile among them.
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn per_second(&self) -> f64 {
        let took = self.last.at.duration_since(self.first.at).as_secs_f64();
        self.first.backlog.saturating_sub(self.last.backlog) as f64 / took.max(1e-3) + f64::from(RATE)
    }
}

/// Starts the store's Redis and watches how the service moves there what it holds.
async fn drain(doorbell: &mut Doorbell, store: &mut Store, backlog: u64) -> anyhow::Result<Drained> {
    store.open().await?;
    let begin = clock::instant();
    let mut first = None;
    loop {
        // Until the service has found Redis, it need not know what is in there.
        if let Ok(stats) = doorbell.stats().await {
            let seen = Seen { at: clock::instant(), backlog: stats.relay.backlog };
            match first {
                None if seen.backlog < backlog => first = Some(seen),
                Some(first) if seen.backlog < u64::from(RATE) => {
                    return Ok(Drained { begin, first, last: seen });
                }
                None | Some(_) => {}
            }
        } else {
            doorbell.check().await?;
        }
        let waited = clock::instant().duration_since(begin);
        if waited > drain_limit(backlog) {
            bail!("after {waited:.0?} the {backlog} deliveries had not been moved to Redis");
        }
        tokio::time::sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_meanwhile_is_moved_too() {
        let begin = clock::instant();
        let seen = |millis, backlog| Seen { at: begin + Duration::from_millis(millis), backlog };
        let drained = Drained { begin, first: seen(1000, 90_000), last: seen(5000, 10_000) };
        assert!((drained.per_second() - 21_000.0).abs() < 1e-6, "{}", drained.per_second());
        assert_eq!(drained.all(), Duration::from_secs(5));
    }
}
