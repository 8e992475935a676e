//! Sentinels that watch a primary and its replicas.

use super::{RedisServer, server::SentinelServer, until};

/// What they call the primary.
pub(crate) const PRIMARY: &str = "doorbell";

/// Three of them, two of which are enough to move the primary's part to a replica.
pub(crate) struct Sentinels {
    sentinels: Vec<SentinelServer>,
}

impl Sentinels {
    /// Starts them; returns when they know one another and so many replicas.
    pub(crate) fn start(primary: &RedisServer, replicas: usize) -> Self {
        let configuration = format!(
            "sentinel monitor {PRIMARY} 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds {PRIMARY} 5000\n\
             sentinel failover-timeout {PRIMARY} 5000\n",
            primary.port
        );
        let start = || (0..20).find_map(|_| SentinelServer::try_start(&configuration));
        let start = |_| start().expect("redis-server starts as a Sentinel");
        let these = Self { sentinels: (0..3).map(start).collect() };
        let all = [format!("slaves={replicas},"), "sentinels=3".to_owned()];
        for sentinel in &these.sentinels {
            until("the Sentinels know one another", || {
                Self::ask(sentinel, &["INFO", "sentinel"]).is_some_and(|info: String| {
                    all.iter().all(|part| info.contains(part)) && info.contains("status=ok")
                })
            });
        }
        these
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(|sentinel| format!("redis://127.0.0.1:{}", sentinel.port)).collect()
    }

    /// The port of the server that they now call the primary.
    pub(crate) fn primary(&self) -> u16 {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY];
        let (_, port): (String, String) = Self::ask(&self.sentinels[0], &words).unwrap();
        port.parse().unwrap()
    }

    fn ask<T: ::redis::FromRedisValue>(sentinel: &SentinelServer, words: &[&str]) -> Option<T> {
        let url = format!("redis://127.0.0.1:{}", sentinel.port);
        let mut connection = ::redis::Client::open(url).ok()?.get_connection().ok()?;
        ::redis::Cmd::new().arg(words).query(&mut connection).ok()
    }
}
