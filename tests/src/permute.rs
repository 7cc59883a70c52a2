//! I3 on events that are at hand: any order and any duplication of them gives the same records, byte
//! for byte.

use std::collections::BTreeMap;

use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber};
use ledgerline_domain::record::EntityRecord;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

/// An event and what it is about.
pub type About = (EntityKey, Incoming);

/// The records that these events fold into, applied one by one.
pub fn fold(events: &[About]) -> BTreeMap<EntityKey, EntityRecord> {
    let mut records = BTreeMap::new();
    for (n, (key, event)) in (1..).zip(events) {
        let event = Incoming { sequence: SequenceNumber::from_u64(n), ..event.clone() };
        let record = records.remove(key);
        records.insert(key.clone(), apply(key, record, vec![event]).0);
    }
    records
}

/// Folds the events in `times` random orders, a quarter of them twice, and compares with their own
/// order. Gives the records of that one.
///
/// # Panics
/// When any order ends in another state.
pub fn same_in_any_order(name: &str, events: &[About], times: usize, seed: u64) -> BTreeMap<EntityKey, EntityRecord> {
    let mut random = StdRng::seed_from_u64(seed);
    let plain = fold(events);
    let canonical: Vec<_> = plain.values().map(EntityRecord::canonical).collect();
    for _ in 0..times {
        let mut delivered = events.to_vec();
        for _ in 0..events.len() / 4 {
            delivered.push(events[random.random_range(0..events.len())].clone());
        }
        delivered.shuffle(&mut random);
        let other: Vec<_> = fold(&delivered).values().map(EntityRecord::canonical).collect();
        assert!(canonical == other, "{name}: a permutation ended in another state");
    }
    plain
}
