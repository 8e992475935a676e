//! Stock levels from Poster in a database of one's own: each event takes effect once, and the newest one counts.
//!
//! ```sh
//! cargo run --example poster_stock
//! # and in another terminal, as Poster would:
//! cargo run -- send poster --no-wait --to http://127.0.0.1:8080/in/cafe --secret 5d8e1c0f47a94b62b3f0a7c1e9d24680
//! sqlite3 stock.db 'SELECT * FROM stock'
//! ```
//!
//! Crates that it needs beside `doorbell`: `rusqlite` and `tokio`.
//!
//! A handler runs at least once, and in no order. So it owes two things, and both are one transaction here:
//!
//! - **Once**: the job's id is stored with what the job did. It is the same on every attempt and every replay.
//! - **The newest**: a level is only replaced by one that is as new or newer, by the sender's clock.

use std::sync::{Arc, Mutex};

use doorbell::{
    Event, HandlerError, Job, Receiver, State,
    provider::{Poster, poster::Stock},
};
use rusqlite::{Connection, params};

/// Made up. The real one is the application's secret, and belongs into the environment.
const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

/// `handled` is what makes jobs take effect once; `at` is when the job last came. Levels are text: Poster's decimals are kept to the digit.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS handled (
        job TEXT PRIMARY KEY,
        at INTEGER NOT NULL DEFAULT (unixepoch())
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS stock (
        storage TEXT NOT NULL,
        item TEXT NOT NULL,
        level TEXT NOT NULL,
        changed_at INTEGER NOT NULL,
        received_at INTEGER NOT NULL,
        PRIMARY KEY (storage, item)
    ) STRICT, WITHOUT ROWID;
";

#[derive(Clone)]
struct Shop {
    database: Arc<Mutex<Connection>>,
}

/// What an event did.
enum Effect {
    Changed,
    AlreadyHandled,
    NewerIsKnown,
}

impl Shop {
    fn open(file: &str) -> rusqlite::Result<Self> {
        let database = Connection::open(file)?;
        // An effect that is reported as done must be on disk.
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.execute_batch(SCHEMA)?;
        // A job can come again for as long as its delivery is kept: by default 90 days after the delivery's last job has ended.
        // Here it has but one, and each time that the job comes counts anew.
        database.execute("DELETE FROM handled WHERE at < unixepoch() - 100 * 86400", [])?;
        Ok(Self { database: Arc::new(Mutex::new(database)) })
    }

    fn set_level(&self, stock: &Stock, job: &Job) -> rusqlite::Result<Effect> {
        // A panic under the lock would have rolled its transaction back.
        let mut database = self.database.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let transaction = database.transaction()?;
        let id = job.id.to_string();
        // A replay prolongs the delivery's life, so what is known of its job has to live on with it.
        let known = transaction.execute("UPDATE handled SET at = unixepoch() WHERE job = ?1", [&id])?;
        if known == 1 {
            transaction.commit()?;
            return Ok(Effect::AlreadyHandled);
        }
        transaction.execute("INSERT INTO handled (job) VALUES (?1)", [&id])?;
        // Poster's time has whole seconds; within one, what came in later counts.
        let changed_at = job.occurred_at.unwrap_or(job.received_at);
        let changed = transaction.execute(
            "INSERT INTO stock (storage, item, level, changed_at, received_at) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT DO UPDATE
             SET level = excluded.level, changed_at = excluded.changed_at, received_at = excluded.received_at
             WHERE (excluded.changed_at, excluded.received_at) >= (stock.changed_at, stock.received_at)",
            params![
                stock.storage_id,
                stock.element_id,
                stock.value_absolute.as_str(),
                changed_at.as_millis(),
                job.received_at.as_millis(),
            ],
        )?;
        transaction.commit()?;
        Ok(if changed == 1 { Effect::Changed } else { Effect::NewerIsKnown })
    }
}

/// The data is a `Stock` already, or the job is dead before this is called. An error is tried again.
async fn stock_changed(
    Event(stock): Event<Stock>,
    job: Job,
    State(shop): State<Shop>,
) -> Result<(), HandlerError> {
    // SQLite waits for the disk, and must not hold up other jobs meanwhile.
    let (stock, effect) = tokio::task::spawn_blocking(move || {
        let effect = shop.set_level(&stock, &job);
        (stock, effect)
    })
    .await?;
    let Stock { storage_id, element_id, value_absolute, .. } = stock;
    match effect? {
        Effect::Changed => println!("item {element_id} in storage {storage_id}: {value_absolute} left"),
        Effect::AlreadyHandled => println!("item {element_id}: this job had its effect before"),
        Effect::NewerIsKnown => println!("item {element_id}: a newer level is known"),
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".into());
    let receiver = Receiver::builder()
        .source("cafe", Poster::new(SECRET))
        .on("cafe", "stock.changed", stock_changed)
        .with_state(Shop::open("stock.db")?)
        .listen(listen.parse()?)
        .build()
        .await?;
    let receiver = receiver.bind().await?;
    println!("POST http://{}/in/cafe with the secret {SECRET}", receiver.local_addr()?);
    receiver.serve(async { drop(tokio::signal::ctrl_c().await) }).await;
    Ok(())
}
