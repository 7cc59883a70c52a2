//! Segments: what the archive is made of. Bytes in, bytes out; no files, no network.
//!
//! A segment holds the records of one shard strictly after `start` up to `last`, all of one arrival
//! hour, as a Parquet object (zstd) that DuckDB, Athena and Spark read as it lies; `schema` lists
//! the columns. Body and signature headers are the exact bytes received (I7). Its footer says what
//! it is ([`SegmentInfo`]) and names the object before it by key and SHA-256, so that the segments
//! of a shard form a chain (I6).
//!
//! Every byte is covered twice: by the SHA-256 that the successor and the manifest name, against
//! tampering, and by CRC-32s in its own footer (one per 64 KiB of data, one of the footer), against
//! damage. They are checked before anything else is read, so damaged bytes reach no decoder, and
//! damage is named with its bytes, row group and column ([`diagnose`]).
//!
//! Errors: [`Data`](crate::ErrorKind::Data) for a damaged object, one of another kind, or one of a
//! newer version; [`Internal`](crate::ErrorKind::Internal) when a writer is used against its rules.

mod checksum;
mod columns;
mod contents;
mod damage;
mod info;
pub mod keys;
pub mod manifest;
mod plain;
mod reader;
mod row_group;
mod schema;
mod sealed;
mod sparse;
#[cfg(test)]
mod tests;
mod typed;
mod writer;

pub use checksum::BLOCK_BYTES;
pub use contents::{Contents, TimeSpan};
pub use damage::{ByteRange, Damage};
pub use info::{Link, Replaced, Segment, SegmentInfo};
pub use manifest::{Head, Manifest, SegmentSummary, ShardManifest, Totals};
pub use reader::{Diagnosis, Rows, Scratch, SegmentReader, diagnose};
pub use sparse::{Footer, SparseSegment};
pub use writer::{SegmentPlace, SegmentWriter};

use sha2::{Digest, Sha256};

/// Version of the segment format that this program writes.
pub const SEGMENT_VERSION: u32 = 2;

/// SHA-256 of an object, in lower-case hex: how segments and manifests name each other.
pub fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
