//! Who reads which shard: leases, and what may be decided about them.
//!
//! Everything here is a pure function: leases in, decision out. The adapter makes one conditional write
//! of a decision, the worker and the model of the tests call the same functions.
//!
//! **Leases save work and nothing else.** Two workers on one shard are harmless, because every record
//! of an entity is written under its revision and every segment under its predecessor (I10).
//!
//! How a lease is safe from clocks: its counter grows with every write, and a worker that has *seen it
//! unchanged* for long enough, by its own monotonic clock, may take it ([`Observed`]). How it is safe from
//! races: every write names the counter that was read, so of many that decide at once one succeeds.
//!
//! The names and rules are those of the Kinesis Client Library 2, so that its tools can read the table.

mod balance;
mod lineage;
mod observed;
mod port;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use crate::ids::{SequenceNumber, ShardId};
use crate::ports::HashRange;

pub use balance::{Wish, wish};
pub use lineage::{holes, missing, readable, removable};
pub use observed::{Observed, Standing};
pub use port::{LeaseWrite, Leases};

/// Where a reader of a shard begins or is. Ordered: the oldest record, then numbers, then the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Checkpoint {
    /// Before the oldest record that the log keeps.
    TrimHorizon,
    /// Everything up to and including this position is applied; of a closed shard that is read to its
    /// end [`SequenceNumber::shard_end`].
    At(SequenceNumber),
}

impl Checkpoint {
    /// A closed shard that is read to its end.
    pub const fn shard_end() -> Self {
        Self::At(SequenceNumber::shard_end())
    }

    /// Whether all of the shard is applied.
    pub fn is_shard_end(&self) -> bool {
        matches!(self, Self::At(position) if position.is_shard_end())
    }

    /// The position after which to read; `None` for the oldest record.
    pub fn position(&self) -> Option<&SequenceNumber> {
        match self {
            Self::TrimHorizon => None,
            Self::At(position) => Some(position),
        }
    }
}

/// The lease of one shard, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The shard.
    pub shard: ShardId,
    /// The worker that holds it, if one does.
    pub owner: Option<CompactString>,
    /// Grows by one with every write.
    pub counter: u64,
    /// Changes of the owner since the checkpoint last moved.
    pub owner_switches: u64,
    /// How far the shard is applied.
    pub checkpoint: Checkpoint,
    /// The shards whose ends come before this one's beginning.
    pub parents: Vec<ShardId>,
    /// Which keys the shard takes, where the log told.
    pub hash_range: Option<HashRange>,
}

impl Lease {
    /// The lease after a heartbeat, with progress that never goes back.
    #[must_use]
    pub fn renewed(&self, progress: Option<&Checkpoint>) -> Self {
        let mut next = self.clone();
        next.counter += 1;
        if let Some(progress) = progress.filter(|progress| **progress > self.checkpoint) {
            next.checkpoint = progress.clone();
            next.owner_switches = 0;
        }
        next
    }

    /// The lease after `worker` took it from whoever holds it.
    #[must_use]
    pub fn taken(&self, worker: &str) -> Self {
        let switched = self.owner.as_deref() != Some(worker);
        Self {
            owner: Some(worker.into()),
            counter: self.counter + 1,
            owner_switches: self.owner_switches + u64::from(switched),
            ..self.clone()
        }
    }

    /// The lease after its holder gave it up, with its last progress.
    #[must_use]
    pub fn released(&self, progress: Option<&Checkpoint>) -> Self {
        Self { owner: None, ..self.renewed(progress) }
    }
}

/// What a refused conditional write means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// What stands there is what was to be written: an earlier attempt of the same write succeeded and its
    /// answer was lost. It counts as done.
    WasMine,
    /// The lease is another's, or gone, or somebody else wrote it.
    Lost,
}

/// Judges a write of `wanted` that was refused because `found` stands there. A worker id belongs to one
/// run of one process, and that writes a lease from one task, so nobody else writes this counter for this owner.
pub fn judge_refused(wanted: &Lease, found: Option<&Lease>) -> Refused {
    match found {
        Some(found) if found.counter == wanted.counter && found.owner.is_some() && found.owner == wanted.owner => {
            Refused::WasMine
        }
        _ => Refused::Lost,
    }
}

/// A lease that this worker holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// As it was last written.
    pub lease: Lease,
    /// Of this acquisition: a lease that was lost and regained has another one, so what was begun under
    /// the first is not taken for the second's.
    pub token: u64,
}

impl Held {
    /// The next write of the holder, or `None` when `token` is of an earlier acquisition.
    pub fn progress(&self, token: u64, progress: Option<&Checkpoint>) -> Option<Lease> {
        (self.token == token).then(|| self.lease.renewed(progress))
    }
}

#[cfg(test)]
mod tests;
