//! Statements about segments: the manifest of an hour and the head of a shard. JSON, versioned, with a
//! checksum as their last member.
//!
//! Both are derived: everything in them can be read off the segments again, and neither is needed
//! to read the archive. A manifest makes "this hour is complete" a stated, checkable fact; a head
//! makes finding a shard's newest segment cheap.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::contents::Contents;
use super::info::SegmentInfo;
use super::sealed;
use crate::error::Result;
use crate::ids::{SequenceNumber, ShardId};
use crate::time::UnixNanos;

/// Version of manifests and heads that this program writes.
pub const MANIFEST_VERSION: u32 = 2;

/// One segment, as manifests and heads name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSummary {
    /// Its key.
    pub key: String,
    /// SHA-256 of the object, lower-case hex.
    pub sha256: String,
    /// Size of the object.
    pub bytes: u64,
    /// How many records it holds.
    pub count: u64,
    /// The position it follows; absent for a shard's first segment.
    pub start: Option<SequenceNumber>,
    /// Position of its last record.
    pub last: SequenceNumber,
    /// Arrival hour of its records.
    pub hour: String,
    /// What its records span: first and last times, and how many each source has.
    #[serde(flatten)]
    pub contents: Contents,
}

impl SegmentSummary {
    /// The summary of an object of `bytes` bytes with the digest `sha256`.
    pub fn new(info: &SegmentInfo, sha256: String, bytes: u64) -> Self {
        Self {
            key: info.key(),
            sha256,
            bytes,
            count: info.count,
            start: info.start.clone(),
            last: info.last.clone(),
            hour: info.hour.clone(),
            contents: info.contents.clone(),
        }
    }
}

/// What an hour comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Segments.
    pub segments: u64,
    /// Records.
    pub records: u64,
    /// Bytes of the segments.
    pub bytes: u64,
    /// Records by source.
    pub sources: BTreeMap<String, u64>,
}

/// What one hour of the archive contains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_VERSION`] of whoever wrote it.
    pub version: u32,
    /// The stream.
    pub stream: String,
    /// The arrival hour, as `2026-11-24T13`.
    pub hour: String,
    /// Whether every shard was archived past the end of the hour.
    pub complete: bool,
    /// The sums over all its segments.
    pub totals: Totals,
    /// By shard, in the order of their ids.
    pub shards: Vec<ShardManifest>,
}

/// One shard's part of an hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardManifest {
    /// The shard.
    pub shard: ShardId,
    /// Everything of the shard up to here was in the archive when the manifest was written.
    pub watermark: Option<SequenceNumber>,
    /// RFC 3339 time up to which everything that had arrived was in the archive. Where it lies behind the hour and
    /// the archiver's grace, the manifest names all of the shard's segments of the hour, and its head is there.
    pub archived_until: Option<String>,
    /// The hour's segments, in the order of the chain.
    pub segments: Vec<SegmentSummary>,
}

impl ShardManifest {
    /// [`archived_until`](Self::archived_until), where it is a time.
    pub fn until(&self) -> Option<UnixNanos> {
        UnixNanos::parse_rfc3339(self.archived_until.as_deref()?).ok()
    }
}

impl Manifest {
    /// A manifest of `hour` with nothing in it.
    pub fn empty(stream: &str, hour: &str) -> Self {
        Self {
            version: MANIFEST_VERSION,
            stream: stream.to_owned(),
            hour: hour.to_owned(),
            complete: false,
            totals: Totals::default(),
            shards: Vec::new(),
        }
    }

    /// Adds what `newer` states of the same hour: the union of the segments, the later watermarks and times.
    /// An hour once complete stays so. In whatever order statements are merged, the outcome is one.
    pub fn merge(&mut self, newer: Self) {
        self.complete |= newer.complete;
        let mut shards: BTreeMap<ShardId, ShardManifest> =
            std::mem::take(&mut self.shards).into_iter().map(|s| (s.shard.clone(), s)).collect();
        for mut new in newer.shards {
            match shards.get_mut(&new.shard) {
                None => {
                    shards.insert(new.shard.clone(), new);
                }
                Some(known) => {
                    if new.until() >= known.until() {
                        known.archived_until = new.archived_until.take();
                    }
                    known.segments.retain(|s| new.segments.iter().all(|n| n.key != s.key));
                    known.segments.extend(new.segments);
                    known.segments.sort_by(|a, b| a.start.cmp(&b.start));
                    known.watermark = new.watermark.max(known.watermark.take());
                }
            }
        }
        self.shards = shards.into_values().collect();
        self.totals = self.sums();
    }

    /// Its segments, shard by shard.
    pub fn segments(&self) -> impl Iterator<Item = &SegmentSummary> {
        self.shards.iter().flat_map(|shard| &shard.segments)
    }

    /// How many records the hour holds.
    pub fn records(&self) -> u64 {
        self.segments().map(|s| s.count).sum()
    }

    /// What its totals must be.
    pub fn sums(&self) -> Totals {
        let mut sums = Totals::default();
        for segment in self.segments() {
            sums.segments += 1;
            sums.records = sums.records.saturating_add(segment.count);
            sums.bytes = sums.bytes.saturating_add(segment.bytes);
            for (source, count) in &segment.contents.sources {
                let sum = sums.sources.entry(source.clone()).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        sums
    }

    /// The JSON text.
    pub fn encode(&self) -> Result<Vec<u8>> {
        sealed::encode(self, "manifest")
    }

    /// Reads the JSON text; [`Data`](crate::ErrorKind::Data) when a byte of it is not what was written.
    pub fn decode(text: &[u8]) -> Result<Self> {
        sealed::decode(text, "manifest", MANIFEST_VERSION)
    }
}

/// Where a shard's archiver stood some segments ago. What follows it in the chain is found from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// [`MANIFEST_VERSION`] of whoever wrote it.
    pub version: u32,
    /// The newest segment at that time.
    pub newest: SegmentSummary,
    /// Hours with segments up to `newest` that no complete manifest covered then. Their manifests
    /// name all segments up to `newest`.
    pub pending: Vec<String>,
}

impl Head {
    /// The JSON text.
    pub fn encode(&self) -> Result<Vec<u8>> {
        sealed::encode(self, "head")
    }

    /// Reads the JSON text; [`Data`](crate::ErrorKind::Data) when a byte of it is not what was written.
    pub fn decode(text: &[u8]) -> Result<Self> {
        sealed::decode(text, "head", MANIFEST_VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::super::contents::TimeSpan;
    use super::*;

    fn summary(start: Option<u64>, last: u64) -> SegmentSummary {
        SegmentSummary {
            key: format!("{start:?}"),
            sha256: "00".repeat(32),
            bytes: 10,
            count: 2,
            start: start.map(SequenceNumber::from_u64),
            last: SequenceNumber::from_u64(last),
            hour: "2026-11-24T13".into(),
            contents: Contents {
                arrived_at: span(13),
                occurred_at: (last == 7).then(|| span(3)),
                received_at: span(12),
                sources: BTreeMap::from([("shop".to_owned(), 2)]),
            },
        }
    }

    fn span(hour: i64) -> TimeSpan {
        let at = |nanos| UnixNanos::from_nanos(1_795_478_400_000_000_000 + hour * 3_600_000_000_000 + nanos);
        TimeSpan { first: at(0), last: at(1_000_000_007) }
    }

    fn manifest(shard: u32, watermark: u64, segments: Vec<SegmentSummary>) -> Manifest {
        let mut manifest = Manifest::empty("main", "2026-11-24T13");
        manifest.shards.push(ShardManifest {
            shard: ShardId::numbered(shard),
            watermark: Some(SequenceNumber::from_u64(watermark)),
            archived_until: None,
            segments,
        });
        manifest
    }

    #[test]
    fn merging_is_a_union() {
        let mut merged = manifest(1, 5, vec![summary(None, 5)]);
        merged.merge(manifest(0, 9, vec![summary(None, 9)]));
        merged.merge(manifest(1, 7, vec![summary(Some(5), 7), summary(None, 5)]));
        assert_eq!(merged.records(), 6);
        assert_eq!((merged.totals.records, merged.totals.bytes, merged.totals.sources["shop"]), (6, 30, 6));
        let shard = &merged.shards[1];
        assert_eq!(shard.segments, [summary(None, 5), summary(Some(5), 7)]);
        assert_eq!(shard.watermark, Some(SequenceNumber::from_u64(7)));
        assert_eq!(Manifest::decode(&merged.encode().unwrap()).unwrap(), merged);
    }

    #[test]
    fn merging_knows_no_order() {
        let until = |mut manifest: Manifest, until: &str| {
            manifest.shards[0].archived_until = Some(until.into());
            manifest
        };
        let statements = [
            until(manifest(1, 5, vec![summary(None, 5)]), "2026-11-24T14:03:00Z"),
            until(manifest(1, 7, vec![summary(Some(5), 7)]), "2026-11-24T14:02:59.5Z"),
            manifest(1, 3, Vec::new()),
            manifest(0, 9, vec![summary(None, 9)]),
        ];
        let merged = |order: [usize; 4]| {
            let mut merged = Manifest::empty("main", "2026-11-24T13");
            order.into_iter().for_each(|n| merged.merge(statements[n].clone()));
            merged
        };
        let expected = merged([0, 1, 2, 3]);
        assert_eq!(expected.shards[1].archived_until.as_deref(), Some("2026-11-24T14:03:00Z"));
        assert_eq!(expected.shards[1].watermark, Some(SequenceNumber::from_u64(7)));
        for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1], [1, 2, 0, 3]] {
            assert_eq!(merged(order), expected, "{order:?}");
        }
    }

    #[test]
    fn a_newer_manifest_is_refused_with_the_fix() {
        let message = Manifest::decode(br#"{"version":3,"anything":1}"#).unwrap_err().to_string();
        assert!(message.contains("version 3") && message.contains("newer"), "{message}");
        assert!(Head::decode(b"{}").is_err());
    }

    #[test]
    fn every_changed_byte_and_every_truncation_is_seen() {
        let good = manifest(1, 7, vec![summary(None, 5), summary(Some(5), 7)]).encode().unwrap();
        assert!(String::from_utf8(good.clone()).unwrap().contains(r#""first": "2026-11-24T13:00:00Z""#));
        for at in 0..good.len() {
            for byte in (0..=u8::MAX).filter(|byte| *byte != good[at]) {
                let mut bad = good.clone();
                bad[at] = byte;
                assert!(Manifest::decode(&bad).is_err(), "byte {at} as {byte}");
            }
            assert!(Manifest::decode(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
