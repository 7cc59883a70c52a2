//! Goes through the segments of all shards in the order of their chains and notes what is wrong.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{Manifest, SegmentInfo, SegmentReader, SegmentSummary};
use ledgerline_domain::{Error, Result};

use crate::chain::{ChainReport, FaultKind, Progress, ShardChain};
use crate::fetch::{Fetched, Found, Inspected, Opened};

/// A pass over the archive.
pub(crate) struct Walk<'a, A> {
    archive: &'a A,
    stream: String,
    keys: IntoIter<SegmentKey>,
    before: Option<Before>,
    /// By key, what was found there: the summary of a sound segment, or nothing.
    seen: BTreeMap<String, Option<SegmentSummary>>,
    /// Read before the segments were listed: what they name must be there.
    manifests: Vec<(String, Manifest)>,
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

impl<'a, A: Archive> Walk<'a, A> {
    pub(crate) async fn begin(archive: &'a A, stream: &str) -> Result<Self> {
        keys::check_stream(stream)?;
        let mut report = ChainReport::default();
        let mut manifests = Vec::new();
        for key in archive.list(&keys::manifests_of(stream)).await? {
            let Some(text) = archive.get(&key).await? else { continue };
            report.manifests += 1;
            match Manifest::decode(&text) {
                Ok(manifest) => manifests.push((key, manifest)),
                Err(error) => report.note(FaultKind::Manifest, key, error.to_string()),
            }
        }
        let (keys, strays) = keys::chain_order(archive.list(&keys::segments_of(stream)).await?);
        for stray in strays {
            report.note(FaultKind::Stray, stray, "it is not the key of a segment");
        }
        let progress = Progress { segments_total: keys.len() as u64, ..Progress::default() };
        Ok(Self {
            archive,
            stream: stream.to_owned(),
            keys: keys.into_iter(),
            before: None,
            seen: BTreeMap::new(),
            manifests,
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

    /// Takes note of one object: checks it against its key and its predecessor.
    pub(crate) fn accept(&mut self, inspected: Inspected) {
        self.progress.segments += 1;
        let Inspected { key, text, found } = inspected;
        let Some(Found { sha256, bytes, opened }) = found else {
            self.report.note(FaultKind::Missing, text, "the archive lists it but does not have it");
            return;
        };
        let segment = match opened {
            Opened::Segment(info) => Some(info),
            Opened::Misplaced(own) => {
                self.report.note(FaultKind::Misplaced, &text, format!("the object under this key is {own}"));
                None
            }
            Opened::Damaged(error) => {
                self.damaged(&text, &error);
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

    /// Checks the manifests and gives the report.
    pub(crate) async fn end(mut self) -> Result<ChainReport> {
        for (key, manifest) in std::mem::take(&mut self.manifests) {
            self.report.hours_complete += u64::from(manifest.complete);
            if keys::manifest(&self.stream, &manifest.hour) != key || manifest.stream != self.stream {
                self.report.note(FaultKind::Manifest, key, "it speaks of another hour or stream");
                continue;
            }
            self.check_named(&key, &manifest);
            let lacks = |manifest: &Manifest| -> Option<String> {
                let named = |key: &str| manifest.shards.iter().flat_map(|s| &s.segments).any(|s| s.key == key);
                let of_hour = |key: &str| SegmentKey::parse(key).is_some_and(|k| k.hour == manifest.hour);
                self.seen.keys().find(|key| of_hour(key) && !named(key)).cloned()
            };
            if manifest.complete && lacks(&manifest).is_some() {
                // A record that arrived out of its hour may just have been added: look once more.
                let now = match self.archive.get(&key).await? {
                    Some(text) => Manifest::decode(&text).unwrap_or(manifest),
                    None => manifest,
                };
                if let Some(segment) = lacks(&now) {
                    let words = format!("it calls the hour complete but does not name {segment}");
                    self.report.note(FaultKind::Manifest, key, words);
                }
            }
        }
        Ok(self.report)
    }

    /// Whether what a manifest names is there.
    fn check_named(&mut self, key: &str, manifest: &Manifest) {
        for named in manifest.shards.iter().flat_map(|shard| &shard.segments) {
            match self.seen.get(&named.key) {
                None => {
                    let words = format!("the manifest {key} names it, but it is not there");
                    self.report.note(FaultKind::Missing, &named.key, words);
                }
                // Noted already.
                Some(None) => {}
                Some(Some(found)) if found.sha256 != named.sha256 => {
                    // Unless its successor said so already.
                    let known = |f: &crate::chain::Fault| f.kind == FaultKind::Changed && f.key == named.key;
                    if !self.report.faults.iter().any(known) {
                        let words = format!("it is not the object that the manifest {key} names");
                        self.report.note(FaultKind::Changed, &named.key, words);
                    }
                }
                Some(Some(found)) if found != named => {
                    let words = format!("what it says of {} is not so", named.key);
                    self.report.note(FaultKind::Manifest, key, words);
                }
                Some(Some(_)) => {}
            }
        }
    }
}
