//! Clients of the vendors' APIs, for handlers: many notifications only say *that* something changed, and what it is now
//! has to be asked for.
//!
//! ```no_run
//! # #[cfg(feature = "receiver")] {
//! use doorbell::{Event, HandlerError, State, client::Kladana, provider::kladana::{Action, EntityEvent}};
//! use serde_json::Value;
//!
//! async fn product_changed(event: Event<EntityEvent>, api: State<Kladana>) -> Result<(), HandlerError> {
//!     if event.action == Action::Delete {
//!         println!("it is gone");
//!         return Ok(());
//!     }
//!     // "Not found" is tried again, too: it may not be there yet.
//!     let product: Value = api.fetch(&event.entity).await?;
//!     println!("{} is now {}", product["name"], product["updated"]);
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # What all of them keep to
//!
//! - **The host is yours.** It comes from [`Kladana::new`] and its like, never from a notification. A URL is made of that,
//!   a type and an id, each of which is checked; hrefs, also those in the vendor's own answers, are never called. Redirects
//!   are not followed, no proxy is taken from the environment, and plain `http` is refused for any host but this machine
//!   unless [`ClientOptions::allow_http`] says otherwise. So a token goes to one host, encrypted.
//! - **Secrets are not shown**: not in errors, not in the log, not by `Debug`.
//! - **A call ends.** Each attempt and the whole call have their time, answers their size. An answer that says "later" (429,
//!   5xx), a connection that fails and one that breaks off are tried again within that time; if the vendor says when, in
//!   its own header and unit, then not before. Only `GET` is spoken, so this is safe.
//! - **The vendor's limits are kept** by a client and its clones together: how many calls at once, and how many in which
//!   time. Make one client and clone it.
//!
//! What a failure means for a job is said at [`ClientError`]: `?` in a handler does what is likely right.

mod address;
mod budget;
mod dialect;
mod error;
mod kladana;
mod options;
mod poster;
mod proof;
mod shareactor;
#[cfg(test)]
mod tests;
mod throttle;
mod timer;
mod transport;

pub use self::{
    error::{ClientError, OptionalExt},
    kladana::{AuditEntry, Credentials, Kladana, Pages, StockReport, StockRow},
    options::ClientOptions,
    poster::Poster,
    shareactor::{EventPages, Shareactor},
};
