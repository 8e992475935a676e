//! Keeps a table of Kladana's products: a notification says that one has changed, the API says what it is now.
//!
//! ```sh
//! KLADANA_TOKEN=… cargo run --example kladana_enrich
//! # and in another terminal, as Kladana would; its products are made up, so the API says 404, and the jobs are tried again:
//! cargo run -- send kladana --no-wait --sample kladana-several --to http://127.0.0.1:8080/in/erp/5d8e1c0f47a94b62
//! ```
//!
//! Crates that it needs beside `doorbell`: `rusqlite`, `serde` and `tokio`.
//!
//! `KLADANA_URL` is the host to ask, `api.kladana.com` if it is not set. Another address to listen on:
//! `--example kladana_enrich -- 127.0.0.1:9000`. The table is in `products.db`.

use std::{
    env,
    sync::{Arc, Mutex, PoisonError},
};

use doorbell::{
    Event, HandlerError, Receiver, Source, State,
    client::Kladana,
    provider::{
        self,
        kladana::{Action, EntityEvent},
    },
};
use rusqlite::{Connection, params};
use serde::Deserialize;

/// Made up. It stands in the URL that Kladana gets, and proves that it is Kladana who calls.
const PATH_SECRET: &str = "5d8e1c0f47a94b62";

#[derive(Clone)]
struct App {
    kladana: Kladana,
    products: Arc<Mutex<Connection>>,
}

/// What this application wants to know of a product.
#[derive(Deserialize)]
struct Product {
    name: String,
    /// `2026-01-23 10:44:23.000`, in a form that sorts by time.
    updated: String,
}

/// Runs at least once for each event, and not in their order. So it does not apply what changed, but fetches what is, and
/// a result that is older than what the table has changes nothing.
async fn product_changed(event: Event<EntityEvent>, app: State<App>) -> Result<(), HandlerError> {
    let id = event.entity.id.clone().ok_or_else(|| HandlerError::dead("the event names no product"))?;
    let deleted = event.action == Action::Delete;
    let known = {
        let id = id.clone();
        app.table(move |products| if deleted { bury(products, &id) } else { is_gone(products, &id) }).await?
    };
    if known {
        println!("product {id} is gone");
        return Ok(());
    }
    // The entity's type and id are used, never the URL that the notification came with. A rate limit or an outage that
    // lasts is left to the job's next attempt, at the time that Kladana asks for. So is "not found": what answers may lag
    // behind the notification, and if the product was deleted meanwhile, its own notification says so.
    let product = app.kladana.fetch::<Product>(&event.entity).await?;
    println!("{}", app.table(move |products| keep(products, &id, &product)).await?);
    Ok(())
}

impl App {
    /// Works on the table, which may take a while.
    async fn table<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, HandlerError> {
        let products = self.products.clone();
        let work = move || work(&products.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(tokio::task::spawn_blocking(work).await??)
    }
}

/// Once gone, a product stays gone: its id never comes back, but a result that was fetched before may still be under way.
fn bury(products: &Connection, id: &str) -> rusqlite::Result<bool> {
    products.execute(
        "INSERT INTO product (id, gone) VALUES (?1, TRUE) ON CONFLICT (id) DO UPDATE SET gone = TRUE",
        [id],
    )?;
    Ok(true)
}

fn is_gone(products: &Connection, id: &str) -> rusqlite::Result<bool> {
    products.query_row("SELECT EXISTS (SELECT 1 FROM product WHERE id = ?1 AND gone)", [id], |row| row.get(0))
}

/// Writes what was fetched.
fn keep(products: &Connection, id: &str, Product { name, updated }: &Product) -> rusqlite::Result<String> {
    let changed = products.execute(
        "INSERT INTO product (id, name, updated) VALUES (?1, ?2, ?3)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, updated = excluded.updated
         WHERE excluded.updated > product.updated AND NOT product.gone",
        params![id, name, updated],
    )?;
    Ok(format!("product {id}: {}", if changed == 1 { name } else { "nothing new" }))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let host = env::var("KLADANA_URL").unwrap_or_else(|_| "api.kladana.com".into());
    let products = Connection::open("products.db")?;
    products.execute_batch(
        "CREATE TABLE IF NOT EXISTS product (
             id TEXT PRIMARY KEY, name TEXT, updated TEXT, gone INTEGER NOT NULL DEFAULT FALSE
         ) STRICT",
    )?;
    let app = App {
        kladana: Kladana::new(&host, env::var("KLADANA_TOKEN")?)?,
        products: Arc::new(Mutex::new(products)),
    };
    let receiver = Receiver::builder()
        .source("erp", Source::new(provider::Kladana::new()).path_secret(PATH_SECRET))
        .on("erp", "product.*", product_changed)
        .with_state(app)
        .listen(listen.parse()?)
        .build()
        .await?;
    let receiver = receiver.bind().await?;
    println!("POST http://{}/in/erp/{PATH_SECRET}", receiver.local_addr()?);
    receiver.serve(async { drop(tokio::signal::ctrl_c().await) }).await;
    Ok(())
}
