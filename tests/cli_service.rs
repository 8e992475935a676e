//! The command and the service together: what an operator types, with a service running and without.
#![cfg(all(feature = "cli", unix))]

mod support;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::Stdio,
};

use serde_json::{Value, json};
use support::{Said, Service, command, doorbell};
use tempfile::TempDir;
use tokio::net::TcpSocket;

/// Every secret of the configuration below; none may ever be printed or logged.
const SECRETS: [&str; 5] = [
    "path1e6b7d3c5a9f4802",
    "Bearer-9f3a6c1d77e2",
    "plain5d8e1c0f47a94b62",
    "whsec_c2VjcmV0LW9mLWEtd2ViaG9vaw==",
    "c2VjcmV0LW9mLWEtd2ViaG9vaw==",
];

/// A source for every sender. What comes to `broken` and `later` can't be handled.
const SOURCES: &str = include_str!("support/sources.toml");

const STEPS: [&str; 6] = ["sent", "verified", "deduped", "durable", "acknowledged", "handled"];

/// A folder with the configuration, and a service on it that the configuration tells where to find.
fn service(arguments: &[&str]) -> (TempDir, Service) {
    let folder = tempfile::tempdir().expect("a folder");
    configure(folder.path(), "127.0.0.1:0", "127.0.0.1:0");
    let service = start(folder.path(), arguments);
    (folder, service)
}

fn start(folder: &Path, arguments: &[&str]) -> Service {
    let service = Service::start(folder, arguments);
    configure(folder, service.ingress(), service.admin().trim_start_matches("http://"));
    service
}

fn configure(folder: &Path, ingress: &str, admin: &str) {
    let text = SOURCES.replace("INGRESS", ingress).replace("ADMIN", admin);
    fs::write(folder.join("doorbell.toml"), text).expect("a configuration");
}

fn steps(said: &Said) -> Vec<String> {
    said.lines().iter().map(|line| line["step"].as_str().unwrap_or_default().to_owned()).collect()
}

#[track_caller]
fn shows_no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{text}");
    }
}

/// The ids of the deliveries that `list` finds.
fn listed(folder: &Path, conditions: &str) -> Vec<String> {
    let page = doorbell(folder, &format!("list --json {conditions}")).with_code(0).json();
    let deliveries = page["deliveries"].as_array().expect("deliveries");
    deliveries.iter().map(|delivery| delivery["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn every_sender_is_played_and_its_delivery_handled() {
    let (folder, service) = service(&[]);
    for provider in [
        "kladana",
        "quable",
        "poster",
        "shareactor",
        "github --source repo",
        "stripe",
        "shopify",
        "slack",
        "svix",
        "standard-webhooks",
    ] {
        let said = doorbell(folder.path(), &format!("send {provider} --json")).with_code(0);
        assert_eq!(steps(&said), STEPS, "{said:#?}");
        let lines = said.lines();
        assert_eq!((&lines[2]["duplicate"], &lines[5]["route"]), (&json!(false), &json!("log")));
        shows_no_secret(&format!("{said:?}"));
    }
    let said = doorbell(folder.path(), "send kladana --sample kladana-several").with_code(0);
    let labels: Vec<_> = said.out.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(labels, [&STEPS[..], &["handled"; 2]].concat(), "three events, three jobs");
    assert!(said.out.contains("product.update, product.update, product.update"), "{}", said.out);
    shows_no_secret(&said.out);

    let said = doorbell(folder.path(), "send github").with_code(2);
    assert!(
        said.error.contains("repo (github), broken (github), later (github)")
            && said.error.contains("--source"),
        "{said:?}"
    );
    let said = doorbell(folder.path(), "send stripe --source repo").with_code(2);
    assert!(said.error.contains("\"repo\""), "{said:?}");
    assert!(service.terminate().success());
    let log = fs::read_to_string(folder.path().join("service.log")).expect("a log");
    assert!(log.contains("customerorder.update"), "{log}");
    shows_no_secret(&log);
}

#[test]
fn a_repeated_delivery_is_recognised_and_handled_once() {
    let (folder, _service) = service(&[]);
    for provider in ["kladana", "poster", "slack"] {
        let said = doorbell(folder.path(), &format!("send {provider} --duplicate --json")).with_code(0);
        let lines = said.lines();
        assert_eq!(steps(&said), [&STEPS[..], &STEPS, &["summary"]].concat());
        assert_eq!(
            lines[8],
            json!({ "number": 2, "step": "deduped", "duplicate": true, "original": lines[3]["delivery"] })
        );
        assert_eq!(lines[12]["handled"], 2);
    }
    assert_eq!(listed(folder.path(), "").len(), 3);
    let said = doorbell(folder.path(), "send quable --count 3 --no-wait --json").with_code(0);
    assert_eq!(said.lines().last().expect("a summary")["acknowledged"], 3);
    assert_eq!(listed(folder.path(), "--source pim").len(), 3);
}

#[test]
fn tests_and_bodies_of_ones_own() {
    let (folder, _service) = service(&[]);
    let said = doorbell(folder.path(), "send poster --test --json").with_code(0);
    assert_eq!(steps(&said), [&STEPS[..5], &["test"]].concat(), "{said:#?}");
    // An empty probe that proves nothing is answered, and not kept.
    let said = doorbell(folder.path(), "send shareactor --test --json").with_code(0);
    assert_eq!(steps(&said), ["sent", "acknowledged"], "{said:#?}");
    assert_eq!(listed(folder.path(), "--source shop").len(), 0);
    let said = doorbell(folder.path(), "send kladana --test").with_code(2);
    assert!(said.error.contains("poster and shareactor"), "{said:?}");
    let said = doorbell(folder.path(), "send kladana --sample stripe").with_code(2);
    assert!(said.error.contains("kladana, kladana-several, kladana-stock"), "{said:?}");

    fs::write(folder.path().join("body.json"), r#"{"id":"evt_own","type":"own.event"}"#).expect("a body");
    let said = doorbell(folder.path(), "send stripe --body body.json --json").with_code(0);
    assert_eq!(said.lines()[1]["kinds"], json!(["own.event"]));
    fs::write(folder.path().join("body.json"), "no JSON").expect("a body");
    let said = doorbell(folder.path(), "send quable --body body.json --json").with_code(1);
    assert_eq!(steps(&said)[4..], ["acknowledged", "quarantined"], "{said:#?}");
}

#[test]
fn a_refused_sender_tries_as_often_as_it_does_in_truth() {
    let (folder, _service) = service(&[]);
    let said = doorbell(folder.path(), "send quable --secret wrong-one --fast --json").with_code(1);
    let once =
        ["sent", "refused", "failed", "waiting"].map(|step| step.replace("failed", "not_acknowledged"));
    let expected = [&once[..], &once, &once[..3], &["given_up".to_owned()]].concat();
    assert_eq!(steps(&said), expected, "{said:#?}");
    let lines = said.lines();
    assert_eq!((&lines[1]["reason"], &lines[2]["status"]), (&json!("wrong_proof"), &json!(401)));
    assert_eq!((&lines[3]["seconds"], &lines[3]["really_seconds"]), (&json!(300.0), &json!(0.2)));
    assert!(!said.out.contains("wrong-one"));

    let said = doorbell(folder.path(), "send poster --secret wrong --no-retry --json").with_code(1);
    assert_eq!(steps(&said), ["sent", "refused", "not_acknowledged", "given_up"]);
    let answer = doorbell(folder.path(), "refused --json").with_code(0).json();
    assert_eq!(answer["total"], 4);
    assert_eq!(answer["refused"][0]["source"], "cafe");
    assert!(doorbell(folder.path(), "refused").with_code(0).out.contains("wrong_proof"));
}

#[test]
fn any_other_receiver_is_judged_as_the_vendor_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/hooks/shop/hush", listener.local_addr().expect("its address"));
    let replies = std::thread::spawn(move || {
        ["202 Accepted", "500 Internal Server Error", "204 No Content"].map(|status| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let start = head.len();
                reader.read_line(&mut head).expect("a line");
                if let Some(value) = head[start..].to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().expect("a number");
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("the body");
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .expect("a reply");
            (head, body)
        })
    });
    let said = doorbell(folder.path(), &format!("send kladana --to {url} --json")).with_code(0);
    let requests = replies.join().expect("three requests");
    let failed = ["sent", "not_acknowledged", "waiting"];
    assert_eq!(steps(&said), [&failed[..], &failed, &["sent", "acknowledged"]].concat());
    let lines = said.lines();
    assert_eq!((&lines[1]["why"], &lines[2]["seconds"]), (&json!("200 or 204 expected"), &json!(0.0)));
    assert_eq!(requests[0], requests[1], "the same id and body each time");
    assert_eq!(requests[1], requests[2]);
    assert!(requests[0].0.starts_with("POST /hooks/shop/hush?requestId="), "{}", requests[0].0);
    assert!(!said.out.contains("hush"), "what may be a path secret is not shown");

    let said = doorbell(folder.path(), &format!("send stripe --to {url}")).with_code(2);
    assert!(said.error.contains("--secret"), "{said:?}");
    let said = doorbell(folder.path(), &format!("send kladana --to {url} --json")).with_code(1);
    assert_eq!(steps(&said).iter().filter(|step| *step == "sent").count(), 4, "nobody listens any more");
}

#[test]
fn data_commands_work_with_and_without_a_service() {
    let (folder, service) = service(&[]);
    let folder = folder.path();
    doorbell(folder, "send svix").with_code(0);
    doorbell(folder, "send quable").with_code(0);
    let said = doorbell(folder, "send github --source broken --json").with_code(1);
    assert_eq!(steps(&said)[4..], ["acknowledged", "not_handled"], "{said:#?}");
    data_commands(folder, true);
    doorbell(folder, "dead discard --all").with_code(0);
    doorbell(folder, "send github --source broken").with_code(1);
    assert!(service.terminate().success());

    data_commands(folder, false);
    fs::remove_file(folder.join("data/admin-token")).expect("a token");
    assert_eq!(listed(folder, "").len(), 4, "without a service there is no need for a token");
    // What was replayed meanwhile is run by the next service.
    let service = start(folder, &[]);
    assert!(!service.token().is_empty());
    doorbell(folder, "send poster").with_code(0);
    assert!(!service.kill().success());
    assert_eq!(listed(folder, "").len(), 5, "also after it was killed");
}

/// What there is to list, show and replay: one delivery that is done, one that ended dead.
fn data_commands(folder: &Path, running: bool) {
    let done = listed(folder, "--state done --source svix");
    let dead = listed(folder, "--state dead");
    assert_eq!((done.len(), dead.len()), (1, 1));
    assert!(doorbell(folder, "list").with_code(0).out.contains(&dead[0]));

    let shown = doorbell(folder, &format!("show {} --json", done[0])).with_code(0).json();
    assert_eq!((&shown["source"], &shown["jobs"][0]["state"]), (&json!("svix"), &json!("done")));
    assert!(shown["body"].as_str().is_some_and(|body| body.contains("invoice.paid")), "{shown}");
    let shown = doorbell(folder, &format!("show {}", dead[0])).with_code(0).out;
    assert!(shown.contains("dead-end"), "{shown}");
    shows_no_secret(&shown);
    doorbell(folder, "show 00000000-0000-7000-8000-000000000000").with_code(1);

    let letters = doorbell(folder, "dead list --json").with_code(0).json();
    assert_eq!(letters["jobs"][0]["route"], "dead-end");
    if running {
        let other = listed(folder, "--source pim");
        let said = doorbell(folder, &format!("replay {}", other[0])).with_code(0);
        assert!(said.out.starts_with("Replayed 1 job of 1 delivery") && said.error.is_empty(), "{said:?}");
    } else {
        let said = doorbell(folder, "dead replay --all --json").with_code(0);
        assert_eq!(said.json()["replayed"], 1);
        assert!(said.error.contains("doorbell serve"), "{said:?}");
        assert_eq!(listed(folder, "--state queued"), dead);
        for line in ["tail", "refused"] {
            let said = doorbell(folder, line).with_code(1);
            assert!(said.error.contains("no service answers"), "{said:?}");
        }
    }
    doorbell(folder, "check").with_code(0);
}

#[test]
fn tail_follows_what_happens() {
    let (folder, service) = service(&[]);
    let mut tail = command(folder.path())
        .args(["tail", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut lines = BufReader::new(tail.stdout.take().expect("a pipe")).lines();
    // It may not have begun to watch when the first delivery comes; a later one it sees.
    let mut seen: Option<Value> = None;
    let (line_of, received) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            if line_of.send(line).is_err() {
                break;
            }
        }
    });
    for _ in 0..100 {
        if seen.is_some() {
            break;
        }
        doorbell(folder.path(), "send poster").with_code(0);
        seen = received.try_recv().ok().map(|line| serde_json::from_str(&line).expect("JSON"));
    }
    let seen = seen.expect("an event");
    assert!(seen["type"] == "delivery" || seen["type"] == "attempt", "{seen}");
    assert!(service.terminate().success());
    assert!(tail.wait().expect("it ends").success(), "the service has ended the feed");
    drop(received);
    reader.join().expect("it ends with the pipe");
}

#[test]
fn a_data_folder_has_one_service() {
    let (folder, service) = service(&[]);
    let line = "serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0";
    let said = doorbell(folder.path(), line).with_code(1);
    assert!(said.error.contains("in use by another process") && said.error.contains("journal-0"), "{said:?}");

    // The configuration names another admin address than the service has; nobody listens there as long as the socket is
    // kept.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let unused = socket.local_addr().expect("its number").to_string();
    configure(folder.path(), "127.0.0.1:0", &unused);
    for line in ["list", "drain"] {
        let said = doorbell(folder.path(), line).with_code(1);
        let clear =
            ["data", "a service runs on it", &unused, "--url"].iter().all(|part| said.error.contains(part));
        assert!(clear, "{said:?}");
    }
    // The sender's side is seen all the same; that the jobs were handled is not.
    let line = format!("send poster --to {} --json", service.url("cafe"));
    let said = doorbell(folder.path(), &line).with_code(1);
    assert_eq!(steps(&said), ["sent", "verified", "durable", "acknowledged", "unwatched"], "{said:#?}");
    doorbell(folder.path(), &format!("{line} --no-wait")).with_code(0);
}

#[test]
fn a_foreign_listener_at_the_admin_address_never_sees_the_token() {
    let (folder, service) = service(&[]);
    let folder = folder.path();
    doorbell(folder, "send svix").with_code(0);
    assert!(service.terminate().success());
    let foreign = TcpListener::bind("127.0.0.1:0").expect("a port");
    configure(folder, "127.0.0.1:0", &foreign.local_addr().expect("its address").to_string());
    assert_eq!(listed(folder, "").len(), 1, "no service has the data folder, so it is read here");
    let said = doorbell(folder, "refused").with_code(1);
    assert!(said.error.contains("no service answers"), "{said:?}");
    foreign.set_nonblocking(true).expect("a socket");
    let called = foreign.accept();
    assert!(called.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{called:?}");
}

#[test]
fn what_only_was_taken_in_is_drained_later() {
    let (folder, service) = service(&["--role", "ingress"]);
    let folder = folder.path();
    doorbell(folder, "send slack --no-wait").with_code(0);
    doorbell(folder, "send github --source broken --no-wait").with_code(0);
    let said = doorbell(folder, "send kladana --timeout 10ms --json").with_code(1);
    let last = said.lines().pop().expect("a step");
    assert_eq!((&last["step"], &last["state"]), (&json!("unsettled"), &json!("queued")));
    assert!(service.terminate().success());
    assert_eq!(listed(folder, "--state queued").len(), 3);

    let said = doorbell(folder, "drain --dir data --json").with_code(0);
    let left = said.lines().pop().expect("a last line");
    assert_eq!((&left["queued"], &left["dead"]), (&json!(0), &json!(1)));
    assert_eq!(listed(folder, "--state done").len(), 2);
    assert!(doorbell(folder, "drain").with_code(0).out.contains("Nothing is left to run"));
    let said = doorbell(folder, "drain --dir nowhere").with_code(2);
    assert!(said.error.contains("nowhere") && !folder.join("nowhere").exists(), "{said:?}");
}

#[test]
fn a_job_that_is_tried_again_later_is_not_waited_for() {
    let (folder, service) = service(&[]);
    let folder = folder.path();
    let said = doorbell(folder, "send github --source later --timeout 10m --json").with_code(1);
    assert_eq!(steps(&said)[4..], ["acknowledged", "retrying", "unsettled"], "{said:#?}");
    let lines = said.lines();
    assert!(lines[5]["error"].is_string() && lines[5]["due_at"].is_string(), "{said:#?}");
    assert!(service.terminate().success());

    let said = doorbell(folder, "drain --json").with_code(1);
    let left = said.lines().pop().expect("a last line");
    assert_eq!((&left["retrying"], &left["next_due"]), (&json!(1), &lines[5]["due_at"]));
    let file = folder.join("doorbell.toml");
    let text = fs::read_to_string(&file).expect("a configuration").replace("hourly", "renamed");
    fs::write(&file, text).expect("a configuration");
    let said = doorbell(folder, "drain").with_code(1);
    assert!(said.out.contains("routes that are not configured: hourly"), "{said:?}");
}

#[test]
fn without_a_configuration_there_is_a_service_to_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start(folder.path(), &[]);
    for provider in ["kladana", "quable", "poster", "shareactor"] {
        let (url, admin) = (service.url(provider), service.admin());
        let said =
            doorbell(folder.path(), &format!("send {provider} --to {url} --url {admin} --json")).with_code(0);
        assert_eq!(steps(&said), STEPS, "{said:#?}");
    }
    let page = doorbell(folder.path(), &format!("list --json --url {}", service.admin())).with_code(0).json();
    assert_eq!(page["deliveries"].as_array().map(Vec::len), Some(4));
    let token = service.token();
    let log = fs::read_to_string(folder.path().join("service.log")).expect("a log");
    assert!(!log.contains(&token), "{log}");
}

#[test]
fn a_folder_with_nothing_in_it_has_nobody_to_send_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let said = doorbell(folder.path(), "send kladana").with_code(1);
    assert!(said.error.contains("doorbell serve") && said.error.contains("--config"), "{said:?}");
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn health_says_whether_the_service_is_ready() {
    let (folder, service) = service(&[]);
    let said = doorbell(folder.path(), "health").with_code(0);
    assert_eq!(said.out, "ready\n");
    assert_eq!(
        doorbell(folder.path(), "health --live --json").with_code(0).json(),
        json!({ "status": "alive" })
    );
    // The other listener is no admin listener.
    let elsewhere = format!("health --url http://{}", service.ingress());
    let said = doorbell(folder.path(), &elsewhere).with_code(1);
    assert!(said.error.contains("404") && said.error.contains("--url"), "{said:?}");
    assert!(service.terminate().success());
    let said = doorbell(folder.path(), "health").with_code(1);
    assert!(said.error.contains("/readyz") && said.error.contains("is the service running"), "{said:?}");
}
