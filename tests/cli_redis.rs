//! The command against a service whose queue is in Redis.
#![cfg(all(feature = "cli", feature = "redis", unix))]

#[allow(dead_code, reason = "the tests of the embedded service use what is not used here")]
mod support;

#[allow(
    clippy::unwrap_used,
    dead_code,
    unused_imports,
    reason = "helpers of other tests: the tests of the store use what is not used here, and a panic is the message"
)]
#[path = "support/redis/mod.rs"]
mod servers;

use std::fs;

use support::{Service, doorbell};

use self::servers::RedisServer;

#[test]
fn a_delivery_that_only_redis_recognises_is_followed_to_its_original() {
    let redis = RedisServer::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let configure = |ingress: &str, admin: &str| {
        let text = format!(
            r#"
            [ingress]
            listen = "{ingress}"
            [admin]
            listen = "{admin}"
            [queue]
            url = "{}"
            [[source]]
            name = "cafe"
            provider = "poster"
            secret = "5d8e1c0f47a94b62b3f0a7c1e9d24680"
            [[route]]
            name = "log"
            source = "cafe"
            events = ["*"]
            target = {{ log = {{}} }}
            "#,
            redis.url()
        );
        fs::write(folder.path().join("doorbell.toml"), text).expect("a configuration");
    };
    configure("127.0.0.1:0", "127.0.0.1:0");
    let service = Service::start(folder.path(), &[]);
    configure(service.ingress(), service.admin().trim_start_matches("http://"));

    let said = doorbell(folder.path(), "send poster --duplicate --json").with_code(0);
    let lines = said.lines();
    let first = &lines.iter().find(|line| line["step"] == "durable").expect("it is durable")["delivery"];
    // The journal that answers recognises nothing: that is decided where all hosts' deliveries come together.
    let found = lines.iter().filter(|line| line["step"] == "deduped" && line["duplicate"] == true);
    let found: Vec<_> = found.map(|line| (&line["number"], &line["original"])).collect();
    assert_eq!(found, [(&serde_json::json!(2), first)], "{said:#?}");
    assert_eq!(lines.last().expect("a summary")["handled"], 2, "{said:#?}");
}
