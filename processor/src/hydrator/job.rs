//! The shards of one process: each by its lease, or all of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use ledgerline_domain::ids::{SequenceNumber, ShardId, SourceName};
use ledgerline_domain::lease::Checkpoint;
use ledgerline_domain::ports::{Clock, Entities, FetchKeys, Log, Web};
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fetch::Fetcher;
use super::pace::Pace;
use super::reader::Reader;
use super::{HydratedSource, HydratorProgress, HydratorSettings, Parts};
use crate::leases::{End, ShardJob};

/// Hydrates all sources on a shard while its lease is held. A shard is at its end when it is closed and its
/// notifications are done for every source. Bounds per source (fetches at once, fetches per second) are those of the
/// process.
///
/// Without sources there is nothing to do, and every shard is at its end at once: such a job is only good beside
/// others.
pub struct HydratorJob<L, E, W, K, C> {
    fetchers: Vec<Arc<Fetcher<L, W, K, C>>>,
    entities: Arc<E>,
    marks: Arc<Marks>,
}

impl<L: Log, E: Entities, W: Web, K: FetchKeys, C: Clock> HydratorJob<L, E, W, K, C> {
    /// Puts the parts together.
    pub fn new(
        parts: Parts<L, E, W, K, C>,
        sources: Vec<HydratedSource>,
        settings: &HydratorSettings,
        progress: &Arc<HydratorProgress>,
    ) -> Self {
        let fetcher = |source: HydratedSource| {
            Arc::new(Fetcher {
                log: parts.log.clone(),
                web: parts.web.clone(),
                keys: parts.keys.clone(),
                clock: parts.clock.clone(),
                room: tokio::sync::Semaphore::new(settings.concurrency_max),
                pace: Pace::new(source.per_second),
                source,
                settings: settings.clone(),
                progress: progress.clone(),
            })
        };
        let fetchers = sources.into_iter().map(fetcher).collect();
        Self { fetchers, entities: parts.entities, marks: Arc::default() }
    }
}

impl<L: Log, E: Entities, W: Web, K: FetchKeys, C: Clock> ShardJob for HydratorJob<L, E, W, K, C> {
    /// Fetches in flight are given up when `stop` becomes true and made again by whoever goes on. Ends with an
    /// error only where waiting cannot mend it.
    async fn run(&self, shard: ShardId, stop: watch::Receiver<bool>) -> Result<End> {
        let mut readers = JoinSet::new();
        for fetcher in &self.fetchers {
            let (entities, marks) = (self.entities.clone(), self.marks.clone());
            let reader = Reader { fetcher: fetcher.clone(), entities, shard: shard.clone(), marks };
            readers.spawn(reader.run(stop.clone()));
        }
        let mut end = End::ShardEnd;
        while let Some(ended) = readers.join_next().await {
            if ended.map_err(|e| Error::internal("run a reader of the hydrator").because(e))?? == End::Stopped {
                end = End::Stopped;
            }
        }
        Ok(end)
    }

    fn progress(&self, shard: &ShardId) -> Option<Checkpoint> {
        if self.fetchers.is_empty() {
            return Some(Checkpoint::shard_end());
        }
        let of = self.fetchers.iter().map(|fetcher| self.marks.of(&fetcher.source.name, shard));
        of.min().flatten().map(Checkpoint::At)
    }
}

/// Checkpoints as they are kept in the store.
#[derive(Debug, Default)]
pub(super) struct Marks(Mutex<BTreeMap<(SourceName, ShardId), SequenceNumber>>);

impl Marks {
    pub fn note(&self, source: &SourceName, shard: &ShardId, kept: Option<&SequenceNumber>) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept {
            marks.insert((source.clone(), shard.clone()), kept.clone());
        }
    }

    fn of(&self, source: &SourceName, shard: &ShardId) -> Option<SequenceNumber> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.get(&(source.clone(), shard.clone())).cloned()
    }
}
