//! Which shards take an entity: those with its hash key, the MD5 digest of the partition key as a number (API
//! reference of `PutRecord`, "MD5 hash function … 128-bit integer values").

use std::collections::BTreeSet;

use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::ports::ShardInfo;
use md5::{Digest as _, Md5};

/// The hash key of an entity: 0 to 2^128 - 1.
fn hash_key(key: &EntityKey) -> u128 {
    u128::from_be_bytes(Md5::digest(key.as_str().as_bytes()).into())
}

/// Every shard of `shards` that has the entity's hash key in its range, and those parents of theirs that are not
/// among `shards`: of them nothing tells the range.
pub(super) fn shards_of(shards: &[ShardInfo], key: &EntityKey) -> Vec<ShardId> {
    let hash = hash_key(key);
    let takes = |shard: &&ShardInfo| shard.hash_range.is_none_or(|range| (range.first..=range.last).contains(&hash));
    let mut found = BTreeSet::new();
    for shard in shards.iter().filter(takes) {
        found.insert(shard.id.clone());
        let gone = shard.parents.iter().filter(|parent| shards.iter().all(|listed| listed.id != **parent));
        found.extend(gone.cloned());
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use ledgerline_domain::ports::HashRange;

    use super::*;

    #[test]
    fn the_hash_key_is_the_digest_as_a_number() {
        // md5("stripe/payment/pi_1"), by another program.
        let key = EntityKey::parse("stripe/payment/pi_1").unwrap();
        assert_eq!(format!("{:032x}", hash_key(&key)), "2495b864d69e1529561984d6495ffd43");
    }

    #[test]
    fn every_shard_that_took_the_key_is_named_and_no_other() {
        let shard = |n: u32, parents: &[u32], first: u128, last: u128| ShardInfo {
            parents: parents.iter().map(|n| ShardId::numbered(*n)).collect(),
            hash_range: Some(HashRange { first, last }),
            ..ShardInfo::first(ShardId::numbered(n))
        };
        let key = EntityKey::parse("stripe/payment/pi_1").unwrap();
        let hash = hash_key(&key);
        let shards = [
            shard(1, &[0], 0, hash),
            shard(2, &[0], hash + 1, u128::MAX),
            shard(3, &[1], 0, hash - 1),
            shard(4, &[1], hash, hash),
            shard(5, &[4, 2], hash, u128::MAX),
        ];
        let expected: Vec<_> = [0, 1, 4, 5].into_iter().map(ShardId::numbered).collect();
        assert_eq!(shards_of(&shards, &key), expected, "0 is listed no more");
    }
}
