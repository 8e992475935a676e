//! What comes out of a provider: a verdict, or why there is none.

use std::{borrow::Cow, time::Duration};

use super::{Parsed, ParsedEvent, SenderId, Unparsable};

/// What a request whose origin is proved turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Events to process.
    Accept {
        /// The sender's own id for this delivery, the same on each of its retries.
        sender_id: Option<SenderId>,
        /// The events, in the order in which they stand in the body.
        events: Vec<ParsedEvent>,
    },
    /// The sender's test or probe: answered with success, recorded, nothing to process.
    Test,
    /// The origin is proved but the body can't be read: kept aside, answered with success.
    Quarantine(Unparsable),
}

impl From<Result<Parsed, Unparsable>> for Verdict {
    fn from(parsed: Result<Parsed, Unparsable>) -> Self {
        match parsed {
            Ok(Parsed::Events { sender_id, events }) => Self::Accept { sender_id, events },
            Ok(Parsed::Test) => Self::Test,
            Err(unparsable) => Self::Quarantine(unparsable),
        }
    }
}

/// Why a request proves nothing. The sender is not told which it was; the operator is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The signature (or the field, header or path secret that would prove the origin) is not there.
    #[error("no {0} in the request")]
    MissingProof(Cow<'static, str>),
    /// The signature is there but is not of the form that the scheme has.
    #[error("{field} is malformed: {expected} expected")]
    MalformedProof {
        /// Where the signature was looked for.
        field: Cow<'static, str>,
        /// The form it should have.
        expected: &'static str,
    },
    /// The signature is well-formed and wrong under every valid secret.
    #[error("{0} matches none of the valid secrets")]
    WrongProof(Cow<'static, str>),
    /// The signature carries a time that is too far from now.
    #[error("the signed time is {off:?} away from now; at most {tolerance:?} is accepted")]
    StaleTimestamp {
        /// How far it is away.
        off: Duration,
        /// How far it may be away.
        tolerance: Duration,
    },
    /// A signed field holds the character that separates the signed fields: the same signature would fit other
    /// values as well, so it proves nothing.
    #[error(
        "{field} holds a `{separator}`, which separates the signed fields: its signature would be ambiguous"
    )]
    Ambiguous {
        /// The field.
        field: &'static str,
        /// The separator.
        separator: char,
    },
    /// The body holds the signature and can't be read, so nothing is proved.
    #[error("the body can't be read, so its signature can't be checked: {0}")]
    Unreadable(String),
}

impl Refusal {
    /// A short stable name for counting: `wrong_proof`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::MissingProof(_) => "missing_proof",
            Self::MalformedProof { .. } => "malformed_proof",
            Self::WrongProof(_) => "wrong_proof",
            Self::StaleTimestamp { .. } => "stale_timestamp",
            Self::Ambiguous { .. } => "ambiguous",
            Self::Unreadable(_) => "unreadable",
        }
    }
}
