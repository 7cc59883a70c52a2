//! The records of recent events, as they are: a ring of so many places.
//!
//! A new record takes the place of the one that was put in longest ago, unless that had an event not long ago. So
//! records go one by one as others come: the allocator hands out again what it was just given back, and what is at
//! hand stays in the core's cache. Dropping many at once cost several times as much.

use hashbrown::HashTable;
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::record::EntityRecord;

/// A record as it is, and the hash of its key.
#[derive(Debug)]
pub(crate) struct Warm {
    pub hash: u64,
    /// The number of its shard.
    pub shard: u16,
    pub record: EntityRecord,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct WarmRing {
    room: usize,
    slots: Vec<Slot>,
    places: HashTable<usize>,
    /// Where the next one goes.
    hand: usize,
    /// How many were put in.
    count: u64,
}

#[derive(Debug)]
struct Slot {
    warm: Warm,
    /// How many had been put in at its last event.
    touched: u64,
}

impl WarmRing {
    /// An empty ring of `room` places, at least one.
    pub fn new(room: usize) -> Self {
        Self { room: room.max(1), slots: Vec::new(), places: HashTable::new(), hand: 0, count: 0 }
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// The record of a key, for an event of it.
    pub fn get(&mut self, hash: u64, key: &EntityKey) -> Option<&mut Warm> {
        let slots = &self.slots;
        let is = |at: &usize| slots.get(*at).is_some_and(|s| s.warm.hash == hash && s.warm.record.key == *key);
        let at = *self.places.find(hash, is)?;
        let slot = self.slots.get_mut(at)?;
        slot.touched = self.count;
        Some(&mut slot.warm)
    }

    /// Puts in a record that is not there; gives the one that must go.
    pub fn put(&mut self, warm: Warm) -> Option<Warm> {
        self.count += 1;
        let (hash, slot) = (warm.hash, Slot { warm, touched: self.count });
        let (at, gone) = if self.slots.len() < self.room {
            self.slots.push(slot);
            (self.slots.len() - 1, None)
        } else {
            let at = self.next_to_go();
            let old = std::mem::replace(self.slots.get_mut(at)?, slot).warm;
            if let Ok(place) = self.places.find_entry(old.hash, |place| *place == at) {
                place.remove();
            }
            self.hand = at + 1;
            (at, Some(old))
        };
        let slots = &self.slots;
        self.places.insert_unique(hash, at, |at| slots.get(*at).map_or(0, |slot| slot.warm.hash));
        gone
    }

    /// The first from the hand on that had no event while half of a round was put in; any, if all had.
    fn next_to_go(&self) -> usize {
        let recent = (self.room / 2) as u64;
        let from = if self.hand < self.slots.len() { self.hand } else { 0 };
        let is_old = |at: &usize| self.slots.get(*at).is_some_and(|slot| self.count - slot.touched >= recent);
        (from..self.slots.len()).chain(0..from).find(is_old).unwrap_or(from)
    }

    /// Takes all of them out.
    pub fn take_all(&mut self) -> impl Iterator<Item = Warm> + use<> {
        self.places.clear();
        self.hand = 0;
        std::mem::take(&mut self.slots).into_iter().map(|slot| slot.warm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warm(id: u64) -> Warm {
        let key = key(id);
        // Hashes that collide now and then.
        Warm { hash: id % 5, shard: 0, record: EntityRecord::empty(key) }
    }

    fn key(id: u64) -> EntityKey {
        EntityKey::parse(&format!("s/payment/{id}")).unwrap()
    }

    #[test]
    fn the_oldest_goes_unless_it_had_an_event_lately() {
        let mut ring = WarmRing::new(4);
        assert!((0..4).all(|id| ring.put(warm(id)).is_none()));
        let gone = |ring: &mut WarmRing, id| ring.put(warm(id)).map(|warm| warm.record.key);
        assert_eq!(gone(&mut ring, 4), Some(key(0)));
        assert_eq!(gone(&mut ring, 5), Some(key(1)));
        assert!(ring.get(2, &key(2)).is_some());
        assert_eq!(gone(&mut ring, 6), Some(key(3)), "2 had an event just now");
        assert_eq!(gone(&mut ring, 7), Some(key(4)));
        assert!(ring.get(3, &key(3)).is_none() && ring.get(2, &key(2)).is_some());
        let mut left: Vec<_> = ring.take_all().map(|warm| warm.record.key).collect();
        left.sort();
        assert_eq!((left, ring.len()), (vec![key(2), key(5), key(6), key(7)], 0));
    }

    #[test]
    fn one_goes_even_if_all_had_events() {
        let mut ring = WarmRing::new(8);
        let mut there: Vec<u64> = Vec::new();
        for id in 0..100 {
            if let Some(gone) = ring.put(warm(id)) {
                there.retain(|id| key(*id) != gone.record.key);
            }
            there.push(id);
            assert!(there.len() <= 8 && ring.len() == there.len());
            assert!(there.iter().all(|id| ring.get(id % 5, &key(*id)).is_some()), "{there:?}");
        }
    }
}
