//! The limit for writing segments: the same rows, columns and properties by the bare Parquet writer.

use std::sync::Arc;

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::time::UnixNanos;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

const SCHEMA: &str = "message segment {
    REQUIRED BYTE_ARRAY sequence (STRING);
    REQUIRED INT64 arrived_at (TIMESTAMP(MICROS, true));
    REQUIRED INT32 arrived_at_ns;
    REQUIRED BYTE_ARRAY entity (STRING);
    REQUIRED BYTE_ARRAY source (STRING);
    REQUIRED BYTE_ARRAY event_id (STRING);
    REQUIRED BYTE_ARRAY event_type (STRING);
    OPTIONAL INT64 occurred_at (TIMESTAMP(MICROS, true));
    OPTIONAL INT32 occurred_at_ns;
    REQUIRED INT64 received_at (TIMESTAMP(MICROS, true));
    REQUIRED INT32 received_at_ns;
    REQUIRED BYTE_ARRAY order_class (STRING);
    REQUIRED INT64 order_value;
    REQUIRED BYTE_ARRAY key_id (STRING);
    REQUIRED BYTE_ARRAY content_type (STRING);
    OPTIONAL BYTE_ARRAY request_digest (STRING);
    OPTIONAL INT32 request_index;
    OPTIONAL BYTE_ARRAY unreadable (STRING);
    REQUIRED BYTE_ARRAY signature_headers;
    REQUIRED BYTE_ARRAY body;
    OPTIONAL BYTE_ARRAY redrive_run (STRING);
}";

fn properties() -> WriterPropertiesPtr {
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).expect("a level")))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_write_batch_size(64)
        .set_data_page_size_limit(512 * 1024)
        .set_max_row_group_row_count(Some(8192))
        .set_dictionary_enabled(false);
    let times = ["arrived_at", "occurred_at", "received_at", "order_value"];
    for name in times {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED)
            .set_column_compression(path, Compression::UNCOMPRESSED);
    }
    let words = ["source", "event_type", "order_class", "key_id", "content_type"];
    let small = ["arrived_at_ns", "occurred_at_ns", "received_at_ns", "request_index"];
    for name in words.into_iter().chain(small) {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), true)
            .set_column_compression(path, Compression::UNCOMPRESSED);
    }
    for name in ["request_digest", "unreadable", "redrive_run"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    for name in ["signature_headers", "body"] {
        properties = properties.set_column_statistics_enabled(ColumnPath::from(name), EnabledStatistics::None);
    }
    let entity = ColumnPath::from("entity");
    let properties = properties
        .set_column_bloom_filter_enabled(entity.clone(), true)
        .set_column_bloom_filter_fpp(entity.clone(), 0.01)
        .set_column_bloom_filter_max_ndv(entity, 8192);
    Arc::new(properties.build())
}

/// A Parquet object of one row group with the records, none of which is a part of a request, unreadable or redriven.
///
/// # Panics
/// When the writer refuses them.
pub fn write(records: &[Sequenced<Envelope>]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let mut file = SerializedFileWriter::new(Vec::new(), schema, properties()).expect("a writer");
    let mut group = file.next_row_group().expect("a row group");
    let absent = vec![0_i16; records.len()];
    let texts = |text: &dyn Fn(&Sequenced<Envelope>) -> ByteArray| records.iter().map(text).collect::<Vec<_>>();
    let micros = |at: &dyn Fn(&Sequenced<Envelope>) -> UnixNanos| {
        records.iter().map(|r| at(r).nanos().div_euclid(1000)).collect::<Vec<_>>()
    };
    let nanos = |at: &dyn Fn(&Sequenced<Envelope>) -> UnixNanos| {
        records.iter().map(|r| i32::try_from(at(r).nanos().rem_euclid(1000)).unwrap_or(0)).collect::<Vec<_>>()
    };
    put::<ByteArrayType>(&mut group, &texts(&|r| r.sequence.as_str().into()), None);
    put::<Int64Type>(&mut group, &micros(&|r| r.arrived_at), None);
    put::<Int32Type>(&mut group, &nanos(&|r| r.arrived_at), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.event.entity.as_str().into()), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.source().into()), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.event.id.as_str().into()), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.event.event_type.as_str().into()), None);
    let levels: Vec<i16> = records.iter().map(|r| i16::from(r.value.event.occurred_at.is_some())).collect();
    let occurred: Vec<UnixNanos> = records.iter().filter_map(|r| r.value.event.occurred_at).collect();
    let values: Vec<i64> = occurred.iter().map(|at| at.nanos().div_euclid(1000)).collect();
    put::<Int64Type>(&mut group, &values, Some(&levels));
    let values: Vec<i32> = occurred.iter().map(|at| i32::try_from(at.nanos().rem_euclid(1000)).unwrap_or(0)).collect();
    put::<Int32Type>(&mut group, &values, Some(&levels));
    put::<Int64Type>(&mut group, &micros(&|r| r.value.received_at), None);
    put::<Int32Type>(&mut group, &nanos(&|r| r.value.received_at), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.event.order.class.to_text().as_str().into()), None);
    put::<Int64Type>(&mut group, &records.iter().map(|r| r.value.event.order.value).collect::<Vec<_>>(), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.key_id.as_str().into()), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.content_type.as_str().into()), None);
    put::<ByteArrayType>(&mut group, &[], Some(&absent));
    put::<Int32Type>(&mut group, &[], Some(&absent));
    put::<ByteArrayType>(&mut group, &[], Some(&absent));
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.signature_headers.as_str().into()), None);
    put::<ByteArrayType>(&mut group, &texts(&|r| r.value.event.body.clone().into()), None);
    put::<ByteArrayType>(&mut group, &[], Some(&absent));
    group.close().expect("closed");
    file.into_inner().expect("an object")
}

fn put<T: DataType>(group: &mut SerializedRowGroupWriter<'_, Vec<u8>>, values: &[T::T], levels: Option<&[i16]>) {
    let mut column = group.next_column().expect("a column").expect("one more");
    column.typed::<T>().write_batch(values, levels, None).expect("written");
    column.close().expect("closed");
}
