//! Entity records of recent batches, so that the usual commit reads nothing.
//!
//! Bounded: two generations of `capacity` records each; when the young one is full the old one is
//! forgotten. A stale record does no harm: its revision no longer fits and the commit conflicts.

use std::collections::HashMap;

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::EntityRecord;

/// Longest history that is kept in memory between batches.
const ENTRIES_MAX: usize = 256;

/// A bounded cache of records.
pub struct Cache {
    capacity: usize,
    young: HashMap<EntityKey, EntityRecord>,
    old: HashMap<EntityKey, EntityRecord>,
}

impl Cache {
    /// A cache of at most `2 * capacity` records.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, young: HashMap::new(), old: HashMap::new() }
    }

    /// Takes a record out.
    pub fn take(&mut self, key: &EntityKey) -> Option<EntityRecord> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    /// Keeps the record that was committed.
    pub fn put(&mut self, record: EntityRecord) {
        if self.capacity == 0 || record.entries.len() > ENTRIES_MAX {
            return;
        }
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(record.key.clone(), record);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}
