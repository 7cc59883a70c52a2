//! The processor: reads each shard and folds its events into entity records.
//!
//! Per shard one task: read a batch → group per entity → load → fold → one conditional write with
//! the checkpoint. A conflict means that somebody else wrote first (a second worker on the shard,
//! which is harmless): load again, fold again. `Retry` errors back off on that shard alone. What
//! cannot be read goes to the quarantine and the shard moves on (I9).

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::lease::Checkpoint;
use ledgerline_domain::ports::{Commit, Entities, Log, ReadBatch, ReadLimit, Sequenced};
use ledgerline_domain::provider::Sources;
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::trace::Traces;
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::{JoinSet, spawn_blocking};

use crate::ancestors;
use crate::cache::Cache;
use crate::fold_batch::{Batch, Counts};
use crate::leases::{End, ShardJob};
use crate::telling::{self, Committed};

mod on_demand;
mod progress;

pub use on_demand::{OnDemand, Reached};
pub use progress::{Progress, ShardProgress};

/// Limits of the processor. Plain data.
#[derive(Clone, Debug)]
pub struct ApplySettings {
    /// Most records per batch.
    pub batch_records_max: usize,
    /// Most bytes per batch.
    pub batch_bytes_max: usize,
    /// Longest wait for new records before asking again.
    pub wait: Duration,
    /// How long a batch that is not full gathers before it is folded: several events of an entity then make one
    /// write. Zero where a write costs nothing but time.
    pub gather: Duration,
    /// Records kept in memory per shard (twice this at most).
    pub cache_records: usize,
    /// First and longest pause after a `Retry` error.
    pub backoff: (Duration, Duration),
    /// How often a batch is folded again after conflicts before the shard pauses.
    pub conflicts_max: u32,
    /// Tells what becomes of events.
    pub traces: Traces,
    /// The generation that is folded into, for the traces; 0 where it is not known.
    pub generation: u32,
}

impl Default for ApplySettings {
    fn default() -> Self {
        Self {
            batch_records_max: 2048,
            batch_bytes_max: 2 * 1024 * 1024,
            wait: Duration::from_millis(500),
            gather: Duration::ZERO,
            cache_records: 1024,
            backoff: (Duration::from_millis(20), Duration::from_secs(5)),
            conflicts_max: 16,
            traces: Traces::default(),
            generation: 0,
        }
    }
}

/// Runs all shards until `shutdown` becomes true (a batch in hand is finished first). Ends early
/// only with an error that waiting cannot mend.
pub async fn run<L: Log, E: Entities>(
    log: Arc<L>,
    entities: Arc<E>,
    sources: Arc<Sources>,
    settings: ApplySettings,
    progress: Arc<Progress>,
    shutdown: watch::Receiver<bool>,
) -> Result<()> {
    let mut shards = JoinSet::new();
    let applier = Arc::new(Applier::new(log.clone(), entities, sources, settings, progress));
    for shard in log.shards() {
        let (applier, shutdown) = (applier.clone(), shutdown.clone());
        shards.spawn(async move { applier.run(shard, shutdown).await });
    }
    while let Some(ended) = shards.join_next().await {
        ended.map_err(|e| Error::internal("run a shard of the processor").because(e))??;
    }
    Ok(())
}

/// What the shards of one process have in common. With leases it is the [`ShardJob`].
pub struct Applier<L, E> {
    log: Arc<L>,
    entities: Arc<E>,
    sources: Arc<Sources>,
    settings: ApplySettings,
    progress: Arc<Progress>,
    turns: Arc<Semaphore>,
}

impl<L: Log, E: Entities> Applier<L, E> {
    /// Puts the parts together.
    pub fn new(
        log: Arc<L>,
        entities: Arc<E>,
        sources: Arc<Sources>,
        settings: ApplySettings,
        progress: Arc<Progress>,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { log, entities, sources, settings, progress, turns: Arc::new(Semaphore::new(cores)) }
    }
}

impl<L: Log, E: Entities> ShardJob for Applier<L, E> {
    /// What is left of the shard's ancestors is applied first, whatever any lease says: a record notes the
    /// last position that it has, and numbers of a child are above all of its parents', so an event of a
    /// parent that came behind one of a child would be taken for one that was seen.
    async fn run(&self, shard: ShardId, mut stop: watch::Receiver<bool>) -> Result<End> {
        let mut pause = self.settings.backoff.0;
        let ancestors = loop {
            match ancestors::unfinished(self.log.as_ref(), self.entities.as_ref(), &shard).await {
                // A lease is for a shard that was listed: one that is no more has no ancestors either.
                Ok(ancestors) => break ancestors.unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Retry => {
                    tracing::warn!(%shard, %error, "the processor pauses on a shard");
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = stop.wait_for(|stop| *stop) => return Ok(End::Stopped),
                    }
                    pause = (pause * 2).min(self.settings.backoff.1);
                }
                Err(error) => return Err(error),
            }
        };
        for ancestor in ancestors {
            tracing::info!(%shard, %ancestor, "an ancestor of a shard is applied first");
            if self.worker(ancestor).run(stop.clone()).await? == End::Stopped {
                return Ok(End::Stopped);
            }
        }
        self.worker(shard).run(stop).await
    }

    fn progress(&self, shard: &ShardId) -> Option<Checkpoint> {
        let shards = self.progress.lock();
        shards.get(shard).and_then(|progress| progress.checkpoint.clone()).map(Checkpoint::At)
    }
}

impl<L: Log, E: Entities> Applier<L, E> {
    fn worker(&self, shard: ShardId) -> Worker<L, E> {
        Worker {
            log: self.log.clone(),
            entities: self.entities.clone(),
            sources: self.sources.clone(),
            cache: Cache::new(self.settings.cache_records),
            settings: self.settings.clone(),
            progress: self.progress.clone(),
            turns: self.turns.clone(),
            shard,
        }
    }
}

struct Worker<L, E> {
    log: Arc<L>,
    entities: Arc<E>,
    sources: Arc<Sources>,
    cache: Cache,
    settings: ApplySettings,
    progress: Arc<Progress>,
    /// Computing goes in turns, one batch per core: shards that are behind stay side by side, so that
    /// what one read of the log is still at hand for the next, and a batch stays in its core's cache.
    turns: Arc<Semaphore>,
    shard: ShardId,
}

impl<L: Log, E: Entities> Worker<L, E> {
    async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<End> {
        let mut pause = self.settings.backoff.0;
        let mut after = None;
        let mut started = false;
        let mut behind = 0;
        let turns = self.turns.clone();
        while !*shutdown.borrow() {
            let step = async {
                if !started {
                    after = self.entities.checkpoint(&self.shard).await?;
                    started = true;
                }
                let limit = ReadLimit {
                    records_max: self.settings.batch_records_max,
                    bytes_max: self.settings.batch_bytes_max,
                    wait: self.settings.wait,
                };
                // A read that finds something belongs to the turn; one that may wait does not.
                let at_once = behind > 0 && self.settings.gather.is_zero();
                let turn = if at_once { Some(next_turn(&turns).await?) } else { None };
                let mut read = tokio::select! {
                    read = self.log.read(&self.shard, after.as_ref(), limit) => read?,
                    _ = shutdown.changed() => return Ok(None),
                };
                self.gather(&mut read, &mut shutdown).await;
                behind = read.behind;
                let counts = if read.records.is_empty() {
                    Counts::default()
                } else {
                    let checkpoint = read.records.last().map(|r| r.sequence.clone());
                    let turn = match turn {
                        Some(turn) => turn,
                        None => next_turn(&turns).await?,
                    };
                    let counts = self.batch(read.records, turn).await?;
                    after = checkpoint;
                    counts
                };
                if read.ended {
                    after = Some(SequenceNumber::shard_end());
                    self.end().await?;
                }
                self.progress.note(&self.shard, after.clone(), read.behind, counts);
                Ok::<Option<End>, Error>(read.ended.then_some(End::ShardEnd))
            };
            match step.await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => pause = self.settings.backoff.0,
                Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Conflict) => {
                    tracing::warn!(shard = %self.shard, %error, "the processor pauses on a shard");
                    // What the commit did is unknown: read the checkpoint and the records anew.
                    self.cache.clear();
                    started = false;
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        _ = shutdown.changed() => {}
                    }
                    pause = (pause * 2).min(self.settings.backoff.1);
                }
                Err(error) => {
                    return Err(Error::new(error.kind(), format!("process {}", self.shard)).because(error));
                }
            }
        }
        Ok(End::Stopped)
    }

    /// Reads on until the batch is full or was gathered for long enough. What fails here fails again, and is
    /// heard of, in the next read; what is there is folded either way.
    async fn gather(&self, batch: &mut ReadBatch, shutdown: &mut watch::Receiver<bool>) {
        let until = Instant::now() + self.settings.gather;
        let mut bytes: usize = batch.records.iter().map(|record| record.value.len()).sum();
        while !batch.ended && !*shutdown.borrow() {
            let wait = until.saturating_duration_since(Instant::now());
            let Some(after) = batch.records.last().map(|last| last.sequence.clone()) else { return };
            let limit = ReadLimit {
                records_max: self.settings.batch_records_max.saturating_sub(batch.records.len()),
                bytes_max: self.settings.batch_bytes_max.saturating_sub(bytes),
                wait,
            };
            if wait.is_zero() || limit.records_max == 0 || limit.bytes_max == 0 {
                return;
            }
            let more = tokio::select! {
                more = self.log.read(&self.shard, Some(&after), limit) => more,
                _ = shutdown.changed() => return,
            };
            let Ok(more) = more else { return };
            bytes += more.records.iter().map(|record| record.value.len()).sum::<usize>();
            batch.records.extend(more.records);
            batch.behind = more.behind;
            batch.late = more.late;
            batch.ended = more.ended;
        }
    }

    /// Commits that the shard is at its end.
    async fn end(&self) -> Result<()> {
        let checkpoint = SequenceNumber::shard_end();
        let commit = Commit { shard: self.shard.clone(), checkpoint, writes: Vec::new(), parked: Vec::new() };
        self.entities.commit(commit).await.map(drop)
    }

    /// Folds and commits one batch; the turn ends before the commit.
    async fn batch(&mut self, records: Vec<Sequenced<Bytes>>, turn: SemaphorePermit<'_>) -> Result<Counts> {
        let records = Arc::new(records);
        let mut conflicts = 0;
        let mut turn = Some(turn);
        let began = Instant::now();
        loop {
            let (shard, sources, read) = (self.shard.clone(), self.sources.clone(), records.clone());
            let traces = self.settings.traces.clone();
            let batch = blocking(move || Batch::read_traced(&shard, read, &sources, &traces)).await?;
            let loaded = self.load(&batch).await?;
            let (commit, counts, told) = blocking(move || batch.fold_traced(loaded)).await?;
            drop(turn.take());
            let folded = Instant::now();
            match self.entities.commit(commit).await {
                Ok(committed) => {
                    if !told.is_empty() {
                        let work = Committed { began, folded, conflicts, entities: committed.len() };
                        telling::tell(&self.settings, &self.shard, &records, told, &work);
                    }
                    committed.into_iter().for_each(|record| self.cache.put(record));
                    return Ok(counts);
                }
                Err(error) if error.kind() == ErrorKind::Conflict && conflicts < self.settings.conflicts_max => {
                    conflicts += 1;
                    metrics::counter!("ledgerline_processor_conflicts_total").increment(1);
                    self.cache.clear();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Records of the batch's entities: from the cache, the rest from the store.
    async fn load(&mut self, batch: &Batch) -> Result<Vec<Option<EntityRecord>>> {
        let mut records: Vec<Option<EntityRecord>> = batch.keys().iter().map(|key| self.cache.take(key)).collect();
        let (places, missing): (Vec<_>, Vec<_>) = (0..)
            .zip(batch.keys())
            .filter(|(at, _)| records.get(*at).is_some_and(Option::is_none))
            .map(|(at, key)| (at, key.clone()))
            .unzip();
        if !missing.is_empty() {
            for (at, record) in places.into_iter().zip(self.entities.load(&missing).await?) {
                if let Some(place) = records.get_mut(at) {
                    *place = record;
                }
            }
        }
        Ok(records)
    }
}

async fn next_turn(turns: &Semaphore) -> Result<SemaphorePermit<'_>> {
    turns.acquire().await.map_err(|e| Error::internal("wait for a turn").because(e))
}

/// Runs computing work where it does not hold up the runtime's other tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(|e| Error::internal("fold a batch").because(e))?
}
