//! Collects the records of one shard from batches in memory or from segment files.
//!
//! Frames of other shards are stepped over by their headers. Files are read in large pieces into a
//! scratch buffer; the payloads that were asked for are copied once, into one buffer that all
//! records of a read share. What is given was checked: the CRC of each, positions without gaps,
//! ordinals of the shard without gaps. Anything else is [`ErrorKind::Data`].

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

use bytes::Bytes;
use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::ports::{ReadLimit, Sequenced};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::frame::{Frame, HEADER_BYTES};
use super::view::{Block, Cursor, Part};
use crate::embedded::files::file_error;

/// Files are read in pieces of this size.
const PIECE_BYTES: usize = 1024 * 1024;

/// Records found so far.
pub(crate) struct Found {
    shard: u16,
    after: u64,
    records_max: usize,
    bytes_max: usize,
    payloads: Vec<u8>,
    records: Vec<(u64, i64, Range<usize>)>,
    /// Ordinal of the last one.
    pub ordinal: u64,
}

impl Found {
    pub fn new(shard: u16, after: u64, limit: ReadLimit) -> Self {
        Self {
            shard,
            after,
            records_max: limit.records_max.max(1),
            bytes_max: limit.bytes_max,
            payloads: Vec::new(),
            records: Vec::new(),
            ordinal: 0,
        }
    }

    fn wants(&self, frame: &Frame) -> bool {
        frame.shard == self.shard && frame.position > self.after
    }

    /// Whether one more record of this size may come; the first always may.
    fn has_room(&self, bytes: usize) -> bool {
        self.records.is_empty()
            || (self.records.len() < self.records_max && self.payloads.len() + bytes <= self.bytes_max)
    }

    fn push(&mut self, frame: &Frame, payload: &[u8]) {
        let start = self.payloads.len();
        self.payloads.extend_from_slice(payload);
        self.records.push((frame.position, frame.arrived_at, start..self.payloads.len()));
        self.ordinal = frame.ordinal;
    }

    /// Position of the last record found.
    pub fn last(&self) -> Option<u64> {
        self.records.last().map(|(position, ..)| *position)
    }

    /// The records, slices of one shared buffer.
    pub fn into_records(mut self) -> Vec<Sequenced<Bytes>> {
        self.payloads.shrink_to_fit();
        let payloads = Bytes::from(self.payloads);
        let record = |(position, arrived_at, range): (u64, i64, Range<usize>)| Sequenced {
            sequence: SequenceNumber::from_u64(position),
            arrived_at: UnixNanos::from_nanos(arrived_at),
            value: payloads.slice(range),
        };
        self.records.into_iter().map(record).collect()
    }
}

/// Collects from batches in memory. They were written by this process; no CRC is computed.
pub(crate) fn memory(blocks: &[Block], found: &mut Found) -> Result<()> {
    for block in blocks {
        let mut rest: &[u8] = &block.bytes;
        while let Some(frame) = Frame::header(rest) {
            let damaged = || Error::internal("read the newest records from memory: a frame is cut short");
            let (whole, behind) = rest.split_at_checked(frame.bytes()).ok_or_else(damaged)?;
            if found.wants(&frame) {
                if !found.has_room(frame.length as usize) {
                    return Ok(());
                }
                found.push(&frame, whole.get(HEADER_BYTES..).unwrap_or_default());
            }
            rest = behind;
        }
    }
    Ok(())
}

/// Collects from files. Gives the place behind the last record, for who goes on from there.
pub(crate) fn disk(parts: &[Part], found: &mut Found, scratch: &mut Vec<u8>) -> Result<Option<Cursor>> {
    let mut place = None;
    for part in parts {
        let file = File::open(&part.segment.path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::data(format!(
                "read the log segment {}: it was released in the meantime; read it from the archive",
                part.segment.path.display()
            )),
            _ => file_error(ErrorKind::Retry, "open the log segment", &part.segment.path, e),
        })?;
        let mut pieces = Pieces { file, part, scratch, start: 0, filled: 0 };
        let (behind, full) = segment(&mut pieces, found)?;
        place = Some(behind);
        if full {
            break;
        }
    }
    Ok(place)
}

/// Collects from one segment; the place behind the last frame it looked at, and whether the limit
/// was reached.
fn segment(pieces: &mut Pieces<'_>, found: &mut Found) -> Result<(Cursor, bool)> {
    let part = pieces.part;
    let mut at = part.from;
    while at.position <= part.last {
        let damaged = || {
            Error::data(format!(
                "read the log segment {}: it is damaged at offset {}, position {}; restore the file from a copy",
                part.segment.path.display(),
                at.offset,
                at.position
            ))
        };
        let frame = Frame::header(pieces.get(at.offset, HEADER_BYTES)?).ok_or_else(damaged)?;
        if frame.position != at.position {
            return Err(damaged());
        }
        let mut ordinal = at.ordinal;
        if frame.shard == found.shard {
            if ordinal.is_some_and(|before| frame.ordinal != before + 1) {
                return Err(damaged());
            }
            if found.wants(&frame) {
                if !found.has_room(frame.length as usize) {
                    return Ok((at, true));
                }
                let bytes = pieces.get(at.offset, frame.bytes())?;
                let (_, payload) = Frame::read(bytes, part.segment.salt).ok_or_else(damaged)?;
                found.push(&frame, payload);
            }
            ordinal = Some(frame.ordinal);
        }
        at = Cursor { offset: at.offset + frame.bytes() as u64, position: at.position + 1, ordinal, ..at };
    }
    Ok((at, false))
}

/// A file read in large pieces.
struct Pieces<'a> {
    file: File,
    part: &'a Part,
    scratch: &'a mut Vec<u8>,
    /// Offset of the scratch buffer's first byte in the file.
    start: u64,
    filled: usize,
}

impl Pieces<'_> {
    /// `length` bytes at `offset`; fewer at the end of the file.
    fn get(&mut self, offset: u64, length: usize) -> Result<&[u8]> {
        let inside = offset.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        let at = match inside {
            Some(skip) if skip + length <= self.filled => skip,
            _ => {
                self.fill(offset, length)?;
                0
            }
        };
        Ok(self.scratch.get(at..self.filled.min(at + length)).unwrap_or_default())
    }

    fn fill(&mut self, offset: u64, length: usize) -> Result<()> {
        // A damaged length must not become an allocation.
        let file_bytes = self.file.metadata().map_or(0, |m| m.len());
        let left = usize::try_from(file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = length.max(PIECE_BYTES).min(left);
        if self.scratch.len() < wanted {
            self.scratch.resize(wanted, 0);
        }
        self.start = offset;
        self.filled = 0;
        while self.filled < length.min(wanted) {
            let free = self.scratch.get_mut(self.filled..wanted).unwrap_or_default();
            match self.file.read_at(free, offset + self.filled as u64) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(file_error(ErrorKind::Retry, "read the log segment", &self.part.segment.path, e)),
            }
        }
        Ok(())
    }
}
