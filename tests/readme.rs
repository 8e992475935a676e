//! The configuration in the README and in the providers' guides is one that is accepted, and the command in the README's walk
//! does what is said of it. (Their Rust is compiled with the documentation tests.)
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

#[path = "support/played.rs"]
mod played;
#[allow(dead_code, reason = "the tests of the command use what is not used here")]
mod support;

use std::io::ErrorKind;

use doorbell::{
    Event, Receiver,
    config::Config,
    provider::{Poster, poster::Stock},
};

const README: &str = include_str!("../README.md");

/// The walk through a handler in Rust: its sender is played as shown, and the level comes in that is promised.
#[tokio::test(flavor = "multi_thread")]
async fn the_sender_that_the_readme_plays_reaches_its_handler() {
    let walk = README.split("## A handler in Rust").nth(1).unwrap();
    let (variable, command) = ("POSTER_SECRET=", "cargo run --release -- send ");
    let line = |start: &str| walk.lines().find_map(|line| line.strip_prefix(start)).unwrap().to_owned();
    let (secret, shown) = (line(variable), line(command));
    let secret = secret.split(' ').next().unwrap();

    let (levels, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let data = tempfile::tempdir().unwrap();
    let receiver = Receiver::builder()
        .data_dir(data.path())
        .listen(([127, 0, 0, 1], 0).into())
        .source("cafe", Poster::new(secret))
        .on("cafe", "stock.*", move |Event(stock): Event<Stock>| {
            let sent = levels.send(stock.value_absolute);
            async move { Ok(sent?) }
        })
        .build()
        .await
        .unwrap();
    let receiver = receiver.bind().await.unwrap();
    let address = format!("http://{}", receiver.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(receiver.serve(async { drop(stopped.await) }));
    tokio::task::spawn_blocking(move || played::play(&shown, &address)).await.unwrap();
    let level = seen.recv().await.unwrap();
    assert!(walk.contains(&format!("`{level} left`")), "{level}");
    drop(stop);
    serving.await.unwrap();
}

#[test]
fn the_configuration_in_the_readme_is_right() {
    let config = first_configuration(README);
    assert_eq!((config.sources.len(), config.routes.len()), (2, 2));
}

#[test]
fn the_configuration_in_the_guides_is_right() {
    for guide in [
        include_str!("../src/provider/hmac/guide.md"),
        include_str!("../src/provider/kladana/guide.md"),
        include_str!("../src/provider/poster/guide.md"),
        include_str!("../src/provider/quable/guide.md"),
        include_str!("../src/provider/shareactor/guide.md"),
    ] {
        for part in guide.split("```toml\n").skip(1) {
            parse(part);
        }
    }
}

fn first_configuration(text: &str) -> Config {
    parse(text.split_once("```toml\n").unwrap().1)
}

/// Reads what stands before the end of the block.
fn parse(text: &str) -> Config {
    let (toml, _) = text.split_once("```").unwrap();
    let variable = |name: &str| {
        Some(match name {
            "SHOP_SECRET" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
            name => format!("made-up-value-of-{name}").to_lowercase(),
        })
    };
    let config = Config::parse(toml, variable, |_| Err(ErrorKind::NotFound.into())).unwrap();
    assert_eq!(config.warnings, [], "{toml}");
    config
}
