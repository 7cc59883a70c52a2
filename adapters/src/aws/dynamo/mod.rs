//! Entity records, checkpoints and quarantine in DynamoDB.
//!
//! Three tables per generation, and one that says which generation is live (see [`tables`]). One item is one
//! entity: its readable state for people, its binary record for the program, and its revision. One conditional
//! put per entity and batch compares the revision; nothing else is needed for I5. A long history lies in items of its
//! own that never change and that the entity's item names: see ADR 24.
//!
//! **A batch is many writes here**, not one transaction (which would cost twice as much and take 100 items at
//! most). The order makes that safe: newly parked items first, then the records side by side, and the checkpoint
//! when all of them are there. A batch that stops half-way is read again from the log, and every record knows by
//! its `through` what it has. See ADR 20.
//!
//! A write that got no answer is repeated and meets itself: each put carries a token, so its own earlier attempt
//! is told from somebody else's write. Throttling holds up the one call that met it.
//!
//! Listings come from indexes, which DynamoDB brings up to date a moment later; what they name is then read for
//! good.

mod checkpoints;
mod chunks;
mod commit;
mod control;
mod cut;
mod item;
mod known;
mod list;
mod load;
#[cfg(test)]
mod long_tests;
mod merge;
mod quarantine;
mod stored;
pub mod tables;

use std::fmt;
use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use ledgerline_domain::Result;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, Quarantine, Quarantined, StoredPage, StoredPart};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;

pub use self::control::DynamoControl;
pub use self::item::ITEM_BYTES_MAX;
use self::known::Known;
use self::tables::Tables;
use super::failure::Call;
use super::{AwsConfig, RetrySettings};
use crate::live::GenerationStore;

/// Which tables, and how they are used. Plain data.
#[derive(Clone, Debug)]
pub struct DynamoSettings {
    /// What the names of all tables begin with, such as `ledgerline`.
    pub prefix: String,
    /// Most calls under way for one batch.
    pub at_once: usize,
    /// Pauses and patience of one call.
    pub retries: RetrySettings,
}

impl DynamoSettings {
    /// The usual settings.
    pub fn new(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), at_once: 64, retries: RetrySettings::default() }
    }
}

/// One generation of records. Clones share the client.
#[derive(Clone)]
pub struct DynamoStore {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client,
    tables: Tables,
    at_once: usize,
    retries: RetrySettings,
    chunks: Known,
}

impl DynamoStore {
    /// Generation `number`, whose tables must exist. Asks nothing of them yet.
    pub fn new(aws: &AwsConfig, settings: &DynamoSettings, number: u32) -> Result<Self> {
        let tables = Tables::new(&settings.prefix, number)?;
        let DynamoSettings { at_once, retries, .. } = *settings;
        let chunks = Known::default();
        Ok(Self { inner: Arc::new(Inner { client: aws.dynamodb(), tables, at_once, retries, chunks }) })
    }

    /// The names of its tables.
    pub fn tables(&self) -> &Tables {
        &self.inner.tables
    }
}

impl GenerationStore for DynamoStore {
    /// The same as [`checkpoint`](Entities::checkpoint): what DynamoDB has confirmed is kept.
    async fn durable_checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        checkpoints::read(&self.inner, shard).await
    }

    async fn checkpoints(&self) -> Result<Vec<(ShardId, SequenceNumber)>> {
        checkpoints::all(&self.inner).await
    }

    /// As DynamoDB counted them last, which it does about every six hours; asking costs nothing.
    async fn entities(&self) -> Result<u64> {
        stored::count(&self.inner).await
    }

    async fn released(&self) -> Result<Vec<(String, UnixNanos)>> {
        quarantine::released(&self.inner).await
    }

    async fn mark_all_released(&self, items: Vec<(String, UnixNanos)>) -> Result<()> {
        quarantine::release_all(&self.inner, items).await
    }
}

/// A call on a table, for messages.
fn call<'a>(action: &'a str, permission: &'a str, table: &'a str) -> Call<'a> {
    Call { action, permission, on: table }
}

impl Entities for DynamoStore {
    async fn load(&self, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
        load::load(&self.inner, keys).await
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<EntityRecord>> {
        commit::commit(&self.inner, commit).await
    }

    async fn checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        checkpoints::read(&self.inner, shard).await
    }

    async fn stored(&self, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        stored::page(&self.inner, part, after, limit).await
    }

    async fn list(&self, filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Result<Vec<EntityRecord>> {
        list::list(&self.inner, filter, after, limit).await
    }
}

impl Quarantine for DynamoStore {
    async fn quarantined(&self, include_released: bool, after: Option<&str>, limit: usize) -> Result<Vec<Quarantined>> {
        quarantine::list(&self.inner, include_released, after, limit).await
    }

    async fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>> {
        quarantine::one(&self.inner, id).await
    }

    async fn mark_released(&self, id: &str, at: UnixNanos) -> Result<bool> {
        quarantine::release(&self.inner, id, at).await
    }
}

impl fmt::Debug for DynamoStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DynamoStore({})", self.inner.tables.records)
    }
}
