//! SQLite files of the data directory: how they are opened, their versions, their errors.
//!
//! Every database carries its version in `user_version`; a newer one is refused, an older one is brought up to date
//! by the process that owns it.

use std::path::Path;
use std::time::Duration;

use ledgerline_domain::{Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags};

/// What is in a database.
pub(crate) struct Schema {
    /// Version of the tables.
    pub version: i64,
    /// Makes them.
    pub tables: &'static str,
    /// What makes the next version out of version 1, 2 and so on.
    pub steps: &'static [&'static str],
    /// When a commit is on the disk: `NORMAL` with the next checkpoint of the database, `FULL` at once.
    pub synchronous: &'static str,
}

/// `LEDG`: tells the file's type to `file(1)` and to us.
const APPLICATION_ID: i64 = 0x4c45_4447;
const PAGE_BYTES: u32 = 8192;
/// How long a connection waits for another process's write.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Statements kept prepared per connection.
const STATEMENTS_MAX: usize = 32;

/// An error of SQLite, by what the caller must do.
pub(crate) fn sql_error(action: &str, cause: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    let kind = match cause.sqlite_error_code() {
        Some(
            Code::DatabaseBusy
            | Code::DatabaseLocked
            | Code::DiskFull
            | Code::SystemIoFailure
            | Code::OutOfMemory
            | Code::OperationInterrupted
            | Code::CannotOpen,
        ) => ErrorKind::Retry,
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => ErrorKind::Data,
        _ => ErrorKind::Internal,
    };
    Error::new(kind, action).because(cause)
}

/// Opens the writer's connection and makes the tables when they are not there.
pub(crate) fn open_writer(path: &Path, schema: &Schema) -> Result<Connection> {
    let action = format!("open the database {}", path.display());
    let failed = |e| sql_error(&action, e);
    let mut connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    // Takes effect only in a file without tables.
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
    check_version(&connection, path, schema)?;
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" {
        return Err(Error::invalid(format!("{action}: its file system does not support a write-ahead log")));
    }
    for (name, value) in [
        ("synchronous", schema.synchronous),
        ("cache_size", "-16384"),
        ("temp_store", "MEMORY"),
        ("wal_autocheckpoint", "4096"),
        ("journal_size_limit", "67108864"),
    ] {
        connection.pragma_update(None, name, value).map_err(failed)?;
    }
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    if version < schema.version {
        let make = connection.transaction().map_err(failed)?;
        if version == 0 {
            make.execute_batch(schema.tables).map_err(failed)?;
        }
        let done = usize::try_from(version - 1).unwrap_or(schema.steps.len());
        for step in schema.steps.iter().skip(done) {
            make.execute_batch(step).map_err(failed)?;
        }
        make.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
        make.pragma_update(None, "user_version", schema.version).map_err(failed)?;
        make.commit().map_err(failed)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// Opens a connection that reads; also beside a process that writes.
pub(crate) fn open_reader(path: &Path, schema: &Schema) -> Result<Connection> {
    open_existing(path, OpenFlags::SQLITE_OPEN_READ_ONLY, schema)
}

/// Opens a connection that writes small things beside the process that owns the database.
pub(crate) fn open_beside(path: &Path, schema: &Schema) -> Result<Connection> {
    open_existing(path, OpenFlags::SQLITE_OPEN_READ_WRITE, schema)
}

fn open_existing(path: &Path, flags: OpenFlags, schema: &Schema) -> Result<Connection> {
    let action = format!("open the database {}", path.display());
    let failed = |e| sql_error(&action, e);
    if !path.exists() {
        return Err(Error::invalid(format!("{action}: there is none; name the data directory that serve uses")));
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(failed)?;
    connection.busy_timeout(BUSY_WAIT).map_err(failed)?;
    connection.pragma_update(None, "cache_size", "-4096").map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    if check_version(&connection, path, schema)? == 0 {
        return Err(Error::retry(format!("{action}: it is just being made")));
    }
    Ok(connection)
}

fn check_version(connection: &Connection, path: &Path, schema: &Schema) -> Result<i64> {
    let action = format!("open the database {}", path.display());
    let value = |name: &str| -> Result<i64> {
        connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| sql_error(&action, e))
    };
    let (version, application) = (value("user_version")?, value("application_id")?);
    if version > schema.version {
        return Err(Error::data(format!(
            "{action}: its tables are version {version} and this program knows versions up to {}; use the newer \
             program that wrote it",
            schema.version
        )));
    }
    if version != 0 && application != APPLICATION_ID {
        return Err(Error::data(format!("{action}: it is another program's")));
    }
    Ok(version)
}
