//! The real command: as a service in the background, and as what an operator types.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A `doorbell serve` of its own, on free ports. Killed when it is dropped.
pub(crate) struct Service {
    child: Child,
    /// Kept open: a service whose output nobody reads any more would be another case.
    _stdout: BufReader<ChildStdout>,
    addresses: Value,
    folder: PathBuf,
}

impl Service {
    /// Starts it in a folder, with what is configured there, and waits until it listens.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("service.log"))
            .expect("a file for the log");
        let mut child = command(folder)
            .args(["serve", "--json", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the service starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a line that says where it listens");
        let addresses = serde_json::from_str(&line).unwrap_or_else(|error| {
            let log = fs::read_to_string(folder.join("service.log")).unwrap_or_default();
            panic!("it did not say where it listens ({error}): {line}{log}")
        });
        Self { child, _stdout: stdout, addresses, folder: folder.to_owned() }
    }

    /// The address at which deliveries come in.
    pub(crate) fn ingress(&self) -> &str {
        self.addresses["listening"].as_str().expect("an address")
    }

    /// The URL of a source, as far as the service shows it.
    pub(crate) fn url(&self, source: &str) -> &str {
        let sources = self.addresses["sources"].as_array().expect("sources");
        let found = sources.iter().find(|known| known["name"] == source).expect("the source");
        found["url"].as_str().expect("a URL")
    }

    /// The URL of the admin listener.
    pub(crate) fn admin(&self) -> &str {
        self.addresses["admin"].as_str().expect("a URL")
    }

    /// The admin token that it has made.
    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.folder.join("data/admin-token")).expect("a token").trim().to_owned()
    }

    /// Ends it as a supervisor does, and waits for it.
    pub(crate) fn terminate(self) -> ExitStatus {
        self.signal(Signal::TERM)
    }

    /// Ends it at once, and waits for it.
    pub(crate) fn kill(self) -> ExitStatus {
        self.signal(Signal::KILL)
    }

    fn signal(mut self, signal: Signal) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
        self.child.wait().expect("it ends")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// The command in a folder, with no environment but the search path.
pub(crate) fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorbell"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Runs the command until it ends. `line` is what an operator types after `doorbell`.
pub(crate) fn doorbell(folder: &Path, line: &str) -> Said {
    let output = command(folder).args(line.split_whitespace()).output().expect("the command runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), error: text(&output.stderr) }
}

impl Said {
    /// Checks how it ended.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// What it printed, as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// What it printed, as JSON values on lines of their own.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        self.out.lines().map(parse).collect()
    }
}
