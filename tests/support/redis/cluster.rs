//! A Redis Cluster.

use super::{RedisServer, free_port, until};

/// So many hash slots a Cluster has.
const SLOTS: usize = 16_384;

/// Primaries that share the hash slots, without replicas.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Starts one of so many nodes that keep nothing on disk; returns when all of them answer for the whole.
    pub(crate) fn start(nodes: usize) -> Self {
        let ports: Vec<_> = (0..nodes).map(|_| free_port().to_string()).collect();
        let start = |port: &String| {
            let timeout = ["--cluster-node-timeout", "3000"];
            RedisServer::start(
                &[&["--cluster-enabled", "yes", "--cluster-port", port], &timeout[..]].concat(),
            )
        };
        let cluster = Self { nodes: ports.iter().map(start).collect() };
        let first = &cluster.nodes[0];
        for (number, (node, bus)) in cluster.nodes.iter().zip(&ports).enumerate() {
            let (from, to) = (SLOTS * number / nodes, SLOTS * (number + 1) / nodes - 1);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            if number > 0 {
                first.command(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus]);
            }
        }
        let known = format!("cluster_known_nodes:{nodes}\r\n");
        for node in &cluster.nodes {
            until("the Cluster is whole", || {
                let info = node.command(&["CLUSTER", "INFO"]);
                let info: String = ::redis::from_redis_value(info).unwrap();
                info.contains("cluster_state:ok") && info.contains(&known)
            });
        }
        cluster
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Takes all keys away, and all connections of those who had any.
    pub(crate) fn empty(&self) {
        self.nodes.iter().for_each(RedisServer::empty);
    }

    /// Moves the slot that has this key, with all that is in it, from the node that owns it to the next one.
    pub(crate) fn move_slot_of(&self, key: &str) {
        let get = |node: &RedisServer, words: &[&str]| node.command(words);
        let slot: u32 = ::redis::from_redis_value(get(&self.nodes[0], &["CLUSTER", "KEYSLOT", key])).unwrap();
        let slot = slot.to_string();
        let ids: Vec<String> = self
            .nodes
            .iter()
            .map(|node| ::redis::from_redis_value(get(node, &["CLUSTER", "MYID"])).unwrap())
            .collect();
        let from = (0..self.nodes.len())
            .find(|number| self.nodes[*number].try_command(&["EXISTS", key]).is_ok())
            .expect("one node has each slot");
        let to = (from + 1) % self.nodes.len();
        get(&self.nodes[to], &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[from]]);
        get(&self.nodes[from], &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[to]]);
        let keys = get(&self.nodes[from], &["CLUSTER", "GETKEYSINSLOT", &slot, "10000"]);
        let keys: Vec<String> = ::redis::from_redis_value(keys).unwrap();
        let port = self.nodes[to].port.to_string();
        for key in keys {
            get(&self.nodes[from], &["MIGRATE", "127.0.0.1", &port, &key, "0", "10000"]);
        }
        for number in [to, from] {
            get(&self.nodes[number], &["CLUSTER", "SETSLOT", &slot, "NODE", &ids[to]]);
        }
    }
}
