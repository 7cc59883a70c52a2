//! One process per data directory: an advisory lock on the file `lock`, held as long as anything
//! of the directory is in use and given back by the operating system when the process ends,
//! however it ends. The file's text is the process id of the holder, for people.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;

use fs4::TryLockError;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::files::file_error;

/// The right to use a data directory; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    /// Takes the lock, or says who has it ([`ErrorKind::Invalid`]).
    pub fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let failed = |e| file_error(ErrorKind::Invalid, "open the lock file", &path, e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder).is_ok();
                let pid: Option<u32> = if read { holder.trim().parse().ok() } else { None };
                let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                return Err(Error::invalid(format!(
                    "use the data directory {}: {who} is using it; stop that one first, or choose another directory",
                    dir.display()
                )));
            }
            Err(TryLockError::Error(e)) => {
                return Err(file_error(ErrorKind::Invalid, "lock", &path, e));
            }
        }
        let note = |file: &mut File| {
            file.set_len(0)?;
            writeln!(file, "{}", std::process::id())
        };
        note(&mut file).map_err(|e| file_error(ErrorKind::Retry, "write", &path, e))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_and_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let first = DirectoryLock::take(dir.path()).unwrap();
        let error = DirectoryLock::take(dir.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains(&dir.path().display().to_string()), "{text}");
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        drop(first);
        DirectoryLock::take(dir.path()).unwrap();
    }
}
