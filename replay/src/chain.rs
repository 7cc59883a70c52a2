//! Is the archive whole? Each segment must begin where its predecessor ended and name its digest
//! (I6), and the manifests must say what is there. Every fault is named; none stops the check.

use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::ByteRange;
use serde::Serialize;

use crate::walk::Walk;

/// Most faults kept by name; further ones are counted.
pub const FAULTS_MAX: usize = 1000;

/// What can be wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An object some of whose bytes are not what was written, or that is cut short.
    Damaged,
    /// An object of a version that this program does not know.
    Version,
    /// A sound segment that its successor or a manifest names with another digest: exchanged.
    Changed,
    /// A sound segment under the key of another one.
    Misplaced,
    /// Records between two segments are missing.
    Hole,
    /// Two segments hold the same records.
    Overlap,
    /// The first segment of a shard is missing.
    Headless,
    /// A manifest or listing names what is not there.
    Missing,
    /// A manifest that cannot be read, or that does not say what its hour contains.
    Manifest,
    /// A head that cannot be read, or that does not say where its shard's chain is.
    Head,
    /// A compacted object that is not, row for row, what it replaces.
    Compacted,
    /// An object that has no business in the archive.
    Stray,
}

impl FaultKind {
    /// What to do about it, for an object under `key`.
    fn fix(self, key: &str) -> &'static str {
        if key.starts_with("manifests/") || key.starts_with("heads/") {
            return match self {
                Self::Stray => "move it out of the archive: it is none of its objects",
                _ => "run `ledgerline archive manifests`: manifests and heads are made again from the segments",
            };
        }
        match self {
            Self::Damaged | Self::Missing | Self::Hole | Self::Headless => {
                "restore the object from a copy or an older version, byte for byte; then check again"
            }
            Self::Changed | Self::Overlap => {
                "somebody exchanged it: restore the original from a copy, byte for byte, and find out who wrote here"
            }
            Self::Version => "use the newer program that wrote it",
            Self::Misplaced | Self::Stray => "move it out of the archive: it is none of its objects",
            Self::Manifest | Self::Head => "run `ledgerline archive manifests`",
            Self::Compacted => {
                "remove it and run `ledgerline archive compact` again: the originals are what counts, and they are there"
            }
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The key of the object.
    pub key: String,
    /// Where in it, if only a part is concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ByteRange>,
    /// For people.
    pub words: String,
    /// What to do about it.
    pub fix: &'static str,
}

/// A shard's chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShardChain {
    /// The shard.
    pub shard: ShardId,
    /// Segments that could be opened.
    pub segments: u64,
    /// Records in them, by their footers.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Position of the last record.
    pub through: Option<SequenceNumber>,
}

/// What the archive holds and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChainReport {
    /// By shard, in the order of their ids.
    pub shards: Vec<ShardChain>,
    /// Manifests found.
    pub manifests: u64,
    /// Of them, those that state a complete hour.
    pub hours_complete: u64,
    /// Heads found.
    pub heads: u64,
    /// How many things are wrong.
    pub faults_total: u64,
    /// The first [`FAULTS_MAX`] of them.
    pub faults: Vec<Fault>,
}

impl ChainReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults_total == 0
    }

    /// Segments of all shards.
    pub fn segments(&self) -> u64 {
        self.shards.iter().map(|s| s.segments).sum()
    }

    /// Records of all shards.
    pub fn records(&self) -> u64 {
        self.shards.iter().map(|s| s.records).sum()
    }

    /// Bytes of all shards.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|s| s.bytes).sum()
    }

    /// The archived position of a shard.
    pub fn through(&self, shard: &ShardId) -> Option<&SequenceNumber> {
        self.shards.iter().find(|s| s.shard == *shard).and_then(|s| s.through.as_ref())
    }

    pub(crate) fn note(&mut self, kind: FaultKind, key: impl Into<String>, words: impl Into<String>) {
        self.note_at(kind, key, None, words);
    }

    pub(crate) fn note_at(
        &mut self,
        kind: FaultKind,
        key: impl Into<String>,
        bytes: Option<ByteRange>,
        words: impl Into<String>,
    ) {
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            let key = key.into();
            self.faults.push(Fault { kind, fix: kind.fix(&key), key, bytes, words: words.into() });
        }
    }

    /// Whether such a fault of the object is noted.
    pub(crate) fn has(&self, kind: FaultKind, key: &str) -> bool {
        self.faults.iter().any(|fault| fault.kind == kind && fault.key == key)
    }
}

/// How far a pass over the archive is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Segments done.
    pub segments: u64,
    /// Segments in all.
    pub segments_total: u64,
    /// Records read.
    pub records: u64,
}

/// Is told how far a pass is, after each segment.
pub type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

/// Walks the chains of all shards of `stream`, reads every row, and checks the manifests.
pub async fn check<A: Archive>(archive: &A, stream: &str, on_progress: OnProgress<'_>) -> Result<ChainReport> {
    let mut walk = Walk::begin(archive, stream).await?;
    walk.read_all(on_progress).await?;
    walk.end().await
}
