//! Leases in memory, for tests.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ledgerline_domain::Result;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::{Lease, LeaseWrite, Leases};

use super::{Faults, lock};

/// A table of leases that can be told to fail.
#[derive(Debug, Default)]
pub struct MemoryLeases {
    leases: Mutex<BTreeMap<ShardId, Lease>>,
    faults: Faults,
}

impl MemoryLeases {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes writes fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Leases for MemoryLeases {
    async fn all(&self) -> Result<Vec<Lease>> {
        Ok(lock(&self.leases).values().cloned().collect())
    }

    async fn create(&self, lease: &Lease) -> Result<bool> {
        self.faults.before("create a lease")?;
        let mut leases = lock(&self.leases);
        let new = !leases.contains_key(&lease.shard);
        if new {
            leases.insert(lease.shard.clone(), lease.clone());
        }
        self.faults.after("create a lease")?;
        Ok(new)
    }

    async fn write(&self, lease: &Lease) -> Result<LeaseWrite> {
        self.faults.before("write a lease")?;
        let mut leases = lock(&self.leases);
        match leases.get_mut(&lease.shard) {
            Some(stored) if stored.counter + 1 == lease.counter => stored.clone_from(lease),
            found => return Ok(LeaseWrite::Refused(found.cloned())),
        }
        self.faults.after("write a lease")?;
        Ok(LeaseWrite::Done)
    }

    async fn remove(&self, lease: &Lease) -> Result<()> {
        self.faults.before("remove a lease")?;
        let mut leases = lock(&self.leases);
        if leases.get(&lease.shard).is_some_and(|stored| stored.counter == lease.counter) {
            leases.remove(&lease.shard);
        }
        self.faults.after("remove a lease")
    }
}
