//! Everything on one machine, in one data directory:
//!
//! | name | what |
//! | --- | --- |
//! | `lock` | held by the process that uses the directory |
//! | `format` | version, number of shards |
//! | `log/` | segment files of the log |
//! | `state.db` (and `-wal`, `-shm`) | entity records, checkpoints, quarantine, requests: SQLite |
//! | `archive/` | archive objects as files |
//!
//! [`Embedded::open`] is for the one process that serves; [`EmbeddedReader::open`] reads state and
//! archive beside it. [`ErrorKind::Invalid`] at opening means
//! that somebody has to choose or stop something, [`ErrorKind::Data`]
//! that files are damaged, missing or newer than this program.

mod archive;
mod files;
mod format;
mod lock;
mod log;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use ledgerline_domain::ports::{Entities as _, Log as _};
use ledgerline_domain::{Error, ErrorKind, Result};

pub use archive::LocalArchive;
pub use files::keep_file;
pub use format::{DATA_VERSION, Format, SHARDS_DEFAULT, SHARDS_MAX};
pub use log::{DiskHook, DiskStep, EmbeddedLog, LogOptions, LogStats};
pub use store::{EmbeddedStore, ReleaseRequest};

use self::files::create_dirs;
use self::lock::DirectoryLock;
use crate::clock::SystemClock;

/// How a data directory is opened. Plain data.
#[derive(Clone, Debug, Default)]
pub struct EmbeddedOptions {
    /// Number of shards of a new log; 4 when nothing is said. An existing log keeps its number, and
    /// asking for another one is an error.
    pub shards: Option<u32>,
    /// Bounds of the log.
    pub log: LogOptions,
}

/// A data directory in use. The parts keep the lock until the last of them is dropped.
#[derive(Debug)]
pub struct Embedded {
    /// The ordered log.
    pub log: Arc<EmbeddedLog>,
    /// Entity records, checkpoints and quarantine.
    pub store: Arc<EmbeddedStore>,
    /// The archive.
    pub archive: Arc<LocalArchive>,
}

impl Embedded {
    /// Opens the data directory `dir`, or makes one, for this process alone.
    pub async fn open(dir: &Path, options: EmbeddedOptions) -> Result<Self> {
        let owned = dir.to_owned();
        let opened = files::blocking(move || Self::open_files(&owned, options)).await?;
        opened.check_together(dir).await?;
        Ok(opened)
    }

    fn open_files(dir: &Path, options: EmbeddedOptions) -> Result<Self> {
        // Before anything is made: what cannot work leaves no trace.
        options.log.check()?;
        create_dirs(dir).map_err(|e| Error::new(ErrorKind::Invalid, "use the data directory").because(e))?;
        let lock = Arc::new(DirectoryLock::take(dir)?);
        let format = Format::read_or_create(dir, options.shards)?;
        let store = EmbeddedStore::open(&dir.join("state.db"), Some(lock.clone()))?;
        let archive = LocalArchive::open(&dir.join("archive"), Some(lock.clone()))?;
        let clock = Arc::new(SystemClock);
        let log = EmbeddedLog::open(&dir.join("log"), format.log_shards, options.log, clock, Some(lock))?;
        Ok(Self { log: Arc::new(log), store: Arc::new(store), archive: Arc::new(archive) })
    }

    /// State never runs ahead of the log, unless log files were lost: new records would then take
    /// positions that count as folded.
    async fn check_together(&self, dir: &Path) -> Result<()> {
        let newest = self.log.newest();
        for shard in self.log.shards() {
            let Some(checkpoint) = self.store.checkpoint(&shard).await? else { continue };
            if checkpoint.to_u64().is_none_or(|covered| covered > newest) {
                return Err(Error::data(format!(
                    "use the data directory {}: the state covers {shard} up to {checkpoint} and the log ends at \
                     {newest}; log files were lost, restore them from a copy",
                    dir.display()
                )));
            }
        }
        Ok(())
    }
}

/// State and archive of a data directory, for reading; whether or not a process serves it.
#[derive(Debug)]
pub struct EmbeddedReader {
    /// Entity records, checkpoints and quarantine; refuses commits.
    pub store: Arc<EmbeddedStore>,
    /// The archive.
    pub archive: Arc<LocalArchive>,
    /// What the directory is.
    pub format: Format,
}

impl EmbeddedReader {
    /// Opens the data directory `dir`, which must exist.
    pub async fn open(dir: &Path) -> Result<Self> {
        let dir = dir.to_owned();
        files::blocking(move || {
            let format = Format::read(&dir)?.ok_or_else(|| {
                Error::invalid(format!(
                    "read the data directory {}: it holds no Ledgerline data; name the directory that serve uses",
                    dir.display()
                ))
            })?;
            let store = EmbeddedStore::open_read_only(&dir.join("state.db"))?;
            let archive = LocalArchive::beside(&dir.join("archive"));
            Ok(Self { store: Arc::new(store), archive: Arc::new(archive), format })
        })
        .await
    }
}
