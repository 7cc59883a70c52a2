//! Everything on one machine, in one data directory:
//!
//! | name | what |
//! | --- | --- |
//! | `lock` | held by the process that uses the directory |
//! | `format` | version, number of shards |
//! | `log/` | segment files of the log |
//! | `control.db` (and `-wal`, `-shm`) | requests, generations and which one is live: SQLite |
//! | `state/generation-0001.db` … | entity records, checkpoints, quarantine of a generation: SQLite |
//! | `archive/` | archive objects as files |
//!
//! [`Embedded::open`] is for the one process that serves; [`EmbeddedReader::open`] reads state and
//! archive beside it. [`ErrorKind::Invalid`] at opening means
//! that somebody has to choose or stop something, [`ErrorKind::Data`]
//! that files are damaged, missing or newer than this program.

mod archive;
mod control;
mod files;
mod format;
mod lock;
mod log;
mod sqlite;
mod state;
mod store;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use ledgerline_domain::ports::{Entities as _, Log as _};
use ledgerline_domain::{Error, ErrorKind, Result};

pub use archive::LocalArchive;
pub use control::Control;
pub use files::keep_file;
pub use format::{DATA_VERSION, Format, SHARDS_DEFAULT, SHARDS_MAX};
pub use log::{DiskHook, DiskStep, EmbeddedLog, LogOptions, LogStats};
pub use store::EmbeddedStore;

use self::files::create_dirs;
use self::lock::DirectoryLock;
use self::state::{CONTROL_FILE, StateFiles};
use crate::clock::SystemClock;
pub use crate::control::{Generation, GenerationStatus, Positions, ProviderTexts, Request};

/// The store of the live generation, whichever that is.
pub type LiveStore = crate::live::LiveStore<EmbeddedStore>;

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
    /// Entity records, checkpoints and quarantine of the live generation, whichever that is.
    pub store: Arc<LiveStore>,
    /// The archive.
    pub archive: Arc<LocalArchive>,
    /// Requests and generations.
    pub control: Control,
    state: StateFiles,
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
        let state = StateFiles::open(dir, Some(lock.clone()))?;
        let control = Control::open(&dir.join(CONTROL_FILE), Some(lock.clone()))?;
        let live = control.live_now()?;
        let store = Arc::new(LiveStore::new(live, state.generation(live)?));
        let archive = LocalArchive::open(&dir.join("archive"), Some(lock.clone()))?;
        let clock = Arc::new(SystemClock);
        let log = EmbeddedLog::open(&dir.join("log"), format.log_shards, options.log, clock, Some(lock))?;
        Ok(Self { log: Arc::new(log), store, archive: Arc::new(archive), control, state })
    }

    /// State never runs ahead of the log, unless log files were lost: new records would then take
    /// positions that count as folded.
    async fn check_together(&self, dir: &Path) -> Result<()> {
        let newest = self.log.newest();
        for generation in self.control.generations().await? {
            match generation.status {
                // What a retirement left over when the process ended.
                GenerationStatus::Retired => self.state.delete(generation.number)?,
                GenerationStatus::Building => {}
                _ => self.check_generation(generation.number, newest, dir).await?,
            }
        }
        Ok(())
    }

    async fn check_generation(&self, number: u32, newest: u64, dir: &Path) -> Result<()> {
        let store = self.generation(number).await?;
        for shard in self.log.shards() {
            let Some(checkpoint) = store.checkpoint(&shard).await? else { continue };
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

    /// The records of a complete generation. They stay open until it is retired.
    pub async fn generation(&self, number: u32) -> Result<Arc<EmbeddedStore>> {
        let state = self.state.clone();
        files::blocking(move || state.generation(number)).await
    }

    /// Makes a complete generation the live one: in the control database first, then for all holders of
    /// [`store`](Self::store). [`ErrorKind::Conflict`] when it is not complete. Whether it has caught up is
    /// the caller's business.
    pub async fn make_live(&self, number: u32) -> Result<()> {
        let store = self.generation(number).await?;
        self.control.move_live(number).await?;
        self.store.follow(number, store);
        Ok(())
    }

    /// Gives a generation up and deletes its records. [`ErrorKind::Conflict`] for the live one.
    pub async fn retire(&self, number: u32) -> Result<()> {
        self.control.retire(number).await?;
        let state = self.state.clone();
        files::blocking(move || state.delete(number)).await
    }
}

/// State and archive of a data directory, for reading; whether or not a process serves it.
#[derive(Debug)]
pub struct EmbeddedReader {
    /// Entity records, checkpoints and quarantine of the generation that was live at opening; refuses
    /// commits.
    pub store: Arc<EmbeddedStore>,
    /// The number of that generation.
    pub live: u32,
    /// Requests and generations.
    pub control: Control,
    /// The archive.
    pub archive: Arc<LocalArchive>,
    /// What the directory is.
    pub format: Format,
    state: StateFiles,
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
            let control = Control::beside(&dir.join(CONTROL_FILE))?;
            let live = control.live_now()?;
            let state = StateFiles::beside(&dir);
            let store = Arc::new(state.read_only(live)?);
            let archive = LocalArchive::beside(&dir.join("archive"));
            Ok(Self { store, live, control, archive: Arc::new(archive), format, state })
        })
        .await
    }

    /// The records of another complete generation; refuses commits.
    pub async fn generation(&self, number: u32) -> Result<EmbeddedStore> {
        let state = self.state.clone();
        files::blocking(move || state.read_only(number)).await
    }

    /// The records of a generation that is being built, to write them; made when they are not there.
    pub async fn building(&self, number: u32) -> Result<EmbeddedStore> {
        let state = self.state.clone();
        files::blocking(move || state.building(number)).await
    }

    /// The records of the live generation, to repair some of them: each write is compared with the revision
    /// that was read, so it may go on beside the process that owns the data.
    pub async fn to_repair(&self) -> Result<EmbeddedStore> {
        let (state, live) = (self.state.clone(), self.live);
        files::blocking(move || state.to_repair(live)).await
    }
}
