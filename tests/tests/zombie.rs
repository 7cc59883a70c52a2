//! I10 a zombie is harmless: several processors at work on every shard at once, over one log and one
//! store, cost work and never correctness; and a processor killed between any two steps as well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::memory::{MemoryLog, MemoryStore};
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Entities, EntityFilter, Log};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use ledgerline_tests::alone::alone;
use ledgerline_tests::bodies::body;
use ledgerline_tests::sealed::record;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

const EVENTS: usize = 3_000;
const WORKERS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i10_several_workers_on_every_shard_give_the_state_of_one() {
    let mut random = rand::rngs::StdRng::seed_from_u64(rand::random());
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let sources = Arc::new(sources);
    let (log, store) = (Arc::new(MemoryLog::new(3)), Arc::new(MemoryStore::new()));

    // Shuffled, a fifth of them twice, arriving while the workers run.
    let mut numbers: Vec<usize> = (0..EVENTS).chain((0..EVENTS / 5).map(|_| random.random_range(0..EVENTS))).collect();
    numbers.shuffle(&mut random);
    let settings = ApplySettings {
        batch_records_max: 7,
        wait: Duration::from_millis(5),
        cache_records: 16,
        backoff: (Duration::from_millis(1), Duration::from_millis(5)),
        ..ApplySettings::default()
    };
    let (stop, stopped) = watch::channel(false);
    let start = || {
        let work = (
            log.clone(),
            store.clone(),
            sources.clone(),
            settings.clone(),
            Arc::new(Progress::default()),
            stopped.clone(),
        );
        tokio::spawn(apply::run(work.0, work.1, work.2, work.3, work.4, work.5))
    };
    let mut workers: Vec<_> = (0..WORKERS).map(|_| start()).collect();
    for chunk in numbers.chunks(40) {
        let record = |n: &usize| record(&provider, &source, &Bytes::from(body(*n)));
        log.append(chunk.iter().map(record).collect()).await.expect("appended");
        // One of them dies wherever it is, and another takes its place.
        let victim = random.random_range(0..WORKERS);
        workers[victim].abort();
        workers[victim] = start();
    }
    for shard in log.shards() {
        let tip = log.tip(&shard).await.expect("a tip");
        while store.checkpoint(&shard).await.expect("a checkpoint") < tip {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.send(true).expect("they run");
    for worker in workers {
        worker.await.expect("no panic").expect("a good end");
    }

    let (alone, _) = alone(&log, &sources).await;
    let mut checked = 0;
    for live in store.list(&EntityFilter::default(), None, EVENTS).await.expect("a page") {
        let alone = &alone[&live.key];
        assert!(live.canonical() == alone.canonical(), "{}", live.key);
        assert_eq!(live.entries, alone.entries, "positions and copies are exact as well");
        checked += live.entries.len();
    }
    assert_eq!(checked, EVENTS);
}
