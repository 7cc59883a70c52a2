//! The store that follows the live mark: whoever holds it reads the live generation, whichever that is
//! by now, without a restart.
//!
//! Each call goes to the generation that is live when it begins. Work that must stay with one generation,
//! such as folding or comparing all records, takes a [`pinned`](LiveStore::pinned) one.

use std::sync::{Arc, PoisonError, RwLock};

use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, Quarantine, Quarantined, StoredPage, StoredPart};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};

/// The records of one generation, with what a program needs of them beyond the ports.
pub trait GenerationStore: Entities + Quarantine {
    /// The processor's progress on a shard that would survive a power loss: what the log may
    /// forget, as far as the state is concerned.
    fn durable_checkpoint(&self, shard: &ShardId) -> impl Future<Output = Result<Option<SequenceNumber>>> + Send;

    /// All checkpoints: of the shards, and of other readers that keep theirs here.
    fn checkpoints(&self) -> impl Future<Output = Result<Vec<(ShardId, SequenceNumber)>>> + Send;

    /// How many entities there are, or were a few hours ago.
    fn entities(&self) -> impl Future<Output = Result<u64>> + Send;

    /// The quarantined items that were released, and when.
    fn released(&self) -> impl Future<Output = Result<Vec<(String, UnixNanos)>>> + Send;

    /// Notes of items that they were released, as far as they are here and not released yet.
    fn mark_all_released(&self, items: Vec<(String, UnixNanos)>) -> impl Future<Output = Result<()>> + Send;
}

/// See the module.
#[derive(Debug)]
pub struct LiveStore<S> {
    live: RwLock<(u32, Arc<S>)>,
}

impl<S> LiveStore<S> {
    /// The records of generation `number`, which is live.
    pub fn new(number: u32, store: Arc<S>) -> Self {
        Self { live: RwLock::new((number, store)) }
    }

    /// The number of the live generation and its records; they stay those when another one is promoted.
    pub fn pinned(&self) -> (u32, Arc<S>) {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on this one is read. The caller has seen the live mark there.
    pub fn follow(&self, number: u32, store: Arc<S>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = (number, store);
    }
}

impl<S: GenerationStore> LiveStore<S> {
    /// The processor's progress on a shard that would survive a power loss.
    pub async fn durable_checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        self.pinned().1.durable_checkpoint(shard).await
    }
}

impl<S: Entities> Entities for LiveStore<S> {
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
    async fn stored(&self, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        let (number, store) = self.pinned();
        let inner = match after.map(|after| after.split_once(':')) {
            None => None,
            Some(Some((of, inner))) if of.parse() == Ok(number) => Some(inner),
            Some(_) => {
                let text = "go on reading records: another generation was promoted in between; begin again";
                return Err(Error::new(ErrorKind::Conflict, text));
            }
        };
        let mut page = store.stored(part, inner, limit).await?;
        page.next = page.next.map(|next| format!("{number}:{next}"));
        Ok(page)
    }

    async fn list(&self, filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Result<Vec<EntityRecord>> {
        self.pinned().1.list(filter, after, limit).await
    }
}

impl<S: Quarantine> Quarantine for LiveStore<S> {
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
