//! A segment of which only parts are read: the footer, then the bloom filters of the row groups that the
//! statistics leave, then the row groups that the filters leave.
//!
//! Parts are whole blocks of the data part, since those have checksums: as with a whole object, nothing is decoded
//! that is not what was written. Damage in a block that is not read is not seen.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parquet::file::metadata::{
    ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy, RowGroupMetaData,
};
use parquet::schema::types::SchemaDescriptor;

use super::checksum::{self, BLOCK_BYTES, Ending};
use super::info::SegmentInfo;
use super::reader::{self, SegmentReader, damaged, fenced, undecodable, unsound};
use super::schema::{self, ENTITY};
use crate::envelope::Envelope;
use crate::error::Result;
use crate::ids::EntityKey;
use crate::ports::{End, Sequenced};

/// What the end of an object gave.
#[derive(Debug)]
pub enum Footer {
    /// A segment, of which only the footer is there.
    Whole(Box<SparseSegment>),
    /// The footer is longer than what was given: so many of the last bytes are needed.
    Longer(u64),
}

/// Such a segment.
pub struct SparseSegment {
    /// The footer's own text.
    text: Bytes,
    /// What a look-up needs of it.
    metadata: ParquetMetaData,
    info: SegmentInfo,
    /// Bytes of the data part.
    data_bytes: usize,
    /// The footer's checksums of the data part.
    sums: Bytes,
    /// The data part, with zeros for what is not there; empty until the first part comes.
    object: Bytes,
    /// Which of its blocks are there.
    there: Vec<bool>,
}

impl SparseSegment {
    /// Reads the footer. Errors are those of [`SegmentReader::open`], but for the places of the damage.
    pub fn open(end: &End) -> Result<Footer> {
        let (footer, blocks) = match checksum::check_end(&end.bytes, end.size) {
            Ending::Sound { footer, blocks } => (footer, blocks),
            Ending::Longer(bytes) => return Ok(Footer::Longer(bytes)),
            Ending::Unsound => return Err(damaged()),
        };
        fenced(|| {
            // Behind the footer stand its length and the magic number.
            let text = end.bytes.get(footer..end.bytes.len() - 8).ok_or_else(damaged)?;
            let text = end.bytes.slice_ref(text);
            let metadata = decode_some(&text)?;
            let info = reader::info_by_pairs(&metadata)?;
            let footer_bytes = (end.bytes.len() - footer) as u64;
            let data_bytes = usize::try_from(end.size - footer_bytes).map_err(|_| damaged())?;
            let (sums, object, there) = (end.bytes.slice(blocks), Bytes::new(), Vec::new());
            Ok(Footer::Whole(Box::new(Self { text, metadata, info, data_bytes, sums, object, there })))
        })
    }

    /// What it is.
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Whether rows about any of `entities` can be in here, by the statistics alone.
    pub fn may_hold_any(&self, entities: &[EntityKey]) -> Result<bool> {
        Ok(!self.groups(entities)?.is_empty())
    }

    /// Which bytes must be there for [`groups_wanted`](Self::groups_wanted): the bloom filters of the row groups
    /// that the statistics leave.
    pub fn filters_wanted(&self, entities: &[EntityKey]) -> Result<Vec<Range<u64>>> {
        let filters = self.groups(entities)?.into_iter().filter_map(|group| {
            let chunk = group.columns().get(ENTITY)?;
            let from = usize::try_from(chunk.bloom_filter_offset()?).ok()?;
            // A filter of unknown length ends with the data part at the latest.
            let length = chunk.bloom_filter_length().and_then(|length| usize::try_from(length).ok());
            Some(from..length.map_or(self.data_bytes, |length| from.saturating_add(length)))
        });
        Ok(self.missing(filters.collect()))
    }

    /// Which bytes must be there for [`rows_of_any`](Self::rows_of_any): the row groups that the filters leave.
    pub fn groups_wanted(&self, entities: &[EntityKey]) -> Result<Vec<Range<u64>>> {
        let mut wanted = Vec::new();
        for group in self.groups(entities)? {
            let mut may_hold = false;
            for entity in entities {
                may_hold |= reader::may_hold_by_statistics(group, entity)?
                    && fenced(|| reader::may_hold_by_filter(&self.object, group, entity))?;
            }
            let chunks = group.columns().iter().filter(|_| may_hold);
            for (from, length) in chunks.map(|chunk| chunk.byte_range()) {
                let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
                wanted.push(place(from)..place(from.saturating_add(length)));
            }
        }
        Ok(self.missing(wanted))
    }

    /// Takes some of the bytes wanted, which begin at `from`. [`Data`](crate::ErrorKind::Data) when they are not
    /// those that were written, or not all of their blocks.
    pub fn put(&mut self, from: u64, bytes: &[u8]) -> Result<()> {
        let from = usize::try_from(from).map_err(|_| damaged())?;
        let to = from.checked_add(bytes.len()).filter(|to| *to <= self.data_bytes).ok_or_else(damaged)?;
        let whole = from % BLOCK_BYTES == 0 && (to % BLOCK_BYTES == 0 || to == self.data_bytes);
        let first = from / BLOCK_BYTES;
        if !whole || !checksum::are_blocks_sound(bytes, first, &self.sums) {
            return Err(unsound(&format!("bytes {from} to {} of it are damaged or missing", to.saturating_sub(1))));
        }
        let mut object = match std::mem::take(&mut self.object) {
            empty if empty.is_empty() => vec![0; self.data_bytes],
            object => object.into(),
        };
        object.get_mut(from..to).ok_or_else(damaged)?.copy_from_slice(bytes);
        self.object = object.into();
        self.there.resize(self.data_bytes.div_ceil(BLOCK_BYTES), false);
        self.there.iter_mut().take(to.div_ceil(BLOCK_BYTES)).skip(first).for_each(|there| *there = true);
        Ok(())
    }

    /// The rows about any of `entities`, in order.
    pub fn rows_of_any(self, entities: &[EntityKey]) -> Result<Vec<Sequenced<Envelope>>> {
        if !self.filters_wanted(entities)?.is_empty() || !self.groups_wanted(entities)?.is_empty() {
            return Err(unsound("some of its parts were not read"));
        }
        let metadata = fenced(|| {
            let metadata = ParquetMetaDataReader::decode_metadata(&self.text).map_err(undecodable)?;
            reader::info_of(&metadata)?;
            Ok(metadata)
        })?;
        SegmentReader::of(self.object, metadata, self.info).rows_of_any(entities)
    }

    /// The row groups that may hold rows about any of them, by their statistics.
    fn groups(&self, entities: &[EntityKey]) -> Result<Vec<&RowGroupMetaData>> {
        let mut groups = Vec::new();
        for group in self.metadata.row_groups() {
            for entity in entities {
                if reader::may_hold_by_statistics(group, entity)? {
                    groups.push(group);
                    break;
                }
            }
        }
        Ok(groups)
    }

    /// The blocks around these bytes that are not there; neighbours are one range.
    fn missing(&self, wanted: Vec<Range<usize>>) -> Vec<Range<u64>> {
        let mut blocks: Vec<usize> = Vec::new();
        for range in wanted {
            let last = range.end.min(self.data_bytes).div_ceil(BLOCK_BYTES);
            blocks.extend(range.start / BLOCK_BYTES..last);
        }
        blocks.retain(|block| !self.there.get(*block).copied().unwrap_or(false));
        blocks.sort_unstable();
        blocks.dedup();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for block in blocks {
            let from = (block * BLOCK_BYTES) as u64;
            let to = ((block + 1) * BLOCK_BYTES).min(self.data_bytes) as u64;
            match ranges.last_mut() {
                Some(before) if before.end == from => before.end = to,
                _ => ranges.push(from..to),
            }
        }
        ranges
    }
}

/// Reads of a footer what a look-up needs to pass a segment over: of the statistics those of the entity, and not the
/// schema, which is every segment's. That is half of the work. Whether the columns are those of a segment is looked at
/// before any of them is read.
fn decode_some(text: &[u8]) -> Result<ParquetMetaData> {
    static OPTIONS: OnceLock<ParquetMetaDataOptions> = OnceLock::new();
    let options = match OPTIONS.get() {
        Some(options) => options,
        None => {
            let schema = Arc::new(SchemaDescriptor::new(schema::schema().map_err(undecodable)?));
            OPTIONS.get_or_init(|| {
                ParquetMetaDataOptions::new()
                    .with_schema(schema)
                    .with_column_stats_policy(ParquetStatisticsPolicy::skip_except(&[ENTITY]))
                    .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
                    .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll)
            })
        }
    };
    ParquetMetaDataReader::decode_metadata_with_options(text, Some(options)).map_err(undecodable)
}

impl std::fmt::Debug for SparseSegment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SparseSegment({})", self.info.key())
    }
}
