//! How much of the file is in use.

use rusqlite::Connection;

use super::row::from_sql;

/// The size of a page; SQLite's default, which nothing here changes.
const PAGE: i64 = 4096;

/// How many bytes are in use. What was deleted leaves free pages behind, which are used again.
pub(super) fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    Ok(from_sql((pages - free).saturating_mul(PAGE)))
}

/// From how many bytes on the file is nearly full, which is worth a warning.
pub(super) fn nearly(max_size: u64) -> u64 {
    max_size / 10 * 8
}

/// Whether the file is nearly full.
#[cfg(any(test, feature = "redis"))]
pub(super) fn is_nearly_full(connection: &Connection, max_size: u64) -> rusqlite::Result<bool> {
    Ok(used(connection)? >= nearly(max_size))
}
