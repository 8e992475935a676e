//! The roles of `redis_workers`, with a Redis of the test's own between them.

use doorbell::testing::Sample;

use self::servers::RedisServer;
use super::Example;

#[allow(dead_code, unused_imports, reason = "the tests of the store use what is not used here")]
#[path = "../support/redis/mod.rs"]
mod servers;

#[test]
fn redis_workers() {
    let redis = RedisServer::start(&[]);
    let url = redis.url();
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let start = |folder: usize, arguments: &[&str]| {
        Example::start_in(folders[folder].path(), "redis_workers", arguments, &[("REDIS_URL", url.as_str())])
    };
    let mut ingress = start(0, &["ingress", "127.0.0.1:0"]);
    let printed = ingress.line();
    // It is acknowledged although nobody could do it yet.
    Example::send(&printed, Sample::Github, "a-made-up-secret", "");
    let mut worker = start(1, &["worker"]);
    assert_eq!(worker.line(), "waiting for jobs");
    let effect = worker.line();
    assert!(effect.starts_with("pushed to refs/heads/"), "{effect}");
    #[cfg(feature = "cli")]
    {
        super::play("redis_workers", &printed);
        let effect = worker.line();
        assert!(effect.starts_with("pushed to refs/heads/"), "{effect}");
    }
    worker.stop();
    ingress.stop();
}
