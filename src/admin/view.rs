//! The shapes of what the API answers, for those who write them and for those who read them.

use serde::{Deserialize, Serialize};

use crate::journal::{AttemptRecord, DeliverySummary, JobRecord};

/// One page of deliveries, the newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeliveriesPage {
    pub(crate) deliveries: Vec<DeliverySummary>,
    /// The cursor of the next page; `None` if there is none.
    pub(crate) next: Option<String>,
    /// Why more may be missing, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
}

/// One page of jobs, those of the newest deliveries first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JobsPage {
    pub(crate) jobs: Vec<JobRecord>,
    /// The cursor of the next page; `None` if there is none.
    pub(crate) next: Option<String>,
    /// Why more may be missing, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) warning: Option<String>,
}

/// All of one delivery. Its payload is masked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeliveryView {
    #[serde(flatten)]
    pub(crate) summary: DeliverySummary,
    /// Names and values, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    /// The body as text. What is not UTF-8 is replaced, and `body_base64` has it as it came.
    pub(crate) body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) body_base64: Option<String>,
    /// Whether something in the body was masked.
    pub(crate) masked: bool,
    /// The attempts at its jobs, the oldest first.
    pub(crate) attempts: Vec<AttemptRecord>,
}

/// What a replay did.
#[expect(clippy::struct_field_names, reason = "the names are the API's")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replayed {
    /// Jobs that were queued.
    pub(crate) replayed: usize,
    /// Deliveries that these belong to.
    pub(crate) deliveries: usize,
    /// Events that were routed afresh, and that no route wants all the same.
    pub(crate) unrouted: usize,
    /// Deliveries that could not be read or routed afresh.
    pub(crate) unreadable: usize,
}

impl Replayed {
    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            replayed: self.replayed + other.replayed,
            deliveries: self.deliveries + other.deliveries,
            unrouted: self.unrouted + other.unrouted,
            unreadable: self.unreadable + other.unreadable,
        }
    }
}
