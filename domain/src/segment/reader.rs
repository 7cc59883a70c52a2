//! Reads a segment: what it is, all its rows, or those of one entity.
//!
//! The checksums are checked before anything is decoded, so damage does not reach the decoders. They
//! are fenced all the same: should one panic on bytes that were made to hurt, that is a
//! [`Data`](crate::ErrorKind::Data) error like any other.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::SEGMENT_VERSION;
use super::checksum::{self, Verdict};
use super::damage::{self, ByteRange, Damage};
use super::info::SegmentInfo;
use super::plain::Unpacker;
use super::row_group::{Cursor, places_of};
use super::schema::{self, COLUMNS, ENTITY};
use crate::envelope::Envelope;
use crate::error::{Error, Result};
use crate::ids::{EntityKey, SequenceNumber};
use crate::ports::Sequenced;
use crate::time::UnixNanos;

/// Rows that a scan decodes at a time.
const STRIDE_ROWS: usize = 512;

/// An opened segment. Cloning it is cheap.
#[derive(Clone)]
pub struct SegmentReader {
    object: Arc<Bytes>,
    metadata: Arc<ParquetMetaData>,
    info: SegmentInfo,
}

impl SegmentReader {
    /// Checks the checksums and reads the footer. The error says which bytes are damaged.
    pub fn open(object: Bytes) -> Result<Self> {
        let damages = damages_of(&object);
        if let Some(first) = damages.first() {
            let more = damages.len() - 1;
            let more = if more > 0 { format!(", and in {more} more places") } else { String::new() };
            return Err(Error::data(format!("read a segment: it is damaged ({first}){more}")));
        }
        fenced(|| {
            let metadata = ParquetMetaDataReader::new().parse_and_finish(&object).map_err(undecodable)?;
            let info = info_of(&metadata)?;
            Ok(Self::of(object, metadata, info))
        })
    }

    /// A segment whose footer says this.
    pub(super) fn of(object: Bytes, metadata: ParquetMetaData, info: SegmentInfo) -> Self {
        Self { object: Arc::new(object), metadata: Arc::new(metadata), info }
    }

    /// What it is.
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// All rows, in order, as they were in the log. The iterator checks as it goes that positions
    /// rise from `start` to `last`, that all are of the hour and that none is missing; the first
    /// error is the last item.
    pub fn rows(&self) -> Rows {
        self.scan(true)
    }

    /// The same for a fold, which needs no evidence: key id, content type and signature headers
    /// are not read and are empty in the envelopes.
    pub fn rows_without_evidence(&self) -> Rows {
        self.scan(false)
    }

    /// One of the two, lent what a scan of another segment left: nothing is set up anew then.
    pub fn scan_with(&self, evidence: bool, scratch: Scratch) -> Rows {
        Rows { spare: scratch.0, ..self.scan(evidence) }
    }

    /// The rows of those row groups that, by their statistics, may have some that arrived at `from` or
    /// later and before `to`; what is not given bounds nothing.
    pub fn rows_between(&self, from: Option<UnixNanos>, to: Option<UnixNanos>) -> Rows {
        Rows { partial: true, between: (from, to), ..self.scan(true) }
    }

    fn scan(&self, evidence: bool) -> Rows {
        Rows {
            segment: self.clone(),
            partial: false,
            between: (None, None),
            evidence,
            spare: Unpacker::default(),
            group: 0,
            cursor: None,
            before: self.info.start.clone(),
            given: 0,
            done: false,
        }
    }

    /// Whether rows about `entity` can be in here: by the statistics and the bloom filters alone.
    pub fn may_hold(&self, entity: &EntityKey) -> Result<bool> {
        fenced(|| {
            for group in self.metadata.row_groups() {
                if self.group_may_hold(group, entity)? {
                    return Ok(true);
                }
            }
            Ok(false)
        })
    }

    /// The rows about `entity`; as [`rows_of_any`](Self::rows_of_any).
    pub fn rows_of(&self, entity: &EntityKey) -> Result<Vec<Sequenced<Envelope>>> {
        self.rows_of_any(std::slice::from_ref(entity))
    }

    /// The rows about any of `entities`, in order. Row groups that cannot hold any are not read, and of the others
    /// only the entity column and the pages around the rows found.
    pub fn rows_of_any(&self, entities: &[EntityKey]) -> Result<Vec<Sequenced<Envelope>>> {
        fenced(|| {
            let mut found = Vec::new();
            for group in self.metadata.row_groups() {
                let mut wanted = Vec::new();
                for entity in entities {
                    if self.group_may_hold(group, entity)? {
                        wanted.push(entity.as_str().as_bytes());
                    }
                }
                if wanted.is_empty() {
                    continue;
                }
                wanted.sort_unstable();
                let places = places_of(&self.object, group, &wanted)?;
                if places.is_empty() {
                    continue;
                }
                let mut cursor = Cursor::open(&self.object, group, 1, true, Unpacker::default())?;
                let mut at = 0;
                for place in places {
                    cursor.skip(place - at)?;
                    found.push(cursor.row()?);
                    at = place + 1;
                }
            }
            Ok(found)
        })
    }

    fn group_may_hold(&self, group: &RowGroupMetaData, entity: &EntityKey) -> Result<bool> {
        Ok(may_hold_by_statistics(group, entity)? && may_hold_by_filter(&self.object, group, entity)?)
    }
}

impl std::fmt::Debug for SegmentReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SegmentReader({})", self.info.key())
    }
}

/// What scans need to decompress pages, to be handed from one to the next.
#[derive(Default)]
pub struct Scratch(Unpacker);

/// A scan of a segment.
pub struct Rows {
    segment: SegmentReader,
    /// Whether row groups are left out.
    partial: bool,
    /// Arrival times of the row groups to read.
    between: (Option<UnixNanos>, Option<UnixNanos>),
    evidence: bool,
    spare: Unpacker,
    group: usize,
    cursor: Option<Cursor>,
    before: Option<SequenceNumber>,
    given: u64,
    done: bool,
}

impl Rows {
    /// What the next scan can be lent.
    pub fn into_scratch(self) -> Scratch {
        Scratch(self.cursor.map(Cursor::into_unpacker).unwrap_or(self.spare))
    }

    /// Decodes the next row; nothing at the end.
    fn next_row(&mut self) -> Result<Option<Sequenced<Envelope>>> {
        loop {
            match &mut self.cursor {
                Some(cursor) if cursor.left() > 0 => return cursor.row().map(Some),
                _ => {}
            }
            let Some(group) = self.segment.metadata.row_groups().get(self.group) else { return Ok(None) };
            self.group += 1;
            if self.partial && !arrived_between(group, self.between) {
                continue;
            }
            let spare = std::mem::take(&mut self.spare);
            let unpacker = self.cursor.take().map(Cursor::into_unpacker).unwrap_or(spare);
            self.cursor = Some(Cursor::open(&self.segment.object, group, STRIDE_ROWS, self.evidence, unpacker)?);
        }
    }

    fn advance(&mut self) -> Result<Option<Sequenced<Envelope>>> {
        let next = fenced(|| self.next_row()).map_err(|error| self.at_row(error))?;
        let info = &self.segment.info;
        let Some(row) = next else {
            let whole = self.partial || self.given == info.count && self.before.as_ref() == Some(&info.last);
            return if whole { Ok(None) } else { Err(unsound("it does not end where its footer says")) };
        };
        if self.before.as_ref().is_some_and(|before| row.sequence <= *before) {
            return Err(self.at_row(unsound("its positions do not rise")));
        }
        if !info.contents.allow(&row) {
            return Err(self.at_row(unsound("the footer does not span the times or the source")));
        }
        self.given += 1;
        self.before = Some(row.sequence.clone());
        Ok(Some(row))
    }
}

impl Rows {
    fn at_row(&self, error: Error) -> Error {
        let group = self.group.saturating_sub(1);
        Error::new(error.kind(), format!("read row {} (row group {group})", self.given)).because(error)
    }
}

impl Iterator for Rows {
    type Item = Result<Sequenced<Envelope>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.advance().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Whether a row group may have rows about `entity`, by its statistics.
pub(super) fn may_hold_by_statistics(group: &RowGroupMetaData, entity: &EntityKey) -> Result<bool> {
    let wanted = entity.as_str().as_bytes();
    let chunk = group.columns().get(ENTITY).ok_or_else(damaged)?;
    let Some(statistics) = chunk.statistics() else { return Ok(true) };
    // Bounds may be cut short: the lower one is never above the least, the upper one never below the greatest value.
    let below = statistics.min_bytes_opt().is_some_and(|min| wanted < min);
    let above = statistics.max_bytes_opt().is_some_and(|max| wanted > max);
    Ok(!below && !above)
}

/// The same by its bloom filter.
pub(super) fn may_hold_by_filter(object: &Bytes, group: &RowGroupMetaData, entity: &EntityKey) -> Result<bool> {
    let chunk = group.columns().get(ENTITY).ok_or_else(damaged)?;
    let filter = Sbbf::read_from_column_chunk(chunk, object).map_err(undecodable)?;
    Ok(filter.is_none_or(|filter| filter.check(entity.as_str())))
}

/// What the footer says the segment is; its columns are checked.
pub(super) fn info_of(metadata: &ParquetMetaData) -> Result<SegmentInfo> {
    // The version first: a newer segment may well have other columns.
    let info = info_by_pairs(metadata)?;
    check_columns(metadata)?;
    Ok(info)
}

/// The same without a look at the columns.
pub(super) fn info_by_pairs(metadata: &ParquetMetaData) -> Result<SegmentInfo> {
    let pairs = metadata.file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let info = SegmentInfo::from_pairs(pairs)?;
    if u64::try_from(metadata.file_metadata().num_rows()) != Ok(info.count) {
        return Err(damaged());
    }
    Ok(info)
}

/// Whether a row group may have rows that arrived in the range. The statistics are exact microseconds.
fn arrived_between(group: &RowGroupMetaData, (from, to): (Option<UnixNanos>, Option<UnixNanos>)) -> bool {
    let statistics = group.columns().get(schema::ARRIVED_AT).and_then(|chunk| chunk.statistics());
    let Some(Statistics::Int64(micros)) = statistics else { return true };
    let micro = |at: UnixNanos| at.nanos().div_euclid(1000);
    let too_early = from.zip(micros.max_opt()).is_some_and(|(from, last)| *last < micro(from));
    let too_late = to.zip(micros.min_opt()).is_some_and(|(to, first)| *first > micro(to));
    !too_early && !too_late
}

/// Runs a decoder; a panic of it becomes an error.
pub(super) fn fenced<T>(decode: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(damaged()))
}

/// What is wrong with an object that should be a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// Nothing, by its checksums and footer.
    Sound,
    /// It is of a version that this program does not know.
    Newer(u32),
    /// These places are not what was written.
    Damaged(Vec<Damage>),
    /// Its checksums fit and it is no segment all the same; why, in words.
    Unsound(String),
}

/// Looks for what is wrong with an object, as far as checksums and footer tell.
pub fn diagnose(object: &Bytes) -> Diagnosis {
    let damages = damages_of(object);
    if !damages.is_empty() {
        return Diagnosis::Damaged(damages);
    }
    let version = fenced(|| {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(object).map_err(undecodable)?;
        SegmentInfo::version(metadata.file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default())
    });
    match (version, SegmentReader::open(object.clone())) {
        (Ok(version), _) if version > SEGMENT_VERSION => Diagnosis::Newer(version),
        (_, Ok(_)) => Diagnosis::Sound,
        (_, Err(error)) => Diagnosis::Unsound(error.to_string()),
    }
}

/// The damaged places, by the checksums.
fn damages_of(object: &Bytes) -> Vec<Damage> {
    let whole = || ByteRange::of(0..object.len());
    match checksum::check(object) {
        Verdict::Sound => Vec::new(),
        Verdict::Footer(range) => vec![Damage { bytes: ByteRange::of(range), place: "the footer".to_owned() }],
        Verdict::Unknown => {
            let place = "cut short, or no segment of this program: no checksum is found in it";
            vec![Damage { bytes: whole(), place: place.to_owned() }]
        }
        Verdict::Data(ranges) => {
            // The footer is sound, so it can be read.
            let metadata = fenced(|| ParquetMetaDataReader::new().parse_and_finish(object).map_err(undecodable));
            let place = |range: &Range<usize>| match &metadata {
                Ok(metadata) => damage::place_of(metadata, range),
                Err(_) => "the data".to_owned(),
            };
            ranges.into_iter().map(|at| Damage { place: place(&at), bytes: ByteRange::of(at) }).collect()
        }
    }
}

fn check_columns(metadata: &ParquetMetaData) -> Result<()> {
    let expected = schema::schema().map_err(undecodable)?;
    let found = metadata.file_metadata().schema();
    let same = found.get_fields().len() == COLUMNS.len()
        && expected.get_fields().iter().zip(found.get_fields()).all(|(expected, found)| {
            expected.is_primitive()
                && found.is_primitive()
                && expected.name() == found.name()
                && expected.get_physical_type() == found.get_physical_type()
                && expected.get_basic_info().repetition() == found.get_basic_info().repetition()
        });
    if same { Ok(()) } else { Err(unsound("it has other columns than a segment of its version")) }
}

pub(super) fn unsound(what: &str) -> Error {
    Error::data(format!("read a segment: {what}"))
}

pub(super) fn damaged() -> Error {
    unsound("it is damaged")
}

pub(super) fn undecodable(cause: ParquetError) -> Error {
    damaged().because(cause)
}
