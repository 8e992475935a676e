//! A Redis of our own: started on a folder and a port of its own, set so that it loses nothing, asked what it took,
//! always stopped.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use anyhow::{Context as _, bail};
use redis::{AsyncConnectionConfig, InfoDict, aio::MultiplexedConnection};
use serde::Serialize;
use tokio::process::Command;

use crate::{
    clock,
    process::{Output, Process},
};

/// How long a start may take. With many jobs in its append-only file Redis reads for a while.
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long an orderly stop may take.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How long Redis may take to answer a question: on a machine that is busy on purpose.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// A running `redis-server`, every write of which is on the disk before it is answered.
pub(crate) struct Server {
    process: Process,
    connection: MultiplexedConnection,
}

impl Server {
    /// Starts it on this folder, which keeps its data, and waits until it answers.
    pub(crate) async fn start(folder: &Path, address: SocketAddr) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut command = Command::new("redis-server");
        command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.arg("--dir").arg(folder);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.args(["--auto-aof-rewrite-min-size", "2gb", "--rdbcompression", "no"]);
        command.args(["--maxmemory-policy", "noeviction"]);
        let mut process = Process::start("redis-server", &mut command, Output::Log)
            .context("Redis 7 has to be installed, with `redis-server` in the PATH")?;
        let client = redis::Client::open(format!("redis://{address}"))?;
        let begin = clock::instant();
        loop {
            process.check().await?;
            let last = match connect(&client).await {
                Ok(connection) => return Ok(Self { process, connection }),
                Err(error) => error,
            };
            if clock::instant().duration_since(begin) > START_LIMIT {
                bail!("redis-server on {address} did not answer within {START_LIMIT:?}: {last}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// What it has done so far.
    pub(crate) async fn costs(&mut self) -> anyhow::Result<Costs> {
        let cpu = self.info("cpu").await?;
        let cpu = |name: &str| cpu.get::<f64>(name).with_context(|| format!("INFO cpu has no {name}"));
        let cpu_seconds = cpu("used_cpu_user")? + cpu("used_cpu_sys")?;
        let mut ask = redis::cmd("INFO");
        let said: String = ask
            .arg("commandstats")
            .query_async(&mut self.connection)
            .await
            .context("Redis does not answer INFO commandstats")?;
        let Calls { scripts, commands } = Calls::read(&said);
        Ok(Costs { cpu_seconds, scripts, commands })
    }

    /// The memory that it has given out, in bytes.
    pub(crate) async fn used_memory(&mut self) -> anyhow::Result<u64> {
        self.info("memory").await?.get("used_memory").context("INFO memory has no used_memory")
    }

    /// How many fields a hash has; 0 without such a hash.
    pub(crate) async fn fields(&mut self, hash: &str) -> anyhow::Result<u64> {
        let asked = redis::cmd("HLEN").arg(hash).query_async(&mut self.connection).await;
        asked.with_context(|| format!("Redis does not say how long {hash} is"))
    }

    /// Stops it in an orderly way: what it took is on the disk.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.process.stop(STOP_LIMIT).await
    }

    async fn info(&mut self, section: &str) -> anyhow::Result<InfoDict> {
        let asked = redis::cmd("INFO").arg(section).query_async(&mut self.connection).await;
        asked.with_context(|| format!("Redis does not answer INFO {section}"))
    }
}

/// A connection to a server that has read all of its data.
async fn connect(client: &redis::Client) -> redis::RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_LIMIT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("PING").query_async::<String>(&mut connection).await?;
    Ok(connection)
}

/// What a Redis has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Costs {
    /// Processor time, in user and kernel, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Scripts called.
    pub(crate) scripts: u64,
    /// Commands run, those within scripts and the calls of scripts among them.
    pub(crate) commands: u64,
}

impl Costs {
    /// What has been done since an earlier look at the same server.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            cpu_seconds: self.cpu_seconds - earlier.cpu_seconds,
            scripts: self.scripts - earlier.scripts,
            commands: self.commands - earlier.commands,
        }
    }
}

#[derive(Debug, PartialEq)]
struct Calls {
    scripts: u64,
    commands: u64,
}

impl Calls {
    /// Adds up what `INFO commandstats` says, without what asking for it costs.
    fn read(text: &str) -> Self {
        let mut calls = Self { scripts: 0, commands: 0 };
        for line in text.lines() {
            let Some((name, rest)) =
                line.strip_prefix("cmdstat_").and_then(|line| line.split_once(":calls="))
            else {
                continue;
            };
            let count = rest.split(',').next().and_then(|count| count.parse().ok()).unwrap_or(0);
            match name {
                "info" | "ping" | "hlen" => continue,
                "eval" | "evalsha" | "eval_ro" | "evalsha_ro" | "fcall" | "fcall_ro" => {
                    calls.scripts += count;
                }
                _ => {}
            }
            calls.commands += count;
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_what_was_called() {
        let text = "# Commandstats\r\n\
            cmdstat_zadd:calls=40,usec=60,usec_per_call=1.50,rejected_calls=0,failed_calls=0\r\n\
            cmdstat_evalsha:calls=3,usec=90,usec_per_call=30.00,rejected_calls=0,failed_calls=0\r\n\
            cmdstat_info:calls=9,usec=90,usec_per_call=10.00,rejected_calls=0,failed_calls=0\r\n\
            cmdstat_client|setinfo:calls=2,usec=1,usec_per_call=0.50,rejected_calls=0,failed_calls=0\r\n";
        assert_eq!(Calls::read(text), Calls { scripts: 3, commands: 45 });
    }

    #[tokio::test]
    async fn a_server_of_our_own_keeps_what_it_answered() {
        let folder = tempfile::tempdir().unwrap();
        let address = crate::product::free_port().unwrap();
        let mut server = Server::start(folder.path(), address).await.unwrap();
        let before = server.costs().await.unwrap();
        let mut store = redis::cmd("HSET");
        let stored = store.arg("jobs").arg("a").arg("b").query_async::<u64>(&mut server.connection);
        assert_eq!(stored.await.unwrap(), 1);
        assert_eq!(server.costs().await.unwrap().since(before).commands, 1);
        server.stop().await.unwrap();

        let mut server = Server::start(folder.path(), address).await.unwrap();
        assert_eq!(server.fields("jobs").await.unwrap(), 1);
        assert!(server.used_memory().await.unwrap() > 100_000);
        server.stop().await.unwrap();
    }
}
