//! The data folder: one process at a time, files that only their owner reads, connections that fsync.

use std::{
    error::Error,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::schema;
use crate::clock;

/// What the name of a slot's folder begins with; its number follows.
const PREFIX: &str = "journal-";
/// For how long a slot that is held is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why a journal can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data folder {folder} is in use by another process; stop it first, or give this one another [journal] dir"
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// It holds jobs of the embedded queue, and was to be opened for a queue that machines share.
    #[error(
        "{folder} holds {jobs} jobs of the embedded queue that have not ended, and [queue] url does not say \
         \"embedded\" any more; set it back and let `doorbell drain` end them, or give this one another [journal] dir"
    )]
    UnendedJobs {
        /// The folder.
        folder: PathBuf,
        /// How many jobs are queued, running or retrying.
        jobs: u64,
    },
    /// It holds deliveries that were to be moved to a queue that machines share, and was to be opened as embedded.
    #[error(
        "{folder} holds {deliveries} deliveries that were not yet moved to Redis, and [queue] url says \"embedded\" \
         now; set it back and let `doorbell drain` move them, or give this one another [journal] dir"
    )]
    Unrelayed {
        /// The folder.
        folder: PathBuf,
        /// How many deliveries wait.
        deliveries: u64,
    },
    /// The folder or a file in it can't be used.
    #[error("can't use {path}: {source}; check that it exists, is writable and has room")]
    Io {
        /// What can't be used.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a journal of Doorbell.
    #[error(
        "{path} is not a journal of Doorbell ({found}); move it away, or give [journal] dir another folder"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The file was written by a newer build.
    #[error("{path} has format {found}, this build knows {known} at most; run the newer build that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's format.
        found: u32,
        /// The newest one that this build knows.
        known: u32,
    },
    /// The file is damaged, or the database refuses.
    #[error(
        "can't open the journal {path}: {source}; if the file is damaged, move the folder away as it is (what it still \
         holds can be salvaged with `sqlite3 journal.db .recover`) and restart"
    )]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file system or the build does not keep the promise that a commit is on disk.
    #[error("{path}: {pragma} is {found}, but must be {expected}: a commit would not be durable here")]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// The setting.
        pragma: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
}

impl OpenError {
    pub(super) fn database(path: &Path, source: rusqlite::Error) -> Self {
        Self::Database { path: path.to_owned(), source: source.into() }
    }
}

/// One slot of the data folder, locked for this process until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) database: PathBuf,
    _lock: File,
}

impl Slot {
    /// Locks `dir/journal-<number>`, made if it is not there.
    pub(super) fn lock(dir: &Path, number: u32) -> Result<Self, OpenError> {
        let folder = dir.join(format!("{PREFIX}{number}"));
        for path in [dir, &folder] {
            create_private_folder(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        }
        let lock_file = folder.join("lock");
        let lock = private_file(&lock_file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => return Err(OpenError::Locked { folder }),
            Err(std::fs::TryLockError::Error(source)) => {
                return Err(OpenError::Io { path: lock_file, source });
            }
        }
        let database = folder.join("journal.db");
        // Made here rather than by SQLite, so that it (and the -wal beside it) is private from the start.
        private_file(&database)?;
        Ok(Self { database, _lock: lock })
    }

    /// The same, of a slot that is briefly still held: a process that is being started by one that has just ended
    /// inherits its lock until it runs its own program.
    pub(super) fn lock_soon(dir: &Path, number: u32) -> Result<Self, OpenError> {
        let give_up_at = clock::instant() + PATIENCE;
        loop {
            match Self::lock(dir, number) {
                Err(OpenError::Locked { .. }) if clock::instant() < give_up_at => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                other => return other,
            }
        }
    }

    /// Locks the first slot that is free; makes one if none is.
    #[cfg(any(test, feature = "redis"))]
    pub(super) fn lock_free(dir: &Path) -> Result<(u32, Self), OpenError> {
        let mut number = 0;
        loop {
            match Self::lock(dir, number) {
                Err(OpenError::Locked { .. }) => number += 1,
                other => return other.map(|slot| (number, slot)),
            }
        }
    }

    /// The numbers of the slots that a data folder has, in order.
    pub(super) fn numbers(dir: &Path) -> Result<Vec<u32>, OpenError> {
        let io_error = |source| OpenError::Io { path: dir.to_owned(), source };
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error(error)),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry.map_err(io_error)?.file_name();
            let number: Option<u32> = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
            numbers.extend(number);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.database.parent().map(Path::to_owned).unwrap_or_default()
    }

    pub(super) fn wal(&self) -> PathBuf {
        self.database.with_file_name("journal.db-wal")
    }
}

/// Opens the file for writing, brings it up to date, and makes sure that its commits are durable.
pub(super) fn open_writer(slot: &Slot) -> Result<Connection, OpenError> {
    let path = &slot.database;
    let database = |source| OpenError::database(path, source);
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(
        |source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => {
                OpenError::Foreign { path: path.clone(), found: "no SQLite database".into() }
            }
            _ => database(source),
        },
    )?;
    let version: u32 =
        connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(database)?;
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(database)?;
    if application != schema::APPLICATION_ID && (application, version, tables) != (0, 0, 0) {
        let found =
            format!("a SQLite database with application id {application:#x} and {tables} tables or indexes");
        return Err(OpenError::Foreign { path: path.clone(), found });
    }
    if version > schema::VERSION {
        return Err(OpenError::Newer { path: path.clone(), found: version, known: schema::VERSION });
    }
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(database)?;
    require(path, "journal_mode", &mode, "wal")?;
    schema::migrate(&mut connection, version).map_err(database)?;
    Ok(connection)
}

/// Opens the file for reading only.
pub(super) fn open_reader(slot: &Slot) -> Result<Connection, OpenError> {
    let connection = connect(&slot.database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(|source| OpenError::database(&slot.database, source))?;
    Ok(connection)
}

/// Opens the file for checkpoints.
pub(super) fn open_checkpointer(slot: &Slot) -> Result<Connection, OpenError> {
    connect(&slot.database, OpenFlags::SQLITE_OPEN_READ_WRITE)
}

/// Writes the write-ahead log over itself and syncs it, before `SQLite` reads it.
///
/// When an fsync failed and the process ended before the failure was dealt with, the log's last frames may be in the
/// page cache, marked clean, and not on disk. `SQLite` would take them for committed, and a repeated delivery for a
/// duplicate of something that a power failure can still undo. Written anew, they are dirty again and get synced.
pub(super) fn resync_wal(slot: &Slot) -> Result<(), OpenError> {
    let path = slot.wal();
    let io_error = |source| OpenError::Io { path: path.clone(), source };
    let mut file = match OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error(error)),
    };
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        file.seek(SeekFrom::Start(at)).map_err(io_error)?;
        let read = file.read(&mut buffer).map_err(io_error)?;
        if read == 0 {
            break;
        }
        file.seek(SeekFrom::Start(at)).map_err(io_error)?;
        file.write_all(&buffer[..read]).map_err(io_error)?;
        at += read as u64;
    }
    file.sync_all().map_err(io_error)
}

/// Commits something, so that its fsync is known to work. It is as large as a delivery may be: on a disk that has room
/// for next to nothing, a proof of next to nothing would say little.
pub(super) fn prove(connection: &Connection) -> rusqlite::Result<()> {
    let mut write = connection.prepare_cached(
        "INSERT INTO meta (key, value) VALUES ('proof', ?1) ON CONFLICT DO UPDATE SET value = ?1",
    )?;
    write.execute(["proof".repeat(1 << 18)])?;
    write.execute([""])?;
    Ok(())
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let database = |source| OpenError::database(path, source);
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(database)?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(database)?;
    connection.set_prepared_statement_cache_capacity(64);
    // A close must not copy a log whose last sync may have failed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(database)?;
    for (pragma, value) in [
        ("synchronous", "FULL"),
        ("fullfsync", "1"),
        ("checkpoint_fullfsync", "1"),
        // Checkpoints are made by a thread of their own, off the way of an acknowledgement.
        ("wal_autocheckpoint", "0"),
        ("cache_size", "-16384"),
        ("temp_store", "MEMORY"),
        ("journal_size_limit", "67108864"),
    ] {
        connection.pragma_update(None, pragma, value).map_err(|source| match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => {
                OpenError::Foreign { path: path.to_owned(), found: "no SQLite database".into() }
            }
            _ => database(source),
        })?;
    }
    let synchronous: i64 =
        connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(database)?;
    require(path, "synchronous", &synchronous.to_string(), "2")?;
    Ok(connection)
}

fn require(path: &Path, pragma: &'static str, found: &str, expected: &'static str) -> Result<(), OpenError> {
    if found == expected {
        return Ok(());
    }
    Err(OpenError::NotDurable { path: path.to_owned(), pragma, found: found.to_owned(), expected })
}

/// Makes a folder that only its owner can enter, where there is none.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    // The folder's own entry has to survive a loss of power, too.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}

/// Whether a process has a slot of this data folder now. Makes nothing; a folder that is not there is not in use.
#[cfg(feature = "cli")]
pub(crate) fn is_in_use(dir: &Path) -> io::Result<bool> {
    let absent =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let slots = match std::fs::read_dir(dir) {
        Err(error) if absent(&error) => return Ok(false),
        slots => slots?,
    };
    for slot in slots {
        let slot = slot?;
        if !slot.file_name().to_string_lossy().starts_with("journal-") {
            continue;
        }
        match File::open(slot.path().join("lock")) {
            // A shared lock, so that two who look at the same moment do not take each other for a service.
            Ok(lock) => match lock.try_lock_shared() {
                Ok(()) => {}
                Err(std::fs::TryLockError::WouldBlock) => return Ok(true),
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            },
            Err(error) if absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn private_file(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })
}
