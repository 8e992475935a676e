//! What subcommands print: text for people, or JSON.

use std::{
    fmt,
    io::{self, Write},
};

use serde::Serialize;

use super::Failure;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// As JSON.
    pub(crate) json: bool,
}

impl Output {
    /// Prints a value: its text, or one line of JSON.
    pub(crate) fn value(self, value: &(impl fmt::Display + Serialize)) -> Result<(), Failure> {
        if self.json {
            let text = serde_json::to_string(value).map_err(|error| Failure::Failed(error.to_string()))?;
            line(&mut io::stdout().lock(), &text)
        } else {
            line(&mut io::stdout().lock(), value)
        }
    }

    /// Says on the standard error why a subcommand failed.
    pub(crate) fn failure(self, failure: &Failure) {
        if matches!(failure, Failure::Reported(_)) {
            return;
        }
        let written = if self.json {
            line(&mut io::stderr().lock(), &serde_json::json!({ "error": failure.to_string() }))
        } else {
            line(&mut io::stderr().lock(), failure)
        };
        // Nobody is there to be told that nobody can be told.
        drop(written);
    }
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
