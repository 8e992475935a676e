//! Redis loses all that it had.

use crate::{
    redis::{Site, at, goes_on, servers::RedisServer},
    service::Service,
    until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_empty_redis_lacks_comes_back_under_the_same_job_ids() {
    let mut redis = RedisServer::start_durable(&[]);
    let site = Site::start(&at(&redis)).await;
    let vendors = site.vendors();
    goes_on(&vendors, 200).await;
    let before = site.settled(vendors).await;
    assert_eq!(site.sink.repeated(), [].into());

    redis.restart_empty();
    // The sink itself asserts that they are the same jobs.
    until("all that is kept has run again", async || {
        let times = site.sink.times();
        before.iter().all(|number| times[number] == 2)
    })
    .await;
    let brought_back = reported(&site.ingress).await;
    assert_eq!(brought_back, before.len() as u64, "the report says how many ran again");
    let vendors = site.vendors_after(&before);
    goes_on(&vendors, 50).await;
    let after = site.settled(vendors).await;
    let times = site.sink.times();
    assert!(after.iter().all(|number| times[number] == 1), "what came later was never lost");
    assert!(before.iter().all(|number| times[number] == 2), "and twice is not thrice");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_redis_under_load_loses_nothing() {
    let mut redis = RedisServer::start_durable(&[]);
    let site = Site::start(&at(&redis)).await;
    let vendors = site.vendors();
    for _ in 0..3 {
        goes_on(&vendors, 50).await;
        redis.restart_empty();
    }
    goes_on(&vendors, 50).await;
    site.settled(vendors).await;
    let times = site.sink.times();
    assert!(times.values().all(|times| *times <= 4), "once, and once more for each loss: {times:?}");
    site.stop().await;
}

/// Waits until the ingress has said how many of the deliveries that it offered again had been lost.
async fn reported(ingress: &Service) -> u64 {
    let mut found = None;
    until("the ingress says what came back", async || {
        let log = ingress.log();
        let line = log.iter().find(|line| line.contains("was offered to the queue again"));
        found = line.map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        found.is_some()
    })
    .await;
    found.unwrap()["fields"]["brought_back"].as_u64().unwrap()
}
