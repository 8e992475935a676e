//! The configuration where there is no file, and its made-up secrets.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{Config, ConfigError};

/// The names under which the secrets are kept, as `embedded.toml` uses them.
const NAMES: [&str; 5] = [
    "kladana_path_secret",
    "poster_secret",
    "quable_authorization",
    "shareactor_path_secret",
    "shareactor_secret",
];

/// `keep`: writes the secrets down if they had to be made.
pub(super) fn config(dir: &Path, keep: bool) -> Result<Config, ConfigError> {
    let file = Config::secrets_file(dir);
    let secrets = match fs::read_to_string(&file) {
        Ok(text) => read(&text, &file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let secrets = make(&file)?;
            if keep {
                write(dir, &file, &secrets).map_err(|error| cannot(&file, "can't be written", &error))?;
            }
            secrets
        }
        Err(error) => return Err(cannot(&file, "can't be read", &error)),
    };
    let mut config = Config::parse(
        include_str!("embedded.toml"),
        |name| secrets.get(name).cloned(),
        // It names no file.
        |_| Err(io::ErrorKind::NotFound.into()),
    )
    .map_err(|error| error.in_file(file))?;
    dir.clone_into(&mut config.journal.dir);
    Ok(config)
}

/// A new random secret: 128 bits as 32 hexadecimal digits.
pub(crate) fn random_secret() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(hex::encode(bytes))
}

fn read(text: &str, file: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let mend = "delete the file to have new secrets made, and give the new URLs and secrets to the senders";
    // The error itself is not shown: it would quote the file.
    let Ok(secrets) = toml::from_str::<BTreeMap<String, String>>(text) else {
        return Err(ConfigError::whole(
            Some(file.to_owned()),
            "",
            format!("is not as it was written; {mend}"),
        ));
    };
    match NAMES.into_iter().find(|name| secrets.get(*name).is_none_or(String::is_empty)) {
        Some(name) => {
            Err(ConfigError::whole(Some(file.to_owned()), format!("`{name}`"), format!("is missing; {mend}")))
        }
        None => Ok(secrets),
    }
}

fn make(file: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let made =
        NAMES.into_iter().map(|name| Ok((name.to_owned(), random_secret()?))).collect::<io::Result<_>>();
    made.map_err(|error| cannot(file, "can't be made, for want of random bytes", &error))
}

/// Writes the whole file or nothing: half of it would be an error on the next start.
fn write(dir: &Path, file: &Path, secrets: &BTreeMap<String, String>) -> io::Result<()> {
    crate::journal::create_private_folder(dir)?;
    let partial = PathBuf::from(format!("{}.{}", file.display(), random_secret()?));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&partial).and_then(|mut partial| {
        writeln!(partial, "# Made up on the first start without a configuration file.")?;
        for (name, secret) in secrets {
            writeln!(partial, "{name} = \"{secret}\"")?;
        }
        partial.sync_all()
    });
    let renamed = written.and_then(|()| fs::rename(&partial, file));
    if renamed.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&partial);
    }
    renamed
}

fn cannot(file: &Path, what: &str, error: &io::Error) -> ConfigError {
    let mend = "the data folder must be one that this user may write to";
    ConfigError::whole(Some(file.to_owned()), "", format!("{what}: {error}; {mend}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_only_their_owner_reads_them() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("data");
        let urls =
            |config: &Config| config.sources.iter().map(|source| source.url("http://x")).collect::<Vec<_>>();
        let first = config(&dir, true).unwrap();
        assert_eq!(first.journal.dir, dir);
        let names: Vec<_> = first.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["kladana", "quable", "poster", "shareactor"]);
        assert_eq!(first.warnings, []);
        assert_eq!(urls(&first)[0].len(), "http://x/in/kladana/".len() + 32);
        assert_eq!(urls(&first), urls(&config(&dir, true).unwrap()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(Config::secrets_file(&dir)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "nothing partial is left");
        let other = tempfile::tempdir().unwrap();
        assert_ne!(urls(&first), urls(&config(other.path(), false).unwrap()));
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "a preview writes nothing");
    }

    #[test]
    fn a_damaged_file_is_an_error_that_shows_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        for (text, part) in [
            ("poster_secret = \"5d8e1c0f\n", "is not as it was written"),
            ("poster_secret = \"5d8e1c0f\"\n", "`kladana_path_secret`: is missing"),
            ("poster_secret = 1", "is not as it was written"),
        ] {
            fs::write(Config::secrets_file(folder.path()), text).unwrap();
            let error = config(folder.path(), true).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("secrets.toml") && error.contains("delete"),
                "{error}"
            );
            assert!(!error.contains("5d8e1c0f"), "{error}");
        }
    }
}
