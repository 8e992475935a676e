//! There is always room for a good sender.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::AsyncWriteExt;

use super::support::{Client, Harness, LONG, good};
use crate::ingress::Limits;

#[tokio::test]
async fn five_hundred_that_dribble_are_closed_while_good_deliveries_are_answered() {
    let harness = Harness::with(Limits::default(), []);
    let mut dribblers: Vec<Client> = join_all((0..500).map(|_| harness.connect())).await;
    let dribbling = dribblers.iter_mut().enumerate().map(|(number, client)| async move {
        // Half of them over their headers, half over their body.
        let start = if number % 2 == 0 {
            "POST /in/plain HTTP/1.1\r\nx-slow: "
        } else {
            "POST /in/plain HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n"
        };
        client.0.write_all(start.as_bytes()).await.unwrap();
        while client.0.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let good_ones = async {
        for _ in 0..100 {
            assert_eq!(harness.send(&good("stock.changed")).await.status(), 200);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let both = futures_util::future::join(join_all(dribbling), good_ones);
    tokio::time::timeout(LONG, both).await.expect("every dribbler is closed in time");
    assert_eq!(harness.count("plain", "accepted"), 100);
    assert_eq!(harness.refusals("plain", "late_body"), 250);
}

#[tokio::test]
async fn idle_connections_make_room_for_new_ones_the_longest_idle_first() {
    let limits = Limits { connections: 16, keep_alive: LONG, ..Limits::default() };
    let harness = Harness::with(limits, []);
    let mut idle = Vec::new();
    for _ in 0..16 {
        let mut client = harness.connect().await;
        client.write(&good("a")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status(), 200);
        idle.push((client, answer.header("connection") == Some("close")));
    }
    // An eighth is kept free: with the 14th connection room is short, and its reply says that it ends.
    assert!(idle[..13].iter().all(|&(_, told)| !told) && idle[13].1);
    idle[0].0.closed().await;
    idle[12].0.write(&good("a")).await;
    assert_eq!(idle[12].0.answer().await.status(), 200);
    // And a hundred more find room, at once.
    for _ in 0..100 {
        let mut client = harness.connect().await;
        client.write(&good("a")).await;
        assert_eq!(client.answer().await.status(), 200);
        idle.push((client, false));
    }
    assert!(harness.metrics.connections.get() <= 16);
}

#[tokio::test]
async fn those_that_dawdle_make_room_before_their_time_is_over() {
    let limits = Limits { connections: 16, header_time: LONG, keep_alive: LONG, ..Limits::default() };
    let harness = Harness::with(limits, []);
    let mut dawdlers = join_all((0..64).map(|_| harness.connect())).await;
    for client in &mut dawdlers {
        // Those who found no room yet write into the backlog.
        client.write("POST /in/plain HTTP/1.1\r\n").await;
    }
    let answer = tokio::time::timeout(LONG / 2, harness.send(&good("a"))).await;
    assert_eq!(answer.expect("room is made").status(), 200);
}

#[tokio::test]
async fn requests_under_way_are_never_closed_to_make_room() {
    let limits = Limits { connections: 8, ..Limits::default() };
    let mut harness = Harness::with(limits, []);
    let gate = harness.gate();
    let mut busy = Vec::new();
    for _ in 0..8 {
        let mut client = harness.connect().await;
        client.write(&good("a")).await;
        harness.begun.recv().await.unwrap();
        busy.push(client);
    }
    let mut waiting = harness.connect().await;
    waiting.write(&good("b")).await;
    gate.add_permits(9);
    for client in &mut busy {
        assert_eq!(client.answer().await.status(), 200);
    }
    assert_eq!(waiting.answer().await.status(), 200);
}

#[tokio::test]
async fn connections_are_counted_while_they_are_open() {
    let harness = Harness::start();
    let mut client = harness.connect().await;
    client.write(&good("a")).await;
    client.answer().await;
    assert_eq!(harness.metrics.connections.get(), 1);
    client.write("GET /in/plain HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").await;
    client.answer().await;
    client.closed().await;
    while harness.metrics.connections.get() > 0 {
        tokio::task::yield_now().await;
    }
}
