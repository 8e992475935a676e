//! A receiver with one sender and one handler.
//!
//! ```sh
//! cargo run --example quickstart
//! # and in another terminal, as Poster would:
//! cargo run -- send poster --no-wait --to http://127.0.0.1:8080/in/cafe --secret 5d8e1c0f47a94b62b3f0a7c1e9d24680
//! ```
//!
//! Crates that it needs beside `doorbell`: `tokio`.
//!
//! What was taken in lies in `data/`, and survives this process. Another address: `--example quickstart -- 127.0.0.1:9000`.

use doorbell::{
    Event, HandlerError, Receiver,
    provider::{Poster, poster::Stock},
};

/// Made up. The real one is the application's secret, and belongs into the environment.
const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

/// Runs at least once for each event. `Ok` is the end of it; an error is tried again, for two days if need be.
async fn stock_changed(Event(stock): Event<Stock>) -> Result<(), HandlerError> {
    println!("item {}: {} left", stock.element_id, stock.value_absolute);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let receiver = Receiver::builder()
        .source("cafe", Poster::new(SECRET))
        .on("cafe", "stock.*", stock_changed)
        .listen(listen.parse()?)
        .build()
        .await?;
    let receiver = receiver.bind().await?;
    println!("POST http://{}/in/cafe with the secret {SECRET}", receiver.local_addr()?);
    receiver.serve(async { drop(tokio::signal::ctrl_c().await) }).await;
    Ok(())
}
