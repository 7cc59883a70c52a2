//! Is the archive whole? Each segment must begin where its predecessor ended and name its digest
//! (I6), and the manifests must say what is there. Every fault is named; none stops the check.

use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Archive;
use serde::Serialize;

use crate::walk::Walk;

/// Most faults kept by name; further ones are counted.
pub const FAULTS_MAX: usize = 1000;

/// What can be wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// An object that is no readable segment: damaged, cut short, or of a newer version.
    Damaged,
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
    /// An object among the segments that has no business there.
    Stray,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What.
    pub kind: FaultKind,
    /// The key of the object.
    pub key: String,
    /// For people.
    pub words: String,
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
        self.faults_total += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(Fault { kind, key: key.into(), words: words.into() });
        }
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
    while let Some(segment) = walk.next().await? {
        for row in segment.rows() {
            match row {
                Ok(_) => walk.count_records(1),
                Err(error) => walk.damaged(&segment.info().key(), &error),
            }
        }
        on_progress(walk.progress());
    }
    walk.end().await
}
