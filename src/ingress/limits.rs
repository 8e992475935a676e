use std::time::Duration;

/// What one sender may cost: time, memory and connections.
///
/// ```
/// use doorbell::Limits;
///
/// let limits = Limits { body_bytes: 4 << 20, ..Limits::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// A request's headers must have come within this time, counted from when its connection was accepted or, on a
    /// kept-alive one, from its first byte. Otherwise the connection is closed. 2 s.
    pub header_time: Duration,
    /// How large a request's first line and headers may be together, in bytes; more is answered with 431. 16 KiB.
    pub header_bytes: usize,
    /// A request's body must have come within this time after its headers; 408 otherwise. 1 s.
    pub body_time: Duration,
    /// How large a body may be, in bytes as sent (nothing is ever inflated); more is answered with 413. 1 MiB.
    pub body_bytes: usize,
    /// How many bytes all bodies that come in several pieces may hold together; a body beyond that is answered with
    /// 503. 128 MiB.
    pub buffered_bytes: usize,
    /// How long a connection may stay open without a request. Longer than a proxy in front keeps its own, so that it
    /// is the proxy that closes. 75 s.
    pub keep_alive: Duration,
    /// How many connections may be open at once. As they run short, replies say `Connection: close`, the
    /// longest-idle connections are closed, then those that dawdle over their headers. 10 000.
    pub connections: usize,
    /// What is kept of each deadline for the reply's way back. Never more than a quarter of the deadline. 100 ms.
    pub margin: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_time: Duration::from_secs(2),
            header_bytes: 16 << 10,
            body_time: Duration::from_secs(1),
            body_bytes: 1 << 20,
            buffered_bytes: 128 << 20,
            keep_alive: Duration::from_secs(75),
            connections: 10_000,
            margin: Duration::from_millis(100),
        }
    }
}
