//! Entity records of recent batches, so that the usual commit reads nothing.
//!
//! Bounded: two generations of `capacity` records each; when the young one is full the old one is
//! forgotten. A stale record does no harm: its revision no longer fits and the commit conflicts.

use std::hash::BuildHasher as _;

use hashbrown::HashTable;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::EntityRecord;

/// Longest history that is kept in memory between batches.
const ENTRIES_MAX: usize = 256;

/// A bounded cache of records.
pub struct Cache {
    capacity: usize,
    /// Keys come from providers, so the hash is keyed at random.
    hasher: foldhash::fast::RandomState,
    young: HashTable<Kept>,
    old: HashTable<Kept>,
}

/// A record and the hash of its key.
struct Kept {
    hash: u64,
    record: EntityRecord,
}

impl Cache {
    /// A cache of at most `2 * capacity` records.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, hasher: Default::default(), young: HashTable::new(), old: HashTable::new() }
    }

    /// Takes a record out.
    pub fn take(&mut self, key: &EntityKey) -> Option<EntityRecord> {
        let hash = self.hasher.hash_one(key.as_str());
        let take = |kept: &mut HashTable<Kept>| {
            let found = kept.find_entry(hash, |kept| kept.hash == hash && kept.record.key == *key);
            found.ok().map(|found| found.remove().0.record)
        };
        take(&mut self.young).or_else(|| take(&mut self.old))
    }

    /// Keeps the record that was committed; it was taken out before or never kept.
    pub fn put(&mut self, record: EntityRecord) {
        if self.capacity == 0 || record.entries.len() > ENTRIES_MAX {
            return;
        }
        if self.young.len() >= self.capacity {
            self.old.clear();
            std::mem::swap(&mut self.old, &mut self.young);
        }
        let hash = self.hasher.hash_one(record.key.as_str());
        self.young.insert_unique(hash, Kept { hash, record }, |kept| kept.hash);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}
