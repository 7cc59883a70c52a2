//! Columns of a kind that the Parquet crate decodes: a stride of values at a time, into buffers that
//! are kept.

use std::sync::Arc;

use bytes::Bytes;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::reader::{damaged, undecodable};
use super::row_group::rows;
use crate::error::Result;
use crate::time::UnixNanos;

/// Such a column, some of its values maybe absent.
pub(super) struct Typed<T: DataType> {
    /// None when the whole column chunk is null.
    reader: Option<ColumnReaderImpl<T>>,
    values: Vec<T::T>,
    /// The next of them.
    value: usize,
    /// One per row, 1 for a value; none when there is a value per row.
    levels: Option<Vec<i16>>,
    level: usize,
}

impl<T: DataType> Typed<T> {
    fn new(reader: Option<ColumnReaderImpl<T>>, nullable: bool) -> Self {
        Self { reader, values: Vec::new(), value: 0, levels: nullable.then(Vec::new), level: 0 }
    }

    /// Decodes the next `count` rows, in place of those before.
    pub(super) fn decode(&mut self, count: usize) -> Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        self.values.clear();
        if let Some(levels) = &mut self.levels {
            levels.clear();
        }
        (self.value, self.level) = (0, 0);
        let mut got = 0;
        while got < count {
            let (rows, ..) =
                reader.read_records(count - got, self.levels.as_mut(), None, &mut self.values).map_err(undecodable)?;
            if rows == 0 {
                return Err(damaged());
            }
            got += rows;
        }
        Ok(())
    }

    /// Passes over `count` rows; none may have been decoded.
    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        let skipped = reader.skip_records(count).map_err(undecodable)?;
        if skipped == count { Ok(()) } else { Err(damaged()) }
    }

    /// The next of the decoded rows, which must have a value.
    pub(super) fn value(&mut self) -> Result<&T::T> {
        self.maybe()?.ok_or_else(damaged)
    }

    /// The next of the decoded rows.
    pub(super) fn maybe(&mut self) -> Result<Option<&T::T>> {
        if self.reader.is_none() {
            return Ok(None);
        }
        if let Some(levels) = &self.levels {
            let level = levels.get(self.level).ok_or_else(damaged)?;
            self.level += 1;
            if *level == 0 {
                return Ok(None);
            }
        }
        self.value += 1;
        self.values.get(self.value - 1).map(Some).ok_or_else(damaged)
    }
}

/// A pair of columns: microseconds and the nanoseconds beyond them.
pub(super) struct Time {
    micros: Typed<Int64Type>,
    nanos: Typed<Int32Type>,
}

impl Time {
    pub(super) fn open(object: &Arc<Bytes>, group: &RowGroupMetaData, micros: usize, nanos: usize) -> Result<Self> {
        Ok(Self { micros: long(object, group, micros)?, nanos: int(object, group, nanos)? })
    }

    pub(super) fn decode(&mut self, count: usize) -> Result<()> {
        self.micros.decode(count)?;
        self.nanos.decode(count)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<()> {
        self.micros.skip(count)?;
        self.nanos.skip(count)
    }

    pub(super) fn value(&mut self) -> Result<UnixNanos> {
        self.maybe()?.ok_or_else(damaged)
    }

    pub(super) fn maybe(&mut self) -> Result<Option<UnixNanos>> {
        match (self.micros.maybe()?, self.nanos.maybe()?) {
            (Some(micros), Some(nanos)) => i64::try_from(i128::from(*micros) * 1000 + i128::from(*nanos))
                .map(|nanos| Some(UnixNanos::from_nanos(nanos)))
                .map_err(|_| damaged()),
            (None, None) => Ok(None),
            _ => Err(damaged()),
        }
    }
}

/// The reader of a column chunk, unless all of it is null.
fn reader(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<(Option<ColumnReader>, bool)> {
    let chunk = group.columns().get(column).ok_or_else(damaged)?;
    let nullable = chunk.column_descr().max_def_level() > 0;
    let nulls = chunk.statistics().and_then(|s| s.null_count_opt());
    if nullable && nulls == u64::try_from(group.num_rows()).ok() {
        return Ok((None, true));
    }
    let pages = SerializedPageReader::new(object.clone(), chunk, rows(group)?, None).map_err(undecodable)?;
    Ok((Some(get_column_reader(chunk.column_descr_ptr(), Box::new(pages))), nullable))
}

pub(super) fn long(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Typed<Int64Type>> {
    match reader(object, group, column)? {
        (None, nullable) => Ok(Typed::new(None, nullable)),
        (Some(ColumnReader::Int64ColumnReader(reader)), nullable) => Ok(Typed::new(Some(reader), nullable)),
        _ => Err(damaged()),
    }
}

pub(super) fn int(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Typed<Int32Type>> {
    match reader(object, group, column)? {
        (None, nullable) => Ok(Typed::new(None, nullable)),
        (Some(ColumnReader::Int32ColumnReader(reader)), nullable) => Ok(Typed::new(Some(reader), nullable)),
        _ => Err(damaged()),
    }
}

pub(super) fn words(object: &Arc<Bytes>, group: &RowGroupMetaData, column: usize) -> Result<Typed<ByteArrayType>> {
    match reader(object, group, column)? {
        (None, nullable) => Ok(Typed::new(None, nullable)),
        (Some(ColumnReader::ByteArrayColumnReader(reader)), nullable) => Ok(Typed::new(Some(reader), nullable)),
        _ => Err(damaged()),
    }
}
