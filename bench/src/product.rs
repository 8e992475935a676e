//! The product, from outside: the `doorbell` command by its configuration file and admin API, and the library by a
//! receiver whose handler does nothing.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

use crate::{
    clock,
    http::Connection,
    noop, poster,
    process::{Output, Process, Usage},
};

/// The route that the no-op handler serves. It is also the library's default name for it, so that jobs taken in by
/// the command are handled by the library.
pub(crate) const NOOP_ROUTE: &str = "cafe:*";

/// A route that no worker here serves: the other one's jobs wait.
pub(crate) const OTHER_ROUTE: &str = "elsewhere";

/// How long a start may take before it counts as failed.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

const ADMIN_TOKEN: &str = "bench-4f1d0c7a9b3e4f52";

/// A running `doorbell serve`.
pub(crate) struct Doorbell {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
    admin: SocketAddr,
    /// From starting the process to the first `200` of `/readyz`.
    pub(crate) took: Duration,
    _config: TempDir,
}

/// Which part of the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Ingress and workers.
    All,
    /// Only the ingress: jobs wait.
    Ingress,
}

/// What `GET /api/stats` says of the jobs.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Jobs {
    pub(crate) queued: u64,
    pub(crate) running: u64,
    pub(crate) retrying: u64,
    pub(crate) done: u64,
    pub(crate) dead: u64,
}

impl Doorbell {
    /// Starts the command on this data folder, with one route of this name, and waits until it is ready.
    pub(crate) async fn start(program: &Path, data: &Path, role: Role, route: &str) -> anyhow::Result<Self> {
        let (ingress, admin) = (free_port()?, free_port()?);
        let config = tempfile::tempdir()?;
        let file = config.path().join("doorbell.toml");
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        fs::write(
            &file,
            format!(
                r#"[ingress]
listen = "{ingress}"
[admin]
listen = "{admin}"
token = "{ADMIN_TOKEN}"
[journal]
dir = {dir}
[[source]]
name = "{source}"
provider = "poster"
secret = "{secret}"
[[route]]
name = {route}
source = "{source}"
events = ["*"]
target = {{ log = {{}} }}
"#,
                dir = quoted(data.to_str().context("a data folder whose path is not UTF-8")?),
                source = poster::SOURCE,
                secret = poster::SECRET,
                route = quoted(route),
            ),
        )?;
        let mut command = Command::new(program);
        command.arg("serve").arg("--config").arg(&file).arg("--role");
        command.arg(if role == Role::All { "all" } else { "ingress" });
        command.current_dir(config.path());
        let begin = clock::instant();
        let mut process = Process::start("doorbell serve", &mut command, Output::Log)?;
        until_200(&mut process, admin, "/readyz").await?;
        let took = clock::instant().duration_since(begin);
        Ok(Self { process, ingress, admin, took, _config: config })
    }

    /// The jobs by state, as the admin API counts them.
    pub(crate) async fn jobs(&mut self) -> anyhow::Result<Jobs> {
        #[derive(Deserialize)]
        struct Stats {
            jobs: Jobs,
        }
        self.process.check().await?;
        let stats: Stats = ask(self.admin, "GET", "/api/stats").await?;
        Ok(stats.jobs)
    }

    /// What the process has taken so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }

    /// An error if it is not running any more.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        self.process.check().await
    }

    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(STOP_LIMIT).await
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(self) -> anyhow::Result<()> {
        self.process.kill().await
    }
}

/// A running receiver (ingress and workers) whose handler does nothing but note when it was started.
pub(crate) struct Noop {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
    control: SocketAddr,
}

impl Noop {
    /// Starts it on this data folder and waits until it takes deliveries.
    pub(crate) async fn start(data: &Path) -> anyhow::Result<Self> {
        let (ingress, control) = (free_port()?, free_port()?);
        let mut command = this_program()?;
        command.arg("serve-noop").arg("--data").arg(data);
        command.args(["--ingress", &ingress.to_string(), "--control", &control.to_string()]);
        let mut process = Process::start("serve-noop", &mut command, Output::Log)?;
        until_200(&mut process, ingress, poster::PATH).await?;
        Ok(Self { process, ingress, control })
    }

    /// What has been handled so far.
    pub(crate) async fn tally(&mut self) -> anyhow::Result<noop::Tally> {
        self.process.check().await?;
        ask(self.control, "GET", "/tally").await
    }

    /// Notes this moment: the tally then says how old the oldest job was that had not been started by now.
    pub(crate) async fn mark(&mut self) -> anyhow::Result<()> {
        self.process.check().await?;
        let _: noop::Tally = ask(self.control, "POST", "/mark").await?;
        Ok(())
    }

    /// Waits until `jobs` jobs have been started.
    pub(crate) async fn handled(&mut self, jobs: u64, limit: Duration) -> anyhow::Result<noop::Tally> {
        let begin = clock::instant();
        loop {
            let tally = self.tally().await?;
            if tally.handled >= jobs {
                return Ok(tally);
            }
            let waited = clock::instant().duration_since(begin);
            if waited > limit {
                bail!("after {waited:.0?} only {} of {jobs} jobs had been handled", tally.handled);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the process has taken so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }

    /// An error if it is not running any more.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        self.process.check().await
    }

    /// Stops it in an orderly way.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(STOP_LIMIT).await
    }
}

/// A running floor.
pub(crate) struct Floor {
    process: Process,
    /// Where deliveries go.
    pub(crate) ingress: SocketAddr,
}

impl Floor {
    /// Starts it and waits until it listens.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let mut process = Process::start("the floor", this_program()?.arg("floor"), Output::Lines)?;
        let ingress = process.line(START_LIMIT).await?;
        let ingress =
            ingress.parse().with_context(|| format!("the floor printed {ingress:?} for an address"))?;
        Ok(Self { process, ingress })
    }

    /// What the process has taken so far.
    pub(crate) fn usage(&self) -> Option<Usage> {
        self.process.usage()
    }

    /// An error if it is not running any more.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        self.process.check().await
    }
}

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
fn free_port() -> anyhow::Result<SocketAddr> {
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
