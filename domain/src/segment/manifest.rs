//! Statements about segments: the manifest of an hour and the head of a shard. JSON, versioned.
//!
//! Both are derived: everything in them can be read off the segments again, and neither is needed
//! to read the archive. A manifest makes "this hour is complete" a stated, checkable fact; a head
//! makes finding a shard's newest segment cheap.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::info::SegmentInfo;
use crate::error::{Error, Result};
use crate::ids::{SequenceNumber, ShardId};

/// Version of manifests and heads that this program writes.
pub const MANIFEST_VERSION: u32 = 1;

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
        }
    }
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
    /// RFC 3339 time up to which everything that had arrived was in the archive.
    pub archived_until: Option<String>,
    /// The hour's segments, in the order of the chain.
    pub segments: Vec<SegmentSummary>,
}

impl Manifest {
    /// A manifest of `hour` with nothing in it.
    pub fn empty(stream: &str, hour: &str) -> Self {
        Self {
            version: MANIFEST_VERSION,
            stream: stream.to_owned(),
            hour: hour.to_owned(),
            complete: false,
            shards: Vec::new(),
        }
    }

    /// Adds what `newer` states of the same hour: the union of the segments, the later watermarks.
    /// An hour once complete stays so.
    pub fn merge(&mut self, newer: Self) {
        self.complete |= newer.complete;
        let mut shards: BTreeMap<ShardId, ShardManifest> =
            std::mem::take(&mut self.shards).into_iter().map(|s| (s.shard.clone(), s)).collect();
        for new in newer.shards {
            match shards.get_mut(&new.shard) {
                None => {
                    shards.insert(new.shard.clone(), new);
                }
                Some(known) => {
                    known.segments.retain(|s| new.segments.iter().all(|n| n.key != s.key));
                    known.segments.extend(new.segments);
                    known.segments.sort_by(|a, b| a.start.cmp(&b.start));
                    if new.watermark >= known.watermark {
                        known.watermark = new.watermark;
                        known.archived_until = new.archived_until;
                    }
                }
            }
        }
        self.shards = shards.into_values().collect();
    }

    /// How many records the hour holds.
    pub fn records(&self) -> u64 {
        self.shards.iter().flat_map(|s| &s.segments).map(|s| s.count).sum()
    }

    /// The JSON text.
    pub fn encode(&self) -> Result<Vec<u8>> {
        encode(self)
    }

    /// Reads the JSON text.
    pub fn decode(text: &[u8]) -> Result<Self> {
        decode(text, "manifest")
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
        encode(self)
    }

    /// Reads the JSON text.
    pub fn decode(text: &[u8]) -> Result<Self> {
        decode(text, "head")
    }
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::internal("write a manifest").because(e))
}

fn decode<'a, T: Deserialize<'a>>(text: &'a [u8], what: &str) -> Result<T> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let damaged = |e| Error::data(format!("read a {what}: it is not the JSON that was written")).because(e);
    let Versioned { version } = serde_json::from_slice(text).map_err(damaged)?;
    if version > MANIFEST_VERSION {
        return Err(Error::data(format!(
            "read a {what} of version {version}: this program knows versions up to {MANIFEST_VERSION}; use a newer one"
        )));
    }
    serde_json::from_slice(text).map_err(damaged)
}

#[cfg(test)]
mod tests {
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
        }
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
        let shard = &merged.shards[1];
        assert_eq!(shard.segments, [summary(None, 5), summary(Some(5), 7)]);
        assert_eq!(shard.watermark, Some(SequenceNumber::from_u64(7)));
        assert_eq!(Manifest::decode(&merged.encode().unwrap()).unwrap(), merged);
    }

    #[test]
    fn a_newer_manifest_is_refused_with_the_fix() {
        let message = Manifest::decode(br#"{"version":2,"anything":1}"#).unwrap_err().to_string();
        assert!(message.contains("version 2") && message.contains("newer"), "{message}");
        assert!(Head::decode(b"{}").is_err());
    }
}
