//! What does not fit together is said at once.

use super::*;

async fn nothing() -> Result<(), HandlerError> {
    Ok(())
}

#[tokio::test]
async fn what_does_not_fit_together_is_said_when_it_is_built() {
    let data = tempfile::tempdir().unwrap();
    let build = |change: fn(Builder<()>) -> Builder<()>| {
        let builder = Receiver::builder().data_dir(data.path()).source("cafe", Poster::new(SECRET));
        async move { change(builder).build().await.unwrap_err().to_string() }
    };
    let unknown = build(|builder| builder.on("caffe", "*", nothing)).await;
    assert!(unknown.contains("\"caffe\"") && unknown.contains("cafe"), "{unknown}");
    let twice = build(|builder| builder.source("cafe", Poster::new(SECRET))).await;
    assert!(twice.contains("two sources are named \"cafe\""), "{twice}");
    let same = build(|builder| builder.on("cafe", "*", nothing).on("cafe", "*", nothing)).await;
    assert!(same.contains("two routes are named \"cafe:*\""), "{same}");
    for source in ["cafe", "*"] {
        let data = tempfile::tempdir().unwrap();
        let builder = Receiver::builder::<()>().data_dir(data.path()).source("cafe", Poster::new(SECRET));
        let kind = builder.on(source, "stok.*", nothing).build().await.unwrap_err().to_string();
        let route = format!("{:?}", format!("{source}:stok.*"));
        assert!(kind.contains(&route) && kind.contains("did you mean stock.*?"), "{kind}");
    }
    for (early, method) in [
        (
            build(|builder| builder.retry(RetryPolicy::default()).on("cafe", "*", nothing)).await,
            "`.retry(…)`",
        ),
        (build(|builder| builder.timeout(Duration::from_secs(1))).await, "`.timeout(…)`"),
        (build(|builder| builder.named("a").timeout(Duration::from_secs(1))).await, "`.named(…)`"),
    ] {
        assert!(early.starts_with(method) && early.contains("call it after `.on(…)`"), "{early}");
    }
    let never = RetryPolicy { max_attempts: 0, ..RetryPolicy::default() };
    let backwards = RetryPolicy { min: Duration::from_secs(9), max: Duration::from_secs(8), ..never.clone() };
    let backwards = RetryPolicy { max_attempts: 1, ..backwards };
    for (policy, time, part) in [
        (never, 1, "\"cafe:*\" has max_attempts = 0; at least one"),
        (backwards, 1, "has retry delays from 9s to 8s"),
        (RetryPolicy::default(), 0, "has a timeout of zero"),
    ] {
        let data = tempfile::tempdir().unwrap();
        let builder = Receiver::builder::<()>().data_dir(data.path()).source("cafe", Poster::new(SECRET));
        let builder = builder.on("cafe", "*", nothing).retry(policy).timeout(Duration::from_secs(time));
        let wrong = builder.build().await.unwrap_err().to_string();
        assert!(wrong.contains(part), "{wrong}");
    }
}

#[tokio::test]
async fn where_anything_may_come_any_pattern_is_right() {
    let data = tempfile::tempdir().unwrap();
    let github = Hmac::preset(Preset::Github, SECRET).unwrap();
    let builder = Receiver::builder::<()>().data_dir(data.path()).source("cafe", Poster::new(SECRET));
    let builder = builder.source("repo", github).on("repo", "stok.*", nothing).on("*", "stok.*", nothing);
    builder.build().await.unwrap().shutdown().await;
}

#[tokio::test]
async fn a_source_that_could_not_take_anything_in_is_said_when_it_is_built() {
    let build = |name: &'static str, source: Source| async move {
        let data = tempfile::tempdir().unwrap();
        let built = Receiver::builder::<()>().data_dir(data.path()).source(name, source).build().await;
        built.map(drop)
    };
    let long: &str = "a".repeat(65).leak();
    for name in ["a/b", "", "*", "a b", "-a", "é", long] {
        let wrong = build(name, Poster::new(SECRET).into()).await.unwrap_err();
        assert!(matches!(wrong, BuildError::SourceName(_)), "{wrong:?}");
        assert!(wrong.to_string().contains("up to 64 of the characters A-Z a-z 0-9 . _ -"), "{wrong}");
    }
    for source in [
        Source::new(Kladana::new()),
        Source::new(Quable::path_secret_only()),
        Source::new(Quable::new(Secrets::none())),
        Source::new(Shareactor::new(Secrets::none())),
    ] {
        let wrong = build("erp", source.clone()).await.unwrap_err();
        assert!(matches!(wrong, BuildError::NoPathSecret(_)), "{wrong:?}");
        assert!(wrong.to_string().contains("`Source::new(provider).path_secret(…)`"), "{wrong}");
        let wrong = build("erp", source.clone().path_secret("")).await.unwrap_err();
        assert!(matches!(wrong, BuildError::EmptyPathSecret(_)), "{wrong:?}");
        build("erp", source.path_secret("0f1e2d3c")).await.unwrap();
    }
    for source in [
        Source::new(Poster::new("")),
        Source::new(Poster::new(Secrets::none())),
        Source::new(Poster::new(["new", ""])),
        // Else the path secret alone would be the proof, and nobody would notice.
        Source::new(Quable::new("")).path_secret("0f1e2d3c"),
        Source::new(Shareactor::new("")).path_secret("0f1e2d3c"),
        Source::new(Shareactor::new(Secrets::none()).require_signature(true)).path_secret("0f1e2d3c"),
        Source::new(Quable::new("").insecure()),
    ] {
        let wrong = build("cafe", source).await.unwrap_err();
        assert!(matches!(wrong, BuildError::NoSecret(_)), "{wrong:?}");
        assert!(
            wrong.to_string().contains("\"cafe\"") && wrong.to_string().contains("environment variable"),
            "{wrong}"
        );
    }
    assert!(Hmac::preset(Preset::Github, "").is_err() && Hmac::preset(Preset::Github, ["a", ""]).is_err());
    build("erp", Kladana::new().insecure().into()).await.unwrap();
}

#[cfg(feature = "redis")]
#[tokio::test]
async fn what_redis_asks_of_the_settings_beside_it_is_said_when_it_is_built() {
    use doorbell::{RedisQueue, Role};

    const HOUR: Duration = Duration::from_secs(3600);
    // Nobody is there: it is said before Redis is asked for anything.
    let queue = || RedisQueue::new(["redis://127.0.0.1:1"]).keep(2 * HOUR);
    let build = |queue: RedisQueue, role: Role, done: Option<Duration>, failed: Option<Duration>| async move {
        let data = tempfile::tempdir().unwrap();
        let builder = Receiver::builder::<()>().data_dir(data.path()).queue(queue).role(role);
        let builder = builder.source("cafe", Poster::new(SECRET)).source("pim", Quable::new("Bearer abc"));
        builder.retention(done, failed).build().await.unwrap_err()
    };
    for role in [Role::All, Role::Ingress, Role::Worker] {
        for (done, failed, which) in [(Some(HOUR), None, "done"), (None, Some(HOUR), "failed")] {
            let wrong = build(queue(), role, done, failed).await;
            assert!(matches!(wrong, BuildError::RetentionBelowKeep { .. }), "{wrong:?}");
            let text = wrong.to_string();
            for part in [which, "`.retention(…)`", "for 3600s", "`.keep(7200s)`", "expected at least 7200s"]
            {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        for timeout in [Duration::from_millis(1500), Duration::from_secs(2)] {
            let wrong = build(queue().ack_both(timeout), role, Some(2 * HOUR), None).await;
            assert!(matches!(wrong, BuildError::AckTimeout { .. }), "{wrong:?}");
            let text = wrong.to_string();
            let given = format!("`.ack_both({timeout:?})`");
            for part in [&given, "\"cafe\"", "(1.5s)", "expected less, such as 300ms"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
}

#[cfg(feature = "admin")]
#[tokio::test]
async fn an_admin_listener_that_an_empty_token_should_open_is_said_when_it_is_built() {
    let data = tempfile::tempdir().unwrap();
    let builder = Receiver::builder::<()>().data_dir(data.path()).source("cafe", Poster::new(SECRET));
    let wrong = builder.admin(([127, 0, 0, 1], 0).into(), ["new", ""]).build().await.unwrap_err();
    assert!(matches!(wrong, BuildError::EmptyAdminToken(_)), "{wrong:?}");
    assert!(wrong.to_string().contains("`.admin(…)`"), "{wrong}");
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn settings_that_are_put_together_in_code_are_held_to_the_same() {
    use doorbell::config::{ProviderKind, ProviderSettings};

    let mut cafe = ProviderSettings::new(ProviderKind::Poster);
    (cafe.secrets, cafe.path_secrets) = (SECRET.into(), "".into());
    let mut erp = ProviderSettings::new(ProviderKind::Kladana);
    // Not a reason to take whatever comes.
    (erp.path_secrets, erp.insecure) = ("".into(), true);
    for settings in [cafe, erp] {
        let data = tempfile::tempdir().unwrap();
        let builder =
            Receiver::builder::<()>().data_dir(data.path()).source("it", settings.source().unwrap());
        let wrong = builder.build().await.unwrap_err();
        assert!(matches!(wrong, BuildError::EmptyPathSecret(_)), "{wrong:?}");
    }
}
