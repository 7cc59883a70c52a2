//! The hydrator: fetches what thin notifications are about, and makes each answer an event of its own.
//!
//! A reader of its own beside the one that folds and the archiver, one per shard and hydrated source,
//! so a provider that is away holds up nobody else. Per notification: fetch, append the answer to the
//! log, and only then move the checkpoint. A crash in between fetches again, and the unchanged object
//! is a duplicate. What is in the log is archived and folded like everything else, so a replay never
//! calls a provider.
//!
//! | what | bound |
//! | --- | --- |
//! | fetches at once, and fetches per second | per source |
//! | notifications read and not done | [`HydratorSettings::waiting_max`] per shard and source, and one read |
//! | attempts | [`attempts_max`](HydratorSettings::attempts_max) where waiting can mend it, [`refusals_max`](HydratorSettings::refusals_max) where the provider refuses, one where the answer is no good |
//!
//! Past the last attempt the notification stays what it was, is counted and logged, and the rest goes on
//! (I9). Of several notifications with one address that wait at once, the last is fetched for all.
//!
//! It runs over all shards of one machine ([`run`]), or as a job of leases ([`HydratorJob`]).
//!
//! Progress is kept as a checkpoint under a name that no shard has, [`progress_key`]. The log must not
//! forget what lies behind it.

mod fetch;
mod job;
mod pace;
mod reader;
mod window;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledgerline_domain::ids::{ShardId, SourceName};
use ledgerline_domain::ports::{Clock, Entities, FetchKeys, Log, Web};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::trace::Traces;
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use job::HydratorJob;

use crate::leases::ShardJob;

/// Limits of the hydrator. Plain data.
#[derive(Clone, Debug)]
pub struct HydratorSettings {
    /// Most records of one read.
    pub batch_records_max: usize,
    /// Most bytes of one read.
    pub batch_bytes_max: usize,
    /// Longest wait for new records before asking again.
    pub wait: Duration,
    /// Most notifications that are read and not done, per shard and source, before reading pauses.
    pub waiting_max: usize,
    /// Most fetches at once per source.
    pub concurrency_max: usize,
    /// Longest answer, in bytes.
    pub answer_bytes_max: usize,
    /// Longest time for one fetch.
    pub timeout: Duration,
    /// First and longest pause between attempts.
    pub backoff: (Duration, Duration),
    /// Attempts while the provider is away or too busy: an hour by the default pauses.
    pub attempts_max: u32,
    /// Attempts while the provider refuses: not found yet, or a key that is wrong.
    pub refusals_max: u32,
    /// How often the checkpoint follows where there is nothing to fetch.
    pub checkpoint_every: Duration,
    /// Tells what is fetched.
    pub traces: Traces,
}

impl Default for HydratorSettings {
    fn default() -> Self {
        Self {
            batch_records_max: 256,
            batch_bytes_max: 1024 * 1024,
            wait: Duration::from_millis(500),
            waiting_max: 1024,
            concurrency_max: 4,
            answer_bytes_max: 1024 * 1024,
            timeout: Duration::from_secs(20),
            backoff: (Duration::from_secs(1), Duration::from_secs(300)),
            attempts_max: 20,
            refusals_max: 8,
            checkpoint_every: Duration::from_secs(5),
            traces: Traces::default(),
        }
    }
}

/// A source whose notifications are hydrated.
#[derive(Clone, Debug)]
pub struct HydratedSource {
    /// Its name.
    pub name: SourceName,
    /// Its provider, which has `[[hydrate]]` rules.
    pub provider: Arc<Provider>,
    /// Most fetches per second.
    pub per_second: NonZeroU32,
}

/// What the hydrator did; shared with whoever shows it.
#[derive(Debug, Default)]
pub struct HydratorProgress {
    fetched: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

impl HydratorProgress {
    /// Answers that were appended to the log.
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Attempts that failed and are made again.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Fetches that were given up: their notifications stay as they are.
    pub fn given_up(&self) -> u64 {
        self.given_up.load(Ordering::Relaxed)
    }

    fn count(&self, counter: &AtomicU64, source: &SourceName, outcome: &'static str) {
        counter.fetch_add(1, Ordering::Relaxed);
        let source = source.to_string();
        metrics::counter!("ledgerline_hydrator_fetches_total", "source" => source, "outcome" => outcome).increment(1);
    }

    fn note_fetched(&self, source: &SourceName) {
        self.count(&self.fetched, source, "fetched");
    }

    fn note_failed(&self, source: &SourceName) {
        self.count(&self.failed, source, "failed");
    }

    fn note_given_up(&self, source: &SourceName) {
        self.count(&self.given_up, source, "given_up");
    }
}

/// Under which name the progress on a shard is kept among the checkpoints.
pub fn progress_key(source: &SourceName, shard: &ShardId) -> ShardId {
    ShardId::new(format!("hydrator/{source}/{shard}"))
}

/// What the hydrator works on and with.
pub struct Parts<L, E, W, K, C> {
    /// Read, and appended to.
    pub log: Arc<L>,
    /// Keeps the checkpoints.
    pub entities: Arc<E>,
    /// Fetches.
    pub web: Arc<W>,
    /// The API keys.
    pub keys: Arc<K>,
    /// Says when an answer came.
    pub clock: Arc<C>,
}

/// Runs all sources on all shards until `shutdown` becomes true. Fetches in flight are given up then and
/// made again after the next start. Ends early only with an error that waiting cannot mend.
pub async fn run<L: Log, E: Entities, W: Web, K: FetchKeys, C: Clock>(
    parts: Parts<L, E, W, K, C>,
    sources: Vec<HydratedSource>,
    settings: HydratorSettings,
    progress: Arc<HydratorProgress>,
    shutdown: watch::Receiver<bool>,
) -> Result<()> {
    let shards = parts.log.shards();
    let job = Arc::new(HydratorJob::new(parts, sources, &settings, &progress));
    let mut tasks = JoinSet::new();
    for shard in shards {
        let (job, shutdown) = (job.clone(), shutdown.clone());
        tasks.spawn(async move { job.run(shard, shutdown).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|e| Error::internal("run a shard of the hydrator").because(e))??;
    }
    Ok(())
}
