//! Streams whose shards split and merge, from the log to the archive and back: several archivers under leases,
//! the hydrator over a split, and everything that replay makes of such an archive.

mod archive;
mod hydrate;
mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_adapters::memory::{MemoryArchive, MemoryLog, MemoryStore};
use ledgerline_domain::ids::{SequenceNumber, ShardId, SourceName};
use ledgerline_domain::ports::{Entities, Log};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_processor::apply::{Applier, ApplySettings, Progress};
use ledgerline_processor::archiver::{ArchiverProgress, ArchiverSettings, run_archiver};
use ledgerline_processor::leases::ShardJob;
use ledgerline_tests::bodies::body;
use ledgerline_tests::sealed::record;
use ledgerline_tests::vault::{HOUR, NanosClock};
use tokio::sync::watch;

const STREAM: &str = "main";

/// A log that splits and merges, with what reads it.
struct World {
    log: Arc<MemoryLog>,
    archive: Arc<MemoryArchive>,
    clock: Arc<NanosClock>,
    sources: Arc<Sources>,
    provider: Arc<Provider>,
    source: SourceName,
}

impl World {
    fn new(shards: u32) -> Self {
        let clock = Arc::new(NanosClock(AtomicI64::new(HOUR)));
        let source = SourceName::new("stripe").unwrap();
        let provider = Arc::new(Provider::built_in("stripe").unwrap());
        let mut sources = Sources::default();
        sources.insert(&source, provider.clone());
        let (log, archive) = (Arc::new(MemoryLog::with_clock(shards, clock.clone())), Arc::new(MemoryArchive::new()));
        Self { log, archive, clock, sources: Arc::new(sources), provider, source }
    }

    async fn append(&self, events: impl IntoIterator<Item = usize>) {
        for n in events {
            self.log.append(vec![record(&self.provider, &self.source, &Bytes::from(body(n)))]).await.unwrap();
        }
    }

    /// Folds all of the log into a store.
    async fn apply(&self, store: &Arc<MemoryStore>) {
        let settings =
            ApplySettings { wait: Duration::from_millis(2), batch_records_max: 7, ..ApplySettings::default() };
        let (log, progress) = (self.log.clone(), Arc::new(Progress::default()));
        let job = Arc::new(Applier::new(log, store.clone(), self.sources.clone(), settings, progress));
        let (stop, stopped) = watch::channel(false);
        let mut running = Vec::new();
        for shard in self.log.lineage().await.unwrap().into_iter().filter(|shard| !shard.closed) {
            let (job, stopped) = (job.clone(), stopped.clone());
            running.push(tokio::spawn(async move { job.run(shard.id, stopped).await }));
        }
        for shard in self.log.lineage().await.unwrap() {
            let end = if shard.closed { Some(SequenceNumber::shard_end()) } else { self.tip(&shard.id).await };
            until("all is applied", async || store.checkpoint(&shard.id).await.unwrap() == end).await;
        }
        stop.send_replace(true);
        for running in running {
            running.await.unwrap().unwrap();
        }
    }

    /// Archives all of the log.
    async fn archive(&self) {
        let (stop, stopped) = watch::channel(false);
        let progress = Arc::new(ArchiverProgress::default());
        let (log, archive, clock) = (self.log.clone(), self.archive.clone(), self.clock.clone());
        let run = tokio::spawn(run_archiver(log, archive, clock, archiver(), progress.clone(), stopped));
        for shard in self.log.shards() {
            let tip = self.tip(&shard).await;
            until("all is archived", async || progress.positions().get(&shard) == tip.as_ref()).await;
        }
        stop.send_replace(true);
        run.await.unwrap().unwrap();
    }

    async fn tip(&self, shard: &ShardId) -> Option<SequenceNumber> {
        self.log.tip(shard).await.unwrap()
    }

    async fn tips(&self) -> BTreeMap<ShardId, SequenceNumber> {
        let mut tips = BTreeMap::new();
        for shard in self.log.shards() {
            if let Some(tip) = self.tip(&shard).await {
                tips.insert(shard, tip);
            }
        }
        tips
    }
}

/// Small segments at short intervals.
fn archiver() -> ArchiverSettings {
    ArchiverSettings {
        stream: STREAM.into(),
        segment_records_max: 9,
        flush_after: Duration::from_millis(10),
        wait: Duration::from_millis(2),
        backoff: (Duration::from_millis(1), Duration::from_millis(5)),
        head_every: 2,
        look_every: Duration::from_millis(20),
        ..ArchiverSettings::default()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(60), "never: {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}
