//! Redis is away for a while, in each of the ways in which it can be.

use std::time::Duration;

use doorbell::clock::instant;

use crate::redis::{
    Site, at, backlog, goes_on, is_relayed, knows_that_redis_is,
    servers::{Proxy, RedisServer},
    vendors::DEADLINE,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_absent_at_start() {
    let mut redis = RedisServer::start_durable(&[]);
    redis.kill();
    let mut site = Site::start(&at(&redis)).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    knows_that_redis_is(&site.ingress, "down").await;
    assert!(backlog(&site.ingress).await >= 100);
    assert_eq!(site.sink.effects(), [], "nothing can have come to the worker");
    assert!(!site.worker.is_ready().await, "a worker without Redis is of no use");
    assert!(site.worker.ended().is_none(), "but it waits");
    redis.restart();
    knows_that_redis_is(&site.ingress, "up").await;
    goes_on(&vendors, 50).await;
    site.settled(vendors).await;
    assert!(site.worker.is_ready().await);
    assert_eq!(site.sink.repeated(), [].into());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_frozen_at_start() {
    let redis = RedisServer::start_durable(&[]);
    // How long a start takes here and now.
    let asked = instant();
    let site = Site::start(&at(&redis)).await;
    let usual = asked.elapsed();
    site.stop().await;
    redis.freeze();
    let mut starts = Vec::new();
    for _ in 0..3 {
        let asked = instant();
        let site = Site::start(&at(&redis)).await;
        starts.push((asked.elapsed(), site));
    }
    // The machine may have held up one of them.
    let waited = starts.iter().map(|(waited, _)| *waited).min().unwrap();
    assert!(waited < usual + DEADLINE, "{waited:?} instead of {usual:?}: a sender would have noticed");
    let (_, mut site) = starts.pop().unwrap();
    for (_, other) in starts {
        other.stop().await;
    }
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    knows_that_redis_is(&site.ingress, "down").await;
    goes_on(&vendors, 50).await;
    assert_eq!(site.sink.effects(), [], "nothing can have come to the worker");
    assert!(site.worker.ended().is_none(), "it waits");
    redis.thaw();
    knows_that_redis_is(&site.ingress, "up").await;
    site.settled(vendors).await;
    assert!(site.worker.is_ready().await);
    assert_eq!(site.sink.repeated(), [].into());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_ten_times_under_load() {
    let mut redis = RedisServer::start_durable(&[]);
    let site = Site::start(&at(&redis)).await;
    let vendors = site.vendors();
    for round in 1..=10 {
        goes_on(&vendors, 10).await;
        let millis = u64::from(getrandom::u32().unwrap()) % 300;
        println!("round {round}: killed after {millis} ms, {} acknowledged so far", vendors.acknowledged());
        tokio::time::sleep(Duration::from_millis(millis)).await;
        redis.kill();
        goes_on(&vendors, 20).await;
        redis.restart();
        // Otherwise it would be one long outage.
        is_relayed(&site.ingress).await;
    }
    let acknowledged = site.settled(vendors).await;
    assert!(acknowledged.len() >= 300);
    assert_eq!(site.sink.repeated(), [].into(), "no process has crashed, and Redis has lost nothing");
    // A server that was restarted can't prove that it has all it had; so it is asked.
    for line in site.ingress.log().iter().filter(|line| line.contains("was offered to the queue again")) {
        assert!(line.contains("\"brought_back\":0,"), "{line}");
    }
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_frozen_for_longer_than_a_lease() {
    let redis = RedisServer::start_durable(&[]);
    let site = Site::start(&at(&redis)).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    redis.freeze();
    tokio::time::sleep(Duration::from_secs(31)).await;
    knows_that_redis_is(&site.ingress, "down").await;
    assert!(backlog(&site.ingress).await > 500);
    redis.thaw();
    site.settled(vendors).await;
    assert_eq!(site.sink.repeated(), [].into(), "who was cut off keeps what it runs");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_answers_two_seconds_late() {
    // Even who waits for Redis too does not wait longer than the sender.
    for queue in ["", "ack = \"both\"\nack_timeout = \"300ms\""] {
        let redis = RedisServer::start_durable(&[]);
        let proxy = Proxy::start(redis.port).await;
        let site = Site::start(&format!("url = \"{}\"\n{queue}", proxy.url())).await;
        let vendors = site.vendors();
        goes_on(&vendors, 50).await;
        proxy.delay(Duration::from_secs(2));
        tokio::time::sleep(Duration::from_secs(7)).await;
        goes_on(&vendors, 10).await;
        proxy.delay(Duration::ZERO);
        site.settled(vendors).await;
        assert_eq!(site.sink.repeated(), [].into());
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_full() {
    let redis = RedisServer::start_durable(&["--maxmemory-policy", "noeviction"]);
    let site = Site::start(&at(&redis)).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    redis.config_set("maxmemory", "1");
    knows_that_redis_is(&site.ingress, "down").await;
    // What it has goes on to its end, what it refuses waits.
    site.worker.is_idle().await;
    goes_on(&vendors, 100).await;
    assert!(backlog(&site.ingress).await >= 100);
    redis.config_set("maxmemory", "0");
    knows_that_redis_is(&site.ingress, "up").await;
    site.settled(vendors).await;
    assert_eq!(site.sink.repeated(), [].into());
    site.stop().await;
}
