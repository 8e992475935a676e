//! One server.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use ::redis::{Client, Cmd, ToRedisArgs, Value};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{free_port, until};

/// A `redis-server`. Dropped, it is killed.
pub(crate) struct RedisServer {
    pub(crate) port: u16,
    dir: TempDir,
    arguments: Vec<String>,
    /// `None` while it is down.
    process: Option<Process>,
}

/// A server, and the shell that kills it as soon as its own standard input ends: when it is told so, or when the
/// process that holds the other end is gone.
struct Process {
    shell: Child,
    pid: Pid,
}

const SHELL: &str = r#"redis-server "$@" & echo "pid $!"; read -r _; kill -9 $!; wait"#;

impl RedisServer {
    /// Starts one that keeps nothing on disk, with these arguments besides. Returns when it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        // Somebody else may take a free port before the server does.
        for _ in 0..20 {
            let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
            let mut server = Self { port, dir, arguments: arguments.clone(), process: None };
            if server.try_restart() {
                return server;
            }
        }
        panic!("redis-server does not start; is it installed?");
    }

    /// The same, of one that loses nothing when it is killed: each write is fsynced before it is answered.
    pub(crate) fn start_durable(arguments: &[&str]) -> Self {
        Self::start(&[&["--appendonly", "yes", "--appendfsync", "always"], arguments].concat())
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it again on the same port, with what is on its disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        assert!(self.try_restart(), "redis-server does not start again");
    }

    /// Starts it again on the same port, with nothing.
    pub(crate) fn restart_empty(&mut self) {
        self.kill();
        self.dir = tempfile::tempdir().unwrap();
        self.restart();
    }

    /// SIGKILL; returns when it is gone. Nothing happens if it is down.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// The server answers nothing until it is [thawed](Self::thaw); connections to it are still made.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.process.as_ref().expect("it runs").pid, signal).unwrap();
    }

    /// Makes it a replica of another one; returns when it has a copy and follows.
    pub(crate) fn replica_of(&self, primary: &RedisServer) {
        self.replica_through(primary.port, primary);
    }

    /// The same where another port leads to the primary.
    pub(crate) fn replica_through(&self, port: u16, primary: &RedisServer) {
        self.command(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
        until("the replica follows", || {
            let info = self.info("replication");
            info.contains("master_link_status:up") && info.contains("master_sync_in_progress:0")
        });
        // The primary counts it in only when it has heard of it.
        until("the primary knows the replica", || primary.info("replication").contains("state=online"));
    }

    /// Makes it a primary.
    pub(crate) fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
    }

    pub(crate) fn config_set(&self, name: &str, value: &str) {
        self.command(&["CONFIG", "SET", name, value]);
    }

    /// A section of `INFO`.
    pub(crate) fn info(&self, section: &str) -> String {
        ::redis::from_redis_value(self.command(&["INFO", section])).unwrap()
    }

    /// The entries of a stream, the oldest first, each as its fields; none if there is no such stream.
    pub(crate) fn entries(&self, stream: &str) -> Vec<BTreeMap<String, String>> {
        let entries = self.command(&["XRANGE", stream, "-", "+"]);
        let entries: Vec<(String, Vec<(String, String)>)> = ::redis::from_redis_value(entries).unwrap();
        entries.into_iter().map(|(_, fields)| fields.into_iter().collect()).collect()
    }

    /// Sends a command that must succeed.
    pub(crate) fn command<W: ToRedisArgs + Debug>(&self, words: &[W]) -> Value {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends a command.
    pub(crate) fn try_command<W: ToRedisArgs>(&self, words: &[W]) -> ::redis::RedisResult<Value> {
        let patience = Duration::from_secs(30);
        let mut connection = Client::open(self.url())?.get_connection_with_timeout(patience)?;
        connection.set_read_timeout(Some(patience))?;
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        command.query(&mut connection)
    }

    /// Takes all keys away, and all connections of those who had any.
    pub(crate) fn empty(&self) {
        for kind in ["normal", "pubsub"] {
            self.command(&["CLIENT", "KILL", "TYPE", kind]);
        }
        self.command(&["FLUSHALL"]);
    }

    /// `false` if it ends at once.
    fn try_restart(&mut self) -> bool {
        let port = self.port.to_string();
        let dir = self.dir.path().to_str().unwrap();
        let own = ["--bind", "127.0.0.1", "--port", &port, "--dir", dir, "--save", ""];
        // Here a full copy is over at once; waiting for a second replica would be most of it.
        let quick = ["--repl-diskless-sync-delay", "0"];
        let mut words: Vec<_> = own.into_iter().chain(quick).collect();
        words.extend(self.arguments.iter().map(String::as_str));
        let (process, mut lines) = Process::start(&words);
        let ready = lines.any(|line| line.contains("Ready to accept connections"));
        // What it says later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        self.process = Some(process);
        ready
    }
}

/// A Sentinel, which is a server with another task.
pub(super) struct SentinelServer {
    pub(super) port: u16,
    _process: Process,
    _dir: TempDir,
}

impl SentinelServer {
    /// Starts one that is configured like this, on a free port; `None` if it ends at once.
    pub(super) fn try_start(configuration: &str) -> Option<Self> {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let file = dir.path().join("sentinel.conf");
        let folder = dir.path().display();
        fs::write(&file, format!("port {port}\nbind 127.0.0.1\ndir {folder}\n{configuration}")).unwrap();
        let (process, mut lines) = Process::start(&[file.to_str().unwrap(), "--sentinel"]);
        let ready = lines.any(|line| line.contains("+monitor master"));
        std::thread::spawn(move || lines.for_each(drop));
        ready.then_some(Self { port, _process: process, _dir: dir })
    }
}

impl Process {
    /// Starts a server with these words behind its name, and gives what it says besides.
    fn start(words: &[&str]) -> (Self, impl Iterator<Item = String> + Send + use<>) {
        let mut shell = Command::new("sh")
            .args(["-c", SHELL, "redis"])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let stdout: ChildStdout = shell.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let mut before = Vec::new();
        let pid = loop {
            let line = lines.next().expect("the shell says the server's number");
            match line.strip_prefix("pid ").and_then(|text| text.parse().ok()).and_then(Pid::from_raw) {
                Some(pid) => break pid,
                None => before.push(line),
            }
        };
        (Self { shell, pid }, before.into_iter().chain(lines))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
