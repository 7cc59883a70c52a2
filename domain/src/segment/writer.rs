//! Writes a segment: records in, one object out.
//!
//! Rows are held uncompressed up to one row group (some 8 MiB), then compressed into the object.
//! The same records give the same bytes.

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use std::sync::Arc;

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
        let make = || SerializedFileWriter::new(Vec::new(), schema::schema()?, Arc::new(schema::properties()?));
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
        self.count == 0 || self.hour == arrived_at.hour()
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

fn unwritable(cause: ParquetError) -> Error {
    Error::internal("write a segment").because(cause)
}

/// Values of a column that may be absent: a level per row (1 for a value), and the values.
#[derive(Default)]
struct Maybe<V> {
    levels: Vec<i16>,
    values: Vec<V>,
}

impl<V> Maybe<V> {
    fn push(&mut self, value: Option<V>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

/// The open row group, column by column, in the order of the schema.
#[derive(Default)]
struct Columns {
    sequence: Vec<ByteArray>,
    arrived_at: Vec<i64>,
    arrived_at_ns: Vec<i32>,
    entity: Vec<ByteArray>,
    source: Vec<ByteArray>,
    event_id: Vec<ByteArray>,
    event_type: Vec<ByteArray>,
    occurred_at: Maybe<i64>,
    occurred_at_ns: Maybe<i32>,
    received_at: Vec<i64>,
    received_at_ns: Vec<i32>,
    order_class: Vec<ByteArray>,
    order_value: Vec<i64>,
    key_id: Vec<ByteArray>,
    content_type: Vec<ByteArray>,
    request_digest: Maybe<ByteArray>,
    request_index: Maybe<i32>,
    unreadable: Maybe<ByteArray>,
    signature_headers: Vec<ByteArray>,
    body: Vec<ByteArray>,
    redrive_run: Maybe<ByteArray>,
}

impl Columns {
    fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Adds a row; gives its size, about.
    fn push(&mut self, record: &Sequenced<Envelope>) -> Result<usize> {
        let (envelope, event) = (&record.value, &record.value.event);
        let request_index = event.part.as_ref().map(|part| i32::try_from(part.index)).transpose();
        let request_index = request_index.map_err(|_| {
            Error::data(format!("write a segment: the request index at {} is too large", record.sequence))
        })?;
        let (micros, nanos) = split(record.arrived_at);
        self.sequence.push(record.sequence.as_str().into());
        self.arrived_at.push(micros);
        self.arrived_at_ns.push(nanos);
        self.entity.push(event.entity.as_str().into());
        self.source.push(event.entity.source().into());
        self.event_id.push(event.id.as_str().into());
        self.event_type.push(event.event_type.as_str().into());
        let (micros, nanos) = event.occurred_at.map(split).unzip();
        self.occurred_at.push(micros);
        self.occurred_at_ns.push(nanos);
        let (micros, nanos) = split(envelope.received_at);
        self.received_at.push(micros);
        self.received_at_ns.push(nanos);
        self.order_class.push(event.order.class.to_text().as_str().into());
        self.order_value.push(event.order.value);
        self.key_id.push(envelope.key_id.as_str().into());
        self.content_type.push(envelope.content_type.as_str().into());
        self.request_digest.push(event.part.as_ref().map(|part| part.digest.as_str().into()));
        self.request_index.push(request_index);
        self.unreadable.push(event.unreadable.as_deref().map(Into::into));
        self.signature_headers.push(envelope.signature_headers.as_str().into());
        // A copy: a slice would keep the buffer it was read into.
        self.body.push(Bytes::copy_from_slice(&event.body).into());
        self.redrive_run.push(envelope.redrive_run.as_deref().map(Into::into));
        Ok(256 + event.body.len() + envelope.signature_headers.len() + 2 * event.entity.as_str().len())
    }

    fn write(&self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ParquetError> {
        put::<ByteArrayType>(group, &self.sequence, None)?;
        put::<Int64Type>(group, &self.arrived_at, None)?;
        put::<Int32Type>(group, &self.arrived_at_ns, None)?;
        put::<ByteArrayType>(group, &self.entity, None)?;
        put::<ByteArrayType>(group, &self.source, None)?;
        put::<ByteArrayType>(group, &self.event_id, None)?;
        put::<ByteArrayType>(group, &self.event_type, None)?;
        put::<Int64Type>(group, &self.occurred_at.values, Some(&self.occurred_at.levels))?;
        put::<Int32Type>(group, &self.occurred_at_ns.values, Some(&self.occurred_at_ns.levels))?;
        put::<Int64Type>(group, &self.received_at, None)?;
        put::<Int32Type>(group, &self.received_at_ns, None)?;
        put::<ByteArrayType>(group, &self.order_class, None)?;
        put::<Int64Type>(group, &self.order_value, None)?;
        put::<ByteArrayType>(group, &self.key_id, None)?;
        put::<ByteArrayType>(group, &self.content_type, None)?;
        put::<ByteArrayType>(group, &self.request_digest.values, Some(&self.request_digest.levels))?;
        put::<Int32Type>(group, &self.request_index.values, Some(&self.request_index.levels))?;
        put::<ByteArrayType>(group, &self.unreadable.values, Some(&self.unreadable.levels))?;
        put::<ByteArrayType>(group, &self.signature_headers, None)?;
        put::<ByteArrayType>(group, &self.body, None)?;
        put::<ByteArrayType>(group, &self.redrive_run.values, Some(&self.redrive_run.levels))
    }
}

/// Writes the next column of a row group.
fn put<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns than the writer".into()));
    };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

/// Microseconds since the epoch, and the nanoseconds beyond them.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 1000")]
fn split(at: UnixNanos) -> (i64, i32) {
    (at.nanos().div_euclid(1000), at.nanos().rem_euclid(1000) as i32)
}
