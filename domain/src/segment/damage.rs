//! Damage with its place: which bytes of an object, and what lies there.

use std::fmt;
use std::ops::Range;

use parquet::file::metadata::ParquetMetaData;
use serde::Serialize;

use super::schema::COLUMNS;

/// Bytes of an object; both ends belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ByteRange {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl ByteRange {
    /// The range, unless it is empty.
    pub fn of(range: Range<usize>) -> Option<Self> {
        let last = range.end.checked_sub(1).filter(|last| *last >= range.start)?;
        Some(Self { first: range.start as u64, last: last as u64 })
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bytes {} to {}", self.first, self.last)
    }
}

/// A damaged place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The bytes, some of which are not what was written; none when the object is empty.
    pub bytes: Option<ByteRange>,
    /// What lies there, such as `row group 0, column body` or `the footer`.
    pub place: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bytes {
            Some(bytes) => write!(f, "{bytes}, {}", self.place),
            None => f.write_str(&self.place),
        }
    }
}

/// What stands in `range` of the data part.
pub(super) fn place_of(metadata: &ParquetMetaData, range: &Range<usize>) -> String {
    let meets = |from: Option<i64>, length: i64| {
        let from = from.and_then(|from| usize::try_from(from).ok()).unwrap_or(usize::MAX);
        from < range.end && from.saturating_add(usize::try_from(length).unwrap_or(0)) > range.start
    };
    let mut places = Vec::new();
    for (number, group) in metadata.row_groups().iter().enumerate() {
        let mut names = Vec::new();
        let mut filters = false;
        for (chunk, (name, _)) in group.columns().iter().zip(COLUMNS) {
            let from = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
            if meets(Some(from.min(chunk.data_page_offset())), chunk.compressed_size()) {
                names.push(name);
            }
            // A filter of unknown length: what is behind its beginning, up to the next thing, may be of it.
            let length = chunk.bloom_filter_length().map_or(0, i64::from);
            filters |= meets(chunk.bloom_filter_offset(), length);
        }
        match names.as_slice() {
            [] => {}
            [one] => places.push(format!("row group {number}, column {one}")),
            [first, .., last] => places.push(format!("row group {number}, columns {first} to {last}")),
        }
        if filters {
            places.push(format!("row group {number}, bloom filter of entity"));
        }
    }
    if places.is_empty() { "between the row groups".to_owned() } else { places.join("; ") }
}
