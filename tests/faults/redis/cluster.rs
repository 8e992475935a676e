//! A Cluster, one of whose nodes is dead, hangs, or gives a hash slot away, while jobs are on their way through all of them.

use std::time::Duration;

use crate::{
    redis::{
        Site, goes_on, is_relayed,
        servers::{Cluster, RedisServer},
    },
    until,
};

/// Several for each of three nodes.
const LANES: usize = 8;

/// For how long a node is away: longer than the others take to notice.
const A_WHILE: Duration = Duration::from_secs(8);

async fn start(arguments: &'static [&str]) -> (Cluster, Site) {
    let cluster = blocking(move || Cluster::start_with(3, arguments)).await;
    let queue = format!("url = {:?}\ntopology = \"cluster\"\nlanes = {LANES}", cluster.urls());
    let site = Site::start(&queue).await;
    (cluster, site)
}

async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(what).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_are_moved_under_load() {
    let (mut cluster, site) = start(&[]).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    for lane in [0, 3, 5] {
        let key = format!("{{doorbell:{lane}}}:");
        let moving = cluster.begin_to_move(&key);
        goes_on(&vendors, 100).await;
        cluster = blocking(move || {
            cluster.finish(moving);
            cluster
        })
        .await;
        goes_on(&vendors, 50).await;
        // Otherwise it would be one long move.
        is_relayed(&site.ingress).await;
    }
    site.settled(vendors).await;
    assert_eq!(site.sink.repeated(), [].into(), "no process has crashed, and Redis has lost nothing");
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_hangs_under_load() {
    let (cluster, site) = start(&["--cluster-require-full-coverage", "no"]).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    cluster.nodes[1].freeze();
    tokio::time::sleep(A_WHILE).await;
    goes_on(&vendors, 100).await;
    cluster.nodes[1].thaw();
    goes_on(&vendors, 50).await;
    site.settled(vendors).await;
    assert_eq!(site.sink.repeated(), [].into());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_killed_under_load() {
    let (mut cluster, site) = start(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    cluster.nodes[2].kill();
    tokio::time::sleep(A_WHILE).await;
    goes_on(&vendors, 100).await;
    cluster.nodes[2].restart();
    goes_on(&vendors, 50).await;
    site.settled(vendors).await;
    assert_eq!(site.sink.repeated(), [].into());
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_takes_the_part_of_a_node_that_hangs() {
    let (cluster, site) = start(&[]).await;
    let (cluster, replica): (_, RedisServer) = blocking(move || {
        let replica = cluster.start_replica_of(0);
        (cluster, replica)
    })
    .await;
    let vendors = site.vendors();
    goes_on(&vendors, 100).await;
    is_relayed(&site.ingress).await;
    cluster.nodes[0].freeze();
    until("the replica is a primary", async || replica.info("replication").contains("role:master")).await;
    goes_on(&vendors, 100).await;
    // The node that hangs is still one of those that the configuration names.
    site.settled(vendors).await;
    let times = site.sink.times();
    assert!(
        times.values().all(|times| *times <= 2),
        "twice only where the replica lacked something: {times:?}"
    );
    site.stop().await;
}
