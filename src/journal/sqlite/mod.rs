pub(crate) struct Sqlite;
pub(crate) struct SqliteOptions;
