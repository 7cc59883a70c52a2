//! The store that follows the live mark: whoever holds it reads the live generation, whichever that is
//! by now, without a restart.
//!
//! Each call goes to the generation that is live when it begins. Work that must stay with one generation,
//! such as folding or comparing all records, takes a [`pinned`](LiveStore::pinned) one.

use std::sync::{Arc, PoisonError, RwLock};

use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, Quarantine, Quarantined, StoredPage};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::store::EmbeddedStore;

/// See the module.
#[derive(Debug)]
pub struct LiveStore {
    live: RwLock<(u32, Arc<EmbeddedStore>)>,
}

impl LiveStore {
    pub(crate) fn new(number: u32, store: Arc<EmbeddedStore>) -> Self {
        Self { live: RwLock::new((number, store)) }
    }

    /// The number of the live generation and its records; they stay those when another one is promoted.
    pub fn pinned(&self) -> (u32, Arc<EmbeddedStore>) {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn follow(&self, number: u32, store: Arc<EmbeddedStore>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = (number, store);
    }

    /// The processor's progress on a shard that would survive a power loss.
    pub async fn durable_checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        self.pinned().1.durable_checkpoint(shard).await
    }
}

impl Entities for LiveStore {
    async fn load(&self, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
        self.pinned().1.load(keys).await
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<EntityRecord>> {
        self.pinned().1.commit(commit).await
    }

    async fn checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        self.pinned().1.checkpoint(shard).await
    }

    /// [`ErrorKind::Conflict`] when another generation was promoted between two pages.
    async fn stored(&self, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        let (number, store) = self.pinned();
        let inner = match after.map(|after| after.split_once(':')) {
            None => None,
            Some(Some((of, inner))) if of.parse() == Ok(number) => Some(inner),
            Some(_) => {
                let text = "go on reading records: another generation was promoted in between; begin again";
                return Err(Error::new(ErrorKind::Conflict, text));
            }
        };
        let mut page = store.stored(inner, limit).await?;
        page.next = page.next.map(|next| format!("{number}:{next}"));
        Ok(page)
    }

    async fn list(&self, filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Result<Vec<EntityRecord>> {
        self.pinned().1.list(filter, after, limit).await
    }
}

impl Quarantine for LiveStore {
    async fn quarantined(&self, include_released: bool, after: Option<&str>, limit: usize) -> Result<Vec<Quarantined>> {
        self.pinned().1.quarantined(include_released, after, limit).await
    }

    async fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>> {
        self.pinned().1.quarantined_one(id).await
    }

    async fn mark_released(&self, id: &str, at: UnixNanos) -> Result<bool> {
        self.pinned().1.mark_released(id, at).await
    }
}
