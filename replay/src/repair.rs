//! Repair: the entities whose live record is not what the archive folds to are written again, and only
//! they. Folded with corrected provider files, that is how a correction reaches the past.
//!
//! A repaired record goes the way of every write: conditional on the revision that was compared. So it
//! may run beside a working processor; where that was faster, the entity is looked at once more. An
//! entity with events that are not archived yet is left for later: its record would lose them.

use std::collections::HashMap;

use ledgerline_domain::fold::{Fate, settle, take};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::{Archive, Commit, Entities, EntityWrite, Quarantine, Quarantined};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{ErrorKind, Result, quarantine};
use serde::Serialize;

use crate::compare::{Verdict, compare, money};
use crate::lineage::{ShardsOf, reach};
use crate::lookup::events_of;
use crate::rebuild::Rebuilt;
use crate::report::{Drift, MoneyDifference, add_money};

/// Most entities kept by name; further ones are counted.
pub const NAMED_MAX: usize = 1000;
/// Live records loaded at a time.
const PAGE_RECORDS: usize = 500;
/// How often an entity is looked at again after somebody else wrote it.
const CONFLICTS_MAX: u32 = 8;

/// What a repair found, and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RepairReport {
    /// Archived entities that were compared.
    pub compared: u64,
    /// Entities that differ, with those that have no live record.
    pub differing: u64,
    /// The first [`NAMED_MAX`] of them; `live` is before, `archive` after the repair.
    pub named: Vec<Drift>,
    /// What the differences come to, by currency and figure.
    pub money: Vec<MoneyDifference>,
    /// Differing entities that are left as they are, because the provider files of today read their events
    /// otherwise than the state was folded with, and that is not to be changed.
    pub read_otherwise: u64,
    /// Differing entities with events that are not archived yet: to be repaired later.
    pub waiting: u64,
    /// Entities that were written.
    pub repaired: u64,
    /// Events that were put into the quarantine.
    pub parked: u64,
    /// Events that left the quarantine because they count now.
    pub released: u64,
}

/// The world of a repair.
pub struct Repair<'a, A, E> {
    /// The archive.
    pub archive: &'a A,
    /// Its stream.
    pub stream: &'a str,
    /// The live state.
    pub entities: &'a E,
    /// The provider files that the archive was folded with.
    pub sources: &'a Sources,
    /// In which shards an entity's events lie.
    pub shards_of: ShardsOf<'a>,
    /// Whether an entity is to be looked at.
    pub wanted: &'a (dyn Fn(&EntityKey) -> bool + Send + Sync),
    /// Whether entities are written whose events are read otherwise than they were.
    pub reinterpret: bool,
    /// When events leave the quarantine.
    pub now: UnixNanos,
}

/// How far the live state is on a shard.
struct Folded {
    /// As it is stored.
    checkpoint: SequenceNumber,
    /// As a position.
    through: SequenceNumber,
}

/// An entity that differs.
struct Found {
    live: Option<EntityRecord>,
    archived: EntityRecord,
    /// The last of its shards that was reached: the write names its checkpoint.
    shard: ShardId,
    drift: Drift,
    waits: bool,
    /// Whether an event that both know is read otherwise.
    read_otherwise: bool,
}

impl<A: Archive, E: Entities + Quarantine> Repair<'_, A, E> {
    /// Compares what the archive folds to with the live state and writes nothing.
    pub async fn plan(&self, rebuilt: &Rebuilt) -> Result<RepairReport> {
        self.go(rebuilt, false, &mut |_| {}).await
    }

    /// Compares and repairs. `on_progress` is told the report so far after every page of records, and
    /// may block to hold the rate down.
    pub async fn repair(
        &self,
        rebuilt: &Rebuilt,
        on_progress: &mut (dyn FnMut(&RepairReport) + Send),
    ) -> Result<RepairReport> {
        self.go(rebuilt, true, on_progress).await
    }

    async fn go(
        &self,
        rebuilt: &Rebuilt,
        write: bool,
        on_progress: &mut (dyn FnMut(&RepairReport) + Send),
    ) -> Result<RepairReport> {
        let mut report = RepairReport::default();
        let mut records = rebuilt.records().filter(|r| r.as_ref().map_or(true, |r| (self.wanted)(&r.key)));
        loop {
            let page: Vec<EntityRecord> = records.by_ref().take(PAGE_RECORDS).collect::<Result<_>>()?;
            if page.is_empty() {
                break;
            }
            report.compared += page.len() as u64;
            let folded = self.checkpoints(&page, rebuilt).await?;
            let keys: Vec<EntityKey> = page.iter().map(|record| record.key.clone()).collect();
            let live = self.entities.load(&keys).await?;
            for (archived, live) in page.into_iter().zip(live) {
                let Some(found) = self.differs(rebuilt, live, archived, &folded) else { continue };
                if found.read_otherwise && !self.reinterpret {
                    report.read_otherwise += 1;
                    continue;
                }
                report.note(&found);
                if write && !found.waits {
                    self.write(rebuilt, found, &folded, &mut report).await?;
                }
            }
            on_progress(&report);
        }
        report.money.retain(|sum| sum.difference != 0);
        report.money.sort_by(|a, b| a.currency.cmp(&b.currency).then(a.figure.cmp(b.figure)));
        Ok(report)
    }

    /// How far the live state is, for the shards of these records. Read before the records: everything
    /// up to there is in them.
    async fn checkpoints(&self, page: &[EntityRecord], rebuilt: &Rebuilt) -> Result<HashMap<ShardId, Folded>> {
        let mut found = HashMap::new();
        for shard in page.iter().flat_map(|record| (self.shards_of)(&record.key)) {
            if !found.contains_key(&shard)
                && let Some(checkpoint) = self.entities.checkpoint(&shard).await?
            {
                // Of a closed shard that is folded to its end, all that is archived is.
                let end = rebuilt.chain.through(&shard).filter(|_| checkpoint.is_shard_end()).cloned();
                found.insert(shard, Folded { through: end.unwrap_or_else(|| checkpoint.clone()), checkpoint });
            }
        }
        Ok(found)
    }

    fn differs(
        &self,
        rebuilt: &Rebuilt,
        live: Option<EntityRecord>,
        archived: EntityRecord,
        folded: &HashMap<ShardId, Folded>,
    ) -> Option<Found> {
        let shards = (self.shards_of)(&archived.key);
        let on = |shard: &ShardId| folded.get(shard).map(|folded| &folded.through);
        let folded = reach(&shards, on)?;
        let shard = shards.iter().find(|shard| on(shard) == Some(folded))?.clone();
        let through = reach(&shards, |shard| rebuilt.chain.through(shard)).unwrap_or(&archived.through);
        let Some(live) = live else {
            let oldest = archived.entries.iter().map(|entry| &entry.delivery.sequence).min();
            // Newer ones come by themselves.
            if oldest.unwrap_or(&archived.through) > folded {
                return None;
            }
            let money = money(None, Some(&archived));
            let words = vec!["it has no live record".to_owned()];
            let drift = Drift { entity: archived.key.clone(), words, money, status: None };
            return Some(Found { live: None, archived, shard, drift, waits: false, read_otherwise: false });
        };
        let Verdict::Differs(drift) = compare(&live, &archived, through, Some(folded)) else { return None };
        let waits = live.through > *through;
        let read_otherwise = read_otherwise(&live, &archived);
        Some(Found { live: Some(live), archived, shard, drift, waits, read_otherwise })
    }

    /// Writes one record; after a conflict it is compared again with what is there now.
    async fn write(
        &self,
        rebuilt: &Rebuilt,
        mut found: Found,
        folded: &HashMap<ShardId, Folded>,
        report: &mut RepairReport,
    ) -> Result<()> {
        let key = found.archived.key.clone();
        for _ in 0..CONFLICTS_MAX {
            let Some(checkpoint) = folded.get(&found.shard).map(|folded| folded.checkpoint.clone()) else { break };
            let expected_revision = found.live.as_ref().map_or(0, |live| live.revision);
            let quarantine_differs =
                found.live.as_ref().is_none_or(|live| live.quarantined != found.archived.quarantined);
            let fates = if quarantine_differs { self.fates(&found).await? } else { Vec::new() };
            let parked: Vec<Quarantined> = fates.iter().filter_map(|fate| fate.1.clone()).collect();
            let parked_now = parked.len() as u64;
            let record = EntityRecord { revision: expected_revision + 1, ..found.archived.clone() };
            let shard = found.shard.clone();
            // The checkpoint is where it was: a repair is no progress of the processor.
            let commit = Commit { shard, checkpoint, writes: vec![EntityWrite { record, expected_revision }], parked };
            match self.entities.commit(commit).await {
                Ok(_) => {
                    for (id, _) in fates.iter().filter(|fate| fate.1.is_none()) {
                        report.released += u64::from(self.entities.mark_released(id, self.now).await?);
                    }
                    report.repaired += 1;
                    report.parked += parked_now;
                    return Ok(());
                }
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    let live = self.entities.load(std::slice::from_ref(&key)).await?.into_iter().next().flatten();
                    match self.differs(rebuilt, live, found.archived, folded) {
                        Some(again) if !again.waits => found = again,
                        Some(_) => break,
                        None => return Ok(()),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        report.waiting += 1;
        Ok(())
    }

    /// What becomes of each archived record of the entity: its name in the quarantine, and the item where
    /// it belongs there.
    async fn fates(&self, found: &Found) -> Result<Vec<(String, Option<Quarantined>)>> {
        let key = &found.archived.key;
        let mut record = EntityRecord::empty(key.clone());
        let mut fates = Vec::new();
        let shards = (self.shards_of)(key);
        // With several there may have been others, which the log no longer tells of.
        let alone = if let [shard] = &*shards { Some(shard) } else { None };
        for (shard, row) in events_of(self.archive, self.stream, alone, key).await? {
            if row.sequence > found.archived.through {
                break;
            }
            let envelope = row.value.clone();
            let (fate, reason) = match interpret(self.sources, row.value, &row.sequence) {
                Reading::Event(event) => (take(&mut record, event.incoming), event.reason),
                Reading::Unreadable(reason) => (Fate::Unreadable, Some(reason)),
                Reading::Original => continue,
            };
            settle(&mut record);
            let id = Quarantined::id_of(&shard, &row.sequence);
            let item = quarantine::reason(fate, reason)
                .map(|reason| Quarantined::new(id.clone(), &envelope, envelope.encode().into(), reason))
                .transpose()?;
            fates.push((id, item));
        }
        Ok(fates)
    }
}

/// Whether an event that both have has other facts, or counts in one and is in the quarantine of the other.
fn read_otherwise(live: &EntityRecord, archived: &EntityRecord) -> bool {
    let known: HashMap<_, _> = live.entries.iter().map(|entry| (&entry.id, &entry.digest)).collect();
    archived.entries.iter().any(|entry| known.get(&entry.id).is_some_and(|digest| **digest != entry.digest))
        || archived.entries.iter().any(|entry| live.quarantined.contains(&entry.id))
        || live.entries.iter().any(|entry| archived.quarantined.contains(&entry.id))
}

impl RepairReport {
    fn note(&mut self, found: &Found) {
        self.differing += 1;
        self.waiting += u64::from(found.waits);
        add_money(&mut self.money, &found.drift.money);
        if self.named.len() < NAMED_MAX {
            self.named.push(found.drift.clone());
        }
    }
}
