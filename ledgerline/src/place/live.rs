//! The records of whichever generation is live, of either kind.

use std::sync::Arc;

use ledgerline_adapters::embedded;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, Quarantine, Quarantined, StoredPage, StoredPart};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;

use super::{AnyStore, either};

/// See the module.
#[derive(Clone)]
pub enum AnyLive {
    /// On this machine.
    Local(Arc<embedded::LiveStore>),
    /// At AWS.
    #[cfg(feature = "aws")]
    Aws(Arc<super::aws::Live>),
}

impl AnyLive {
    /// The number of the live generation and its records; they stay those when another one is promoted.
    pub fn pinned(&self) -> (u32, AnyStore) {
        match self {
            Self::Local(live) => {
                let (number, store) = live.pinned();
                (number, AnyStore::Local(store))
            }
            #[cfg(feature = "aws")]
            Self::Aws(live) => {
                let (number, store) = live.pinned();
                (number, AnyStore::Aws(store))
            }
        }
    }
}

impl Entities for AnyLive {
    async fn load(&self, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
        either!(self, live => live.load(keys).await)
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<EntityRecord>> {
        either!(self, live => live.commit(commit).await)
    }

    async fn checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        either!(self, live => live.checkpoint(shard).await)
    }

    async fn stored(&self, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        either!(self, live => live.stored(part, after, limit).await)
    }

    async fn list(&self, filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Result<Vec<EntityRecord>> {
        either!(self, live => live.list(filter, after, limit).await)
    }
}

impl Quarantine for AnyLive {
    async fn quarantined(&self, include_released: bool, after: Option<&str>, limit: usize) -> Result<Vec<Quarantined>> {
        either!(self, live => live.quarantined(include_released, after, limit).await)
    }

    async fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>> {
        either!(self, live => live.quarantined_one(id).await)
    }

    async fn mark_released(&self, id: &str, at: UnixNanos) -> Result<bool> {
        either!(self, live => live.mark_released(id, at).await)
    }
}
