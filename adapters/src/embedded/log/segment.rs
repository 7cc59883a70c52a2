//! Segment files: `{first position, 20 digits}.log`, of one size, zeros behind the last frame.
//!
//! A file begins with a header of 4096 bytes (little-endian):
//!
//! | bytes | field |
//! | --- | --- |
//! | 0–7 | `LDGRLOG1` |
//! | 8–11 | version, 1 |
//! | 12–15 | number of shards |
//! | 16–19 | salt of the frames' CRCs |
//! | 20–27 | first position |
//! | 28–35 | first position of the segment before, 0 for the very first |
//! | 36– | per shard: records before this segment, position of the last of them (0: none) |
//! | 4092–4095 | CRC-32 of everything before |
//!
//! A file gets its name only when header and zeros are durable, so a named segment is whole or
//! damaged, never half made; `*.tmp` is removed at start. Each header names its predecessor, so a
//! lost file shows. The zeros are written, not only allocated: a sync of written blocks changes no
//! metadata and takes half as long. They are written past the page cache where that can be done: the
//! disk fetches them itself.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ledgerline_domain::{Error, ErrorKind, Result};

use super::direct::{Pages, SegmentFile};
use super::options::{DiskHook, DiskStep};
use crate::embedded::files::{file_error, sync_dir};

/// Bytes in front of the first frame.
pub(crate) const HEADER_BYTES: usize = 4096;
const MAGIC: &[u8; 8] = b"LDGRLOG1";
const VERSION: u32 = 1;
const SHARDS_AT: usize = 36;
/// Zeros are written in pieces of this size: short enough that a sync hardly waits for one.
pub(crate) const ZERO_BYTES: usize = 256 * 1024;
/// At least this far apart are the places that a segment remembers.
const MARK_BYTES: u64 = 256 * 1024;

/// What a shard held in front of some point of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Before {
    /// How many records.
    pub count: u64,
    /// Position of the last of them; 0 when there was none.
    pub last: u64,
}

/// One segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub path: PathBuf,
    pub salt: u32,
    /// Position of its first frame.
    pub first: u64,
    /// First position of the segment before it.
    pub previous: u64,
    /// Per shard, what lies before.
    pub before: Vec<Before>,
    /// Positions and the offsets of their frames, ascending and sparse.
    marks: Mutex<Vec<(u64, u64)>>,
}

impl Segment {
    /// A segment that follows `previous` and starts at `first`.
    pub fn new(dir: &Path, first: u64, previous: u64, before: Vec<Before>) -> Self {
        // The standard library's hash keys come from the operating system's randomness.
        let random = std::hash::RandomState::new().build_hasher().finish();
        let salt = (random >> 32) as u32;
        Self { path: dir.join(format!("{first:020}.log")), salt, first, previous, before, marks: Mutex::default() }
    }

    fn header(&self) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_BYTES);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&u32::try_from(self.before.len()).unwrap_or(u32::MAX).to_le_bytes());
        header.extend_from_slice(&self.salt.to_le_bytes());
        header.extend_from_slice(&self.first.to_le_bytes());
        header.extend_from_slice(&self.previous.to_le_bytes());
        for before in &self.before {
            header.extend_from_slice(&before.count.to_le_bytes());
            header.extend_from_slice(&before.last.to_le_bytes());
        }
        header.resize(HEADER_BYTES - 4, 0);
        let crc = crc32fast::hash(&header);
        header.extend_from_slice(&crc.to_le_bytes());
        header
    }

    /// Writes the header into a prepared file, gives the file its name and opens it for writing.
    pub fn create(&self, dir: &Path, prepared: &Path) -> Result<SegmentFile> {
        let failed = |e| file_error(ErrorKind::Retry, "create the log segment", &self.path, e);
        let file = OpenOptions::new().read(true).write(true).open(prepared).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        file.write_all_at(&self.header(), 0).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(prepared, &self.path).map_err(failed)?;
        sync_dir(dir)?;
        Ok(SegmentFile::new(file, &self.path, bytes))
    }

    /// Reads the header of a named segment.
    pub fn open(path: &Path, shards: u32) -> Result<Self> {
        let damaged = |why: &str| {
            Error::data(format!("read the header of the log segment {}: {why}; restore the file", path.display()))
        };
        let mut header = vec![0; HEADER_BYTES];
        File::open(path).and_then(|file| file.read_exact_at(&mut header, 0)).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it is too short"),
            _ => file_error(ErrorKind::Retry, "read the log segment", path, e),
        })?;
        let mut fields = Fields(&header);
        if fields.take::<8>() != *MAGIC {
            return Err(damaged("it is not one"));
        }
        let version = u32::from_le_bytes(fields.take());
        if version > VERSION {
            return Err(damaged(&format!("version {version} is newer than this program")));
        }
        let (checked, stored) = header.split_at(HEADER_BYTES - 4);
        if crc32fast::hash(checked).to_le_bytes() != stored {
            return Err(damaged("its checksum is wrong"));
        }
        let stored_shards = u32::from_le_bytes(fields.take());
        if stored_shards != shards {
            return Err(damaged(&format!("it has {stored_shards} shards, the data directory has {shards}")));
        }
        let salt = u32::from_le_bytes(fields.take());
        let first = u64::from_le_bytes(fields.take());
        let previous = u64::from_le_bytes(fields.take());
        let before = (0..shards)
            .map(|_| Before { count: u64::from_le_bytes(fields.take()), last: u64::from_le_bytes(fields.take()) })
            .collect();
        if path.file_name().is_none_or(|name| *name != *format!("{first:020}.log")) {
            return Err(damaged("its name is another segment's"));
        }
        Ok(Self { path: path.to_owned(), salt, first, previous, before, marks: Mutex::default() })
    }

    /// Remembers where a position is, unless the last such place is near.
    pub fn mark(&self, position: u64, offset: u64) {
        let mut marks = self.lock_marks();
        if marks.last().is_none_or(|(_, last)| offset >= last + MARK_BYTES) {
            marks.push((position, offset));
        }
    }

    /// The nearest known place at or before `position`: its position and offset.
    pub fn nearest(&self, position: u64) -> (u64, u64) {
        let marks = self.lock_marks();
        let behind = marks.partition_point(|(marked, _)| *marked <= position);
        let found = behind.checked_sub(1).and_then(|at| marks.get(at)).copied();
        found.unwrap_or((self.first, HEADER_BYTES as u64))
    }

    fn lock_marks(&self) -> std::sync::MutexGuard<'_, Vec<(u64, u64)>> {
        self.marks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Takes fixed fields one after the other; zeros behind the end.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        match self.0.split_first_chunk() {
            Some((field, rest)) => {
                self.0 = rest;
                *field
            }
            None => [0; N],
        }
    }
}

const _: () = assert!(SHARDS_AT + 16 * (crate::embedded::SHARDS_MAX as usize) <= HEADER_BYTES - 4);

/// Writes a file of zeros, ready to become a segment. Before each piece `may` is asked how far the zeros may
/// go, given how far they are; `None` abandons them. On an error nothing is left behind.
pub(crate) fn prepare(
    path: &Path,
    bytes: u64,
    mut may: impl FnMut(u64) -> Option<u64>,
    hook: Option<&DiskHook>,
) -> Result<()> {
    let mut fill = || -> io::Result<()> {
        DiskHook::ask(hook, DiskStep::Create)?;
        let file = File::create(path)?;
        // Not every file system can; the zeros do the rest.
        match fs4::FileExt::allocate(&file, bytes) {
            Err(e) if e.kind() == io::ErrorKind::StorageFull => return Err(e),
            _ => {}
        }
        let mut file = SegmentFile::new(file, path, bytes);
        let zeros = Pages::zeros(ZERO_BYTES);
        let (mut offset, mut allowed) = (0, 0);
        while offset < bytes {
            if offset >= allowed {
                // What went past the cache leaves nothing to be written later.
                if offset > 0 && !file.is_direct() {
                    file.sync_data()?;
                }
                allowed = may(offset).ok_or_else(|| io::Error::other("it is not needed any more"))?;
            }
            let piece = usize::try_from(bytes - offset).unwrap_or(ZERO_BYTES).min(ZERO_BYTES);
            file.write_pages(zeros.bytes().get(..piece).unwrap_or_default(), offset)?;
            offset += piece as u64;
        }
        file.sync_all()
    };
    fill().map_err(|e| {
        // The file is of no use half filled, and its space may be what is missing.
        let _ = fs::remove_file(path);
        file_error(ErrorKind::Retry, "make room for a log segment (free some disk space) at", path, e)
    })
}

/// All named segments of a directory in order, their chain checked. Removes unfinished files.
pub(crate) fn list(dir: &Path, shards: u32) -> Result<Vec<Segment>> {
    let failed = |e| file_error(ErrorKind::Retry, "list the log directory", dir, e);
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("tmp") => drop(crate::embedded::files::remove_file(&path)?),
            Some("log") => paths.push(path),
            _ => {}
        }
    }
    paths.sort();
    let segments = paths.iter().map(|path| Segment::open(path, shards)).collect::<Result<Vec<_>>>()?;
    for pair in segments.windows(2) {
        if let [a, b] = pair
            && b.previous != a.first
        {
            return Err(Error::data(format!(
                "open the log: between {} and {} a segment is missing; restore {:020}.log",
                a.path.display(),
                b.path.display(),
                b.previous
            )));
        }
    }
    Ok(segments)
}
