//! What subcommands print: text for people, or JSON.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use super::Failure;

/// Prints a value: its text, or one line of JSON.
pub(crate) fn value(json: bool, value: &(impl fmt::Display + Serialize)) -> Result<(), Failure> {
    if json {
        let text = serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?;
        line(&mut io::stdout().lock(), &text)
    } else {
        line(&mut io::stdout().lock(), value)
    }
}

/// Says on the standard error why a subcommand failed.
pub(crate) fn failure(json: bool, failure: &Failure) {
    let written = match failure {
        Failure::Reported(_) => Ok(()),
        _ if json => line(&mut io::stderr().lock(), &serde_json::json!({ "error": failure.to_string() })),
        _ => line(&mut io::stderr().lock(), failure),
    };
    // Nobody is there to be told that nobody can be told.
    drop(written);
}

/// Text from outside, without characters that a terminal would obey.
pub(crate) fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    harmless
}

/// A reader that has seen enough (`doorbell check | head`) is no failure.
fn line(to: &mut impl Write, value: &impl fmt::Display) -> Result<(), Failure> {
    match writeln!(to, "{value}").and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("the output can't be written: {error}")))
        }
        _ => Ok(()),
    }
}
