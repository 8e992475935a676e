//! Orderly restarts behind an inherited listener.

use tokio::sync::watch;

use crate::{sender::Load, service::Setup, sink::Sink, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_twenty_times_under_load_no_delivery_is_refused() {
    let sink = Sink::start().await;
    let (setup, address) = Setup::with_sink(&sink).inheriting();
    let mut service = setup.start().await;
    assert_eq!(service.ingress(), address);
    let (_held, watched) = watch::channel(address);
    let load = Load::start(&watched, 8);
    for _ in 0..20 {
        let enough = load.acknowledged() + 50;
        until("it acknowledges", async || load.acknowledged() >= enough).await;
        service.stop().await;
        // Nobody accepts now; what comes waits in the backlog.
        service = setup.start().await;
    }
    let (acknowledged, troubles) = load.stop().await;
    assert!(troubles.is_empty(), "of {}, refused or broken off: {troubles:?}", acknowledged.len());
    sink.has(&acknowledged).await;
    service.is_idle().await;
    println!("{} acknowledged, all handled", acknowledged.len());

    assert!(sink.repeated().is_empty(), "an orderly stop cuts no job off: {:?}", sink.repeated());
    let jobs = &service.json("/api/stats").await["jobs"];
    assert_eq!(jobs["done"], acknowledged.len(), "{jobs}");
    service.stop().await;
}
