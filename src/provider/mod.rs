//! Step 2, and the core that stands alone: prove where a request came from and read what it says.
//!
//! Everything here is pure: a [`Request`] and the time go in, a [`Verdict`] or a [`Refusal`] comes out. No I/O, no
//! clock, no state. A [`Provider`] answers two questions, kept apart on purpose:
//!
//! 1. [`authenticate`](Provider::authenticate): does the sender own the secret? If not, the request is refused.
//! 2. [`parse`](Provider::parse): what events does the body hold? If it can't be read although its origin is
//!    proved, the delivery is kept aside (quarantined) and still answered with success: an error would make the
//!    sender disable the webhook or drop the event.

mod contract;
mod event;
pub mod hmac;
mod json;
pub mod kladana;
mod mask;
pub(crate) mod named;
mod parsed;
pub mod poster;
mod profile;
pub mod quable;
mod request;
mod secret;
pub mod shareactor;
mod signature;
mod signed;
mod verdict;
pub(crate) mod words;

pub use self::{
    contract::Provider,
    event::{Decimal, EventError, FromEvent, Kind},
    hmac::{Hmac, Preset, SchemeError},
    kladana::Kladana,
    mask::Mask,
    named::SettingError,
    parsed::{Parsed, ParsedEvent, SenderId, Slices, Unparsable},
    poster::Poster,
    profile::{Profile, Reply},
    quable::Quable,
    request::{Request, RequestLine},
    secret::{Secret, Secrets},
    shareactor::Shareactor,
    signature::{Algorithm, Encoding, KeyDecoding, KeyError},
    signed::{SignError, SignedRequest},
    verdict::{Refusal, Verdict},
};
#[cfg(feature = "axum")]
pub(crate) use self::{contract::verify_guarded, profile::Gap};
