//! Hosts whose clocks are wrong. Here Redis has its own time, as it has in earnest.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use super::{Server, Slots, options};
use crate::{
    clock::{Clock, ManualClock, SystemClock},
    delivery::IdGenerator,
    journal::{
        ClaimedJob, Outcome, Store,
        conformance::{prepare, sent},
        redis::Redis,
    },
};

const MINUTES: Duration = Duration::from_secs(10 * 60);

/// A host at this Redis that takes jobs of nobody.
async fn host(server: &Server, clock: &ManualClock, name: &str) -> Redis {
    Redis::open(options(server, 1), Arc::new(clock.clone()), name).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_whose_clock_is_ten_minutes_off_takes_nothing_from_others() {
    let server = Server::start(&[]);
    let now = SystemClock.now();
    let right = ManualClock::at(now);
    let one = host(&server, &right, "right").await;
    let ids = IdGenerator::new().unwrap();
    for _ in 0..100 {
        one.accept(prepare(&sent("{}"), &right, &ids)).await.unwrap();
    }
    let mut jobs = one.claims(Slots::new(&[("a", 100)]));
    let mut running: Vec<ClaimedJob> = Vec::new();
    while running.len() < 100 {
        running.push(jobs.recv().await.unwrap());
    }

    let (early, late) = (ManualClock::at(now.plus(MINUTES)), ManualClock::at(now.minus(MINUTES)));
    for (name, clock) in [("early", &early), ("late", &late)] {
        let other = host(&server, clock, name).await;
        let mut claims = other.claims(Slots::new(&[("a", 100)]));
        other.pass().await;
        // It is set right, or wrong, while the host runs; and goes on in that for longer than a lease.
        for _ in 0..20 {
            clock.advance(MINUTES / 10);
            other.wake();
            other.pass().await;
        }
        assert!(claims.try_recv().is_err(), "{name}");
        assert_eq!(one.stats().await.unwrap().jobs, [0, 100, 0, 0, 0, 0], "{name}");
        assert_eq!(one.renew(running.iter().map(|job| job.lease.clone()).collect()).await.unwrap(), []);
    }
    let settled = running.into_iter().map(|job| one.settle(job.lease, Outcome::Done));
    assert!(join_all(settled).await.iter().all(Result::is_ok));
    assert_eq!(one.stats().await.unwrap().jobs, [0, 0, 0, 100, 0, 0]);
}
