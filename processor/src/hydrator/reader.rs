//! Reads one shard for one source: finds notifications, starts their fetches, moves the checkpoint.

use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Clock, Commit, Entities, FetchKeys, Log, ReadBatch, ReadLimit, Sequenced, Web};
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::fetch::Fetcher;
use super::job::Marks;
use super::progress_key;
use super::window::{Job, Window};
use crate::leases::End;

/// One shard's reader for one source.
pub(super) struct Reader<L, E, W, K, C> {
    pub fetcher: Arc<Fetcher<L, W, K, C>>,
    pub entities: Arc<E>,
    pub shard: ShardId,
    pub marks: Arc<Marks>,
}

/// Where the work stands.
struct Work {
    window: Window,
    jobs: JoinSet<(Job, Result<()>)>,
    /// The checkpoint as it is kept.
    kept: Option<SequenceNumber>,
    kept_at: Instant,
    /// Whether something was fetched since.
    fetched: bool,
    /// Whether reading began anew and nothing came of it yet.
    rewound: bool,
    /// Whether the last read was the shard's last.
    ended: bool,
}

impl<L: Log, E: Entities, W: Web, K: FetchKeys, C: Clock> Reader<L, E, W, K, C> {
    /// Until it is told to stop, or the shard is closed and everything on it is done.
    pub(super) async fn run(self, shutdown: watch::Receiver<bool>) -> Result<End> {
        let (source, shard) = (self.fetcher.source.name.clone(), self.shard.clone());
        let failed = |error: Error| Error::new(error.kind(), format!("hydrate {source} on {shard}")).because(error);
        self.work(shutdown).await.map_err(failed)
    }

    async fn work(self, mut shutdown: watch::Receiver<bool>) -> Result<End> {
        let settings = self.fetcher.settings.clone();
        let key = progress_key(&self.fetcher.source.name, &self.shard);
        let mut pause = settings.backoff.0;
        let mut work: Option<Work> = None;
        while !*shutdown.borrow() {
            if work.as_ref().is_some_and(|work| work.kept.as_ref().is_some_and(SequenceNumber::is_shard_end)) {
                return Ok(End::ShardEnd);
            }
            let step = async {
                match &mut work {
                    None => {
                        let kept = self.entities.checkpoint(&key).await?;
                        self.marks.note(&self.fetcher.source.name, &self.shard, kept.as_ref());
                        work = Some(Work::behind(kept));
                        Ok(())
                    }
                    Some(work) => self.step(work, &key, &mut shutdown).await,
                }
            };
            match step.await {
                Ok(()) => pause = settings.backoff.0,
                Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Conflict) => {
                    tracing::warn!(shard = %self.shard, %error, "the hydrator pauses on a shard");
                    tokio::select! {
                        () = sleep(pause) => {}
                        _ = shutdown.changed() => {}
                    }
                    pause = (pause * 2).min(settings.backoff.1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(End::Stopped)
    }

    /// Waits for one thing, a read or a fetch that is done, and takes it in.
    async fn step(&self, work: &mut Work, key: &ShardId, shutdown: &mut watch::Receiver<bool>) -> Result<()> {
        let settings = &self.fetcher.settings;
        let limit = ReadLimit {
            records_max: settings.batch_records_max,
            bytes_max: settings.batch_bytes_max,
            wait: settings.wait,
        };
        let has_room = work.window.waiting() < settings.waiting_max && !work.ended;
        tokio::select! {
            Some(done) = work.jobs.join_next() => {
                let (job, result) = done.map_err(|e| Error::internal("run a fetch").because(e))?;
                result?;
                work.fetched = true;
                if let Some(next) = work.window.done(&job) {
                    self.start(work, next);
                }
            }
            // The end of the shard is to be kept, and nothing else is left.
            () = std::future::ready(()), if work.ended && work.window.waiting() == 0 => {}
            read = self.fetcher.log.read(&self.shard, work.window.read(), limit), if has_room => {
                self.take(work, read)?;
            }
            _ = shutdown.changed() => return Ok(()),
        }
        self.note(work);
        self.keep(work, key).await
    }

    fn take(&self, work: &mut Work, read: Result<ReadBatch>) -> Result<()> {
        let batch = match read {
            Ok(batch) => batch,
            // Hydration was off for so long that the log forgot what comes next.
            Err(error) if error.kind() == ErrorKind::Data && !work.rewound => {
                tracing::warn!(
                    source = %self.fetcher.source.name, shard = %self.shard, %error,
                    "the hydrator goes on with what the log still keeps"
                );
                work.window.rewind();
                work.rewound = true;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        work.rewound = false;
        for record in batch.records {
            self.look_at(work, record);
        }
        work.ended = batch.ended;
        Ok(())
    }

    fn look_at(&self, work: &mut Work, record: Sequenced<Bytes>) {
        let source = &self.fetcher.source;
        // A record that cannot be read stops the archiver, which says so.
        let envelope = Envelope::decode(&record.value).ok().filter(|e| e.source() == source.name.as_str());
        let fetch = envelope.as_ref().and_then(|envelope| source.provider.fetch(envelope));
        match (fetch, envelope) {
            (Some(Ok(fetch)), _) => {
                if let Some(job) = work.window.take(record.sequence, fetch) {
                    self.start(work, job);
                }
            }
            (Some(Err(why)), Some(envelope)) => {
                self.fetcher.give_up(&envelope.event.id, &why);
                work.window.pass(record.sequence);
            }
            _ => work.window.pass(record.sequence),
        }
    }

    fn start(&self, work: &mut Work, job: Job) {
        let fetcher = self.fetcher.clone();
        work.jobs.spawn(async move {
            let result = fetcher.hydrate(&job.fetch).await;
            (job, result)
        });
    }

    fn note(&self, work: &Work) {
        let (source, shard) = (self.fetcher.source.name.to_string(), self.shard.to_string());
        #[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 notifications")]
        metrics::gauge!("ledgerline_hydrator_waiting", "source" => source, "shard" => shard)
            .set(work.window.waiting() as f64);
    }

    /// Keeps the checkpoint: soon after a fetch and at the end, now and then when nothing was fetched.
    async fn keep(&self, work: &mut Work, key: &ShardId) -> Result<()> {
        let all_done = work.ended && work.window.waiting() == 0;
        let due = all_done || work.fetched || work.kept_at.elapsed() >= self.fetcher.settings.checkpoint_every;
        let end = all_done.then(SequenceNumber::shard_end);
        let checkpoint = end.as_ref().or(work.window.checkpoint());
        let Some(checkpoint) = checkpoint.filter(|to| due && work.kept.as_ref() < Some(*to)) else {
            return Ok(());
        };
        let checkpoint = checkpoint.clone();
        let commit =
            Commit { shard: key.clone(), checkpoint: checkpoint.clone(), writes: Vec::new(), parked: Vec::new() };
        self.entities.commit(commit).await?;
        self.marks.note(&self.fetcher.source.name, &self.shard, Some(&checkpoint));
        work.kept = Some(checkpoint);
        work.kept_at = Instant::now();
        work.fetched = false;
        Ok(())
    }
}

impl Work {
    fn behind(kept: Option<SequenceNumber>) -> Self {
        Self {
            window: Window::behind(kept.clone()),
            jobs: JoinSet::new(),
            kept,
            kept_at: Instant::now(),
            fetched: false,
            rewound: false,
            ended: false,
        }
    }
}
