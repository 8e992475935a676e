//! Doorbell answers webhooks for senders that neither wait nor ask twice.

#[cfg(feature = "admin")]
mod admin;
#[cfg(feature = "cli")]
pub mod cli;
pub mod clock;
#[cfg(feature = "cli")]
pub mod config;
#[cfg(feature = "receiver")]
pub mod delivery;
#[cfg(feature = "receiver")]
mod handler;
#[cfg(feature = "receiver")]
mod ingress;
#[cfg(feature = "receiver")]
#[cfg_attr(
    not(feature = "admin"),
    allow(dead_code, reason = "every store can list, show and replay; the admin API is who asks")
)]
mod journal;
#[cfg(feature = "receiver")]
mod live;
#[cfg(feature = "receiver")]
mod metrics;
pub mod provider;
#[cfg(feature = "receiver")]
mod receiver;
#[cfg(feature = "receiver")]
mod route;
#[cfg(feature = "receiver")]
mod source;
#[cfg(feature = "receiver")]
pub mod target;
pub mod testing;
#[cfg(feature = "receiver")]
mod worker;

#[cfg(feature = "receiver")]
pub use self::{
    handler::{Attempt, Capacity, Event, FromJob, Handler, HandlerError, HandlerFn, Job, Raw, State},
    ingress::Limits,
    journal::OpenError,
    receiver::{Bound, BuildError, Builder, Receiver, ServeError},
    route::{Pattern, RetryPolicy, Route, SourceFilter},
    source::Source,
};
