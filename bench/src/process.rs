//! The processes that are measured and those that measure: started, watched, always stopped.

use std::{
    collections::VecDeque,
    fs,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

/// How many lines of a process's output an error shows.
const TAIL: usize = 20;

/// A process that we started. Dropped, it is killed.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    pid: u32,
    lines: mpsc::UnboundedReceiver<String>,
    tail: Arc<Mutex<VecDeque<String>>>,
    readers: Vec<JoinHandle<()>>,
}

/// What becomes of a process's standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// Its lines are what we ask it for.
    Lines,
    /// It is shown when the process fails.
    Log,
}

impl Process {
    /// Starts a process. `name` is what errors call it.
    pub(crate) fn start(name: &'static str, command: &mut Command, output: Output) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {name} ({})", command.as_std().get_program().display()))?;
        let pid = child.id().with_context(|| format!("{name} ended at once"))?;
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let (send, lines) = mpsc::unbounded_channel();
        let mut readers = Vec::new();
        if let Some(stderr) = child.stderr.take() {
            readers.push(tokio::spawn(read(stderr, keep_in(tail.clone()))));
        }
        if let Some(stdout) = child.stdout.take() {
            readers.push(match output {
                Output::Lines => tokio::spawn(read(stdout, move |line| drop(send.send(line)))),
                Output::Log => tokio::spawn(read(stdout, keep_in(tail.clone()))),
            });
        }
        Ok(Self { name, child, pid, lines, tail, readers })
    }

    /// The next line of its standard output.
    pub(crate) async fn line(&mut self, limit: Duration) -> anyhow::Result<String> {
        match timeout(limit, self.lines.recv()).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => Err(self.died().await),
            Err(_) => bail!("{} printed nothing within {limit:?}{}", self.name, self.last_words()),
        }
    }

    /// An error if the process is not running any more.
    pub(crate) async fn check(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_some() { Err(self.died().await) } else { Ok(()) }
    }

    /// Asks the process to stop (SIGTERM) and waits until it has. One that does not stop in time, or fails doing
    /// so, is an error.
    pub(crate) async fn stop(mut self, limit: Duration) -> anyhow::Result<()> {
        self.check().await?;
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop {}", self.name))?;
        match timeout(limit, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(_) => Err(self.died().await),
            Err(_) => bail!("{} did not stop within {limit:?} of a SIGTERM{}", self.name, self.last_words()),
        }
    }

    /// Kills the process (SIGKILL) and waits until it is gone.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.with_context(|| format!("cannot kill {}", self.name))
    }

    /// What the process has taken so far. `None` where the system does not tell as Linux does.
    pub(crate) fn usage(&self) -> Option<Usage> {
        usage(&self.pid.to_string())
    }

    async fn died(&mut self) -> anyhow::Error {
        let status = self.child.wait().await;
        // What it said last is still being read.
        for reader in self.readers.drain(..) {
            let _ = timeout(Duration::from_secs(1), reader).await;
        }
        match status {
            Ok(status) => anyhow!("{} ended ({status}){}", self.name, self.last_words()),
            Err(error) => anyhow!("{} cannot be waited for ({error}){}", self.name, self.last_words()),
        }
    }

    /// The last lines that it printed, to be put behind what is said of it.
    pub(crate) fn last_words(&self) -> String {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.is_empty() {
            return "; it printed nothing".into();
        }
        tail.iter().fold("; its last lines:".into(), |text, line| text + "\n    " + line)
    }
}

async fn read(from: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut lines = BufReader::new(from).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        take(line);
    }
}

fn keep_in(tail: Arc<Mutex<VecDeque<String>>>) -> impl FnMut(String) {
    move |line| {
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }
}

/// What a process has taken so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, of all its threads, in user and kernel, in seconds.
    pub(crate) cpu_seconds: f64,
    /// Resident memory now, in MB (10^6 bytes).
    pub(crate) resident_mb: f64,
    /// The most that it ever was, in MB.
    pub(crate) peak_mb: f64,
}

/// What the process `pid` (or `self`) has taken so far, as Linux tells it.
#[expect(clippy::cast_precision_loss, reason = "ticks and kilobytes far below 2^52")]
pub(crate) fn usage(pid: &str) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in brackets, may hold spaces; user and system ticks are the 12th and 13th after it.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let megabytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: u64 = line.trim_start_matches(':').split_ascii_whitespace().next()?.parse().ok()?;
        Some(kib as f64 * 1024.0 / 1e6)
    };
    Some(Usage {
        cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        resident_mb: megabytes("VmRSS")?,
        peak_mb: megabytes("VmHWM")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_process_is_an_error_with_its_last_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo 'no such folder' >&2; exit 3"]);
        let mut process = Process::start("sh", &mut command, Output::Lines).unwrap();
        assert_eq!(process.line(Duration::from_secs(60)).await.unwrap(), "first");
        let error = process.line(Duration::from_secs(60)).await.unwrap_err().to_string();
        assert_eq!(error, "sh ended (exit status: 3); its last lines:\n    no such folder");
    }

    #[tokio::test]
    async fn stopping_waits_for_an_orderly_end() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'kill $!; exit 0' TERM; sleep 60 & echo ready; wait"]);
        let mut process = Process::start("sh", &mut command, Output::Lines).unwrap();
        assert_eq!(process.line(Duration::from_secs(60)).await.unwrap(), "ready");
        process.stop(Duration::from_secs(60)).await.unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn reads_its_own_usage() {
        let usage = usage("self").unwrap();
        assert!(usage.resident_mb > 0.5 && usage.peak_mb >= usage.resident_mb, "{usage:?}");
    }
}
