//! What must be applied before a shard is: what is left of the shards that it came from.

use ledgerline_domain::Result;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Entities, Log};

/// Ancestors of a shard that the log lists and that are not applied to their ends, parents before
/// children. One that is at its end has none: its own came before it. `None` where the log does not list the shard itself,
/// and so says nothing of its parents.
pub(crate) async fn unfinished<L: Log, E: Entities>(
    log: &L,
    entities: &E,
    shard: &ShardId,
) -> Result<Option<Vec<ShardId>>> {
    let shards = log.lineage().await?;
    if !shards.iter().any(|info| info.id == *shard) {
        return Ok(None);
    }
    let parents = |of: &ShardId| {
        let info = shards.iter().find(|info| info.id == *of);
        info.map_or(&[][..], |info| &info.parents)
    };
    let mut ancestors: Vec<ShardId> = Vec::new();
    let mut open: Vec<&ShardId> = parents(shard).iter().collect();
    while let Some(ancestor) = open.pop() {
        let listed = shards.iter().any(|info| info.id == *ancestor);
        let ended = |at: Option<SequenceNumber>| at.is_some_and(|at| at.is_shard_end());
        if listed && !ended(entities.checkpoint(ancestor).await?) {
            // Found on two ways, it belongs before both.
            ancestors.retain(|known| known != ancestor);
            ancestors.push(ancestor.clone());
            open.extend(parents(ancestor));
        }
    }
    ancestors.reverse();
    Ok(Some(ancestors))
}
