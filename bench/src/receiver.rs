//! The library as its user has it: a receiver whose handler notes that it was started, and does nothing.

use anyhow::Context as _;
use doorbell::{Job, Receiver, provider::Poster};
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
    tokio::spawn(async move { axum::serve(control, routes).await });

    let receiver = Receiver::builder()
        .data_dir(options.data)
        .listen(options.ingress)
        .source(poster::SOURCE, Poster::new(poster::SECRET))
        .on(poster::SOURCE, "*", move |job: Job| {
            recorder.started(job.received_at.as_millis());
            async { Ok(()) }
        })
        .build()
        .await?;
    let mut terminated = signal(SignalKind::terminate())?;
    receiver
        .serve(async move {
            terminated.recv().await;
        })
        .await?;
    Ok(())
}
