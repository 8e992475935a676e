//! A dead target with very many jobs waiting for it.

use std::{fmt::Write, time::Duration};

use tokio::{net::TcpSocket, time::timeout};

use crate::{
    http::Connection,
    sender::{delivery, is_success},
    service::{Service, Setup, route},
    sink::Sink,
};

const WAITING: u64 = 100_000;
/// Events in each notification that fills the queue: few enough to be taken in well before the sender's deadline.
const EVENTS: u64 = 500;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_target_with_a_hundred_thousand_jobs_holds_up_no_other_route() {
    let sink = Sink::start().await;
    // Nobody listens there, and nobody else can as long as the socket is kept: connections are refused.
    let dead = TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = dead.local_addr().unwrap();
    let routes = route("dead", "product.*", &address.to_string())
        + &route("sink", "stock.*", &sink.address.to_string());
    let service = Setup::with_routes(&routes).start().await;
    let mut filler = Connection::open(service.ingress()).await.unwrap();
    for number in 0..WAITING / EVENTS {
        let reply = filler.exchange(&notification(number)).await.unwrap();
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    assert_eq!(unfinished(&service).await, WAITING);

    // Each of these starts while all of those wait: in its turn by itself, not behind them.
    let mut sender = Connection::open(service.ingress()).await.unwrap();
    for object in 1..=200 {
        let reply = sender.exchange(&delivery(object)).await.unwrap();
        assert!(is_success(&reply), "{reply:?}");
        let handled = timeout(Duration::from_secs(10), sink.has(&[object].into())).await;
        assert!(handled.is_ok(), "delivery {object} waits behind the dead target's jobs");
    }
    service_is_done_with(&service, 200).await;
    assert_eq!(unfinished(&service).await, WAITING, "none of the dead target's jobs is lost or given up");

    // The breaker opened after a handful of failures; since then one probe at a time goes out, ever more rarely.
    let attempts = attempts(&service).await;
    println!("{attempts} attempts at {WAITING} jobs of the dead target");
    assert!(attempts > 0, "the dead target was never tried");
    assert!(attempts < 150, "{attempts} attempts were used up on a dead target");
    service.kill().await;
}

/// A notification of many events.
fn notification(number: u64) -> Vec<u8> {
    let mut body = String::from(r#"{"events":["#);
    for event in number * EVENTS..(number + 1) * EVENTS {
        let comma = if event % EVENTS == 0 { "" } else { "," };
        write!(
            body,
            r#"{comma}{{"meta":{{"type":"product","href":"https://api.kladana.com/api/remap/1.2/entity/product/00000000-0000-4000-8000-{event:012x}"}},"action":"UPDATE","accountId":"a"}}"#
        )
        .unwrap();
    }
    body += "]}";
    format!(
        "POST /in/erp/a-path-secret-for-these-tests?requestId={number} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// How many jobs wait or run.
async fn unfinished(service: &Service) -> u64 {
    let jobs = &service.json("/api/stats").await["jobs"];
    ["queued", "running", "retrying"].iter().map(|state| jobs[state].as_u64().unwrap()).sum()
}

/// An effect is seen before its job is settled.
async fn service_is_done_with(service: &Service, jobs: u64) {
    crate::until("the other route's jobs are done", async || {
        service.json("/api/stats").await["jobs"]["done"] == jobs
    })
    .await;
}

/// How many attempts at the dead target's jobs have ended.
async fn attempts(service: &Service) -> u64 {
    let text = service.ask("/metrics").await.unwrap().body;
    let text = String::from_utf8(text).unwrap();
    text.lines()
        .filter(|line| line.starts_with("doorbell_attempts_total") && line.contains("route=\"dead\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum()
}
