//! The last refused requests, kept in memory so that an operator can see why a sender is turned away.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
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
    last: Mutex<Last>,
}

/// Two lists rather than one that is searched: adding takes the same time, so nobody can tell by it whether a source
/// exists.
#[derive(Debug, Default)]
struct Last {
    total: u64,
    named: VecDeque<(u64, RefusedRequest)>,
    nameless: VecDeque<(u64, RefusedRequest)>,
}

impl RefusedLog {
    pub(crate) const KEPT: usize = 100;
    const NAMELESS: usize = 20;

    pub(crate) fn add(&self, request: RefusedRequest) {
        let mut last = self.lock();
        last.total += 1;
        let number = last.total;
        let (kept, most) = if request.source.is_empty() {
            (&mut last.nameless, Self::NAMELESS)
        } else {
            (&mut last.named, Self::KEPT)
        };
        if kept.len() == most {
            kept.pop_front();
        }
        kept.push_back((number, request));
    }

    /// How many were refused since this process started.
    #[cfg(any(test, feature = "admin"))]
    pub(crate) fn total(&self) -> u64 {
        self.lock().total
    }

    /// The kept ones, the newest first.
    pub(crate) fn newest_first(&self) -> Vec<RefusedRequest> {
        let mut all: Vec<_> = {
            let last = self.lock();
            last.named.iter().chain(&last.nameless).cloned().collect()
        };
        all.sort_unstable_by_key(|&(number, _)| Reverse(number));
        all.into_iter().take(Self::KEPT).map(|(_, request)| request).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
