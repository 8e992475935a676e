//! Errors in `doorbell.toml` name the line, the key, what was expected and how to mend it, all of them at once, and
//! never show a secret.
#![cfg(feature = "cli")]

use std::{io, path::Path};

use doorbell::config::{Config, ConfigError};

const SECRET: &str = "s3cr3t-0123456789-abcdef";

fn env(name: &str) -> Option<String> {
    match name {
        "EMPTY" => Some(String::new()),
        "SPACED" => Some(format!("{SECRET} with spaces ")),
        name => (!name.starts_with("UNSET")).then(|| SECRET.to_owned()),
    }
}

fn files(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/secrets/empty") => Ok("\n".to_owned()),
        Some("/secrets/ca") => {
            Ok("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".to_owned())
        }
        Some("/secrets/spaced") => Ok(format!("{SECRET} with spaces\n")),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, env, files)
}

/// A source that is right, on four lines.
const CAFE: &str = "[[source]]\nname = \"cafe\"\nprovider = \"poster\"\nsecret = \"${S}\"\n";

/// Asserts that `text`, alone, has exactly one error with all these parts in it.
#[track_caller]
fn one_error(text: &str, parts: &[&str]) {
    let error = parse(text).expect_err(text);
    let message = error.to_string();
    assert_eq!(error.problems.len(), 1, "{text}\n{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is missing in: {message}\nfor:\n{text}");
    }
    assert!(!message.contains(SECRET) && !message.contains("hunter2"), "{message}");
}

/// The same for lines that come after [`CAFE`], so that the first of them is line 5.
#[track_caller]
fn one_error_after(lines: &str, parts: &[&str]) {
    one_error(&format!("{CAFE}{lines}"), parts);
}

/// The same for `[queue]` with a URL of Redis on line 6 and these lines from line 7 on.
#[cfg(feature = "redis")]
#[track_caller]
fn one_error_on_redis(url: &str, lines: &str, parts: &[&str]) {
    one_error_after(&format!("[queue]\n{url}\n{lines}"), parts);
}

#[test]
fn unknown_keys() {
    for (lines, parts) in [
        (
            "[ingress]\nlisten = \"127.0.0.1:1\"\nlisen = \"x\"",
            &[
                "line 7",
                "[ingress], `lisen`",
                "unknown key",
                "did you mean `listen`?",
                "body_limit",
                "public_url",
            ][..],
        ),
        ("[ingres]", &["line 5", "`ingres`", "did you mean `ingress`?", "admin", "worker"]),
        ("[admin]\npassword = \"hunter2\"", &["line 6", "[admin], `password`", "listen, token, token_file"]),
        ("[journal]\nfsync = false", &["line 6", "`fsync`", "max_size"]),
        ("[queue]\nredis = \"redis://:hunter2@x\"", &["line 6", "`redis`", "url"]),
        ("[worker]\nthreads = 4", &["line 6", "`threads`", "concurrency, max_crashes"]),
        (
            "secrt = \"hunter2\"",
            &["line 5", "[[source]] \"cafe\", `secrt`", "did you mean `secret`?", "provider"],
        ),
        (
            "[[route]]\nname = \"a\"\ntarget = { log = {} }\nretries = 3",
            &["line 8", "[[route]] \"a\", `retries`", "events", "timeout"],
        ),
        (
            "[[route]]\nname = \"a\"\ntarget = { http = \"http://x\", conc = 3 }",
            &["line 7", "`target`, `conc`", "concurrency", "rate"],
        ),
        ("[[route]]\nname = \"a\"\ntarget = { log = { level = 1 } }", &["line 7", "`level`"]),
        (
            "[[route]]\nname = \"a\"\nretry = { max = \"1h\", factor = 3 }\ntarget = { log = {} }",
            &["line 7", "`retry`, `factor`", "max_attempts"],
        ),
    ] {
        one_error_after(lines, parts);
    }
}

#[test]
fn wrong_values() {
    for (lines, parts) in [
        ("[ingress]\nlisten = \":8080\"", &["line 6", "`listen`", "\":8080\"", "\"127.0.0.1:8080\""][..]),
        ("[ingress]\nlisten = 8080", &["line 6", "is a number", "an IP address and a port"]),
        ("[ingress]\nlisten = \"${ADDRESS}\"", &["line 6", "\"${ADDRESS}\" (with the environment's value)"]),
        ("[ingress]\npublic_url = \"hooks.example.com\"", &["`public_url`", "\"https://hooks.example.com\""]),
        ("[ingress]\nbody_limit = \"1 megabyte\"", &["\"1 megabyte\"", "\"1MiB\""]),
        ("[ingress]\nbody_limit = 17", &["17 is out of bounds", "1KiB to 512MiB"]),
        ("[ingress]\nbody_limit = -1", &["-1 is out of bounds"]),
        ("[ingress]\nheader_timeout = 2", &["2 has no unit", "\"30s\""]),
        ("[ingress]\nheader_timeout = \"0\"", &["is 0", "more than 0"]),
        ("[ingress]\nbody_timeout = true", &["is true or false", "a time with its unit"]),
        ("[ingress]\nmax_connections = 1", &["1 does not fit", "from 16"]),
        ("ingress = 5", &["line 5", "`ingress`"]),
        ("[journal]\ndir = \"\"", &["line 6", "`dir`", "the path of a folder"]),
        ("[journal]\nretention = \"a month\"", &["\"a month\"", "\"0\", which means for ever"]),
        ("[journal]\nmax_size = \"1MiB\"", &["16MiB"]),
        ("[worker]\nconcurrency = 0", &["0 does not fit", "from 1 to"]),
        ("[worker]\nconcurrency = \"64\"", &["\"64\" does not fit"]),
        ("[admin]\ntoken = [\"aaaaaaaaaaaaaaaa\", \"bbbbbbbbbbbbbbbb\"]", &["`token`", "more than once"]),
        ("[admin]\ntoken = \"${SPACED}\"", &["`token`", "can't stand in a header", "not shown"]),
        ("[queue]\nurl = []", &["line 6", "`url`", "is an empty list", "\"embedded\""]),
        ("[queue]\nack_timeout = \"0\"", &["`ack_timeout`", "more than 0"]),
        ("[queue]\nlanes = 257", &["`lanes`", "257 does not fit", "from 1 to 256"]),
        ("[queue]\nack = \"both\"", &["`ack`", "no meaning on the embedded queue", "ack = \"journal\""]),
        ("[queue]\nack = \"disk\"", &["\"disk\"", "\"journal\" or \"both\""]),
        ("[queue]\nlanes = 4", &["`lanes`", "lanes = 1"]),
        ("[queue]\nwait_aof = true", &["`wait_aof`", "wait_aof = false"]),
        ("[queue]\nwait_replicas = 2", &["`wait_replicas`", "wait_replicas = 0"]),
        ("[queue]\ntopology = \"cluster\"", &["`topology`", "topology = \"single\""]),
    ] {
        if lines.starts_with("ingress") {
            one_error(&format!("\n\n\n\n{lines}\n{CAFE}"), parts);
        } else {
            one_error_after(lines, parts);
        }
    }
}

#[test]
fn variables_and_files() {
    for (lines, parts) in [
        ("[journal]\ndir = \"${UNSET_DIR}\"", &["line 6", "`dir`", "no variable UNSET_DIR", "set it"][..]),
        ("[journal]\ndir = \"${UNCLOSED\"", &["line 6", "without a closing `}`"]),
        (
            "[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret = \"${UNSET_B}\"",
            &["line 8", "`secret`", "UNSET_B"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret = [\n  \"${S}\",\n  \"${UNSET_B}\",\n]",
            &["line 10", "`secret`", "UNSET_B"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret = \"${EMPTY}\"",
            &["line 8", "`secret`", "is empty"],
        ),
        ("[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret = []", &["line 8", "is an empty list"]),
        (
            "[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret = 1234567",
            &["line 8", "is a number", "a secret"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret_file = \"/secrets/none\"",
            &["line 8", "`secret_file`", "\"/secrets/none\"", "can't be read"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret_file = \"/secrets/empty\"",
            &["line 8", "\"/secrets/empty\"", "is empty"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"kladana\"\npath_secret_file = \"/secrets/spaced\"",
            &["line 8", "\"/secrets/spaced\"", "can't stand in a URL"],
        ),
    ] {
        one_error_after(lines, parts);
    }
}

#[test]
fn sources() {
    for (keys, parts) in [
        (
            "provider = \"poster\"\nsecret = \"${S}\"",
            &["line 1", "[[source]] number 1, `name`", "is missing"][..],
        ),
        ("name = \"a/b\"\nprovider = \"poster\"\nsecret = \"${S}\"", &["line 2", "\"a/b\"", "A-Z a-z 0-9"]),
        ("name = \"a\"\nsecret = \"hunter2\"", &["`provider`", "is missing", "kladana, quable, poster"]),
        (
            "name = \"a\"\nprovider = \"kladanna\"\nsecret = \"hunter2\"",
            &["line 3", "no provider \"kladanna\"", "did you mean kladana?", "standard-webhooks and hmac"],
        ),
        (
            "name = \"a\"\nprovider = \"poster\"",
            &["[[source]] \"a\", `secret`", "is missing", "\"${POSTER_SECRET}\""],
        ),
        ("name = \"a\"\nprovider = \"svix\"", &["`secret`", "is missing", "\"${SVIX_SECRET}\""]),
        ("name = \"a\"\nprovider = \"standard-webhooks\"", &["\"${STANDARD_WEBHOOKS_SECRET}\""]),
        ("name = \"a\"\nprovider = \"shareactor\"", &["`secret`", "is missing"]),
        (
            "name = \"a\"\nprovider = \"kladana\"",
            &["`path_secret`", "is missing", "signs nothing", "${KLADANA_PATH_SECRET}", "insecure = true"],
        ),
        (
            "name = \"a\"\nprovider = \"quable\"",
            &["`authorization`", "is missing", "${QUABLE_AUTHORIZATION}", "insecure = true"],
        ),
        (
            "name = \"a\"\nprovider = \"kladana\"\npath_secret = \"${S}\"\nsecret = \"hunter2\"",
            &["line 5", "`secret`", "does not apply to provider = \"kladana\"", "path_secret"],
        ),
        (
            "name = \"a\"\nprovider = \"poster\"\nsecret = \"${S}\"\nauthorization = \"hunter2\"",
            &["line 5", "`authorization`", "does not apply", "only Quable"],
        ),
        (
            "name = \"a\"\nprovider = \"poster\"\nsecret = \"${S}\"\ninsecure = true",
            &["`insecure`", "does not apply", "always checked"],
        ),
        (
            "name = \"a\"\nprovider = \"github\"\nsecret = \"${S}\"\nsignature = { header = \"X\" }",
            &["`signature`", "does not apply", "provider = \"hmac\""],
        ),
        (
            "name = \"a\"\nprovider = \"github\"\nsecret = \"${S}\"\nid = \"json:/id\"",
            &["`id`", "does not apply"],
        ),
        (
            "name = \"a\"\nprovider = \"kladana\"\npath_secret = \"hunter2/hunter2/hunter2\"",
            &["line 4", "`path_secret`", "can't stand in a URL", "not shown"],
        ),
        (
            "name = \"a\"\nprovider = \"quable\"\nauthorization = \"${SPACED}\"",
            &["`authorization`", "can't stand in a header"],
        ),
        (
            "name = \"a\"\nprovider = \"svix\"\nsecret = \"whsec_hunter2!\"",
            &["line 4", "`secret`", "is not base64", "whsec_", "not shown"],
        ),
        (
            "name = \"a\"\nprovider = \"poster\"\nsecret = \"${S}\"\ndeadline = \"0\"",
            &["`deadline`", "more than 0"],
        ),
    ] {
        one_error(&format!("[[source]]\n{keys}"), parts);
    }
    one_error("[source]\nname = \"a\"", &["`source`", "is a table", "[[source]]"]);
    one_error("[worker]\n", &["`source`", "there is none", "[[source]]"]);
    one_error_after(
        "[[source]]\nname = \"cafe\"\nprovider = \"poster\"\nsecret = \"${S}\"",
        &["line 6", "\"cafe\" is also the name of the source on line 2"],
    );
}

#[test]
fn signatures() {
    for (keys, parts) in [
        (
            "name = \"a\"\nprovider = \"hmac\"\nsecret = \"${S}\"",
            &["`signature`", "is missing", "header = \"X-Signature\""][..],
        ),
        (
            "name = \"a\"\nprovider = \"hmac\"\nsecret = \"${S}\"\nsignature = { encoding = \"hex\" }",
            &["line 5", "`signature`, `header`", "is missing"],
        ),
        (
            "name = \"a\"\nprovider = \"hmac\"\nsecret = \"${S}\"\nsignature = { header = \"X\", algorithm = \"md5\" }",
            &["line 5", "`algorithm`", "\"md5\"", "sha256"],
        ),
        (
            "name = \"a\"\nprovider = \"hmac\"\nsecret = \"${S}\"\nsignature = { header = \"X\", signed = \"{timestamp}.{body}\" }",
            &["line 5", "`signature`", "timestamp = \"header:<name>\""],
        ),
        (
            "name = \"a\"\nprovider = \"hmac\"\nsecret = \"${S}\"\nsignature = { header = \"X\", signed = \"{time}\" }",
            &["line 5", "`signed`", "{time}"],
        ),
        (
            "name = \"a\"\nprovider = \"hmac\"\nsecret = \"hunter2\"\nsignature = { header = \"X\", key = \"base64\" }",
            &["line 4", "`secret`", "base64"],
        ),
        (
            "name = \"a\"\nprovider = \"hmac\"\nsecret = \"${S}\"\nsignature = { header = \"X\" }\nid = \"body:/id\"",
            &["line 6", "`id`", "\"body:/id\"", "json:"],
        ),
        (
            "name = \"a\"\nprovider = \"shareactor\"\nsecret = \"${S}\"\nsignature = { header = \"not a header\" }",
            &["line 5", "\"not a header\"", "a header's name"],
        ),
    ] {
        one_error(&format!("[[source]]\n{keys}"), parts);
    }
}

#[test]
#[cfg(feature = "redis")]
fn streams() {
    const URL: &str = "url = \"redis://:hunter2@a\"";
    let route = |target: &str| format!("[[route]]\nname = \"a\"\ntarget = {{ {target} }}");
    for (target, parts) in [
        ("redis_stream = \"x\"", &["line 7", "`redis_stream`", "in no Redis", "add url = \"redis://"][..]),
        (
            &format!("redis_stream = \"\", {URL}"),
            &["`redis_stream`", "\"\" is not usable", "is empty", "\"orders\""],
        ),
        (&format!("redis_stream = \"{{doorbell:0}}:x\", {URL}"), &["`redis_stream`", "the queue's own"]),
        (&format!("redis_stream = 7, {URL}"), &["`redis_stream`", "is a number", "the name of a stream"]),
        (
            "redis_stream = \"x\", url = \"http://u:hunter2@a\"",
            &["`url`", "no URL of Redis", "redis://[user]", "not shown"],
        ),
        (
            "redis_stream = \"x\", url = [\"redis://:hunter2@a\", \"redis://:hunter2@b\"]",
            &["`url`", "2 servers", "topology = \"sentinel\" or \"cluster\""],
        ),
        (
            &format!("redis_stream = \"x\", {URL}, topology = \"sentinel\""),
            &["`sentinel_master`", "is missing"],
        ),
        (&format!("redis_stream = \"x\", {URL}, max_length = 0"), &["`max_length`", "0 does not fit"]),
        (&format!("redis_stream = \"x\", {URL}, max_age = \"0\""), &["`max_age`", "is 0", "more than 0"]),
        (
            &format!("redis_stream = \"x\", {URL}, max_length = 9, max_age = \"1d\""),
            &["`max_age`", "beside max_length"],
        ),
        (&format!("redis_stream = \"x\", {URL}, rate = \"1/s\""), &["`rate`", "unknown key", "max_length"]),
    ] {
        one_error_after(&route(target), parts);
    }
    let queue = "[queue]\nurl = \"redis://:hunter2@a\"";
    let broken = queue.replace("redis:", "http:");
    one_error_after(&format!("{broken}\n{}", route("redis_stream = \"x\"")), &["[queue], `url`"]);
    let topology = route("redis_stream = \"x\", topology = \"cluster\"");
    one_error_after(
        &format!("{queue}\n{topology}"),
        &["`topology`", "only beside a url of the target's own"],
    );
}

#[test]
fn routes() {
    let route = |keys: &str| format!("[[route]]\n{keys}");
    for (keys, parts) in [
        ("target = { log = {} }", &["line 5", "[[route]] number 1, `name`", "is missing"][..]),
        ("name = \"a b\"\ntarget = { log = {} }", &["line 6", "\"a b\""]),
        ("name = \"a\"", &["`target`", "is missing", "http", "exec", "log"]),
        ("name = \"a\"\ntarget = \"http://x\"", &["line 7", "`target`", "is a string", "a table"]),
        ("name = \"a\"\ntarget = {}", &["line 7", "says nowhere to go", "log = {}"]),
        ("name = \"a\"\ntarget = { log = {}, exec = [\"x\"] }", &["line 7", "exec and log at once"]),
        (
            "name = \"a\"\ntarget = { http = \"ftp://u:hunter2@x\" }",
            &["line 7", "`http`", "not shown", "http or https"],
        ),
        (
            "name = \"a\"\ntarget = { http = \"http://x\", secret = \"hunter2\" }",
            &["line 7", "`secret`", "whsec_"],
        ),
        (
            "name = \"a\"\ntarget = { http = \"http://x\", secret = \"MDEyMzQ1Njc4OWFi\" }",
            &["`secret`", "whsec_"],
        ),
        ("name = \"a\"\ntarget = { exec = [\"a\\u0000b\"] }", &["`exec`", "NUL"]),
        (
            "name = \"a\"\ntarget = { http = \"http://x\", rate = \"fast\" }",
            &["`rate`", "\"fast\"", "\"100/s\""],
        ),
        (
            "name = \"a\"\ntarget = { http = \"http://x\", concurrency = 0 }",
            &["`concurrency`", "0 does not fit"],
        ),
        ("name = \"a\"\ntarget = { exec = [] }", &["`exec`", "empty list"]),
        ("name = \"a\"\ntarget = { exec = [\"\"] }", &["`exec`", "empty command"]),
        (
            "name = \"a\"\nsource = \"caffe\"\ntarget = { log = {} }",
            &["line 7", "no source \"caffe\"", "did you mean cafe?"],
        ),
        (
            "name = \"a\"\nsource = [\"cafe\", \"shop\"]\ntarget = { log = {} }",
            &["no source \"shop\"", "the sources are: cafe"],
        ),
        ("name = \"a\"\nsource = [\"cafe\", \"*\"]\ntarget = { log = {} }", &["beside \"*\""]),
        ("name = \"a\"\nevents = []\ntarget = { log = {} }", &["`events`", "empty list", "\"stock.*\""]),
        ("name = \"a\"\nevents = [\"\"]\ntarget = { log = {} }", &["`events`", "is empty"]),
        (
            "name = \"a\"\nretry = { max_attempts = 0 }\ntarget = { log = {} }",
            &["`max_attempts`", "0 does not fit"],
        ),
        (
            "name = \"a\"\nretry = { min = \"2h\", max = \"1h\" }\ntarget = { log = {} }",
            &["`retry`, `min`", "2h is longer than `max`", "1h"],
        ),
        ("name = \"a\"\ntimeout = \"0\"\ntarget = { log = {} }", &["`timeout`", "more than 0"]),
    ] {
        one_error_after(&route(keys), parts);
    }
    one_error_after(
        "[[route]]\nname = \"a\"\ntarget = { log = {} }\n[[route]]\nname = \"a\"\ntarget = { log = {} }",
        &["line 9", "\"a\" is also the name of the route on line 6"],
    );
}

#[test]
fn a_route_to_a_source_with_an_error_is_not_an_error_too() {
    one_error(
        "[[source]]\nname = \"a\"\nprovider = \"poster\"\n[[route]]\nname = \"r\"\nsource = \"a\"\ntarget = { log = {} }",
        &["`secret`", "is missing"],
    );
}

#[test]
fn broken_toml_shows_the_line_and_no_secret() {
    for (text, line) in [
        ("[ingress\nlisten = 1", "line 1"),
        ("[admin]\ntoken = \"hunter2", "line 2"),
        ("[admin]\ntoken = hunter2", "line 2"),
        ("[admin]\ntoken = \"a\"\ntoken = \"hunter2\"", "line 3"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(line) && error.contains("not valid TOML"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_lines() {
    let error = parse(
        "[ingress]\nlisten = \"x\"\nfoo = 1\n[worker]\nconcurrency = 0\n[[source]]\nname = \"a\"\nprovider = \"kladana\"\n\
         [[route]]\nname = \"r\"\nsource = \"b\"\ntarget = {}",
    )
    .unwrap_err();
    let lines: Vec<_> = error.problems.iter().map(|problem| problem.line).collect();
    assert_eq!(lines, [2, 3, 5, 6, 11, 12], "{error}");
}

#[test]
fn doubts_are_warnings() {
    for (lines, parts) in [
        (
            "[admin]\nlisten = \"0.0.0.0:8081\"",
            &["line 6", "can be reached from other machines", "set `token`"][..],
        ),
        ("[admin]\ntoken = \"short\"", &["line 6", "`token`", "could be guessed"]),
        (
            "deadline = \"10s\"",
            &["line 5", "`deadline`", "longer than this sender is known to wait (1500ms)"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"kladana\"\npath_secret = \"short\"",
            &["line 8", "`path_secret`", "could be guessed"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"kladana\"\npath_secret = \"${S}\"\ninsecure = true",
            &["line 9", "`insecure`", "has no effect"],
        ),
        (
            "[[source]]\nname = \"b\"\nprovider = \"poster\"\nsecret = \"${S}\"\n[[route]]\nname = \"r\"\nsource = \
             \"cafe\"\ntarget = { log = {} }",
            &["no route listens to the source \"b\""],
        ),
    ] {
        let catch_all =
            if lines.contains("[[route]]") { "" } else { "\n[[route]]\nname = \"r\"\ntarget = { log = {} }" };
        let text = format!("{CAFE}{lines}{catch_all}");
        let config = parse(&text).unwrap_or_else(|error| panic!("{text}\n{error}"));
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        let warning = config.warnings[0].to_string();
        for part in parts {
            assert!(warning.contains(part), "{part:?} is missing in: {warning}");
        }
        assert!(config.check().right && config.check().has_warnings());
    }
    let none = parse(CAFE).unwrap();
    assert!(none.warnings[0].to_string().contains("the events of cafe would be stored and wait unrouted"));
}

#[test]
fn patterns_that_fit_nothing_known_are_errors() {
    let route = |source: &str, events: &str| {
        format!("[[route]]\nname = \"a\"\nsource = {source}\nevents = [{events}]\ntarget = {{ log = {{}} }}")
    };
    let hub = "[[source]]\nname = \"hub\"\nprovider = \"github\"\nsecret = \"${S}\"\n";
    for source in ["\"*\"", "\"cafe\""] {
        let text = format!("{CAFE}{}", route(source, "\"transaction.*\", \"stok.*\""));
        let error = parse(&text).unwrap_err().to_string();
        for part in
            ["line 8", "`events`", "\"stok.*\" fits no event", "known of poster", "did you mean stock.*?"]
        {
            assert!(error.contains(part), "{part:?} is missing in: {error}");
        }
    }
    // One of these may send anything; of the other nothing is known, because it is itself wrong.
    parse(&format!("{CAFE}{hub}{}", route("\"*\"", "\"stok.*\""))).unwrap();
    let broken = hub.replace("github", "githab");
    let error = parse(&format!("{CAFE}{broken}{}", route("\"*\"", "\"stok.*\""))).unwrap_err();
    assert_eq!(error.problems.len(), 1, "{error}");
}

#[test]
fn a_file_is_named_in_its_errors() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("doorbell.toml");
    let missing = Config::load(&file).unwrap_err().to_string();
    assert!(
        missing.contains("doorbell.toml: the file can't be read") && missing.contains("doorbell init"),
        "{missing}"
    );
    std::fs::write(&file, "[ingress]\nfoo = 1").unwrap();
    let error = Config::load(&file).unwrap_err().to_string();
    assert!(error.contains("doorbell.toml, line 2: [ingress], `foo`: unknown key"), "{error}");
}

#[test]
#[cfg(feature = "redis")]
fn places_of_a_queue() {
    for (place, parts) in [
        (
            "url = \"embeded\"",
            &["line 6", "`url`", "is no URL", "not shown", "\"embedded\", or redis://"][..],
        ),
        ("url = \"http://:hunter2@localhost\"", &["is no URL of Redis"]),
        ("url = \"redis://:hunter2@localhost/jobs\"", &["number of a database", "%2F"]),
        ("url = \"redis://:hunter2#1@localhost\"", &["`url`", "redis://[user]"]),
        (
            "url = [\"embedded\", \"redis://:hunter2@localhost\"]",
            &["beside another queue", "URLs of one Redis"],
        ),
        ("url = [\"embedded\", \"embedded\"]", &["beside another queue"]),
        ("url = \"${UNSET}\"", &["`url`", "UNSET"]),
        ("url = \"\"", &["is empty; expected the URL of a Redis"]),
        ("url = 6379", &["is a number", "\"embedded\", a URL of Redis"]),
        (
            "url_file = \"/secrets/none\"",
            &["`url_file`", "/secrets/none", "can't be read", "holds the URL and nothing else"],
        ),
        (
            "url_file = \"/secrets/spaced\"",
            &["`url_file`", "the URL in the file \"/secrets/spaced\"", "is no URL", "not shown"],
        ),
    ] {
        one_error_after(&format!("[queue]\n{place}"), parts);
    }
}

#[test]
#[cfg(feature = "redis")]
fn keys_of_a_queue_that_do_not_go_together() {
    let one = "url = \"redis://:hunter2@a\"";
    let two = "url = [\"redis://:hunter2@a\", \"redis://:hunter2@b:6380\"]";
    for (url, lines, parts) in [
        (
            two,
            "",
            &[
                "line 6",
                "`url`",
                "names 2 servers",
                "redis://:[REDACTED]@a and redis://:[REDACTED]@b:6380",
                "\"cluster\"",
            ][..],
        ),
        (two, "topology = \"sentinel\"", &["line 5", "`sentinel_master`", "is missing", "sentinel monitor"]),
        (
            two,
            "topology = \"sentinel\"\nsentinel_master = \"\"",
            &["line 8", "the name that the Sentinels know"],
        ),
        (
            one,
            "sentinel_master = \"m\"",
            &["line 7", "`sentinel_master`", "only with Sentinels", "topology = \"sentinel\""],
        ),
        (one, "sentinel_password = \"hunter2\"", &["line 7", "`sentinel_password`", "only with Sentinels"]),
        (
            one,
            "topology = \"sentinel\"\nsentinel_master = \"m\"\nsentinel_user = \"u\"",
            &["line 9", "`sentinel_user`", "without a password", "sentinel_password_file"],
        ),
        (
            one,
            "topology = \"sentinel\"\nsentinel_master = \"m\"\nsentinel_password = [\"hunter2\", \"hunter2\"]",
            &["line 9", "`sentinel_password`", "more than once"],
        ),
        (
            "url = [\"redis://:hunter2@a\", \"rediss://:hunter2@b\"]",
            "topology = \"cluster\"",
            &["`url`", "redis://:[REDACTED]@a and rediss://:[REDACTED]@b", "the same encryption"],
        ),
        (
            "url = \"redis://:hunter2@a/3\"",
            "topology = \"cluster\"",
            &["`url`", "redis://:[REDACTED]@a/3 asks for database 3", "leave the number out"],
        ),
        (
            one,
            "topology = \"ring\"",
            &["`topology`", "\"ring\"", "\"single\" or \"sentinel\" or \"cluster\""],
        ),
        (
            "url = \"rediss://:hunter2@a\"",
            "ca_file = \"/secrets/spaced\"",
            &["`ca_file`", "no certificate in the file", "as PEM"],
        ),
        (one, "ca_file = \"/secrets/ca\"", &["`ca_file`", "only for encrypted", "rediss://"]),
        (
            one,
            "ack = \"both\"\nack_timeout = \"2s\"",
            &["line 8", "`ack_timeout`", "2s is no shorter", "\"cafe\"", "1500ms"],
        ),
        (
            one,
            "[journal]\nretention = \"30m\"",
            &["line 8", "`retention`", "30m", "keep = \"1h\"", "a shorter keep"],
        ),
        (
            one,
            "[journal]\nkeep = \"2d\"\nretention_failed = \"1d\"",
            &["line 9", "`retention_failed`", "1d is shorter than keep = \"2d\""],
        ),
    ] {
        one_error_on_redis(url, lines, parts);
    }
    for key in ["sentinel_user = \"x\"", "ca_file = \"/secrets/ca\"", "sentinel_password = \"hunter2\""] {
        one_error_after(
            &format!("[queue]\n{key}"),
            &["line 6", "no meaning on the embedded queue", "give url a Redis"],
        );
    }
}

#[test]
#[cfg(not(feature = "redis"))]
fn a_build_without_redis_says_so() {
    for url in ["\"redis://:hunter2@localhost\"", "[\"rediss://:hunter2@a\"]"] {
        one_error_after(
            &format!("[queue]\nurl = {url}\nlanes = 4"),
            &["line 6", "`url`", "only the embedded queue", "url = \"embedded\"", "feature `redis`"],
        );
    }
    one_error_after("[queue]\nurl = \"embeded\"", &["is not understood"]);
}
