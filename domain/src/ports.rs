//! The few things the roles ask of the world. Adapters implement them; `domain` only names them.
//!
//! Every error says by its kind what the caller must do ([`crate::error::ErrorKind`]).

use std::borrow::Cow;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ids::{EntityKey, SequenceNumber, ShardId, SourceName};
use crate::record::EntityRecord;
use crate::signature::{ApiKeys, SecretSet};
use crate::time::UnixNanos;

/// One record to append: its partition key and its bytes (an encoded envelope).
#[derive(Clone, Debug)]
pub struct LogRecord {
    /// Decides the shard; records of one key keep their order.
    pub key: EntityKey,
    /// The bytes.
    pub data: Bytes,
}

/// Where a record was put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The shard.
    pub shard: ShardId,
    /// The position in it.
    pub sequence: SequenceNumber,
}

/// Something that has a place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequenced<T> {
    /// The position in its shard.
    pub sequence: SequenceNumber,
    /// When the log took it. Not monotonic: never order by it.
    pub arrived_at: UnixNanos,
    /// The thing.
    pub value: T,
}

/// What one read gave.
#[derive(Clone, Debug, Default)]
pub struct ReadBatch {
    /// Records in the log's order; empty when there was nothing new within the wait.
    pub records: Vec<Sequenced<Bytes>>,
    /// How many records of this shard follow that the log knows of; 0 means caught up. Exact where
    /// `late` is `None`, else at least so many.
    pub behind: u64,
    /// How far the last record read is behind the newest one, where the log tells that by time and
    /// does not count records; zero means caught up.
    pub late: Option<Duration>,
    /// The shard is closed and this was its end: no record follows, now or later. Its progress is
    /// [`SequenceNumber::shard_end`] from here on, and the shards that follow it may be read.
    pub ended: bool,
}

/// The hash keys that a shard takes, both included: 0 to 2^128 - 1 over all open shards together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HashRange {
    /// First hash key.
    pub first: u128,
    /// Last hash key.
    pub last: u128,
}

/// A shard and where it came from. A split closes one shard and opens two children of it, a merge
/// closes two and opens one child of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardInfo {
    /// The shard.
    pub id: ShardId,
    /// The shards whose records come before its own; empty for a first one. A parent that the log no
    /// longer lists has nothing left to read.
    pub parents: Vec<ShardId>,
    /// Which keys it takes, where the log tells.
    pub hash_range: Option<HashRange>,
    /// It takes no more records.
    pub closed: bool,
}

impl ShardInfo {
    /// A first shard, open.
    pub fn first(id: ShardId) -> Self {
        Self { id, parents: Vec::new(), hash_range: None, closed: false }
    }
}

/// How much one read may give and how long it may wait for the first record.
#[derive(Clone, Copy, Debug)]
pub struct ReadLimit {
    /// Most records.
    pub records_max: usize,
    /// Most bytes; at least one record is given.
    pub bytes_max: usize,
    /// Longest wait when there is nothing.
    pub wait: Duration,
}

/// The ordered log.
pub trait Log: Send + Sync + 'static {
    /// The shards, in a stable order; closed ones too while the log keeps records of them. Of a log
    /// that can split and merge its shards: as [`lineage`](Self::lineage) last found them.
    fn shards(&self) -> Vec<ShardId>;

    /// Asks the log for its shards and where they come from. A log whose shards never change need not
    /// say more than [`shards`](Self::shards).
    fn lineage(&self) -> impl Future<Output = Result<Vec<ShardInfo>>> + Send {
        async move { Ok(self.shards().into_iter().map(ShardInfo::first).collect()) }
    }

    /// Appends records; `Ok` means every one is durable, in the given order per key. The answer
    /// has one place per record. On [`Retry`](crate::error::ErrorKind::Retry) any of them may or
    /// may not be in the log; appending again is safe, duplicates are dropped behind it. A full
    /// queue is `Retry` too, with nothing appended.
    fn append(&self, records: Vec<LogRecord>) -> impl Future<Output = Result<Vec<Appended>>> + Send;

    /// Reads records strictly after `after` (from the oldest kept one when `None`).
    /// [`Data`](crate::error::ErrorKind::Data) when `after` is behind what the log still keeps.
    fn read(
        &self,
        shard: &ShardId,
        after: Option<&SequenceNumber>,
        limit: ReadLimit,
    ) -> impl Future<Output = Result<ReadBatch>> + Send;

    /// Position of the newest durable record of a shard, `None` when it never held one.
    fn tip(&self, shard: &ShardId) -> impl Future<Output = Result<Option<SequenceNumber>>> + Send;

    /// Whether the log goes at least up to a position of a shard, as far as it can tell: `false` says that the
    /// position is none of this log's. A log that forgets its newest records too cannot tell and says `true`;
    /// what is kept of such a log must have a name that no other log's has.
    fn reaches(&self, shard: &ShardId, position: &SequenceNumber) -> impl Future<Output = Result<bool>> + Send {
        async move { Ok(self.tip(shard).await?.is_some_and(|tip| tip >= *position)) }
    }

    /// Allows the log to forget records of a shard up to and including `through`. Only called
    /// with positions that are archived and folded.
    fn release(&self, shard: &ShardId, through: &SequenceNumber) -> impl Future<Output = Result<()>> + Send;
}

/// A record to write, if nobody changed it in between.
#[derive(Clone, Debug)]
pub struct EntityWrite {
    /// The new record; its revision is `expected_revision + 1`.
    pub record: EntityRecord,
    /// The revision that was read; 0 when there was no record.
    pub expected_revision: u64,
}

/// What one batch of a shard changes.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The shard.
    pub shard: ShardId,
    /// Everything up to and including this position is covered.
    pub checkpoint: SequenceNumber,
    /// At most one write per entity.
    pub writes: Vec<EntityWrite>,
    /// New quarantine items. Putting one again under its id changes nothing.
    pub parked: Vec<Quarantined>,
}

impl Commit {
    /// The records that it writes.
    pub fn into_records(self) -> Vec<EntityRecord> {
        self.writes.into_iter().map(|write| write.record).collect()
    }
}

/// Which entities to list. Empty fields match everything.
#[derive(Clone, Debug, Default)]
pub struct EntityFilter {
    /// Only this source.
    pub source: Option<String>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this status.
    pub status: Option<String>,
    /// Only entities that need attention (anomalies, held or quarantined events).
    pub attention: bool,
}

/// A record as the store holds it; [`EntityRecord::decode`] reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The entity.
    pub key: EntityKey,
    /// The revision by which writes are compared.
    pub revision: u64,
    /// The binary form.
    pub binary: Vec<u8>,
}

/// One of several parts of a store's records, for readers that work side by side. Each record is in one of them;
/// in which, the store decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredPart {
    /// Which, from 0.
    pub number: u32,
    /// How many there are, at least 1.
    pub of: u32,
}

impl StoredPart {
    /// All records.
    pub const ALL: Self = Self { number: 0, of: 1 };
}

/// Some of a store's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredPage {
    /// The records; empty only at the end.
    pub records: Vec<Stored>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// Entity records, and with them the processor's progress: the checkpoint of a shard commits
/// together with what it covers, or after it, never before. Items in the quarantine are there before a record
/// that counts their event as seen.
pub trait Entities: Send + Sync + 'static {
    /// Loads records; the answer has one place per key.
    fn load(&self, keys: &[EntityKey]) -> impl Future<Output = Result<Vec<Option<EntityRecord>>>> + Send;

    /// Commits a batch and gives its records back. [`Conflict`](crate::error::ErrorKind::Conflict)
    /// when any record's revision is not the expected one: load and apply again. That record is as it was then, and
    /// so is the checkpoint. Of the other records and parked items a store without transactions over many things
    /// may have kept some, each of them whole; that is safe, because a record knows by its `through` what it has
    /// seen. On [`Retry`](crate::error::ErrorKind::Retry) the same holds, and the batch may be there as a whole.
    /// What cannot be right, two writes of one entity or a revision that is not the next, is
    /// [`Invalid`](crate::error::ErrorKind::Invalid), and nothing of it is begun. The checkpoint never moves back.
    fn commit(&self, commit: Commit) -> impl Future<Output = Result<Vec<EntityRecord>>> + Send;

    /// The processor's progress on a shard.
    fn checkpoint(&self, shard: &ShardId) -> impl Future<Output = Result<Option<SequenceNumber>>> + Send;

    /// All records of a part as they are stored, page by page in the store's own order, each once. `after` is
    /// [`StoredPage::next`] of the page before. A record that is made in the meantime may be missed.
    fn stored(
        &self,
        part: StoredPart,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<StoredPage>> + Send;

    /// One page of records in key order, strictly after `after`. A change of the last moment may be missing; what is
    /// given is as it was read just now.
    fn list(
        &self,
        filter: &EntityFilter,
        after: Option<&EntityKey>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<EntityRecord>>> + Send;
}

/// An event that could not be read, or that contradicts one already accepted under its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// `shard:sequence` of the log record: one item per record, whoever puts it.
    pub id: String,
    /// The source.
    pub source: SourceName,
    /// The entity it is about, or the `unreadable` entity.
    pub entity: EntityKey,
    /// The event's id, or the digest of an unreadable request.
    pub event_id: String,
    /// Why, in words, with the fix where there is one.
    pub reason: String,
    /// When the request was received.
    pub received_at: UnixNanos,
    /// The encoded envelope: the exact bytes are in it.
    #[serde(skip)]
    pub envelope: Bytes,
    /// When an operator released it, if one did.
    pub released_at: Option<UnixNanos>,
}

/// What is parked. New items come with [`Entities::commit`].
pub trait Quarantine: Send + Sync + 'static {
    /// One page in id order, strictly after `after`; released ones only when asked for.
    fn quarantined(
        &self,
        include_released: bool,
        after: Option<&str>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Quarantined>>> + Send;

    /// One item.
    fn quarantined_one(&self, id: &str) -> impl Future<Output = Result<Option<Quarantined>>> + Send;

    /// Notes that an item was released; false when it was released before or does not exist.
    fn mark_released(&self, id: &str, at: UnixNanos) -> impl Future<Output = Result<bool>> + Send;
}

/// What a create-only put found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object is new.
    New,
    /// An object of that key exists; maybe an earlier attempt of the same writer.
    Exists,
}

/// The last bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Size of the whole object, in bytes.
    pub size: u64,
    /// Its last bytes; all of them when it is short.
    pub bytes: Bytes,
}

/// Immutable objects under keys with `/` in them.
pub trait Archive: Send + Sync + 'static {
    /// Creates an object, atomically and durably, if none has its key (I6).
    fn create(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<Created>> + Send;

    /// Writes a derived object (a manifest), replacing an older one.
    fn replace(&self, key: &str, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Writes a derived object if what has its key is `known` byte for byte, or nothing where that is `None`: of
    /// two writers that knew the same one is refused. `false` when it is another object, and nothing was
    /// written. After a lost answer a later attempt may say `false` of what was written by the earlier one.
    fn exchange(&self, key: &str, known: Option<&Bytes>, new: Bytes) -> impl Future<Output = Result<bool>> + Send;

    /// An object's bytes.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<Bytes>>> + Send;

    /// Some of an object's bytes: those of `range` that it has. Without reading the others where that can be done.
    fn get_range(&self, key: &str, range: Range<u64>) -> impl Future<Output = Result<Option<Bytes>>> + Send {
        async move { Ok(self.get(key).await?.map(|object| slice(&object, range))) }
    }

    /// The last `bytes_max` bytes of several objects, place by place. They may be asked for all at once.
    fn get_ends(&self, keys: &[String], bytes_max: u64) -> impl Future<Output = Result<Vec<Option<End>>>> + Send {
        async move {
            let mut ends = Vec::with_capacity(keys.len());
            for key in keys {
                let end = self.get(key).await?.map(|object| {
                    let size = object.len() as u64;
                    End { size, bytes: slice(&object, size.saturating_sub(bytes_max)..size) }
                });
                ends.push(end);
            }
            Ok(ends)
        }
    }

    /// All keys that start with `prefix`, in byte order.
    fn list(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>>> + Send;

    /// Those of them that are at or behind `from` in byte order, without looking at the others where that
    /// can be done.
    fn list_from(&self, prefix: &str, from: &str) -> impl Future<Output = Result<Vec<String>>> + Send {
        async move {
            let mut keys = self.list(prefix).await?;
            keys.retain(|key| key.as_str() >= from);
            Ok(keys)
        }
    }
}

/// What an object has of a range.
fn slice(object: &Bytes, range: Range<u64>) -> Bytes {
    let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(object.len());
    let (from, to) = (place(range.start), place(range.end));
    object.slice(from.min(to)..to)
}

/// Secrets of the sources. Asked on every request, so that a rotation needs no restart.
pub trait Secrets: Send + Sync + 'static {
    /// The secrets that verify requests of `source`; `None` for an unknown source.
    fn secrets(&self, source: &str) -> Option<Arc<SecretSet>>;
}

/// API keys of the sources whose thin notifications are hydrated. Asked before every fetch, so that a
/// rotation needs no restart.
pub trait FetchKeys: Send + Sync + 'static {
    /// The keys of `source`; `None` when it has none.
    fn api_keys(&self, source: &str) -> Option<Arc<ApiKeys>>;
}

/// One page to fetch. `Debug` shows no header's value.
#[derive(Clone, Debug)]
pub struct Get {
    /// Its address, `https://…`.
    pub url: String,
    /// Headers beside the client's own, name and value.
    pub headers: Vec<(Cow<'static, str>, SecretString)>,
    /// Longest body, in bytes.
    pub bytes_max: usize,
    /// Longest time for all of it: name, connection, head and body.
    pub timeout: Duration,
}

impl Get {
    /// A page without headers of its own: at most 64 KiB within 10 seconds.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new(), bytes_max: 64 * 1024, timeout: Duration::from_secs(10) }
    }
}

/// Pages of other machines. Never asked while a request is served.
pub trait Web: Send + Sync + 'static {
    /// The body of a page that answers 200. Redirects are not followed, and nothing of what was sent or
    /// received stands in an error. Errors by what to do:
    /// [`Retry`](crate::error::ErrorKind::Retry): no connection, no answer in time, 429 or 5xx;
    /// [`Invalid`](crate::error::ErrorKind::Invalid): another status, an address that is not https, or a
    /// header that cannot be sent;
    /// [`Data`](crate::error::ErrorKind::Data): the body is longer than was allowed.
    fn get(&self, get: Get) -> impl Future<Output = Result<Bytes>> + Send;
}

/// What time it is.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> UnixNanos;
}
