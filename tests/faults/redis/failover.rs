//! A replica takes the primary's part, and lacks what had not come to it.

use crate::{
    redis::{
        Site, at, backlog, goes_on, is_relayed,
        servers::{PRIMARY, Proxy, RedisServer, Sentinels},
        vendors::Vendors,
    },
    until,
};

/// A primary, a replica, and a way to whichever is the primary now.
struct Pair {
    primary: RedisServer,
    replica: RedisServer,
    /// Between the two.
    between: Proxy,
    way: Proxy,
}

impl Pair {
    async fn start() -> Self {
        let primary = RedisServer::start_durable(&[]);
        let (between, way) = (Proxy::start(primary.port).await, Proxy::start(primary.port).await);
        let port = between.port;
        let (primary, replica) = blocking(move || {
            let replica = RedisServer::start_durable(&[]);
            replica.replica_through(port, &primary);
            (primary, replica)
        })
        .await;
        Self { primary, replica, between, way }
    }

    /// The primary dies for good, and everybody is told that the replica is the primary now.
    fn fail_over(&mut self) {
        self.primary.kill();
        self.replica.promote();
        self.way.lead_to(self.replica.port);
    }
}

async fn blocking<T: Send + 'static>(start: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(start).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_replica_lacked_comes_back_from_the_journals() {
    let mut redis = Pair::start().await;
    let site = Site::start(&format!("url = \"{}\"", redis.way.url())).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    is_relayed(&site.ingress).await;
    redis.between.refuse(true);
    goes_on(&vendors, 100).await;
    // As far as the primary is concerned, they are done.
    site.sink.has(&vendors.numbers()).await;
    redis.fail_over();
    goes_on(&vendors, 50).await;
    let acknowledged = site.settled(vendors).await;
    until("the ingress says what came back", async || says_what_came_back(&site)).await;
    let twice = assert_at_most_twice(&site);
    println!("{twice} of {} ran again", acknowledged.len());
    assert!(twice > 0, "the replica lacked something, and its jobs have run on the primary");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_wait_replicas_nothing_counts_as_moved_that_the_replica_lacks() {
    let mut redis = Pair::start().await;
    let site = Site::start(&format!("url = \"{}\"\nwait_replicas = 1\nlanes = 4", redis.way.url())).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    until("what the replica has is moved", async || backlog(&site.ingress).await < 50).await;
    redis.between.refuse(true);
    goes_on(&vendors, 100).await;
    // The last of what came before the cut may still have counted.
    until("the replica has none of these", async || backlog(&site.ingress).await >= 100).await;
    // They run all the same.
    site.sink.has(&vendors.numbers()).await;
    redis.fail_over();
    // Nobody follows the new primary yet.
    goes_on(&vendors, 50).await;
    until("nothing of it counts as moved", async || backlog(&site.ingress).await >= 100).await;
    let follower = blocking({
        let primary = redis.replica;
        move || {
            let follower = RedisServer::start_durable(&[]);
            follower.replica_of(&primary);
            (primary, follower)
        }
    })
    .await;
    site.settled(vendors).await;
    assert_at_most_twice(&site);
    site.stop().await;
    drop(follower);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_wait_aof_nothing_counts_as_moved_that_is_not_in_the_file() {
    let redis = RedisServer::start_durable(&[]);
    let site = Site::start(&format!("{}\nwait_aof = true", at(&redis))).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    if knows_waitaof(&redis) {
        until("what is in the file is moved", async || backlog(&site.ingress).await < 50).await;
        redis.config_set("appendonly", "no");
        goes_on(&vendors, 100).await;
    }
    // There is no file, or a server that can't say what is in it.
    until("it says why", async || warning(&site).await.contains("WAITAOF (Redis 7.2)")).await;
    until("the file has none of these", async || backlog(&site.ingress).await >= 100).await;
    // They run all the same.
    site.sink.has(&vendors.numbers()).await;
    if knows_waitaof(&redis) {
        redis.config_set("appendonly", "yes");
        site.settled(vendors).await;
        assert_eq!(warning(&site).await, "");
    } else {
        site.sink.has(&vendors.stop().await).await;
        site.worker.is_idle().await;
    }
    assert_eq!(site.sink.repeated(), [].into());
    site.stop().await;
}

/// Whether a server can be asked what its file has: Redis from 7.2 on, and Valkey.
fn knows_waitaof(redis: &RedisServer) -> bool {
    let info = redis.info("server");
    let version = |name: &str| {
        let text = info.lines().find_map(|line| line.strip_prefix(name))?.trim();
        let mut numbers = text.split('.').map(|number| number.parse::<u32>().unwrap());
        Some((numbers.next()?, numbers.next()?))
    };
    version("valkey_version:").or(version("redis_version:")).unwrap() >= (7, 2)
}

/// What an ingress has an operator look at; empty if there is nothing.
async fn warning(site: &Site) -> String {
    let ready = site.ingress.json("/readyz?verbose").await;
    ready["journal"]["warning"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_move_the_primarys_part_under_load() {
    let (mut primary, replica, sentinels) = blocking(|| {
        let (primary, replica) = (RedisServer::start_durable(&[]), RedisServer::start_durable(&[]));
        replica.replica_of(&primary);
        let sentinels = Sentinels::start(&primary, 1);
        (primary, replica, sentinels)
    })
    .await;
    let queue =
        format!("url = {:?}\ntopology = \"sentinel\"\nsentinel_master = \"{PRIMARY}\"", sentinels.urls());
    let site = Site::start(&queue).await;
    let vendors: Vendors = site.vendors();
    goes_on(&vendors, 100).await;
    is_relayed(&site.ingress).await;
    primary.kill();
    until("the Sentinels name another primary", async || sentinels.primary() == replica.port).await;
    goes_on(&vendors, 100).await;
    site.settled(vendors).await;
    assert_at_most_twice(&site);
    site.stop().await;
}

fn says_what_came_back(site: &Site) -> bool {
    site.ingress.log().iter().any(|line| line.contains("was offered to the queue again"))
}

/// How many took effect twice: what the lost server had run, and the one that took its part did not know of.
fn assert_at_most_twice(site: &Site) -> usize {
    let times = site.sink.times();
    assert!(times.values().all(|times| *times <= 2), "{times:?}");
    times.values().filter(|times| **times == 2).count()
}
