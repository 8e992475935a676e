//! A Redis Cluster.

use ::redis::from_redis_value;

use super::{RedisServer, free_port, until};

/// So many hash slots a Cluster has.
const SLOTS: usize = 16_384;

/// Primaries that share the hash slots, without replicas.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<RedisServer>,
}

/// A slot that is on its way from one node to another. Both send who asks for a key that is not there to the other one.
pub(crate) struct Moving {
    slot: String,
    from: usize,
    to: usize,
}

impl Cluster {
    /// Starts one of so many nodes that keep nothing on disk; returns when all of them answer for the whole.
    pub(crate) fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// The same with these arguments besides.
    pub(crate) fn start_with(nodes: usize, arguments: &[&str]) -> Self {
        let ports: Vec<_> = (0..nodes).map(|_| free_port().to_string()).collect();
        let cluster = Self { nodes: ports.iter().map(|port| start_node(port, arguments)).collect() };
        let first = &cluster.nodes[0];
        for (number, (node, bus)) in cluster.nodes.iter().zip(&ports).enumerate() {
            let (from, to) = (SLOTS * number / nodes, SLOTS * (number + 1) / nodes - 1);
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &to.to_string()]);
            if number > 0 {
                first.command(&["CLUSTER", "MEET", "127.0.0.1", &node.port.to_string(), bus]);
            }
        }
        for node in &cluster.nodes {
            until("the Cluster is whole", || knows(node, nodes));
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

    /// Starts a replica of a node, which takes its part when the others don't hear of it for three seconds; returns when
    /// it has a copy and all know it.
    pub(crate) fn start_replica_of(&self, number: usize) -> RedisServer {
        let bus = free_port().to_string();
        let replica = start_node(&bus, &[]);
        let id = self.id(number);
        self.nodes[number].command(&["CLUSTER", "MEET", "127.0.0.1", &replica.port.to_string(), &bus]);
        until("the replica knows its primary", || {
            replica.try_command(&["CLUSTER", "REPLICATE", &id]).is_ok()
        });
        // A replica that is promoted before it was told which slots its primary has takes over none.
        until("the replica knows who has which slots", || knows(&replica, self.nodes.len() + 1));
        until("the replica follows", || replica.info("replication").contains("master_link_status:up"));
        let as_replica = format!("slave {id}");
        for node in &self.nodes {
            until("all know the replica", || {
                let nodes: String = from_redis_value(node.command(&["CLUSTER", "NODES"])).unwrap();
                nodes.contains(&as_replica)
            });
        }
        replica
    }

    /// Moves the slot that has this key, with all that is in it, from the node that owns it to the next one.
    pub(crate) fn move_slot_of(&self, key: &str) {
        let moving = self.begin_to_move(key);
        self.finish(moving);
    }

    /// Begins to move it: from now on it is on its way.
    pub(crate) fn begin_to_move(&self, key: &str) -> Moving {
        let slot: u32 = from_redis_value(self.nodes[0].command(&["CLUSTER", "KEYSLOT", key])).unwrap();
        let slot = slot.to_string();
        let from = (0..self.nodes.len())
            .find(|number| self.nodes[*number].try_command(&["EXISTS", key]).is_ok())
            .expect("one node has each slot");
        let to = (from + 1) % self.nodes.len();
        self.nodes[to].command(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)]);
        self.nodes[from].command(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)]);
        Moving { slot, from, to }
    }

    /// Moves all that is in it, and tells both nodes that this is the end.
    pub(crate) fn finish(&self, moving: Moving) {
        let Moving { slot, from, to } = moving;
        let port = self.nodes[to].port.to_string();
        loop {
            let keys = self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]);
            let keys: Vec<Vec<u8>> = from_redis_value(keys).unwrap();
            if keys.is_empty() {
                break;
            }
            let command = ["MIGRATE", "127.0.0.1", &port, "", "0", "10000", "KEYS"];
            let mut words = command.map(|word| word.as_bytes().to_vec()).to_vec();
            words.extend(keys);
            self.nodes[from].command(&words);
        }
        for number in [to, from] {
            self.nodes[number].command(&["CLUSTER", "SETSLOT", &slot, "NODE", &self.id(to)]);
        }
    }

    fn id(&self, number: usize) -> String {
        from_redis_value(self.nodes[number].command(&["CLUSTER", "MYID"])).unwrap()
    }
}

/// Whether a node knows so many nodes, itself among them, and one for each slot.
fn knows(node: &RedisServer, nodes: usize) -> bool {
    let info: String = from_redis_value(node.command(&["CLUSTER", "INFO"])).unwrap();
    info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{nodes}\r\n"))
}

fn start_node(bus: &str, arguments: &[&str]) -> RedisServer {
    let own = ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "3000"];
    RedisServer::start(&[&own, arguments].concat())
}
