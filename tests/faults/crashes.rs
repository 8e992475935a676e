//! kill -9: what was acknowledged is handled, and what was handled twice says why.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, sync::watch};

use crate::{
    http::Connection,
    sender::{Load, OneByOne, delivery, is_success},
    service::{Service, Setup},
    sink::Sink,
    trace::Trace,
    until,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_under_load_nothing_acknowledged_is_lost() {
    let sink = Sink::start().await;
    let setup = Setup::with_sink(&sink);
    let mut service = setup.start().await;
    let (address, watched) = watch::channel(service.ingress());
    let load = Load::start(&watched, 8);
    for round in 1..=20 {
        let before = load.acknowledged();
        until("it acknowledges", async || load.acknowledged() > before).await;
        let millis = u64::from(getrandom::u32().unwrap()) % 300;
        println!("round {round}: killed after {millis} ms, {before} acknowledged so far");
        tokio::time::sleep(Duration::from_millis(millis)).await;
        service.kill().await;
        service = setup.start().await;
        address.send_replace(service.ingress());
    }
    let (acknowledged, troubles) = load.stop().await;
    sink.has(&acknowledged).await;
    service.is_idle().await;

    println!("{} acknowledged, {} tries in vain", acknowledged.len(), troubles.len());
    assert!(acknowledged.len() > 20, "there was no load: {}", acknowledged.len());
    let jobs = &service.json("/api/stats").await["jobs"];
    assert_eq!(jobs["dead"], 0, "{jobs}");
    assert_eq!(jobs["done"], acknowledged.len(), "one job for each delivery");
    assert_blamed_on_crashes(&service, &sink).await;
    service.stop().await;
}

/// A job that took effect more than once is one that a crash fell on.
pub(crate) async fn assert_blamed_on_crashes(service: &Service, sink: &Sink) {
    let repeated = sink.repeated();
    println!("{} jobs took effect more than once", repeated.len());
    for (job, times) in repeated {
        let delivery = service.json(&format!("/api/deliveries/{job}")).await;
        let record = delivery["jobs"].as_array().unwrap().iter().find(|record| record["id"] == *job);
        let crashes = record.unwrap()["crashes"].as_u64().unwrap();
        assert!(crashes + 1 >= times as u64, "{times} effects, {crashes} crashes: {delivery}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_sender_has_its_reply_the_retry_is_a_duplicate() {
    let sink = Sink::start().await;
    let mut setup = Setup::with_sink(&sink);
    setup.arguments = vec!["--role", "ingress"];
    let deliveries: Vec<_> = (1..=20).map(delivery).collect();
    for (earlier, request) in deliveries.iter().enumerate() {
        let service = setup.start().await;
        let mut deaf = Connection::open(service.ingress()).await.unwrap();
        deaf.stream.write_all(request).await.unwrap();
        until("the delivery is in the journal", async || {
            service.json("/api/stats").await["deliveries"]["accepted"] == earlier + 1
        })
        .await;
        service.kill().await;
    }
    setup.arguments.clear();
    let service = setup.start().await;
    for request in &deliveries {
        let mut again = Connection::open(service.ingress()).await.unwrap();
        let reply = again.exchange(request).await.unwrap();
        assert!(is_success(&reply), "{reply:?}");
    }
    let stats = service.json("/api/stats").await;
    assert_eq!(stats["deliveries"]["accepted"], deliveries.len(), "{stats}");
    assert_eq!(stats["deliveries"]["duplicate"], deliveries.len(), "{stats}");
    sink.has(&(1..=20).collect()).await;
    service.is_idle().await;
    assert_eq!(sink.effects().len(), deliveries.len(), "one effect each");
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_commit_and_acknowledgement_the_retry_is_a_duplicate() {
    // One sync does its work and returns seconds later, too late for the sender: its delivery is durable, and nobody
    // has heard of it.
    let Some(trace) = Trace::new("fsync,fdatasync", &["fsync,fdatasync:delay_exit=4000000:when=40"]) else {
        return;
    };
    let sink = Sink::start().await;
    let mut setup = Setup::with_sink(&sink);
    setup.arguments = vec!["--role", "ingress"];
    setup.wrapper = trace.command();
    let service = setup.start().await;
    let mut sender = OneByOne::default();
    let taken = sender.send_until_refused(&service).await;
    service.kill().await;

    setup.arguments.clear();
    setup.wrapper.clear();
    let service = setup.start().await;
    sender.repeat_refused(&service).await;
    let stats = service.json("/api/stats").await;
    assert_eq!(stats["deliveries"]["duplicate"], 1, "{stats}");
    assert_eq!(stats["deliveries"]["accepted"], taken + 1, "{stats}");
    sink.has(&sender.acknowledged).await;
    service.is_idle().await;
    assert_eq!(sink.effects().len(), taken + 1, "one effect each");
    service.stop().await;
}
