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
    journal::OpenError,
    provider::Secret,
    receiver::{BuildError, Builder, Receiver},
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
    if global.url.is_some() || is_listened_on(config.admin.listen).await {
        return Ok(Connection { api: remote_of(global, &config)?, local: None });
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
    let (receiver, token) = open(&config, false).await?;
    Ok(Connection { api: Api::local(receiver.admin_router(), &token)?, local: Some(receiver) })
}

/// The API of the running service: the one at `--url`, or else the one that the configuration describes.
pub(crate) fn remote(global: &Global) -> Result<Api, Failure> {
    remote_of(global, &global.preview()?.config)
}

/// A receiver on the configured data folder, in this process and without listeners; and what opens its admin API.
pub(super) async fn open(config: &Config, workers: bool) -> Result<(Receiver, Secret), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
    // Nobody else ever gets to see it.
    let token = Secret::from(random_secret().map_err(|error| failed(&error))?);
    let builder: Builder<()> = config.builder(token.clone()).map_err(|error| failed(&error))?;
    match builder.workers(workers).build().await {
        Ok(receiver) => Ok((receiver, token)),
        Err(BuildError::Journal(OpenError::Locked { .. })) => Err(Failure::Failed(format!(
            "the data folder {} is in use: a service runs on it, but its admin listener can't be reached at {}; name \
             the one that it has by --url, or stop the service",
            config.journal.dir.display(),
            Api::url_of(config.admin.listen)
        ))),
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

fn remote_of(global: &Global, config: &Config) -> Result<Api, Failure> {
    let token = match &config.admin.token {
        Some(token) => token.clone(),
        None => load_token(&config.journal.dir)?,
    };
    let url = global.url.as_ref().map_or_else(|| Api::url_of(config.admin.listen), ToString::to_string);
    Ok(Api::remote(&url, &token)?)
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
