//! Names of things: sources, entities, shards, sequence numbers.
//!
//! Each is a thin wrapper that can only hold what its constructor accepted.

use std::fmt;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::text::KeyText;

/// Longest event id, in bytes. The longest seen in the field is below 100.
pub const EVENT_ID_BYTES_MAX: usize = 256;
/// Longest event type, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
/// Longest entity key, in bytes: a Kinesis partition key holds 256 characters.
pub const ENTITY_KEY_BYTES_MAX: usize = 256;

/// A configured webhook endpoint, such as `stripe-eu`: `[a-z0-9][a-z0-9._-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "CompactString")]
pub struct SourceName(CompactString);

impl SourceName {
    /// Checks and wraps a name. Errors are [`Invalid`](crate::error::ErrorKind::Invalid).
    pub fn new(name: impl AsRef<str>) -> Result<Self> {
        let name = name.as_ref();
        if Self::is_well_formed(name) {
            Ok(Self(name.into()))
        } else {
            Err(Error::invalid(format!(
                "accept source name {name:?}: use 1 to 63 of a-z, 0-9, '.', '_' and '-', starting with a letter or digit"
            )))
        }
    }

    fn is_well_formed(name: &str) -> bool {
        let first_ok = name.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest_ok = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        first_ok && rest_ok && name.len() <= 63
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<CompactString> for SourceName {
    type Error = Error;
    fn try_from(name: CompactString) -> Result<Self> {
        Self::new(name)
    }
}

/// What events are about: `source/kind/id`, for example `stripe-eu/payment/pi_123`.
///
/// It is the log's partition key and the key of the entity record. Source and kind hold no slash,
/// the id may.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "KeyText")]
pub struct EntityKey(KeyText);

impl EntityKey {
    /// Joins the three parts. Fails when a part is empty, holds a control character, or the whole
    /// is longer than [`ENTITY_KEY_BYTES_MAX`].
    pub fn new(source: &SourceName, kind: &str, id: &str) -> Result<Self> {
        Self::checked(KeyText::concat(&[source.as_str(), "/", kind, "/", id]))
    }

    /// A key of a kind and id that the program gives itself; such a key is always well formed and
    /// short enough (63 + 10 + 64 bytes and two slashes).
    pub(crate) fn digest(source: &SourceName, kind: &str, digest: &str) -> Self {
        Self(KeyText::concat(&[source.as_str(), "/", kind, "/", digest]))
    }

    /// Reads a key back from its text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::checked(text.into())
    }

    fn checked(key: KeyText) -> Result<Self> {
        let (source, kind, id) = parts(&key);
        // Without an early exit: that is one vector comparison per 16 bytes and more.
        let has_control = key.bytes().fold(false, |any, b| any | b.is_ascii_control());
        let well_formed = SourceName::is_well_formed(source) && !kind.is_empty() && !id.is_empty() && !has_control;
        if !well_formed {
            return Err(Error::invalid(
                "read an entity key: it must be source/kind/id, such as stripe-eu/payment/pi_123",
            ));
        }
        if key.len() > ENTITY_KEY_BYTES_MAX {
            return Err(Error::invalid(format!(
                "accept an entity key of {} bytes: the limit is {ENTITY_KEY_BYTES_MAX}",
                key.len()
            )));
        }
        Ok(Self(key))
    }

    /// The whole key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The source's name.
    pub fn source(&self) -> &str {
        parts(&self.0).0
    }

    /// What kind of entity this is: `payment` folds money, every other kind is a document.
    pub fn kind(&self) -> &str {
        parts(&self.0).1
    }

    /// The provider's id of the entity.
    pub fn id(&self) -> &str {
        parts(&self.0).2
    }

    /// Which of `count` parts the entity belongs to, from 0: the same on every machine and for ever.
    /// Logs choose the shard by it, so it is part of the stored format. It is FNV-1a with 64 bits over
    /// the bytes of the key, mixed by the finaliser of MurmurHash3, and scaled to the number of parts
    /// by its upper bits. Always 0 when there is one part or none.
    pub fn part_of(&self, count: u32) -> u32 {
        // Upper half of the product: uniform over 0..count, and below it.
        let scaled = (u128::from(stable_hash(self.0.as_bytes())) * u128::from(count)) >> 64;
        u32::try_from(scaled).unwrap_or_default()
    }
}

fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Source, kind and id; what is not there is empty.
fn parts(key: &str) -> (&str, &str, &str) {
    let split = |text: &'_ str| memchr::memchr(b'/', text.as_bytes());
    let Some((source, rest)) = split(key).and_then(|at| Some((key.get(..at)?, key.get(at + 1..)?))) else {
        return (key, "", "");
    };
    match split(rest).and_then(|at| Some((rest.get(..at)?, rest.get(at + 1..)?))) {
        Some((kind, id)) => (source, kind, id),
        None => (source, rest, ""),
    }
}

impl TryFrom<KeyText> for EntityKey {
    type Error = Error;
    fn try_from(key: KeyText) -> Result<Self> {
        Self::checked(key)
    }
}

/// One partition of the log.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ShardId(CompactString);

impl ShardId {
    /// Wraps a shard id given by the log.
    pub fn new(id: impl Into<CompactString>) -> Self {
        Self(id.into())
    }

    /// Shard `index` of a log that numbers its shards, as Kinesis does.
    pub fn numbered(index: u32) -> Self {
        Self(compact_str::format_compact!("shard-{index:04}"))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A position in one shard, assigned by the log only.
///
/// Opaque text whose byte order is the log's order: logs pad their numbers with zeros to a fixed
/// width (20 digits embedded, 56 for Kinesis).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SequenceNumber(CompactString);

impl SequenceNumber {
    /// Wraps a number as the log padded it.
    pub fn new(text: impl Into<CompactString>) -> Self {
        Self(text.into())
    }

    /// Position `number` of a log that counts in 64 bits, padded to 20 digits.
    pub fn from_u64(number: u64) -> Self {
        let mut digits = [b'0'; 20];
        let mut rest = number;
        for digit in digits.iter_mut().rev() {
            *digit += u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        Self(CompactString::from_utf8(digits).unwrap_or_default())
    }

    /// The 64-bit number, where the log counts so.
    pub fn to_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The position behind the last record of a closed shard, as KCL writes it. It is behind every
    /// number, because letters follow digits.
    pub const fn shard_end() -> Self {
        Self(CompactString::const_new("SHARD_END"))
    }

    /// Whether it is [`shard_end`](Self::shard_end).
    pub fn is_shard_end(&self) -> bool {
        self.0 == "SHARD_END"
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! shows_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    )*};
}
shows_as_text!(SourceName, EntityKey, ShardId, SequenceNumber);
