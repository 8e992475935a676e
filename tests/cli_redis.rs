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

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::Path,
};

use serde_json::Value;
use support::{Said, Service, doorbell};
use tempfile::TempDir;

use self::servers::RedisServer;

/// A Poster source, all events of which are logged, with its jobs in this Redis.
fn configure(folder: &Path, redis: &RedisServer, queue: &str, ingress: &str, admin: &str) {
    let text = format!(
        r#"
        [ingress]
        listen = "{ingress}"
        [admin]
        listen = "{admin}"
        [queue]
        url = "{}"
        {queue}
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
    fs::write(folder.join("doorbell.toml"), text).expect("a configuration");
}

/// A service that the configuration in its folder tells where to find.
fn start(folder: &Path, redis: &RedisServer, queue: &str, arguments: &[&str]) -> Service {
    configure(folder, redis, queue, "127.0.0.1:0", "127.0.0.1:0");
    let service = Service::start(folder, arguments);
    configure(folder, redis, queue, service.ingress(), service.admin().trim_start_matches("http://"));
    service
}

#[test]
fn a_delivery_that_only_redis_recognises_is_followed_to_its_original() {
    let redis = RedisServer::start(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let _service = start(folder.path(), &redis, "", &[]);

    let said = doorbell(folder.path(), "send poster --duplicate --json").with_code(0);
    let lines = said.lines();
    let first = &lines.iter().find(|line| line["step"] == "durable").expect("it is durable")["delivery"];
    // The journal that answers recognises nothing: that is decided where all hosts' deliveries come together.
    let found = lines.iter().filter(|line| line["step"] == "deduped" && line["duplicate"] == true);
    let found: Vec<_> = found.map(|line| (&line["number"], &line["original"])).collect();
    assert_eq!(found, [(&serde_json::json!(2), first)], "{said:#?}");
    assert_eq!(lines.last().expect("a summary")["handled"], 2, "{said:#?}");
}

/// The ids of what a listing shows.
fn ids(said: &Said) -> Vec<String> {
    let listed = said.json();
    let deliveries = listed["deliveries"].as_array().expect("deliveries");
    deliveries.iter().map(|delivery| text(&delivery["id"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Sends one delivery that must be acknowledged; its id.
fn send(folder: &Path, arguments: &str) -> String {
    let said = doorbell(folder, &format!("send poster --json {arguments}")).with_code(0);
    let durable = said.lines().into_iter().find(|line| line["step"] == "durable");
    text(&durable.expect("it is durable")["delivery"])
}

/// A folder whose service took in two deliveries and was killed: Redis has had the first one, and was away when the
/// second one came.
fn left_behind(redis: &mut RedisServer) -> (TempDir, [String; 2]) {
    let folder = tempfile::tempdir().expect("a folder");
    let service = start(folder.path(), redis, "", &[]);
    let first = send(folder.path(), "");
    redis.kill();
    let second = send(folder.path(), "--no-wait");
    service.kill();
    (folder, [first, second])
}

#[test]
fn what_a_host_still_holds_is_shown_while_no_service_runs() {
    let mut redis = RedisServer::start_durable(&[]);
    let (folder, [first, second]) = left_behind(&mut redis);
    let folder = folder.path();

    let away = doorbell(folder, "list --json").with_code(0);
    assert_eq!(ids(&away)[0], second, "{away:?}");
    let warning = text(&away.json()["warning"]);
    assert!(warning.contains("Redis does not answer"), "{warning}");
    assert!(away.error.contains(&warning), "{away:?}");
    let shown = doorbell(folder, &format!("show {second} --json")).with_code(0).json();
    assert_eq!(shown["jobs"][0]["state"], "queued", "{shown}");

    redis.restart();
    let both = doorbell(folder, "list --json").with_code(0);
    assert_eq!(ids(&both), [second.clone(), first.clone()], "{both:?}");
    assert_eq!(both.json()["warning"], Value::Null);
    assert_eq!(both.error, "");
    let states = ["list --state queued --json", "list --state done --json"];
    let states = states.map(|line| ids(&doorbell(folder, line).with_code(0)));
    assert_eq!(states, [[second], [first]]);
}

#[test]
fn a_rescued_folder_is_drained_into_redis() {
    let mut redis = RedisServer::start_durable(&[]);
    let (folder, [first, second]) = left_behind(&mut redis);
    let folder = folder.path();
    let rescued = folder.join("rescued");
    fs::rename(folder.join("data"), &rescued).expect("the folder is moved");

    let away = doorbell(folder, "drain --dir rescued --timeout 1s --json").with_code(1);
    let last = away.lines().pop().expect("it says how far it came");
    assert_eq!(last["left"].as_u64().map(|left| left >= 1), Some(true), "{away:?}");
    assert!(last["trouble"].is_string(), "{away:?}");

    redis.restart();
    let said = doorbell(folder, "drain --dir rescued --json").with_code(0);
    let last = said.lines().pop().expect("it says how far it came");
    assert_eq!((&last["left"], &last["refused"]), (&0.into(), &0.into()), "{said:?}");
    assert!(last["moved"]["relayed"].as_u64() >= Some(1), "{said:?}");

    // A host that never had them works them off.
    let _service = start(folder, &redis, "", &[]);
    let done = || ids(&doorbell(folder, "list --state done --json").with_code(0));
    servers::until("both are done", || done().len() == 2);
    assert_eq!(done(), [second, first]);
}

#[test]
fn what_a_redis_without_a_file_loses_is_said_in_plain_words() {
    let redis = RedisServer::start(&["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"]);
    let folder = tempfile::tempdir().expect("a folder");
    let service = start(folder.path(), &redis, "", &[]);
    let check = |code| doorbell(folder.path(), "check").with_code(code);
    let memory_only = ("appendonly", "is in memory only, and gone when it restarts", "Set appendonly yes");
    let evicting = (
        "maxmemory-policy",
        "Redis deletes jobs that nothing brings back",
        "Set maxmemory-policy noeviction",
    );

    let mut said = vec![(memory_only, check(0))];
    doorbell(folder.path(), "check --strict").with_code(2);
    redis.config_set("maxmemory-policy", "allkeys-lru");
    said.push((evicting, check(2)));
    let ready = ask(&service, "/readyz?verbose");
    for ((subject, cost, mend), said) in said {
        assert!(said.out.contains(cost) && said.out.contains(mend), "{said:?}");
        let findings = ready["redis"]["findings"].as_array().expect("findings");
        let about = findings.iter().find(|finding| finding["subject"] == subject);
        let words = text(&about.expect("it is found")["text"]);
        assert!(words.contains(cost) && words.contains(mend), "{words}");
    }
    assert_eq!(ready["status"], "ready", "what it could lose is no reason to turn deliveries away");
}

/// Asks the admin listener for something that only its owner gets.
fn ask(service: &Service, path: &str) -> Value {
    let mut connection =
        TcpStream::connect(service.admin().trim_start_matches("http://")).expect("it listens");
    let token = service.token();
    write!(connection, "GET {path} HTTP/1.0\r\nauthorization: Bearer {token}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("it answers");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}
