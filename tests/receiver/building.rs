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
