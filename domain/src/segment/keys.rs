//! Names of the archive's objects.
//!
//! | key | object |
//! | --- | --- |
//! | `segments/stream={stream}/shard={shard}/hour={hour}/{start}.parquet` | a segment |
//! | `compacted/…`, the same from there on | rows of several segments, for queries |
//! | `heads/{stream}/{shard}.json` | where to begin looking for a shard's newest segment |
//! | `manifests/{stream}/{hour}.json` | what one arrival hour contains |
//!
//! A segment's key derives only from the stream, the shard, `start` (the position it follows) and
//! the arrival hour of its first record. The log decides the latter two, so two archivers of one
//! shard collide on the key instead of overlapping.
//!
//! The folders are hive-style partitions, so that a query engine prunes by stream, shard and hour.
//! Arrival hours can step back and positions cannot: **the order of a chain is that of `start`,
//! never that of the hours**, and [`chain_order`] gives it. The segment that follows nothing has
//! the start [`ORIGIN`], which is below every position.

use crate::error::{Error, Result};
use crate::ids::{SequenceNumber, ShardId};
use crate::time::UnixNanos;

/// Start, in keys, of a shard's first segment: `-` is below letters and digits, so it sorts before
/// every position, whatever its digits.
pub const ORIGIN: &str = "0-origin";

const SEGMENTS: &str = "segments/";
const COMPACTED: &str = "compacted/";

/// A segment's key, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentKey {
    /// The stream.
    pub stream: String,
    /// The shard.
    pub shard: ShardId,
    /// The position that the segment follows; none for the first.
    pub start: Option<SequenceNumber>,
    /// Arrival hour of its records, as `2026-11-24T13`.
    pub hour: String,
}

impl SegmentKey {
    /// The key's text.
    pub fn text(&self) -> String {
        let start = self.start.as_ref().map_or(ORIGIN, |s| s.as_str());
        format!("{}hour={}/{start}.parquet", segments_of_shard(&self.stream, &self.shard), self.hour)
    }

    /// Takes a key apart; `None` when it is not the key of a segment.
    pub fn parse(key: &str) -> Option<Self> {
        Self::parse_below(SEGMENTS, key)
    }

    /// The key of a compacted object that begins at the same place.
    pub fn compacted_text(&self) -> String {
        let text = self.text();
        format!("{COMPACTED}{}", text.strip_prefix(SEGMENTS).unwrap_or(&text))
    }

    /// Takes the key of a compacted object apart.
    pub fn parse_compacted(key: &str) -> Option<Self> {
        Self::parse_below(COMPACTED, key)
    }

    fn parse_below(folder: &str, key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix(folder)?.splitn(4, '/');
        let mut part = |name: &str| parts.next()?.strip_prefix(name)?.strip_prefix('=');
        let (stream, shard, hour) = (part("stream")?, part("shard")?, part("hour")?);
        let start = parts.next()?.strip_suffix(".parquet")?;
        let start = (start != ORIGIN).then(|| SequenceNumber::new(start));
        let well_formed = is_name(stream)
            && is_name(shard)
            && start.as_ref().is_none_or(|s| check_sequence(s).is_ok())
            && hour_start(hour).is_some();
        well_formed.then(|| Self { stream: stream.into(), shard: ShardId::new(shard), start, hour: hour.into() })
    }
}

/// The segments among `keys` in the order of their chains (by shard, then by position), and the keys that
/// are none of a segment.
pub fn chain_order(keys: Vec<String>) -> (Vec<SegmentKey>, Vec<String>) {
    let (mut segments, mut others) = (Vec::with_capacity(keys.len()), Vec::new());
    for key in keys {
        match SegmentKey::parse(&key) {
            Some(segment) => segments.push(segment),
            None => others.push(key),
        }
    }
    segments.sort_by(|a, b| (&a.stream, &a.shard, &a.start, &a.hour).cmp(&(&b.stream, &b.shard, &b.start, &b.hour)));
    (segments, others)
}

/// Prefix of all segments of a stream.
pub fn segments_of(stream: &str) -> String {
    format!("{SEGMENTS}stream={stream}/")
}

/// Prefix of all compacted objects of a stream.
pub fn compacted_of(stream: &str) -> String {
    format!("{COMPACTED}stream={stream}/")
}

/// Prefix of a shard's segments.
pub fn segments_of_shard(stream: &str, shard: &ShardId) -> String {
    format!("{}shard={shard}/", segments_of(stream))
}

/// Where to list a shard's segments from, to find the successor of a segment of `hour`: the hour before it,
/// because arrival times may step back a little. `None` when `hour` is no hour.
pub fn near(stream: &str, shard: &ShardId, hour: &str) -> Option<String> {
    let before = hour_start(hour)?.nanos().checked_sub(1)?;
    Some(format!("{}hour={}/", segments_of_shard(stream, shard), UnixNanos::from_nanos(before).hour()))
}

/// When an hour such as `2026-11-24T13` begins; `None` when it is written otherwise.
pub fn hour_start(hour: &str) -> Option<UnixNanos> {
    let plain = hour.len() == 13 && hour.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'T');
    plain.then(|| UnixNanos::parse_rfc3339(&format!("{hour}:00:00Z")).ok()).flatten()
}

/// Prefix of all heads of a stream.
pub fn heads_of(stream: &str) -> String {
    format!("heads/{stream}/")
}

/// Key of a shard's head.
pub fn head(stream: &str, shard: &ShardId) -> String {
    format!("heads/{stream}/{shard}.json")
}

/// Prefix of all manifests of a stream.
pub fn manifests_of(stream: &str) -> String {
    format!("manifests/{stream}/")
}

/// Key of the manifest of an hour.
pub fn manifest(stream: &str, hour: &str) -> String {
    format!("manifests/{stream}/{hour}.json")
}

/// Whether `name` can stand for a stream or shard in a key.
fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.bytes().all(plain)
}

/// Refuses a stream name that could not stand in a key.
pub fn check_stream(stream: &str) -> Result<()> {
    if is_name(stream) {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "accept the stream name {stream:?}: use 1 to 128 letters, digits, '.', '_' and '-', not starting with '.'"
    )))
}

/// Refuses a shard id that could not stand in a key.
pub fn check_shard(shard: &ShardId) -> Result<()> {
    if is_name(shard.as_str()) {
        return Ok(());
    }
    Err(Error::invalid(format!("archive shard {shard:?}: its id must be letters, digits, '.', '_' and '-'")))
}

/// Refuses a position that could not stand in a key, or would not sort there as the log sorts it.
pub fn check_sequence(sequence: &SequenceNumber) -> Result<()> {
    let text = sequence.as_str();
    if !text.is_empty() && text.len() <= 128 && text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Error::invalid(format!("archive position {sequence:?}: it must be 1 to 128 letters and digits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(start: Option<&str>, hour: &str) -> SegmentKey {
        SegmentKey {
            stream: "main".into(),
            shard: ShardId::numbered(3),
            start: start.map(SequenceNumber::new),
            hour: hour.into(),
        }
    }

    #[test]
    fn keys_read_back() {
        for key in [key(None, "2026-11-24T13"), key(Some("00000000000000000042"), "2026-11-24T13")] {
            assert_eq!(SegmentKey::parse(&key.text()), Some(key));
        }
        for stray in [
            "segments/stream=main/shard=shard-0003/hour=2026-11-24T13/x",
            "segments/stream=main/shard=shard-0003/hour=2026-11-24T13/.parquet",
            "segments/stream=main/shard=shard-0003/hour=2026-11-24/1.parquet",
            "segments/stream=main/shard=shard-0003/hour=2026-11-24T25/1.parquet",
            "segments/stream=main/shard=shard-0003/hour=2026-11-24T13/a/b.parquet",
            "segments/stream=main/hour=2026-11-24T13/shard=shard-0003/1.parquet",
            "segments/stream=../shard=shard-0003/hour=2026-11-24T13/1.parquet",
            "segments/main/shard-0003/1.2026-11-24T13.parquet",
            "manifests/main/2026-11-24T13.json",
        ] {
            assert_eq!(SegmentKey::parse(stray), None, "{stray}");
        }
    }

    #[test]
    fn the_order_of_a_chain_is_that_of_the_positions_even_when_hours_step_back() {
        let kinesis = "9".repeat(56);
        for starts in [
            vec![None, Some("00000000000000000000"), Some("00000000000000000001"), Some("10000000000000000000")],
            vec![None, Some("0"), Some("1"), Some("12"), Some("2")],
            vec![None, Some(kinesis.as_str())],
        ] {
            let hours = ["2026-11-24T14", "2026-11-24T13", "2027-01-01T00", "1999-01-01T00", "2026-11-24T14"];
            let chain: Vec<SegmentKey> = starts.iter().zip(hours).map(|(start, hour)| key(*start, hour)).collect();
            let mut listed: Vec<String> = chain.iter().map(SegmentKey::text).chain(["segments/x".into()]).collect();
            listed.sort();
            assert_eq!(chain_order(listed), (chain, vec!["segments/x".to_owned()]));
        }
    }

    #[test]
    fn near_begins_an_hour_before() {
        let near = near("main", &ShardId::numbered(3), "2026-11-24T00").unwrap();
        assert_eq!(near, "segments/stream=main/shard=shard-0003/hour=2026-11-23T23/");
        assert!(key(None, "2026-11-23T23").text() >= near && key(None, "2026-11-23T22").text() < near);
        assert_eq!(super::near("main", &ShardId::numbered(3), "2026-11-24"), None);
    }
}
