//! What the compiler says of handlers of a wrong shape: it has to name what is wrong, and how to mend it.
//!
//! `TRYBUILD=overwrite cargo test --test ui` writes the messages down anew, to be read before they are committed.

#![cfg(feature = "receiver")]

use std::{env, process::Command};

/// The compiler whose messages are written down. Each release words them a little differently. CI installs this one, by
/// `.github/workflows/ci.yml`, and lets no test be skipped: nobody would miss it there.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn handlers_of_a_wrong_shape_are_explained() {
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    if !version.starts_with(COMPILER) {
        let why = format!("the messages are those of {COMPILER}x, and this is {}", version.trim_end());
        assert!(
            env::var_os("DOORBELL_NO_SKIP").is_none(),
            "{why}; name the same release here and in .github/workflows/ci.yml"
        );
        eprintln!("skipped: {why}");
        return;
    }
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
