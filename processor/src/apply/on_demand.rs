//! Applies a shard as far as it is told to and no longer than it may: for whoever is woken for a batch at a time and holds
//! no lease, such as a function that runs per batch.
//!
//! Who wakes it says how far the log goes. What is there is read from the log itself, from the store's checkpoint on, and
//! so no batch that was left out, filtered, cut or handed to another one makes a hole: **a record is folded only when
//! everything before it in the shard, and everything in the shard's ancestors, is committed.** Any number of these, and
//! of workers with leases, may be at one shard at the same time; it costs reads and conflicts and nothing else. A call that
//! is dropped in the middle is a crash, which is harmless too.
//!
//! Between two calls an `OnDemand` may stand still for any time. It remembers what can only become truer (ancestors
//! that are at their ends) and records of entities, which it forgets when somebody else moved the checkpoint.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Entities, Log, ReadLimit};
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::time::{Instant, timeout_at};

use crate::ancestors;

use super::{Applier, Counts, Worker, next_turn};

/// Shards whose records of entities are kept between two calls; the one that was left longest ago is forgotten.
const KEPT_MAX: usize = 4;

/// See the module.
pub struct OnDemand<L, E> {
    applier: Arc<Applier<L, E>>,
    /// Shards whose ancestors are applied to their ends, which stays so.
    joined: HashSet<ShardId>,
    /// Workers at rest, and where each left its shard.
    kept: Vec<(Worker<L, E>, Option<SequenceNumber>)>,
}

/// How far a shard was applied.
#[derive(Debug)]
pub struct Reached {
    /// Everything up to here is committed. `None` when nothing is, or the store did not say.
    pub checkpoint: Option<SequenceNumber>,
    /// Why it is not as far as was asked for: [`Retry`](ErrorKind::Retry) when the time was over, with the last trouble,
    /// if there was one; else what waiting does not mend.
    pub short: Option<Error>,
}

/// What is known in the middle of a call, when it is cut off.
#[derive(Default)]
struct Standing {
    checkpoint: Option<SequenceNumber>,
    trouble: Option<Error>,
}

impl<L: Log, E: Entities> OnDemand<L, E> {
    /// Folds as `applier` does; its settings `gather` and `backoff.1` have no use where time is short.
    pub fn new(applier: Arc<Applier<L, E>>) -> Self {
        Self { applier, joined: HashSet::new(), kept: Vec::new() }
    }

    /// Applies a shard up to and including `through`, or what the log has now where that is `None`, and not beyond
    /// `until`. What was read anyway is applied as well. `Retry` errors are tried again as long as there is time.
    pub async fn apply(&mut self, shard: &ShardId, through: Option<&SequenceNumber>, until: Instant) -> Reached {
        let mut standing = Standing::default();
        let done = timeout_at(until, self.persist(shard, through, &mut standing)).await;
        let short = match done {
            Ok(done) => done.err(),
            Err(_) => {
                let late = Error::retry(format!("apply {shard} in the time that there is"));
                Some(match standing.trouble.take() {
                    Some(trouble) => late.because(trouble),
                    None => late,
                })
            }
        };
        Reached { checkpoint: standing.checkpoint, short }
    }

    /// Tries until it succeeds or waiting would not help.
    async fn persist(
        &mut self,
        shard: &ShardId,
        through: Option<&SequenceNumber>,
        standing: &mut Standing,
    ) -> Result<()> {
        let (mut pause, pause_max) = self.applier.settings.backoff;
        loop {
            match self.work(shard, through, standing).await {
                Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Conflict) => {
                    tracing::warn!(%shard, %error, "a shard pauses");
                    standing.trouble = Some(error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(pause_max);
                }
                Err(error) => return Err(Error::new(error.kind(), format!("process {shard}")).because(error)),
                Ok(()) => return Ok(()),
            }
        }
    }

    async fn work(&mut self, shard: &ShardId, through: Option<&SequenceNumber>, standing: &mut Standing) -> Result<()> {
        // Asked anew each time: others may have gone on, and from where they are everything before is committed.
        let mut at = self.applier.entities.checkpoint(shard).await?;
        standing.checkpoint.clone_from(&at);
        let is_there = |at: &Option<SequenceNumber>| match (at, through) {
            (Some(at), Some(through)) => at >= through,
            (Some(at), None) => at.is_shard_end(),
            (None, _) => false,
        };
        if is_there(&at) {
            return Ok(());
        }
        if !self.joined.contains(shard) {
            let Applier { log, entities, .. } = &*self.applier;
            let unfinished = ancestors::unfinished(log.as_ref(), entities.as_ref(), shard).await?;
            // Who wakes it may know the shard before the log lists it.
            for ancestor in unfinished.ok_or_else(|| Error::retry(format!("find {shard} among the shards")))? {
                tracing::info!(%shard, %ancestor, "an ancestor of a shard is applied first");
                let mut worker = self.applier.worker(ancestor.clone());
                let mut at = self.applier.entities.checkpoint(&ancestor).await?;
                while !at.as_ref().is_some_and(SequenceNumber::is_shard_end) {
                    worker.advance(&mut at, self.applier.settings.wait).await?;
                }
            }
            self.joined.insert(shard.clone());
        }
        let mut worker = self.take(shard, at.as_ref());
        let wait = if through.is_some() { self.applier.settings.wait } else { Duration::ZERO };
        loop {
            let behind = worker.advance(&mut at, wait).await?;
            standing.checkpoint.clone_from(&at);
            let is_done = match through {
                // One may stand for what the log has not given yet; more were given and would have to be read again.
                Some(_) => is_there(&at) && behind <= 1,
                None => behind == 0,
            };
            if is_done {
                break;
            }
        }
        self.keep(worker, at);
        Ok(())
    }

    /// The worker that left the shard where it is now, or a new one.
    fn take(&mut self, shard: &ShardId, at: Option<&SequenceNumber>) -> Worker<L, E> {
        let known = self.kept.iter().position(|(worker, _)| worker.shard == *shard);
        match known.map(|known| self.kept.remove(known)) {
            // Nobody wrote in between, or not as much as a batch: what is kept of entities is likely right.
            Some((worker, left)) if left.as_ref() == at => worker,
            _ => self.applier.worker(shard.clone()),
        }
    }

    fn keep(&mut self, worker: Worker<L, E>, left: Option<SequenceNumber>) {
        if self.kept.len() >= KEPT_MAX {
            self.kept.remove(0);
        }
        self.kept.push((worker, left));
    }
}

impl<L: Log, E: Entities> Worker<L, E> {
    /// Applies what one read gives behind `at`, and moves `at`. Gives how many records follow, as the log says it.
    async fn advance(&mut self, at: &mut Option<SequenceNumber>, wait: Duration) -> Result<u64> {
        let limit =
            ReadLimit { records_max: self.settings.batch_records_max, bytes_max: self.settings.batch_bytes_max, wait };
        let read = self.log.read(&self.shard, at.as_ref(), limit).await?;
        let mut counts = Counts::default();
        if let Some(last) = read.records.last() {
            let last = last.sequence.clone();
            let turns = self.turns.clone();
            counts = self.batch(read.records, next_turn(&turns).await?).await?;
            *at = Some(last);
        }
        if read.ended {
            self.end().await?;
            *at = Some(SequenceNumber::shard_end());
        }
        self.progress.note(&self.shard, at.clone(), read.behind, counts);
        Ok(read.behind)
    }
}
