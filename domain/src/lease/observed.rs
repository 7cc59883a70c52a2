//! What a worker has seen of the leases, and for how long each stood unchanged.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::ShardId;

use super::Lease;

/// What may be done about a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody holds it.
    Free,
    /// Its holder is alive, as far as this worker can tell.
    Fresh,
    /// Its counter was seen unchanged for longer than the lease lasts.
    Expired,
}

/// Counters with the moment each was last seen to change. Moments are of this process's monotonic clock,
/// counted from any fixed point; no other clock is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observed {
    seen: BTreeMap<ShardId, (u64, Duration)>,
}

impl Observed {
    /// Takes note of all leases, as read at `now`. What is not there any more is forgotten.
    pub fn see(&mut self, now: Duration, leases: &[Lease]) {
        let before = std::mem::take(&mut self.seen);
        for lease in leases {
            let since = match before.get(&lease.shard) {
                Some((counter, since)) if *counter == lease.counter => *since,
                // Seen for the first time it counts as fresh: its holder may have written just now.
                _ => now,
            };
            self.seen.insert(lease.shard.clone(), (lease.counter, since));
        }
    }

    /// How a lease stands at `now` if it lasts `lasts` without a write.
    pub fn standing(&self, now: Duration, lasts: Duration, lease: &Lease) -> Standing {
        if lease.owner.is_none() {
            return Standing::Free;
        }
        match self.seen.get(&lease.shard) {
            Some((counter, since)) if *counter == lease.counter && now.saturating_sub(*since) > lasts => {
                Standing::Expired
            }
            _ => Standing::Fresh,
        }
    }

    /// How long a lease was seen unchanged.
    pub fn age(&self, now: Duration, lease: &Lease) -> Option<Duration> {
        let (counter, since) = self.seen.get(&lease.shard)?;
        (*counter == lease.counter).then(|| now.saturating_sub(*since))
    }
}
