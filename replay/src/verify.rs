//! Proves the live state: folds the archive and compares, entity by entity, byte for byte (I8).
//!
//! It may run beside a working processor and archiver. The live state may be ahead of the archive
//! or behind it; each entity is compared at the latest position that both have reached, and what
//! only one can have by now is counted, not called drift.

use std::collections::{HashMap, VecDeque};

use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Entities, Stored, StoredPage, StoredPart};
use ledgerline_domain::record::{EntityRecord, same_but_for_revision};
use ledgerline_domain::{Error, Result};

use crate::chain::{ChainReport, OnProgress};
use crate::cold::Lying;
use crate::compare::{Verdict, compare, money};
use crate::crew::{owner_of, together};
use crate::fetch::Ahead;
use crate::histories::{Fates, Histories};
use crate::lineage::{ShardsOf, reach};
use crate::pass::{Order, Pass, Shards, pass};
use crate::rebuild::Input;
use crate::report::Report;
use crate::spilled::Compared;
use crate::within::Within;

/// Live records per page.
const PAGE_RECORDS: usize = 1000;
/// Parts of the live records per thread, which are read side by side.
const PARTS: usize = 2;
/// Records that are brought into the processor's cache at once.
const TOUCHED: usize = 32;

/// Folds the archive and compares with the live state.
///
/// `shards_of` decides whether an entity that only the live state has should be archived by now;
/// where it does not know, the entity counts as not yet archived.
pub async fn verify<A: Archive, E: Entities>(
    archive: &A,
    entities: &E,
    input: &Input<'_>,
    shards_of: ShardsOf<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Report> {
    for order in [Order::SideBySide, Order::OneByOne] {
        if let Some(report) = attempt(archive, entities, input, shards_of, order, &mut *on_progress).await? {
            return Ok(report);
        }
    }
    Err(Error::internal("fold the archive: no order was tried"))
}

/// Does it in that order; nothing when that would count and is not the archive's own.
async fn attempt<A: Archive, E: Entities>(
    archive: &A,
    entities: &E,
    input: &Input<'_>,
    shards_of: ShardsOf<'_>,
    order: Order,
    on_progress: OnProgress<'_>,
) -> Result<Option<Report>> {
    let pass = pass(archive, input, Within::default(), order, on_progress).await?;
    let Pass { mut histories, shards, mut counts, signatures, chain, .. } = pass;
    let mut folded = HashMap::new();
    for chain in &chain.shards {
        // Read before the records: everything up to here is in them.
        let checkpoint = entities.checkpoint(&chain.shard).await?;
        // Of a closed shard that is folded to its end, all that is archived is.
        let end = checkpoint.as_ref().filter(|at| at.is_shard_end()).and(chain.through.clone());
        folded.extend(end.or(checkpoint).map(|at| (chain.shard.clone(), at)));
    }
    let seen = Seen { shards: &shards, chain: &chain, folded: &folded, shards_of };
    let here = histories.iter().map(|histories| histories.len() as u64).sum();
    let mut report = Report { entities: here, ..Report::default() };
    let of = u32::try_from(histories.len() * PARTS).unwrap_or(1);
    let page = |part, after: Option<String>| async move { entities.stored(part, after.as_deref(), PAGE_RECORDS).await };
    let mut coming = VecDeque::new();
    for number in 0..of {
        let part = StoredPart { number, of };
        coming.push_back((part, Ahead::start(page(part, None)).await));
    }
    while !coming.is_empty() {
        // One page for each thread; the others are read meanwhile.
        let mut pages = Vec::new();
        for (part, ahead) in coming.drain(..histories.len().min(coming.len())).collect::<Vec<_>>() {
            let StoredPage { records, next } = ahead.wait().await?;
            pages.push(records);
            if next.is_some() {
                coming.push_back((part, Ahead::start(page(part, next)).await));
            }
        }
        let threads = histories.len();
        let work = histories.iter_mut().enumerate();
        for done in together(work, |(me, histories)| {
            let own = pages.iter().flatten().filter(|live| owner_of(&live.key, threads) == me);
            compare_with(histories, own, input, &seen)
        }) {
            report.add(done?);
        }
    }
    for done in together(histories.into_iter(), |histories| finish(histories, &seen)) {
        let (part, fates) = done?;
        if fates.crossed && order == Order::SideBySide {
            return Ok(None);
        }
        report.add(part);
        counts.add(&fates.counts);
    }
    Ok(Some(Report { counts, signatures, chain, ..report }.finish()))
}

/// Compares live records with one thread's histories.
fn compare_with<'a>(
    histories: &mut Histories,
    all: impl Iterator<Item = &'a Stored>,
    input: &Input<'_>,
    seen: &Seen<'_>,
) -> Result<Report> {
    let (mut report, mut skipped) = (Report::default(), 0);
    let mut coming = Vec::with_capacity(TOUCHED);
    let mut all = all.filter(|live| {
        let wanted = input.only.is_none_or(|only| only(&live.key));
        skipped += u64::from(!wanted);
        wanted
    });
    loop {
        coming.extend(all.by_ref().take(TOUCHED).map(|live| (histories.hash(&live.key), live)));
        if coming.is_empty() {
            break;
        }
        histories.touch(coming.iter().map(|(hash, _)| *hash));
        for (hash, live) in coming.drain(..) {
            let mut comparing = Comparing { seen, report: &mut report };
            histories.compare(hash, &live.key, &live.binary, &mut comparing)?;
        }
    }
    report.not_compared = skipped;
    Ok(report)
}

/// Compares what is left of one thread's histories.
fn finish(histories: Histories, seen: &Seen<'_>) -> Result<(Report, Fates)> {
    let mut report = Report::default();
    let (fates, entities) = histories.finish_comparing(&mut Comparing { seen, report: &mut report })?;
    report.entities = entities;
    Ok((report, fates))
}

/// How far archive and live state are.
struct Seen<'a> {
    shards: &'a Shards,
    chain: &'a ChainReport,
    folded: &'a HashMap<ShardId, SequenceNumber>,
    shards_of: ShardsOf<'a>,
}

impl Seen<'_> {
    /// Everything about an entity up to here is in the archive. `first` is the number of the shard of its first
    /// archived event.
    fn archived(&self, key: &EntityKey, first: Option<u16>) -> Option<SequenceNumber> {
        let shards = self.shards_of(key, first);
        reach(&shards, |shard| self.chain.through(shard)).cloned()
    }

    /// Everything about an entity up to here is in the live state.
    fn folded(&self, key: &EntityKey, first: Option<u16>) -> Option<SequenceNumber> {
        let shards = self.shards_of(key, first);
        reach(&shards, |shard| self.folded.get(shard)).cloned()
    }

    fn shards_of(&self, key: &EntityKey, first: Option<u16>) -> Vec<ShardId> {
        let mut shards = (self.shards_of)(key);
        shards.extend(first.and_then(|first| self.shards.get(first)).cloned());
        shards
    }
}

/// Notes in the report what the comparisons give.
struct Comparing<'a> {
    seen: &'a Seen<'a>,
    report: &'a mut Report,
}

impl Compared for Comparing<'_> {
    /// The bytes tell most often: only records that are not written the same are taken apart.
    fn both(&mut self, _: &EntityKey, live: &[u8], archived: Lying<'_>) -> Result<()> {
        if same_but_for_revision(live, archived.binary) {
            self.report.equal += 1;
            return Ok(());
        }
        let first = Some(archived.shard);
        let (live, archived) = (EntityRecord::decode(live)?, archived.record()?);
        let through = self.seen.archived(&live.key, first).unwrap_or_else(|| archived.through.clone());
        self.report.ahead += u64::from(live.through > through);
        match compare(&live, &archived, &through, self.seen.folded(&live.key, first).as_ref()) {
            Verdict::Equal => self.report.equal += 1,
            Verdict::Differs(drift) => self.report.note_drift(drift),
        }
        Ok(())
    }

    fn only_live(&mut self, _: &EntityKey, live: &[u8]) -> Result<()> {
        let live = EntityRecord::decode(live)?;
        let through = self.seen.archived(&live.key, None);
        let oldest = live.entries.iter().map(|entry| &entry.delivery.sequence).min().unwrap_or(&live.through);
        if through.is_some_and(|through| *oldest <= through) {
            self.report.note_missing_in_archive(live.key.clone(), &money(Some(&live), None));
        } else {
            self.report.not_yet_archived += 1;
        }
        Ok(())
    }

    fn only_archived(&mut self, archived: Lying<'_>) -> Result<()> {
        let record = archived.record()?;
        let folded = self.seen.folded(&record.key, Some(archived.shard));
        let oldest = record.entries.iter().map(|entry| &entry.delivery.sequence).min().unwrap_or(&record.through);
        if folded.is_some_and(|folded| *oldest <= folded) {
            self.report.note_missing_in_live(record.key.clone(), &money(None, Some(&record)));
        } else {
            self.report.not_yet_folded += 1;
        }
        Ok(())
    }
}
