//! The examples do what they say: each is started, gets a delivery, shows its effect, and ends when it is told to.
#![cfg(all(unix, feature = "receiver"))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

#[cfg(feature = "client")]
#[path = "examples/enrich.rs"]
mod enrich;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use doorbell::{
    clock::{Clock, SystemClock},
    provider::Secret,
    testing::{Sample, SignedRequest},
};
use http::HeaderMap;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[test]
fn quickstart() {
    let mut example = Example::start("quickstart", &["127.0.0.1:0"]);
    let url = example.line();
    assert!(url.starts_with("POST http://127.0.0.1:") && url.contains("/in/cafe with the secret "), "{url}");
    let (_, secret) = url.rsplit_once(' ').unwrap();
    Example::send(&url, Sample::Poster, secret, r#"{"status":"accept"}"#);
    let effect = example.line();
    assert!(effect.starts_with("item ") && effect.ends_with(" left"), "{effect}");
    example.stop();
}

#[test]
fn existing_axum_app() {
    let mut example = Example::start("existing_axum_app", &["127.0.0.1:0"]);
    let url = example.line();
    Example::send(&url, Sample::Github, "a-made-up-secret", "");
    let effect = example.line();
    assert!(effect.starts_with("push 1 to refs/heads/") && effect.ends_with(", attempt 1"), "{effect}");
    example.stop();
}

#[test]
fn verify_only() {
    let mut example = Example::start("verify_only", &[]);
    let mut output = String::new();
    example.output.read_to_string(&mut output).unwrap();
    assert!(output.contains("product.update of product/"), "{output}");
    assert!(output.contains("answer: 200 OK") && output.contains("answer: 401 Unauthorized"), "{output}");
    assert!(example.process.wait().unwrap().success());
}

struct Example {
    process: Child,
    output: BufReader<ChildStdout>,
    /// Goes with the example, unless it is the test's.
    own_folder: Option<TempDir>,
}

impl Example {
    /// Starts an example in a folder of its own. `cargo test` has built it, unless it was asked for this file alone.
    fn start(name: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut example = Self::start_in(folder.path(), name, arguments, &[]);
        example.own_folder = Some(folder);
        example
    }

    /// The same in this folder, with these variables in its environment.
    fn start_in(folder: &Path, name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let test = std::env::current_exe().unwrap();
        let program = test.parent().unwrap().parent().unwrap().join("examples").join(name);
        assert!(program.exists(), "{} is not there; build it by `cargo build --examples`", program.display());
        let mut process = Command::new(program)
            .args(arguments)
            .envs(variables.iter().copied())
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self { process, output, own_folder: None }
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the example ended: {line:?}");
        line.trim_end().to_owned()
    }

    /// Sends it a sample as its sender would. `printed` holds the URL as a word of its own.
    fn send(printed: &str, sample: Sample, secret: &str, success: &str) {
        let SignedRequest { headers, body, .. } =
            sample.request(Some(&Secret::from(secret)), SystemClock.now(), 1).unwrap();
        let answer = post(printed, &headers, &body);
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&format!("\r\n\r\n{success}")),
            "{answer}"
        );
    }

    /// Asks it to end, as Ctrl-C does.
    fn stop(mut self) {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert!(self.process.wait().unwrap().success());
    }
}

/// Posts it to the URL that stands in `printed` as a word of its own. All of the answer.
fn post(printed: &str, headers: &HeaderMap, body: &[u8]) -> String {
    let url = printed.split(' ').find_map(|word| word.strip_prefix("http://")).unwrap();
    let (host, path) = url.split_once('/').unwrap();
    let headers = headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
    let headers = headers.collect::<Vec<_>>().concat();
    let length = body.len();
    let head = format!(
        "POST /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

impl Drop for Example {
    fn drop(&mut self) {
        // An error means that it has ended, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
