//! The README's configuration is one that is accepted. (Its Rust is compiled with the documentation tests.)
#![cfg(feature = "cli")]

use std::io::ErrorKind;

use doorbell::config::Config;

#[test]
fn the_configuration_in_the_readme_is_right() {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (toml, _) = rest.split_once("```").unwrap();
    let variable = |name: &str| {
        Some(match name {
            "SHOP_SECRET" => "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".to_owned(),
            name => format!("made-up-value-of-{name}").to_lowercase(),
        })
    };
    let config = Config::parse(toml, variable, |_| Err(ErrorKind::NotFound.into())).unwrap();
    assert_eq!(config.warnings, []);
    assert_eq!((config.sources.len(), config.routes.len()), (2, 2));
}
