//! Entity records, checkpoints and quarantine in memory, each record in its stored form.

use std::collections::BTreeMap;
use std::sync::Mutex;

use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{
    Commit, Entities, EntityFilter, Quarantine, Quarantined, Stored, StoredPage, StoredPart,
};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::{Faults, lock};

/// See the module.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    faults: Faults,
}

#[derive(Default)]
struct State {
    rows: BTreeMap<EntityKey, Row>,
    checkpoints: BTreeMap<ShardId, SequenceNumber>,
    quarantine: BTreeMap<String, Quarantined>,
}

struct Row {
    revision: u64,
    status: String,
    attention: bool,
    binary: Vec<u8>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes commits fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Row {
    fn matches(&self, key: &EntityKey, filter: &EntityFilter) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&filter.source, key.source())
            && is(&filter.kind, key.kind())
            && is(&filter.status, &self.status)
            && (self.attention || !filter.attention)
    }
}

impl Entities for MemoryStore {
    async fn load(&self, keys: &[EntityKey]) -> Result<Vec<Option<EntityRecord>>> {
        let state = lock(&self.state);
        keys.iter().map(|key| state.rows.get(key).map(|row| EntityRecord::decode(&row.binary)).transpose()).collect()
    }

    async fn commit(&self, commit: Commit) -> Result<Vec<EntityRecord>> {
        self.faults.before("commit a batch")?;
        let mut new = BTreeMap::new();
        for write in &commit.writes {
            let record = &write.record;
            if write.expected_revision.checked_add(1) != Some(record.revision) {
                return Err(Error::invalid(format!(
                    "write revision {} of {} over revision {}: it must be one higher",
                    record.revision, record.key, write.expected_revision
                )));
            }
            let row = Row {
                revision: record.revision,
                status: record.status().to_owned(),
                attention: record.needs_attention(),
                binary: record.encode()?,
            };
            if new.insert(record.key.clone(), row).is_some() {
                return Err(Error::invalid(format!("commit {} twice in one batch", record.key)));
            }
        }
        {
            let mut state = lock(&self.state);
            for write in &commit.writes {
                let key = &write.record.key;
                if state.rows.get(key).map_or(0, |row| row.revision) != write.expected_revision {
                    let message =
                        format!("write revision {} of {key}: it was changed in between", write.record.revision);
                    return Err(Error::new(ErrorKind::Conflict, message));
                }
            }
            state.rows.append(&mut new);
            for item in &commit.parked {
                state.quarantine.entry(item.id.clone()).or_insert_with(|| item.clone());
            }
            let checkpoint = state.checkpoints.entry(commit.shard.clone()).or_insert_with(|| commit.checkpoint.clone());
            if commit.checkpoint > *checkpoint {
                *checkpoint = commit.checkpoint.clone();
            }
        }
        self.faults.after("commit a batch")?;
        Ok(commit.into_records())
    }

    async fn checkpoint(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        Ok(lock(&self.state).checkpoints.get(shard).cloned())
    }

    async fn stored(&self, part: StoredPart, after: Option<&str>, limit: usize) -> Result<StoredPage> {
        let state = lock(&self.state);
        let behind = state.rows.iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
        let records: Vec<_> = behind
            .filter(|(key, _)| key.part_of(part.of) == part.number)
            .take(limit)
            .map(|(key, row)| Stored { key: key.clone(), revision: row.revision, binary: row.binary.clone() })
            .collect();
        let next = records.last().map(|last| last.key.as_str().to_owned());
        Ok(StoredPage { records, next })
    }

    async fn list(&self, filter: &EntityFilter, after: Option<&EntityKey>, limit: usize) -> Result<Vec<EntityRecord>> {
        let state = lock(&self.state);
        let behind = state.rows.iter().filter(|(key, _)| after.is_none_or(|after| *key > after));
        let found = behind.filter(|(key, row)| row.matches(key, filter)).take(limit);
        found.map(|(_, row)| EntityRecord::decode(&row.binary)).collect()
    }
}

impl Quarantine for MemoryStore {
    async fn quarantined(&self, include_released: bool, after: Option<&str>, limit: usize) -> Result<Vec<Quarantined>> {
        let state = lock(&self.state);
        let behind = state.quarantine.values().filter(|item| item.id.as_str() > after.unwrap_or_default());
        Ok(behind.filter(|item| include_released || item.released_at.is_none()).take(limit).cloned().collect())
    }

    async fn quarantined_one(&self, id: &str) -> Result<Option<Quarantined>> {
        Ok(lock(&self.state).quarantine.get(id).cloned())
    }

    async fn mark_released(&self, id: &str, at: UnixNanos) -> Result<bool> {
        let mut state = lock(&self.state);
        let open = state.quarantine.get_mut(id).filter(|item| item.released_at.is_none());
        Ok(open.map(|item| item.released_at = Some(at)).is_some())
    }
}
