//! The library as its user has it: a receiver whose handler notes that it was started, and does nothing.

use anyhow::Context as _;
use doorbell::{Job, Queue, Receiver, RedisQueue, Role, provider::Poster};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use crate::{
    noop::{Options, Recorder},
    poster,
};

/// Takes deliveries and handles them, until a SIGTERM.
pub(crate) async fn serve(options: Options) -> anyhow::Result<()> {
    let recorder = Recorder::new()?;
    let control = TcpListener::bind(options.control)
        .await
        .with_context(|| format!("cannot listen on {}", options.control))?;
    let routes = recorder.clone().routes();
    let slots = options.slots();
    let queue = match options.redis {
        Some(url) => RedisQueue::new([url]).lanes(options.lanes).into(),
        None => Queue::Embedded,
    };
    let receiver = Receiver::builder()
        .queue(queue)
        .concurrency(slots)
        .role(if options.worker { Role::Worker } else { Role::All })
        .data_dir(options.data)
        .listen(options.ingress)
        .source(poster::SOURCE, Poster::new(poster::SECRET))
        .on(poster::SOURCE, "*", move |job: Job| {
            recorder.started(job.received_at.as_millis());
            async { Ok(()) }
        })
        .build()
        .await?;
    // Whoever is answered here knows that the receiver stands.
    tokio::spawn(async move { axum::serve(control, routes).await });
    let mut terminated = signal(SignalKind::terminate())?;
    receiver
        .serve(async move {
            terminated.recv().await;
        })
        .await?;
    Ok(())
}
