//! Walks the rows of one row group and puts envelopes together from its columns.

use std::sync::Arc;
use std::vec::IntoIter;

use bytes::Bytes;
use compact_str::CompactString;
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::plain::Plain;
use super::reader::{damaged, undecodable};
use super::schema;
use crate::envelope::{Envelope, Identified, RequestPart};
use crate::error::Result;
use crate::ids::{EntityKey, SequenceNumber};
use crate::order::{OrderClass, OrderKey};
use crate::ports::Sequenced;
use crate::time::UnixNanos;

/// A place between two rows of a row group.
pub(super) struct Cursor {
    left: usize,
    sequence: Plain,
    arrived_at: Time,
    entity: Plain,
    event_id: Plain,
    event_type: Typed<ByteArrayType>,
    occurred_at: Time,
    received_at: Time,
    order_class: Typed<ByteArrayType>,
    order_value: Typed<Int64Type>,
    request_digest: Typed<ByteArrayType>,
    request_index: Typed<Int32Type>,
    unreadable: Typed<ByteArrayType>,
    evidence: Option<Evidence>,
    body: Plain,
}

/// The columns that say how a request was verified; a fold does without them.
struct Evidence {
    key_id: Typed<ByteArrayType>,
    content_type: Typed<ByteArrayType>,
    signature_headers: Plain,
}

/// How a row was verified.
#[derive(Default)]
struct Verification {
    key_id: CompactString,
    content_type: CompactString,
    signature_headers: String,
}

impl Cursor {
    /// Before the first row. Without `evidence`, key id, content type and signature headers are not
    /// read and stay empty.
    pub(super) fn open(object: &Arc<Bytes>, group: &RowGroupMetaData, evidence: bool) -> Result<Self> {
        let evidence = evidence.then(|| Evidence::open(object, group)).transpose()?;
        let time = |micros, nanos| Ok(Time { micros: long(object, group, micros)?, nanos: int(object, group, nanos)? });
        Ok(Self {
            left: rows(group)?,
            sequence: plain(object, group, schema::SEQUENCE)?,
            arrived_at: time(schema::ARRIVED_AT, schema::ARRIVED_AT_NS)?,
            entity: plain(object, group, schema::ENTITY)?,
            event_id: plain(object, group, schema::EVENT_ID)?,
            event_type: words(object, group, schema::EVENT_TYPE)?,
            occurred_at: time(schema::OCCURRED_AT, schema::OCCURRED_AT_NS)?,
            received_at: time(schema::RECEIVED_AT, schema::RECEIVED_AT_NS)?,
            order_class: words(object, group, schema::ORDER_CLASS)?,
            order_value: long(object, group, schema::ORDER_VALUE)?,
            request_digest: words(object, group, schema::REQUEST_DIGEST)?,
            request_index: int(object, group, schema::REQUEST_INDEX)?,
            unreadable: words(object, group, schema::UNREADABLE)?,
            evidence,
            body: plain(object, group, schema::BODY)?,
        })
    }

    /// Rows that follow.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Passes over `count` rows.
    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        self.left = self.left.checked_sub(count).ok_or_else(damaged)?;
        for column in [&mut self.sequence, &mut self.entity, &mut self.event_id, &mut self.body] {
            column.skip(count)?;
        }
        for column in [&mut self.event_type, &mut self.order_class, &mut self.request_digest, &mut self.unreadable] {
            column.skip(count)?;
        }
        if let Some(evidence) = &mut self.evidence {
            evidence.skip(count)?;
        }
        for column in [&mut self.arrived_at, &mut self.occurred_at, &mut self.received_at] {
            column.micros.skip(count)?;
            column.nanos.skip(count)?;
        }
        self.order_value.skip(count)?;
        self.request_index.skip(count)
    }

    /// Reads the next `count` rows.
    pub(super) fn read(&mut self, count: usize) -> Result<Vec<Sequenced<Envelope>>> {
        self.left = self.left.checked_sub(count).ok_or_else(damaged)?;
        let mut sequence = self.sequence.read(count, |page, at| text(&page[at]).map(SequenceNumber::new))?.into_iter();
        let mut arrived_at = self.arrived_at.read(count)?;
        let mut entity = self
            .entity
            .read(count, |page, at| EntityKey::try_from(text(&page[at])?).map_err(|e| damaged().because(e)))?
            .into_iter();
        let mut event_id = self.event_id.read(count, |page, at| text(&page[at]))?.into_iter();
        let mut event_type = self.event_type.read(count)?;
        let mut occurred_at = self.occurred_at.read(count)?;
        let mut received_at = self.received_at.read(count)?;
        let mut order_class = self.order_class.read(count)?;
        let mut order_value = self.order_value.read(count)?;
        let mut request_digest = self.request_digest.read(count)?;
        let mut request_index = self.request_index.read(count)?;
        let mut unreadable = self.unreadable.read(count)?;
        let mut evidence = match &mut self.evidence {
            Some(evidence) => Some(evidence.read(count)?.into_iter()),
            None => None,
        };
        let mut body = self.body.read(count, |page, at| Ok(page.slice(at)))?.into_iter();
        let mut rows = Vec::with_capacity(count);
        for _ in 0..count {
            let part = match (request_digest.maybe()?, request_index.maybe()?) {
                (Some(digest), Some(index)) => Some(RequestPart {
                    digest: text(digest.data())?,
                    index: u32::try_from(index).map_err(|_| damaged())?,
                }),
                (None, None) => None,
                _ => return Err(damaged()),
            };
            let order =
                OrderKey { class: OrderClass::parse(utf8(order_class.value()?.data())?)?, value: order_value.value()? };
            let event = Identified {
                id: event_id.next().ok_or_else(damaged)?,
                event_type: text(event_type.value()?.data())?,
                entity: entity.next().ok_or_else(damaged)?,
                order,
                occurred_at: occurred_at.maybe()?,
                body: body.next().ok_or_else(damaged)?,
                part,
                unreadable: unreadable.maybe()?.map(|u| utf8(u.data()).map(str::to_owned)).transpose()?,
            };
            let Verification { key_id, content_type, signature_headers } = match &mut evidence {
                Some(evidence) => evidence.next().ok_or_else(damaged)?,
                None => Verification::default(),
            };
            let received_at = received_at.maybe()?.ok_or_else(damaged)?;
            let value = Envelope::restore(event, received_at, content_type, key_id, signature_headers);
            let sequence = sequence.next().ok_or_else(damaged)?;
            rows.push(Sequenced { sequence, arrived_at: arrived_at.maybe()?.ok_or_else(damaged)?, value });
        }
        Ok(rows)
    }
}

impl Evidence {
    fn open(object: &Arc<Bytes>, group: &RowGroupMetaData) -> Result<Self> {
        Ok(Self {
            key_id: words(object, group, schema::KEY_ID)?,
            content_type: words(object, group, schema::CONTENT_TYPE)?,
            signature_headers: plain(object, group, schema::SIGNATURE_HEADERS)?,
        })
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        self.key_id.skip(count)?;
        self.content_type.skip(count)?;
        self.signature_headers.skip(count)
    }

    fn read(&mut self, count: usize) -> Result<Vec<Verification>> {
        let (mut key_id, mut content_type) = (self.key_id.read(count)?, self.content_type.read(count)?);
        self.signature_headers.read(count, |page, at| {
            Ok(Verification {
                key_id: text(key_id.value()?.data())?,
                content_type: text(content_type.value()?.data())?,
                signature_headers: utf8(&page[at])?.to_owned(),
            })
        })
    }
}

/// Places, within the row group, of the rows about `entity`.
pub(super) fn places_of(object: &Arc<Bytes>, group: &RowGroupMetaData, entity: &EntityKey) -> Result<Vec<usize>> {
    let wanted = entity.as_str().as_bytes();
    let count = rows(group)?;
    let found = plain(object, group, schema::ENTITY)?.read(count, |page, at| Ok(&page[at] == wanted))?;
    Ok(found.iter().enumerate().filter_map(|(place, hit)| hit.then_some(place)).collect())
}

/// A column of a kind that the Parquet crate decodes, some of its values maybe absent.
struct Typed<T: DataType> {
    /// None when the whole column chunk is null.
    reader: Option<ColumnReaderImpl<T>>,
    nullable: bool,
}

/// Values of such a column.
struct Values<V> {
    values: IntoIter<V>,
    /// One per row, 1 for a value; none when there is a value per row.
    levels: Option<IntoIter<i16>>,
}

impl<T: DataType> Typed<T> {
    fn read(&mut self, count: usize) -> Result<Values<T::T>> {
        let mut values = Vec::new();
        let Some(reader) = &mut self.reader else {
            return Ok(Values { values: values.into_iter(), levels: Some(vec![0; count].into_iter()) });
        };
        values.reserve(count);
        let mut levels = self.nullable.then(|| Vec::with_capacity(count));
        let mut got = 0;
        while got < count {
            let (rows, ..) =
                reader.read_records(count - got, levels.as_mut(), None, &mut values).map_err(undecodable)?;
            if rows == 0 {
                return Err(damaged());
            }
            got += rows;
        }
        Ok(Values { values: values.into_iter(), levels: levels.map(Vec::into_iter) })
    }

    fn skip(&mut self, count: usize) -> Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let skipped = reader.skip_records(count).map_err(undecodable)?;
        if skipped == count { Ok(()) } else { Err(damaged()) }
    }
}

impl<V> Values<V> {
    fn value(&mut self) -> Result<V> {
        self.maybe()?.ok_or_else(damaged)
    }

    fn maybe(&mut self) -> Result<Option<V>> {
        let absent = match &mut self.levels {
            Some(levels) => levels.next().ok_or_else(damaged)? == 0,
            None => false,
        };
        if absent { Ok(None) } else { self.values.next().map(Some).ok_or_else(damaged) }
    }
}

/// A pair of columns: microseconds and the nanoseconds beyond them.
struct Time {
    micros: Typed<Int64Type>,
    nanos: Typed<Int32Type>,
}

/// Values of such a pair.
struct Times {
    micros: Values<i64>,
    nanos: Values<i32>,
}

impl Time {
    fn read(&mut self, count: usize) -> Result<Times> {
        Ok(Times { micros: self.micros.read(count)?, nanos: self.nanos.read(count)? })
    }
}

impl Times {
    fn maybe(&mut self) -> Result<Option<UnixNanos>> {
        match (self.micros.maybe()?, self.nanos.maybe()?) {
            (Some(micros), Some(nanos)) => i64::try_from(i128::from(micros) * 1000 + i128::from(nanos))
                .map(|nanos| Some(UnixNanos::from_nanos(nanos)))
                .map_err(|_| damaged()),
            (None, None) => Ok(None),
            _ => Err(damaged()),
        }
    }
}

fn rows(group: &RowGroupMetaData) -> Result<usize> {
    usize::try_from(group.num_rows()).map_err(|_| damaged())
}

fn pages(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Box<dyn PageReader>> {
    let chunk = group.columns().get(column).ok_or_else(damaged)?;
    let reader = SerializedPageReader::new(object.clone(), chunk, rows(group)?, None).map_err(undecodable)?;
    Ok(Box::new(reader))
}

fn plain(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Plain> {
    pages(object, group, column).map(Plain::new)
}

/// The reader of a column chunk, unless all of it is null.
fn reader(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<(Option<ColumnReader>, bool)> {
    let chunk = group.columns().get(column).ok_or_else(damaged)?;
    let nullable = chunk.column_descr().max_def_level() > 0;
    let nulls = chunk.statistics().and_then(|s| s.null_count_opt());
    if nullable && nulls == u64::try_from(group.num_rows()).ok() {
        return Ok((None, true));
    }
    Ok((Some(get_column_reader(chunk.column_descr_ptr(), pages(object, group, column)?)), nullable))
}

fn long(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Typed<Int64Type>> {
    match reader(object, group, column)? {
        (None, nullable) => Ok(Typed { reader: None, nullable }),
        (Some(ColumnReader::Int64ColumnReader(reader)), nullable) => Ok(Typed { reader: Some(reader), nullable }),
        _ => Err(damaged()),
    }
}

fn int(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Typed<Int32Type>> {
    match reader(object, group, column)? {
        (None, nullable) => Ok(Typed { reader: None, nullable }),
        (Some(ColumnReader::Int32ColumnReader(reader)), nullable) => Ok(Typed { reader: Some(reader), nullable }),
        _ => Err(damaged()),
    }
}

fn words(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Typed<ByteArrayType>> {
    match reader(object, group, column)? {
        (None, nullable) => Ok(Typed { reader: None, nullable }),
        (Some(ColumnReader::ByteArrayColumnReader(reader)), nullable) => Ok(Typed { reader: Some(reader), nullable }),
        _ => Err(damaged()),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| damaged())
}

fn text(bytes: &[u8]) -> Result<CompactString> {
    utf8(bytes).map(CompactString::from)
}
