//! What is wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

use serde::Serialize;

/// Everything that is wrong with a configuration: all of it, not only the first error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// The file that was read, if it was one.
    pub file: Option<PathBuf>,
    /// What is wrong, in the order of the file's lines.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong, or that is likely not meant so. Never holds a secret's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The line in the file, from 1; 0 where it is about the file as a whole.
    pub line: usize,
    /// What it is about: `[[source]] "cafe", secret`.
    pub subject: String,
    /// What is there, what was expected, and how to mend it.
    pub message: String,
}

impl ConfigError {
    /// One problem with the file as a whole.
    pub(super) fn whole(
        file: Option<PathBuf>,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { file, problems: vec![Problem { line: 0, subject: subject.into(), message: message.into() }] }
    }

    pub(super) fn in_file(mut self, file: PathBuf) -> Self {
        self.file = Some(file);
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if let Some(file) = &self.file {
                write!(f, "{}{}", file.display(), if problem.line > 0 { ", " } else { ": " })?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.message)
    }
}
