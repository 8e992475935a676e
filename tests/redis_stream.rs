//! The whole way from a delivery to an entry in a Redis stream, through a Redis that goes away and comes back.
#![cfg(all(unix, feature = "redis"))]
#![expect(clippy::unwrap_used, reason = "in tests, a panic is the message")]

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime},
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use doorbell::{
    Queue, Receiver, RedisAddress, RedisQueue, RetryPolicy, Route,
    clock::Timestamp,
    provider::{Poster, Secret},
    target::RedisStreamTarget,
    testing::Sample,
};
use tempfile::TempDir;
use tower::ServiceExt;

use self::servers::RedisServer;

#[allow(dead_code, unused_imports, reason = "the tests of the store use what is not used here")]
#[path = "support/redis/mod.rs"]
mod servers;

const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

/// Far beyond what anything here takes: only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(90);

struct World {
    router: Router,
    receiver: Receiver,
    _data: TempDir,
}

impl World {
    async fn start(queue: impl Into<Queue>, target: RedisStreamTarget) -> Self {
        let data = tempfile::tempdir().unwrap();
        let route = Route {
            name: "to-the-stream".into(),
            retry: RetryPolicy {
                max_attempts: 1000,
                min: Duration::from_millis(10),
                max: Duration::from_millis(100),
            },
            ..Route::new("*", "*")
        };
        let receiver = Receiver::builder()
            .data_dir(data.path())
            .source("cafe", Poster::new(SECRET))
            .target(route, target)
            .queue(queue)
            .build()
            .await
            .unwrap();
        Self { router: receiver.router(), receiver, _data: data }
    }

    /// Sends deliveries of these numbers, each of which is acknowledged.
    async fn ring(&self, numbers: impl IntoIterator<Item = u128>) {
        for number in numbers {
            let now = Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_168_200));
            let signed = Sample::Poster.request(Some(&Secret::from(SECRET)), now, number).unwrap();
            let mut request = Request::builder().method(signed.method).uri("/in/cafe");
            *request.headers_mut().unwrap() = signed.headers;
            let request = request.body(Body::from(signed.body)).unwrap();
            assert_eq!(self.router.clone().oneshot(request).await.unwrap().status(), StatusCode::OK);
        }
    }

    async fn stop(self) {
        drop(self.router);
        self.receiver.shutdown().await;
    }
}

/// The jobs that have an entry.
fn jobs(server: &RedisServer) -> BTreeSet<String> {
    server.entries("orders").into_iter().map(|mut entry| entry.remove("webhook-id").unwrap()).collect()
}

/// Waits until so many jobs have an entry.
async fn have(server: &RedisServer, wanted: usize) {
    let asking = async {
        while jobs(server).len() < wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let all = tokio::time::timeout(PATIENCE, asking).await;
    assert!(all.is_ok(), "{wanted} jobs are expected in the stream, and {} are there", jobs(server).len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queues_own_redis_is_the_default() {
    let server = RedisServer::start(&[]);
    let target = RedisStreamTarget::new("orders").unwrap();
    let world = World::start(RedisQueue::new([server.url()]), target).await;
    world.ring(0..5).await;
    have(&server, 5).await;
    world.stop().await;
    assert_eq!(server.entries("orders").len(), 5, "once each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_goes_away_and_comes_back_loses_no_job() {
    let mut server = RedisServer::start_durable(&[]);
    let target = RedisStreamTarget::new("orders").unwrap().at(RedisAddress::new([server.url()]));
    let world = World::start(Queue::Embedded, target).await;
    world.ring(0..5).await;
    have(&server, 5).await;
    server.kill();
    world.ring(5..25).await;
    server.restart();
    have(&server, 25).await;
    world.stop().await;
    assert_eq!(jobs(&server).len(), 25);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_redis_holds_jobs_up_and_loses_none() {
    let server = RedisServer::start(&[]);
    let target = RedisStreamTarget::new("orders").unwrap().at(RedisAddress::new([server.url()]));
    let world = World::start(Queue::Embedded, target).await;
    server.config_set("maxmemory", "1");
    world.ring(0..20).await;
    server.config_set("maxmemory", "0");
    have(&server, 20).await;
    world.stop().await;
    assert_eq!(server.entries("orders").len(), 20, "what was refused was not done");
}
