//! `control.db`: what the processes of one data directory tell each other. Requests of the command line,
//! the generations and which one is live, and the provider files that each is folded with.
//!
//! It is small and rarely written, so every write is on the disk when it returns. Any process may write:
//! a command line beside a server makes generations and asks for things; only the process that holds the
//! directory's lock moves the live mark and deletes.

mod generations;
mod providers;
mod requests;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ledgerline_domain::ports::Clock as _;
use ledgerline_domain::{Error, Result};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::files::{blocking, sync_dir};
use super::lock::DirectoryLock;
use super::sqlite::{Schema, open_beside, open_reader, open_writer, sql_error};
use crate::clock::SystemClock;
use crate::control::steps;

const CONTROL: Schema = Schema { version: 1, tables: TABLES, steps: &[], synchronous: "FULL" };

const TABLES: &str = "
CREATE TABLE requests (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ask TEXT NOT NULL,
  outcome TEXT
);
CREATE INDEX requests_pending ON requests (ask) WHERE outcome IS NULL;
CREATE TABLE generations (
  number INTEGER PRIMARY KEY,
  status TEXT NOT NULL,
  made_at INTEGER NOT NULL,
  reason TEXT,
  parts INTEGER NOT NULL,
  parts_done TEXT NOT NULL,
  positions TEXT
);
CREATE UNIQUE INDEX one_is_live ON generations (status) WHERE status = 'live';
CREATE UNIQUE INDEX one_was_live_before ON generations (status) WHERE status = 'previous';
CREATE TABLE provider_files (
  number INTEGER PRIMARY KEY,
  text TEXT NOT NULL UNIQUE
);
CREATE TABLE generation_sources (
  generation INTEGER NOT NULL,
  source TEXT NOT NULL,
  file INTEGER NOT NULL,
  PRIMARY KEY (generation, source)
) WITHOUT ROWID;
";

/// The control database. Clones share it.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    reader: Mutex<Option<Connection>>,
    _lock: Option<Arc<DirectoryLock>>,
}

impl Control {
    /// Opens the database for the process that owns the directory, or makes it, with a first generation
    /// that is live.
    pub(crate) fn open(path: &Path, lock: Option<Arc<DirectoryLock>>) -> Result<Self> {
        let failed = |e| sql_error("begin the first generation", e);
        let mut connection = open_writer(path, &CONTROL)?;
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        if generations::all(&change)?.is_empty() {
            generations::replace(&change, &[], &steps::first(SystemClock.now()))?;
        }
        change.commit().map_err(failed)?;
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(failed)?;
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), reader: Mutex::new(Some(connection)), _lock: lock }) })
    }

    /// Opens the database beside the process that owns the directory, or without one.
    pub(crate) fn beside(path: &Path) -> Result<Self> {
        let first = open_reader(path, &CONTROL)?;
        Ok(Self { inner: Arc::new(Inner { path: path.to_owned(), reader: Mutex::new(Some(first)), _lock: None }) })
    }

    async fn read<T, F>(&self, action: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let control = self.clone();
        blocking(move || control.read_now(action, work)).await
    }

    fn read_now<T>(&self, action: &'static str, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let failed = |e| sql_error(action, e);
        let idle = self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = idle.map_or_else(|| open_reader(&self.inner.path, &CONTROL), Ok)?;
        let one = connection.unchecked_transaction().map_err(failed)?;
        let found = work(&one)?;
        one.finish().map_err(failed)?;
        *self.inner.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection);
        Ok(found)
    }

    /// One change, on the disk when it returns.
    async fn write<T, F>(&self, action: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    {
        let path = self.inner.path.clone();
        blocking(move || {
            let failed = |e| sql_error(action, e);
            let mut connection = open_beside(&path, &CONTROL)?;
            connection.pragma_update(None, "synchronous", CONTROL.synchronous).map_err(failed)?;
            let change = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            let done = work(&change)?;
            change.commit().map_err(failed)?;
            Ok(done)
        })
        .await
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Control({})", self.inner.path.display())
    }
}

fn damaged(what: &str) -> Error {
    Error::data(format!("read control.db: its row of {what} is damaged"))
}
