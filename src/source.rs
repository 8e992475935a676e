//! A configured sender.

use std::{sync::Arc, time::Duration};

use crate::provider::{Provider, Secrets};

/// A configured sender: a provider, what proves its requests, and how they are treated.
///
/// A provider alone is a source with the provider's defaults:
///
/// ```
/// # use doorbell::{Source, provider::Kladana};
/// # use std::time::Duration;
/// let source = Source::new(Kladana::new()).path_secret("0f1e2d3c").deadline(Duration::from_millis(1200));
/// ```
#[derive(Debug, Clone)]
pub struct Source {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) path_secrets: Secrets,
    pub(crate) deadline: Duration,
    pub(crate) dedupe_fallback: Duration,
    pub(crate) dedupe_window: Duration,
}

impl Source {
    /// How long a delivery is recognised after it was last seen, where nothing else is said.
    pub const DEFAULT_DEDUPE_WINDOW: Duration = Duration::from_secs(30 * 24 * 3600);

    /// A source of this provider, with the provider's own deadline.
    pub fn new(provider: impl Provider) -> Self {
        Self::shared(Arc::new(provider))
    }

    pub(crate) fn shared(provider: Arc<dyn Provider>) -> Self {
        let profile = provider.profile();
        Self {
            provider,
            path_secrets: Secrets::none(),
            deadline: profile.deadline,
            dedupe_fallback: profile.dedupe_fallback,
            dedupe_window: Self::DEFAULT_DEDUPE_WINDOW,
        }
    }

    /// Demands one of these secrets at the end of the path: `/in/<source>/<secret>`.
    pub fn path_secret(mut self, secrets: impl Into<Secrets>) -> Self {
        self.path_secrets = secrets.into();
        self
    }

    /// How long the sender waits for its reply, from the moment it connected.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long a delivery is recognised after it was last seen.
    pub fn dedupe_window(mut self, window: Duration) -> Self {
        self.dedupe_window = window;
        self
    }

    /// Takes deliveries without a sender's id for the same if their bodies are equal and no more than this lies
    /// between them. Zero: never.
    pub fn dedupe_fallback(mut self, window: Duration) -> Self {
        self.dedupe_fallback = window;
        self
    }
}

impl<P: Provider> From<P> for Source {
    fn from(provider: P) -> Self {
        Self::new(provider)
    }
}
