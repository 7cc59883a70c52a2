//! Names of the archive's objects.
//!
//! | key | object |
//! | --- | --- |
//! | `segments/{stream}/{shard}/{start}.{hour}.parquet` | a segment |
//! | `heads/{stream}/{shard}.json` | where to begin looking for a shard's newest segment |
//! | `manifests/{stream}/{hour}.json` | what one arrival hour contains |
//!
//! A segment's key derives only from the stream, the shard, `start` (the position it follows) and
//! the arrival hour of its first record. The log decides the latter two, so two archivers of one
//! shard collide on the key instead of overlapping.
//!
//! `start` stands before the hour because arrival hours can step back and positions cannot: so the
//! byte order of a shard's keys is the order of its chain, and the successor of a segment is found
//! by listing `{last}.` without knowing its hour. The segment that follows nothing has the start
//! [`ORIGIN`], which is below every position.

use crate::error::{Error, Result};
use crate::ids::{SequenceNumber, ShardId};

/// Start, in keys, of a shard's first segment: `-` is below letters and digits, so it sorts before
/// every position, whatever its digits.
pub const ORIGIN: &str = "0-origin";

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
        format!("{}{start}.{}.parquet", segments_of_shard(&self.stream, &self.shard), self.hour)
    }

    /// Takes a key apart; `None` when it is not the key of a segment.
    pub fn parse(key: &str) -> Option<Self> {
        let mut parts = key.strip_prefix("segments/")?.splitn(3, '/');
        let (stream, shard, name) = (parts.next()?, parts.next()?, parts.next()?);
        let (start, hour) = name.strip_suffix(".parquet")?.split_once('.')?;
        let start = (start != ORIGIN).then(|| SequenceNumber::new(start));
        let well_formed = is_name(stream)
            && is_name(shard)
            && start.as_ref().is_none_or(|s| check_sequence(s).is_ok())
            && hour.len() == 13
            && hour.bytes().all(|b| b.is_ascii_digit() || b == b'-' || b == b'T');
        well_formed.then(|| Self { stream: stream.into(), shard: ShardId::new(shard), start, hour: hour.into() })
    }
}

/// Prefix of all segments of a stream.
pub fn segments_of(stream: &str) -> String {
    format!("segments/{stream}/")
}

/// Prefix of a shard's segments; listing it gives the chain in order.
pub fn segments_of_shard(stream: &str, shard: &ShardId) -> String {
    format!("segments/{stream}/{shard}/")
}

/// Prefix that only the successor of the segment ending at `last` has.
pub fn successor_of(stream: &str, shard: &ShardId, last: Option<&SequenceNumber>) -> String {
    format!("{}{}.", segments_of_shard(stream, shard), last.map_or(ORIGIN, |s| s.as_str()))
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
            "segments/main/shard-0003/x",
            "segments/main/shard-0003/.2026-11-24T13.parquet",
            "segments/main/shard-0003/1.2026-11-24.parquet",
            "segments/main/shard-0003/a/b.2026-11-24T13.parquet",
            "segments/../shard-0003/1.2026-11-24T13.parquet",
            "manifests/main/2026-11-24T13.json",
        ] {
            assert_eq!(SegmentKey::parse(stray), None, "{stray}");
        }
    }

    #[test]
    fn byte_order_of_keys_is_the_order_of_the_chain_even_when_hours_step_back() {
        let kinesis = "9".repeat(56);
        for starts in [
            vec![None, Some("00000000000000000000"), Some("00000000000000000001"), Some("10000000000000000000")],
            vec![None, Some("0"), Some("1"), Some("12"), Some("2")],
            vec![None, Some(kinesis.as_str())],
        ] {
            let hours = ["2026-11-24T14", "2026-11-24T13", "2027-01-01T00", "1999-01-01T00"];
            let keys: Vec<String> = starts.iter().zip(hours).map(|(start, hour)| key(*start, hour).text()).collect();
            assert!(keys.is_sorted(), "{keys:?}");
        }
    }

    #[test]
    fn only_the_successor_has_the_successors_prefix() {
        let prefix = successor_of("main", &ShardId::numbered(3), Some(&SequenceNumber::new("12")));
        assert!(key(Some("12"), "2026-11-24T13").text().starts_with(&prefix));
        assert!(!key(Some("123"), "2026-11-24T13").text().starts_with(&prefix));
        assert!(!key(None, "2026-11-24T13").text().starts_with(&prefix));
    }
}
