//! Where a part of the histories goes that does not fit into memory: a file that is written from front
//! to end, then read from front to end.
//!
//! The file has no name, so nothing is left of it however the process ends. It consists of blocks, each
//! behind its length and its CRC-32, and a block of items, each behind its length; what does not read
//! back as it was written is a [`Data`](ledgerline_domain::ErrorKind::Data) error. A full disk is
//! [`Retry`](ledgerline_domain::ErrorKind::Retry).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ledgerline_domain::{Error, ErrorKind, Result};

/// Items gather up to this size before they are written.
const BLOCK_BYTES: usize = 32 * 1024;
/// Length and checksum of a block.
const HEAD_BYTES: usize = 8;
/// A block may not claim to be longer: the longest item is a record, which is far below.
const BLOCK_BYTES_MAX: u32 = 1024 * 1024 * 1024;

/// Such a file, being written.
#[derive(Debug)]
pub(crate) struct SpillWriter {
    file: File,
    dir: PathBuf,
    block: Vec<u8>,
    /// Bytes written so far.
    bytes: u64,
}

impl SpillWriter {
    /// A new one in `dir`, which must exist.
    pub fn create(dir: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(dir).map_err(|e| failed("make a temporary file", dir, e))?;
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        block.resize(HEAD_BYTES, 0);
        Ok(Self { file, dir: dir.to_owned(), block, bytes: 0 })
    }

    /// Adds an item; `write` appends its bytes.
    pub fn push(&mut self, write: impl FnOnce(Vec<u8>) -> Result<Vec<u8>>) -> Result<()> {
        let from = self.block.len();
        self.block.extend_from_slice(&[0; 4]);
        self.block = write(std::mem::take(&mut self.block))?;
        let length = u32::try_from(self.block.len() - from - 4).map_err(|_| too_long())?;
        if let Some(place) = self.block.get_mut(from..from + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        if self.block.len() >= BLOCK_BYTES { self.write_block() } else { Ok(()) }
    }

    fn write_block(&mut self) -> Result<()> {
        let Some((head, items)) = self.block.split_first_chunk_mut::<HEAD_BYTES>() else { return Ok(()) };
        if items.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(items.len()).ok().filter(|l| *l <= BLOCK_BYTES_MAX).ok_or_else(too_long)?;
        head[..4].copy_from_slice(&length.to_le_bytes());
        head[4..].copy_from_slice(&crc32fast::hash(items).to_le_bytes());
        self.file.write_all(&self.block).map_err(|e| failed("write a temporary file", &self.dir, e))?;
        self.bytes += self.block.len() as u64;
        self.block.truncate(HEAD_BYTES);
        Ok(())
    }

    /// Bytes so far, those that wait in memory included.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.block.len() as u64
    }

    /// To be read from the beginning.
    pub fn finish(mut self) -> Result<SpillReader> {
        self.write_block()?;
        let Self { file, dir, bytes, .. } = self;
        Ok(SpillReader { file: Arc::new(Mutex::new(file)), dir, block: Vec::new(), at: 0, position: 0, end: bytes })
    }
}

/// Such a file, being read.
#[derive(Debug)]
pub(crate) struct SpillReader {
    /// Several readers may read one file, each from its own position.
    file: Arc<Mutex<File>>,
    dir: PathBuf,
    block: Vec<u8>,
    at: usize,
    /// Where the next block begins.
    position: u64,
    end: u64,
}

impl SpillReader {
    /// Another reader of the file, at its beginning.
    pub fn again(&self) -> Self {
        Self { file: self.file.clone(), dir: self.dir.clone(), block: Vec::new(), at: 0, position: 0, end: self.end }
    }

    /// The next item, without passing it; none at the end.
    pub fn peek(&mut self) -> Result<Option<&[u8]>> {
        if self.at == self.block.len() && !self.read_block()? {
            return Ok(None);
        }
        self.item().map(Some)
    }

    fn item(&self) -> Result<&[u8]> {
        let length = self.block.get(self.at..self.at + 4).and_then(|l| l.try_into().ok()).ok_or_else(damaged)?;
        let from = self.at + 4;
        self.block.get(from..from + u32::from_le_bytes(length) as usize).ok_or_else(damaged)
    }

    /// Passes the item that was peeked at.
    pub fn pass(&mut self) {
        self.at += self.item().map_or(0, |item| item.len() + 4);
    }

    fn read_block(&mut self) -> Result<bool> {
        if self.position == self.end {
            return Ok(false);
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let back = |e| failed("go to a place in a temporary file", &self.dir, e);
        file.seek(SeekFrom::Start(self.position)).map_err(back)?;
        let mut head = [0; HEAD_BYTES];
        file.read_exact(&mut head).map_err(|e| torn(&self.dir, e))?;
        let [a, b, c, d, e, f, g, h] = head;
        let (length, sum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        self.position += u64::from(length) + HEAD_BYTES as u64;
        if length == 0 || self.position > self.end {
            return Err(damaged());
        }
        self.block.resize(length as usize, 0);
        file.read_exact(&mut self.block).map_err(|e| torn(&self.dir, e))?;
        self.at = 0;
        if crc32fast::hash(&self.block) == sum { Ok(true) } else { Err(damaged()) }
    }
}

fn too_long() -> Error {
    Error::internal("put aside a record of more than 1 GiB")
}

fn damaged() -> Error {
    Error::data("read back a temporary file: it is not what was written; check the disk")
}

fn torn(dir: &Path, cause: io::Error) -> Error {
    match cause.kind() {
        io::ErrorKind::UnexpectedEof => damaged(),
        _ => failed("read back a temporary file", dir, cause),
    }
}

fn failed(what: &str, dir: &Path, cause: io::Error) -> Error {
    let fix = match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full: free some space, or give the replay more memory"
        }
        io::ErrorKind::NotFound => "the directory is not there",
        io::ErrorKind::PermissionDenied => "the directory cannot be written to",
        _ => "the disk failed",
    };
    Error::new(ErrorKind::Retry, format!("{what} in {}: {fix}", dir.display())).because(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(items: &[Vec<u8>]) -> SpillWriter {
        let mut writer = SpillWriter::create(&std::env::temp_dir()).unwrap();
        for item in items {
            writer
                .push(|mut out| {
                    out.extend_from_slice(item);
                    Ok(out)
                })
                .unwrap();
        }
        writer
    }

    fn read(mut reader: SpillReader) -> Result<Vec<Vec<u8>>> {
        let mut items = Vec::new();
        while let Some(item) = reader.peek()? {
            items.push(item.to_vec());
            reader.pass();
        }
        Ok(items)
    }

    fn items() -> Vec<Vec<u8>> {
        // Of all sizes: empty ones, some that fill a block with others, one longer than a block.
        (0..200_usize)
            .map(|n| vec![n as u8; (n * n * 7) % 5000])
            .chain([vec![1; 3 * BLOCK_BYTES], Vec::new()])
            .collect()
    }

    #[test]
    fn what_was_written_is_read_back() {
        for count in [0, 1, 2, 202] {
            let items = &items()[..count];
            assert_eq!(read(written(items).finish().unwrap()).unwrap(), items);
        }
    }

    #[test]
    fn a_file_that_is_cut_short_or_changed_is_an_error() {
        let bytes = written(&items()).bytes();
        for at in (0..bytes).step_by(4099) {
            let reader = written(&items()).finish().unwrap();
            reader.file.lock().unwrap().set_len(at).unwrap();
            let error = read(reader).unwrap_err();
            assert!(error.kind() == ErrorKind::Data && error.to_string().contains("not what was written"), "{error}");
            let reader = written(&items()).finish().unwrap();
            let mut file = reader.file.lock().unwrap();
            let mut byte = [0];
            file.seek(SeekFrom::Start(at)).unwrap();
            file.read_exact(&mut byte).unwrap();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&[byte[0] ^ 4]).unwrap();
            drop(file);
            assert_eq!(read(reader).unwrap_err().kind(), ErrorKind::Data, "byte {at}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_is_named_with_the_fix() {
        let error = SpillWriter::create(Path::new("/nowhere/at/all")).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("/nowhere/at/all") && said.contains("not there"), "{said}");
    }

    #[test]
    fn a_full_disk_is_named_with_the_fix() {
        // A device that is always full.
        let Ok(file) = File::options().write(true).open("/dev/full") else { return };
        let mut writer = SpillWriter { file, dir: "/tmp/x".into(), block: vec![0; HEAD_BYTES], bytes: 0 };
        let error = writer
            .push(|mut out| {
                out.resize(BLOCK_BYTES * 2, 7);
                Ok(out)
            })
            .unwrap_err();
        assert!(error.kind() == ErrorKind::Retry && error.to_string().contains("the disk is full"), "{error}");
    }
}
