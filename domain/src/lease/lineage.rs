//! Which shards need a lease, which leases may be read, and which are of no use any more.

use std::collections::{HashMap, HashSet};

use crate::ids::ShardId;
use crate::ports::{HashRange, ShardInfo};

use super::{Checkpoint, Lease};

/// New leases for the shards that have none, in the order of the shards. Every one begins at the oldest
/// record: a child that began at the newest would skip what came before the worker saw it.
pub fn missing(shards: &[ShardInfo], leases: &[Lease]) -> Vec<Lease> {
    let known: HashSet<&ShardId> = leases.iter().map(|lease| &lease.shard).collect();
    let new = shards.iter().filter(|shard| !known.contains(&shard.id));
    new.map(|shard| Lease {
        shard: shard.id.clone(),
        owner: None,
        counter: 0,
        owner_switches: 0,
        checkpoint: Checkpoint::TrimHorizon,
        parents: shard.parents.clone(),
        hash_range: shard.hash_range,
    })
    .collect()
}

/// Whether a shard may be read: it is not at its end, and all of its parents are. A parent without a
/// lease counts as read only when the log does not list it any more either: then it has nothing left.
pub fn readable(lease: &Lease, leases: &[Lease], shards: &[ShardInfo]) -> bool {
    let read = |parent: &ShardId| match leases.iter().find(|lease| lease.shard == *parent) {
        Some(parent) => parent.checkpoint.is_shard_end(),
        None => !shards.iter().any(|shard| shard.id == *parent),
    };
    !lease.checkpoint.is_shard_end() && lease.parents.iter().all(read)
}

/// Leases that may be deleted: read to the end, the log does not list the shard any more, and every child
/// has begun. Until then a worker with an older list would make the lease anew and read from the beginning.
pub fn removable<'a>(leases: &'a [Lease], shards: &[ShardInfo]) -> Vec<&'a Lease> {
    let listed: HashSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
    let mut waiting: HashSet<&ShardId> = HashSet::new();
    for lease in leases.iter().filter(|lease| lease.checkpoint == Checkpoint::TrimHorizon) {
        waiting.extend(&lease.parents);
    }
    let done = |lease: &&Lease| {
        lease.checkpoint.is_shard_end() && !listed.contains(&lease.shard) && !waiting.contains(&lease.shard)
    };
    leases.iter().filter(done).collect()
}

/// Hash keys that no lease with work left covers, though shards of the log do or should: new events there
/// would be read by nobody. Empty when the shards tell no ranges. Shards that were split or merged a
/// moment ago make a hole for a moment; one that stays is an alarm.
pub fn holes(leases: &[Lease]) -> Vec<HashRange> {
    let by_id: HashMap<&ShardId, &Lease> = leases.iter().map(|lease| (&lease.shard, lease)).collect();
    let mut ranges: Vec<HashRange> =
        by_id.values().filter(|lease| !lease.checkpoint.is_shard_end()).filter_map(|lease| lease.hash_range).collect();
    if ranges.is_empty() && by_id.values().all(|lease| lease.hash_range.is_none()) {
        return Vec::new();
    }
    ranges.sort_unstable();
    let mut holes = Vec::new();
    // The first key that nothing covers yet; `None` behind the last key.
    let mut next = Some(0_u128);
    for range in ranges {
        let Some(first) = next else { break };
        if range.first > first {
            holes.push(HashRange { first, last: range.first - 1 });
        }
        if range.last >= first {
            next = range.last.checked_add(1);
        }
    }
    holes.extend(next.map(|first| HashRange { first, last: u128::MAX }));
    holes
}
