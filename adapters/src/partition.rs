//! Which shard an entity belongs to.
//!
//! The function is part of the stored format: a log's records of one entity lie in one shard, in
//! order, only as long as it never changes: it is [`EntityKey::part_of`].

use ledgerline_domain::ids::EntityKey;

/// The shard of `key` among `shards`, from 0; always 0 when there is one shard or none.
pub fn shard_index(key: &EntityKey, shards: u32) -> u32 {
    key.part_of(shards)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> EntityKey {
        EntityKey::parse(&format!("stripe-eu/payment/pi_{id}")).unwrap()
    }

    #[test]
    fn never_changes() {
        // Figures written down when the format was made: a difference breaks every existing log.
        let shards: Vec<u32> = (0..12).map(|id| shard_index(&key(id), 4)).collect();
        assert_eq!(shards, [3, 3, 2, 1, 1, 0, 0, 2, 0, 0, 1, 2]);
    }

    #[test]
    fn spreads_evenly() {
        let mut counts = [0_u32; 5];
        for id in 0..50_000 {
            counts[shard_index(&key(id), 5) as usize] += 1;
        }
        assert!(counts.iter().all(|n| (9_000..11_000).contains(n)), "{counts:?}");
    }
}
