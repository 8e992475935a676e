//! How a connection is opened, and what an open one can do, for each topology.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, Pipeline, RedisResult,
    TlsCertificates, TlsMode, Value,
    aio::{MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
    io::tcp::TcpSettings,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use tokio::time::timeout;

use super::{Ask, LinkError, OptionsError, Place, judge, prefix};
use crate::{
    journal::redis::{RedisAddress, Topology, options::REDIS_URL},
    tls,
};

/// Where a connection is opened to.
pub(super) struct Way {
    to: To,
    /// What messages call it.
    name: String,
    patience: Duration,
}

enum To {
    Single(Client),
    /// Asks the Sentinels anew for each connection.
    Sentinel(tokio::sync::Mutex<SentinelClient>),
    /// The client for commands, and one for each of the nodes that the options name.
    Cluster(ClusterClient, Vec<Client>),
}

/// An open connection, shared by its clones.
#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Way {
    pub(super) fn new(address: &RedisAddress) -> Result<Self, OptionsError> {
        let mut servers = Vec::new();
        for url in &address.urls {
            let wrong = |wrong| OptionsError(format!("the URL {url} {wrong}; expected {REDIS_URL}"));
            // Without this each small answer would wait for a full packet.
            let tcp = TcpSettings::default().set_nodelay(true);
            servers.push(url.connection().map_err(wrong)?.set_tcp_settings(tcp));
        }
        if address.urls.iter().any(super::super::RedisUrl::is_tls) {
            tls::choose_provider();
        }
        let patience = address.timeout / 2;
        let unusable = |error: redis::RedisError| OptionsError(error.to_string());
        let to = match address.topology {
            Topology::Single => To::Single(single(address, &servers)?),
            Topology::Sentinel => To::Sentinel(sentinel(address, &servers)?.into()),
            Topology::Cluster => {
                let nodes: Result<_, _> = servers.iter().map(|server| client(address, server)).collect();
                // The crate's own repetitions are off: they would also repeat what may have been done. It waits for the
                // slowest of the nodes named here, then for the slowest of those that it was told of: a silent one
                // among them must leave time for the others.
                let mut builder = ClusterClient::builder(servers)
                    .retries(0)
                    .connection_timeout(patience / 3)
                    .response_timeout(address.timeout)
                    .tcp_settings(TcpSettings::default().set_nodelay(true));
                if let Some(certificates) = certificates(address) {
                    builder = builder.certs(certificates);
                }
                To::Cluster(builder.build().map_err(unusable)?, nodes.map_err(unusable)?)
            }
        };
        let urls: Vec<_> = address.urls.iter().map(ToString::to_string).collect();
        let name = match (address.topology, &address.sentinel_master) {
            (Topology::Sentinel, Some(primary)) => {
                format!("{primary} of the Sentinels at {}", urls.join(", "))
            }
            (Topology::Cluster, _) => format!("the Cluster at {}", urls.join(", ")),
            _ => urls.join(", "),
        };
        Ok(Self { to, name, patience })
    }

    /// Opens a connection, within half of the link's timeout: whoever waits for it then still learns why it failed.
    pub(super) async fn open(&self) -> Result<Connection, LinkError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience))
            // The link has its own eye on the time, for the call as a whole.
            .set_response_timeout(None);
        let open = async {
            Ok(match &self.to {
                To::Single(client) => {
                    Connection::Server(client.get_multiplexed_async_connection_with_config(&config).await?)
                }
                To::Sentinel(client) => {
                    let client = client.lock().await.async_get_client().await?;
                    Connection::Server(client.get_multiplexed_async_connection_with_config(&config).await?)
                }
                To::Cluster(client, _) => Connection::Cluster(client.get_async_connection().await?),
            })
        };
        self.finish(timeout(self.patience, open).await)
    }

    /// Opens a connection that only listens: to the primary, or to some node of a Cluster, as what one node is told, all
    /// tell on. `turn` says which node.
    pub(super) async fn listen(&self, channel: &str, turn: usize) -> Result<PubSub, LinkError> {
        let open = async {
            let mut listening = match &self.to {
                To::Single(client) => client.get_async_pubsub().await?,
                To::Sentinel(client) => {
                    let client = client.lock().await.async_get_client().await?;
                    client.get_async_pubsub().await?
                }
                To::Cluster(_, nodes) => nodes[turn % nodes.len()].get_async_pubsub().await?,
            };
            listening.subscribe(channel).await?;
            Ok(listening)
        };
        self.finish(timeout(self.patience, open).await)
    }

    fn finish<T>(&self, opened: Result<RedisResult<T>, tokio::time::error::Elapsed>) -> Result<T, LinkError> {
        let name = &self.name;
        match opened {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(error)) if error.kind() == ErrorKind::AuthenticationFailed => {
                Err(LinkError::Refused(format!("{name} does not accept this user and password: {error}")))
            }
            Ok(Err(error)) => Err(match judge(&error).error {
                LinkError::Refused(why) => LinkError::Refused(format!("{name}: {why}")),
                LinkError::Away(why) => LinkError::Away(format!("{name} can't be reached: {why}")),
            }),
            Err(_) => {
                let patience = self.patience.as_millis();
                Err(LinkError::Away(format!("{name} does not answer within {patience} ms")))
            }
        }
    }
}

impl Connection {
    /// Sends it to the server that has this place. An error in the place of the first answer is an error of the whole.
    pub(super) async fn ask(&mut self, place: Place<'_>, ask: Ask<'_>) -> RedisResult<Vec<Value>> {
        let mut answers = match (self, ask) {
            (Self::Server(server), Ask::One(command)) => vec![server.send_packed_command(command).await?],
            (Self::Server(server), Ask::All(commands)) => {
                server.send_packed_commands(commands, 0, commands.len()).await?
            }
            (Self::Cluster(cluster), Ask::One(command)) => {
                vec![cluster.route_command(Cmd::clone(command), RoutingInfo::SingleNode(route(place))).await?]
            }
            (Self::Cluster(cluster), Ask::All(commands)) => {
                cluster.route_pipeline(Pipeline::clone(commands), 0, commands.len(), route(place)).await?
            }
        };
        if let Some(first) = answers.first_mut() {
            *first = std::mem::replace(first, Value::Nil).extract_error()?;
        }
        Ok(answers)
    }
}

fn route(place: Place<'_>) -> SingleNodeRoutingInfo {
    SingleNodeRoutingInfo::SpecificNode(match place {
        Place::Lane(lane) => Route::with_key(prefix(lane), SlotAddr::Master),
        Place::Key(key) => Route::with_key(key, SlotAddr::Master),
    })
}

fn single(address: &RedisAddress, servers: &[ConnectionInfo]) -> Result<Client, OptionsError> {
    let [server] = servers else {
        return Err(OptionsError(format!(
            "there are {} URLs of Redis; expected one, unless they are of Sentinels or of the nodes of a Cluster",
            servers.len()
        )));
    };
    client(address, server).map_err(|error| OptionsError(error.to_string()))
}

fn client(address: &RedisAddress, server: &ConnectionInfo) -> RedisResult<Client> {
    match (server.addr(), certificates(address)) {
        (ConnectionAddr::TcpTls { .. }, Some(certificates)) => {
            Client::build_with_tls(server.clone(), certificates)
        }
        _ => Client::open(server.clone()),
    }
}

fn sentinel(address: &RedisAddress, servers: &[ConnectionInfo]) -> Result<SentinelClient, OptionsError> {
    let (Some(first), Some(primary)) = (servers.first(), &address.sentinel_master) else {
        return Err(OptionsError(
            "Sentinels are asked for a primary by its name; say where they are and which one".to_owned(),
        ));
    };
    let redis = first.redis_settings();
    let tcp = || TcpSettings::default().set_nodelay(true);
    let build = || {
        let sentinels = servers.iter().map(|server| server.addr().clone());
        let mut builder = SentinelClientBuilder::new(sentinels, primary, SentinelServerType::Master)?
            .set_client_to_redis_db(redis.db())
            .set_client_to_redis_tcp_settings(tcp())
            .set_client_to_sentinel_tcp_settings(tcp());
        if let Some(user) = redis.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = redis.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if let Some(user) = &address.sentinel_user {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = &address.sentinel_password {
            builder = builder.set_client_to_sentinel_password(String::from_utf8_lossy(password.expose()));
        }
        if matches!(first.addr(), ConnectionAddr::TcpTls { .. }) {
            builder = builder
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_tls_mode(TlsMode::Secure);
            if let Some(certificates) = certificates(address) {
                builder = builder
                    .set_client_to_redis_certificates(certificates.clone())
                    .set_client_to_sentinel_certificates(certificates);
            }
        }
        builder.build()
    };
    build().map_err(|error: redis::RedisError| OptionsError(error.to_string()))
}

fn certificates(address: &RedisAddress) -> Option<TlsCertificates> {
    let ca = address.ca.as_ref()?;
    Some(TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) })
}
