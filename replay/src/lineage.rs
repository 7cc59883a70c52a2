//! Streams whose shards split and merge: which records come first, and how far an entity's are.
//!
//! **The records of a parent come before those of its children**, here as in the live state. A record keeps the last
//! position that it has seen and drops what is not behind it, and a child's positions are behind all of its parents',
//! so a parent's event that came after a child's would be taken for one that was seen. The order of the shards'
//! ids is an order with parents first (a log numbers its shards as it makes them), and whatever goes through
//! several shards goes through them in that order:
//!
//! | who | how |
//! | --- | --- |
//! | a pass on several threads | shards side by side; an entity with events in two of them has the archive folded again, shard after shard |
//! | spilled parts | keep the order in which the pass came by |
//! | [`Feed`](crate::generation::Feed) | one shard; whoever fills a generation takes the shards of [`ends`](crate::generation::ends) in their order |
//! | selections, redrive, [`events_of`](crate::lookup::events_of) | shard after shard |
//!
//! The archive itself is made so: a child's first segment is put when its parents are archived to their ends. A listing
//! that takes a while must not see the child and miss the end of the parent: `segments` looks at the
//! parents again, after the children.

use std::collections::BTreeMap;

use ledgerline_domain::Result;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::keys::{self, SegmentKey};

/// Says in which shards an entity's events may lie: one of a log whose shards stay, else every one that ever took
/// its key, as far as the log still tells. Nothing where it is not known.
pub type ShardsOf<'a> = &'a (dyn Fn(&EntityKey) -> Vec<ShardId> + Send + Sync);

/// The keys below the segments of a stream, in byte order: where those of a shard are among them, so are all of its
/// parents'. Keys of no segment are among them.
pub(crate) async fn segments<A: Archive>(archive: &A, stream: &str) -> Result<Vec<String>> {
    let mut listed = archive.list(&keys::segments_of(stream)).await?;
    let mut newest: BTreeMap<ShardId, String> = BTreeMap::new();
    for key in &listed {
        if let Some(shard) = SegmentKey::parse(key).map(|parsed| parsed.shard) {
            let newest = newest.entry(shard).or_default();
            if *newest < *key {
                newest.clone_from(key);
            }
        }
    }
    // A shard alone has no parents.
    for (shard, last) in newest.iter().rev().filter(|_| newest.len() > 1) {
        let more = archive.list_from(&keys::segments_of_shard(stream, shard), last).await?;
        listed.extend(more);
    }
    listed.sort_unstable();
    listed.dedup();
    Ok(listed)
}

/// How far an entity's events are, of shards of which each is as far as `at` says: the last position. Positions of
/// a child are behind its parents', and it is begun after them.
pub(crate) fn reach<'a, 'b>(
    shards: impl IntoIterator<Item = &'b ShardId>,
    at: impl Fn(&'b ShardId) -> Option<&'a SequenceNumber>,
) -> Option<&'a SequenceNumber> {
    shards.into_iter().filter_map(at).max()
}
