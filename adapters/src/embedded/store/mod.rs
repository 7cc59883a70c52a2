//! Entity records, checkpoints and quarantine of one generation, in SQLite.
//!
//! One connection writes, behind a mutex; a few read. A commit is one transaction: every record's
//! revision is compared, and with the records go the checkpoint and the newly parked items, or
//! nothing at all. Encoding happens before the lock is taken.
//!
//! A store that was opened for reading refuses commits
//! ([`ErrorKind::Invalid`](ledgerline_domain::ErrorKind::Invalid)).

mod all;
mod list;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, Quarantine, Quarantined, StoredPage, StoredPart};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};

use self::rows::Row;
use self::schema::STATE;
use super::files::{blocking, file_error, sync_dir};
use super::lock::DirectoryLock;
use super::sqlite::{open_reader, open_writer, sql_error};
use crate::live::GenerationStore;

/// Reading connections kept open.
const READERS_MAX: usize = 8;

/// The store. Clones share it.
#[derive(Clone)]
pub struct EmbeddedStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    /// `None` when opened for reading.
    writer: Option<Mutex<Connection>>,
    readers: Mutex<Vec<Connection>>,
    _lock: Option<Arc<DirectoryLock>>,
}

impl EmbeddedStore {
    /// Opens the database at `path` for the one process that owns it, or makes it.
    pub(crate) fn open(path: &Path, lock: Option<Arc<DirectoryLock>>) -> Result<Self> {
        let connection = open_writer(path, &STATE)?;
        // Makes tables and the names of the files durable, whatever was left in the log of writes.
        connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|e| sql_error(&format!("bring the database {} up to date", path.display()), e))?;
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok(Self::new(path, Some(connection), lock))
    }

    /// Opens the database at `path` for reading; another process may be writing.
    pub(crate) fn open_read_only(path: &Path) -> Result<Self> {
        let store = Self::new(path, None, None);
        let first = open_reader(path, &STATE)?;
        store.inner.give_back(first);
        Ok(store)
    }

    fn new(path: &Path, writer: Option<Connection>, lock: Option<Arc<DirectoryLock>>) -> Self {
        let inner =
            Inner { path: path.to_owned(), writer: writer.map(Mutex::new), readers: Mutex::default(), _lock: lock };
        Self { inner: Arc::new(inner) }
    }

    /// The processor's progress on a shard that would survive a power loss: what the log may
    /// forget, as far as the state is concerned.
    pub async fn durable_checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        let shard = shard.clone();
        self.write(move |connection, path| {
            let checkpoint = checkpoint(connection, &shard)?;
            sync_writes(path)?;
            Ok(checkpoint)
        })
        .await
    }

    /// All checkpoints: of the shards, and of other readers that keep theirs here.
    pub async fn checkpoints(&self) -> Result<Vec<(ShardId, SequenceNumber)>> {
        let failed = |e| sql_error("read the checkpoints", e);
        self.read("read the checkpoints", move |connection| {
            let mut statement = connection.prepare_cached("SELECT shard, sequence FROM checkpoints").map_err(failed)?;
            let rows = statement
                .query_map([], |row| {
                    Ok((ShardId::new(row.get::<_, String>(0)?), SequenceNumber::new(row.get::<_, String>(1)?)))
                })
                .map_err(failed)?;
            rows.map(|row| row.map_err(failed)).collect()
        })
        .await
    }

    /// How many entities there are.
    pub async fn entities(&self) -> Result<u64> {
        self.read("count the records", move |connection| {
            connection
                .query_row("SELECT count(*) FROM entities", [], |row| row.get::<_, i64>(0))
                .map(i64::unsigned_abs)
                .map_err(|e| sql_error("count the records", e))
        })
        .await
    }

    /// The quarantined items that were released, and when.
    pub async fn released(&self) -> Result<Vec<(String, UnixNanos)>> {
        let failed = |e| sql_error("read what was released", e);
        self.read("read what was released", move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, released_at FROM quarantine WHERE released_at IS NOT NULL")
                .map_err(failed)?;
            let rows =
                statement.query_map([], |row| Ok((row.get(0)?, UnixNanos::from_nanos(row.get(1)?)))).map_err(failed)?;
            rows.map(|row| row.map_err(failed)).collect()
        })
        .await
    }

    /// Notes of items that they were released, as far as they are here and not released yet.
    pub async fn mark_all_released(&self, items: Vec<(String, UnixNanos)>) -> Result<()> {
        self.write(move |connection, path| {
            let failed = |e| sql_error("mark quarantined items as released", e);
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
            for (id, at) in items {
                all.prepare_cached("UPDATE quarantine SET released_at = ?2 WHERE id = ?1 AND released_at IS NULL")
                    .and_then(|mut statement| statement.execute(params![id, at.nanos()]))
                    .map_err(failed)?;
            }
            all.commit().map_err(failed)?;
            sync_writes(path)
        })
        .await
    }

    /// Runs `work` on the writer's connection.
    async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection, &Path) -> Result<T> + Send + 'static,
    {
        let inner = self.inner.clone();
        blocking(move || work(&mut *inner.writer()?, &inner.path)).await
    }

    /// Runs `work` on a reading connection, in one transaction.
    async fn read<T, F>(&self, action: &'static str, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let inner = self.inner.clone();
        blocking(move || {
            let connection = inner.reader()?;
            let result = (|| {
                let one = connection.unchecked_transaction().map_err(|e| sql_error(action, e))?;
                let found = work(&one)?;
                one.finish().map_err(|e| sql_error(action, e))?;
                Ok(found)
            })();
            if result.is_ok() {
                inner.give_back(connection);
            }
            result
        })
        .await
    }
}

impl Inner {
    fn writer(&self) -> Result<MutexGuard<'_, Connection>> {
        let writer = self.writer.as_ref().ok_or_else(|| {
            Error::invalid(format!("write to {}: it was opened for reading only", self.path.display()))
        })?;
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reader(&self) -> Result<Connection> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(|| open_reader(&self.path, &STATE), Ok)
    }

    fn give_back(&self, connection: Connection) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_MAX {
            readers.push(connection);
        }
    }
}

/// Makes every commit so far durable. They are in the log of writes, or in the database, which
/// SQLite synced before it began that log anew.
fn sync_writes(path: &Path) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    let wal = PathBuf::from(name);
    std::fs::File::open(&wal)
        .and_then(|file| file.sync_data())
        .map_err(|e| file_error(ErrorKind::Retry, "sync", &wal, e))
}

fn checkpoint(connection: &Connection, shard: &ShardId) -> Result<Option<SequenceNumber>> {
    let failed = |e| sql_error("read a checkpoint", e);
    let mut statement =
        connection.prepare_cached("SELECT sequence FROM checkpoints WHERE shard = ?1").map_err(failed)?;
    let text: Option<String> = statement.query_row([shard.as_str()], |row| row.get(0)).optional().map_err(failed)?;
    Ok(text.map(SequenceNumber::new))
}

/// One commit in one transaction.
fn commit(connection: &mut Connection, commit: &Commit, rows: &[Row<'_>]) -> Result<()> {
    let failed = |e| sql_error("commit a batch of records", e);
    let all = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    rows::write(&all, rows)?;
    rows::park(&all, &commit.parked)?;
    all.prepare_cached(
        "INSERT INTO checkpoints (shard, sequence) VALUES (?1, ?2) ON CONFLICT (shard) DO UPDATE \
         SET sequence = excluded.sequence WHERE excluded.sequence > sequence",
    )
    .and_then(|mut statement| statement.execute([commit.shard.as_str(), commit.checkpoint.as_str()]))
    .map_err(failed)?;
    all.commit().map_err(failed)
}

impl Entities for EmbeddedStore {
    async fn load(&self, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
        let keys = keys.to_vec();
        let stored = self.read("load records", move |connection| rows::load(connection, &keys)).await?;
        Ok(stored)
    }

    async fn commit(&self, batch: Commit) -> Result<Vec<EntityRecord>> {
        let inner = self.inner.clone();
        blocking(move || {
            let rows = rows::encode(&batch.writes)?;
            commit(&mut *inner.writer()?, &batch, &rows)?;
            drop(rows);
            Ok(batch.into_records())
        })
        .await
    }

    async fn checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        let shard = shard.clone();
        self.read("read a checkpoint", move |connection| checkpoint(connection, &shard)).await
    }

    async fn stored(&self, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        let after = after.map(str::parse).transpose();
        let after = after.map_err(|_| Error::invalid("go on reading records: no such place"))?;
        self.read("read all records", move |connection| all::stored(connection, part, after, limit)).await
    }

    async fn list(&self, filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Result<Vec<EntityRecord>> {
        let (filter, after) = (filter.clone(), after.cloned());
        self.read("list records", move |connection| list::list(connection, &filter, after.as_ref(), limit)).await
    }
}

impl Quarantine for EmbeddedStore {
    async fn quarantined(&self, include_released: bool, after: Option<&str>, limit: usize) -> Result<Vec<Quarantined>> {
        let after = after.unwrap_or_default().to_owned();
        self.read("list the quarantine", move |connection| {
            rows::quarantined(connection, include_released, &after, limit)
        })
        .await
    }

    async fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>> {
        let id = id.to_owned();
        self.read("read a quarantined item", move |connection| rows::quarantined_one(connection, &id)).await
    }

    async fn mark_released(&self, id: &str, at: UnixNanos) -> Result<bool> {
        let id = id.to_owned();
        self.write(move |connection, path| {
            let changed = connection
                .prepare_cached("UPDATE quarantine SET released_at = ?2 WHERE id = ?1 AND released_at IS NULL")
                .and_then(|mut statement| statement.execute(params![id, at.nanos()]))
                .map_err(|e| sql_error("mark a quarantined item as released", e))?;
            // Rare, and a person was told.
            sync_writes(path)?;
            Ok(changed == 1)
        })
        .await
    }
}

impl GenerationStore for EmbeddedStore {
    async fn durable_checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        self.durable_checkpoint(shard).await
    }

    async fn checkpoints(&self) -> Result<Vec<(ShardId, SequenceNumber)>> {
        self.checkpoints().await
    }

    async fn entities(&self) -> Result<u64> {
        self.entities().await
    }

    async fn released(&self) -> Result<Vec<(String, UnixNanos)>> {
        self.released().await
    }

    async fn mark_all_released(&self, items: Vec<(String, UnixNanos)>) -> Result<()> {
        self.mark_all_released(items).await
    }
}

impl std::fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmbeddedStore({})", self.inner.path.display())
    }
}
