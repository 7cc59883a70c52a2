//! What a new generation of the state is made from, and how it differs from the live one.
//!
//! [`Feed`] gives a shard's archived records in the order of the log, from one position to another, so
//! that whoever folds the log can fold the archive the same way. It insists on an unbroken chain: a new
//! generation must not be made from an archive with a hole. [`difference`] compares two stores, each of
//! which may be kept up to date meanwhile.
//!
//! Memory: one segment, or one page of records.

use std::collections::{BTreeMap, VecDeque};

use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Entities, Sequenced, StoredPage, StoredPart};
use ledgerline_domain::record::{EntityRecord, same_but_for_revision};
use ledgerline_domain::segment::keys::{self, SegmentKey};
use ledgerline_domain::segment::{SegmentReader, digest};
use ledgerline_domain::{Error, Result};

use crate::compare::{Verdict, compare, money};
use crate::lineage::{ShardsOf, reach, segments};
use crate::report::Report;

/// Records per page of a comparison.
const PAGE_RECORDS: usize = 1000;

/// Where the archive of each shard ends by now. A shard without any segment is left out. To be read in the order of
/// the map: parents first.
pub async fn ends<A: Archive>(archive: &A, stream: &str) -> Result<BTreeMap<ShardId, SequenceNumber>> {
    let mut last: BTreeMap<ShardId, SegmentKey> = BTreeMap::new();
    // In the order of the chains, so that the last one of each shard stays.
    for key in keys::chain_order(segments(archive, stream).await?).0 {
        last.insert(key.shard.clone(), key);
    }
    let mut ends = BTreeMap::new();
    for (shard, key) in last {
        let segment = open(archive, &key.text()).await?.0;
        ends.insert(shard, segment.info().last.clone());
    }
    Ok(ends)
}

/// The archived records of one shard between two positions.
pub struct Feed<'a, A> {
    archive: &'a A,
    keys: VecDeque<SegmentKey>,
    /// Where the chain stands: digest and last position of the segment before.
    before: Option<(String, SequenceNumber)>,
    after: Option<SequenceNumber>,
    through: SequenceNumber,
}

impl<'a, A: Archive> Feed<'a, A> {
    /// Records of `shard` strictly after `after`, from the first one when `None`, up to `through`.
    pub async fn open(
        archive: &'a A,
        stream: &str,
        shard: &ShardId,
        after: Option<SequenceNumber>,
        through: SequenceNumber,
    ) -> Result<Self> {
        let listed = archive.list(&keys::segments_of_shard(stream, shard)).await?;
        let mut keys: VecDeque<SegmentKey> = keys::chain_order(listed).0.into();
        // A segment ends where the next one starts: those that end before are not read.
        while after.is_some() && keys.get(1).is_some_and(|next| next.start <= after) {
            keys.pop_front();
        }
        Ok(Self { archive, keys, before: None, after, through })
    }

    /// The next records, at least one, or `None` when all were given. [`Data`](ledgerline_domain::ErrorKind::Data)
    /// where the chain is broken, an object is damaged, or `through` is not reached; the message names the
    /// place.
    pub async fn next(&mut self) -> Result<Option<Vec<Sequenced<Envelope>>>> {
        while self.after.as_ref() < Some(&self.through) {
            let Some(key) = self.keys.pop_front() else {
                let end = self.after.as_ref().map_or("its beginning", |end| end.as_str());
                return Err(Error::data(format!(
                    "read the archive up to {}: it ends at {end}; `ledgerline archive check` looks for the rest",
                    self.through
                )));
            };
            let text = key.text();
            let (segment, sha256) = open(self.archive, &text).await?;
            self.check_link(&text, &segment)?;
            self.before = Some((sha256, segment.info().last.clone()));
            let mut rows = Vec::new();
            for row in segment.rows() {
                let row = row.map_err(|e| Error::new(e.kind(), format!("read {text}")).because(e))?;
                if Some(&row.sequence) > self.after.as_ref() && row.sequence <= self.through {
                    rows.push(row);
                }
            }
            self.after = Some(segment.info().last.clone().min(self.through.clone())).max(self.after.take());
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    fn check_link(&self, key: &str, segment: &SegmentReader) -> Result<()> {
        let info = segment.info();
        let broken = |why: String| {
            Error::data(format!("go on in the archive at {key}: {why}; `ledgerline archive check` names every fault"))
        };
        if info.key() != key {
            return Err(broken(format!("the object under this key is {}", info.key())));
        }
        match &self.before {
            None if info.start > self.after => {
                let start = info.start.as_ref().map(ToString::to_string).unwrap_or_default();
                Err(broken(format!("it follows position {start}, and what is before it is missing")))
            }
            None => Ok(()),
            Some((sha256, last)) => {
                let named = info.predecessor.as_ref().map(|link| &link.sha256);
                if info.start.as_ref() != Some(last) {
                    return Err(broken(format!("the segment before it ends at {last}, not where this one starts")));
                }
                if named != Some(sha256) {
                    return Err(broken("the segment before it is not the one that it was written after".to_owned()));
                }
                Ok(())
            }
        }
    }
}

async fn open<A: Archive>(archive: &A, key: &str) -> Result<(SegmentReader, String)> {
    let missing = || Error::data(format!("read {key}: the archive lists it but does not have it"));
    let object = archive.get(key).await?.ok_or_else(missing)?;
    let sha256 = digest(&object);
    let segment = SegmentReader::open(object).map_err(|e| Error::new(e.kind(), format!("read {key}")).because(e))?;
    Ok((segment, sha256))
}

/// How the records of `new` differ from those of `live`, in entities and money. In the report `live` is the
/// live generation and `archive` the new one.
///
/// Both may be kept up to date meanwhile: each entity is compared at the latest position that both have
/// reached.
pub async fn difference<E: Entities, F: Entities>(live: &E, new: &F, shards_of: ShardsOf<'_>) -> Result<Report> {
    let mut report = Report::default();
    let mut after = None;
    loop {
        let StoredPage { records: page, next } = live.stored(StoredPart::ALL, after.as_deref(), PAGE_RECORDS).await?;
        let keys: Vec<EntityKey> = page.iter().map(|stored| stored.key.clone()).collect();
        // Read before the records: everything up to here is in them.
        let reached = Reached::of(new, live, &keys, shards_of).await?;
        for (stored, new) in page.iter().zip(new.load(&keys).await?) {
            let reached = reached.entity(&shards_of(&stored.key));
            one(&mut report, &EntityRecord::decode(&stored.binary)?, new, reached.as_ref())?;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    let mut after = None;
    loop {
        let StoredPage { records: page, next } = new.stored(StoredPart::ALL, after.as_deref(), PAGE_RECORDS).await?;
        report.entities += page.len() as u64;
        let keys: Vec<EntityKey> = page.iter().map(|stored| stored.key.clone()).collect();
        let reached = Reached::of(live, new, &keys, shards_of).await?;
        for (stored, known) in page.iter().zip(live.load(&keys).await?) {
            if known.is_some() {
                continue;
            }
            let record = EntityRecord::decode(&stored.binary)?;
            let oldest = record.entries.iter().map(|entry| &entry.delivery.sequence).min().unwrap_or(&record.through);
            if reached.entity(&shards_of(&stored.key)).is_some_and(|reached| *oldest <= reached) {
                report.note_missing_in_live(record.key.clone(), &money(None, Some(&record)));
            } else {
                report.not_yet_folded += 1;
            }
        }
        after = next;
        if after.is_none() {
            return Ok(report.finish());
        }
    }
}

fn one(
    report: &mut Report,
    live: &EntityRecord,
    new: Option<EntityRecord>,
    reached: Option<&SequenceNumber>,
) -> Result<()> {
    let Some(new) = new else {
        let oldest = live.entries.iter().map(|entry| &entry.delivery.sequence).min().unwrap_or(&live.through);
        if reached.is_some_and(|reached| oldest <= reached) {
            report.note_missing_in_archive(live.key.clone(), &money(Some(live), None));
        } else {
            report.not_yet_archived += 1;
        }
        return Ok(());
    };
    let same = same_but_for_revision(&live.encode_binary(Vec::new())?, &new.encode_binary(Vec::new())?);
    let through = reached.unwrap_or(&new.through).clone().max(new.through.clone());
    match if same { Verdict::Equal } else { compare(live, &new, &through, Some(&live.through)) } {
        Verdict::Equal => report.equal += 1,
        Verdict::Differs(drift) => report.note_drift(drift),
    }
    Ok(())
}

/// How far a store is on the shards of some entities. A shard of which no store has anything is left out.
struct Reached(BTreeMap<ShardId, Option<SequenceNumber>>);

impl Reached {
    async fn of<E: Entities, F: Entities>(
        store: &E,
        other: &F,
        keys: &[EntityKey],
        shards_of: ShardsOf<'_>,
    ) -> Result<Self> {
        let mut found = BTreeMap::new();
        for shard in keys.iter().flat_map(shards_of).collect::<std::collections::BTreeSet<_>>() {
            let checkpoint = store.checkpoint(&shard).await?;
            if checkpoint.is_some() || other.checkpoint(&shard).await?.is_some() {
                found.insert(shard, checkpoint);
            }
        }
        Ok(Self(found))
    }

    /// Everything about an entity up to here is in the store: to the end, where all of its shards are at their ends.
    fn entity(&self, shards: &[ShardId]) -> Option<SequenceNumber> {
        let known = || shards.iter().filter(|shard| self.0.contains_key(*shard));
        let at = |shard| self.0.get(shard).and_then(Option::as_ref);
        let last = reach(known(), |shard| at(shard).filter(|at| !at.is_shard_end())).cloned();
        let all_ended = known().next().is_some() && known().all(|shard| at(shard).is_some_and(|at| at.is_shard_end()));
        last.or_else(|| all_ended.then(SequenceNumber::shard_end))
    }
}

#[cfg(test)]
mod tests;
