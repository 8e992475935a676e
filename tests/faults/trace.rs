//! strace beside the service: makes its fsyncs fail, and tells which ones really happened.

use std::{fs, path::PathBuf, process::Command};

use tempfile::TempDir;

/// A tracer's command line and what it wrote.
pub(crate) struct Trace {
    folder: TempDir,
    rules: Vec<String>,
}

/// A system call of the service that has returned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) thread: u64,
    /// Such as `fdatasync(7) = 0`.
    pub(crate) text: String,
}

impl Trace {
    /// Traces these calls with these rules of injection; `None`, and the reason printed, where tracing is impossible.
    pub(crate) fn new(calls: &str, rules: &[&str]) -> Option<Self> {
        let trace = Self {
            folder: tempfile::tempdir().unwrap(),
            rules: [format!("trace={calls}")]
                .into_iter()
                .chain(rules.iter().map(|rule| format!("inject={rule}")))
                .collect(),
        };
        let mut words = trace.command();
        words.push("true".into());
        match Command::new(&words[0]).args(&words[1..]).output() {
            Ok(output) if output.status.success() && output.stderr.is_empty() => Some(trace),
            Ok(output) => {
                println!(
                    "skipped: tracing so is not possible here: {}",
                    String::from_utf8_lossy(&output.stderr)
                );
                None
            }
            Err(error) => {
                println!("skipped: strace can't be run ({error}); bin/test installs it");
                None
            }
        }
    }

    /// The words that stand before the traced command. The tracer is a grandchild, so that the process started is the
    /// traced one itself.
    pub(crate) fn command(&self) -> Vec<String> {
        let mut words: Vec<String> = ["strace", "-D", "-f", "-qq", "-o"].map(String::from).into();
        words.push(self.output().to_str().unwrap().into());
        for rule in &self.rules {
            words.extend(["-e".into(), rule.clone()]);
        }
        words
    }

    /// The calls so far. strace writes each down before the service gets to see its result.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let text = fs::read_to_string(self.output()).unwrap_or_default();
        let mut unfinished = std::collections::HashMap::new();
        let mut calls = Vec::new();
        for line in text.lines() {
            let Some((thread, text)) = line.split_once(' ') else { continue };
            let (Ok(thread), text) = (thread.parse::<u64>(), text.trim_start()) else { continue };
            // A call that another thread's line cut in two.
            if let Some(begun) = text.strip_suffix("<unfinished ...>") {
                unfinished.insert(thread, begun.trim_end().to_owned());
                continue;
            }
            let text = match text.split_once(" resumed>") {
                Some((_, rest)) => unfinished.remove(&thread).unwrap_or_default() + rest,
                None => text.to_owned(),
            };
            calls.push(Call { thread, text });
        }
        calls
    }

    fn output(&self) -> PathBuf {
        self.folder.path().join("calls")
    }
}

impl Call {
    /// An fsync or fdatasync, whatever became of it.
    pub(crate) fn is_sync(&self) -> bool {
        self.text.starts_with("fsync(") || self.text.starts_with("fdatasync(")
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.text.trim_end().ends_with("= 0")
    }

    pub(crate) fn opens(&self, file: &str) -> bool {
        self.text.starts_with("openat(") && self.text.contains(&format!("/{file}\""))
    }
}
