//! The admin token that is made where the configuration names none.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::Path,
};

use crate::provider::Secret;

/// The token's file in the data folder.
const FILE: &str = "admin-token";

/// The token kept in this data folder.
///
/// # Errors
/// That the file can't be read or is empty; the message names it.
pub(crate) fn load(data: &Path) -> io::Result<Secret> {
    let path = data.join(FILE);
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let text = fs::read_to_string(&path).map_err(named)?;
    match text.trim() {
        "" => Err(named(io::Error::new(
            ErrorKind::InvalidData,
            "the admin token is expected in this file, which is empty; remove it to have a new one made",
        ))),
        token => Ok(Secret::from(token)),
    }
}

/// The token kept in this data folder, made if there is none. `true`: it is new, and is to be printed this once.
///
/// # Errors
/// That the file can't be read or written, or is empty; the message names it.
pub(crate) fn load_or_make(data: &Path) -> io::Result<(Secret, bool)> {
    match load(data) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        loaded => return loaded.map(|token| (token, false)),
    }
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let token = hex::encode(random);
    // Written aside and moved into place: a crash leaves the whole token or none.
    let (path, aside) = (data.join(FILE), data.join("admin-token.new"));
    write(&aside, &token)
        .and_then(|()| fs::rename(&aside, &path))
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    Ok((Secret::from(token), true))
}

fn write(path: &Path, token: &str) -> io::Result<()> {
    let mut file = private(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

/// A new file that only its owner can read, from its first moment on.
fn private(path: &Path) -> io::Result<File> {
    // One that a crash has left behind may have other permissions.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_and_kept_private() {
        let data = tempfile::tempdir().unwrap();
        assert!(load(data.path()).unwrap_err().to_string().contains("admin-token"));
        let (made, new) = load_or_make(data.path()).unwrap();
        assert!(new && made.expose().len() == 64);
        let (kept, new) = load_or_make(data.path()).unwrap();
        assert!(
            !new && kept.expose() == made.expose() && load(data.path()).unwrap().expose() == made.expose()
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let permissions = fs::metadata(data.path().join(FILE)).unwrap().permissions();
            assert_eq!(permissions.mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn an_empty_file_is_an_error_that_names_it() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), "\n").unwrap();
        let error = load_or_make(data.path()).unwrap_err().to_string();
        assert!(error.contains("admin-token") && error.contains("remove it"), "{error}");
    }
}
