//! One batch of a shard as pure steps: read envelopes, group them per entity, fold, decide.
//!
//! No I/O in here: [`Batch::read`] says which entities it needs, [`Batch::fold`] takes their records
//! and gives one [`Commit`]. The same input gives the same commit, so a batch can be read and tried
//! again with fresher records.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashTable;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::{self, Fate, Incoming};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::interpret::{Interpreted, Reading, interpret};
use ledgerline_domain::ports::{Commit, EntityWrite, Quarantined, Sequenced};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::trace::{Delivery, Traces};
use ledgerline_domain::{Error, Result, quarantine};

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

impl Counts {
    /// How often that fate befell one.
    fn of(&mut self, fate: Fate) -> &mut u64 {
        match fate {
            Fate::Appended => &mut self.appended,
            Fate::Merged => &mut self.merged,
            Fate::Duplicate => &mut self.duplicates,
            Fate::Contradiction => &mut self.contradictions,
            Fate::Unreadable => &mut self.unreadable,
            Fate::Seen => &mut self.seen,
        }
    }

    /// Adds those of another batch.
    pub fn add(&mut self, other: Self) {
        self.appended += other.appended;
        self.merged += other.merged;
        self.duplicates += other.duplicates;
        self.contradictions += other.contradictions;
        self.unreadable += other.unreadable;
        self.unknown += other.unknown;
        self.seen += other.seen;
    }
}

/// A batch, read and grouped.
pub struct Batch {
    shard: ShardId,
    checkpoint: SequenceNumber,
    records: Arc<Vec<Sequenced<Bytes>>>,
    keys: Vec<EntityKey>,
    /// One per key.
    groups: Vec<Group>,
    /// In the log's order.
    events: Vec<Event>,
    parked: Vec<Quarantined>,
    unidentified: u64,
    told: Vec<Told>,
}

/// A record whose trace is told.
pub(crate) struct Told {
    pub(crate) delivery: Delivery,
    /// Its place among the batch's records.
    pub(crate) record: usize,
    /// What became of it, as in the metrics; known when the batch is folded.
    pub(crate) fate: &'static str,
}

/// The events of one entity: a chain through the batch's.
struct Group {
    first: usize,
    last: usize,
    events: usize,
}

/// One event, with what the quarantine would need of it.
struct Event {
    incoming: Option<Incoming>,
    reason: Option<String>,
    known: bool,
    /// Its place among the batch's records.
    record: usize,
    /// The next event of its group.
    next: usize,
}

/// Takes a group's events out, in the log's order.
struct Chain<'a> {
    events: &'a mut [Event],
    next: usize,
    left: usize,
}

impl Iterator for Chain<'_> {
    type Item = Incoming;

    fn next(&mut self) -> Option<Incoming> {
        self.left = self.left.checked_sub(1)?;
        let event = self.events.get_mut(self.next)?;
        self.next = event.next;
        event.incoming.take()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl Batch {
    /// Reads the records of one shard. `records` must not be empty.
    ///
    /// A record that is no envelope of this program cannot have been written by it: that is an
    /// [`Data`](ledgerline_domain::ErrorKind::Data) error, and the shard stops rather than skip it.
    pub fn read(shard: &ShardId, records: Arc<Vec<Sequenced<Bytes>>>, sources: &Arc<Sources>) -> Result<Self> {
        Self::read_traced(shard, records, sources, &Traces::default())
    }

    /// The same, and remembers which of them are told.
    pub(crate) fn read_traced(
        shard: &ShardId,
        records: Arc<Vec<Sequenced<Bytes>>>,
        sources: &Arc<Sources>,
        traces: &Traces,
    ) -> Result<Self> {
        let last = records.last().ok_or_else(|| Error::internal("read a batch: it is empty"))?;
        let mut batch = Self {
            shard: shard.clone(),
            checkpoint: last.sequence.clone(),
            records: records.clone(),
            keys: Vec::new(),
            groups: Vec::new(),
            events: Vec::with_capacity(records.len()),
            parked: Vec::new(),
            unidentified: 0,
            told: Vec::new(),
        };
        // Keys come from providers, so the hash is keyed at random.
        let hasher = foldhash::fast::RandomState::default();
        let mut places: HashTable<usize> = HashTable::new();
        for (place, record) in records.iter().enumerate() {
            let envelope = Envelope::decode_without_evidence(&record.value)
                .map_err(|e| Error::data(format!("read record {} of {shard}", record.sequence)).because(e))?;
            let told = traces.of_envelope(&envelope);
            let reading = interpret(sources, envelope, &record.sequence);
            if let (Some(delivery), false) = (told, matches!(reading, Reading::Original)) {
                // One that is not folded is unreadable.
                batch.told.push(Told { delivery, record: place, fate: "unreadable" });
            }
            match reading {
                Reading::Original => {}
                Reading::Unreadable(reason) => {
                    batch.unidentified += 1;
                    batch.parked.push(quarantined(shard, record, reason)?);
                }
                Reading::Event(Interpreted { entity: key, incoming, reason, known }) => {
                    let hash = hasher.hash_one(key.as_str());
                    let group = places.find(hash, |at| batch.keys[*at] == key).copied();
                    let event = Event { incoming: Some(incoming), reason, known, record: place, next: 0 };
                    batch.push(group, event);
                    if group.is_none() {
                        batch.keys.push(key);
                        let keys = &batch.keys;
                        places.insert_unique(hash, keys.len() - 1, |at| hasher.hash_one(keys[*at].as_str()));
                    }
                }
            }
        }
        Ok(batch)
    }

    /// Adds an event to a group, or begins one.
    fn push(&mut self, group: Option<usize>, event: Event) {
        let at = self.events.len();
        self.events.push(event);
        match group.and_then(|group| self.groups.get_mut(group)) {
            Some(group) => {
                self.events[group.last].next = at;
                (group.last, group.events) = (at, group.events + 1);
            }
            None => self.groups.push(Group { first: at, last: at, events: 1 }),
        }
    }

    /// The entities whose records [`fold`](Self::fold) needs, in its order.
    pub fn keys(&self) -> &[EntityKey] {
        &self.keys
    }

    /// Folds the batch onto `records` (one place per key) into one commit.
    pub fn fold(self, records: Vec<Option<EntityRecord>>) -> Result<(Commit, Counts)> {
        self.fold_traced(records).map(|(commit, counts, _)| (commit, counts))
    }

    /// The same, and gives the fates of those that are told.
    pub(crate) fn fold_traced(mut self, records: Vec<Option<EntityRecord>>) -> Result<(Commit, Counts, Vec<Told>)> {
        if records.len() != self.keys.len() {
            return Err(Error::internal("fold a batch: the store gave another number of records than was asked for"));
        }
        let mut counts = Counts { unreadable: self.unidentified, ..Counts::default() };
        let mut writes = Vec::with_capacity(self.keys.len());
        let mut parked = self.parked;
        for ((key, group), record) in self.keys.iter().zip(self.groups).zip(records) {
            let expected_revision = record.as_ref().map_or(0, |r| r.revision);
            let chain = Chain { events: &mut self.events, next: group.first, left: group.events };
            let (record, fates) = fold::apply(key, record, chain);
            let mut at = group.first;
            for fate in fates {
                let event = &mut self.events[at];
                at = event.next;
                if let Ok(told) = self.told.binary_search_by_key(&event.record, |told| told.record) {
                    self.told[told].fate = word(fate);
                }
                counts.unknown += u64::from(!event.known && matches!(fate, Fate::Appended | Fate::Merged));
                *counts.of(fate) += 1;
                if let Some(reason) = quarantine::reason(fate, event.reason.take()) {
                    parked.push(quarantined(&self.shard, &self.records[event.record], reason)?);
                }
            }
            if record.revision != expected_revision {
                writes.push(EntityWrite { record, expected_revision });
            }
        }
        Ok((Commit { shard: self.shard, checkpoint: self.checkpoint, writes, parked }, counts, self.told))
    }
}

/// The fate as the metrics name it.
fn word(fate: Fate) -> &'static str {
    match fate {
        Fate::Appended => "appended",
        Fate::Merged => "late",
        Fate::Duplicate => "duplicate",
        Fate::Contradiction => "contradiction",
        Fate::Unreadable => "unreadable",
        Fate::Seen => "seen",
    }
}

fn quarantined(shard: &ShardId, record: &Sequenced<Bytes>, reason: String) -> Result<Quarantined> {
    let envelope = Envelope::decode_without_evidence(&record.value)?;
    // A copy of its own: the batch's buffer must not live as long as the item.
    let encoded = Bytes::copy_from_slice(&record.value);
    Quarantined::new(Quarantined::id_of(shard, &record.sequence), &envelope, encoded, reason)
}
