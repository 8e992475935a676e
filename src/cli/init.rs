//! `doorbell init`.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;

use super::{Failure, Global, print};
use crate::config::{Config, random_secret};

/// What `doorbell init` takes.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Overwrite the file if it is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(args: &InitArgs, global: &Global) -> Result<(), Failure> {
    let file = global.config.clone().unwrap_or_else(|| PathBuf::from(Config::DEFAULT_FILE));
    let variables = VARIABLES.into_iter().map(Variable::make).collect::<io::Result<_>>();
    let variables =
        variables.map_err(|error| Failure::Failed(format!("no random bytes can be had: {error}")))?;
    write(&file, args.force)?;
    print::value(global.json, &Initialised { file, variables })
}

fn write(file: &Path, force: bool) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true)
    } else {
        options.create_new(true)
    };
    options.open(file).and_then(|mut file| file.write_all(Config::example().as_bytes())).map_err(|error| {
        let file = file.display();
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failure::Failed(format!(
                "{file} is there already; --force overwrites it, --config names another file"
            ))
        } else {
            Failure::Failed(format!("{file} can't be written: {error}"))
        }
    })
}

/// What was done, and what is to be done next.
#[derive(Debug, Serialize)]
struct Initialised {
    file: PathBuf,
    /// The variables that the file refers to.
    variables: Vec<Variable>,
}

#[derive(Debug, Serialize)]
struct Variable {
    name: &'static str,
    /// A value made up for it, where it is ours to choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    made_up: Option<String>,
    /// Where its value comes from, or where it must be entered.
    note: &'static str,
}

/// The variables of the example: name, whether its value is ours to choose, and a note.
const VARIABLES: [(&str, bool, &str); 5] = [
    ("KLADANA_PATH_SECRET", true, "becomes part of the URL that is registered with Kladana"),
    ("QUABLE_AUTHORIZATION", true, "enter it in Quable as the webhook's Authorization value"),
    ("POSTER_SECRET", false, "the application's secret, as Poster's developer pages show it"),
    ("SHAREACTOR_SECRET", false, "the webhook's secret, as Shareactor has it"),
    ("SHAREACTOR_PATH_SECRET", true, "becomes part of the URL that is registered with Shareactor"),
];

impl Variable {
    fn make((name, ours, note): (&'static str, bool, &'static str)) -> io::Result<Self> {
        Ok(Self { name, made_up: if ours { Some(random_secret()?) } else { None }, note })
    }
}

impl fmt::Display for Initialised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Wrote {}. It takes its secrets from the environment:", self.file.display())?;
        writeln!(f)?;
        for Variable { name, made_up, note } in &self.variables {
            let value = made_up.as_deref().unwrap_or("'…'");
            writeln!(f, "  export {name}={value}   # {note}")?;
        }
        writeln!(f)?;
        writeln!(f, "Remove the sources that you don't have. Then:")?;
        writeln!(f)?;
        writeln!(f, "  doorbell check   # what is wrong, and what would be lost in which failure")?;
        write!(f, "  doorbell serve   # prints each source's URL")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_the_example_is_told_and_no_other() {
        let text = Config::example();
        let used: Vec<_> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'))
            .filter_map(|line| Some(line.split_once("= \"${")?.1.split_once('}')?.0))
            .collect();
        assert_eq!(used, VARIABLES.map(|(name, ..)| name));
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("doorbell.toml");
        write(&file, false).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), Config::example());
        std::fs::write(&file, "mine").unwrap();
        let error = write(&file, false).unwrap_err();
        assert!(error.to_string().contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        write(&file, true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), Config::example());
    }
}
