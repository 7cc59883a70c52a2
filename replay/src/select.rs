//! The archived events that a [`Selector`] means, without reading what cannot hold any.
//!
//! A segment is passed over, from the cheapest to the dearest look:
//!
//! | by | what it saves |
//! | --- | --- |
//! | its hour, in the key | everything: nothing of that hour is read |
//! | its hour's manifest: first and last times, sources | reading the object |
//! | its footer: the same, and statistics of the entity | reading more than its end, when only some entities are meant |
//! | bloom filters of the entity | the same for the row groups; a short object is read whole |
//! | its row groups: the same per row group, then the entity column | decoding other row groups and rows |
//!
//! A manifest is believed here; whether it tells the truth is what [`crate::check`] finds out.
//!
//! Rows come shard by shard in the order of the chains. Memory: the keys and the manifests of the hours
//! concerned, and one segment. A damaged object is a fault in the report and stops nothing; so is one that
//! a manifest names and that is not there.

use std::collections::{BTreeSet, HashMap};
use std::vec::IntoIter;

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::{Archive, End, Sequenced};
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{ByteRange, Contents, Manifest, SegmentReader, SegmentSummary};
use ledgerline_domain::{ErrorKind, Result};
use serde::Serialize;

use crate::chain::{ChainReport, Fault, FaultKind, Progress};
use crate::narrow::{Ends, Look, look};
use crate::selector::{Selector, TimeOf};
use crate::walk::note_damage;

/// What a selection read and what it did without.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SelectionReport {
    /// Segments of the stream.
    pub segments: u64,
    /// Of them, those that were read.
    pub segments_read: u64,
    /// Of those, the ones in which, by their footers, nothing is meant.
    pub segments_looked_into: u64,
    /// Bytes of the segments that were read.
    pub bytes_read: u64,
    /// Rows that were decoded.
    pub rows_read: u64,
    /// Rows that are meant.
    pub rows: u64,
    /// How many things are wrong with what was read.
    pub faults_total: u64,
    /// The first of them.
    pub faults: Vec<Fault>,
}

impl SelectionReport {
    /// Whether nothing that was read is wrong.
    pub fn is_clean(&self) -> bool {
        self.faults_total == 0
    }

    /// Segments that were not read.
    pub fn segments_skipped(&self) -> u64 {
        self.segments - self.segments_read
    }
}

/// What is said of an object that is listed and not there.
const LISTED_ONLY: &str = "the archive lists it but does not have it";

/// A pass over the events that are meant.
pub struct Selection<'a, A> {
    archive: &'a A,
    selector: &'a Selector,
    segments: IntoIter<SegmentKey>,
    /// The segments instead, when only some entities are meant.
    ends: Ends,
    known: HashMap<String, SegmentSummary>,
    open: Option<Open>,
    faults: ChainReport,
    report: SelectionReport,
    done: u64,
}

/// The segment that is being read.
struct Open {
    key: String,
    shard: ShardId,
    rows: Box<dyn Iterator<Item = Result<Sequenced<Envelope>>> + Send>,
}

/// Whether a segment of such contents may have events that are meant.
fn may_hold(selector: &Selector, contents: &Contents) -> bool {
    let Selector { from, to, by, sources, entities, .. } = selector;
    let in_time = match by {
        TimeOf::Arrival => contents.arrived_at.meets(*from, *to),
        // Where an event says nothing, its time of receipt stands in.
        TimeOf::Occurred => {
            contents.occurred_at.is_some_and(|span| span.meets(*from, *to)) || contents.received_at.meets(*from, *to)
        }
    };
    let has = |source: &str| contents.sources.contains_key(source);
    in_time
        && (sources.is_empty() || sources.iter().any(|source| has(source)))
        && (entities.is_empty() || entities.iter().any(|entity| has(entity.source())))
}

impl<'a, A: Archive> Selection<'a, A> {
    /// Finds out which segments may hold events that are meant.
    pub async fn begin(archive: &'a A, stream: &str, selector: &'a Selector) -> Result<Self> {
        keys::check_stream(stream)?;
        let mut selection = Self {
            archive,
            selector,
            segments: Vec::new().into_iter(),
            ends: Ends::default(),
            known: HashMap::new(),
            open: None,
            faults: ChainReport::default(),
            report: SelectionReport::default(),
            done: 0,
        };
        // Manifests before the listing: what they name must be there.
        if selector.from.is_some() || selector.to.is_some() || !selector.sources.is_empty() {
            selection.read_manifests(stream).await?;
        }
        let (listed, strays) = keys::chain_order(archive.list(&keys::segments_of(stream)).await?);
        for stray in strays {
            selection.faults.note(FaultKind::Stray, stray, "it is not the key of a segment");
        }
        selection.report.segments = listed.len() as u64;
        let there: BTreeSet<String> = listed.iter().map(SegmentKey::text).collect();
        for (key, segment) in &selection.known {
            if !there.contains(key) && may_hold(selection.selector, &segment.contents) {
                let words = format!("the manifest of {} names it, but it is not there", segment.hour);
                selection.faults.note(FaultKind::Missing, key, words);
            }
        }
        let wanted: Vec<SegmentKey> = listed.into_iter().filter(|key| selection.wants(key)).collect();
        if selector.entities.is_empty() {
            selection.segments = wanted.into_iter();
        } else {
            selection.ends = Ends::of(wanted);
        }
        Ok(selection)
    }

    /// The next event that is meant.
    pub async fn next(&mut self) -> Result<Option<(ShardId, Sequenced<Envelope>)>> {
        loop {
            let Some(open) = &mut self.open else {
                self.open = if let Some(key) = self.segments.next() {
                    self.done += 1;
                    self.look_into(key).await?
                } else if let Some((key, text, end)) = self.ends.next(self.archive).await? {
                    self.done += 1;
                    self.look_closely(key, text, end).await?
                } else {
                    return Ok(None);
                };
                continue;
            };
            match open.rows.next() {
                None => self.open = None,
                Some(Ok(row)) => {
                    self.report.rows_read += 1;
                    if self.selector.takes(&row) {
                        self.report.rows += 1;
                        return Ok(Some((open.shard.clone(), row)));
                    }
                }
                Some(Err(error)) => {
                    self.faults.note(FaultKind::Damaged, &open.key, format!("failed to {error}"));
                    self.open = None;
                }
            }
        }
    }

    /// How far it is; segments that are passed over by their keys or manifests do not count.
    pub fn progress(&self) -> Progress {
        let total = self.done + (self.segments.len() + self.ends.len()) as u64;
        Progress { segments: self.done, segments_total: total, records: self.report.rows_read }
    }

    /// What was read and what is wrong with it.
    pub fn finish(mut self) -> SelectionReport {
        self.report.faults_total = self.faults.faults_total;
        self.report.faults = self.faults.faults;
        self.report
    }

    /// Reads the manifests of the hours in which something may be meant. One that cannot be read costs
    /// reading the segments of its hour.
    async fn read_manifests(&mut self, stream: &str) -> Result<()> {
        let folder = keys::manifests_of(stream);
        for key in self.archive.list(&folder).await? {
            let hour = key.strip_prefix(&folder).and_then(|name| name.strip_suffix(".json")).unwrap_or_default();
            if !self.selector.may_lie_in_hour(hour) {
                continue;
            }
            let Some(text) = self.archive.get(&key).await? else { continue };
            match Manifest::decode(&text) {
                Ok(manifest) if manifest.hour == hour && manifest.stream == stream => {
                    let segments = manifest.shards.into_iter().flat_map(|shard| shard.segments);
                    self.known.extend(segments.map(|segment| (segment.key.clone(), segment)));
                }
                Ok(_) => self.faults.note(FaultKind::Manifest, key, "it speaks of another hour or stream"),
                Err(error) => {
                    let bytes = ByteRange::of(0..text.len());
                    self.faults.note_at(FaultKind::Manifest, key, bytes, format!("failed to {error}"));
                }
            }
        }
        Ok(())
    }

    /// Whether a segment must be read, by its key and its manifest.
    fn wants(&self, key: &SegmentKey) -> bool {
        self.selector.may_lie_in_hour(&key.hour)
            && self.known.get(&key.text()).is_none_or(|segment| self.may_hold(&segment.contents))
    }

    fn may_hold(&self, contents: &Contents) -> bool {
        may_hold(self.selector, contents)
    }

    /// Looks for the entities meant in an object with this end.
    async fn look_closely(&mut self, key: SegmentKey, text: String, end: Option<End>) -> Result<Option<Open>> {
        let Some(end) = end else {
            self.faults.note(FaultKind::Missing, text, LISTED_ONLY);
            return Ok(None);
        };
        let selector = self.selector;
        let may_hold = |contents: &Contents| may_hold(selector, contents);
        let (look, read) = look(self.archive, &text, end, &selector.entities, may_hold).await?;
        let rows = match look {
            // It counts as read when that is done.
            Look::Whole => return self.look_into(key).await,
            Look::Rows(rows) => rows,
        };
        self.report.segments_read += 1;
        self.report.bytes_read += read;
        if rows.is_empty() {
            self.report.segments_looked_into += 1;
            return Ok(None);
        }
        Ok(Some(Open { key: text, shard: key.shard, rows: Box::new(rows.into_iter().map(Ok)) }))
    }

    /// Opens a segment; nothing when, by its footer, nothing in it is meant.
    async fn look_into(&mut self, key: SegmentKey) -> Result<Option<Open>> {
        let text = key.text();
        let Some(object) = self.archive.get(&text).await? else {
            self.faults.note(FaultKind::Missing, text, LISTED_ONLY);
            return Ok(None);
        };
        self.report.segments_read += 1;
        self.report.bytes_read += object.len() as u64;
        let segment = match SegmentReader::open(object.clone()) {
            Ok(segment) => segment,
            Err(error) if error.kind() == ErrorKind::Data => {
                self.note_damage(&text, &object);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if segment.info().key() != text {
            let words = format!("the object under this key is {}", segment.info().key());
            self.faults.note(FaultKind::Misplaced, text, words);
            return Ok(None);
        }
        if !may_hold(self.selector, &segment.info().contents) {
            self.report.segments_looked_into += 1;
            return Ok(None);
        }
        let shard = key.shard;
        let Selector { from, to, by, entities, .. } = self.selector;
        if !entities.is_empty() {
            return match segment.rows_of_any(entities) {
                Ok(rows) if rows.is_empty() => {
                    self.report.segments_looked_into += 1;
                    Ok(None)
                }
                Ok(rows) => Ok(Some(Open { key: text, shard, rows: Box::new(rows.into_iter().map(Ok)) })),
                Err(error) if error.kind() == ErrorKind::Data => {
                    self.faults.note(FaultKind::Damaged, text, format!("failed to {error}"));
                    Ok(None)
                }
                Err(error) => Err(error),
            };
        }
        let (from, to) = if *by == TimeOf::Arrival { (*from, *to) } else { (None, None) };
        Ok(Some(Open { key: text, shard, rows: Box::new(segment.rows_between(from, to)) }))
    }

    fn note_damage(&mut self, key: &str, object: &Bytes) {
        let expected = self.known.get(key).map(|segment| segment.bytes);
        note_damage(&mut self.faults, key, object, expected);
    }
}

#[cfg(test)]
mod tests;
