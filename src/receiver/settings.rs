use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use super::Queue;
use crate::{
    clock::{Clock, SystemClock},
    ingress::Limits,
    journal::Retention,
    provider::Mask,
};

/// Everything about a receiver that is neither a source nor a route.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) data_dir: PathBuf,
    pub(super) listen: SocketAddr,
    #[cfg(feature = "admin")]
    pub(super) admin: Option<(SocketAddr, crate::provider::Secrets)>,
    pub(super) limits: Limits,
    pub(super) drain: Duration,
    pub(super) shutdown_grace: Duration,
    pub(super) concurrency: usize,
    pub(super) queue: Queue,
    pub(super) takes_in: bool,
    pub(super) runs_jobs: bool,
    pub(super) retention: Retention,
    pub(super) max_size: u64,
    pub(super) max_crashes: u32,
    /// How long a claim lasts without being renewed.
    pub(super) lease: Duration,
    pub(super) mask: Mask,
    pub(super) clock: Arc<dyn Clock>,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            data_dir: "data".into(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            #[cfg(feature = "admin")]
            admin: None,
            limits: Limits::default(),
            drain: Duration::ZERO,
            shutdown_grace: Duration::from_secs(25),
            concurrency: 64,
            queue: Queue::Embedded,
            takes_in: true,
            runs_jobs: true,
            retention: Retention { done: Some(30 * DAY), failed: Some(90 * DAY) },
            max_size: 10 << 30,
            max_crashes: 5,
            lease: Duration::from_secs(30),
            mask: Mask::default(),
            clock: Arc::new(SystemClock),
        }
    }
}
