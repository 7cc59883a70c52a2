//! The archive on local files: one file per object, keys are paths below one directory.
//!
//! A create is atomic and durable: the bytes are written and synced under a temporary name, then
//! linked to the final one (which fails when that exists, whoever else tries at the same moment),
//! then the directory is synced. "Exists" is answered only after that sync as well, since the
//! earlier writer may have stopped before it. Temporary files lie in `.tmp` and are removed by the
//! next process that owns the directory.
//!
//! A key that could lead outside the directory is [`ErrorKind::Invalid`] (see
//! [`crate::archive_key`]); a disk that is full or away is [`ErrorKind::Retry`].

use std::collections::HashSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ledgerline_domain::ports::{Archive, Created, End};
use ledgerline_domain::{ErrorKind, Result};

use super::files::{blocking, create_dirs, file_error, remove_file, replace_file, sync_dir, write_synced};
use super::lock::DirectoryLock;
use crate::archive_key::check_key;

const TEMPORARY_DIR: &str = ".tmp";
/// Most directories remembered as durable.
const KNOWN_DIRS_MAX: usize = 4096;

/// Objects as files.
#[derive(Clone, Debug)]
pub struct LocalArchive {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    temporaries: AtomicU64,
    /// Directories that this process has made durable.
    known_dirs: Mutex<HashSet<PathBuf>>,
    /// One exchange at a time: this process is the only one that writes.
    exchanging: Mutex<()>,
    _lock: Option<Arc<DirectoryLock>>,
}

impl LocalArchive {
    /// An archive for reading and writing in `root`, for the one process that owns it.
    pub(crate) fn open(root: &Path, lock: Option<Arc<DirectoryLock>>) -> Result<Self> {
        let temporary = root.join(TEMPORARY_DIR);
        create_dirs(&temporary)?;
        let failed = |e| file_error(ErrorKind::Retry, "list the directory", &temporary, e);
        for entry in fs::read_dir(&temporary).map_err(failed)? {
            remove_file(&entry.map_err(failed)?.path())?;
        }
        Ok(Self::with_lock(root, lock))
    }

    /// An archive beside the process that owns it: for reading. It changes nothing by itself.
    pub fn beside(root: &Path) -> Self {
        Self::with_lock(root, None)
    }

    fn with_lock(root: &Path, lock: Option<Arc<DirectoryLock>>) -> Self {
        let inner = Inner {
            root: root.to_owned(),
            temporaries: AtomicU64::new(0),
            known_dirs: Mutex::default(),
            exchanging: Mutex::default(),
            _lock: lock,
        };
        Self { inner: Arc::new(inner) }
    }

    /// The directory that holds the objects.
    pub fn root(&self) -> &Path {
        &self.inner.root
    }
}

impl Inner {
    fn path(&self, key: &str) -> Result<PathBuf> {
        check_key(key)?;
        Ok(self.root.join(key))
    }

    fn temporary(&self) -> PathBuf {
        let number = self.temporaries.fetch_add(1, Ordering::Relaxed);
        self.root.join(TEMPORARY_DIR).join(format!("{}-{number}", std::process::id()))
    }

    /// Creates the directory of an object and makes every name on the way durable.
    fn make_parent(&self, path: &Path) -> Result<PathBuf> {
        let parent = path.parent().unwrap_or(&self.root).to_owned();
        let known = || self.known_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if !known().contains(&parent) {
            let on_the_way: Vec<_> = parent.ancestors().take_while(|dir| dir.starts_with(&self.root)).collect();
            for dir in on_the_way.into_iter().rev() {
                create_dirs(dir)?;
            }
            let mut known = known();
            if known.len() >= KNOWN_DIRS_MAX {
                known.clear();
            }
            known.insert(parent.clone());
        }
        Ok(parent)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Created> {
        let path = self.path(key)?;
        let parent = self.make_parent(&path)?;
        if path.exists() {
            sync_dir(&parent)?;
            return Ok(Created::Exists);
        }
        let temporary = self.temporary();
        let written = write_synced(&temporary, bytes);
        let linked = written.and_then(|()| match fs::hard_link(&temporary, &path) {
            Ok(()) => Ok(Created::New),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(Created::Exists),
            Err(e) => Err(file_error(ErrorKind::Retry, "create the archive object", &path, e)),
        });
        // Left over, it costs space until the next start; the object itself is whole.
        let _ = remove_file(&temporary);
        let created = linked?;
        sync_dir(&parent)?;
        Ok(created)
    }

    fn replace(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path(key)?;
        self.make_parent(&path)?;
        replace_file(&path, &self.temporary(), bytes)
    }

    fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(file_error(ErrorKind::Retry, "read the archive object", &path, e)),
        }
    }

    fn exchange(&self, key: &str, known: Option<&Bytes>, new: &[u8]) -> Result<bool> {
        let _one = self.exchanging.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get(key)?.as_ref() != known {
            return Ok(false);
        }
        self.replace(key, new).map(|()| true)
    }

    /// Adds the keys below `dir` that start with `prefix` and are not before `from`. A directory that is not
    /// there has none.
    fn collect(&self, dir: &Path, key: &str, prefix: &str, from: &str, keys: &mut Vec<String>) -> Result<()> {
        let failed = |e| file_error(ErrorKind::Retry, "list the archive directory", dir, e);
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(failed(e)),
        };
        for entry in entries {
            let entry = entry.map_err(failed)?;
            // What no key can name is not an object.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let key = if key.is_empty() { name } else { format!("{key}/{name}") };
            if entry.file_type().map_err(failed)?.is_dir() {
                let below = format!("{key}/");
                let wanted = below.starts_with(prefix) || prefix.starts_with(&below);
                // Keys begin with the folder's name: unless `from` does too, they are all on one side of it.
                if wanted && (below.as_str() >= from || from.starts_with(&below)) {
                    self.collect(&entry.path(), &key, prefix, from, keys)?;
                }
            } else if key.starts_with(prefix) && key.as_str() >= from {
                keys.push(key);
            }
        }
        Ok(())
    }
}

/// Reads what a file has of the range that `range` gives for its size. Objects are never changed in place, so size
/// and bytes belong together.
fn read_part(path: &Path, range: impl FnOnce(u64) -> Range<u64>) -> Result<Option<End>> {
    let read = || {
        let file = fs::File::open(path)?;
        let size = file.metadata()?.len();
        let range = range(size);
        let length = range.end.min(size).saturating_sub(range.start);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, range.start)?;
        Ok(End { size, bytes: bytes.into() })
    };
    match read() {
        Ok(part) => Ok(Some(part)),
        Err(e) if is_nothing(&e) => Ok(None),
        Err(e) => Err(file_error(ErrorKind::Retry, "read the archive object", path, e)),
    }
}

/// Whether there is no such object.
fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Archive for LocalArchive {
    async fn create(&self, key: &str, bytes: Bytes) -> Result<Created> {
        let (inner, key) = (self.inner.clone(), key.to_owned());
        blocking(move || inner.create(&key, &bytes)).await
    }

    async fn replace(&self, key: &str, bytes: Bytes) -> Result<()> {
        let (inner, key) = (self.inner.clone(), key.to_owned());
        blocking(move || inner.replace(&key, &bytes)).await
    }

    async fn exchange(&self, key: &str, known: Option<&Bytes>, new: Bytes) -> Result<bool> {
        let (inner, key, known) = (self.inner.clone(), key.to_owned(), known.cloned());
        blocking(move || inner.exchange(&key, known.as_ref(), &new)).await
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        let (inner, key) = (self.inner.clone(), key.to_owned());
        blocking(move || inner.get(&key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Bytes>> {
        let path = self.inner.path(key)?;
        blocking(move || read_part(&path, |_| range).map(|part| part.map(|part| part.bytes))).await
    }

    async fn get_ends(&self, keys: &[String], bytes_max: u64) -> Result<Vec<Option<End>>> {
        let paths = keys.iter().map(|key| self.inner.path(key)).collect::<Result<Vec<_>>>()?;
        let end = move |path: &PathBuf| read_part(path, |size| size.saturating_sub(bytes_max)..size);
        blocking(move || paths.iter().map(end).collect()).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        self.list_from(prefix, "").await
    }

    async fn list_from(&self, prefix: &str, from: &str) -> Result<Vec<String>> {
        let (inner, prefix, from) = (self.inner.clone(), prefix.to_owned(), from.to_owned());
        blocking(move || {
            let mut keys = Vec::new();
            inner.collect(&inner.root, "", &prefix, &from, &mut keys)?;
            keys.sort_unstable();
            Ok(keys)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let archive = LocalArchive::open(dir.path(), None).unwrap();
        for key in ["../x", "/etc/x", ".tmp/x"] {
            assert_eq!(archive.create(key, Bytes::new()).await.unwrap_err().kind(), ErrorKind::Invalid);
            assert_eq!(archive.replace(key, Bytes::new()).await.unwrap_err().kind(), ErrorKind::Invalid);
            assert_eq!(archive.get(key).await.unwrap_err().kind(), ErrorKind::Invalid);
        }
    }

    #[tokio::test]
    async fn leftovers_go_and_are_never_listed() {
        let dir = tempfile::tempdir().unwrap();
        let archive = LocalArchive::open(dir.path(), None).unwrap();
        archive.create("a/one", Bytes::from_static(b"1")).await.unwrap();
        let leftover = dir.path().join(".tmp/123-0");
        fs::write(&leftover, b"half").unwrap();
        assert_eq!(archive.list("").await.unwrap(), ["a/one"]);
        drop(archive);
        let archive = LocalArchive::open(dir.path(), None).unwrap();
        assert!(!leftover.exists());
        assert_eq!(fs::read_dir(dir.path().join(".tmp")).unwrap().count(), 0);
        assert_eq!(archive.get("a/one").await.unwrap().unwrap(), "1");
    }

    #[tokio::test]
    async fn a_prefix_may_end_inside_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let archive = LocalArchive::open(dir.path(), None).unwrap();
        for key in ["b/2", "b/10", "b2/x", "a", "b/c/d"] {
            archive.create(key, Bytes::new()).await.unwrap();
        }
        assert_eq!(archive.list("b").await.unwrap(), ["b/10", "b/2", "b/c/d", "b2/x"]);
        assert_eq!(archive.list("b/").await.unwrap(), ["b/10", "b/2", "b/c/d"]);
        assert_eq!(archive.list("b/1").await.unwrap(), ["b/10"]);
        assert_eq!(archive.list("c").await.unwrap(), Vec::<String>::new());
        assert_eq!(LocalArchive::beside(&dir.path().join("none")).list("").await.unwrap(), Vec::<String>::new());
    }
}
