//! What is added to streams that others read, and what keeps it from being added.

use std::{sync::Arc, time::Duration};

use super::servers::{Cluster, Proxy, RedisServer};
use crate::journal::redis::{RedisAddress, StreamLimit, Streams, stream::AppendError};

const FIELDS: [(&str, &[u8]); 2] = [("id", b"1"), ("data", b"{}")];

fn streams(address: &RedisAddress) -> Streams {
    Streams::new(address).unwrap()
}

fn at(server: &RedisServer) -> Streams {
    streams(&RedisAddress::new([server.url()]))
}

fn refused(answer: Result<String, AppendError>) -> String {
    match answer {
        Err(error @ AppendError::Refused { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_is_its_fields_and_is_named_by_redis() {
    let server = RedisServer::start(&[]);
    let id = at(&server).append("orders", None, &FIELDS).await.unwrap();
    let (millis, number) = id.split_once('-').unwrap();
    assert!(millis.parse::<u64>().unwrap() > 1_700_000_000_000 && number == "0", "{id}");
    let entries = server.entries("orders");
    assert_eq!(entries.len(), 1);
    assert_eq!(
        entries[0].clone().into_iter().collect::<Vec<_>>(),
        [("data".to_owned(), "{}".to_owned()), ("id".to_owned(), "1".to_owned())]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_a_limit_names_is_removed_and_only_whole_blocks() {
    // So that blocks are full soon.
    let server = RedisServer::start(&["--stream-node-max-entries", "10"]);
    let streams = at(&server);
    for _ in 0..100 {
        streams.append("all", None, &FIELDS).await.unwrap();
        streams.append("some", Some(StreamLimit::Length(25)), &FIELDS).await.unwrap();
        streams.append("young", Some(StreamLimit::Since(1)), &FIELDS).await.unwrap();
    }
    assert_eq!(server.entries("all").len(), 100);
    assert_eq!(server.entries("young").len(), 100, "none of them is of 1970");
    let some = server.entries("some").len();
    assert!((25..=35).contains(&some), "{some}");
    streams.append("young", Some(StreamLimit::Since(u64::from(u32::MAX) * 1000)), &FIELDS).await.unwrap();
    let young = server.entries("young").len();
    assert!(young <= 10, "{young}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_why_and_how_to_mend_it() {
    let server = RedisServer::start(&[]);
    server.command(&["SET", "orders", "1"]);
    let wrong = refused(at(&server).append("orders", None, &FIELDS).await);
    assert!(wrong.contains("\"orders\": WRONGTYPE") && wrong.contains("name another stream"), "{wrong}");

    server.command(&["ACL", "SETUSER", "shop", "on", ">p", "~carts", "+xadd"]);
    let shop = streams(&RedisAddress::new([server.url().replace("//", "//shop:p@")]));
    shop.append("carts", None, &FIELDS).await.expect("it needs no other right");
    let forbidden = refused(shop.append("orders", None, &FIELDS).await);
    assert!(forbidden.contains("NOPERM") && forbidden.contains("`+xadd`"), "{forbidden}");

    server.config_set("maxmemory", "1");
    let full = refused(at(&server).append("carts", None, &FIELDS).await);
    assert!(full.contains("OOM") && full.contains("raise its maxmemory"), "{full}");
    server.config_set("maxmemory", "0");
    assert_eq!(server.entries("carts").len(), 1, "what was refused was not done");
    at(&server).append("carts", None, &FIELDS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_whose_answer_is_lost_was_sent_once() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let timeout = Duration::from_secs(2);
    let streams = streams(&RedisAddress { timeout, ..RedisAddress::new([proxy.url()]) });
    streams.append("orders", None, &FIELDS).await.unwrap();
    proxy.delay(timeout * 2);
    let late = streams.append("orders", None, &FIELDS).await;
    assert!(matches!(late, Err(AppendError::Unknown { .. })), "{late:?}");
    assert_eq!(server.entries("orders").len(), 2, "it is there, and nobody repeated it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_whose_connection_broke_was_sent_once() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let streams = Arc::new(streams(&RedisAddress::new([proxy.url()])));
    streams.append("orders", None, &FIELDS).await.unwrap();
    // Beyond the timeout: no answer gets through.
    proxy.delay(Duration::from_secs(60));
    let appending = streams.clone();
    let answer = tokio::spawn(async move { appending.append("orders", None, &FIELDS).await });
    while server.entries("orders").len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    proxy.cut();
    let cut = answer.await.unwrap();
    proxy.delay(Duration::ZERO);
    assert!(matches!(cut, Err(AppendError::Unknown { .. })), "{cut:?}");
    streams.append("orders", None, &FIELDS).await.unwrap();
    assert_eq!(server.entries("orders").len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_each_stream_is_on_the_node_that_owns_it() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::start(3)).await.unwrap();
    let streams = streams(&RedisAddress::new(cluster.urls()).cluster());
    for number in 0..16 {
        streams.append(&format!("orders-{number}"), None, &FIELDS).await.unwrap();
    }
    let keys = |node: &RedisServer| node.info("keyspace").contains("keys=");
    assert!(cluster.nodes.iter().all(keys), "16 streams touch all three nodes");
    cluster.move_slot_of("orders-0");
    streams.append("orders-0", None, &FIELDS).await.unwrap();
    let found: Vec<_> =
        cluster.nodes.iter().filter_map(|node| node.try_command(&["XLEN", "orders-0"]).ok()).collect();
    assert_eq!(found, [redis::Value::Int(2)], "both are where the slot is now");
}
