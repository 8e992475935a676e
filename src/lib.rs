//! A webhook receiver for senders that neither wait nor ask twice.
//!
//! **No success reply is sent before an fsync that covers the delivery has returned.** From then on it survives the
//! death of the process and the loss of power, and its handlers run at least once: once, unless a process crashes, is
//! cut off or stalls while they run, or an outcome could not be recorded. A delivery that comes again is recognised and
//! takes effect once. Nothing is dropped in silence.
//!
//! # The way of a delivery
//!
//! ```text
//! sender ──POST /in/{source}──► ingress ─► provider ─► Delivery ─► journal ─► reply
//!                              (deadline)  (pure)     (events)   (one commit:
//!                                                                 deduped, stored, enqueued)
//!                                                                     │
//!                              handler or target ◄── worker ◄─────────┘
//!                                      └─ done │ tried again │ dead
//! ```
//!
//! 1. The ingress reads a request within its limits and its sender's deadline.
//! 2. A [`provider`] proves where it comes from and reads its events. Pure: it is usable
//!    [alone](provider::Provider::verify).
//! 3. What it read becomes a [`delivery`] with ids and a key by which it is recognised when it comes again.
//! 4. The journal, a file in the data folder, stores the delivery with one job for each event and [`Route`], all in one
//!    commit. Then the sender gets the reply that it takes for success.
//! 5. A worker is woken, claims the job, counts the attempt, and
//! 6. runs your function, a [`Handler`], or a [`target`]: an HTTP endpoint, a command, a Redis stream, the log.
//!
//! # Quickstart
//!
//! ```no_run
//! use doorbell::{Event, HandlerError, Receiver, State, provider::{Poster, poster::Stock}};
//!
//! #[derive(Clone)]
//! struct Shop;
//!
//! impl Shop {
//!     async fn set_level(&self, item: &str, level: f64) -> std::io::Result<()> {
//!         # let _ = (item, level);
//!         Ok(())
//!     }
//! }
//!
//! async fn stock_changed(stock: Event<Stock>, shop: State<Shop>) -> Result<(), HandlerError> {
//!     let level = stock.value_absolute.to_f64();
//!     if level < 0.0 {
//!         return Err(HandlerError::discard("no negative stock in our shop"));
//!     }
//!     shop.set_level(&stock.element_id, level).await?; // an error is tried again, by the route's schedule
//!     Ok(())
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let receiver = Receiver::builder()
//!     .source("cafe", Poster::new(std::env::var("POSTER_SECRET")?))
//!     .on("cafe", "stock.*", stock_changed)
//!     .with_state(Shop)
//!     .build()
//!     .await?;
//! receiver.serve(async { drop(tokio::signal::ctrl_c().await) }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each argument of a handler says what it wants of the job: [`Event`], a vendor's event as a type; [`Json`], the same as a
//! type of your own; [`Raw`], [`Job`], [`Delivery`], [`Attempt`] or [`State`].
//!
//! [`Receiver::router`] goes into an axum application instead; [`Builder::target`] sends events elsewhere. The
//! repository's `examples/` run. [`testing`] has a receiver for your tests, which runs your handlers without a network or
//! waiting, and makes requests as the senders make them.
//!
//! # What a handler owes
//!
//! To be idempotent by [`Job::id`], which is the same over retries and replays; and not to count on an order: an event
//! may be handled before an earlier one. [`Job::occurred_at`] and [`Job::received_at`] say when; where it matters, ask
//! the sender for the current state.
//!
//! # Features
//!
//! All are on by default. `redis` and `admin` include `receiver`, which includes `axum`, and `cli` includes `admin`.
//!
//! | feature | what it adds |
//! |---|---|
//! | none | [`provider`] with `verify`, [`clock`], [`testing`] |
//! | `axum` | `Verified`: an axum extractor for those who bring a queue of their own |
//! | `client` | [`client`]: asks the vendors' APIs what a notification is about |
//! | `receiver` | the whole way of a delivery: `Receiver`, handlers, targets; `testing::TestReceiver` |
//! | `redis` | the queue on Redis, shared by many machines |
//! | `admin` | the admin listener: health, metrics, the JSON API |
//! | `cli` | `doorbell.toml` and the `doorbell` command |

// In flow order.
#[cfg(feature = "receiver")]
mod ingress;

pub mod provider;

#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "axum")]
mod verified;

#[cfg(feature = "receiver")]
pub mod delivery;

#[cfg(feature = "receiver")]
#[cfg_attr(
    not(all(feature = "admin", feature = "cli", feature = "redis")),
    allow(
        dead_code,
        unused_imports,
        reason = "every store can list, show, replay and be relayed to; the admin API, the command line and the relay \
                  are who asks"
    )
)]
mod journal;

#[cfg(feature = "receiver")]
mod worker;

#[cfg(feature = "receiver")]
mod handler;
#[cfg(feature = "receiver")]
pub mod target;

#[cfg(feature = "receiver")]
mod receiver;
#[cfg(feature = "receiver")]
mod route;
#[cfg(feature = "receiver")]
mod source;

#[cfg(feature = "cli")]
pub mod config;

#[cfg(feature = "admin")]
mod admin;
#[cfg(feature = "receiver")]
mod live;
#[cfg(feature = "receiver")]
mod metrics;

#[cfg(feature = "cli")]
pub mod cli;

pub mod clock;
#[cfg(any(feature = "client", feature = "receiver"))]
mod outbound;
#[cfg(any(feature = "client", feature = "receiver"))]
mod rate;
#[cfg(feature = "receiver")]
mod suggest;
pub mod testing;
#[cfg(any(feature = "client", feature = "receiver"))]
mod text;
#[cfg(any(feature = "client", feature = "receiver"))]
mod tls;

#[cfg(feature = "redis")]
pub use self::journal::RedisAddress;
#[cfg(feature = "redis")]
pub use self::receiver::RedisQueue;
#[cfg(feature = "axum")]
pub use self::verified::{Verified, VerifiedEvent, Verifier, VerifyRejection};
#[cfg(feature = "receiver")]
pub use self::{
    handler::{
        Attempt, Capacity, Delivery, Event, FromJob, Handler, HandlerError, HandlerFn, Job, Json, Raw, State,
    },
    ingress::Limits,
    journal::OpenError,
    receiver::{Bound, BuildError, Builder, Queue, Receiver, Role, ServeError},
    route::{Pattern, RetryPolicy, Route, SourceFilter},
    source::Source,
};

/// Its code is compiled and run with the other documentation tests.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
struct Readme;
