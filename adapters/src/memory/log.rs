//! The log in memory: per shard a list, numbered from 1 without gaps.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Appended, Clock, Log, LogRecord, ReadBatch, ReadLimit, Sequenced};
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::{Faults, lock};
use crate::clock::SystemClock;
use crate::partition::shard_index;

/// See the module.
pub struct MemoryLog {
    shards: Vec<ShardId>,
    state: Mutex<Vec<Shard>>,
    /// Changes with every append.
    appended: watch::Sender<u64>,
    clock: Arc<dyn Clock>,
    records_max: usize,
    faults: Faults,
}

#[derive(Default)]
struct Shard {
    /// Numbers up to here were released.
    released: u64,
    records: Vec<Sequenced<Bytes>>,
}

impl Shard {
    fn newest(&self) -> u64 {
        self.released + self.records.len() as u64
    }
}

impl MemoryLog {
    /// A log of `shards` shards that tells the machine's time.
    pub fn new(shards: u32) -> Self {
        Self::with_clock(shards, Arc::new(SystemClock))
    }

    /// A log of `shards` shards that tells `clock`'s time.
    pub fn with_clock(shards: u32, clock: Arc<dyn Clock>) -> Self {
        Self {
            shards: (0..shards).map(ShardId::numbered).collect(),
            state: Mutex::new((0..shards).map(|_| Shard::default()).collect()),
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

    fn index(&self, shard: &ShardId) -> Result<usize> {
        let at = self.shards.iter().position(|s| s == shard);
        at.ok_or_else(|| Error::invalid(format!("find {shard} in the log: it has {} shards", self.shards.len())))
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
        self.shards.clone()
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
            let count = u32::try_from(state.len()).unwrap_or(u32::MAX);
            for record in records {
                let index = shard_index(&record.key, count) as usize;
                let (Some(shard), Some(id)) = (state.get_mut(index), self.shards.get(index)) else {
                    return Err(Error::invalid("append to a log without shards"));
                };
                let sequence = SequenceNumber::from_u64(shard.newest() + 1);
                shard.records.push(Sequenced { sequence: sequence.clone(), arrived_at, value: record.data });
                answer.push(Appended { shard: id.clone(), sequence });
            }
        }
        self.appended.send_modify(|n| *n += 1);
        self.faults.after("append to the log")?;
        Ok(answer)
    }

    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        let index = self.index(shard)?;
        let after = after.map(number).transpose()?;
        let mut appended = self.appended.subscribe();
        let until = Instant::now() + limit.wait;
        loop {
            appended.borrow_and_update();
            if let Some(batch) = self.read_now(index, after, limit)? {
                return Ok(batch);
            }
            if !matches!(timeout_at(until, appended.changed()).await, Ok(Ok(()))) {
                return Ok(ReadBatch::default());
            }
        }
    }

    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        let newest = lock(&self.state).get(self.index(shard)?).map_or(0, Shard::newest);
        Ok((newest > 0).then(|| SequenceNumber::from_u64(newest)))
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
