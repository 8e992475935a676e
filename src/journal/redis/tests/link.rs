//! The way to Redis, in each of its shapes, and when it breaks.

use std::time::Duration;

use redis::Value;

use super::{
    PATIENCE, Slots, open,
    servers::{Certificates, Cluster, PRIMARY, Proxy, RedisServer, Sentinels, free_port},
};
use crate::{
    clock::{ManualClock, instant},
    delivery::IdGenerator,
    journal::{
        Accepted, Outcome, Shared as _, Store as _,
        conformance::{START, prepare, sent},
        redis::{
            RedisAddress, RedisOptions,
            link::{Link, LinkError, Script, Waited, prefix},
        },
        waiting::until,
    },
};

/// Writes and reads a key of the lane.
fn increment() -> Script {
    Script::new("increment", "#!lua\nreturn redis.call('INCRBY', KEYS[1] .. 'n', ARGV[1])")
}

/// Says on the channel that the lane has something ready.
fn wake() -> Script {
    Script::new("wake", "#!lua\nreturn redis.call('PUBLISH', 'doorbell:wake', ARGV[1])")
}

fn link(address: &RedisAddress) -> Link {
    Link::new(address).unwrap()
}

/// Asks until there is an answer.
async fn at_last(link: &Link, lane: u32) -> i64 {
    let script = increment();
    let asking = async {
        loop {
            match link.run(lane, &script, &[b"1"]).await {
                Ok(Value::Int(count)) => return count,
                Ok(other) => panic!("{other:?}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.expect("it comes back by itself")
}

async fn blocking<T: Send + 'static>(start: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(start).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_forgot_its_scripts_learns_them_again() {
    let server = RedisServer::start(&[]);
    let link = link(&RedisAddress::new([server.url()]));
    assert_eq!(link.run(0, &increment(), &[b"2"]).await, Ok(Value::Int(2)));
    server.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(link.run(0, &increment(), &[b"2"]).await, Ok(Value::Int(4)));
    let script = increment();
    let each = tokio::join!(link.run(0, &script, &[b"1"]), link.run(7, &script, &[b"1"]));
    assert_eq!(each, (Ok(Value::Int(5)), Ok(Value::Int(1))), "each lane has keys of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_found_again() {
    let mut server = RedisServer::start_durable(&[]);
    let link = link(&RedisAddress { timeout: Duration::from_secs(2), ..RedisAddress::new([server.url()]) });
    assert_eq!(at_last(&link, 0).await, 1);
    server.kill();
    let down = link.run(0, &increment(), &[b"1"]).await;
    assert!(matches!(down, Err(LinkError::Away(_))), "{down:?}");
    server.restart();
    assert_eq!(at_last(&link, 0).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_away_within_the_timeout_and_then_there_again() {
    let server = RedisServer::start(&[]);
    let timeout = Duration::from_secs(2);
    let link = link(&RedisAddress { timeout, ..RedisAddress::new([server.url()]) });
    assert_eq!(at_last(&link, 0).await, 1);
    server.freeze();
    for _ in 0..3 {
        let asked = instant();
        let frozen = link.run(0, &increment(), &[b"0"]).await;
        let waited = asked.elapsed();
        assert!(matches!(&frozen, Err(LinkError::Away(_))), "{frozen:?}");
        assert!(waited < timeout * 4, "{waited:?}");
    }
    server.thaw();
    assert_eq!(at_last(&link, 0).await, 2, "and what was asked meanwhile is done at most once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_too_late_is_nobody_elses() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let timeout = Duration::from_secs(2);
    let link = link(&RedisAddress { timeout, ..RedisAddress::new([proxy.url()]) });
    assert_eq!(at_last(&link, 0).await, 1);
    proxy.delay(timeout * 2);
    let late = link.run(0, &increment(), &[b"10"]).await;
    assert!(matches!(&late, Err(LinkError::Away(why)) if why.contains("no answer within")), "{late:?}");
    proxy.delay(Duration::ZERO);
    assert_eq!(at_last(&link, 0).await, 12, "it was done, and its answer went nowhere");
    proxy.refuse(true);
    let refused = link.run(0, &increment(), &[b"1"]).await;
    assert!(matches!(refused, Err(LinkError::Away(_))), "{refused:?}");
    proxy.refuse(false);
    assert_eq!(at_last(&link, 0).await, 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wakes_are_heard_again_after_the_connection_broke() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let address = RedisAddress { timeout: Duration::from_secs(2), ..RedisAddress::new([proxy.url()]) };
    let (link, direct) = (link(&address), link_to(&server));
    let mut wakes = link.wakes();
    for lane in ["3", "4"] {
        assert_eq!(format!("{:?}", heard(&mut wakes).await), "Subscribed");
        direct.run(0, &wake(), &[lane.as_bytes()]).await.unwrap();
        assert_eq!(format!("{:?}", heard(&mut wakes).await), format!("Lane({lane})"));
        proxy.cut();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_to_a_frozen_server_finds_out() {
    let server = RedisServer::start(&[]);
    let timeout = Duration::from_millis(400);
    let link = link(&RedisAddress { timeout, ..RedisAddress::new([server.url()]) });
    let mut wakes = link.wakes();
    assert_eq!(format!("{:?}", heard(&mut wakes).await), "Subscribed");
    server.freeze();
    // As long as it takes to find out twice; that it has is what the second subscription shows.
    tokio::time::sleep(timeout * 4).await;
    server.thaw();
    assert_eq!(format!("{:?}", heard(&mut wakes).await), "Subscribed");
}

fn link_to(server: &RedisServer) -> Link {
    link(&RedisAddress::new([server.url()]))
}

async fn heard(wakes: &mut crate::journal::redis::link::Wakes) -> crate::journal::redis::link::Wake {
    tokio::time::timeout(PATIENCE, wakes.next()).await.expect("something is heard")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_an_access_list_over_tls() {
    let (certificates, port) = (Certificates::make(), free_port());
    let dir = tempfile::tempdir().unwrap();
    let arguments = certificates.arguments(dir.path(), port);
    let server = RedisServer::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    // Exactly what doorbell needs.
    let rights = ["~{doorbell:*", "&doorbell:*", "+@all", "-@admin"];
    server.command(&[&["ACL", "SETUSER", "doorbell", "on", ">p/w"], &rights[..]].concat());
    let address = |url: &str| RedisAddress::new([url.replace("PORT", &port.to_string())]);
    let trusting = |url: &str| address(url).ca(certificates.ca.clone());

    let trusted = link(&trusting("rediss://doorbell:p%2Fw@localhost:PORT"));
    assert_eq!(trusted.run(0, &increment(), &[b"1"]).await, Ok(Value::Int(1)));
    let mut wakes = trusted.wakes();
    assert_eq!(format!("{:?}", heard(&mut wakes).await), "Subscribed");

    let options = RedisOptions::new(trusting("rediss://doorbell:p%2Fw@localhost:PORT"));
    let clock = ManualClock::at(START);
    let store = open(options, &clock, "host").await;
    let new = prepare(&sent("{}"), &clock, &IdGenerator::new().unwrap());
    let taken = store.take_in(vec![new.into()]).await.unwrap();
    assert_eq!(taken.answers[0].as_ref().ok(), Some(&Accepted::New { id_reused: false }));
    assert_eq!(format!("{:?}", heard(&mut wakes).await), "Lane(0)");
    let job = store.claims(Slots::new(&[("a", 1)])).recv().await.unwrap();
    store.settle(job.lease, Outcome::Done).await.unwrap();
    assert_eq!(store.stats().await.unwrap().jobs, [0, 0, 0, 1, 0, 0]);

    let wrong = link(&trusting("rediss://doorbell:hunter2@localhost:PORT"));
    let wrong = wrong.run(0, &increment(), &[b"1"]).await.unwrap_err();
    assert!(matches!(wrong, LinkError::Refused(_)), "{wrong:?}");
    assert!(!format!("{wrong:?} {wrong}").contains("hunter2"), "{wrong:?}");

    let unknown = address("rediss://localhost:PORT").ca(Certificates::make().ca);
    let untrusted = link(&unknown).run(0, &increment(), &[b"1"]).await;
    assert!(matches!(untrusted, Err(LinkError::Away(_))), "{untrusted:?}");

    let elsewhere = Script::new("elsewhere", "#!lua\nreturn redis.call('SET', 'another', '1')");
    let forbidden = trusted.run(0, &elsewhere, &[]).await;
    assert!(forbidden.is_err(), "{forbidden:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_has_each_lane_on_the_node_that_owns_it() {
    let cluster = blocking(|| Cluster::start(3)).await;
    let all = RedisAddress::new(cluster.urls()).cluster();
    // One node that is known is enough to find the others.
    let some = RedisAddress::new([cluster.nodes[1].url()]).cluster();
    let (all, some) = (link(&all), link(&some));
    for lane in 0..16 {
        assert_eq!(at_last(&all, lane).await, 1);
        assert_eq!(at_last(&some, lane).await, 2);
    }
    let keys = |node: &RedisServer| node.info("keyspace").contains("keys=");
    assert!(cluster.nodes.iter().all(keys), "16 lanes touch all three nodes");

    let mut wakes = all.wakes();
    assert_eq!(format!("{:?}", heard(&mut wakes).await), "Subscribed");
    for lane in ["0", "5", "11"] {
        some.run(lane.parse().unwrap(), &wake(), &[lane.as_bytes()]).await.unwrap();
        assert_eq!(format!("{:?}", heard(&mut wakes).await), format!("Lane({lane})"), "told by any node");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lane_follows_its_slot_to_another_node() {
    let cluster = blocking(|| Cluster::start(3)).await;
    let address = RedisAddress::new(cluster.urls()).cluster();
    let link = link(&address);
    at_last(&link, 0).await;
    cluster.move_slot_of("{doorbell:0}:");
    assert_eq!(at_last(&link, 0).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_a_cluster_that_hangs_holds_up_its_own_lanes_alone() {
    let cluster = blocking(|| Cluster::start_with(3, &["--cluster-require-full-coverage", "no"])).await;
    let address =
        RedisAddress { timeout: Duration::from_secs(2), ..RedisAddress::new(cluster.urls()).cluster() };
    let before = link(&address);
    let (mut held_up, mut others) = (Vec::new(), Vec::new());
    for lane in 0..16 {
        at_last(&before, lane).await;
        let hangs = cluster.nodes[0].try_command(&["EXISTS", &prefix(lane)]).is_ok();
        if hangs { held_up.push(lane) } else { others.push(lane) }
    }
    cluster.nodes[0].freeze();
    let frozen = before.run(held_up[0], &increment(), &[b"0"]).await;
    assert!(matches!(frozen, Err(LinkError::Away(_))), "{frozen:?}");
    let after = link(&address);
    for lane in others {
        assert_eq!((at_last(&before, lane).await, at_last(&after, lane).await), (2, 3));
        let held_up = after.run(held_up[0], &increment(), &[b"0"]).await;
        assert!(held_up.is_err(), "{held_up:?}");
    }
    cluster.nodes[0].thaw();
    for lane in held_up {
        assert_eq!(at_last(&after, lane).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_has_failed_over_is_used_while_the_old_node_hangs() {
    let (cluster, replica) = blocking(|| {
        let cluster = Cluster::start(3);
        let replica = cluster.start_replica_of(0);
        (cluster, replica)
    })
    .await;
    let address =
        RedisAddress { timeout: Duration::from_secs(2), ..RedisAddress::new(cluster.urls()).cluster() };
    let before = link(&address);
    for lane in 0..16 {
        at_last(&before, lane).await;
    }
    cluster.nodes[0].freeze();
    let after = link(&address);
    for lane in 0..16 {
        at_last(&before, lane).await;
        at_last(&after, lane).await;
    }
    assert!(replica.info("replication").contains("role:master"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_sentinels_the_new_primary_is_found() {
    let (mut primary, replica, sentinels) = blocking(|| {
        let (primary, replica) = (RedisServer::start(&[]), RedisServer::start(&[]));
        replica.replica_of(&primary);
        let sentinels = Sentinels::start(&primary, 1);
        (primary, replica, sentinels)
    })
    .await;
    // No wait for a replica takes more than half of it.
    let address = RedisAddress {
        timeout: Duration::from_secs(10),
        ..RedisAddress::new(sentinels.urls()).sentinel(PRIMARY)
    };
    let link = link(&address);
    let mut wakes = link.wakes();
    assert_eq!(format!("{:?}", heard(&mut wakes).await), "Subscribed");
    let patience = Duration::from_secs(5);
    let waited = link.run_waiting(0, &increment(), &[b"1"], 1, false, patience).await;
    assert_eq!(waited, Ok((Value::Int(1), Waited::Enough)));
    primary.kill();
    assert_eq!(at_last(&link, 0).await, 2, "the replica had it");
    // Another Sentinel than this one may have told the link.
    until("the Sentinels to agree", || async { (sentinels.primary() == replica.port).then_some(()) }).await;
    assert_eq!(format!("{:?}", heard(&mut wakes).await), "Subscribed");
    let patience = Duration::from_secs(1);
    let alone = link.run_waiting(0, &increment(), &[b"1"], 1, false, patience).await;
    assert!(matches!(alone, Ok((Value::Int(3), Waited::Short(_)))), "{alone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_made_a_replica_is_left() {
    let (old, new) = blocking(|| {
        let (old, new) = (RedisServer::start(&[]), RedisServer::start(&[]));
        (old, new)
    })
    .await;
    let proxy = Proxy::start(old.port).await;
    let link = link(&RedisAddress { timeout: Duration::from_secs(2), ..RedisAddress::new([proxy.url()]) });
    assert_eq!(at_last(&link, 0).await, 1);
    old.replica_of(&new);
    let readonly = link.run(0, &increment(), &[b"1"]).await;
    assert!(matches!(&readonly, Err(LinkError::Refused(why)) if why.contains("READONLY")), "{readonly:?}");
    old.promote();
    assert_eq!(at_last(&link, 0).await, 1, "what its new primary did not have is gone");
}
