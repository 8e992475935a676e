//! An orderly end refuses nobody.

use std::time::Duration;

use tokio::net::TcpStream;

use super::support::{Client, Harness, LONG, good};

#[tokio::test]
async fn a_request_under_way_ends_before_the_server_does() {
    let mut harness = Harness::start();
    let gate = harness.gate();
    let mut client = harness.connect().await;
    client.write(&good("a")).await;
    harness.begun.recv().await.unwrap();
    harness.stop();
    // The listener goes while the request is still under way.
    while TcpStream::connect(harness.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    gate.add_permits(1);
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    client.closed().await;
    harness.ended().await;
}

#[tokio::test]
async fn a_kept_alive_sender_is_told_before_its_connection_is_closed() {
    let mut harness = Harness::start();
    let mut active = harness.connect().await;
    let mut idle = harness.connect().await;
    for client in [&mut active, &mut idle] {
        client.write(&good("a")).await;
        assert_eq!(client.answer().await.header("connection"), None);
    }
    let gate = harness.gate();
    active.write(&good("b")).await;
    harness.begun.recv().await.unwrap();
    harness.begun.recv().await.unwrap();
    harness.begun.recv().await.unwrap();
    harness.stop();
    idle.closed().await;
    gate.add_permits(1);
    assert_eq!(active.answer().await.header("connection"), Some("close"));
    active.closed().await;
    harness.ended().await;
}

#[tokio::test]
async fn who_has_connected_is_still_answered() {
    let mut harness = Harness::start();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(harness.connect().await);
    }
    harness.stop();
    for Client(stream) in &mut clients {
        tokio::io::AsyncWriteExt::write_all(stream, good("a").as_bytes()).await.unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.status(), 200);
    }
    harness.ended().await;
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_cut_off() {
    let mut harness = Harness::with_grace(Duration::from_millis(50));
    let gate = harness.gate();
    let mut client = harness.connect().await;
    client.write(&good("a")).await;
    harness.begun.recv().await.unwrap();
    harness.stop();
    client.closed().await;
    // The sender knows nothing, but what was under way is not lost by that.
    gate.add_permits(1);
    tokio::time::timeout(LONG, harness.stored.recv()).await.unwrap().unwrap();
    harness.ended().await;
}
