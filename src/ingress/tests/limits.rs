//! No sender may cost more than its share of time and memory.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use super::support::{Harness, LONG, good, post};
use crate::ingress::Limits;

/// Limits of which only one matters to a test.
fn generous() -> Limits {
    Limits { header_time: LONG, body_time: LONG, keep_alive: LONG, ..Limits::default() }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_not_even_begun() {
    let mut harness = Harness::with(Limits { body_bytes: 10, ..generous() }, []);
    assert_eq!(harness.send(&good("0123456789")).await.status(), 200);
    harness.begun.recv().await.unwrap();

    let head = "POST /in/plain HTTP/1.1\r\nhost: h\r\nx-proof: right\r\ncontent-length: 11\r\n";
    for expect in ["", "expect: 100-continue\r\n"] {
        let mut client = harness.connect().await;
        client.write(&format!("{head}{expect}\r\n")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status(), answer.body.as_str()), (413, ""));
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert_eq!(harness.refusals("plain", "too_large"), 2);
    assert!(harness.begun.try_recv().is_err());
}

#[tokio::test]
async fn a_body_that_grows_too_large_is_answered_while_it_is_still_coming() {
    let limits = Limits { body_bytes: 1 << 20, body_time: LONG, ..generous() };
    let mut harness = Harness::with(limits, []);
    let mut client = harness.connect().await;
    client
        .write("POST /in/plain HTTP/1.1\r\nhost: h\r\nx-proof: right\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let (mut read, mut write) = client.0.split();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0_usize;
    let mut reply = [0; 12];
    tokio::select! {
        answered = tokio::io::AsyncReadExt::read_exact(&mut read, &mut reply) => { answered.unwrap(); }
        // A GiB would take this loop far longer than the reply takes.
        () = async { while sent < 1 << 30 && write.write_all(chunk.as_bytes()).await.is_ok() { sent += 0x10000; } } => {
            panic!("no reply after {sent} bytes");
        }
    }
    assert_eq!(&reply, b"HTTP/1.1 413");
    assert_eq!(harness.refusals("plain", "too_large"), 1);
    assert!(harness.begun.try_recv().is_err());
}

#[tokio::test]
async fn a_sender_gets_to_read_the_413_although_it_is_still_writing() {
    let harness = Harness::with(Limits { body_bytes: 10, ..generous() }, []);
    let mut client = harness.connect().await;
    let body = "x".repeat(300_000);
    // All of it is written before anything is read, as simple clients do.
    client.write(&good(&body)).await;
    assert_eq!(client.answer().await.status(), 413);
    client.0.shutdown().await.unwrap();
    client.closed().await;
}

#[tokio::test]
async fn bodies_that_dribble_share_what_memory_there_is() {
    let harness = Harness::with(Limits { buffered_bytes: 10, ..generous() }, []);
    let mut slow = harness.connect().await;
    let request = good("0123456789");
    let (head, tail) = request.split_at(request.len() - 2);
    let (head, middle) = head.split_at(head.len() - 1);
    // Each piece on its own, with a reply to another request in between: so it has been read before the next comes.
    for piece in [head, middle] {
        slow.write(piece).await;
        assert_eq!(harness.send(&good("one piece needs no room")).await.status(), 200);
    }
    let mut other = harness.connect().await;
    other.write(head).await;
    assert_eq!(harness.send(&good("a")).await.status(), 200);
    other.write(middle).await;
    let answer = other.answer().await;
    assert_eq!((answer.status(), answer.header("connection")), (503, Some("close")));
    assert_eq!(harness.refusals("plain", "no_room"), 1);
    slow.write(tail).await;
    assert_eq!(slow.answer().await.status(), 200);
    // What one held is free again.
    slow.write(head).await;
    assert_eq!(harness.send(&good("a")).await.status(), 200);
    slow.write(&request[head.len()..]).await;
    assert_eq!(slow.answer().await.status(), 200);
}

#[tokio::test]
async fn headers_that_come_late_close_the_connection() {
    let limits = Limits { header_time: Duration::from_millis(100), ..generous() };
    let harness = Harness::with(limits, []);
    // Nothing at all, half a request, half a second one.
    let mut silent = harness.connect().await;
    let mut slow = harness.connect().await;
    slow.write("POST /in/plain HTTP/1.1\r\nhost: h\r\n").await;
    let mut second = harness.connect().await;
    second.write(&good("a")).await;
    assert_eq!(second.answer().await.status(), 200);
    second.write("POST /in").await;
    silent.closed().await;
    slow.closed().await;
    second.closed().await;
}

#[tokio::test]
async fn a_body_that_comes_late_is_answered_with_408() {
    let limits = Limits { body_time: Duration::from_millis(100), ..generous() };
    let mut harness = Harness::with(limits, []);
    let mut client = harness.connect().await;
    let request = good("0123456789");
    client.write(&request[..request.len() - 1]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status(), answer.body.as_str()), (408, ""));
    assert_eq!(answer.header("connection"), Some("close"));
    client.closed().await;
    assert_eq!(harness.refusals("plain", "late_body"), 1);
    assert!(harness.begun.try_recv().is_err());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_a_delivery() {
    let mut harness = Harness::with(generous(), []);
    let mut client = harness.connect().await;
    let request = good("0123456789");
    client.write(&request[..request.len() - 1]).await;
    client.0.shutdown().await.unwrap();
    client.try_answer().await;
    assert_eq!(harness.refusals("plain", "broken_body"), 1);
    assert!(harness.begun.try_recv().is_err());
}

#[tokio::test]
async fn headers_that_are_too_large_are_answered_with_431() {
    let harness = Harness::with(generous(), []);
    let fits = post("/in/plain", &format!("x-proof: right\r\nx-long: {}\r\n", "x".repeat(15 << 10)), "a");
    assert_eq!(harness.send(&fits).await.status(), 200);
    let exceeds = post("/in/plain", &format!("x-proof: right\r\nx-long: {}\r\n", "x".repeat(16 << 10)), "a");
    assert_eq!(harness.send(&exceeds).await.status(), 431);
}

#[tokio::test]
async fn what_is_no_http_is_answered_with_400_and_does_no_harm() {
    let harness = Harness::with(generous(), []);
    assert_eq!(harness.send("\u{16}\u{3}\u{1} hello\r\n\r\n").await.status(), 400);
    assert_eq!(harness.send(&good("a")).await.status(), 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_its_time_is_over_and_not_before() {
    let limits =
        Limits { header_time: Duration::from_millis(500), keep_alive: Duration::from_secs(3), ..generous() };
    let harness = Harness::with(limits, []);
    let mut client = harness.connect().await;
    client.write(&good("a")).await;
    assert_eq!(client.answer().await.status(), 200);
    // The time for headers is long over; the connection is idle, and may be.
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.write(&good("b")).await;
    assert_eq!(client.answer().await.status(), 200);
    client.closed().await;
}
