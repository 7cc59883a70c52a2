//! Rows of an export as Parquet.
//!
//! | column | type |
//! | --- | --- |
//! | `entity`, `source`, `kind`, `id`, `status` | text |
//! | `currency` | text or null |
//! | `requested` … `fees` | DECIMAL(38, 0), minor units; null for what is no payment |
//! | `events`, `held` | 64-bit integer |
//! | `first_at`, `last_at` | UTC time in microseconds (rounded down), or null |
//! | `anomalies` | text, the sentences separated by `; `; empty when there are none |
//!
//! The footer carries the pairs that the writer was given. Memory: one row group.

use std::io::Write;
use std::sync::Arc;

use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, Result};
use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FixedLenByteArray, FixedLenByteArrayType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::compare::FIGURES;
use crate::export::Row;

/// Rows per row group.
const GROUP_ROWS: usize = 16 * 1024;

/// Writes rows into `out`; nothing of it is a Parquet file before [`finish`](Self::finish).
pub struct ParquetRows<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    rows: Vec<Row>,
}

impl<W: Write + Send> ParquetRows<W> {
    /// Begins a file whose footer carries `pairs`.
    pub fn new(out: W, pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let pairs = pairs.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
        let properties = WriterProperties::builder()
            .set_created_by("ledgerline".to_owned())
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).map_err(unwritable)?))
            .set_key_value_metadata(Some(pairs))
            .build();
        let writer = SerializedFileWriter::new(out, schema().map_err(unwritable)?, properties.into());
        Ok(Self { writer: writer.map_err(unwritable)?, rows: Vec::new() })
    }

    /// Adds a row.
    pub fn push(&mut self, row: Row) -> Result<()> {
        self.rows.push(row);
        if self.rows.len() >= GROUP_ROWS { self.write_group().map_err(unwritable) } else { Ok(()) }
    }

    /// Writes the rest and the footer, and gives the sink back.
    pub fn finish(mut self) -> Result<W> {
        self.write_group().map_err(unwritable)?;
        self.writer.into_inner().map_err(unwritable)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let mut group = self.writer.next_row_group()?;
        let texts: [fn(&Row) -> &str; 5] = [|r| &r.entity, |r| &r.source, |r| &r.kind, |r| &r.id, |r| &r.status];
        for text in texts {
            let values: Vec<ByteArray> = rows.iter().map(|row| text(row).into()).collect();
            put::<ByteArrayType, W>(&mut group, &values, None)?;
        }
        maybe::<ByteArrayType, W>(&mut group, &rows, |row| row.currency.as_deref().map(Into::into))?;
        for figure in 0..FIGURES.len() {
            maybe::<FixedLenByteArrayType, W>(&mut group, &rows, |row| row.amounts()[figure].map(decimal))?;
        }
        for count in [|r: &Row| r.events, |r: &Row| r.held] {
            let values: Vec<i64> = rows.iter().map(|row| i64::try_from(count(row)).unwrap_or(i64::MAX)).collect();
            put::<Int64Type, W>(&mut group, &values, None)?;
        }
        let micros = |at: UnixNanos| at.nanos().div_euclid(1000);
        maybe::<Int64Type, W>(&mut group, &rows, |row| row.first_at.map(micros))?;
        maybe::<Int64Type, W>(&mut group, &rows, |row| row.last_at.map(micros))?;
        let anomalies: Vec<ByteArray> = rows.iter().map(|row| row.anomalies.join("; ").as_str().into()).collect();
        put::<ByteArrayType, W>(&mut group, &anomalies, None)?;
        group.close().map(|_| ())
    }
}

fn schema() -> Result<TypePtr, ParquetError> {
    let text = |name: &str, repetition| {
        Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_repetition(repetition)
            .with_logical_type(Some(LogicalType::String))
            .build()
    };
    let amount = |name: &str| {
        Type::primitive_type_builder(name, Physical::FIXED_LEN_BYTE_ARRAY)
            .with_repetition(Repetition::OPTIONAL)
            .with_length(16)
            .with_precision(38)
            .with_scale(0)
            .with_logical_type(Some(LogicalType::decimal(0, 38)))
            .build()
    };
    let long =
        |name: &str| Type::primitive_type_builder(name, Physical::INT64).with_repetition(Repetition::REQUIRED).build();
    let time = |name: &str| {
        Type::primitive_type_builder(name, Physical::INT64)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
            .build()
    };
    let mut fields = Vec::new();
    for name in ["entity", "source", "kind", "id", "status"] {
        fields.push(text(name, Repetition::REQUIRED)?);
    }
    fields.push(text("currency", Repetition::OPTIONAL)?);
    for name in FIGURES {
        fields.push(amount(name)?);
    }
    fields.extend([long("events")?, long("held")?, time("first_at")?, time("last_at")?]);
    fields.push(text("anomalies", Repetition::REQUIRED)?);
    let fields = fields.into_iter().map(Arc::new).collect();
    Ok(Arc::new(Type::group_type_builder("export").with_fields(fields).build()?))
}

/// 16 bytes, the highest first, as Parquet keeps decimals.
fn decimal(amount: i128) -> FixedLenByteArray {
    ByteArray::from(amount.to_be_bytes().to_vec()).into()
}

/// Writes the next column of a row group, of values that may be absent.
fn maybe<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    rows: &[Row],
    value: impl Fn(&Row) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let values: Vec<Option<T::T>> = rows.iter().map(value).collect();
    let levels: Vec<i16> = values.iter().map(|value| i16::from(value.is_some())).collect();
    put::<T, W>(group, &values.into_iter().flatten().collect::<Vec<_>>(), Some(&levels))
}

/// Writes the next column of a row group.
fn put<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = group.next_column()? else {
        return Err(ParquetError::General("the schema has fewer columns than the writer".into()));
    };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

fn unwritable(cause: ParquetError) -> Error {
    Error::internal("write Parquet").because(cause)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parquet::file::reader::{FileReader as _, SerializedFileReader};

    use super::*;

    fn row(n: usize, amount: Option<i128>) -> Row {
        let at = UnixNanos::parse_rfc3339("2026-10-31T23:59:59.999999999Z").unwrap();
        Row {
            entity: format!("shop/payment/p{n}"),
            source: "shop".into(),
            kind: "payment".into(),
            id: format!("p{n}"),
            status: "captured".into(),
            currency: amount.map(|_| "EUR".into()),
            requested: None,
            authorized: amount,
            captured: amount.map(|a| -a),
            refunded: amount,
            disputed: amount,
            fees: amount,
            events: n,
            held: 0,
            first_at: None,
            last_at: amount.map(|_| at),
            anomalies: vec!["one".into(), "two".into()],
        }
    }

    #[test]
    fn what_is_written_reads_back_over_several_row_groups() {
        let large = 99_999_999_999_999_999_999_999_999_999_999_999_999_i128;
        let mut writer = ParquetRows::new(Vec::new(), [("ledgerline.as_of".to_owned(), "x".to_owned())]).unwrap();
        for n in 0..GROUP_ROWS + 2 {
            writer.push(row(n, (n != 1).then_some(large))).unwrap();
        }
        let reader = SerializedFileReader::new(Bytes::from(writer.finish().unwrap())).unwrap();
        assert_eq!(reader.metadata().num_row_groups(), 2);
        let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
        assert!(pairs.iter().any(|pair| pair.key == "ledgerline.as_of" && pair.value.as_deref() == Some("x")));
        let texts: Vec<String> = reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect();
        assert_eq!(texts.len(), GROUP_ROWS + 2);
        let full = &texts[GROUP_ROWS + 1];
        for wanted in [
            format!("entity: \"shop/payment/p{}\"", GROUP_ROWS + 1),
            format!("captured: -{large}"),
            format!("fees: {large}"),
            "requested: null".into(),
            "last_at: 2026-10-31 23:59:59.999999".into(),
            "anomalies: \"one; two\"".into(),
        ] {
            assert!(full.contains(&wanted), "{wanted}: {full}");
        }
        assert!(texts[1].contains("captured: null") && texts[1].contains("last_at: null"), "{}", texts[1]);
    }
}
