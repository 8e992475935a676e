//! What is measured, from outside: the `doorbell` command by its configuration file and admin API, the library by a
//! receiver whose handler does nothing, and what both are held against: the floor and the peer.

mod doorbell;
mod floor;
mod noop;
mod peer;
mod tallied;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde::de::DeserializeOwned;
use tokio::{process::Command, time::timeout};

pub(crate) use self::{
    doorbell::{Doorbell, Role},
    floor::Floor,
    tallied::Tallied,
};
use crate::{clock, http::Connection, process::Process};

/// The route that the no-op handler serves. It is also the library's default name for it, so that jobs taken in by
/// the command are handled by the library.
pub(crate) const NOOP_ROUTE: &str = "cafe:*";

/// A route that no worker here serves: the other one's jobs wait.
pub(crate) const OTHER_ROUTE: &str = "elsewhere";

/// How long a start may take before it counts as failed.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// What the admin API is asked with.
const ADMIN_TOKEN: &str = "bench-4f1d0c7a9b3e4f52";

/// A command that runs this program again.
pub(crate) fn this_program() -> anyhow::Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot tell where this program is")?))
}

/// The `doorbell` program beside this one, built now so that it is the present one, in the same profile.
pub(crate) async fn build(cargo: &Path) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("cannot tell where this program is")?;
    let target = this.ancestors().nth(2).context("this program lies in no target folder")?;
    let mut command = Command::new(cargo);
    command.args(["build", "--package", "doorbell", "--bin", "doorbell", "--manifest-path"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml"));
    command.arg("--target-dir").arg(target);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    // Cargo's own output goes to stderr: stdout is the report's.
    let status = command.stdin(Stdio::null()).kill_on_drop(true).status().await;
    let status = status.context("cannot run cargo to build `doorbell`; give its path with --doorbell")?;
    ensure!(status.success(), "`doorbell` could not be built ({status}); give its path with --doorbell");
    Ok(this.with_file_name("doorbell"))
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> anyhow::Result<SocketAddr> {
    let listener =
        std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?)
}

/// Asks again and again, until a path is answered with 200.
async fn until_200(process: &mut Process, to: SocketAddr, path: &str) -> anyhow::Result<()> {
    let begin = clock::instant();
    loop {
        process.check().await?;
        let last = match exchange(to, "GET", path).await {
            Ok((200, _)) => return Ok(()),
            Ok((status, body)) => format!("status {status}: {}", String::from_utf8_lossy(&body)),
            Err(error) => format!("{error:#}"),
        };
        if clock::instant().duration_since(begin) > START_LIMIT {
            bail!("http://{to}{path} did not answer 200 within {START_LIMIT:?}; the last answer: {last}");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn ask<T: DeserializeOwned>(to: SocketAddr, method: &str, path: &str) -> anyhow::Result<T> {
    let (status, body) = exchange(to, method, path).await?;
    ensure!(
        status == 200,
        "{method} http://{to}{path} answered {status}: {}",
        String::from_utf8_lossy(&body)
    );
    serde_json::from_slice(&body).with_context(|| format!("http://{to}{path} answered something else"))
}

async fn exchange(to: SocketAddr, method: &str, path: &str) -> anyhow::Result<(u16, Vec<u8>)> {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = async {
        let mut connection = Connection::open(to).await?;
        let reply = connection.exchange(request.as_bytes()).await?;
        anyhow::Ok((reply.status, reply.body.to_vec()))
    };
    timeout(Duration::from_secs(10), answer)
        .await
        .with_context(|| format!("{method} http://{to}{path} was not answered within 10 s"))?
        .with_context(|| format!("{method} http://{to}{path} failed"))
}
