//! A receiver inside an axum application that is there already, with the application's state in its handlers.
//!
//! ```sh
//! cargo run --example existing_axum_app
//! # and in another terminal, as GitHub would:
//! cargo run -- send github --no-wait --to http://127.0.0.1:3000/hooks/in/repo --secret a-made-up-secret
//! ```
//!
//! Crates that it needs beside `doorbell`: `axum`, `serde` and `tokio`.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Router, extract, routing::get};
use doorbell::{
    HandlerError, Job, Json, Receiver, State,
    provider::{Hmac, Preset},
};
use serde::Deserialize;

#[derive(Clone, Default)]
struct App {
    pushes: Arc<AtomicUsize>,
}

/// What this application wants of GitHub's `push`; the rest is ignored.
#[derive(Deserialize)]
struct Push {
    r#ref: String,
}

/// Each argument says what it wants of the job: the event as a type of one's own, the job itself, the application's state.
async fn pushed(Json(push): Json<Push>, job: Job, app: State<App>) -> Result<(), HandlerError> {
    let count = app.pushes.fetch_add(1, Ordering::Relaxed) + 1;
    println!("push {count} to {}: job {}, attempt {}", push.r#ref, job.id, job.attempt.number);
    Ok(())
}

async fn index(app: extract::State<App>) -> String {
    format!("{} pushes so far\n", app.pushes.load(Ordering::Relaxed))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".into());
    let app = App::default();
    let receiver = Receiver::builder()
        .source("repo", Hmac::preset(Preset::Github, "a-made-up-secret")?)
        .on("repo", "push", pushed)
        .with_state(app.clone())
        .build()
        .await?;
    // The receiver owns `/in` and what is under it, here below `/hooks`.
    let router = Router::new().route("/", get(index)).with_state(app).nest("/hooks", receiver.router());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("POST http://{}/hooks/in/repo", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) })
        .await?;
    // The server has ended; now the jobs that run.
    receiver.shutdown().await;
    Ok(())
}
