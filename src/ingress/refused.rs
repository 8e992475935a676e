//! The last refused requests, kept in memory so that an operator can see why a sender is turned away.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::clock::Timestamp;

/// A request that proved nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct RefusedRequest {
    pub(crate) at: Timestamp,
    /// The source that was asked for; empty where the path named none.
    pub(crate) source: String,
    /// A short stable name: `wrong_proof`.
    pub(crate) reason: String,
    /// The same in a sentence, for the operator.
    pub(crate) detail: String,
    /// The headers' names, with the values of those that can't hold a secret.
    pub(crate) headers: Vec<(String, String)>,
    /// How large the body was, in bytes.
    pub(crate) size: usize,
    /// The body's SHA-256 in hex; empty where it was not read.
    pub(crate) digest: String,
}

/// Keeps the last [`RefusedLog::KEPT`] refused requests, among them at most [`RefusedLog::NAMELESS`] that named no
/// source: those who try paths at random are not to push out what an operator looks for.
#[derive(Debug, Default)]
pub(crate) struct RefusedLog {
    last: Mutex<VecDeque<RefusedRequest>>,
    total: std::sync::atomic::AtomicU64,
}

impl RefusedLog {
    pub(crate) const KEPT: usize = 100;
    const NAMELESS: usize = 20;

    pub(crate) fn add(&self, request: RefusedRequest) {
        self.total.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if request.source.is_empty()
            && last.iter().filter(|kept| kept.source.is_empty()).count() >= Self::NAMELESS
            && let Some(oldest) = last.iter().position(|kept| kept.source.is_empty())
        {
            last.remove(oldest);
        }
        if last.len() == Self::KEPT {
            last.pop_front();
        }
        last.push_back(request);
    }

    /// How many were refused since this process started.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// The kept ones, the newest first.
    pub(crate) fn newest_first(&self) -> Vec<RefusedRequest> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}
