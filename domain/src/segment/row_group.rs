//! Walks the rows of one row group and puts envelopes together from its columns.

use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use parquet::data_type::{ByteArrayType, Int32Type, Int64Type};
use parquet::file::metadata::RowGroupMetaData;

use super::plain::{Plain, Unpacker};
use super::reader::damaged;
use super::schema;
use super::typed::{Time, Typed, int, long, words};
use crate::envelope::{Envelope, Identified, RequestPart};
use crate::error::Result;
use crate::ids::{EntityKey, SequenceNumber};
use crate::order::{OrderClass, OrderKey};
use crate::ports::Sequenced;
use crate::text::IdText;

/// A place between two rows of a row group. Columns of plain values are read row by row, the others
/// some rows ahead.
pub(super) struct Cursor {
    left: usize,
    /// How many rows are decoded at a time.
    stride: usize,
    /// How many are decoded.
    ahead: usize,
    unpacker: Unpacker,
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
    redrive_run: Typed<ByteArrayType>,
}

impl Cursor {
    /// Before the first row; `stride` rows are decoded at a time. Without `evidence`, key id, content
    /// type and signature headers are not read and stay empty.
    pub(super) fn open(
        object: &Arc<Bytes>,
        group: &RowGroupMetaData,
        stride: usize,
        evidence: bool,
        unpacker: Unpacker,
    ) -> Result<Self> {
        let evidence = evidence.then(|| Evidence::open(object, group)).transpose()?;
        Ok(Self {
            left: rows(group)?,
            stride,
            ahead: 0,
            unpacker,
            sequence: Plain::open(object, group, schema::SEQUENCE)?,
            arrived_at: Time::open(object, group, schema::ARRIVED_AT, schema::ARRIVED_AT_NS)?,
            entity: Plain::open(object, group, schema::ENTITY)?,
            event_id: Plain::open(object, group, schema::EVENT_ID)?,
            event_type: words(object, group, schema::EVENT_TYPE)?,
            occurred_at: Time::open(object, group, schema::OCCURRED_AT, schema::OCCURRED_AT_NS)?,
            received_at: Time::open(object, group, schema::RECEIVED_AT, schema::RECEIVED_AT_NS)?,
            order_class: words(object, group, schema::ORDER_CLASS)?,
            order_value: long(object, group, schema::ORDER_VALUE)?,
            request_digest: words(object, group, schema::REQUEST_DIGEST)?,
            request_index: int(object, group, schema::REQUEST_INDEX)?,
            unreadable: words(object, group, schema::UNREADABLE)?,
            evidence,
            body: Plain::open(object, group, schema::BODY)?,
        })
    }

    /// Rows that follow.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// What it was lent.
    pub(super) fn into_unpacker(self) -> Unpacker {
        self.unpacker
    }

    /// Passes over `count` rows; none may have been decoded.
    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        self.left = self.left.checked_sub(count).filter(|_| self.ahead == 0).ok_or_else(damaged)?;
        for column in [&mut self.sequence, &mut self.entity, &mut self.event_id, &mut self.body] {
            column.skip(&mut self.unpacker, count)?;
        }
        for column in [&mut self.event_type, &mut self.order_class, &mut self.request_digest, &mut self.unreadable] {
            column.skip(count)?;
        }
        if let Some(evidence) = &mut self.evidence {
            evidence.key_id.skip(count)?;
            evidence.content_type.skip(count)?;
            evidence.redrive_run.skip(count)?;
            evidence.signature_headers.skip(&mut self.unpacker, count)?;
        }
        for column in [&mut self.arrived_at, &mut self.occurred_at, &mut self.received_at] {
            column.skip(count)?;
        }
        self.order_value.skip(count)?;
        self.request_index.skip(count)
    }

    /// Reads the next row.
    pub(super) fn row(&mut self) -> Result<Sequenced<Envelope>> {
        if self.ahead == 0 {
            self.decode_ahead()?;
        }
        self.left = self.left.checked_sub(1).ok_or_else(damaged)?;
        self.ahead -= 1;
        let part = match (self.request_digest.maybe()?, self.request_index.maybe()?) {
            (Some(digest), Some(index)) => {
                Some(RequestPart { digest: text(digest.data())?, index: u32::try_from(*index).map_err(|_| damaged())? })
            }
            (None, None) => None,
            _ => return Err(damaged()),
        };
        let class = OrderClass::parse(utf8(self.order_class.value()?.data())?)?;
        let unpacker = &mut self.unpacker;
        let event = Identified {
            id: self.event_id.next(unpacker, |page, at| utf8(&page[at]).map(IdText::from))?,
            event_type: text(self.event_type.value()?.data())?,
            entity: self
                .entity
                .next(unpacker, |page, at| EntityKey::parse(utf8(&page[at])?).map_err(|e| damaged().because(e)))?,
            order: OrderKey { class, value: *self.order_value.value()? },
            occurred_at: self.occurred_at.maybe()?,
            body: self.body.next(unpacker, |page, at| Ok(page.slice(at)))?,
            part,
            unreadable: self.unreadable.maybe()?.map(|u| utf8(u.data()).map(str::to_owned)).transpose()?,
        };
        let (mut key_id, mut content_type, mut headers, mut redrive_run) = Default::default();
        if let Some(evidence) = &mut self.evidence {
            key_id = text(evidence.key_id.value()?.data())?;
            content_type = text(evidence.content_type.value()?.data())?;
            headers = evidence.signature_headers.next(unpacker, |page, at| utf8(&page[at]).map(str::to_owned))?;
            redrive_run = evidence.redrive_run.maybe()?.map(|run| text(run.data())).transpose()?;
        }
        let value = Envelope::restore(event, self.received_at.value()?, content_type, key_id, headers, redrive_run);
        let sequence = self.sequence.next(unpacker, |page, at| text(&page[at]).map(SequenceNumber::new))?;
        Ok(Sequenced { sequence, arrived_at: self.arrived_at.value()?, value })
    }

    fn decode_ahead(&mut self) -> Result<()> {
        let rows = self.left.min(self.stride);
        for column in [&mut self.event_type, &mut self.order_class, &mut self.request_digest, &mut self.unreadable] {
            column.decode(rows)?;
        }
        for column in [&mut self.arrived_at, &mut self.occurred_at, &mut self.received_at] {
            column.decode(rows)?;
        }
        self.order_value.decode(rows)?;
        self.request_index.decode(rows)?;
        if let Some(evidence) = &mut self.evidence {
            evidence.key_id.decode(rows)?;
            evidence.content_type.decode(rows)?;
            evidence.redrive_run.decode(rows)?;
        }
        self.ahead = rows;
        if rows == 0 { Err(damaged()) } else { Ok(()) }
    }
}

impl Evidence {
    fn open(object: &Arc<Bytes>, group: &RowGroupMetaData) -> Result<Self> {
        Ok(Self {
            key_id: words(object, group, schema::KEY_ID)?,
            content_type: words(object, group, schema::CONTENT_TYPE)?,
            signature_headers: Plain::open(object, group, schema::SIGNATURE_HEADERS)?,
            redrive_run: words(object, group, schema::REDRIVE_RUN)?,
        })
    }
}

/// Places, within the row group, of the rows about any of the entities `wanted`, which are sorted.
pub(super) fn places_of(object: &Arc<Bytes>, group: &RowGroupMetaData, wanted: &[&[u8]]) -> Result<Vec<usize>> {
    let is_wanted = |entity: &[u8]| match wanted {
        [one] => *one == entity,
        many => many.binary_search(&entity).is_ok(),
    };
    let (mut column, mut unpacker) = (Plain::open(object, group, schema::ENTITY)?, Unpacker::default());
    let mut places = Vec::new();
    for place in 0..rows(group)? {
        if column.next(&mut unpacker, |page, at| Ok(is_wanted(&page[at])))? {
            places.push(place);
        }
    }
    Ok(places)
}

/// How many rows a row group has.
pub(super) fn rows(group: &RowGroupMetaData) -> Result<usize> {
    usize::try_from(group.num_rows()).map_err(|_| damaged())
}

fn utf8(bytes: &[u8]) -> Result<&str> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| damaged())
}

fn text(bytes: &[u8]) -> Result<CompactString> {
    utf8(bytes).map(CompactString::from)
}
