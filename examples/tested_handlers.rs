//! Handlers with their tests.
//!
//! ```sh
//! cargo test --example tested_handlers
//! ```
//!
//! Crates that it needs beside `doorbell`: `serde_json` and `tokio`.
//!
//! The sources and routes stand in a function of their own, [`shop`]. `main` serves what it makes; the tests below give
//! it to a receiver that needs neither a network nor time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use doorbell::{
    Builder, Event, HandlerError, Job, Receiver, Source, State,
    provider::{
        Kladana, Poster,
        poster::{ElementType, Stock},
    },
};

/// The shop whose stock levels are kept up to date.
#[derive(Clone, Default)]
struct Shop(Arc<Mutex<Shelves>>);

#[derive(Default)]
struct Shelves {
    levels: HashMap<String, f64>,
    closed: bool,
    renamed: Vec<String>,
}

impl Shop {
    fn with<T>(&self, look: impl FnOnce(&mut Shelves) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What this service listens to, and what it does about it.
fn shop(builder: Builder<Shop>) -> Builder<Shop> {
    builder
        // Made up. The real ones are secrets, and belong into the environment.
        .source("cafe", Poster::new("5d8e1c0f47a94b62b3f0a7c1e9d24680"))
        .source("erp", Source::new(Kladana::new()).path_secret("0f1e2d3c4b5a69788796a5b4c3d2e1f0"))
        .on("cafe", "stock.*", stock_changed)
        .on("erp", "product.update", product_updated)
}

async fn stock_changed(Event(stock): Event<Stock>, State(shop): State<Shop>) -> Result<(), HandlerError> {
    if stock.element_type == ElementType::Ingredient {
        return Err(HandlerError::discard("ingredients are not for sale"));
    }
    shop.with(|shelves| {
        if shelves.closed {
            return Err(HandlerError::retry_after(Duration::from_secs(600), "the shop is closed"));
        }
        shelves.levels.insert(stock.element_id, stock.value_absolute.to_f64());
        Ok(())
    })
}

async fn product_updated(job: Job, State(shop): State<Shop>) -> Result<(), HandlerError> {
    let product = job.subject.ok_or_else(|| HandlerError::dead("it does not say which product"))?;
    shop.with(|shelves| shelves.renamed.push(product));
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let receiver = shop(Receiver::builder()).with_state(Shop::default()).build().await?;
    receiver.serve(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use doorbell::testing::{self, JobState, Outcome, Sample, TestReceiver, poster};
    use serde_json::json;

    use super::*;

    async fn start() -> (TestReceiver, Shop) {
        let state = Shop::default();
        let builder = shop(Receiver::builder()).with_state(state.clone());
        (TestReceiver::start(builder).await.unwrap(), state)
    }

    fn level(kind: u8, left: f64) -> poster::Notification {
        poster::notification("stock", "changed").object_id(512).data(json!({
            "type": kind, "element_id": 512, "storage_id": 1, "value_relative": -1, "value_absolute": left
        }))
    }

    #[tokio::test]
    async fn a_stock_level_reaches_the_shop() {
        let (mut doorbell, shop) = start().await;
        doorbell.send("cafe", level(2, 23.5)).await;
        assert_eq!(doorbell.run().await[0].state, JobState::Done);
        assert_eq!(shop.with(|shelves| shelves.levels["512"].to_string()), "23.5");
    }

    #[tokio::test]
    async fn a_repeated_delivery_has_one_effect() {
        let (mut doorbell, shop) = start().await;
        doorbell.send("erp", Sample::KladanaSeveral).await;
        assert_eq!(doorbell.repeat().await.outcome, Outcome::Duplicate);
        doorbell.run().await;
        assert_eq!(shop.with(|shelves| shelves.renamed.len()), 3);
    }

    #[tokio::test]
    async fn while_the_shop_is_closed_levels_wait() {
        let (mut doorbell, shop) = start().await;
        shop.with(|shelves| shelves.closed = true);
        doorbell.send("cafe", level(2, 23.5)).await;
        let job = &doorbell.advance(Duration::from_secs(3600)).await[0];
        assert_eq!((job.state, job.error.as_deref()), (JobState::Retrying, Some("the shop is closed")));

        shop.with(|shelves| shelves.closed = false);
        assert_eq!(doorbell.run().await[0].state, JobState::Done);
        assert_eq!(shop.with(|shelves| shelves.levels["512"].to_string()), "23.5");
    }

    #[tokio::test]
    async fn ingredients_and_forgeries_come_to_nothing() {
        let (mut doorbell, shop) = start().await;
        doorbell.send("cafe", level(1, 7.0)).await;
        assert_eq!(doorbell.run().await[0].state, JobState::Discarded);

        let forged = testing::Message::signed_by(&level(2, 7.0), &Poster::new("a guess"), doorbell.now(), 1);
        assert_eq!(doorbell.send("cafe", forged.unwrap()).await.status, 401);
        assert!(shop.with(|shelves| shelves.levels.is_empty()));
    }
}
