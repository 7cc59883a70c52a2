//! One batch of a shard as pure steps: read envelopes, group them per entity, fold, decide.
//!
//! No I/O in here: [`Batch::read`] says which entities it needs, [`Batch::fold`] takes their records
//! and gives one [`Commit`]. The same input gives the same commit, so a batch can be read and tried
//! again with fresher records.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::{self, Fate, Incoming};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::interpret::{Interpreted, Reading, interpret};
use ledgerline_domain::ports::{Commit, EntityWrite, Quarantined, Sequenced};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::{Error, Result};

/// How often each fate befell the events of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// New, at the end of its entity's history.
    pub appended: u64,
    /// New, and put before events that came earlier.
    pub merged: u64,
    /// Further copies.
    pub duplicates: u64,
    /// Quarantined: same id, other facts.
    pub contradictions: u64,
    /// Quarantined: not readable.
    pub unreadable: u64,
    /// New, of a type that the provider's file does not name: kept, and changes no money.
    pub unknown: u64,
    /// Read again after a restart or by a second worker; nothing to do.
    pub seen: u64,
}

/// A batch, read and grouped.
pub struct Batch {
    shard: ShardId,
    checkpoint: SequenceNumber,
    keys: Vec<EntityKey>,
    groups: Vec<Vec<Event>>,
    parked: Vec<Quarantined>,
    unidentified: u64,
}

/// One event of a group, with what the quarantine would need of it.
struct Event {
    incoming: Incoming,
    reason: Option<String>,
    known: bool,
    sequenced: (SequenceNumber, Bytes),
}

impl Batch {
    /// Reads the records of one shard. `records` must not be empty.
    ///
    /// A record that is no envelope of this program cannot have been written by it: that is an
    /// [`Data`](ledgerline_domain::ErrorKind::Data) error, and the shard stops rather than skip it.
    pub fn read(shard: &ShardId, records: &[Sequenced<Bytes>], sources: &Arc<Sources>) -> Result<Self> {
        let last = records.last().ok_or_else(|| Error::internal("read a batch: it is empty"))?;
        let mut batch = Self {
            shard: shard.clone(),
            checkpoint: last.sequence.clone(),
            keys: Vec::new(),
            groups: Vec::new(),
            parked: Vec::new(),
            unidentified: 0,
        };
        let mut places: HashMap<EntityKey, usize> = HashMap::with_capacity(records.len());
        for record in records {
            let envelope = Envelope::decode_without_evidence(&record.value)
                .map_err(|e| Error::data(format!("read record {} of {shard}", record.sequence)).because(e))?;
            match interpret(sources, envelope, &record.sequence) {
                Reading::Original => {}
                Reading::Unreadable(reason) => {
                    batch.unidentified += 1;
                    batch.parked.push(quarantined(shard, &record.sequence, reason, &record.value)?);
                }
                Reading::Event(Interpreted { entity: key, incoming, reason, known }) => {
                    let event =
                        Event { incoming, reason, known, sequenced: (record.sequence.clone(), record.value.clone()) };
                    match places.get(&key) {
                        Some(at) => batch.groups[*at].push(event),
                        None => {
                            places.insert(key.clone(), batch.keys.len());
                            batch.keys.push(key);
                            batch.groups.push(vec![event]);
                        }
                    }
                }
            }
        }
        Ok(batch)
    }

    /// The entities whose records [`fold`](Self::fold) needs, in its order.
    pub fn keys(&self) -> &[EntityKey] {
        &self.keys
    }

    /// Folds the batch onto `records` (one place per key) into one commit.
    pub fn fold(self, records: Vec<Option<EntityRecord>>) -> Result<(Commit, Counts)> {
        if records.len() != self.keys.len() {
            return Err(Error::internal("fold a batch: the store gave another number of records than was asked for"));
        }
        let mut counts = Counts { unreadable: self.unidentified, ..Counts::default() };
        let mut writes = Vec::with_capacity(self.keys.len());
        let mut parked = self.parked;
        for ((key, events), record) in self.keys.iter().zip(self.groups).zip(records) {
            let expected_revision = record.as_ref().map_or(0, |r| r.revision);
            let (events, origins): (Vec<_>, Vec<_>) =
                events.into_iter().map(|event| (event.incoming, (event.reason, event.known, event.sequenced))).unzip();
            let (record, fates) = fold::apply(key, record, events);
            for ((reason, known, origin), fate) in origins.into_iter().zip(fates) {
                counts.unknown += u64::from(!known && matches!(fate, Fate::Appended | Fate::Merged));
                let reason = match fate {
                    Fate::Appended => {
                        counts.appended += 1;
                        continue;
                    }
                    Fate::Merged => {
                        counts.merged += 1;
                        continue;
                    }
                    Fate::Duplicate => {
                        counts.duplicates += 1;
                        continue;
                    }
                    Fate::Seen => {
                        counts.seen += 1;
                        continue;
                    }
                    Fate::Unreadable => {
                        counts.unreadable += 1;
                        reason.unwrap_or_default()
                    }
                    Fate::Contradiction => {
                        counts.contradictions += 1;
                        "another event with this id and other facts was accepted before".to_owned()
                    }
                };
                let (sequence, envelope) = origin;
                parked.push(quarantined(&self.shard, &sequence, reason, &envelope)?);
            }
            if record.revision != expected_revision {
                writes.push(EntityWrite { record, expected_revision });
            }
        }
        Ok((Commit { shard: self.shard, checkpoint: self.checkpoint, writes, parked }, counts))
    }
}

fn quarantined(shard: &ShardId, sequence: &SequenceNumber, reason: String, bytes: &Bytes) -> Result<Quarantined> {
    let envelope = Envelope::decode_without_evidence(bytes)?;
    Ok(Quarantined {
        id: format!("{shard}:{sequence}"),
        source: envelope.source_name()?,
        entity: envelope.event.entity.clone(),
        event_id: envelope.event.id.to_string(),
        reason,
        received_at: envelope.received_at,
        // A copy of its own: the batch's buffer must not live as long as the item.
        envelope: Bytes::copy_from_slice(bytes),
        released_at: None,
    })
}
