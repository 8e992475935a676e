//! One run of a process: fed, watched, and killed with its offspring if nobody waits for it any more.

use std::{
    io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{ChildStderr, Command},
};

use crate::text::one_line;

/// How a process ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// The end of what it wrote to standard error.
    pub(super) stderr: String,
}

/// How much of standard error is kept, in bytes.
const TAIL: usize = 2048;
/// How long is waited for the end of standard error once a process has failed: another one may hold it open for ever.
const STDERR_TIME: Duration = Duration::from_secs(1);

/// Runs the command with `input` on its standard input, in a process group of its own. Dropping the future kills the
/// group.
pub(super) async fn run(mut command: Command, input: &[u8]) -> io::Result<Ended> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    #[cfg(unix)]
    command.process_group(0);
    let mut child = command.spawn()?;
    // After the child, so that it is dropped before it: as long as the child is not waited for, its id is its own.
    let mut group = Group::of(&child);
    let (mut stdin, mut stderr) = (child.stdin.take(), child.stderr.take());
    let (mut unwritten, mut tail) = (input, Tail::default());

    let status = loop {
        if unwritten.is_empty() {
            // Closes it: the end of the data.
            stdin = None;
        }
        tokio::select! {
            status = child.wait() => break status?,
            written = write(&mut stdin, unwritten), if stdin.is_some() => match written {
                Ok(written) => unwritten = &unwritten[written..],
                // The process does not want the rest. What it makes of the job, its exit status says.
                Err(_) => unwritten = &[],
            },
            read = tail.read(&mut stderr), if stderr.is_some() => {
                if !matches!(read, Ok(1..)) {
                    stderr = None;
                }
            }
        }
    };
    group.release();

    if !status.success() {
        // What is still in the pipe comes at once. An error or the end of time only makes the text shorter.
        let rest = async { while let Ok(1..) = tail.read(&mut stderr).await {} };
        let _ = tokio::time::timeout(STDERR_TIME, rest).await;
    }
    Ok(Ended { status, stderr: one_line(&tail.0) })
}

async fn write(stdin: &mut Option<tokio::process::ChildStdin>, bytes: &[u8]) -> io::Result<usize> {
    match stdin {
        Some(stdin) => match stdin.write(bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        },
        None => Ok(0),
    }
}

/// The last bytes of what was read.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    /// Reads some; 0 at the end.
    async fn read(&mut self, from: &mut Option<ChildStderr>) -> io::Result<usize> {
        let Some(from) = from else { return Ok(0) };
        let read = from.read_buf(&mut self.0).await?;
        self.0.drain(..self.0.len().saturating_sub(TAIL));
        Ok(read)
    }
}

/// The process group of a running child. Dropping it kills all that is in it.
#[derive(Debug)]
struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
impl Group {
    fn of(child: &tokio::process::Child) -> Self {
        let leader =
            child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        Self { leader }
    }

    /// The child has ended by itself: the group is no longer ours to kill.
    fn release(&mut self) {
        self.leader = None;
    }
}

#[cfg(unix)]
impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // An error means that there is nobody left.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

/// Where there are no process groups, only the child itself is killed.
#[cfg(not(unix))]
impl Group {
    fn of(_: &tokio::process::Child) -> Self {
        Self {}
    }

    fn release(&mut self) {}
}
