//! The columns of a segment.
//!
//! | column | type | meaning |
//! | --- | --- | --- |
//! | `sequence` | text | position in the shard |
//! | `arrived_at`, `arrived_at_ns` | UTC time in microseconds, nanoseconds beyond it (0–999) | when the log took it |
//! | `entity` | text | what it is about; has statistics and a bloom filter |
//! | `source` | text | the source, also the first part of `entity` |
//! | `event_id`, `event_type` | text | the provider's words |
//! | `occurred_at`, `occurred_at_ns` | like `arrived_at`, null when unknown | when it happened |
//! | `received_at`, `received_at_ns` | like `arrived_at` | when the request was received |
//! | `order_class`, `order_value` | text, 64-bit integer | where it stands among its entity's events |
//! | `key_id` | text | which secret fitted |
//! | `content_type` | text | of the request, or empty |
//! | `request_digest`, `request_index` | text, 32-bit integer, or null | which request it is a part of |
//! | `unreadable` | text or null | why the request could not be read |
//! | `signature_headers` | bytes | the headers that the scheme read, exactly |
//! | `body` | bytes | the body, exactly |
//! | `redrive_run` | text or null | the run that appended it to the log again |
//!
//! Times are microseconds with a column for the rest, because Spark reads no nanoseconds.

use std::sync::{Arc, OnceLock};

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::{ColumnPath, Type, TypePtr};

/// Rows per row group, at most: what a look-up reads of one column.
pub(super) const GROUP_ROWS_MAX: usize = 8192;
/// Raw bytes per row group, about: what a writer holds uncompressed.
pub(super) const GROUP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Raw bytes per page of the larger columns: what a look-up decompresses for one row.
const PAGE_BYTES: usize = 512 * 1024;

pub(super) const SEQUENCE: usize = 0;
pub(super) const ARRIVED_AT: usize = 1;
pub(super) const ARRIVED_AT_NS: usize = 2;
pub(super) const ENTITY: usize = 3;
// 4, `source`, is for queries: a reader has it from the entity.
pub(super) const EVENT_ID: usize = 5;
pub(super) const EVENT_TYPE: usize = 6;
pub(super) const OCCURRED_AT: usize = 7;
pub(super) const OCCURRED_AT_NS: usize = 8;
pub(super) const RECEIVED_AT: usize = 9;
pub(super) const RECEIVED_AT_NS: usize = 10;
pub(super) const ORDER_CLASS: usize = 11;
pub(super) const ORDER_VALUE: usize = 12;
pub(super) const KEY_ID: usize = 13;
pub(super) const CONTENT_TYPE: usize = 14;
pub(super) const REQUEST_DIGEST: usize = 15;
pub(super) const REQUEST_INDEX: usize = 16;
pub(super) const UNREADABLE: usize = 17;
pub(super) const SIGNATURE_HEADERS: usize = 18;
pub(super) const BODY: usize = 19;
pub(super) const REDRIVE_RUN: usize = 20;

/// What a column holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, one value after the other.
    Text,
    /// Text with few different values.
    Word,
    /// Text that is mostly absent.
    MaybeText,
    /// Exact bytes.
    Bytes,
    /// Microseconds since the epoch, UTC.
    Time,
    /// The same, or nothing.
    MaybeTime,
    /// 64 bits.
    Long,
    /// 32 bits.
    Int,
    /// 32 bits, or nothing.
    MaybeInt,
}

/// Name and kind of every column, in order.
pub(super) const COLUMNS: [(&str, Kind); 21] = [
    ("sequence", Kind::Text),
    ("arrived_at", Kind::Time),
    ("arrived_at_ns", Kind::Int),
    ("entity", Kind::Text),
    ("source", Kind::Word),
    ("event_id", Kind::Text),
    ("event_type", Kind::Word),
    ("occurred_at", Kind::MaybeTime),
    ("occurred_at_ns", Kind::MaybeInt),
    ("received_at", Kind::Time),
    ("received_at_ns", Kind::Int),
    ("order_class", Kind::Word),
    ("order_value", Kind::Long),
    ("key_id", Kind::Word),
    ("content_type", Kind::Word),
    ("request_digest", Kind::MaybeText),
    ("request_index", Kind::MaybeInt),
    ("unreadable", Kind::MaybeText),
    ("signature_headers", Kind::Bytes),
    ("body", Kind::Bytes),
    ("redrive_run", Kind::MaybeText),
];

/// The Parquet schema; made once.
pub(super) fn schema() -> Result<TypePtr> {
    static MADE: OnceLock<TypePtr> = OnceLock::new();
    match MADE.get() {
        Some(made) => Ok(made.clone()),
        None => make_schema().map(|made| MADE.get_or_init(|| made).clone()),
    }
}

fn make_schema() -> Result<TypePtr> {
    let fields = COLUMNS.iter().map(|(name, kind)| {
        let time = LogicalType::timestamp(true, TimeUnit::MICROS);
        let (physical, logical) = match kind {
            Kind::Text | Kind::Word | Kind::MaybeText => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Kind::Bytes => (Physical::BYTE_ARRAY, None),
            Kind::Time | Kind::MaybeTime => (Physical::INT64, Some(time)),
            Kind::Long => (Physical::INT64, None),
            Kind::Int | Kind::MaybeInt => (Physical::INT32, None),
        };
        let repetition = match kind {
            Kind::MaybeText | Kind::MaybeTime | Kind::MaybeInt => Repetition::OPTIONAL,
            _ => Repetition::REQUIRED,
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build()
            .map(Arc::new)
    });
    let fields = fields.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Type::group_type_builder("segment").with_fields(fields).build()?))
}

/// How the columns are written; made once.
pub(super) fn properties() -> Result<WriterPropertiesPtr> {
    static MADE: OnceLock<WriterPropertiesPtr> = OnceLock::new();
    match MADE.get() {
        Some(made) => Ok(made.clone()),
        None => make_properties().map(|made| MADE.get_or_init(|| Arc::new(made)).clone()),
    }
}

fn make_properties() -> Result<WriterProperties> {
    let mut properties = WriterProperties::builder()
        .set_created_by("ledgerline".to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        // Pages are cut between batches of this many rows.
        .set_write_batch_size(64)
        .set_data_page_size_limit(PAGE_BYTES)
        .set_max_row_group_row_count(Some(GROUP_ROWS_MAX));
    for (name, kind) in COLUMNS {
        let path = ColumnPath::from(name);
        let dictionary = matches!(kind, Kind::Word | Kind::MaybeText | Kind::Int | Kind::MaybeInt);
        properties = properties.set_column_dictionary_enabled(path.clone(), dictionary);
        if !matches!(kind, Kind::Text | Kind::MaybeText | Kind::Bytes) {
            // Small as they are, they would cost a decompressor each.
            properties = properties.set_column_compression(path.clone(), Compression::UNCOMPRESSED);
        }
        properties = match kind {
            Kind::Time | Kind::MaybeTime | Kind::Long => {
                properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
            }
            Kind::Text => properties.set_column_encoding(path, Encoding::PLAIN),
            Kind::Bytes => properties
                .set_column_encoding(path.clone(), Encoding::PLAIN)
                .set_column_statistics_enabled(path, EnabledStatistics::None),
            _ => properties,
        };
    }
    let entity = ColumnPath::from(COLUMNS[ENTITY].0);
    let properties = properties
        .set_column_bloom_filter_enabled(entity.clone(), true)
        .set_column_bloom_filter_fpp(entity.clone(), 0.01)
        .set_column_bloom_filter_max_ndv(entity, GROUP_ROWS_MAX as u64);
    Ok(properties.build())
}
