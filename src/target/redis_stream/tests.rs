//! The contract of the stream target, against a real server.

use std::collections::BTreeMap;

use super::*;
use crate::{clock::ManualClock, journal::redis_servers::RedisServer};

fn target(server: &RedisServer) -> RedisStreamTarget {
    RedisStreamTarget::new("orders").unwrap().at(RedisAddress::new([server.url()]))
}

fn handler(target: RedisStreamTarget) -> RedisStreamHandler {
    target.into_handler(None, Arc::new(ManualClock::at(Job::sample().received_at))).unwrap()
}

/// Opens at the first failure, and stays open until the test is over.
fn touchy() -> BreakerSettings {
    const HOUR: Duration = Duration::from_secs(3600);
    BreakerSettings { failures: 1.try_into().unwrap(), min_rest: HOUR, max_rest: HOUR }
}

#[track_caller]
fn retried(result: Result<(), HandlerError>) -> String {
    match result {
        Err(error @ HandlerError::Retry { after: None, .. }) => error.to_string(),
        other => panic!("expected a retry, got {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_the_contract_to_the_field() {
    let server = RedisServer::start(&[]);
    let mut job = Job::sample();
    job.subject = Some("товар/512 \"new\"\r\n".into());
    job.content_type = Some("application/json; charset=utf-8".into());
    job.data = b"{\"object\":\"\\u0000\"}\0".as_slice().into();
    job.attempt.number = 4;
    job.attempt.replay = 2;
    handler(target(&server)).handle(job.clone()).await.unwrap();

    let mut entries = server.entries("orders");
    let traceparent = entries[0].remove("traceparent").unwrap();
    assert!(
        traceparent.starts_with(&format!("00-{}-", job.id.to_string().replace('-', ""))),
        "{traceparent}"
    );
    let expected = [
        ("specversion", "1.0"),
        ("id", &job.event_id.to_string()),
        ("source", "/doorbell/cafe"),
        ("type", "poster.stock.changed"),
        ("subject", "товар/512 \"new\"\r\n"),
        ("time", "2025-12-31T08:03:19.000Z"),
        ("datacontenttype", "application/json; charset=utf-8"),
        ("webhook-id", &job.id.to_string()),
        ("doorbell-attempt", "4"),
        ("doorbell-replay", "2"),
        ("data", "{\"object\":\"\\u0000\"}\0"),
    ];
    let expected: BTreeMap<_, _> =
        expected.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert_eq!(entries, [expected], "this and nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unknown_is_no_field() {
    let server = RedisServer::start(&[]);
    let mut job = Job::sample();
    (job.subject, job.occurred_at, job.content_type) = (None, None, None);
    handler(target(&server)).handle(job).await.unwrap();
    let entry = &server.entries("orders")[0];
    assert!(!entry.contains_key("subject") && !entry.contains_key("doorbell-replay"), "{entry:?}");
    assert_eq!(entry["time"], "2025-12-31T08:03:20.045Z");
    assert_eq!(entry["datacontenttype"], "application/json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_refuses_or_is_away_is_left_alone_and_costs_no_attempts() {
    let mut server = RedisServer::start(&[]);
    let tested = |server: &RedisServer| handler(target(server).breaker(touchy()));

    server.command(&["SET", "orders", "1"]);
    let wrong = tested(&server);
    assert_eq!(wrong.capacity(0), Capacity::free(32));
    let error = retried(wrong.handle(Job::sample()).await);
    assert!(error.contains("\"orders\": WRONGTYPE") && error.contains("name another stream"), "{error}");
    assert_eq!(wrong.capacity(0).free, 0);
    server.command(&["DEL", "orders"]);

    server.config_set("maxmemory", "1");
    let full = tested(&server);
    let error = retried(full.handle(Job::sample()).await);
    assert!(error.contains("OOM"), "{error}");
    assert_eq!(full.capacity(0).free, 0);
    server.config_set("maxmemory", "0");

    let away = tested(&server);
    server.kill();
    let error = retried(away.handle(Job::sample()).await);
    assert!(error.contains("not known") && error.contains("can't be reached"), "{error}");
    assert_eq!(away.capacity(0).free, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_may_be_is_removed() {
    let server = RedisServer::start(&["--stream-node-max-entries", "1"]);
    for id in ["1-0", "2-0"] {
        server.command(&["XADD", "orders", id, "old", "1"]);
    }
    let received_at = Job::sample().received_at.as_millis().unsigned_abs();
    let kept = handler(target(&server).max_age(Duration::from_millis(received_at - 1)));
    kept.handle(Job::sample()).await.unwrap();
    assert_eq!(server.entries("orders").len(), 3, "that they may be as old as the time itself");
    handler(target(&server).max_age(Duration::from_secs(3600))).handle(Job::sample()).await.unwrap();
    let entries = server.entries("orders");
    assert!(entries.len() == 2 && entries.iter().all(|entry| entry.contains_key("id")), "{entries:?}");
}

#[test]
fn a_stream_that_can_be_nowhere_is_an_error_that_says_how_to_mend_it() {
    for (name, part) in [("", "empty"), ("a\nb", "control"), ("{doorbell:0}:x", "the queue's own")] {
        let error = RedisStreamTarget::new(name).unwrap_err().to_string();
        assert!(error.contains(&format!("{name:?}")) && error.contains(part), "{error}");
    }
    let clock = || Arc::new(ManualClock::at(Job::sample().received_at));
    let nowhere = RedisStreamTarget::new("orders").unwrap().into_handler(None, clock());
    let error = nowhere.err().unwrap().to_string();
    assert!(error.contains("\"orders\"") && error.contains("embedded") && error.contains("`url`"), "{error}");
    let two = RedisAddress::new(["redis://:hunter2@a", "redis://:hunter2@b"]);
    let wrong = RedisStreamTarget::new("orders").unwrap().at(two).into_handler(None, clock());
    let error = wrong.err().unwrap().to_string();
    assert!(error.contains("2 URLs") && !error.contains("hunter2"), "{error}");
}
