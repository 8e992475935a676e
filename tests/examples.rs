//! The examples do what they say: each is started, gets a delivery, shows its effect, and ends when it is told to.
#![cfg(all(unix, feature = "receiver"))]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

#[cfg(feature = "client")]
#[path = "examples/enrich.rs"]
mod enrich;
#[cfg(feature = "cli")]
#[path = "examples/forward.rs"]
mod forward;
#[cfg(feature = "cli")]
#[path = "support/played.rs"]
mod played;
#[cfg(feature = "redis")]
#[path = "examples/redis.rs"]
mod redis;
#[cfg(feature = "cli")]
#[allow(dead_code, reason = "the tests of the command use what is not used here")]
mod support;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use doorbell::{
    clock::{Clock, SystemClock, Timestamp},
    provider::Secret,
    testing::{Sample, SignedRequest},
};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue};
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
    #[cfg(feature = "cli")]
    {
        play("quickstart", &url);
        let effect = example.line();
        assert!(effect.starts_with("item ") && effect.ends_with(" left"), "{effect}");
    }
    example.stop();
}

#[test]
fn poster_stock() {
    let folder = tempfile::tempdir().unwrap();
    let mut example = Example::start_in(folder.path(), "poster_stock", &["127.0.0.1:0"], &[]);
    let url = example.line();
    let (_, secret) = url.rsplit_once(' ').unwrap();
    let changed = |at: Timestamp| {
        let request = Sample::Poster.request(Some(&Secret::from(secret)), at, 7).unwrap();
        let answer = post(&url, &request.headers, &request.body);
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"status":"accept"}"#),
            "{answer}"
        );
    };
    let now = SystemClock.now();
    changed(now);
    assert_eq!(example.line(), "item 7 in storage 1: 23.5 left");
    changed(now);
    changed(now.minus(Duration::from_secs(60)));
    assert_eq!(example.line(), "item 7: a newer level is known", "and the repeated one has no job");
    changed(now.plus(Duration::from_secs(60)));
    assert_eq!(example.line(), "item 7 in storage 1: 23.5 left");
    example.stop();

    #[cfg(feature = "cli")]
    {
        let stock = rusqlite::Connection::open(folder.path().join("stock.db")).unwrap();
        stock.execute("UPDATE handled SET at = unixepoch() - 99 * 86400", []).unwrap();
        support::doorbell(folder.path(), "replay --source cafe --state done").with_code(0);
        let mut example = Example::start_in(folder.path(), "poster_stock", &["127.0.0.1:0"], &[]);
        let url = example.line();
        for _ in 0..3 {
            assert_eq!(example.line(), "item 7: this job had its effect before");
        }
        let old = "SELECT count(*) FROM handled WHERE at < unixepoch() - 86400";
        let old: u32 = stock.query_one(old, [], |row| row.get(0)).unwrap();
        assert_eq!(old, 0, "what was replayed may be replayed again, as long after");
        play("poster_stock", &url);
        let effect = example.line();
        assert!(effect.starts_with("item ") && effect.ends_with(" in storage 1: 23.5 left"), "{effect}");
        example.stop();
    }
}

#[test]
fn custom_provider() {
    let mut example = Example::start("custom_provider", &["127.0.0.1:0"]);
    let url = example.line();
    let body = br#"{"batch":"b-17","events":[
        {"type":"Parcel.Sent","parcel":"4711","at":"2026-01-23T09:48:17Z"}, {"type":"Parcel.Lost","parcel":"4712"}]}"#;
    let signed = |secret: &[u8], body: &[u8]| {
        let mac = Hmac::<sha2::Sha256>::new_from_slice(secret).unwrap().chain_update(body).finalize();
        let signature = BASE64_STANDARD.encode(mac.into_bytes());
        HeaderMap::from_iter([(
            http::HeaderName::from_static("parcel-signature"),
            HeaderValue::try_from(signature).unwrap(),
        )])
    };
    let right = signed(b"a-made-up-secret", body);
    for (headers, body) in [
        (HeaderMap::new(), &body[..]),
        (signed(b"another-secret", body), body),
        (right.clone(), br#"{"batch":"b-17","events":[]}"#),
        (
            HeaderMap::from_iter([(
                http::HeaderName::from_static("parcel-signature"),
                HeaderValue::from_static("~"),
            )]),
            body,
        ),
    ] {
        let answer = post(&url, &headers, body);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    // The second one is a repetition.
    for _ in 0..2 {
        let answer = post(&url, &right, body);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(r#"{"received":true}"#), "{answer}");
    }
    let odd = br#"{"batch":"b-18","events":"none"}"#;
    let answer = post(&url, &signed(b"a-made-up-secret", odd), odd);
    assert!(answer.starts_with("HTTP/1.1 200 "), "what is proved and can't be read is kept aside: {answer}");
    let mut effects = [example.line(), example.line()];
    effects.sort();
    assert_eq!(
        effects,
        [
            r#"parcel.lost parcel/4712: {"parcel":"4712","type":"Parcel.Lost"}"#,
            r#"parcel.sent parcel/4711: {"at":"2026-01-23T09:48:17Z","parcel":"4711","type":"Parcel.Sent"}"#,
        ]
    );
    example.stop();
}

#[test]
fn existing_axum_app() {
    let mut example = Example::start("existing_axum_app", &["127.0.0.1:0"]);
    let url = example.line();
    Example::send(&url, Sample::Github, "a-made-up-secret", "");
    let effect = example.line();
    assert!(effect.starts_with("push 1 to refs/heads/") && effect.ends_with(", attempt 1"), "{effect}");
    #[cfg(feature = "cli")]
    {
        play("existing_axum_app", &url);
        let effect = example.line();
        assert!(effect.starts_with("push 2 to refs/heads/"), "{effect}");
    }
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

/// Plays the sender by the command in the example's own header, at the address that it has printed.
#[cfg(feature = "cli")]
fn play(name: &str, printed: &str) {
    let example = format!("{}/examples/{name}.rs", env!("CARGO_MANIFEST_DIR"));
    let header = std::fs::read_to_string(example).unwrap();
    let command = header.lines().find_map(|line| line.strip_prefix("//! cargo run -- send ")).unwrap();
    played::play(command, printed);
}

/// Posts it to the URL that stands in `printed` as a word of its own. All of the answer.
fn post(printed: &str, headers: &HeaderMap, body: &[u8]) -> String {
    let url = printed.split(' ').find_map(|word| word.strip_prefix("http://")).unwrap();
    let (host, path) = url.split_once('/').unwrap();
    let mut head = vec![
        format!("POST /{path} HTTP/1.1"),
        format!("Host: {host}"),
        "Connection: close".to_owned(),
        format!("Content-Length: {}", body.len()),
    ];
    head.extend(headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    let head = head.join("\r\n") + "\r\n\r\n";
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
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
