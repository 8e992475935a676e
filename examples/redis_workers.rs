//! Two roles of one program, on any number of hosts with a Redis between them: ingresses take deliveries in, workers run
//! their jobs.
//!
//! ```sh
//! export REDIS_URL=redis://127.0.0.1:6379
//! cargo run --example redis_workers -- ingress 127.0.0.1:8080
//! # in other terminals, or on other hosts, as many as you like:
//! cargo run --example redis_workers -- worker
//! # and as GitHub would:
//! cargo run -- send github --no-wait --to http://127.0.0.1:8080/in/repo --secret a-made-up-secret
//! ```
//!
//! Crates that it needs beside `doorbell`: `serde_json` and `tokio`.
//!
//! An ingress acknowledges what its own disk has (`data/`), and moves it to Redis right after. While Redis is away it goes
//! on acknowledging, and a worker waits. Kill either at any time: nothing that was acknowledged is lost.

use std::env;

use doorbell::{
    Event, HandlerError, Job, Receiver, RedisQueue, Role,
    provider::{Hmac, Preset},
};
use serde_json::Value;

/// Runs at least once for each push, on whichever worker is free: be idempotent by `job.id`.
async fn pushed(Event(event): Event<Value>, job: Job) -> Result<(), HandlerError> {
    println!("pushed to {}: job {}", event["ref"].as_str().unwrap_or("no branch"), job.id);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    const USAGE: &str = "usage: redis_workers ingress [address] | worker";
    let mut arguments = env::args().skip(1);
    let role = match arguments.next().as_deref() {
        Some("ingress") => Role::Ingress,
        Some("worker") => Role::Worker,
        _ => return Err(USAGE.into()),
    };
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".into());
    let url = env::var("REDIS_URL").map_err(|_| "REDIS_URL is not set; expected redis://host:port")?;

    // Both roles have the same sources and routes: an ingress decides which routes get an event, a worker has the code.
    let receiver = Receiver::builder()
        .source("repo", Hmac::preset(Preset::Github, "a-made-up-secret")?)
        .on("repo", "push", pushed)
        .queue(RedisQueue::new([url]))
        .role(role)
        .listen(listen.parse()?)
        .build()
        .await?;
    let receiver = receiver.bind().await?;
    match receiver.local_addr() {
        Ok(address) => println!("POST http://{address}/in/repo"),
        // A worker takes nothing in.
        Err(_) => println!("waiting for jobs"),
    }
    receiver.serve(async { drop(tokio::signal::ctrl_c().await) }).await;
    Ok(())
}
