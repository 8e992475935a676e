use std::collections::HashMap;

use super::{
    RedisFinding, Severity,
    Severity::{Error, Info, Warning},
    judge::judge,
    lines,
    told::Told,
};
use crate::journal::redis::{RedisAddress, RedisOptions, tests::servers::RedisServer};

/// A server with nothing to complain about.
const INFO: &str = "# Server\r\nredis_version:7.2.4\r\nrun_id:ab\r\n# Memory\r\nused_memory:1048576\r\n\
    total_system_memory:8589934592\r\nmaxmemory:2147483648\r\nmaxmemory_policy:noeviction\r\n\
    # Persistence\r\naof_enabled:1\r\naof_last_write_status:ok\r\n# Replication\r\nrole:master\r\n\
    connected_slaves:0\r\n# Cluster\r\ncluster_enabled:0\r\n";
const SETTINGS: &str =
    "appendfsync:always\nno-appendfsync-on-rewrite:no\nmin-replicas-to-write:0\nsave:3600 1";

fn options() -> RedisOptions {
    RedisOptions::new(RedisAddress::new(["redis://localhost"]))
}

/// A server as [`INFO`] and [`SETTINGS`] have it, but for these values.
fn told(changes: &[(&str, &str)]) -> Told {
    let mut settings: HashMap<_, _> = lines(SETTINGS);
    let mut info = lines(INFO);
    for (key, value) in changes {
        let values = if settings.contains_key(*key) { &mut settings } else { &mut info };
        values.insert((*key).to_owned(), (*value).to_owned());
    }
    Told { info, settings: Ok(settings), cluster: None }
}

/// The finding about `subject`, which there is once at most.
fn about(subject: &str, findings: Vec<RedisFinding>) -> Option<(Severity, String)> {
    let mut found = findings.into_iter().filter(|finding| finding.subject == subject);
    let first = found.next().map(|finding| (finding.level, finding.text));
    assert_eq!(found.next(), None);
    first
}

#[track_caller]
fn judged(options: &RedisOptions, told: &Told, subject: &str, level: Severity, parts: &[&str]) {
    let findings = judge(options, told);
    let Some((found, text)) = about(subject, findings.clone()) else {
        panic!("nothing about {subject} in {findings:?}")
    };
    assert_eq!(found, level, "{subject}: {text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn a_server_that_is_set_up_well_has_nothing_to_complain_about() {
    let findings = judge(&options(), &told(&[]));
    assert!(findings.iter().all(|finding| finding.level == Info), "{findings:#?}");
    let subjects: Vec<_> = findings.iter().map(|finding| finding.subject.as_str()).collect();
    assert_eq!(subjects, ["version", "appendfsync", "maxmemory", "maxmemory-policy", "replicas"]);
}

#[test]
fn what_a_crash_costs() {
    let check = |changes: &[(&str, &str)], subject, level, parts: &[&str]| {
        judged(&options(), &told(changes), subject, level, parts);
    };
    let none = ("aof_enabled", "0");
    check(&[none, ("save", "")], "appendonly", Warning, &["in memory only", "Set appendonly yes"]);
    check(&[none], "appendonly", Warning, &["snapshots now and then", "dead letters"]);
    assert_eq!(about("appendfsync", judge(&options(), &told(&[none]))), None);
    check(&[("aof_last_write_status", "err")], "appendonly", Error, &["(err)", "see to its disk"]);
    check(&[("appendfsync", "everysec")], "appendfsync", Warning, &["everysec", "a second or two", "always"]);
    check(&[("appendfsync", "no")], "appendfsync", Warning, &["no: ", "half minute", "appendfsync always"]);
    let rewrite = "no-appendfsync-on-rewrite";
    check(
        &[(rewrite, "yes")],
        rewrite,
        Warning,
        &["while the append-only file is rewritten", "Set it to no"],
    );
    let waiting = RedisOptions { wait_aof: true, ..options() };
    judged(&waiting, &told(&[none]), "appendonly", Error, &["wait_aof = true is never met"]);
}

#[test]
fn what_a_full_memory_costs() {
    let check = |changes: &[(&str, &str)], subject, level, parts: &[&str]| {
        judged(&options(), &told(changes), subject, level, parts);
    };
    let policy = "maxmemory_policy";
    check(
        &[(policy, "allkeys-lru")],
        "maxmemory-policy",
        Error,
        &["allkeys-lru", "deletes jobs", "noeviction"],
    );
    check(&[(policy, "allkeys-lru"), ("maxmemory", "0")], "maxmemory-policy", Warning, &["as soon as"]);
    check(&[(policy, "volatile-ttl")], "maxmemory-policy", Warning, &["none is lost", "noeviction"]);
    check(&[("used_memory", "2050000000")], "maxmemory", Warning, &["95 %", "wait in the journals"]);
    check(&[], "maxmemory", Info, &["0 %"]);
    check(&[("maxmemory", "0")], "maxmemory", Info, &["there is none", "set maxmemory"]);
    check(&[("maxmemory", "0"), ("used_memory", "8000000000")], "maxmemory", Warning, &["there is none"]);
}

#[test]
fn what_a_failover_costs() {
    let one = ("connected_slaves", "1");
    let waiting = |wait_replicas| RedisOptions { wait_replicas, ..options() };
    judged(&options(), &told(&[]), "replicas", Info, &["none", "disk is lost"]);
    judged(&options(), &told(&[one]), "replicas", Info, &["1 is connected", "wait_replicas = 1"]);
    judged(&waiting(1), &told(&[one]), "replicas", Info, &["when 1 of them have it"]);
    judged(
        &waiting(2),
        &told(&[one]),
        "replicas",
        Error,
        &["wait_replicas = 2, but 1 is connected", "lower"],
    );
    judged(&waiting(1), &told(&[]), "replicas", Error, &["none is connected"]);
    let watched = RedisOptions::new(RedisAddress::new(["redis://localhost"]).sentinel("doorbell"));
    judged(&watched, &told(&[]), "replicas", Warning, &["nothing to fail over to"]);
    judged(&watched, &told(&[one]), "replicas", Warning, &["did not have yet"]);
    let least = "min-replicas-to-write";
    judged(&watched, &told(&[one]), least, Warning, &["cut off", "Set it to 1"]);
    assert_eq!(about(least, judge(&watched, &told(&[one, (least, "1")]))), None);
    judged(&options(), &told(&[one, (least, "2")]), least, Error, &["2, but 1 is connected", "no writes"]);
}

#[test]
fn versions() {
    let waiting = RedisOptions { wait_aof: true, ..options() };
    let old = told(&[("redis_version", "6.2.14")]);
    judged(&waiting, &old, "version", Error, &["Redis 6.2.14 is too old", "7.0 or later"]);
    let seven = told(&[("redis_version", "7.0.15")]);
    judged(&options(), &seven, "version", Info, &["Redis 7.0.15"]);
    judged(&waiting, &seven, "version", Error, &["Redis 7.0.15", "7.2 or later", "wait_aof = false"]);
    judged(&waiting, &told(&[("valkey_version", "8.0.1")]), "version", Info, &["Valkey 8.0.1"]);
    judged(&options(), &told(&[("redis_version", "unstable")]), "version", Warning, &["expected Redis 7.0"]);
}

#[test]
fn who_is_asked() {
    judged(&options(), &told(&[("role", "slave")]), "role", Error, &["replica", "its primary"]);
    let node = told(&[("cluster_enabled", "1")]);
    judged(&options(), &node, "topology", Error, &["topology = \"cluster\""]);
    let options = RedisOptions::new(RedisAddress::new(["redis://localhost"]).cluster());
    let state = |cluster| Told { cluster: Some(cluster), ..told(&[("cluster_enabled", "1")]) };
    let said = |text: &str| state(Ok(format!("cluster_enabled:1\r\ncluster_state:{text}\r\n")));
    judged(&options, &said("ok"), "cluster_state", Info, &["ok"]);
    judged(&options, &said("fail"), "cluster_state", Error, &["fail", "no server", "wait in the journals"]);
    judged(&options, &state(Err("NOPERM".into())), "cluster_state", Warning, &["NOPERM", "CLUSTER INFO"]);
}

#[test]
fn what_could_not_be_seen_is_said() {
    let hidden = Told { settings: Err("NOPERM this user has no permissions".into()), ..told(&[]) };
    judged(&options(), &hidden, "settings", Warning, &["NOPERM", "appendfsync", "+config|get"]);
    assert_eq!(about("appendfsync", judge(&options(), &hidden)), None);
    // A server that tells nothing, such as a proxy, is no reason to give up.
    let findings = judge(&options(), &Told::new(""));
    assert!(findings.iter().all(|finding| finding.level == Warning), "{findings:?}");
}

#[tokio::test]
async fn a_running_server_is_asked() {
    let server = RedisServer::start(&["--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru"]);
    let findings = RedisOptions::new(RedisAddress::new([server.url()])).findings().await;
    assert!(findings.is_sorted_by_key(|finding| finding.level), "{findings:?}");
    assert_eq!(findings[0].subject, "maxmemory-policy");
    assert_eq!(findings[0].level, Error);
    let (level, text) = about("appendonly", findings.clone()).unwrap();
    assert_eq!(level, Warning);
    assert!(text.contains("in memory only"), "{text}");
    assert!(about("version", findings.clone()).is_some());
    assert!(about("settings", findings).is_none());
}

#[tokio::test]
async fn a_user_that_may_not_ask_for_settings_learns_the_rest() {
    let user = "--user doorbell on >hunter2 ~{doorbell:* &doorbell:* +@all -config";
    let server = RedisServer::start(&user.split(' ').collect::<Vec<_>>());
    let url = format!("redis://doorbell:hunter2@127.0.0.1:{}", server.port);
    let findings = RedisOptions::new(RedisAddress::new([url])).findings().await;
    let (level, text) = about("settings", findings.clone()).unwrap();
    assert_eq!(level, Warning);
    assert!(text.to_lowercase().contains("perm") && !text.contains("hunter2"), "{text}");
    assert!(about("appendonly", findings).is_some());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_finding() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let findings =
        RedisOptions::new(RedisAddress::new([format!("redis://:hunter2@127.0.0.1:{port}")])).findings().await;
    let (level, text) = about("connection", findings).unwrap();
    assert_eq!(level, Warning);
    assert!(text.contains(&port.to_string()) && !text.contains("hunter2"), "{text}");
}
