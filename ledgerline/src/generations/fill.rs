//! Fills a generation that is being built: the live path with the archive as its log.
//!
//! Each shard's archived records go through the very steps that the processor takes with the log's:
//! read a batch, load, fold, one conditional commit with a checkpoint. So a filled generation is what the
//! processor would have made of the same records, its quarantine included; memory is bounded by a batch
//! and a segment; and whoever was killed goes on from the checkpoint. The checkpoint of a part is kept
//! under a name that no shard has, until all parts are done.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::embedded::{Generation, Positions};
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Commit, Entities as _, Sequenced};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::{Error, ErrorKind, Result};
use ledgerline_processor::cache::Cache;
use ledgerline_processor::fold_batch::{Batch, Counts};
use ledgerline_replay::generation::Feed;
use ledgerline_replay::partition::Partition;
use tokio::time::Instant;

use super::supervisor::carry_over;
use crate::place::{AnyControl, AnyStore, Reader};

/// Most records per commit.
const BATCH_RECORDS: usize = 2048;
/// Batches a second where a rate is given.
const BATCHES_PER_SECOND: u32 = 10;
/// Records of recent batches kept in memory (twice this at most).
const CACHE_RECORDS: usize = 4096;
/// How often a batch is folded again when another process fills the same part.
const CONFLICTS_MAX: u32 = 16;

/// How a fill ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// The part is complete; other parts are not.
    Part,
    /// The generation is complete and ready.
    Ready,
    /// It was told to stop; everything up to here is kept.
    Stopped,
}

/// Where a fill is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Archived records that were gone through in this run, those of other parts included.
    pub records: u64,
    /// What became of the part's own.
    pub counts: Counts,
}

/// What fills.
pub struct Fill<'a> {
    /// State and archive.
    pub reader: &'a Reader,
    /// The generation, its positions fixed.
    pub generation: &'a Generation,
    /// Which part of it.
    pub part: Partition,
    /// What it is folded with.
    pub sources: Arc<Sources>,
    /// Most archived records a second.
    pub rate: Option<u32>,
}

impl Fill<'_> {
    /// Fills the part, and completes the generation when it was the last one. `on_progress` is told after
    /// every batch where it is, and stops it by answering false.
    pub async fn run(&self, on_progress: &mut (dyn FnMut(Done) -> bool + Send)) -> Result<Filled> {
        let number = self.generation.number;
        let store = self.reader.building(number).await?;
        let none = Positions::new();
        let positions = self.generation.positions.as_ref().unwrap_or(&none);
        let mut done = Done::default();
        let began = Instant::now();
        for (shard, through) in positions {
            if !self.shard(&store, shard, through, &mut done, began, on_progress).await? {
                return Ok(Filled::Stopped);
            }
        }
        let found = self.complete_part(&store, positions).await?;
        if (1..=found.parts).any(|part| !found.parts_done.contains(&part)) {
            return Ok(Filled::Part);
        }
        complete(&self.reader.control, self.reader, &store, &found).await?;
        Ok(Filled::Ready)
    }

    /// False when it was told to stop.
    async fn shard(
        &self,
        store: &AnyStore,
        shard: &ShardId,
        through: &SequenceNumber,
        done: &mut Done,
        began: Instant,
        on_progress: &mut (dyn FnMut(Done) -> bool + Send),
    ) -> Result<bool> {
        let key = self.progress_key(shard);
        let after = store.checkpoint(&key).await?;
        let mut feed = Feed::open(&*self.reader.archive, &self.reader.stream, shard, after, through.clone()).await?;
        let mut cache = Cache::new(CACHE_RECORDS);
        while let Some(rows) = feed.next().await? {
            for rows in rows.chunks(self.batch_records()) {
                let counts = self.batch(store, shard, &key, rows, &mut cache).await?;
                done.records += rows.len() as u64;
                done.counts.add(counts);
                if !on_progress(*done) {
                    return Ok(false);
                }
                self.hold_back(done.records, began).await;
            }
        }
        Ok(true)
    }

    async fn batch(
        &self,
        store: &AnyStore,
        shard: &ShardId,
        key: &ShardId,
        rows: &[Sequenced<Envelope>],
        cache: &mut Cache,
    ) -> Result<Counts> {
        let Some(last) = rows.last() else { return Ok(Counts::default()) };
        let own: Vec<Sequenced<Bytes>> = rows
            .iter()
            .filter(|row| self.part.holds(&row.value.event.entity))
            .map(|row| Sequenced {
                sequence: row.sequence.clone(),
                arrived_at: row.arrived_at,
                value: row.value.encode().into(),
            })
            .collect();
        let empty =
            || Commit { shard: key.clone(), checkpoint: last.sequence.clone(), writes: Vec::new(), parked: Vec::new() };
        if own.is_empty() {
            store.commit(empty()).await?;
            return Ok(Counts::default());
        }
        let own = Arc::new(own);
        let mut conflicts = 0;
        loop {
            let (of, sources, read) = (shard.clone(), self.sources.clone(), own.clone());
            let batch = blocking(move || Batch::read(&of, read, &sources)).await?;
            let mut records: Vec<_> = batch.keys().iter().map(|entity| cache.take(entity)).collect();
            let missing: Vec<usize> = (0..records.len()).filter(|at| records[*at].is_none()).collect();
            let keys: Vec<_> = missing.iter().map(|at| batch.keys()[*at].clone()).collect();
            for (at, record) in missing.into_iter().zip(store.load(&keys).await?) {
                records[at] = record;
            }
            let (commit, counts) = blocking(move || batch.fold(records)).await?;
            match store.commit(Commit { writes: commit.writes, parked: commit.parked, ..empty() }).await {
                Ok(committed) => {
                    committed.into_iter().for_each(|record| cache.put(record));
                    return Ok(counts);
                }
                // Somebody fills the same part; what was applied already is seen and not applied twice.
                Err(error) if error.kind() == ErrorKind::Conflict && conflicts < CONFLICTS_MAX => {
                    conflicts += 1;
                    cache.clear();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Small batches where the rate is low: live traffic has priority all the time, not in turns.
    fn batch_records(&self) -> usize {
        let of_rate = self.rate.map_or(usize::MAX, |rate| usize::try_from(rate / BATCHES_PER_SECOND).unwrap_or(1));
        of_rate.clamp(1, BATCH_RECORDS)
    }

    async fn hold_back(&self, records: u64, began: Instant) {
        let Some(rate) = self.rate else { return };
        let due = Duration::from_millis(records.saturating_mul(1000) / u64::from(rate.max(1)));
        tokio::time::sleep_until(began + due).await;
    }

    /// Notes the part once all of its records are on the disk.
    async fn complete_part(&self, store: &AnyStore, positions: &Positions) -> Result<Generation> {
        for shard in positions.keys() {
            store.durable_checkpoint(&self.progress_key(shard)).await?;
        }
        self.reader.control.part_done(self.generation.number, self.part.index()).await
    }

    fn progress_key(&self, shard: &ShardId) -> ShardId {
        ShardId::new(format!("rebuild/{}-of-{}/{shard}", self.part.index(), self.part.count()))
    }
}

/// Gives a generation with all its parts its checkpoints, and lets the server take it over.
async fn complete(control: &AnyControl, reader: &Reader, store: &AnyStore, generation: &Generation) -> Result<()> {
    let positions = generation.positions.clone().unwrap_or_default();
    for (shard, checkpoint) in &positions {
        let (shard, checkpoint) = (shard.clone(), checkpoint.clone());
        store.commit(Commit { shard, checkpoint, writes: Vec::new(), parked: Vec::new() }).await?;
    }
    let live = reader.generation(control.live().await?).await?;
    carry_over(&live, store).await?;
    // The server lets the log forget by these checkpoints as soon as the generation is ready.
    for shard in positions.keys() {
        store.durable_checkpoint(shard).await?;
    }
    control.ready(generation.number).await
}

/// Where the archive ends by now, for a generation to be folded up to there.
pub async fn positions<A: Archive>(archive: &A, stream: &str) -> Result<Positions> {
    ledgerline_replay::generation::ends(archive, stream).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::internal("fold a batch").because(e))?
}
