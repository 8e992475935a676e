//! The configuration in the README and in the providers' guides is one that is accepted. (Their Rust is compiled with the
//! documentation tests.)
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail as the test itself")]

use std::io::ErrorKind;

use doorbell::config::Config;

#[test]
fn the_configuration_in_the_readme_is_right() {
    let config = first_configuration(include_str!("../README.md"));
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
