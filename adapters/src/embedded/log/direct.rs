//! Writing past the page cache (`O_DIRECT`), where the file system lets one.
//!
//! A segment is written once and hardly ever read back by the machine that wrote it while it is new, so
//! the cache only costs: a copy of every byte, and the hunt for dirty pages in every sync. Direct
//! writes want whole pages at page boundaries, in memory as in the file: [`Pages`] is such memory.
//!
//! [`SegmentFile`] is the file with both ways in. Where direct writes are refused it goes on through the
//! cache with the same bytes; a sync covers both. Readers use the cache, which the kernel empties of
//! what was written directly before the write returns.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Places, lengths and memory of direct writes are multiples of this. Sectors are no larger.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Bytes that begin at a page boundary of memory.
#[derive(Debug)]
pub(crate) struct Pages {
    bytes: Vec<u8>,
    /// Where the boundary is.
    start: usize,
}

impl Pages {
    /// Room for `capacity` bytes. More fit, but the boundary may be lost then, and with it the direct way.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes: Vec<u8> = Vec::with_capacity(capacity + PAGE_BYTES);
        let start = bytes.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        bytes.resize(start, 0);
        Self { bytes, start }
    }

    /// Zeros, in whole pages.
    pub fn zeros(bytes: usize) -> Self {
        let mut pages = Self::with_capacity(bytes.next_multiple_of(PAGE_BYTES));
        pages.bytes.resize(pages.start + bytes, 0);
        pages.fill_page();
        pages
    }

    /// The vector behind it, to be written to at its end only.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// How many bytes it holds.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// Zeros up to the next page boundary.
    pub fn fill_page(&mut self) {
        self.bytes.resize(self.start + self.len().next_multiple_of(PAGE_BYTES), 0);
    }

    /// What it holds.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// The vector, and where in it the bytes begin.
    pub fn into_parts(self) -> (Vec<u8>, usize) {
        (self.bytes, self.start)
    }
}

/// A segment's file, open for writing.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    cached: File,
    direct: Option<File>,
}

impl SegmentFile {
    /// Opens the way past the cache of `cached`, the file at `path`, if it is made of whole pages and the
    /// file system has such a way.
    pub fn new(cached: File, path: &Path, bytes: u64) -> Self {
        let whole = bytes.is_multiple_of(PAGE_BYTES as u64);
        let direct = if whole { open_direct(path).ok() } else { None };
        Self { cached, direct }
    }

    /// Whether whole pages are wanted.
    pub fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Writes whole pages, or through the cache where that cannot be done.
    pub fn write_pages(&mut self, pages: &[u8], offset: u64) -> io::Result<()> {
        if let Some(direct) = &self.direct {
            match direct.write_all_at(pages, offset) {
                // Larger sectors, or a file system that thought better of it.
                Err(e) if e.kind() == io::ErrorKind::InvalidInput => self.direct = None,
                written => return written,
            }
        }
        self.cached.write_all_at(pages, offset)
    }

    /// Writes any bytes through the cache.
    pub fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.cached.write_all_at(bytes, offset)
    }

    /// Makes the bytes durable, whichever way they went.
    pub fn sync_data(&self) -> io::Result<()> {
        self.cached.sync_data()
    }

    /// Makes bytes and metadata durable.
    pub fn sync_all(&self) -> io::Result<()> {
        self.cached.sync_all()
    }
}

#[cfg(target_os = "linux")]
fn open_direct(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT).open(path)
}

#[cfg(not(target_os = "linux"))]
fn open_direct(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_begin_and_end_at_boundaries() {
        for capacity in [0, 1, 4096, 5000, 100_000] {
            let mut pages = Pages::with_capacity(capacity);
            pages.end().extend(std::iter::repeat_n(7, capacity));
            assert_eq!(pages.len(), capacity);
            assert_eq!(pages.bytes().as_ptr().align_offset(PAGE_BYTES), 0, "{capacity}");
            pages.fill_page();
            assert_eq!(pages.len() % PAGE_BYTES, 0);
            assert!(pages.bytes().iter().take(capacity).all(|b| *b == 7));
            assert!(pages.bytes().iter().skip(capacity).all(|b| *b == 0));
        }
        assert_eq!(Pages::zeros(4097).bytes(), [0; 8192]);
    }

    #[test]
    fn what_is_refused_goes_through_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let cached = File::create(&path).unwrap();
        let mut file = SegmentFile::new(cached, &path, 8192);
        file.write_pages(Pages::zeros(8192).bytes(), 0).unwrap();
        // No whole page: a direct file refuses it.
        file.write_pages(b"abc", 4095).unwrap();
        file.sync_data().unwrap();
        assert!(!file.is_direct());
        assert_eq!(std::fs::read(&path).unwrap()[4094..4099], *b"\0abc\0");
    }

    #[test]
    fn both_ways_see_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut file = SegmentFile::new(File::create(&path).unwrap(), &path, 8192);
        file.write(&[1; 8192], 0).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), [1; 8192]);
        let mut two = Pages::with_capacity(PAGE_BYTES);
        two.end().extend([2; PAGE_BYTES]);
        file.write_pages(two.bytes(), 4096).unwrap();
        assert_eq!(std::fs::read(&path).unwrap()[4090..4102], [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
        assert!(!SegmentFile::new(File::create(&path).unwrap(), &path, 8193).is_direct(), "no whole pages");
    }
}
