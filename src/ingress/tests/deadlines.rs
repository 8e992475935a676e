//! The sender's deadline holds, whatever the store does; and whatever the sender does, a commit goes on.

use std::time::Duration;

use super::support::{Client, Harness, LONG, Script, Toy, good, post};
use crate::{clock, ingress::Limits, live::LiveItem, source::Source};

/// So long before the sender hangs up there is a reply.
const MARGIN: Duration = Duration::from_secs(2);

/// A reply after 1.5 s.
const DEADLINE: Duration = Duration::from_millis(3500);

fn hurried(deadline: Duration) -> Harness {
    let limits = Limits { margin: MARGIN, header_time: LONG, ..Limits::default() };
    Harness::with(limits, [("hurried", Source::new(Toy).deadline(deadline))])
}

#[tokio::test]
async fn a_store_that_takes_too_long_means_503_before_the_deadline() {
    let mut harness = hurried(DEADLINE);
    harness.script(Script::Never);
    let began = clock::instant();
    let answer = harness.send(&post("/in/hurried", "x-proof: right\r\n", "a")).await;
    assert_eq!(answer.status(), 503);
    assert!(began.elapsed() < DEADLINE, "answered only after {:?}", began.elapsed());
    let delivery = harness.begun.recv().await.unwrap();
    assert!(delivery.give_up_at.duration_since(began) < DEADLINE);
    assert_eq!(harness.count("hurried", "failed"), 1);
}

#[tokio::test]
async fn a_repetition_after_503_follows_no_acknowledgement() {
    let mut harness = hurried(DEADLINE);
    harness.script(Script::Never);
    let request = post("/in/hurried", "x-proof: right\r\n", "a");
    assert_eq!(harness.send(&request).await.status(), 503);
    // The commit went on behind the answer.
    let original = harness.begun.recv().await.unwrap().id;
    harness.script(Script::Duplicate(original));
    let counted = || harness.metrics.duplicate_after_ack.get_or_create(&Harness::labels("hurried")).get();
    for expected in [0, 1] {
        assert_eq!(harness.send(&request).await.status(), 200);
        assert_eq!(counted(), expected);
    }
}

#[tokio::test]
async fn the_deadline_counts_from_when_the_connection_was_accepted() {
    let deadline = Duration::from_secs(7);
    let mut harness = hurried(deadline);
    let mut client = harness.connect().await;
    // The sender takes half of what is ours.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let asked = clock::instant();
    client.write(&post("/in/hurried", "x-proof: right\r\n", "a")).await;
    assert_eq!(client.answer().await.status(), 200);
    let give_up_at = harness.begun.recv().await.unwrap().give_up_at;
    assert!(give_up_at + MARGIN < asked + deadline);
}

#[tokio::test]
async fn each_request_on_a_kept_alive_connection_has_its_own_deadline() {
    let mut harness = hurried(DEADLINE);
    let mut client = harness.connect().await;
    let request = post("/in/hurried", "x-proof: right\r\n", "a");
    client.write(&request).await;
    assert_eq!(client.answer().await.status(), 200);
    let first = harness.begun.recv().await.unwrap().give_up_at;
    // Longer than what is ours of the deadline: had it gone on running, nothing could be stored any more.
    tokio::time::sleep(Duration::from_millis(1600)).await;
    client.write(&request).await;
    assert_eq!(client.answer().await.status(), 200);
    let second = harness.begun.recv().await.unwrap().give_up_at;
    assert!(second.duration_since(first) >= Duration::from_millis(1600));

    // Requests that come all at once are answered one after the other, and none pays for the one before.
    let gate = harness.gate();
    client.write(&request.repeat(2)).await;
    let first = harness.begun.recv().await.unwrap().give_up_at;
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.add_permits(2);
    assert_eq!(client.answer().await.status(), 200);
    assert_eq!(client.answer().await.status(), 200);
    let second = harness.begun.recv().await.unwrap().give_up_at;
    assert!(second.duration_since(first) >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_sender_that_hangs_up_does_not_cancel_the_commit() {
    let mut harness = Harness::start();
    let mut live = harness.live.watch();
    let gate = harness.gate();
    for reset in [false, true] {
        let Client(stream) = {
            let mut client = harness.connect().await;
            client.write(&good("a")).await;
            client
        };
        harness.begun.recv().await.unwrap();
        if reset {
            stream.set_zero_linger().unwrap();
        }
        drop(stream);
        gate.add_permits(1);
        let stored = harness.stored.recv().await.unwrap();
        let LiveItem::Delivery { outcome, id, .. } = live.recv().await.unwrap() else { panic!() };
        assert_eq!((outcome, id), ("accepted", Some(stored.id)));
    }
    assert_eq!(harness.count("plain", "accepted"), 2);
}

#[tokio::test]
async fn a_foreign_server_that_drops_the_request_does_not_cancel_the_commit() {
    let mut harness = Harness::start();
    let mut live = harness.live.watch();
    let gate = harness.gate();
    let request = http::Request::post("/in/plain").header("x-proof", "right");
    let request = request.body(http_body_util::Full::from("a")).unwrap();
    let ingress = harness.ingress.clone();
    let answering = tokio::spawn(async move { ingress.answer(request, clock::instant()).await });
    harness.begun.recv().await.unwrap();
    answering.abort();
    assert!(answering.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    harness.stored.recv().await.unwrap();
    live.recv().await.unwrap();
    assert_eq!(harness.count("plain", "accepted"), 1);
}
