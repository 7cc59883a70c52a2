//! The records that an archive folds to: those of recent events as they are, the others in their
//! stored form, which takes a fraction of the memory and is what a live record is compared with.
//!
//! Events of one entity mostly lie close together, so nearly every record is written once. A late
//! event reads its record back.

use std::collections::HashMap;

use ledgerline_domain::Result;
use ledgerline_domain::fold::{Fate, Incoming, settle, take};
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::record::EntityRecord;

/// Records kept as they are; twice this at most.
const WARM_MAX: usize = 512;

/// Keys come from providers, so the hash is keyed at random.
type Map<V> = HashMap<EntityKey, V, foldhash::fast::RandomState>;

/// Records by key, each with the number of its shard.
#[derive(Debug, Default)]
pub(crate) struct Histories {
    shards: Vec<ShardId>,
    young: Map<(usize, EntityRecord)>,
    old: Map<(usize, EntityRecord)>,
    stored: Map<(usize, Box<[u8]>)>,
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
        if let Some((_, record)) = self.young.get_mut(&key) {
            return Ok(take_and_fold(record, event));
        }
        let (shard, mut record) = match self.old.remove(&key) {
            Some(known) => known,
            None => match self.stored.remove(&key) {
                Some((shard, binary)) => (shard, EntityRecord::decode(&binary)?),
                None => (shard, EntityRecord::empty(key.clone())),
            },
        };
        let fate = take_and_fold(&mut record, event);
        if self.young.len() >= WARM_MAX {
            self.store_old()?;
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, (shard, record));
        Ok(fate)
    }

    /// Puts every record into its stored form. To be called after the last event.
    pub fn finish(&mut self) -> Result<()> {
        self.store_old()?;
        self.old = std::mem::take(&mut self.young);
        self.store_old()
    }

    fn store_old(&mut self) -> Result<()> {
        let mut buffer = Vec::new();
        for (key, (shard, mut record)) in self.old.drain() {
            settle(&mut record);
            buffer = record.encode_binary(buffer)?;
            self.stored.insert(key, (shard, buffer.as_slice().into()));
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len() + self.stored.len()
    }

    /// One record, once finished.
    pub fn get(&self, key: &EntityKey) -> Option<Result<EntityRecord>> {
        self.stored.get(key).map(|(_, binary)| EntityRecord::decode(binary))
    }

    /// Takes one record out, in its stored form and with its shard, once finished.
    pub fn remove(&mut self, key: &EntityKey) -> Option<(ShardId, Box<[u8]>)> {
        let (shard, binary) = self.stored.remove(key)?;
        Some((self.shards.get(shard)?.clone(), binary))
    }

    /// What is left, in the order of the keys, once finished.
    pub fn into_sorted(self) -> impl Iterator<Item = (ShardId, Result<EntityRecord>)> {
        let Self { shards, stored, .. } = self;
        let mut all: Vec<_> = stored.into_iter().collect();
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        all.into_iter()
            .filter_map(move |(_, (shard, binary))| Some((shards.get(shard)?.clone(), EntityRecord::decode(&binary))))
    }

    /// The same without taking them out.
    pub fn sorted(&self) -> impl Iterator<Item = Result<EntityRecord>> {
        let mut all: Vec<_> = self.stored.iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().map(|(_, (_, binary))| EntityRecord::decode(binary))
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
