//! One generation of entity records, of either kind.

use std::sync::Arc;

use ledgerline_adapters::embedded::EmbeddedStore;
#[cfg(feature = "aws")]
use ledgerline_adapters::live::GenerationStore as _;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, Quarantine, Quarantined, StoredPage, StoredPart};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;

use super::either;

/// See the module. Clones lead to the same records.
#[derive(Clone)]
pub enum AnyStore {
    /// SQLite on this machine.
    Local(Arc<EmbeddedStore>),
    /// DynamoDB tables.
    #[cfg(feature = "aws")]
    Aws(Arc<ledgerline_adapters::aws::dynamo::DynamoStore>),
}

impl AnyStore {
    /// The progress on a shard that would survive a power loss.
    pub async fn durable_checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        either!(self, store => store.durable_checkpoint(shard).await)
    }

    /// All checkpoints, those of readers that do not fold too.
    pub async fn checkpoints(&self) -> Result<Vec<(ShardId, SequenceNumber)>> {
        either!(self, store => store.checkpoints().await)
    }

    /// How many records there are; at AWS as of some hours ago.
    pub async fn entities(&self) -> Result<u64> {
        either!(self, store => store.entities().await)
    }

    /// Which items of the quarantine were released, and when.
    pub async fn released(&self) -> Result<Vec<(String, UnixNanos)>> {
        either!(self, store => store.released().await)
    }

    /// Notes such items as released.
    pub async fn mark_all_released(&self, items: Vec<(String, UnixNanos)>) -> Result<()> {
        either!(self, store => store.mark_all_released(items).await)
    }
}

impl Entities for AnyStore {
    async fn load(&self, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
        either!(self, store => store.load(keys).await)
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<EntityRecord>> {
        either!(self, store => store.commit(commit).await)
    }

    async fn checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        either!(self, store => store.checkpoint(shard).await)
    }

    async fn stored(&self, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        either!(self, store => store.stored(part, after, limit).await)
    }

    async fn list(&self, filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Result<Vec<EntityRecord>> {
        either!(self, store => store.list(filter, after, limit).await)
    }
}

impl Quarantine for AnyStore {
    async fn quarantined(&self, include_released: bool, after: Option<&str>, limit: usize) -> Result<Vec<Quarantined>> {
        either!(self, store => store.quarantined(include_released, after, limit).await)
    }

    async fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>> {
        either!(self, store => store.quarantined_one(id).await)
    }

    async fn mark_released(&self, id: &str, at: UnixNanos) -> Result<bool> {
        either!(self, store => store.mark_released(id, at).await)
    }
}
