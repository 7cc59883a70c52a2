//! The records that an archive folds to: those of recent events as they are, the others in their
//! stored form, which takes a fraction of the memory and is what a live record is compared with.
//!
//! Events of one entity mostly lie close together, so nearly every record is written once. A late
//! event reads its record back.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use ledgerline_domain::Result;
use ledgerline_domain::fold::{Fate, Incoming, settle, take};
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::record::EntityRecord;

use crate::cold::Cold;

/// Records kept as they are; twice this at most.
const WARM_MAX: usize = 512;

/// Records by key, each with the number of its shard.
#[derive(Debug)]
pub(crate) struct Histories {
    warm_max: usize,
    shards: Vec<ShardId>,
    /// Keys come from providers, so the hash is keyed at random.
    hasher: foldhash::fast::RandomState,
    young: HashTable<Warm>,
    old: HashTable<Warm>,
    cold: Cold,
    /// What a record is written into before it is known how long it is.
    buffer: Vec<u8>,
}

/// A record as it is, and the hash of its key.
#[derive(Debug)]
struct Warm {
    hash: u64,
    shard: usize,
    record: EntityRecord,
}

impl Default for Histories {
    fn default() -> Self {
        Self {
            warm_max: WARM_MAX,
            shards: Vec::new(),
            hasher: foldhash::fast::RandomState::default(),
            young: HashTable::new(),
            old: HashTable::new(),
            cold: Cold::default(),
            buffer: Vec::new(),
        }
    }
}

impl Histories {
    /// The number of a shard, for [`take`](Self::take).
    pub fn shard(&mut self, shard: &ShardId) -> usize {
        self.shards.iter().position(|known| known == shard).unwrap_or_else(|| {
            self.shards.push(shard.clone());
            self.shards.len() - 1
        })
    }

    /// Takes an event of a shard into its entity's history.
    pub fn take(&mut self, shard: usize, key: EntityKey, event: Incoming) -> Result<Fate> {
        let hash = self.hash(&key);
        let same = |warm: &Warm| warm.hash == hash && warm.record.key == key;
        if let Some(warm) = self.young.find_mut(hash, same) {
            return Ok(take_and_fold(&mut warm.record, event));
        }
        let mut warm = match self.old.find_entry(hash, same) {
            Ok(found) => found.remove().0,
            Err(_) => match self.cold.remove(hash, key.as_str()) {
                Some((shard, binary)) => Warm { hash, shard, record: EntityRecord::decode(&binary)? },
                None => Warm { hash, shard, record: EntityRecord::empty(key) },
            },
        };
        let fate = take_and_fold(&mut warm.record, event);
        if self.young.len() >= self.warm_max {
            self.cool()?;
        }
        self.young.insert_unique(hash, warm, |warm| warm.hash);
        Ok(fate)
    }

    /// Puts every record into its stored form. To be called after the last event.
    pub fn finish(&mut self) -> Result<()> {
        self.cool()?;
        self.cool()
    }

    /// The old records become cold and the young ones old.
    fn cool(&mut self) -> Result<()> {
        for Warm { hash, shard, mut record } in self.old.drain() {
            settle(&mut record);
            let binary = record.encode_binary(std::mem::take(&mut self.buffer))?;
            self.cold.insert(hash, shard, record.key, binary.as_slice().into());
            self.buffer = binary;
        }
        std::mem::swap(&mut self.old, &mut self.young);
        Ok(())
    }

    fn hash(&self, key: &EntityKey) -> u64 {
        self.hasher.hash_one(key.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len() + self.cold.len()
    }

    /// One record, once finished.
    pub fn get(&self, key: &EntityKey) -> Option<Result<EntityRecord>> {
        self.cold.get(self.hash(key), key.as_str()).map(EntityRecord::decode)
    }

    /// Takes one record out, in its stored form and with its shard, once finished.
    pub fn remove(&mut self, key: &EntityKey) -> Option<(ShardId, Box<[u8]>)> {
        let (shard, binary) = self.cold.remove(self.hash(key), key.as_str())?;
        Some((self.shards.get(shard)?.clone(), binary))
    }

    /// What is left, in the order of the keys, once finished.
    pub fn into_sorted(self) -> impl Iterator<Item = (ShardId, Result<EntityRecord>)> {
        let Self { shards, cold, .. } = self;
        cold.into_sorted()
            .filter_map(move |(shard, binary)| Some((shards.get(shard)?.clone(), EntityRecord::decode(&binary))))
    }

    /// The same without taking them out.
    pub fn sorted(&self) -> impl Iterator<Item = Result<EntityRecord>> {
        self.cold.sorted().map(EntityRecord::decode)
    }
}

/// An event at the end of a history whose state is up to date is folded while both are at hand. What
/// comes late waits, so that many late events cost one fold.
fn take_and_fold(record: &mut EntityRecord, event: Incoming) -> Fate {
    let folded = record.folded;
    let fate = take(record, event);
    if fate == Fate::Appended && record.folded == folded && folded + 1 == record.entries.len() {
        settle(record);
    }
    fate
}

#[cfg(test)]
mod tests;
