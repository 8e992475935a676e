//! What happens when things break: the service as a process of its own, a sender that logs what was acknowledged, a
//! target that logs what took effect, and the two compared.
//!
//! Whatever a test starts, it stops; only loopback is used. What a machine does not permit (mounting, tracing) is
//! skipped, and the reason printed.

#![cfg(all(unix, feature = "cli"))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]
#![cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "the tests of the queue in Redis use the rest")
)]

mod control;
mod crashes;
mod dead_target;
mod disk;
mod duplicates;
mod http;
mod poison;
#[cfg(feature = "redis")]
mod redis;
mod restarts;
mod sender;
mod service;
mod sink;
mod slow;
mod trace;

use std::time::Duration;

/// No test waits longer than this for anything. Far beyond what a loaded machine needs: only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again and again until the answer is yes.
async fn until(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for this: {what}"));
}
