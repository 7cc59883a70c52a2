//! Segment files read in large pieces, which the readers of all shards share.
//!
//! Shards lie side by side in a segment, so readers that go through it together read each piece once.
//! At most [`PIECES_MAX`] pieces are kept. A kept piece may be older than the file where that is still
//! being written; whoever finds something that does not fit asks again after
//! [`refresh`](OpenSegment::refresh).

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::frame::{Frame, HEADER_BYTES};
use super::segment::Segment;
use crate::embedded::files::file_error;

/// Bytes of a piece.
const PIECE_BYTES: usize = 1024 * 1024;
/// Most pieces kept for other readers.
const PIECES_MAX: usize = 12;

/// The pieces that are kept, by first position of the segment and place in it.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Mutex<VecDeque<((u64, u64), Bytes)>>);

impl Pieces {
    /// Opens a segment for reading.
    pub fn open(&self, segment: &Arc<Segment>) -> Result<OpenSegment<'_>> {
        let file = File::open(&segment.path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Error::data(format!(
                "read the log segment {}: it was released in the meantime; read it from the archive",
                segment.path.display()
            )),
            _ => file_error(ErrorKind::Retry, "open the log segment", &segment.path, e),
        })?;
        Ok(OpenSegment { pieces: self, file, segment: segment.clone(), held: None, anew: false })
    }

    fn find(&self, key: (u64, u64)) -> Option<Bytes> {
        self.lock().iter().find(|(kept, _)| *kept == key).map(|(_, piece)| piece.clone())
    }

    fn keep(&self, key: (u64, u64), piece: Bytes) {
        let mut kept = self.lock();
        kept.retain(|(other, _)| *other != key);
        kept.push_back((key, piece));
        if kept.len() > PIECES_MAX {
            kept.pop_front();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<((u64, u64), Bytes)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A segment that is being read.
pub(crate) struct OpenSegment<'a> {
    pieces: &'a Pieces,
    file: File,
    segment: Arc<Segment>,
    /// The piece read last and its place.
    held: Option<(u64, Bytes)>,
    /// From here on pieces are read from the file, whatever is kept.
    anew: bool,
}

impl OpenSegment<'_> {
    /// Forgets what was read before and what others have read.
    pub fn refresh(&mut self) {
        self.held = None;
        self.anew = true;
    }

    /// The frame's header at `offset`; nothing behind the end of the file.
    pub fn header(&mut self, offset: u64) -> Result<Option<Frame>> {
        let (place, skip) = split(offset);
        let piece = self.piece(place)?;
        match piece.get(skip..skip + HEADER_BYTES) {
            Some(header) => Ok(Frame::header(header)),
            None => Ok(Frame::header(&self.bytes(offset, HEADER_BYTES)?)),
        }
    }

    /// `length` bytes at `offset`, fewer at the end of the file: a slice of a piece, or a copy where
    /// they lie in more than one.
    pub fn bytes(&mut self, offset: u64, length: usize) -> Result<Bytes> {
        let (mut place, skip) = split(offset);
        let first = self.piece(place)?;
        if skip + length <= first.len() {
            return Ok(first.slice(skip..skip + length));
        }
        // Grows with what is there: a damaged length must not become an allocation.
        let mut joined = first.get(skip..).unwrap_or_default().to_vec();
        while joined.len() < length {
            place += 1;
            let piece = self.piece(place)?;
            if piece.is_empty() {
                break;
            }
            joined.extend_from_slice(piece.get(..length - joined.len()).unwrap_or(piece));
        }
        Ok(joined.into())
    }

    fn piece(&mut self, place: u64) -> Result<&Bytes> {
        let held = match self.held.take().filter(|(held, _)| *held == place) {
            Some(held) => held,
            None => {
                let key = (self.segment.first, place);
                let kept = if self.anew { None } else { self.pieces.find(key) };
                let piece = match kept {
                    Some(piece) => piece,
                    None => {
                        let piece = self.read(place)?;
                        self.pieces.keep(key, piece.clone());
                        piece
                    }
                };
                (place, piece)
            }
        };
        Ok(&self.held.insert(held).1)
    }

    fn read(&mut self, place: u64) -> Result<Bytes> {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        self.file
            .seek(SeekFrom::Start(place * PIECE_BYTES as u64))
            .and_then(|_| (&self.file).take(PIECE_BYTES as u64).read_to_end(&mut piece))
            .map_err(|e| file_error(ErrorKind::Retry, "read the log segment", &self.segment.path, e))?;
        Ok(piece.into())
    }
}

/// A piece's place and how far into it `offset` lies.
fn split(offset: u64) -> (u64, usize) {
    let bytes = PIECE_BYTES as u64;
    // The remainder is below a piece's size.
    (offset / bytes, usize::try_from(offset % bytes).unwrap_or_default())
}

#[cfg(test)]
mod tests;
