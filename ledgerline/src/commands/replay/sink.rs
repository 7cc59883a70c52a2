//! Where rows are written: standard output, or a file that appears under its name when it is whole.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sha2::{Digest as _, Sha256};

use crate::exit::{Failure, Outcome};
use crate::output::{self, Output};

/// A sink of rows. Dropped without [`finish`](Self::finish) it leaves no file.
pub struct Sink<'a> {
    to: To<'a>,
    hash: Sha256,
    gone: Arc<AtomicBool>,
}

enum To<'a> {
    Output(BufWriter<&'a mut (dyn Write + Send)>),
    File(Half),
}

/// A file that is not whole yet, under another name in the same folder.
struct Half {
    out: Option<BufWriter<File>>,
    temporary: PathBuf,
    path: PathBuf,
}

impl Drop for Half {
    fn drop(&mut self) {
        if self.out.take().is_some() {
            // Nobody can be told; it lies under a name that says what it is.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

impl<'a> Sink<'a> {
    /// Begins to write to `file`, else to the output.
    pub fn open(file: Option<&Path>, out: &'a mut Output) -> Outcome<Self> {
        let to = match file {
            None => To::Output(BufWriter::new(out.sink())),
            Some(path) => To::File(Half::open(path)?),
        };
        Ok(Self { to, hash: Sha256::new(), gone: Arc::default() })
    }

    /// Everything is written: the file gets its name. Gives the SHA-256 of what was written, in lower-case
    /// hex.
    pub fn finish(mut self) -> Outcome<String> {
        match &mut self.to {
            To::Output(out) => out.flush().or_else(output::ended)?,
            To::File(half) => half.finish()?,
        }
        Ok(self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Becomes true when the reader has gone away, for writers that wrap the error.
    pub fn gone(&self) -> Arc<AtomicBool> {
        self.gone.clone()
    }

    /// What an error of writing means for the command.
    pub fn failed(&self, error: io::Error) -> Failure {
        match &self.to {
            To::File(half) => half.failed(&error),
            To::Output(_) => match output::ended(error) {
                Err(failure) => failure,
                Ok(()) => Failure::failed("write to standard output"),
            },
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let out: &mut dyn Write = match &mut self.to {
            To::Output(out) => out,
            To::File(half) => half.out.as_mut().ok_or(io::ErrorKind::NotConnected)?,
        };
        let written = out.write(bytes).inspect_err(|error| {
            self.gone.fetch_or(error.kind() == io::ErrorKind::BrokenPipe, Ordering::Relaxed);
        })?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.to {
            To::Output(out) => out.flush(),
            To::File(half) => half.out.as_mut().map_or(Ok(()), Write::flush),
        }
        .inspect_err(|error| {
            self.gone.fetch_or(error.kind() == io::ErrorKind::BrokenPipe, Ordering::Relaxed);
        })
    }
}

impl Half {
    fn open(path: &Path) -> Outcome<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.is_empty() || path.is_dir() {
            return Err(Failure::usage(format!("write {}: name a file", path.display())));
        }
        let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
        let failed = |e| Failure::failed(format!("write {}: {e}", path.display()));
        let out = Some(BufWriter::new(File::create(&temporary).map_err(failed)?));
        Ok(Self { out, temporary, path: path.to_owned() })
    }

    fn finish(&mut self) -> Outcome<()> {
        let Some(mut out) = self.out.take() else { return Ok(()) };
        let done = out.flush().and_then(|()| out.get_ref().sync_all());
        let done = done.and_then(|()| std::fs::rename(&self.temporary, &self.path));
        done.map_err(|error| {
            let _ = std::fs::remove_file(&self.temporary);
            self.failed(&error)
        })
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::failed(format!("write {}: {error}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_when_it_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.csv");
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut out = Output::to(Vec::new());
        std::fs::write(&path, "the one before").unwrap();
        {
            let mut sink = Sink::open(Some(&path), &mut out).unwrap();
            sink.write_all(b"half").unwrap();
            assert_eq!(names(), 2);
        }
        assert_eq!((names(), std::fs::read_to_string(&path).unwrap().as_str()), (1, "the one before"));
        let mut sink = Sink::open(Some(&path), &mut out).unwrap();
        sink.write_all(b"abc").unwrap();
        let sha256 = sink.finish().unwrap();
        assert_eq!(sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((names(), std::fs::read_to_string(&path).unwrap().as_str()), (1, "abc"));
        assert!(Sink::open(Some(folder.path()), &mut out).is_err());
    }
}
