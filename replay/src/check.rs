//! Checks everything that an archive holds: every object of every stream, every row, and that nothing is
//! missing and nothing foreign is there.
//!
//! | what | how it is checked |
//! | --- | --- |
//! | segments | checksums, chain, every row ([`crate::chain`]) |
//! | manifests and heads | checksums; that what they name is there and is so; that none is missing |
//! | compacted objects | checksums; that they hold the rows of the segments that they name, and no others |
//! | `runs/`, `closes/`, `counters/`, `watermarks/` | that they are JSON; a close is proved by `replay close --check` |
//! | `providers/`, `claims/` | that a provider file or a large body is the one whose SHA-256 its key is |
//! | everything else | foreign |
//!
//! What cannot be seen: a segment that was removed together with every object that names it, or one that
//! was added behind the last one of its chain and fits there. The log, the live state and the
//! signatures tell; `replay verify --signatures` compares them.

use std::collections::BTreeSet;

use ledgerline_domain::Result;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{ByteRange, digest};
use serde::Serialize;

use crate::chain::{ChainReport, Fault, FaultKind, OnProgress, Progress, ShardChain};
use crate::compact;
use crate::walk::Walk;

/// What an archive holds and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveReport {
    /// By name.
    pub streams: Vec<StreamReport>,
    /// Objects in all.
    pub objects: u64,
    /// Compacted objects.
    pub compacted: u64,
    /// Records of runs and closes.
    pub statements: u64,
    /// How many things are wrong.
    pub faults_total: u64,
    /// The first [`crate::chain::FAULTS_MAX`] of each stream, and of the rest.
    pub faults: Vec<Fault>,
}

/// One stream of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub stream: String,
    /// By shard.
    pub shards: Vec<ShardChain>,
    /// Manifests found.
    pub manifests: u64,
    /// Of them, those that state a complete hour.
    pub hours_complete: u64,
    /// Heads found.
    pub heads: u64,
}

impl ArchiveReport {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults_total == 0
    }

    fn take(&mut self, found: ChainReport) -> ChainReport {
        self.faults_total += found.faults_total;
        self.faults.extend(found.faults.iter().cloned());
        found
    }
}

/// What is written as JSON beside the segments, by prefix.
const STATEMENTS: [&str; 4] = ["runs/", "closes/", "counters/", "watermarks/"];

/// Checks the whole archive. Faults stop nothing; an error is one of reading the archive itself.
pub async fn check<A: Archive>(archive: &A, on_progress: OnProgress<'_>) -> Result<ArchiveReport> {
    let mut report = ArchiveReport::default();
    let mut others = ChainReport::default();
    let mut streams = BTreeSet::new();
    let (mut compacted, mut total) = (Vec::new(), 0);
    for key in archive.list("").await? {
        report.objects += 1;
        total += u64::from(SegmentKey::parse(&key).is_some());
        match stream_of(&key) {
            Some(stream) => _ = streams.insert(stream.to_owned()),
            None if STATEMENTS.iter().any(|prefix| key.starts_with(prefix)) => {
                report.statements += 1;
                check_json(archive, key, &mut others).await?;
            }
            None if key.starts_with("providers/") || key.starts_with("claims/") => {
                report.statements += 1;
                check_named(archive, key, &mut others).await?;
            }
            None if SegmentKey::parse_compacted(&key).is_some() => compacted.push(key),
            None => others.note(FaultKind::Stray, key, "no object of an archive has such a key"),
        }
    }
    let mut done = Progress { segments_total: total, ..Progress::default() };
    for stream in streams {
        let mut walk = Walk::begin(archive, &stream).await?;
        let before = done;
        let mut tell = |now: Progress| {
            done.segments = before.segments + now.segments;
            done.records = before.records + now.records;
            on_progress(done);
        };
        walk.read_all(&mut tell).await?;
        let mut walked = walk.finish().await?;
        walked.statements.check_missing(archive, &walked.seen, &mut walked.report).await?;
        let ChainReport { shards, manifests, hours_complete, heads, .. } = report.take(walked.report);
        report.streams.push(StreamReport { stream, shards, manifests, hours_complete, heads });
    }
    for key in compacted {
        compact::prove(archive, &key, &mut others).await?;
        report.compacted += 1;
    }
    report.take(others);
    Ok(report)
}

/// The stream whose pass looks at the object; none when no pass does.
fn stream_of(key: &str) -> Option<&str> {
    let (folder, rest) = key.split_once('/')?;
    let (stream, rest) = rest.split_once('/')?;
    let stream = match folder {
        "segments" => stream.strip_prefix("stream=")?,
        "manifests" | "heads" if !rest.contains('/') => stream,
        _ => return None,
    };
    keys::check_stream(stream).is_ok().then_some(stream)
}

/// Checks an object whose name is the SHA-256 of what it holds.
async fn check_named<A: Archive>(archive: &A, key: String, others: &mut ChainReport) -> Result<()> {
    let Some(text) = archive.get(&key).await? else { return Ok(()) };
    let name = key.rsplit('/').next().unwrap_or_default();
    if name.strip_suffix(".toml").unwrap_or(name) != digest(&text) {
        let words = "it is not what its name is the SHA-256 of";
        others.note_at(FaultKind::Changed, key, ByteRange::of(0..text.len()), words);
    }
    Ok(())
}

async fn check_json<A: Archive>(archive: &A, key: String, others: &mut ChainReport) -> Result<()> {
    let Some(text) = archive.get(&key).await? else { return Ok(()) };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&text) {
        others.note_at(FaultKind::Damaged, key, ByteRange::of(0..text.len()), format!("it is no JSON: {error}"));
    }
    Ok(())
}
