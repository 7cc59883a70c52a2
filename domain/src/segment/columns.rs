//! The open row group of a segment that is written, column by column.
//!
//! All texts and bytes of the row group lie in one piece of memory, one behind the other, and the Parquet crate is
//! handed slices of it: a value costs no allocation of its own. Words that repeat lie there once.

use std::ops::Range;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;

use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::order::OrderClass;
use crate::ports::Sequenced;
use crate::time::UnixNanos;

/// Places of values in the row group's memory.
type Places = Vec<Range<usize>>;

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

/// Where texts and bytes lie.
#[derive(Default)]
struct Room(Vec<u8>);

impl Room {
    fn put(&mut self, value: &[u8]) -> Range<usize> {
        let from = self.0.len();
        self.0.extend_from_slice(value);
        from..self.0.len()
    }

    /// The same for a column of few different values: the one before is used again if it is the same.
    fn put_word(&mut self, words: &mut Places, value: &[u8]) {
        let place = match words.last() {
            Some(before) if self.0.get(before.clone()) == Some(value) => before.clone(),
            _ => self.put(value),
        };
        words.push(place);
    }
}

/// The columns, in the order of the schema.
#[derive(Default)]
pub(super) struct Columns {
    room: Room,
    sequence: Places,
    arrived_at: Vec<i64>,
    arrived_at_ns: Vec<i32>,
    entity: Places,
    source: Places,
    event_id: Places,
    event_type: Places,
    occurred_at: Maybe<i64>,
    occurred_at_ns: Maybe<i32>,
    received_at: Vec<i64>,
    received_at_ns: Vec<i32>,
    order_class: Places,
    order_class_before: Option<OrderClass>,
    order_value: Vec<i64>,
    key_id: Places,
    content_type: Places,
    request_digest: Maybe<Range<usize>>,
    request_index: Maybe<i32>,
    unreadable: Maybe<Range<usize>>,
    signature_headers: Places,
    body: Places,
    redrive_run: Maybe<Range<usize>>,
}

impl Columns {
    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.sequence.len()
    }

    /// Adds a row; gives its size, about.
    pub(super) fn push(&mut self, record: &Sequenced<Envelope>) -> Result<usize> {
        let (envelope, event) = (&record.value, &record.value.event);
        let request_index = event.part.as_ref().map(|part| i32::try_from(part.index)).transpose();
        let request_index = request_index.map_err(|_| {
            Error::data(format!("write a segment: the request index at {} is too large", record.sequence))
        })?;
        let room = &mut self.room;
        let (micros, nanos) = split(record.arrived_at);
        self.sequence.push(room.put(record.sequence.as_str().as_bytes()));
        self.arrived_at.push(micros);
        self.arrived_at_ns.push(nanos);
        let entity = room.put(event.entity.as_str().as_bytes());
        // Its first part is the source.
        self.source.push(entity.start..entity.start + event.entity.source().len());
        self.entity.push(entity);
        self.event_id.push(room.put(event.id.as_bytes()));
        room.put_word(&mut self.event_type, event.event_type.as_bytes());
        let (micros, nanos) = event.occurred_at.map(split).unzip();
        self.occurred_at.push(micros);
        self.occurred_at_ns.push(nanos);
        let (micros, nanos) = split(envelope.received_at);
        self.received_at.push(micros);
        self.received_at_ns.push(nanos);
        match self.order_class.last().filter(|_| self.order_class_before == Some(event.order.class)) {
            Some(same) => self.order_class.push(same.clone()),
            None => self.order_class.push(room.put(event.order.class.to_text().as_bytes())),
        }
        self.order_class_before = Some(event.order.class);
        self.order_value.push(event.order.value);
        room.put_word(&mut self.key_id, envelope.key_id.as_bytes());
        room.put_word(&mut self.content_type, envelope.content_type.as_bytes());
        self.request_digest.push(event.part.as_ref().map(|part| room.put(part.digest.as_bytes())));
        self.request_index.push(request_index);
        self.unreadable.push(event.unreadable.as_deref().map(|reason| room.put(reason.as_bytes())));
        self.signature_headers.push(room.put(envelope.signature_headers.as_bytes()));
        self.body.push(room.put(&event.body));
        self.redrive_run.push(envelope.redrive_run.as_deref().map(|run| room.put(run.as_bytes())));
        Ok(256 + event.body.len() + envelope.signature_headers.len() + 2 * event.entity.as_str().len())
    }

    /// Writes them into a row group, which is to be closed then.
    pub(super) fn write(self, group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<(), ParquetError> {
        let mut group = Group { group, room: Bytes::from(self.room.0), values: Vec::new() };
        group.texts(&self.sequence, None)?;
        group.numbers::<Int64Type>(&self.arrived_at, None)?;
        group.numbers::<Int32Type>(&self.arrived_at_ns, None)?;
        group.texts(&self.entity, None)?;
        group.texts(&self.source, None)?;
        group.texts(&self.event_id, None)?;
        group.texts(&self.event_type, None)?;
        group.numbers::<Int64Type>(&self.occurred_at.values, Some(&self.occurred_at.levels))?;
        group.numbers::<Int32Type>(&self.occurred_at_ns.values, Some(&self.occurred_at_ns.levels))?;
        group.numbers::<Int64Type>(&self.received_at, None)?;
        group.numbers::<Int32Type>(&self.received_at_ns, None)?;
        group.texts(&self.order_class, None)?;
        group.numbers::<Int64Type>(&self.order_value, None)?;
        group.texts(&self.key_id, None)?;
        group.texts(&self.content_type, None)?;
        group.texts(&self.request_digest.values, Some(&self.request_digest.levels))?;
        group.numbers::<Int32Type>(&self.request_index.values, Some(&self.request_index.levels))?;
        group.texts(&self.unreadable.values, Some(&self.unreadable.levels))?;
        group.texts(&self.signature_headers, None)?;
        group.texts(&self.body, None)?;
        group.texts(&self.redrive_run.values, Some(&self.redrive_run.levels))
    }
}

/// A row group that is written.
struct Group<'a, 'b> {
    group: &'a mut SerializedRowGroupWriter<'b, Vec<u8>>,
    room: Bytes,
    /// The values of the column at hand.
    values: Vec<ByteArray>,
}

impl Group<'_, '_> {
    /// Writes the next column.
    fn texts(&mut self, places: &[Range<usize>], levels: Option<&[i16]>) -> Result<(), ParquetError> {
        let mut values = std::mem::take(&mut self.values);
        values.clear();
        values.extend(places.iter().map(|place| ByteArray::from(self.room.slice(place.clone()))));
        self.numbers::<ByteArrayType>(&values, levels)?;
        self.values = values;
        Ok(())
    }

    fn numbers<T: DataType>(&mut self, values: &[T::T], levels: Option<&[i16]>) -> Result<(), ParquetError> {
        let Some(mut column) = self.group.next_column()? else {
            return Err(ParquetError::General("the schema has fewer columns than the writer".into()));
        };
        column.typed::<T>().write_batch(values, levels, None)?;
        column.close()
    }
}

/// Microseconds since the epoch, and the nanoseconds beyond them.
#[expect(clippy::cast_possible_truncation, reason = "the remainder is below 1000")]
fn split(at: UnixNanos) -> (i64, i32) {
    (at.nanos().div_euclid(1000), at.nanos().rem_euclid(1000) as i32)
}
