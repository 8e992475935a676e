//! The service as a process of its own.

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

use crate::{
    PATIENCE,
    http::{Connection, Reply},
    sender::{PATH_SECRET, SECRET},
    sink::Sink,
    until,
};

const TOKEN: &str = "an-admin-token-for-these-tests";

/// How many lines of its log are shown when a test fails.
const LAST_LINES: usize = 40;

/// How the service is to be started: again and again with the same data.
pub(crate) struct Setup {
    folder: TempDir,
    /// The folder of the journal.
    data: PathBuf,
    /// The `[[route]]` tables of the configuration.
    routes: String,
    /// What stands in `[queue]`.
    queue: String,
    /// What hands the socket over to each new process.
    listener: Option<TcpListener>,
    /// What stands before the command, such as a tracer that becomes no parent of it.
    pub(crate) wrapper: Vec<String>,
    /// What stands behind `serve`.
    pub(crate) arguments: Vec<&'static str>,
}

/// A running service. Dropped, it is killed.
pub(crate) struct Service {
    child: Child,
    pid: Pid,
    /// Where deliveries come in, unless it only runs jobs.
    ingress: Option<SocketAddr>,
    admin: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    /// One Poster source `cafe` whose events all go to the sink.
    pub(crate) fn with_sink(sink: &Sink) -> Self {
        Self::with_routes(&route("sink", "*", &sink.address.to_string()))
    }

    /// The Poster source `cafe`, the Kladana source `erp`, and these routes.
    pub(crate) fn with_routes(routes: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let routes = routes.to_owned();
        let (listener, queue) = (None, String::new());
        Self { folder, data, routes, queue, listener, wrapper: Vec::new(), arguments: Vec::new() }
    }

    /// The same with the journal in this folder.
    pub(crate) fn data_in(mut self, data: PathBuf) -> Self {
        self.data = data;
        self
    }

    /// The same with these lines in `[queue]`.
    pub(crate) fn queued(mut self, queue: &str) -> Self {
        queue.clone_into(&mut self.queue);
        self
    }

    /// The same with a socket that outlives each process.
    pub(crate) fn inheriting(mut self) -> (Self, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        self.listener = Some(listener);
        (self, address)
    }

    fn configuration(&self) -> String {
        let Self { routes, queue, .. } = self;
        let data = self.data.display();
        format!(
            r#"
[ingress]
listen = "127.0.0.1:0"
drain = "0"
shutdown_grace = "10s"
[admin]
listen = "127.0.0.1:0"
token = "{TOKEN}"
[journal]
dir = '{data}'
[queue]
{queue}
[[source]]
name = "cafe"
provider = "poster"
secret = "{SECRET}"
[[source]]
name = "erp"
provider = "kladana"
path_secret = "{PATH_SECRET}"
{routes}
"#
        )
    }

    /// Starts it and waits until it listens.
    pub(crate) async fn start(&self) -> Service {
        let config = self.folder.path().join("doorbell.toml");
        fs::write(&config, self.configuration()).unwrap();
        let mut words = self.wrapper.clone();
        words.push(env!("CARGO_BIN_EXE_doorbell").into());
        words.extend(["serve", "--json", "--config"].map(String::from));
        words.push(config.to_str().unwrap().into());
        words.extend(self.arguments.iter().map(ToString::to_string));
        let mut command = match &self.listener {
            None => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).stdin(Stdio::null());
                command
            }
            // The socket comes as descriptor 0, and goes to where the protocol of LISTEN_FDS wants it.
            Some(listener) => {
                let mut command = Command::new("sh");
                let script = r#"export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@" 3<&0 0</dev/null"#;
                let socket = OwnedFd::from(listener.try_clone().unwrap());
                command.args(["-c", script]).args(&words).stdin(Stdio::from(socket));
                command
            }
        };
        command.current_dir(self.folder.path());
        Service::start(command).await.unwrap()
    }
}

/// A route of these kinds of `cafe` to an HTTP target.
pub(crate) fn route(name: &str, events: &str, address: &str) -> String {
    format!(
        "[[route]]\nname = \"{name}\"\nsource = \"*\"\nevents = [\"{events}\"]\ntarget = {{ http = \"http://{address}/\" }}\n"
    )
}

impl Service {
    /// Starts a command that says where it listens as `doorbell serve --json` does. An error if it ends before.
    pub(crate) async fn start(mut command: Command) -> Result<Self, String> {
        let mut child = command
            .env_remove("DOORBELL_LOG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        let log = Arc::<Mutex<Vec<String>>>::default();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let keep = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                keep.lock().unwrap().push(line);
            }
        });
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let announced = async {
            while let Some(line) = output.next_line().await.unwrap() {
                if let Ok(value) = serde_json::from_str::<Value>(&line)
                    && value.get("admin").is_some()
                {
                    return Some(value);
                }
            }
            None
        };
        let announced = timeout(PATIENCE, announced).await.expect("it says nothing");
        let Some(announced) = announced else {
            let status = child.wait().await.unwrap();
            return Err(format!("it ended at once ({status}): {:#?}", log.lock().unwrap()));
        };
        // Whatever else it prints must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = output.next_line().await {} });
        let address =
            |key: &str| Some(announced[key].as_str()?.trim_start_matches("http://").parse().unwrap());
        let (ingress, admin) = (address("listening"), address("admin").unwrap());
        Ok(Self { child, pid, ingress, admin, log })
    }

    /// Where deliveries come in.
    pub(crate) fn ingress(&self) -> SocketAddr {
        self.ingress.expect("it takes deliveries in")
    }

    /// SIGTERM; waits for the orderly end.
    pub(crate) async fn stop(mut self) {
        kill_process(self.pid, Signal::TERM).unwrap();
        let status = timeout(PATIENCE, self.child.wait()).await.expect("it does not stop").unwrap();
        assert!(status.success(), "{status}: {:#?}", self.log());
    }

    /// SIGKILL; waits until it is gone.
    pub(crate) async fn kill(mut self) {
        kill_process(self.pid, Signal::KILL).unwrap();
        self.child.wait().await.unwrap();
    }

    /// How the process has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Asks the admin API.
    pub(crate) async fn ask(&self, path: &str) -> io::Result<Reply> {
        let mut connection = Connection::open(self.admin).await?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
        connection.exchange(request.as_bytes()).await
    }

    /// Asks the admin API for something that it must have.
    pub(crate) async fn json(&self, path: &str) -> Value {
        let reply = self.ask(path).await.unwrap();
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
        serde_json::from_slice(&reply.body).unwrap()
    }

    /// Whether `/readyz` says yes.
    pub(crate) async fn is_ready(&self) -> bool {
        self.ask("/readyz").await.is_ok_and(|reply| reply.status == 200)
    }

    /// Waits until no job waits or runs.
    pub(crate) async fn is_idle(&self) {
        until("no job waits or runs", async || {
            let jobs = &self.json("/api/stats").await["jobs"];
            ["queued", "running", "retrying"].iter().all(|state| jobs[state] == 0)
        })
        .await;
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// A line of `/proc/<pid>/status`, in bytes. `None` where there is no such thing.
    pub(crate) fn memory(&self, name: &str) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid.as_raw_nonzero())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
    }
}

/// A test that fails says what the service had to say last.
impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let last = &log[log.len().saturating_sub(LAST_LINES)..];
            eprintln!("the last that process {} logged:\n{}", self.pid.as_raw_nonzero(), last.join("\n"));
        }
    }
}

/// The admin token, for receivers that are no `doorbell serve`.
pub(crate) fn token() -> &'static str {
    TOKEN
}
