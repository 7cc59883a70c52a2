//! What the newest segment holds after a stop of any kind.
//!
//! Good frames are kept, whether their append was answered or not. What follows the last good one
//! is a torn tail, the remains of a batch whose sync never returned, and is overwritten with zeros;
//! unless a good frame of a later batch follows: then the bad bytes were durable once, the file is
//! damaged, and the log refuses to open rather than lose acknowledged records.
//!
//! The last batch is written and synced once more before anyone reads it: the process may have
//! stopped between its write and its sync, or because that sync failed, and pages that the
//! operating system believes to be clean are not on the disk for certain.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use ledgerline_domain::{Error, ErrorKind, Result};

use super::direct::{PAGE_BYTES, SegmentFile};
use super::frame::{Frame, HEADER_BYTES as FRAME_HEADER_BYTES};
use super::segment::{Before, HEADER_BYTES, Segment};
use crate::embedded::files::file_error;

/// The newest segment, ready for the next frame.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// Open for writing.
    pub file: SegmentFile,
    /// Where the next frame goes.
    pub offset: u64,
    /// What stands before that in its page.
    pub begun_page: Vec<u8>,
    /// The next frame's position.
    pub position: u64,
    /// Per shard, everything the log ever held.
    pub shards: Vec<Before>,
    /// Bytes of a torn tail that were cut.
    pub cut_bytes: u64,
}

/// Reads, cuts and syncs the newest segment. [`ErrorKind::Data`] when it is damaged.
pub(crate) fn recover(segment: &Segment, segment_bytes: u64) -> Result<Recovered> {
    let failed = |e| file_error(ErrorKind::Retry, "read the log segment", &segment.path, e);
    let bytes = fs::read(&segment.path).map_err(failed)?;
    let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    let mut offset = HEADER_BYTES;
    let mut position = segment.first;
    let mut shards = segment.before.clone();
    let mut batch_at = offset;
    while let Some((frame, _)) = bytes.get(offset..).and_then(|rest| Frame::read(rest, segment.salt)) {
        let Some(shard) = shards.get_mut(usize::from(frame.shard)) else { break };
        if frame.position != position || frame.ordinal != shard.count + 1 {
            break;
        }
        if frame.batch_index == 0 {
            batch_at = offset;
            segment.mark(position, offset as u64);
        }
        *shard = Before { count: frame.ordinal, last: position };
        offset += frame.bytes();
        position += 1;
    }
    if let Some(later) = later_batch(&bytes, offset, written, position, segment.salt) {
        return Err(Error::data(format!(
            "open the log: {} is damaged at offset {offset}, where position {position} should be (position {later} \
             follows and is whole); restore the file from a copy",
            segment.path.display()
        )));
    }
    let file = OpenOptions::new().read(true).write(true).open(&segment.path).map_err(failed)?;
    let mend = || {
        if let Some(batch) = bytes.get(batch_at..offset) {
            file.write_all_at(batch, batch_at as u64)?;
        }
        if written > offset {
            file.write_all_at(&vec![0; written - offset], offset as u64)?;
        }
        // A file that was copied back may have lost its zeros.
        if (bytes.len() as u64) < segment_bytes {
            file.set_len(segment_bytes)?;
        }
        file.sync_all()
    };
    mend().map_err(|e| file_error(ErrorKind::Retry, "mend the end of the log segment", &segment.path, e))?;
    let cut_bytes = written.saturating_sub(offset) as u64;
    // The file has its full size now, or more.
    let file = SegmentFile::new(file, &segment.path, segment_bytes);
    let begun_page = bytes.get(offset - offset % PAGE_BYTES..offset).unwrap_or_default().to_vec();
    Ok(Recovered { file, begun_page, offset: offset as u64, position, shards, cut_bytes })
}

/// Position of a whole frame behind the bad one at `bad` that was written after the bad one's batch
/// had been synced; `None` for a torn tail.
fn later_batch(bytes: &[u8], bad: usize, written: usize, position: u64, salt: u32) -> Option<u64> {
    let most = position + (written.saturating_sub(bad) / FRAME_HEADER_BYTES) as u64;
    (bad..written).find_map(|at| {
        let rest = bytes.get(at..)?;
        let header = Frame::header(rest)?;
        // Cheap and nearly always false; the checksum decides.
        if header.batch_first() <= position || header.position > most {
            return None;
        }
        Frame::read(rest, salt).map(|(frame, _)| frame.position)
    })
}
