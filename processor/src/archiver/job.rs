//! The shards of one process: each by its lease, or all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ledgerline_domain::ids::ShardId;
use ledgerline_domain::lease::Checkpoint;
use ledgerline_domain::ports::{Archive, Clock, Log};
use ledgerline_domain::segment::keys::{check_shard, check_stream};
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::book::Book;
use super::shard::ShardArchiver;
use super::{ArchiverProgress, ArchiverSettings};
use crate::leases::{End, ShardJob};

/// Least bytes of a segment under construction, however many shards are at work.
const SHARE_BYTES_MIN: usize = 64 * 1024;

/// Archives a shard while its lease is held. The archiver has a table of leases of its own, so that a processor
/// that fails on a shard does not stop its archiving.
///
/// A shard is at its end when it is closed and all of it is in the archive. Children are archived after their
/// parents, as the leases order them; the manifests count on it.
pub struct ArchiverJob<L, A, C> {
    log: Arc<L>,
    archive: Arc<A>,
    clock: Arc<C>,
    settings: Arc<ArchiverSettings>,
    progress: Arc<ArchiverProgress>,
    book: Arc<Book<L, A>>,
    at_work: Arc<AtomicUsize>,
}

impl<L: Log, A: Archive, C: Clock> ArchiverJob<L, A, C> {
    /// Puts the parts together; [`Invalid`](ledgerline_domain::ErrorKind::Invalid) when the stream's name cannot
    /// stand in a key.
    pub fn new(
        log: Arc<L>,
        archive: Arc<A>,
        clock: Arc<C>,
        settings: ArchiverSettings,
        progress: Arc<ArchiverProgress>,
    ) -> Result<Self> {
        check_stream(&settings.stream)?;
        let book = Arc::new(Book::new(log.clone(), archive.clone(), &settings));
        Ok(Self { log, archive, clock, settings: Arc::new(settings), progress, book, at_work: Arc::default() })
    }
}

impl<L: Log, A: Archive, C: Clock> ShardJob for ArchiverJob<L, A, C> {
    /// What is under construction is put when `stop` becomes true. Ends with an error only where waiting cannot
    /// mend it.
    async fn run(&self, shard: ShardId, stop: watch::Receiver<bool>) -> Result<End> {
        check_shard(&shard)?;
        let archiver = ShardArchiver {
            log: self.log.clone(),
            archive: self.archive.clone(),
            clock: self.clock.clone(),
            share: Share::new(self.at_work.clone(), self.settings.buffer_bytes_max),
            settings: self.settings.clone(),
            progress: self.progress.clone(),
            book: self.book.clone(),
            shard,
        };
        archiver.run(stop).await
    }

    fn progress(&self, shard: &ShardId) -> Option<Checkpoint> {
        self.progress.positions.borrow().get(shard).cloned().map(Checkpoint::At)
    }
}

/// A shard's part of the bytes under construction: equal parts for all that are at work.
pub(super) struct Share {
    at_work: Arc<AtomicUsize>,
    bytes: usize,
}

impl Share {
    fn new(at_work: Arc<AtomicUsize>, bytes: usize) -> Self {
        at_work.fetch_add(1, Ordering::Relaxed);
        Self { at_work, bytes }
    }

    /// How large a segment may become now.
    pub(super) fn bytes_max(&self) -> usize {
        (self.bytes / self.at_work.load(Ordering::Relaxed).max(1)).max(SHARE_BYTES_MIN)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.at_work.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs all shards until `shutdown` becomes true or all are at their end; what is under construction is put then.
/// Ends early only with an error that waiting cannot mend. It is for a process that has the stream for itself:
/// shards that come later are not found, and children are archived beside their parents.
pub async fn run_archiver<L: Log, A: Archive, C: Clock>(
    log: Arc<L>,
    archive: Arc<A>,
    clock: Arc<C>,
    settings: ArchiverSettings,
    progress: Arc<ArchiverProgress>,
    shutdown: watch::Receiver<bool>,
) -> Result<()> {
    let shards = log.shards();
    shards.iter().try_for_each(check_shard)?;
    let job = Arc::new(ArchiverJob::new(log, archive, clock, settings, progress)?);
    for shard in &shards {
        job.book.expect(shard).await;
    }
    let mut tasks = JoinSet::new();
    for shard in shards {
        let (job, shutdown) = (job.clone(), shutdown.clone());
        tasks.spawn(async move { job.run(shard, shutdown).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| Error::internal("run a shard of the archiver").because(e))??;
    }
    Ok(())
}
