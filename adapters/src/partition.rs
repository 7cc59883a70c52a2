//! Which shard an entity belongs to.
//!
//! The function is part of the stored format: a log's records of one entity lie in one shard, in
//! order, only as long as it never changes. It is FNV-1a with 64 bits over the bytes of the key,
//! mixed by the finaliser of MurmurHash3, and scaled to the number of shards by its upper bits.

use ledgerline_domain::ids::EntityKey;

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// The shard of `key` among `shards`, from 0; always 0 when there is one shard or none.
pub fn shard_index(key: &EntityKey, shards: u32) -> u32 {
    let hash = hash(key.as_str().as_bytes());
    // Upper half of the product: uniform over 0..shards, and below it.
    let scaled = (u128::from(hash) * u128::from(shards)) >> 64;
    u32::try_from(scaled).unwrap_or_default()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hash = FNV_OFFSET;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
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
        assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
        assert_eq!(hash(b"stripe-eu/payment/pi_123"), 0x8f5b_2f70_1188_e1fe);
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
