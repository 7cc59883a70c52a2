//! Goes through the segments of all shards in the order of their chains and notes what is wrong.

use std::collections::{BTreeMap, HashMap};
use std::vec::IntoIter;

use bytes::Bytes;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{ByteRange, Diagnosis, SegmentInfo, SegmentReader, SegmentSummary, diagnose};
use ledgerline_domain::{Error, Result};

use crate::chain::{ChainReport, FaultKind, OnProgress, Progress, ShardChain};
use crate::fetch::{Fetched, Found, Inspected, Opened};
use crate::lineage::segments;
use crate::statements::Statements;

/// A pass over the archive.
pub(crate) struct Walk<'a, A> {
    archive: &'a A,
    keys: IntoIter<SegmentKey>,
    before: Option<Before>,
    /// By key, what was found there: the summary of a sound segment, or nothing.
    seen: BTreeMap<String, Option<SegmentSummary>>,
    /// Read before the segments were listed: what they name must be there.
    statements: Statements,
    /// How many bytes each object should have, as far as manifests and heads say.
    sizes: HashMap<String, u64>,
    report: ChainReport,
    progress: Progress,
}

/// The segment before the next one.
struct Before {
    key: String,
    shard: ShardId,
    /// Digest of the object and position of its last record; none when it is no sound segment.
    end: Option<(String, SequenceNumber)>,
}

/// What a pass has found, for further checks.
pub(crate) struct Walked {
    pub(crate) report: ChainReport,
    pub(crate) statements: Statements,
    pub(crate) seen: BTreeMap<String, Option<SegmentSummary>>,
}

impl<'a, A: Archive> Walk<'a, A> {
    pub(crate) async fn begin(archive: &'a A, stream: &str) -> Result<Self> {
        keys::check_stream(stream)?;
        let mut report = ChainReport::default();
        let statements = Statements::read(archive, stream, &mut report).await?;
        let (keys, strays) = keys::chain_order(segments(archive, stream).await?);
        for stray in strays {
            report.note(FaultKind::Stray, stray, "it is not the key of a segment");
        }
        let progress = Progress { segments_total: keys.len() as u64, ..Progress::default() };
        Ok(Self {
            archive,
            keys: keys.into_iter(),
            before: None,
            seen: BTreeMap::new(),
            sizes: statements.named().map(|(_, segment)| (segment.key.clone(), segment.bytes)).collect(),
            statements,
            report,
            progress,
        })
    }

    /// The keys of the segments, in their order, for a caller that fetches and inspects them itself and
    /// has them [accepted](Self::accept), in this order.
    pub(crate) fn take_keys(&mut self) -> Vec<SegmentKey> {
        self.keys.by_ref().collect()
    }

    /// The next segment that can be read.
    pub(crate) async fn next(&mut self) -> Result<Option<SegmentReader>> {
        while let Some(key) = self.keys.next() {
            let (inspected, segment) = Fetched::get(self.archive, key).await?.inspect()?;
            self.accept(inspected);
            if segment.is_some() {
                return Ok(segment);
            }
        }
        Ok(None)
    }

    /// Reads every row that is left.
    pub(crate) async fn read_all(&mut self, on_progress: OnProgress<'_>) -> Result<()> {
        while let Some(segment) = self.next().await? {
            for row in segment.rows() {
                match row {
                    Ok(_) => self.count_records(1),
                    Err(error) => self.damaged(&segment.info().key(), &error),
                }
            }
            on_progress(self.progress());
        }
        Ok(())
    }

    /// Takes note of one object: checks it against its key and its predecessor.
    pub(crate) fn accept(&mut self, inspected: Inspected) {
        self.progress.segments += 1;
        let Inspected { key, text, found } = inspected;
        let Some(Found { sha256, bytes, opened }) = found else {
            self.report.note(FaultKind::Missing, text, "the archive lists it but does not have it");
            return;
        };
        let segment = match opened {
            Opened::Segment(info) => Some(*info),
            Opened::Misplaced(own) => {
                // It is not a link of the chain here, whatever it is elsewhere.
                self.report.note(FaultKind::Misplaced, &text, format!("the object under this key is {own}"));
                self.seen.insert(text, None);
                return;
            }
            Opened::Damaged(diagnosis) => {
                note_diagnosis(&mut self.report, &text, bytes, diagnosis, self.sizes.get(&text).copied());
                None
            }
        };
        let before = self.before.take().filter(|before| before.shard == key.shard);
        if let Some(info) = &segment {
            self.link(&text, info, before.as_ref());
            self.count(info, bytes);
        }
        let end = segment.as_ref().map(|info| (sha256.clone(), info.last.clone()));
        let summary = segment.as_ref().map(|info| SegmentSummary::new(info, sha256, bytes));
        self.seen.insert(text.clone(), summary);
        self.before = Some(Before { key: text, shard: key.shard, end });
    }

    /// Whether the segment continues the chain.
    fn link(&mut self, key: &str, info: &SegmentInfo, before: Option<&Before>) {
        match (before, &info.start) {
            (None, None) => {}
            (None, Some(start)) => self.report.note(
                FaultKind::Headless,
                key,
                format!("it follows position {start}, but nothing of {} is there before it", info.shard),
            ),
            // What a damaged object held is unknown; it is a fault of its own.
            (Some(Before { end: None, .. }), _) => {}
            (Some(Before { key: other, end: Some((sha256, last)), .. }), start) => {
                let named = info.predecessor.as_ref().map(|link| link.sha256.as_str());
                if start.as_ref() > Some(last) {
                    let start = start.as_ref().map(ToString::to_string).unwrap_or_default();
                    let words = format!("records of {} after {last} up to {start} are missing", info.shard);
                    self.report.note(FaultKind::Hole, key, words);
                } else if start.as_ref() < Some(last) {
                    let words = format!("it begins before {last}, where {other} ends");
                    self.report.note(FaultKind::Overlap, key, words);
                } else if named != Some(sha256) {
                    let words = format!("it is not the object that its successor {key} was written after");
                    self.report.note(FaultKind::Changed, other, words);
                }
            }
        }
    }

    fn count(&mut self, info: &SegmentInfo, bytes: u64) {
        if self.report.shards.last().is_none_or(|s| s.shard != info.shard) {
            let shard = info.shard.clone();
            self.report.shards.push(ShardChain { shard, segments: 0, records: 0, bytes: 0, through: None });
        }
        if let Some(chain) = self.report.shards.last_mut() {
            chain.segments += 1;
            chain.records += info.count;
            chain.bytes += bytes;
            chain.through = chain.through.take().max(Some(info.last.clone()));
        }
    }

    /// Notes an object that cannot be read to its end.
    pub(crate) fn damaged(&mut self, key: &str, error: &Error) {
        self.report.note(FaultKind::Damaged, key, format!("failed to {error}"));
    }

    pub(crate) fn count_records(&mut self, count: u64) {
        self.progress.records += count;
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress
    }

    /// Checks the manifests and heads and gives the report.
    pub(crate) async fn end(self) -> Result<ChainReport> {
        Ok(self.finish().await?.report)
    }

    /// The same, with what the pass has found.
    pub(crate) async fn finish(self) -> Result<Walked> {
        let Self { archive, seen, statements, mut report, .. } = self;
        statements.check(archive, &seen, &mut report).await?;
        Ok(Walked { report, statements, seen })
    }
}

/// Notes what is wrong with an object that cannot be opened, with the place. `expected` is how many bytes it
/// should have.
pub(crate) fn note_damage(report: &mut ChainReport, key: &str, object: &Bytes, expected: Option<u64>) {
    note_diagnosis(report, key, object.len() as u64, diagnose(object), expected);
}

/// The same of an object of `found` bytes that was looked into.
fn note_diagnosis(report: &mut ChainReport, key: &str, found: u64, diagnosis: Diagnosis, expected: Option<u64>) {
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        let (bytes, words) = if found < expected {
            let missing = ByteRange { first: found, last: expected - 1 };
            (missing, format!("it is cut short: {found} of {expected} bytes are there"))
        } else {
            let added = ByteRange { first: expected, last: found - 1 };
            (added, format!("it has {found} bytes, and {expected} were written"))
        };
        return report.note_at(FaultKind::Damaged, key, Some(bytes), words);
    }
    match diagnosis {
        Diagnosis::Newer(version) => {
            let words = format!("it is a segment of version {version}, newer than this program knows");
            report.note(FaultKind::Version, key, words);
        }
        Diagnosis::Damaged(damages) => {
            for damage in damages {
                report.note_at(FaultKind::Damaged, key, damage.bytes, format!("damaged: {damage}"));
            }
        }
        Diagnosis::Unsound(words) => report.note(FaultKind::Damaged, key, format!("failed to {words}")),
        Diagnosis::Sound => {}
    }
}
