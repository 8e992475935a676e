//! The command line's contract: what it prints, and how it exits (0 done, 1 failed, 2 usage or configuration).
#![cfg(feature = "cli")]

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

const BODY: &[u8] = br#"{"account":"demo-cafe","object":"transaction","object_id":41873,"action":"closed","time":"1767168000","verify":"681f0763260c9bd0c2b40a54d7a6f69a","account_number":"401122"}"#;
const SECRET: &str = "5d8e1c0f47a94b62b3f0a7c1e9d24680";

fn doorbell(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_doorbell"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // A command that reads no input may have ended already.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("the command ends")
}

#[track_caller]
fn text(output: &Output, code: i32) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let both = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{both:?}");
    both
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    let folder = folder();
    for arguments in [&["nonsense"][..], &["check", "--nonsense"], &["verify"], &["verify", "nonsense"]] {
        let (_, error) = text(&doorbell(folder.path(), arguments, b""), 2);
        assert!(!error.is_empty(), "{arguments:?}");
    }
    let (help, _) = text(&doorbell(folder.path(), &["--help"], b""), 0);
    for command in [
        "serve", "init", "check", "verify", "send", "drain", "list", "show", "replay", "dead", "refused",
        "tail", "--config", "--json", "--url",
    ] {
        assert!(help.contains(command), "{help}");
    }
}

#[test]
fn init_writes_a_file_that_check_finds_right() {
    let folder = folder();
    let (said, _) = text(&doorbell(folder.path(), &["init"], b""), 0);
    assert!(said.contains("export POSTER_SECRET="), "{said}");
    let (_, again) = text(&doorbell(folder.path(), &["init"], b""), 1);
    assert!(again.contains("--force"), "{again}");

    let (report, _) = text(&doorbell(folder.path(), &["check"], b""), 2);
    assert!(report.contains("the environment has no variable POSTER_SECRET"), "{report}");

    let variables = [
        "KLADANA_PATH_SECRET",
        "QUABLE_AUTHORIZATION",
        "POSTER_SECRET",
        "SHAREACTOR_SECRET",
        "SHAREACTOR_PATH_SECRET",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_doorbell"))
        .args(["check", "--strict", "--json"])
        .current_dir(folder.path())
        .env_clear()
        .envs(variables.map(|variable| (variable, SECRET)))
        .output()
        .unwrap();
    let (report, _) = text(&output, 0);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["right"], true);
    assert!(!report.to_string().contains(SECRET));
}

#[test]
fn check_without_a_file_is_about_the_embedded_default_and_writes_nothing() {
    let folder = folder();
    let (report, _) = text(&doorbell(folder.path(), &["check"], b""), 0);
    assert!(
        report.contains("the embedded default holds") && report.contains("The configuration is right."),
        "{report}"
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
#[cfg(feature = "redis")]
fn check_says_that_redis_is_away() {
    let folder = folder();
    // Nobody listens on a port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text_of_file = format!(
        "[queue]\nurl = \"redis://:{SECRET}@127.0.0.1:{port}\"\n[[source]]\nname = \"cafe\"\nprovider = \"poster\"\n\
         secret = \"{SECRET}\"\n[[route]]\nname = \"all\"\ntarget = {{ log = {{}} }}"
    );
    std::fs::write(folder.path().join("doorbell.toml"), text_of_file).unwrap();
    let (report, _) = text(&doorbell(folder.path(), &["check"], b""), 0);
    for part in [
        "What is likely not meant so",
        "Redis, connection: it can't be asked",
        &format!("redis://:[REDACTED]@127.0.0.1:{port}"),
        "Redis is away: nothing is lost",
        "The configuration is right.",
    ] {
        assert!(report.contains(part), "{part:?} is missing in {report}");
    }
    assert!(!report.contains(SECRET), "{report}");
    text(&doorbell(folder.path(), &["check", "--strict"], b""), 2);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_wrong_configuration_exits_with_2() {
    let folder = folder();
    let file = folder.path().join("other.toml");
    std::fs::write(&file, "[ingress]\nlisen = 1").unwrap();
    let (report, _) = text(&doorbell(folder.path(), &["check", "--config", "other.toml"], b""), 2);
    assert!(report.contains("line 2: [ingress], `lisen`: unknown key; did you mean `listen`?"), "{report}");
    let (_, error) =
        text(&doorbell(folder.path(), &["verify", "--source", "a", "--config", "other.toml"], b""), 2);
    assert!(error.contains("other.toml, line 2"), "{error}");
    let (report, _) = text(&doorbell(folder.path(), &["check", "--config", "none.toml"], b""), 2);
    assert!(report.contains("none.toml") && report.contains("can't be read"), "{report}");
}

#[test]
fn verify_says_what_a_request_is() {
    let folder = folder();
    let verify = |arguments: &[&str], body: &[u8], code| {
        let arguments: Vec<_> = [&["verify"], arguments].concat();
        text(&doorbell(folder.path(), &arguments, body), code)
    };
    let (said, _) = verify(&["poster", "--secret", SECRET], BODY, 0);
    assert!(
        said.starts_with("accepted") && said.contains("transaction.closed about transaction/41873"),
        "{said}"
    );

    let (said, _) = verify(&["poster", "--secret", "wrong", "--secret", SECRET, "--json"], BODY, 0);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["verdict"], &said["events"][0]["kind"]),
        (&"accepted".into(), &"transaction.closed".into())
    );

    let (said, _) = verify(&["poster", "--secret", "wrong"], BODY, 1);
    assert!(said.starts_with("refused (wrong_proof)") && !said.contains("wrong'"), "{said}");

    let body = br#"{"events":[{"meta":{"type":"product","href":"https://x/entity/product/7944ef04-f831-11e5-7a69-971500188b19"},"action":"UPDATE"}]}"#;
    let (said, _) = verify(&["kladana", "--query", "requestId=r1", "--path-secret-matched"], body, 0);
    assert!(said.contains("r1") && said.contains("product.update"), "{said}");
    verify(&["kladana"], body, 1);
    let (_, error) = verify(&["kladana", "--secret", "hunter2"], body, 2);
    assert!(error.contains("signs nothing") && !error.contains("hunter2"), "{error}");
    let (_, error) = verify(&["poster"], BODY, 2);
    assert!(error.contains("--secret"), "{error}");

    let quable = br#"{"uuid":"u","code":"document.update","resource":{"type":"document","code":"c"}}"#;
    let header = "Authorization: Bearer hunter2";
    verify(&["quable", "--secret", "Bearer hunter2", "--header", header], quable, 0);
    verify(&["quable", "--secret", "Bearer other", "--header", header], quable, 1);
    let (_, error) = verify(&["quable", "--secret", "x", "--header", "Bearer-hunter2"], quable, 2);
    assert!(error.contains("a name, a colon and a value") && !error.contains("hunter2"), "{error}");

    let (_, error) = verify(&["hmac", "--secret", SECRET], b"{}", 2);
    assert!(error.contains("--source"), "{error}");
}

#[test]
fn verify_takes_a_source_of_the_configuration() {
    let folder = folder();
    let config = format!("[[source]]\nname = \"cafe\"\nprovider = \"poster\"\nsecret = \"{SECRET}\"");
    std::fs::write(folder.path().join("doorbell.toml"), config).unwrap();
    text(&doorbell(folder.path(), &["verify", "--source", "cafe"], BODY), 0);
    text(&doorbell(folder.path(), &["verify", "--source", "cafe"], b"{}"), 1);
    let (_, error) = text(&doorbell(folder.path(), &["verify", "--source", "shop"], BODY), 2);
    assert!(error.contains("\"shop\""), "{error}");
}

#[test]
fn data_commands_say_what_they_miss() {
    let folder = folder();
    let unused =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let config = format!(
        "[admin]\nlisten = \"{unused}\"\n[[source]]\nname = \"cafe\"\nprovider = \"poster\"\nsecret = \"{SECRET}\""
    );
    std::fs::write(folder.path().join("doorbell.toml"), config).expect("a configuration");
    let (_, error) = text(&doorbell(folder.path(), &["list"], b""), 2);
    assert!(error.contains("no data folder data") && error.contains("doorbell serve"), "{error}");
    for command in ["refused", "tail"] {
        let (_, error) = text(&doorbell(folder.path(), &[command], b""), 1);
        assert!(error.contains("no service answers") && error.contains("doorbell serve"), "{error}");
    }
    assert!(!folder.path().join("data").exists(), "asking makes no data folder");

    let url = format!("http://{unused}");
    let (_, error) = text(&doorbell(folder.path(), &["list", "--url", &url], b""), 2);
    assert!(error.contains("admin-token") && error.contains("doorbell serve"), "{error}");

    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    std::fs::write(folder.path().join("data/admin-token"), "6f1d9c0e4b7a83d2\n").expect("a token");
    let (_, error) = text(&doorbell(folder.path(), &["list", "--json", "--url", &url], b""), 1);
    assert!(error.starts_with("{\"error\":") && error.contains(&url), "{error}");
    assert!(!error.contains("6f1d9c0e4b7a83d2"), "{error}");
}
