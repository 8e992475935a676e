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
//! 6. runs your function, a [`Handler`], or a [`target`].
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
//! The repository's `examples/` run.
//!
//! # What to use when
//!
//! | you want to | use |
//! |---|---|
//! | handle events in Rust | a function: [`Builder::on`]. Each argument says what it wants of the job: [`Event`], a vendor's event as a type; [`Json`], the same as a type of your own; [`Raw`], [`Job`], [`Delivery`], [`Attempt`], [`State`] |
//! | have them handled in another language | a [`target`]: an HTTP endpoint, a command, a Redis stream |
//! | take deliveries in inside an axum application | [`Receiver::router`] |
//! | share the work among machines | [`RedisQueue`], and a [`Role`] for each process |
//! | test your handlers, without a network or waiting | [`testing::TestReceiver`] |
//! | ask a vendor what has become of what changed | [`client`] |
//! | only verify, with a queue of your own | [`Verified`] in axum, or [`Provider::verify`](provider::Provider::verify) anywhere |
//! | write no code at all | the `doorbell` command, and [`doorbell.toml`](config) |
//!
//! # Senders
//!
//! Each has a guide: how to register the URL, what is verified, what may come, and what a failure costs there.
//!
//! - [Poster](provider::poster), [Kladana and `MoySklad`](provider::kladana), [Quable](provider::quable),
//!   [Shareactor](provider::shareactor)
//! - [GitHub, Stripe, Shopify, Slack, Svix, Standard Webhooks](provider::hmac), and by a [`Scheme`](provider::hmac::Scheme)
//!   whoever else signs with an HMAC
//! - anybody else: implement [`Provider`](provider::Provider)
//!
//! # What a handler owes
//!
//! To be idempotent by [`Job::id`], which is the same over retries and replays; and not to count on an order: an event
//! may be handled before an earlier one. [`Job::occurred_at`] and [`Job::received_at`] say when; where it matters, ask
//! the sender for the current state.
//!
//! What it returns decides about its job: `Ok` ends it; an error has it tried again by the route's [`RetryPolicy`], unless
//! it is a [`HandlerError`] that says otherwise. A panic is an error like any other.
//!
//! # Features
//!
//! All are on by default. `redis` and `admin` include `receiver`, which includes `axum`, and `cli` includes `admin`.
//!
//! | feature | what it adds |
//! |---|---|
//! | none | [`provider`] with `verify`, [`clock`], [`testing`] |
//! | `axum` | [`Verified`]: an axum extractor for those who bring a queue of their own |
//! | `client` | [`client`]: asks the vendors' APIs what a notification is about |
//! | `receiver` | the whole way of a delivery: [`Receiver`], handlers, targets; [`testing::TestReceiver`] |
//! | `redis` | [`RedisQueue`]: the queue on Redis, shared by many machines |
//! | `admin` | [`Builder::admin`]: health, metrics, the JSON API |
//! | `cli` | [`config`] for `doorbell.toml`, and the `doorbell` command |

#![cfg_attr(docsrs, feature(doc_cfg))]
// What a feature adds is linked to without regard to whether it is on; the published documentation has all of them.
#![cfg_attr(
    not(all(feature = "admin", feature = "cli", feature = "client", feature = "redis")),
    allow(rustdoc::broken_intra_doc_links)
)]

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
pub use self::verified::{
    Verified, VerifiedEvent, Verifier, VerifierBuilder, VerifierError, VerifyRejection,
};
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

/// What an application shares, and what its handlers hold, goes over threads.
#[cfg(all(test, feature = "client", feature = "redis"))]
const _: fn() = || {
    fn sent<T: Send>() {}
    fn shared<T: Send + Sync>() {}
    sent::<Builder>();
    shared::<(Receiver, Bound, Source, Route, Queue, Limits, target::Target)>();
    shared::<(Job, Delivery, Attempt, Raw, HandlerError)>();
    shared::<(client::Kladana, client::Poster, client::Shareactor, client::ClientError)>();
    shared::<(Verifier, clock::ManualClock, testing::TestReceiver)>();
};

/// Its code is compiled and run with the other documentation tests.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
struct Readme;
