//! What a segment says of itself: its place in the chain. Kept as text pairs in the footer.

use bytes::Bytes;
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::contents::{Contents, TimeSpan};
use super::keys::{SegmentKey, check_sequence, check_shard, check_stream};
use super::manifest::SegmentSummary;
use super::{SEGMENT_VERSION, checksum};
use crate::error::{Error, Result};
use crate::ids::{SequenceNumber, ShardId};

const FORMAT: &str = "ledgerline.segment";
const STREAM: &str = "ledgerline.stream";
const SHARD: &str = "ledgerline.shard";
const START: &str = "ledgerline.start";
const LAST: &str = "ledgerline.last";
const COUNT: &str = "ledgerline.count";
const HOUR: &str = "ledgerline.hour";
const PREDECESSOR_KEY: &str = "ledgerline.predecessor.key";
const PREDECESSOR_SHA256: &str = "ledgerline.predecessor.sha256";
const ARRIVED_AT: &str = "ledgerline.arrived_at";
const OCCURRED_AT: &str = "ledgerline.occurred_at";
const RECEIVED_AT: &str = "ledgerline.received_at";
const REPLACES: &str = "ledgerline.replaces";
const SOURCES: &str = "ledgerline.sources";

/// One segment named by another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its key.
    pub key: String,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
}

/// A segment whose rows a compacted object holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replaced {
    /// Its key.
    pub key: String,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
    /// How many records it holds.
    pub count: u64,
    /// The position it follows.
    pub start: Option<SequenceNumber>,
    /// Position of its last record.
    pub last: SequenceNumber,
}

impl Replaced {
    /// What a compacted object names of a segment.
    pub fn of(segment: &SegmentSummary) -> Self {
        let SegmentSummary { key, sha256, count, start, last, .. } = segment.clone();
        Self { key, sha256, count, start, last }
    }
}

/// What a segment is, by its footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// The stream.
    pub stream: String,
    /// The shard.
    pub shard: ShardId,
    /// The position it follows: the predecessor's `last`; none for the first segment.
    pub start: Option<SequenceNumber>,
    /// Position of its last record.
    pub last: SequenceNumber,
    /// How many records it holds; at least one.
    pub count: u64,
    /// Arrival hour of all its records, as `2026-11-24T13`.
    pub hour: String,
    /// The segment before it; none for the first.
    pub predecessor: Option<Link>,
    /// What its records span.
    pub contents: Contents,
    /// The segments whose rows it holds, for a compacted object; empty for a segment. A compacted object is
    /// no link of the chain.
    pub replaces: Vec<Replaced>,
}

impl SegmentInfo {
    /// Its key.
    pub fn key(&self) -> String {
        let (stream, shard) = (self.stream.clone(), self.shard.clone());
        let key = SegmentKey { stream, shard, start: self.start.clone(), hour: self.hour.clone() };
        if self.replaces.is_empty() { key.text() } else { key.compacted_text() }
    }

    /// The footer's pairs, the unset checksums of a data part of so many bytes included.
    pub(super) fn to_pairs(&self, data_bytes: usize) -> Vec<KeyValue> {
        let text = |s: Option<&SequenceNumber>| s.map(|s| s.as_str().to_owned()).unwrap_or_default();
        // Text that serde_json has no reason to refuse: strings and numbers.
        let replaces = if self.replaces.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&self.replaces).unwrap_or_default()
        };
        let sources: Vec<String> =
            self.contents.sources.iter().map(|(source, count)| format!("{source}={count}")).collect();
        let before = self.predecessor.clone().unwrap_or(Link { key: String::new(), sha256: String::new() });
        [
            (FORMAT, SEGMENT_VERSION.to_string()),
            (STREAM, self.stream.clone()),
            (SHARD, self.shard.to_string()),
            (START, text(self.start.as_ref())),
            (LAST, text(Some(&self.last))),
            (COUNT, self.count.to_string()),
            (HOUR, self.hour.clone()),
            (PREDECESSOR_KEY, before.key),
            (PREDECESSOR_SHA256, before.sha256),
            (ARRIVED_AT, self.contents.arrived_at.text()),
            (OCCURRED_AT, self.contents.occurred_at.map(|span| span.text()).unwrap_or_default()),
            (RECEIVED_AT, self.contents.received_at.text()),
            (SOURCES, sources.join(" ")),
            (REPLACES, replaces),
            (checksum::BLOCKS, checksum::unset_blocks(data_bytes)),
            (checksum::FOOTER, checksum::UNSET.to_owned()),
        ]
        .into_iter()
        .map(|(key, value)| KeyValue::new(key.to_owned(), value))
        .collect()
    }

    /// Reads the pairs back and checks that they make sense.
    pub(super) fn from_pairs(pairs: &[KeyValue]) -> Result<Self> {
        let missing = |name: &str| Error::data(format!("read a segment: its footer lacks a sound {name}"));
        let get = |name: &str| {
            pairs.iter().find(|p| p.key == name).and_then(|p| p.value.as_deref()).ok_or_else(|| missing(name))
        };
        let version = Self::version(pairs)?;
        if version > SEGMENT_VERSION {
            return Err(Error::data(format!(
                "read a segment of version {version}: this program knows versions up to {SEGMENT_VERSION}; use a newer one"
            )));
        }
        let span = |name: &str| TimeSpan::parse(get(name)?).ok_or_else(|| missing(name));
        let source = |text: &str| {
            let (source, count) = text.split_once('=')?;
            Some((source.to_owned(), count.parse().ok()?))
        };
        let contents = Contents {
            arrived_at: span(ARRIVED_AT)?,
            occurred_at: if get(OCCURRED_AT)?.is_empty() { None } else { Some(span(OCCURRED_AT)?) },
            received_at: span(RECEIVED_AT)?,
            sources: get(SOURCES)?.split(' ').map(source).collect::<Option<_>>().ok_or_else(|| missing(SOURCES))?,
        };
        let optional = |text: &str| (!text.is_empty()).then(|| SequenceNumber::new(text));
        let (key, sha256) = (get(PREDECESSOR_KEY)?, get(PREDECESSOR_SHA256)?);
        let info = Self {
            stream: get(STREAM)?.to_owned(),
            shard: ShardId::new(get(SHARD)?),
            start: optional(get(START)?),
            last: SequenceNumber::new(get(LAST)?),
            count: get(COUNT)?.parse().map_err(|_| missing(COUNT))?,
            hour: get(HOUR)?.to_owned(),
            predecessor: (!key.is_empty()).then(|| Link { key: key.to_owned(), sha256: sha256.to_owned() }),
            contents,
            replaces: match get(REPLACES)? {
                "" => Vec::new(),
                text => serde_json::from_str(text).map_err(|e| missing(REPLACES).because(e))?,
            },
        };
        check_stream(&info.stream).map_err(|e| missing(STREAM).because(e))?;
        check_shard(&info.shard).map_err(|e| missing(SHARD).because(e))?;
        check_sequence(&info.last).map_err(|e| missing(LAST).because(e))?;
        if info.start.as_ref().is_some_and(|start| *start >= info.last) {
            return Err(missing(START));
        }
        if info.start.is_some() != info.predecessor.is_some() {
            return Err(missing(PREDECESSOR_KEY));
        }
        if info.count == 0
            || info.contents.sources.values().try_fold(0, |a: u64, b| a.checked_add(*b)) != Some(info.count)
        {
            return Err(missing(COUNT));
        }
        let TimeSpan { first, last } = info.contents.arrived_at;
        if first.hour() != info.hour || last.hour() != info.hour {
            return Err(missing(HOUR));
        }
        Ok(info)
    }

    /// The version of whoever wrote the pairs.
    pub(super) fn version(pairs: &[KeyValue]) -> Result<u32> {
        let value = pairs.iter().find(|p| p.key == FORMAT).and_then(|p| p.value.as_deref());
        value
            .and_then(|value| value.parse().ok())
            .ok_or_else(|| Error::data(format!("read a segment: its footer lacks a sound {FORMAT}")))
    }
}

/// A finished segment: what to put under [`SegmentInfo::key`].
#[derive(Clone, Debug)]
pub struct Segment {
    /// What it is.
    pub info: SegmentInfo,
    /// The object.
    pub bytes: Bytes,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
}

impl Segment {
    /// What manifests and heads keep of it.
    pub fn summary(&self) -> SegmentSummary {
        SegmentSummary::new(&self.info, self.sha256.clone(), self.bytes.len() as u64)
    }
}
