//! Collects the records of one shard from batches in memory or from segment files.
//!
//! Frames of other shards are stepped over by their headers. Files are read in large pieces that all
//! readers share ([`Pieces`]), and what is given are slices of them. What is given was checked: the
//! CRC of each, positions without gaps, ordinals of the shard without gaps. Anything else is
//! [`ErrorKind::Data`].

use bytes::Bytes;
use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::ports::{ReadLimit, Sequenced};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};

use super::frame::{Frame, HEADER_BYTES};
use super::pieces::{OpenSegment, Pieces};
use super::view::{Block, Cursor, Part};

/// Records found so far.
pub(crate) struct Found {
    shard: u16,
    after: u64,
    records_max: usize,
    bytes_max: usize,
    bytes: usize,
    records: Vec<Sequenced<Bytes>>,
    /// Position of the last one.
    last: Option<u64>,
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
            bytes: 0,
            records: Vec::new(),
            last: None,
            ordinal: 0,
        }
    }

    fn wants(&self, frame: &Frame) -> bool {
        frame.shard == self.shard && frame.position > self.after
    }

    /// Whether one more record of this size may come; the first always may.
    fn has_room(&self, bytes: usize) -> bool {
        self.records.is_empty() || (self.records.len() < self.records_max && self.bytes + bytes <= self.bytes_max)
    }

    fn push(&mut self, frame: &Frame, value: Bytes) {
        self.bytes += value.len();
        self.last = Some(frame.position);
        self.ordinal = frame.ordinal;
        self.records.push(Sequenced {
            sequence: SequenceNumber::from_u64(frame.position),
            arrived_at: UnixNanos::from_nanos(frame.arrived_at),
            value,
        });
    }

    /// Position of the last record found.
    pub fn last(&self) -> Option<u64> {
        self.last
    }

    /// The records, slices of buffers that they share.
    pub fn into_records(self) -> Vec<Sequenced<Bytes>> {
        self.records
    }
}

/// Collects from batches in memory. They were written by this process; no CRC is computed.
pub(crate) fn memory(blocks: &[Block], found: &mut Found) -> Result<()> {
    for block in blocks {
        let mut at = 0;
        while let Some(frame) = block.bytes.get(at..).and_then(Frame::header) {
            let end = at + frame.bytes();
            if end > block.bytes.len() {
                return Err(Error::internal("read the newest records from memory: a frame is cut short"));
            }
            if found.wants(&frame) {
                if !found.has_room(frame.length as usize) {
                    return Ok(());
                }
                found.push(&frame, block.bytes.slice(at + HEADER_BYTES..end));
            }
            at = end;
        }
    }
    Ok(())
}

/// Collects from files. Gives the place behind the last record, for who goes on from there.
pub(crate) fn disk(parts: &[Part], found: &mut Found, pieces: &Pieces) -> Result<Option<Cursor>> {
    let mut place = None;
    for part in parts {
        let mut file = pieces.open(&part.segment)?;
        let (behind, full) = segment(&mut file, part, found)?;
        place = Some(behind);
        if full {
            break;
        }
    }
    Ok(place)
}

/// Collects from one segment; the place behind the last frame it looked at, and whether the limit
/// was reached.
fn segment(file: &mut OpenSegment<'_>, part: &Part, found: &mut Found) -> Result<(Cursor, bool)> {
    let mut at = part.from;
    while at.position <= part.last {
        let frame = next_header(file, part, &at)?;
        let mut ordinal = at.ordinal;
        if frame.shard == found.shard {
            if ordinal.is_some_and(|before| frame.ordinal != before + 1) {
                return Err(damaged(part, &at));
            }
            if found.wants(&frame) {
                if !found.has_room(frame.length as usize) {
                    return Ok((at, true));
                }
                found.push(&frame, payload(file, part, &at, &frame)?);
            }
            ordinal = Some(frame.ordinal);
        }
        at = Cursor { offset: at.offset + frame.bytes() as u64, position: at.position + 1, ordinal, ..at };
    }
    Ok((at, false))
}

/// The header at a place. A piece that another reader left may be older than what was written since:
/// only what does not fit when it is read anew is damaged. The same goes for the payload.
fn next_header(file: &mut OpenSegment<'_>, part: &Part, at: &Cursor) -> Result<Frame> {
    let fits = |frame: &Frame| frame.position == at.position;
    if let Some(frame) = file.header(at.offset)?.filter(fits) {
        return Ok(frame);
    }
    file.refresh();
    file.header(at.offset)?.filter(fits).ok_or_else(|| damaged(part, at))
}

fn payload(file: &mut OpenSegment<'_>, part: &Part, at: &Cursor, frame: &Frame) -> Result<Bytes> {
    let mut read = || -> Result<Option<Bytes>> {
        let bytes = file.bytes(at.offset, frame.bytes())?;
        let whole = Frame::read(&bytes, part.segment.salt).is_some_and(|(read, _)| read == *frame);
        if whole {
            return Ok(Some(bytes.slice(HEADER_BYTES..)));
        }
        file.refresh();
        Ok(None)
    };
    match read()? {
        Some(payload) => Ok(payload),
        None => read()?.ok_or_else(|| damaged(part, at)),
    }
}

fn damaged(part: &Part, at: &Cursor) -> Error {
    Error::data(format!(
        "read the log segment {}: it is damaged at offset {}, position {}; restore the file from a copy",
        part.segment.path.display(),
        at.offset,
        at.position
    ))
}
