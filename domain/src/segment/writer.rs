//! Writes a segment: records in, one object out.
//!
//! Rows are held uncompressed up to one row group (some 8 MiB), then compressed into the object.
//! The same records give the same bytes.

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

use super::columns::Columns;
use super::contents::Gathered;
use super::info::{Link, Replaced, Segment, SegmentInfo};
use super::keys::{check_sequence, check_shard, check_stream};
use super::schema::{self, GROUP_BYTES_MAX, GROUP_ROWS_MAX};
use super::{checksum, digest};
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::ids::{SequenceNumber, ShardId};
use crate::ports::Sequenced;
use crate::time::UnixNanos;

/// Where a segment stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentPlace {
    /// The stream.
    pub stream: String,
    /// The shard.
    pub shard: ShardId,
    /// The position it follows and the segment that ends there; none for a shard's first.
    pub after: Option<(SequenceNumber, Link)>,
}

/// A segment under construction.
pub struct SegmentWriter {
    place: SegmentPlace,
    file: SerializedFileWriter<Vec<u8>>,
    rows: Columns,
    rows_bytes: usize,
    raw_bytes: usize,
    count: u64,
    hour: String,
    /// The same, as a number.
    hours: i64,
    last: Option<SequenceNumber>,
    gathered: Gathered,
    replaces: Vec<Replaced>,
}

impl SegmentWriter {
    /// An empty segment. [`Invalid`](crate::ErrorKind::Invalid) when stream or shard cannot stand
    /// in a key.
    pub fn new(place: SegmentPlace) -> Result<Self> {
        check_stream(&place.stream)?;
        check_shard(&place.shard)?;
        let make = || SerializedFileWriter::new(Vec::new(), schema::schema()?, schema::properties()?);
        let file = make().map_err(unwritable)?;
        let last = place.after.as_ref().map(|(start, _)| start.clone());
        Ok(Self {
            place,
            file,
            rows: Columns::default(),
            rows_bytes: 0,
            raw_bytes: 0,
            count: 0,
            hour: String::new(),
            hours: 0,
            last,
            gathered: Gathered::default(),
            replaces: Vec::new(),
        })
    }

    /// Makes it a compacted object, which will hold the rows of these segments.
    #[must_use]
    pub fn replacing(mut self, segments: Vec<Replaced>) -> Self {
        self.replaces = segments;
        self
    }

    /// Whether a record that arrived then may be pushed: all are of the first one's hour.
    pub fn takes_hour_of(&self, arrived_at: UnixNanos) -> bool {
        self.count == 0 || self.hours == hours(arrived_at)
    }

    /// How many records it holds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Bytes of all records pushed, uncompressed.
    pub fn raw_bytes(&self) -> usize {
        self.raw_bytes
    }

    /// Bytes it holds in memory, about: compressed ones and those of the open row group.
    pub fn held_bytes(&self) -> usize {
        self.rows_bytes + self.file.inner().len()
    }

    /// Adds the next record. Its position must be above all before it and its hour theirs.
    pub fn push(&mut self, record: &Sequenced<Envelope>) -> Result<()> {
        if self.last.as_ref().is_some_and(|last| record.sequence <= *last) {
            return Err(Error::internal(format!("write a segment: position {} does not rise", record.sequence)));
        }
        if !self.takes_hour_of(record.arrived_at) {
            return Err(Error::internal(format!("write a segment: position {} is of another hour", record.sequence)));
        }
        check_sequence(&record.sequence)?;
        if self.count == 0 {
            self.hour = record.arrived_at.hour();
            self.hours = hours(record.arrived_at);
        }
        let bytes = self.rows.push(record)?;
        self.gathered.note(record);
        self.rows_bytes += bytes;
        self.raw_bytes += bytes;
        self.count += 1;
        self.last = Some(record.sequence.clone());
        if self.rows.len() >= GROUP_ROWS_MAX || self.rows_bytes >= GROUP_BYTES_MAX {
            self.close_group()?;
        }
        Ok(())
    }

    /// Completes the object. An empty segment is refused as [`Internal`](crate::ErrorKind::Internal).
    pub fn finish(mut self) -> Result<Segment> {
        let empty = || Error::internal("write a segment: it has no records");
        let (Some(last), Some(contents)) = (self.last.clone(), std::mem::take(&mut self.gathered).finish()) else {
            return Err(empty());
        };
        if self.rows.len() > 0 {
            self.close_group()?;
        }
        let (start, predecessor) = self.place.after.unzip();
        let info = SegmentInfo {
            stream: self.place.stream,
            shard: self.place.shard,
            start,
            last,
            count: self.count,
            hour: self.hour,
            predecessor,
            contents,
            replaces: self.replaces,
        };
        for pair in info.to_pairs(self.file.bytes_written()) {
            self.file.append_key_value_metadata(pair);
        }
        let mut object = self.file.into_inner().map_err(unwritable)?;
        checksum::set(&mut object)?;
        let sha256 = digest(&object);
        Ok(Segment { info, bytes: Bytes::from(object), sha256 })
    }

    fn close_group(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        self.rows_bytes = 0;
        let mut group = self.file.next_row_group().map_err(unwritable)?;
        rows.write(&mut group).map_err(unwritable)?;
        group.close().map_err(unwritable)?;
        Ok(())
    }
}

impl std::fmt::Debug for SegmentWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentWriter({} of {}, {} records)", self.place.shard, self.place.stream, self.count)
    }
}

/// The hour of a time, counted from the epoch.
fn hours(at: UnixNanos) -> i64 {
    at.nanos().div_euclid(3_600_000_000_000)
}

fn unwritable(cause: ParquetError) -> Error {
    Error::internal("write a segment").because(cause)
}
