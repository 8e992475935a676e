//! What `doorbell.toml` promises: every key of it, its defaults, and errors that say how to mend them.
#![cfg(feature = "cli")]

use std::{io, num::NonZeroUsize, path::Path, time::Duration};

use doorbell::{
    Pattern, RetryPolicy, SourceFilter,
    config::{Config, ConfigError, Level, ProviderKind, TargetConfig},
};

const SECRET: &str = "s3cr3t-0123456789-abcdef";

fn env(name: &str) -> Option<String> {
    match name {
        "EMPTY" => Some(String::new()),
        "SPACED" => Some(format!("{SECRET} with spaces")),
        "ADDRESS" => Some("not-an-address".to_owned()),
        name => (!name.starts_with("UNSET")).then(|| SECRET.to_owned()),
    }
}

fn files(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/secrets/one") => Ok(format!("{SECRET}-one\n")),
        Some("/secrets/two") => Ok(format!("{SECRET}-two\r\n")),
        Some("/secrets/empty") => Ok("\n".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, env, files)
}

fn parse_or_panic(text: &str) -> Config {
    parse(text).unwrap_or_else(|error| panic!("{error}"))
}

const DESIGN: &str = r#"
[ingress]
listen = "127.0.0.1:8080"
public_url = "https://hooks.example.com"   # what printed URLs begin with
body_limit = "1MiB"
[admin]
listen = "127.0.0.1:8081"
token  = "${DOORBELL_ADMIN_TOKEN}"
[journal]
dir = "data"
retention = "30d"
retention_failed = "90d"
keep = "1h"
max_size = "10GiB"
[queue]
url = "embedded"
topology = "single"
ack = "journal"
wait_replicas = 0
wait_aof = false
lanes = 1
[worker]
concurrency = 64

[[source]]
name     = "cafe"
provider = "poster"
secret   = "${POSTER_SECRET}"
[[source]]
name        = "erp"
provider    = "kladana"
path_secret = "${KLADANA_PATH_SECRET}"
[[source]]
name          = "pim"
provider      = "quable"
authorization = "${QUABLE_AUTHORIZATION}"
[[source]]
name     = "shop"
provider = "shareactor"
secret   = "${SHAREACTOR_SECRET}"
[[source]]
name     = "repo"
provider = "github"
secret   = "${GITHUB_SECRET}"
[[source]]
name     = "other"
provider = "hmac"
secret   = "${OTHER_SECRET}"
signature = { header = "X-Signature", algorithm = "sha256", encoding = "hex", prefix = "sha256=", key = "utf8", signed = "{timestamp}.{body}", timestamp = "header:X-Timestamp", tolerance = "5m" }
id   = "header:X-Event-Id"
kind = "json:/type"

[[route]]
name    = "stock-to-erp"
source  = "cafe"
events  = ["stock.*"]
target  = { http = "http://127.0.0.1:3000/hooks", secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZg==" }
retry   = { max_attempts = 23, min = "5s", max = "6h" }
timeout = "30s"
[[route]]
name = "rest"
target = { log = {} }
"#;

#[test]
fn the_documented_example_is_read() {
    let config = parse_or_panic(DESIGN);
    assert_eq!(config.warnings, []);
    assert_eq!(config.ingress.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.ingress.public_url.as_deref(), Some("https://hooks.example.com"));
    assert_eq!(config.ingress.body_limit, 1 << 20);
    assert_eq!(config.admin.token.as_ref().map(doorbell::provider::Secret::expose), Some(SECRET.as_bytes()));
    assert_eq!(config.journal.dir, Path::new("data"));
    assert_eq!(config.journal.retention, Some(Duration::from_secs(30 * 86400)));
    assert_eq!(config.journal.retention_failed, Some(Duration::from_secs(90 * 86400)));
    assert_eq!(config.journal.max_size, 10 << 30);
    assert!(config.queue.is_embedded());
    assert_eq!(config.worker.concurrency, 64);

    let kinds: Vec<_> =
        config.sources.iter().map(|source| (source.name.as_str(), source.settings.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("cafe", ProviderKind::Poster),
            ("erp", ProviderKind::Kladana),
            ("pim", ProviderKind::Quable),
            ("shop", ProviderKind::Shareactor),
            ("repo", ProviderKind::Github),
            ("other", ProviderKind::Hmac)
        ]
    );

    let route = &config.routes[0];
    assert_eq!(route.route.name, "stock-to-erp");
    assert_eq!(route.route.sources, SourceFilter::Named(vec!["cafe".to_owned()]));
    assert_eq!(route.route.events, [Pattern::new("stock.*")]);
    assert_eq!(route.route.retry, RetryPolicy::default());
    assert_eq!(route.route.timeout, Duration::from_secs(30));
    assert!(!route.route.fallback);
    let TargetConfig::Http(http) = &route.target else { panic!("{:?}", route.target) };
    assert_eq!(http.url, "http://127.0.0.1:3000/hooks");
    assert_eq!(http.secrets.iter().count(), 1);
    assert_eq!(config.routes[1].route.sources, SourceFilter::Any);
    assert_eq!(config.routes[1].target, TargetConfig::Log);
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = parse_or_panic("[[source]]\nname = \"cafe\"\nprovider = \"poster\"\nsecret = \"${S}\"");
    let example = parse_or_panic(DESIGN);
    let mut ingress = example.ingress;
    ingress.public_url = None;
    assert_eq!(ingress, config.ingress);
    assert_eq!(config.journal, example.journal);
    assert_eq!(config.worker, example.worker);
    assert_eq!(config.worker.max_crashes, 5);
    assert_eq!(config.ingress.header_timeout, Duration::from_secs(2));
    assert_eq!(config.ingress.body_timeout, Duration::from_secs(1));
    assert_eq!(config.ingress.header_limit, 16 << 10);
    assert_eq!(config.ingress.keep_alive, Duration::from_secs(75));
    assert_eq!(config.ingress.max_connections, 10_000);
    assert_eq!(config.ingress.drain, Duration::from_secs(5));
    assert_eq!(config.ingress.shutdown_grace, Duration::from_secs(25));
    assert_eq!(config.admin.listen, "127.0.0.1:8081".parse().unwrap());
    assert!(config.admin.token.is_none());
}

#[test]
fn the_example_of_init_is_right() {
    let config = parse_or_panic(Config::example());
    assert_eq!(config.warnings, []);
    let names: Vec<_> = config.sources.iter().map(|source| source.name.as_str()).collect();
    assert_eq!(names, ["kladana", "quable", "poster", "shareactor"]);
    assert_eq!(config.routes[0].target, TargetConfig::Log);
    // What stands behind a `#` is the default, so it changes nothing.
    let uncommented: String = Config::example()
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if rest.starts_with(|c: char| c.is_ascii_lowercase())
                    && rest.contains(" = ")
                    && !rest.contains("...") =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .take_while(|line| !line.starts_with("# Keys of payloads"))
        .collect();
    let whole =
        format!("{uncommented}\n[[source]]\nname = \"cafe\"\nprovider = \"poster\"\nsecret = \"${{S}}\"");
    let all = parse_or_panic(&whole);
    let mut ingress = all.ingress;
    ingress.public_url = None;
    assert_eq!(ingress, config.ingress);
    assert_eq!(all.journal, config.journal);
    assert_eq!(all.worker, config.worker);
}

#[test]
fn secrets_come_as_one_or_several_and_from_files() {
    let source = |keys: &str| {
        let config = parse_or_panic(&format!("[[source]]\nname = \"cafe\"\nprovider = \"poster\"\n{keys}"));
        let secrets: Vec<_> = config.sources[0]
            .settings
            .secrets
            .iter()
            .map(|secret| String::from_utf8(secret.expose().to_vec()).unwrap())
            .collect();
        secrets
    };
    assert_eq!(source(r#"secret = "one""#), ["one"]);
    assert_eq!(source(r#"secret = ["new", "${OLD}"]"#), ["new", SECRET]);
    assert_eq!(source(r#"secret = "a$${b}""#), ["a${b}"]);
    assert_eq!(source(r#"secret_file = "/secrets/one""#), [format!("{SECRET}-one")]);
    assert_eq!(
        source("secret = \"now\"\nsecret_file = [\"/secrets/one\", \"/secrets/two\"]"),
        ["now".to_owned(), format!("{SECRET}-one"), format!("{SECRET}-two")]
    );
}

#[test]
fn further_keys_are_read() {
    let config = parse_or_panic(
        r#"
        mask = ["phone", "email"]
        [journal]
        retention = "0"
        retention_failed = "0"
        [[source]]
        name = "erp"
        provider = "kladana"
        path_secret = "0123456789abcdef"
        deadline = "1200ms"
        dedupe_window = "60d"
        dedupe_fallback = "0"
        mask = "token"
        [[source]]
        name = "open"
        provider = "quable"
        insecure = true
        [[source]]
        name = "shop"
        provider = "shareactor"
        secret = "${S}"
        require_signature = true
        signature = { header = "X-Real", encoding = "base64", key = "utf8" }
        [[source]]
        name = "cafe"
        provider = "poster"
        secret = "${S}"
        accept_object_data = true
        [[route]]
        name = "all"
        source = ["erp", "open", "shop", "cafe"]
        events = "*"
        timeout = "5m"
        retry = { max_attempts = 3 }
        target = { http = "https://example.com/x", concurrency = 4, rate = "100/s" }
        [[route]]
        name = "run"
        source = "*"
        target = { exec = ["/bin/on-event", "--now"], concurrency = 2 }
        "#,
    );
    assert_eq!(config.mask, ["phone", "email"]);
    assert_eq!(config.sources[0].mask, ["token"]);
    let payload = br#"{"access_token":1,"phone":2,"token":3,"other":4}"#;
    let hidden = |source| config.mask_for(source).text(payload).matches("[REDACTED]").count();
    assert_eq!((hidden("erp"), hidden("open")), (3, 2));
    assert_eq!((config.journal.retention, config.journal.retention_failed), (None, None));
    assert_eq!(config.sources[0].url("https://x"), "https://x/in/erp/0123456789abcdef");
    assert_eq!(config.routes[0].route.retry, RetryPolicy { max_attempts: 3, ..RetryPolicy::default() });
    let TargetConfig::Http(http) = &config.routes[0].target else { panic!() };
    assert_eq!(http.concurrency, NonZeroUsize::new(4));
    assert!((http.rate.unwrap().per_second() - 100.0).abs() < 1e-9);
    let run = vec!["/bin/on-event".to_owned(), "--now".to_owned()];
    assert_eq!(
        config.routes[1].target,
        TargetConfig::Exec { command: run, concurrency: NonZeroUsize::new(2) }
    );
    assert_eq!(config.warnings, []);
}

#[test]
fn every_preset_is_a_provider() {
    for provider in ["github", "stripe", "shopify", "slack"] {
        parse_or_panic(&format!("[[source]]\nname = \"a\"\nprovider = \"{provider}\"\nsecret = \"${{S}}\""));
    }
    for provider in ["svix", "standard-webhooks"] {
        let text = format!(
            "[[source]]\nname = \"a\"\nprovider = \"{provider}\"\nsecret = \"whsec_c2VjcmV0LXNlY3JldA==\""
        );
        parse_or_panic(&text);
    }
}

#[test]
fn a_right_configuration_says_what_would_be_lost() {
    let report = parse_or_panic(DESIGN).check();
    assert!(report.right);
    let text = report.to_string();
    for part in [
        "the process crashes: nothing that was acknowledged is lost",
        "the power fails",
        "the disk is lost",
        "the disk is full",
        "at 10GiB",
        "down for up to 2d 4h loses nothing: 23 attempts",
        "source erp (kladana), when it gets no success reply: after an error three more tries follow at once",
        "the reply is due within 1500ms",
        "source pim (quable)",
        "likely lost within minutes: erp, pim, shop, repo and other",
        "add a path_secret, which stands in for a missing signature",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(!text.contains(SECRET), "{text}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["right"], true);
    assert!(json["findings"].as_array().unwrap().iter().all(|finding| finding["level"].is_string()));
}

#[test]
#[cfg(feature = "redis")]
fn a_queue_in_redis_says_what_would_be_lost() {
    let redis = DESIGN.replace("url = \"embedded\"", "url = \"redis://:${PASSWORD}@localhost\"");
    let report = parse_or_panic(&redis).check();
    assert!(report.right);
    let text = report.to_string();
    for part in [
        "Redis is away: nothing is lost",
        "up to 10GiB",
        "Redis has lost writes (restarted empty, or failed over)",
        "within the last 1h are offered",
        "With ack = \"both\" senders would",
        "workers elsewhere go on",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(!text.contains(SECRET) && !text.contains("serves one"), "{text}");
    let both = redis.replace("ack = \"journal\"", "ack = \"both\"");
    let text = parse_or_panic(&both).check().to_string();
    assert!(text.contains("only what Redis did not take within 300ms"), "{text}");
}

#[test]
#[cfg(feature = "redis")]
fn a_stream_is_in_the_queues_redis_or_in_one_of_its_own() {
    let source = "[[source]]\nname = \"a\"\nprovider = \"poster\"\nsecret = \"${S}\"";
    let route = |name: &str, keys: &str| {
        format!("[[route]]\nname = \"{name}\"\ntarget = {{ redis_stream = \"orders\"{keys} }}")
    };
    let streams = |text: &str| {
        let config = parse_or_panic(text);
        let streams: Vec<_> = config
            .routes
            .iter()
            .map(|route| match &route.target {
                TargetConfig::RedisStream(stream) => stream.clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        (streams, config.check().to_string())
    };
    let queue = "[queue]\nurl = \"redis://:MDEyMzQ1@10.0.0.1\"";
    let (own, report) = streams(&[queue, source, &route("one", "")].join("\n"));
    assert!(own[0].stream == "orders" && own[0].address.is_none(), "{own:?}");
    assert!(report.contains("route one (redis_stream orders), stream: nothing is removed"), "{report}");

    let keys = ", url = [\"rediss://:MDEyMzQ1@a\", \"rediss://:MDEyMzQ1@b\"], topology = \"cluster\", max_length = 9";
    let other = route("two", ", url = \"redis://:MDEyMzQ1@c\", max_age = \"30d\", concurrency = 4");
    let (other, report) = streams(&[source, &route("one", keys), &other].join("\n"));
    let shown = format!("{other:?}");
    assert!(shown.contains("Cluster") && shown.contains("rediss://:[REDACTED]@b"), "{shown}");
    assert!(!shown.contains("MDEyMzQ1") && !report.contains("MDEyMzQ1"), "{shown} {report}");
    assert_eq!(other[0].max_length.map(u64::from), Some(9));
    assert_eq!(other[1].max_age, Some(Duration::from_secs(30 * 86400)));
    assert_eq!(other[1].concurrency, NonZeroUsize::new(4));
    for part in ["about 9 entries stay, read or not", "about 30d of entries stay, read or not"] {
        assert!(report.contains(part), "{report}");
    }
}

#[test]
fn errors_make_a_report_too() {
    let report = doorbell::config::Report::from(&parse("[ingres]").unwrap_err());
    assert!(!report.right);
    assert!(report.findings.iter().all(|finding| finding.level == Level::Error));
    assert!(report.to_string().contains("The configuration is not usable."), "{report}");
}

#[test]
fn no_secret_is_ever_printed() {
    let design =
        DESIGN.replace("http://127.0.0.1:3000/hooks", "http://user:MDEyMzQ1@127.0.0.1:3000/MDEyMzQ1");
    let config = parse_or_panic(&design);
    let TargetConfig::Http(http) = &config.routes[0].target else { panic!() };
    assert!(!format!("{http:?}").contains("MDEyMzQ1"), "{http:?}");
    let printed = format!("{config:?} {:?} {}", config.check(), config.check());
    assert!(!printed.contains(SECRET) && !printed.contains("MDEyMzQ1"), "{printed}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = parse(&text);
        }

        /// Cutting or changing a right configuration anywhere is an error or still right, never a panic; and no
        /// error shows a secret.
        #[test]
        fn no_change_makes_the_parser_panic(at in 0..DESIGN.len(), cut in 0..40usize, put in "[\\PC\n]{0,8}") {
            let end = (at + cut).min(DESIGN.len());
            if let (Some(before), Some(after)) = (DESIGN.get(..at), DESIGN.get(end..)) {
                let shown = match parse(&format!("{before}{put}{after}")) {
                    Ok(config) => format!("{config:?} {}", config.check()),
                    Err(error) => error.to_string(),
                };
                // A longer cut can make a name of a secret's variable, and names are shown.
                prop_assert!(cut >= 16 || !shown.contains(SECRET), "{shown}");
            }
        }
    }
}

#[test]
#[cfg(feature = "redis")]
fn a_queue_in_redis_is_read() {
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
    let read = |queue: &str| {
        let text = format!(
            "[[source]]\nname = \"cafe\"\nprovider = \"poster\"\nsecret = \"${{S}}\"\n[[route]]\n\
             name = \"all\"\ntarget = {{ log = {{}} }}\n[queue]\n{queue}"
        );
        let files = |path: &Path| {
            let text = match path.to_str() {
                Some("/secrets/url") => "redis://:hunter2@localhost:6380\n",
                Some("/secrets/password") => "hunter2\n",
                _ => PEM,
            };
            Ok(text.to_owned())
        };
        let config = Config::parse(&text, |_| Some(SECRET.to_owned()), files).unwrap();
        assert!(!config.queue.is_embedded());
        assert!(config.builder("0123456789abcdef").is_ok());
        // What it has is not public; what it prints is.
        let shown = format!("{:?}", config.queue);
        assert!(!shown.contains("hunter2") && !shown.contains(SECRET), "{shown}");
        (shown, config.warnings)
    };
    for (queue, parts) in [
        ("url = \"redis://localhost\"", &["\"redis://localhost\"", "Single", "lanes: 1", "ack: Journal"][..]),
        ("url = \"redis://u:${PASSWORD}@localhost/2\"", &["\"redis://u:[REDACTED]@localhost/2\""]),
        ("url_file = \"/secrets/url\"", &["\"redis://:[REDACTED]@localhost:6380\""]),
        (
            "url = \"redis://localhost\"\nack = \"both\"\nwait_replicas = 2\nwait_aof = true\nlanes = 256",
            &["Both { timeout: 300ms }", "wait_replicas: 2", "wait_aof: true", "lanes: 256"],
        ),
        ("url = \"redis://localhost\"\nack = \"both\"\nack_timeout = \"1s\"", &["Both { timeout: 1s }"]),
        (
            "url = [\"rediss://:hunter2@a\", \"rediss://:hunter2@b:7001\"]\ntopology = \"cluster\"\nca_file = \"/ca\"",
            &["Cluster", "\"rediss://:[REDACTED]@b:7001\"", "ca: Some("],
        ),
        (
            "url = [\"redis://a\", \"redis://b\"]\ntopology = \"sentinel\"\nsentinel_master = \"shop\"\n\
             sentinel_user = \"us\"\nsentinel_password_file = \"/secrets/password\"",
            &["Sentinel", "Some(\"shop\")", "Some(\"us\")", "[REDACTED]"],
        ),
    ] {
        let (shown, warnings) = read(queue);
        assert_eq!(warnings, []);
        for part in parts {
            assert!(shown.contains(part), "{part:?} is missing in {shown}");
        }
    }
    let (_, warnings) = read("url = \"redis://localhost\"\nack_timeout = \"1s\"");
    assert!(warnings[0].to_string().contains("is not used"), "{warnings:?}");
}
