//! Which leases a worker should try to take now.

use std::collections::BTreeMap;

use crate::ids::ShardId;

use super::observed::Standing;
use super::{Lease, readable};
use crate::ports::ShardInfo;

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Leases that nobody holds or whose holder is gone.
    pub take: Vec<ShardId>,
    /// One of a worker that has more than its part; only when there is nothing to take.
    pub steal: Option<ShardId>,
}

impl Wish {
    /// All of it, in the order to try.
    pub fn shards(self) -> impl Iterator<Item = ShardId> {
        self.take.into_iter().chain(self.steal)
    }
}

/// What worker `me` should try: its part is the number of leases with work left, divided by the workers that
/// are alive and rounded up. `standing` tells how a lease stands; `turn` is any number that differs among
/// workers and times, so that not all try the same one first.
///
/// Of what is free or expired it takes up to its part; the rest is for the others, who see it too. When
/// nothing is to be taken and it has less than its part, it takes one lease of the worker that has most,
/// if that has more than its part, or two more than `me`: so leases come to rest.
pub fn wish(
    me: &str,
    leases: &[Lease],
    shards: &[ShardInfo],
    standing: impl Fn(&Lease) -> Standing,
    turn: usize,
) -> Wish {
    let work: Vec<&Lease> = leases.iter().filter(|lease| readable(lease, leases, shards)).collect();
    let mut loads: BTreeMap<&str, usize> = BTreeMap::from([(me, 0)]);
    let mut idle = Vec::new();
    for lease in &work {
        match (standing(lease), lease.owner.as_deref()) {
            (Standing::Fresh, Some(owner)) => *loads.entry(owner).or_default() += 1,
            // Of an earlier run under the same name: as good as free.
            _ => idle.push(&lease.shard),
        }
    }
    let part = work.len().div_ceil(loads.len());
    let mine = loads.get(me).copied().unwrap_or_default();
    let room = part.saturating_sub(mine);
    if !idle.is_empty() {
        let from = turn % idle.len();
        idle.rotate_left(from);
        return Wish { take: idle.into_iter().take(room).cloned().collect(), steal: None };
    }
    let richest = loads.iter().filter(|(owner, _)| **owner != me).max_by_key(|(_, load)| **load);
    let steal = richest.filter(|(_, load)| room > 0 && (**load > part || **load >= mine + 2)).and_then(|(owner, _)| {
        let theirs: Vec<_> = work.iter().filter(|lease| lease.owner.as_deref() == Some(owner)).collect();
        theirs.get(turn % theirs.len().max(1)).map(|lease| lease.shard.clone())
    });
    Wish { take: Vec::new(), steal }
}
