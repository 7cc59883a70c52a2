//! Proves the live state: folds the archive and compares, entity by entity, byte for byte (I8).
//!
//! It may run beside a working processor and archiver. The live state may be ahead of the archive
//! or behind it; each entity is compared at the latest position that both have reached, and what
//! only one can have by now is counted, not called drift.

use std::collections::HashMap;

use ledgerline_domain::Result;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Entities, Stored, StoredPage};
use ledgerline_domain::record::{EntityRecord, same_but_for_revision};

use crate::chain::OnProgress;
use crate::compare::{Verdict, compare, money};
use crate::rebuild::{Input, Rebuilt, rebuild};
use crate::report::Report;

/// Live records per page.
const PAGE_RECORDS: usize = 1000;

/// Says in which shard an entity's events lie.
pub type ShardOf<'a> = &'a (dyn Fn(&EntityKey) -> Option<ShardId> + Send + Sync);

/// Folds the archive and compares with the live state.
///
/// `shard_of` decides whether an entity that only the live state has should be archived by now;
/// where it does not know, the entity counts as not yet archived.
pub async fn verify<A: Archive, E: Entities>(
    archive: &A,
    entities: &E,
    input: &Input<'_>,
    shard_of: ShardOf<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Report> {
    let rebuilt = rebuild(archive, input, on_progress).await?;
    let mut folded = HashMap::new();
    for chain in &rebuilt.chain.shards {
        // Read before the records: everything up to here is in them.
        if let Some(checkpoint) = entities.checkpoint(&chain.shard).await? {
            folded.insert(chain.shard.clone(), checkpoint);
        }
    }
    let Rebuilt { mut records, counts, signatures, chain } = rebuilt;
    let mut report = Report { entities: records.len() as u64, counts, signatures, chain, ..Report::default() };
    let mut after = None;
    loop {
        let StoredPage { records: page, next } = entities.stored(after.as_deref(), PAGE_RECORDS).await?;
        for stored in &page {
            match records.remove(&stored.key) {
                Some((shard, archived)) => both(&mut report, stored, &shard, &archived, &folded)?,
                None => only_live(&mut report, &EntityRecord::decode(&stored.binary)?, shard_of),
            }
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    for (shard, archived) in records.into_sorted() {
        only_archived(&mut report, &archived?, folded.get(&shard));
    }
    Ok(report.finish())
}

/// The bytes tell most often: only records that are not written the same are taken apart.
fn both(
    report: &mut Report,
    live: &Stored,
    shard: &ShardId,
    archived: &[u8],
    folded: &HashMap<ShardId, SequenceNumber>,
) -> Result<()> {
    if same_but_for_revision(&live.binary, archived) {
        report.equal += 1;
        return Ok(());
    }
    let (live, archived) = (EntityRecord::decode(&live.binary)?, EntityRecord::decode(archived)?);
    let through = report.chain.through(shard).unwrap_or(&archived.through).clone();
    report.ahead += u64::from(live.through > through);
    match compare(&live, &archived, &through, folded.get(shard)) {
        Verdict::Equal => report.equal += 1,
        Verdict::Differs(drift) => report.note_drift(drift),
    }
    Ok(())
}

fn only_live(report: &mut Report, live: &EntityRecord, shard_of: ShardOf<'_>) {
    let through = shard_of(&live.key).and_then(|shard| report.chain.through(&shard).cloned());
    let oldest = live.entries.iter().map(|entry| &entry.delivery.sequence).min().unwrap_or(&live.through);
    if through.is_some_and(|through| *oldest <= through) {
        report.note_missing_in_archive(live.key.clone(), &money(Some(live), None));
    } else {
        report.not_yet_archived += 1;
    }
}

fn only_archived(report: &mut Report, record: &EntityRecord, folded: Option<&SequenceNumber>) {
    let oldest = record.entries.iter().map(|entry| &entry.delivery.sequence).min().unwrap_or(&record.through);
    if folded.is_some_and(|folded| oldest <= folded) {
        report.note_missing_in_live(record.key.clone(), &money(None, Some(record)));
    } else {
        report.not_yet_folded += 1;
    }
}
