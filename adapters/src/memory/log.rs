//! The log in memory: per shard a list, numbered from 1 without gaps. Shards can be split and merged, as those of a
//! stream are: numbers of a child go on behind all of its parents'.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{
    Appended, Clock, HashRange, Log, LogRecord, ReadBatch, ReadLimit, Sequenced, ShardInfo,
};
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Faults, lock};
use crate::clock::SystemClock;

/// See the module.
pub struct MemoryLog {
    state: Mutex<Vec<Shard>>,
    /// Changes with every append.
    appended: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    records_max: usize,
    faults: Faults,
}

/// Hash keys are numbers below this, so that every shard of a new log has an equal part of them.
const HASHES: u32 = u32::MAX;

struct Shard {
    id: ShardId,
    parents: Vec<ShardId>,
    /// Hash keys from the first to before the second.
    hashes: (u32, u32),
    closed: bool,
    /// Number before its first one.
    base: u64,
    /// Numbers up to here were released.
    released: u64,
    records: Vec<Sequenced<Bytes>>,
}

impl Shard {
    fn new(number: usize, parents: &[&Self], hashes: (u32, u32)) -> Self {
        let base = parents.iter().map(|parent| parent.newest()).max().unwrap_or_default();
        let parents = parents.iter().map(|parent| parent.id.clone()).collect();
        let id = ShardId::numbered(u32::try_from(number).unwrap_or(u32::MAX));
        Self { id, parents, hashes, closed: false, base, released: base, records: Vec::new() }
    }

    fn takes(&self, hash: u32) -> bool {
        (self.hashes.0..self.hashes.1).contains(&hash)
    }

    fn newest(&self) -> u64 {
        self.released + self.records.len() as u64
    }

    fn info(&self) -> ShardInfo {
        let (first, end) = (u128::from(self.hashes.0) << 96, u128::from(self.hashes.1) << 96);
        // The last one goes to the end of all hash keys.
        let last = if self.hashes.1 == HASHES { u128::MAX } else { end - 1 };
        let (id, parents, closed) = (self.id.clone(), self.parents.clone(), self.closed);
        ShardInfo { id, parents, hash_range: Some(HashRange { first, last }), closed }
    }
}

impl MemoryLog {
    /// A log of `shards` shards that tells the machine's time.
    pub fn new(shards: u32) -> Self {
        Self::with_clock(shards, Arc::new(SystemClock))
    }

    /// A log of `shards` shards that tells `clock`'s time.
    pub fn with_clock(shards: u32, clock: Arc<dyn Clock>) -> Self {
        let bound =
            |n: u32| u32::try_from(u64::from(n) * u64::from(HASHES) / u64::from(shards.max(1))).unwrap_or(HASHES);
        let shard = |n: u32| Shard::new(n as usize, &[], (bound(n), bound(n + 1)));
        Self {
            state: Mutex::new((0..shards).map(shard).collect()),
            appended: watch::Sender::new(0),
            clock,
            records_max: usize::MAX,
            faults: Faults::default(),
        }
    }

    /// Refuses appends while it keeps so many records.
    #[must_use]
    pub fn with_records_max(mut self, records_max: usize) -> Self {
        self.records_max = records_max;
        self
    }

    /// Makes appends fail.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Closes a shard and opens two children, each with half of its hash keys.
    pub fn split(&self, shard: &ShardId) -> Result<[ShardId; 2]> {
        let index = self.open_index(shard)?;
        let mut state = lock(&self.state);
        let number = state.len();
        let parent = state.get_mut(index).ok_or_else(|| Error::internal("find a shard"))?;
        parent.closed = true;
        let (first, end) = parent.hashes;
        let middle = first + (end - first) / 2;
        let children =
            [Shard::new(number, &[parent], (first, middle)), Shard::new(number + 1, &[parent], (middle, end))];
        let ids = children.each_ref().map(|child| child.id.clone());
        state.extend(children);
        drop(state);
        self.appended.send_modify(|n| *n += 1);
        Ok(ids)
    }

    /// Closes two shards with adjacent hash keys and opens one child of both.
    pub fn merge(&self, one: &ShardId, other: &ShardId) -> Result<ShardId> {
        let (one, other) = (self.open_index(one)?, self.open_index(other)?);
        let mut state = lock(&self.state);
        let number = state.len();
        let (Some(a), Some(b)) = (state.get(one), state.get(other)) else {
            return Err(Error::internal("find a shard"));
        };
        if a.hashes.1 != b.hashes.0 && b.hashes.1 != a.hashes.0 {
            return Err(Error::invalid(format!("merge {} with {}: they are not adjacent", a.id, b.id)));
        }
        let hashes = (a.hashes.0.min(b.hashes.0), a.hashes.1.max(b.hashes.1));
        let child = Shard::new(number, &[a, b], hashes);
        let id = child.id.clone();
        for parent in [one, other] {
            if let Some(parent) = state.get_mut(parent) {
                parent.closed = true;
            }
        }
        state.push(child);
        drop(state);
        self.appended.send_modify(|n| *n += 1);
        Ok(id)
    }

    /// Every shard that takes or took a key, parents first.
    pub fn shards_of(&self, key: &EntityKey) -> Vec<ShardId> {
        let hash = key.part_of(HASHES);
        let state = lock(&self.state);
        state.iter().filter(|shard| shard.takes(hash)).map(|shard| shard.id.clone()).collect()
    }

    fn index(&self, shard: &ShardId) -> Result<usize> {
        let state = lock(&self.state);
        let at = state.iter().position(|s| s.id == *shard);
        at.ok_or_else(|| Error::invalid(format!("find {shard} in the log: it has {} shards", state.len())))
    }

    fn open_index(&self, shard: &ShardId) -> Result<usize> {
        let index = self.index(shard)?;
        let closed = lock(&self.state).get(index).is_none_or(|shard| shard.closed);
        if closed { Err(Error::invalid(format!("split or merge {shard}: it is closed"))) } else { Ok(index) }
    }

    /// Whether a shard is closed and ends there.
    fn ends_at(&self, index: usize, after: Option<u64>) -> bool {
        let state = lock(&self.state);
        state.get(index).is_some_and(|shard| shard.closed && after.unwrap_or(shard.released) == shard.newest())
    }

    /// What is there after `after`, or `None` when there is nothing newer.
    fn read_now(&self, index: usize, after: Option<u64>, limit: ReadLimit) -> Result<Option<ReadBatch>> {
        let state = lock(&self.state);
        let shard = state.get(index).ok_or_else(|| Error::internal("find a shard"))?;
        let after = after.unwrap_or(shard.released);
        if after < shard.released {
            return Err(Error::data(format!(
                "read the log after {after}: records up to {} were released",
                shard.released
            )));
        }
        if after > shard.newest() {
            return Err(Error::data(format!("read the log after {after}: it ends at {}", shard.newest())));
        }
        let skip = usize::try_from(after - shard.released).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let fits = |record: &&Sequenced<Bytes>| {
            let first = bytes == 0;
            bytes += record.value.len().max(1);
            first || bytes <= limit.bytes_max
        };
        let records: Vec<_> =
            shard.records.iter().skip(skip).take(limit.records_max.max(1)).take_while(fits).cloned().collect();
        let behind = (shard.records.len() - skip - records.len()) as u64;
        Ok((!records.is_empty()).then_some(ReadBatch { records, behind, ..ReadBatch::default() }))
    }
}

fn number(sequence: &SequenceNumber) -> Result<u64> {
    sequence.to_u64().ok_or_else(|| Error::invalid(format!("find position {sequence} in the log")))
}

impl Log for MemoryLog {
    fn shards(&self) -> Vec<ShardId> {
        lock(&self.state).iter().map(|shard| shard.id.clone()).collect()
    }

    async fn lineage(&self) -> Result<Vec<ShardInfo>> {
        Ok(lock(&self.state).iter().map(Shard::info).collect())
    }

    async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        self.faults.before("append to the log")?;
        let arrived_at = self.clock.now();
        let mut answer = Vec::with_capacity(records.len());
        {
            let mut state = lock(&self.state);
            let kept: usize = state.iter().map(|s| s.records.len()).sum();
            if kept.saturating_add(records.len()) > self.records_max {
                return Err(Error::retry(format!("append to the log: it is full ({kept} records)")));
            }
            for record in records {
                let hash = record.key.part_of(HASHES);
                let Some(shard) = state.iter_mut().find(|shard| !shard.closed && shard.takes(hash)) else {
                    return Err(Error::invalid("append to a log without shards"));
                };
                let sequence = SequenceNumber::from_u64(shard.newest() + 1);
                shard.records.push(Sequenced { sequence: sequence.clone(), arrived_at, value: record.data });
                answer.push(Appended { shard: shard.id.clone(), sequence });
            }
        }
        self.appended.send_modify(|n| *n += 1);
        self.faults.after("append to the log")?;
        Ok(answer)
    }

    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        let index = self.index(shard)?;
        if after.is_some_and(SequenceNumber::is_shard_end) {
            tokio::time::sleep(limit.wait).await;
            return Ok(ReadBatch { ended: true, ..ReadBatch::default() });
        }
        let after = after.map(number).transpose()?;
        let mut appended = self.appended.subscribe();
        let until = Instant::now() + limit.wait;
        loop {
            appended.borrow_and_update();
            if let Some(batch) = self.read_now(index, after, limit)? {
                return Ok(batch);
            }
            if !matches!(timeout_at(until, appended.changed()).await, Ok(Ok(()))) {
                return Ok(ReadBatch { ended: self.ends_at(index, after), ..ReadBatch::default() });
            }
        }
    }

    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        let index = self.index(shard)?;
        let state = lock(&self.state);
        let newest =
            state.get(index).map(Shard::newest).filter(|newest| Some(*newest) > state.get(index).map(|s| s.base));
        Ok(newest.map(SequenceNumber::from_u64))
    }

    async fn release(&self, shard: &ShardId, through: &SequenceNumber) -> Result<()> {
        let (index, through) = (self.index(shard)?, number(through)?);
        if let Some(shard) = lock(&self.state).get_mut(index) {
            let gone = through.min(shard.newest()).saturating_sub(shard.released);
            shard.records.drain(..usize::try_from(gone).unwrap_or(0));
            shard.released += gone;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: ReadLimit = ReadLimit { records_max: 100, bytes_max: usize::MAX, wait: std::time::Duration::ZERO };

    async fn append(log: &MemoryLog, id: usize) -> Appended {
        let key = EntityKey::parse(&format!("s/payment/{id}")).unwrap();
        log.append(vec![LogRecord { key, data: Bytes::from(format!("{id}")) }]).await.unwrap().remove(0)
    }

    #[tokio::test]
    async fn a_key_goes_from_parent_to_child_with_rising_numbers() {
        let log = MemoryLog::new(2);
        let mut places: Vec<Vec<Appended>> = vec![Vec::new(); 40];
        let mut fill = async || {
            for (id, places) in places.iter_mut().enumerate() {
                places.push(append(&log, id).await);
            }
        };
        fill().await;
        let [left, right] = log.split(&ShardId::numbered(0)).unwrap();
        fill().await;
        let merged = log.merge(&right, &ShardId::numbered(1)).unwrap();
        assert!(log.merge(&left, &left).is_err() && log.split(&right).is_err());
        fill().await;
        for (id, places) in places.iter().enumerate() {
            let key = EntityKey::parse(&format!("s/payment/{id}")).unwrap();
            let shards: Vec<_> = places.iter().map(|place| place.shard.clone()).collect();
            assert!(places.is_sorted_by(|a, b| a.sequence < b.sequence), "{places:?}");
            let mut known = shards.clone();
            known.dedup();
            assert_eq!(log.shards_of(&key), known);
        }
        let infos = log.lineage().await.unwrap();
        assert_eq!(infos[4].parents, [right.clone(), ShardId::numbered(1)]);
        assert_eq!(infos[4].id, merged);
        let mut open: Vec<_> = infos.iter().filter(|s| !s.closed).filter_map(|s| s.hash_range).collect();
        open.sort_unstable();
        assert_eq!((open[0].first, open[0].last + 1, open[1].last), (0, open[1].first, u128::MAX));
        // A closed shard says where it ends, an open one does not.
        let read = log.read(&right, None, NOW).await.unwrap();
        let last = read.records.last().map(|record| record.sequence.clone());
        assert!(last.is_some() && last == log.tip(&right).await.unwrap());
        assert!(log.read(&right, last.as_ref(), NOW).await.unwrap().ended);
        assert!(log.read(&right, Some(&SequenceNumber::shard_end()), NOW).await.unwrap().ended);
        let open = log.tip(&merged).await.unwrap();
        assert!(!log.read(&merged, open.as_ref(), NOW).await.unwrap().ended);
        let [empty, _] = log.split(&left).unwrap();
        assert_eq!(log.tip(&empty).await.unwrap(), None);
    }
}
