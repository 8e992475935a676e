//! `forward_to_http`: Doorbell, and a consumer in each of the languages that this machine has.

#[allow(clippy::duplicate_mod, reason = "what starts a Redis is only there with that feature")]
#[path = "../support/ports.rs"]
mod ports;

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread::{scope, sleep},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use doorbell::clock::{Clock, SystemClock, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};

use self::ports::free_port;
use super::{
    post,
    support::{Service, doorbell},
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/forward_to_http");
const KEY: &[u8] = b"a key that nobody but this test has";

fn secret() -> String {
    format!("whsec_{}", BASE64_STANDARD.encode(KEY))
}

#[test]
fn a_consumer_in_python() {
    if let Some(python) = python() {
        keeps_the_contract(|port| {
            let mut command = Command::new(&python);
            command.arg(format!("{FOLDER}/consumer.py")).env("PORT", port.to_string());
            command
        });
    }
}

#[test]
fn a_consumer_in_node() {
    if is_there("node") {
        keeps_the_contract(|port| {
            let mut command = Command::new("node");
            command.arg(format!("{FOLDER}/consumer.mjs")).env("PORT", port.to_string());
            command
        });
    }
}

#[test]
fn a_consumer_in_php() {
    if is_there("php") {
        keeps_the_contract(|port| {
            let mut command = Command::new("php");
            command.args(["-S", &format!("127.0.0.1:{port}"), &format!("{FOLDER}/consumer.php")]);
            command
        });
    }
}

/// What Doorbell and a consumer promise each other.
fn keeps_the_contract(command: impl Fn(u16) -> Command) {
    let folder = tempfile::tempdir().unwrap();
    let mut consumer = Consumer::start(folder.path(), &command);
    let body = br#"{"object":"stock","object_id":512}"#;
    let now = SystemClock.now();
    let right = signed(KEY, "job-1", now, body);

    let unsigned = without(&right, "webhook-signature");
    let late = signed(KEY, "job-1", now.minus(Duration::from_secs(3600)), body);
    let renamed = {
        let mut headers = right.clone();
        headers.insert("webhook-id", HeaderValue::from_static("job-2"));
        headers
    };
    for (what, headers, body) in [
        ("no signature", &unsigned, &body[..]),
        ("another's signature", &signed(b"another key", "job-1", now, body), body),
        ("an old signature", &late, body),
        ("another id", &renamed, body),
        ("another body", &right, br#"{"object":"stock","object_id":513}"#),
    ] {
        let answer = post(&consumer.url(), headers, body);
        assert!(
            answer.starts_with("HTTP/1.1 401 ") || answer.starts_with("HTTP/1.0 401 "),
            "{what}: {answer}"
        );
    }
    consumer.takes(&right, body);
    assert_eq!(
        consumer.effect(),
        "took effect: poster.stock.changed job-1",
        "and none of those before it did"
    );
    // As after an answer that was lost: the same id at another time.
    consumer.takes(&signed(KEY, "job-1", now.plus(Duration::from_secs(1)), body), body);
    assert_eq!(consumer.effect(), "known already: poster.stock.changed job-1");
    // While a secret is changed there are two signatures.
    let mut changing = signed(KEY, "job-3", now, body);
    let both = format!("v1,AAAA {}", changing["webhook-signature"].to_str().unwrap());
    changing.insert("webhook-signature", HeaderValue::try_from(both).unwrap());
    consumer.takes(&changing, body);
    assert_eq!(consumer.effect(), "took effect: poster.stock.changed job-3");
    consumer.takes_many_at_once(now, body);

    drop(consumer);
    let mut consumer = Consumer::start(folder.path(), &command);
    consumer.takes(&right, body);
    assert_eq!(consumer.effect(), "known already: poster.stock.changed job-1", "a restart forgets nothing");

    let text = fs::read_to_string(format!("{FOLDER}/doorbell.toml")).unwrap();
    let text = text
        .replace("127.0.0.1:3000", &format!("127.0.0.1:{}", consumer.port))
        .replace("${WEBHOOK_SECRET}", &secret());
    fs::write(folder.path().join("doorbell.toml"), text).unwrap();
    let service = Service::start(folder.path(), &[]);
    let send = format!(
        "send poster --to http://{}/in/cafe --secret 5d8e1c0f47a94b62b3f0a7c1e9d24680 --url {}",
        service.ingress(),
        service.admin()
    );
    doorbell(folder.path(), &send).with_code(0);
    let effect = consumer.effect();
    assert!(effect.starts_with("took effect: poster.stock.changed "), "{effect}");
    assert!(service.terminate().success());
}

/// The headers of Standard Webhooks, and one of `CloudEvents`.
fn signed(key: &[u8], id: &str, at: Timestamp, body: &[u8]) -> HeaderMap {
    let time = at.as_seconds();
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key)
        .unwrap()
        .chain_update(format!("{id}.{time}."))
        .chain_update(body)
        .finalize();
    let signature = format!("v1,{}", BASE64_STANDARD.encode(mac.into_bytes()));
    [
        ("content-type", "application/json"),
        ("ce-type", "poster.stock.changed"),
        ("ce-subject", "stock/512"),
        ("webhook-id", id),
        ("webhook-timestamp", &time.to_string()),
        ("webhook-signature", &signature),
    ]
    .into_iter()
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
    .collect()
}

fn without(headers: &HeaderMap, name: &str) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove(name);
    headers
}

/// A running consumer. Killed when it is dropped.
struct Consumer {
    process: Child,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Consumer {
    /// Starts it in a folder, and waits until it listens.
    fn start(folder: &Path, command: &impl Fn(u16) -> Command) -> Self {
        // Somebody else may take a free port before the consumer does.
        (0..3).find_map(|_| Self::try_start(folder, command)).unwrap_or_else(|| {
            let log = fs::read_to_string(folder.join("consumer.log")).unwrap();
            panic!("the consumer ends at once: {log}")
        })
    }

    /// `None` if it ends instead.
    fn try_start(folder: &Path, command: &impl Fn(u16) -> Command) -> Option<Self> {
        let port = free_port();
        let mut process = command(port)
            .current_dir(folder)
            .env("WEBHOOK_SECRET", secret())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.join("consumer.log")).unwrap())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut consumer = Self { process, output, port };
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if consumer.process.try_wait().unwrap().is_some() {
                return None;
            }
            sleep(Duration::from_millis(20));
        }
        Some(consumer)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    fn takes(&self, headers: &HeaderMap, body: &[u8]) {
        let answer = post(&self.url(), headers, body);
        assert!(answer.lines().next().is_some_and(|line| line.contains(" 204")), "{answer}");
    }

    /// As Doorbell has it: several jobs at once, beside connections that are open and not used.
    fn takes_many_at_once(&mut self, now: Timestamp, body: &[u8]) {
        let _unused: Vec<_> = (0..4).map(|_| TcpStream::connect(("127.0.0.1", self.port)).unwrap()).collect();
        let ids: BTreeSet<_> = (0..16).map(|number| format!("many-{number}")).collect();
        scope(|threads| {
            for id in &ids {
                let consumer = &*self;
                threads.spawn(move || {
                    consumer.takes(&signed(KEY, id, now, body), body);
                });
            }
        });
        let effects: BTreeSet<_> = ids.iter().map(|_| self.effect()).collect();
        let expected = ids.iter().map(|id| format!("took effect: poster.stock.changed {id}")).collect();
        assert_eq!(effects, expected);
    }

    /// The next effect that it tells of.
    fn effect(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.output.read_line(&mut line).unwrap();
            assert!(line.ends_with('\n'), "the consumer ended: {line:?}");
            if !line.starts_with("listening on ") {
                return line.trim_end().to_owned();
            }
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // An error means that it has ended, which is as well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says that a test is skipped. A failure where none may be: in CI nobody would read it.
#[track_caller]
fn skip(why: &str) {
    assert!(std::env::var_os("DOORBELL_NO_SKIP").is_none(), "{why}; here this test must not be skipped");
    eprintln!("skipped: {why}");
}

/// Whether this machine has the program. If not, the test is skipped and says so.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        skip(&format!("there is no {program} on this machine"));
    }
    there
}

/// A Python with the package `standardwebhooks`: the machine's own, or one in an environment that is kept for the next
/// run. `None` where there is neither, and no way to get it.
fn python() -> Option<PathBuf> {
    if !is_there("python3") {
        return None;
    }
    let has_it = |python: &Path| {
        let asked =
            Command::new(python).args(["-c", "import standardwebhooks"]).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("standardwebhooks");
    let (own, kept) = (PathBuf::from("python3"), environment.join("bin/python3"));
    for python in [own, kept.clone()] {
        if has_it(&python) {
            return Some(python);
        }
    }
    let run = |program: &Path, arguments: &[&str]| {
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut error = String::new();
        process.stderr.take()?.read_to_string(&mut error).ok()?;
        let succeeded = process.wait().ok()?.success();
        if !succeeded {
            eprintln!("{}: {error}", program.display());
        }
        succeeded.then_some(())
    };
    let installed = run(Path::new("python3"), &["-m", "venv", environment.to_str()?])
        .and_then(|()| run(&kept, &["-m", "pip", "install", "--quiet", "standardwebhooks"]));
    if installed.is_none() {
        skip("the package standardwebhooks is not here and can't be installed");
    }
    installed.map(|()| kept)
}
