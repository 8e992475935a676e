//! Which admin API a command asks: that of the running service, or, while none runs, one in this process.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use tokio::{net::TcpStream, time::timeout};

use super::{Failure, Global, client::Api};
use crate::{
    admin::token,
    config::{Config, random_secret},
    journal::{self, OpenError},
    provider::Secret,
    receiver::{BuildError, Builder, Receiver, Role},
};

/// The admin API that a command is to ask.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) api: Api,
    /// The receiver behind the API, if that is in this process.
    local: Option<Receiver>,
}

/// The API of the running service; if none runs and none was named, that of a receiver in this process, which holds
/// the journal's lock meanwhile and runs no jobs. `only_a_service` says why that would not do.
pub(crate) async fn connect(
    global: &Global,
    only_a_service: Option<&'static str>,
) -> Result<Connection, Failure> {
    let config = global.preview()?.config;
    if global.url.is_some() || is_served(&config)? {
        return Ok(Connection { api: remote_of(global, &config).await?, local: None });
    }
    if let Some(why) = only_a_service {
        let address = Api::url_of(config.admin.listen);
        let mend = "start it with `doorbell serve`, or name another by --url";
        return Err(Failure::Failed(format!("no service answers at {address}: {why}; {mend}")));
    }
    let dir = &config.journal.dir;
    if !dir.is_dir() {
        let text = format!(
            "no service answers at {}, and there is no data folder {}; start one with `doorbell serve`, or name the \
             configuration with --config",
            Api::url_of(config.admin.listen),
            dir.display()
        );
        return Err(Failure::Usage(text));
    }
    let (receiver, token) = open(&config, None).await?;
    Ok(Connection { api: Api::local(receiver.admin_router(), &token)?, local: Some(receiver) })
}

/// The API of the running service: the one at `--url`, or else the one that the configuration describes.
pub(crate) async fn remote(global: &Global) -> Result<Api, Failure> {
    let config = global.preview()?.config;
    if global.url.is_none() && !is_served(&config)? {
        return Err(Failure::Failed(format!("no service answers at {}", Api::url_of(config.admin.listen))));
    }
    remote_of(global, &config).await
}

/// A receiver on the configured data folder, in this process and without listeners; and what opens its admin API.
/// Without a role it neither takes anything in nor runs jobs.
pub(super) async fn open(config: &Config, role: Option<Role>) -> Result<(Receiver, Secret), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    // Nobody else ever gets to see it.
    let token = Secret::from(random_secret().map_err(|error| failed(&error))?);
    let builder: Builder<()> = config.builder(token.clone()).map_err(|error| failed(&error))?;
    let builder = match role {
        Some(role) => builder.role(role),
        None => builder.idle(),
    };
    match builder.build().await {
        Ok(receiver) => Ok((receiver, token)),
        Err(BuildError::Journal(OpenError::Locked { .. })) => Err(unreachable(config)),
        Err(error) => Err(failed(&error)),
    }
}

impl Connection {
    /// Whether the receiver is in this process, where it runs no jobs.
    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Ends what was begun for this connection, and gives the journal free.
    pub(crate) async fn close(self) {
        drop(self.api);
        if let Some(receiver) = self.local {
            receiver.shutdown().await;
        }
    }
}

/// An address that reaches a listener at this one from the same machine: an unspecified one can't be called.
pub(super) fn callable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn remote_of(global: &Global, config: &Config) -> Result<Api, Failure> {
    let token = match &config.admin.token {
        Some(token) => token.clone(),
        None => load_token(&config.journal.dir)?,
    };
    if let Some(url) = &global.url {
        return Ok(Api::remote(url.as_ref(), &token)?);
    }
    if !is_listened_on(config.admin.listen).await {
        return Err(unreachable(config));
    }
    Ok(Api::remote(&Api::url_of(config.admin.listen), &token)?)
}

/// Whether a service has the data folder. What answers at the configured address proves nothing: it may be another
/// program, and the token is not for it to see.
fn is_served(config: &Config) -> Result<bool, Failure> {
    let dir = &config.journal.dir;
    journal::is_in_use(dir).map_err(|error| {
        let text = format!("can't tell whether a service runs on the data folder {}: {error}", dir.display());
        Failure::Failed(format!(
            "{text}; run this as the user that the service runs as, or name the service by --url"
        ))
    })
}

fn unreachable(config: &Config) -> Failure {
    Failure::Failed(format!(
        "the data folder {} is in use: a service runs on it, but its admin listener can't be reached at {}; name the \
         one that it has by --url, or stop the service",
        config.journal.dir.display(),
        Api::url_of(config.admin.listen)
    ))
}

fn load_token(dir: &Path) -> Result<Secret, Failure> {
    token::load(dir).map_err(|error| {
        let mend = "`doorbell serve` makes one on its first start, or the configuration names one as `token` in \
                    [admin]; --config names the configuration";
        Failure::Usage(format!("there is no admin token: {error}; {mend}"))
    })
}

/// Whether anything takes connections at this address. If that can't be told, the request itself will tell.
async fn is_listened_on(address: SocketAddr) -> bool {
    const PATIENCE: Duration = Duration::from_secs(5);
    match timeout(PATIENCE, TcpStream::connect(callable(address))).await {
        Ok(Err(error)) => error.kind() != io::ErrorKind::ConnectionRefused,
        Ok(Ok(_)) | Err(_) => true,
    }
}
