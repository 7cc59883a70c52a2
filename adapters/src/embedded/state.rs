//! The files of the generations, `state/generation-0001.db` and so on: opened when they are asked for,
//! deleted when a generation is retired.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerline_domain::{Error, Result};

use super::files::{create_dirs, remove_file, sync_dir};
use super::lock::DirectoryLock;
use super::store::EmbeddedStore;

/// Name of the control database.
pub(crate) const CONTROL_FILE: &str = "control.db";
/// The generation that a directory begins with.
const FIRST: u32 = 1;

/// The folder `state`. Clones share what is open.
#[derive(Clone, Debug)]
pub(crate) struct StateFiles {
    folder: PathBuf,
    lock: Option<Arc<DirectoryLock>>,
    open: Arc<Mutex<BTreeMap<u32, Arc<EmbeddedStore>>>>,
}

impl StateFiles {
    /// For the process that owns the directory.
    pub fn open(dir: &Path, lock: Option<Arc<DirectoryLock>>) -> Result<Self> {
        let files = Self { lock, ..Self::beside(dir) };
        create_dirs(&files.folder)?;
        Ok(files)
    }

    /// For any other process.
    pub fn beside(dir: &Path) -> Self {
        Self { folder: dir.join("state"), lock: None, open: Arc::default() }
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(format!("generation-{number:04}.db"))
    }

    fn opened(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<EmbeddedStore>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A complete generation, to read and to write. Only the first one is made when it is not there.
    pub fn generation(&self, number: u32) -> Result<Arc<EmbeddedStore>> {
        let mut opened = self.opened();
        if let Some(store) = opened.get(&number) {
            return Ok(store.clone());
        }
        let path = self.path(number);
        if number != FIRST && !path.exists() {
            return Err(Error::data(format!(
                "open generation {number}: its file {} is missing; restore it from a copy",
                path.display()
            )));
        }
        let store = Arc::new(EmbeddedStore::open(&path, self.lock.clone())?);
        opened.insert(number, store.clone());
        Ok(store)
    }

    /// A generation, to read.
    pub fn read_only(&self, number: u32) -> Result<EmbeddedStore> {
        EmbeddedStore::open_read_only(&self.path(number))
    }

    /// A generation that is being built.
    pub fn building(&self, number: u32) -> Result<EmbeddedStore> {
        EmbeddedStore::open(&self.path(number), None)
    }

    /// Opens a generation's records to write some of them beside the process that owns the data.
    pub fn to_repair(&self, number: u32) -> Result<EmbeddedStore> {
        let path = self.path(number);
        if !path.exists() {
            return Err(Error::invalid(format!("open generation {number}: its records are not there")));
        }
        EmbeddedStore::open(&path, None)
    }

    /// Deletes a generation's files, if there are any. Whoever still reads it reads on.
    pub fn delete(&self, number: u32) -> Result<()> {
        self.opened().remove(&number);
        let path = self.path(number);
        let mut removed = false;
        for end in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            removed |= remove_file(Path::new(&name))?;
        }
        if removed { sync_dir(&self.folder) } else { Ok(()) }
    }
}
