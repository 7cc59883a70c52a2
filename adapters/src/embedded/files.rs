//! Small things about files that have to be right once: what survives a power loss.
//!
//! A new name is durable only after its directory was synced, and a new directory only after its
//! parent was. Errors name the path; [`ErrorKind::Retry`] means that the disk may recover (full,
//! busy, away), and nothing the caller was told is lost by it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::task::spawn_blocking;

/// An error of `kind` about a file: "failed to {action} {path}: {cause}".
pub(crate) fn file_error(kind: ErrorKind, action: &str, path: &Path, cause: io::Error) -> Error {
    Error::new(kind, format!("{action} {}", path.display())).because(cause)
}

/// Makes a directory's entries durable.
pub(crate) fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(|e| file_error(ErrorKind::Retry, "sync the directory", path, e))
}

/// Creates a directory with its parents, each of them durable. One that exists is synced into its
/// parent as well: a crash may have hit its creator in between.
pub(crate) fn create_dirs(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty());
    match fs::create_dir(path) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let parent = parent.ok_or_else(|| Error::invalid(format!("create the directory {}", path.display())))?;
            create_dirs(parent)?;
            fs::create_dir(path).map_err(|e| file_error(ErrorKind::Retry, "create the directory", path, e))?;
        }
        Err(e) => return Err(file_error(ErrorKind::Retry, "create the directory", path, e)),
    }
    sync_dir(parent.unwrap_or(Path::new(".")))
}

/// Writes a new file and syncs it; its name is not durable yet.
pub(crate) fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|e| file_error(ErrorKind::Retry, "write", path, e))
}

/// Replaces a file as a whole: after a crash it is the old one or the new one. `temporary` is the
/// name used on the way, in the same file system; whoever owns the directory removes left-over ones.
pub(crate) fn replace_file(path: &Path, temporary: &Path, bytes: &[u8]) -> Result<()> {
    write_synced(temporary, bytes)?;
    fs::rename(temporary, path).map_err(|e| file_error(ErrorKind::Retry, "replace", path, e))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Keeps `bytes` as the file `name` of a folder, durably and as a whole; the folder is made if it has to
/// be. What is written on the way is hidden. `name` must be a plain file name.
pub fn keep_file(folder: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    create_dirs(folder)?;
    replace_file(&folder.join(name), &folder.join(format!(".{name}.tmp")), bytes)
}

/// Removes a file that may not be there; whether it was.
pub(crate) fn remove_file(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(file_error(ErrorKind::Retry, "remove", path, e)),
    }
}

/// Runs disk work where it does not hold up the runtime's other tasks.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(|e| Error::internal("finish a piece of disk work").because(e))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_come_into_being() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        create_dirs(&deep).unwrap();
        create_dirs(&deep).unwrap();
        let file = deep.join("file");
        replace_file(&file, &deep.join("file.tmp"), b"one").unwrap();
        replace_file(&file, &deep.join("file.tmp"), b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::read_dir(&deep).unwrap().count(), 1, "no temporary file is left");
        assert!(remove_file(&file).unwrap());
        assert!(!remove_file(&file).unwrap());
    }

    #[test]
    fn errors_name_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"x").unwrap();
        let error = create_dirs(&file.join("below")).unwrap_err().to_string();
        assert!(error.starts_with("create the directory ") && error.contains("below"), "{error}");
    }
}
