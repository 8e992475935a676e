use std::{num::NonZeroUsize, time::Duration};

/// How much time and room a client's calls get.
///
/// ```
/// use doorbell::client::ClientOptions;
///
/// let mut options = ClientOptions::default();
/// options.total = std::time::Duration::from_secs(60);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientOptions {
    /// How long one attempt may take, to the last byte of the answer; 10 s by default.
    pub timeout: Duration,
    /// How long a call may take in all, with waiting and further attempts; 20 s by default. A handler's time limit (30 s
    /// by default) should be longer: what does not succeed within this time is better left to the job's next attempt.
    pub total: Duration,
    /// How many attempts a call gets at most; 4 by default, 1 for no repetition.
    pub attempts: u32,
    /// How many bytes an answer may have, once it is decompressed; 32 MiB by default.
    pub body_limit: usize,
    /// How many calls may be under way at once; 5 by default, which is what Kladana allows a user.
    pub parallel: NonZeroUsize,
    /// Whether the base URL may be plain `http` for another host than this machine. Your token then travels unencrypted.
    pub allow_http: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            total: Duration::from_secs(20),
            attempts: 4,
            body_limit: 32 << 20,
            parallel: NonZeroUsize::MIN.saturating_add(4),
            allow_http: false,
        }
    }
}
