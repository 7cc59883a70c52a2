//! Processors on every shard, one or several, over DynamoDB with faults at every call, killed at random: the state of one
//! worker that nothing happens to, and the same quarantine.

#![expect(clippy::expect_used, reason = "a broken promise ends the test")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::memory::MemoryLog;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Entities, Log};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use ledgerline_tests::alone::{as_alone, contradiction};
use ledgerline_tests::aws::{Faults, LocalDynamo, quick_retries, short_retries};
use ledgerline_tests::bodies::body;
use ledgerline_tests::sealed::record;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

const EVENTS: usize = 400;

/// Whoever comes after a worker that was killed finds all that it had begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i5_a_killed_worker_loses_nothing_over_dynamodb() {
    workers_at_random(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i10_a_zombie_is_harmless_over_dynamodb() {
    workers_at_random(2).await;
}

async fn workers_at_random(at_once: usize) {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let sources = Arc::new(sources);
    let (log, dynamo) = (Arc::new(MemoryLog::new(2)), LocalDynamo::start().await);
    let calm = dynamo.store(None, quick_retries()).await;

    // Shuffled, a fifth of them twice, some with other facts under an id that was accepted before.
    let mut bodies: Vec<String> = (0..EVENTS).map(body).collect();
    bodies.extend((0..EVENTS / 5).map(|_| body(random.random_range(0..EVENTS))));
    bodies.extend((0..EVENTS / 20).map(|_| contradiction(random.random_range(0..EVENTS))));
    bodies.shuffle(&mut random);
    let settings = ApplySettings {
        batch_records_max: 13,
        wait: Duration::from_millis(5),
        cache_records: 16,
        backoff: (Duration::from_millis(1), Duration::from_millis(5)),
        ..ApplySettings::default()
    };
    let (stop, stopped) = watch::channel(false);
    let mut all_faults = Vec::new();
    let mut faulty = async |seed: u64| {
        let faults = Faults::by_chance(seed, 15);
        let store = dynamo.store(Some(&faults), short_retries()).await;
        all_faults.push(faults);
        Arc::new(store)
    };
    let start = |store| {
        let progress = Arc::new(Progress::default());
        tokio::spawn(apply::run(log.clone(), store, sources.clone(), settings.clone(), progress, stopped.clone()))
    };
    let mut workers = Vec::new();
    for n in 0..at_once {
        workers.push(start(faulty(seed.wrapping_add(n as u64)).await));
    }
    for chunk in bodies.chunks(40) {
        let record = |body: &String| record(&provider, &source, &Bytes::from(body.clone()));
        log.append(chunk.iter().map(record).collect()).await.expect("appended");
        tokio::time::sleep(Duration::from_millis(30)).await;
        // One of them dies wherever it is, and another takes its place.
        let victim = random.random_range(0..at_once);
        workers[victim].abort();
        workers[victim] = start(faulty(random.random()).await);
    }
    for shard in log.shards() {
        let tip = log.tip(&shard).await.expect("a tip");
        while calm.checkpoint(&shard).await.expect("a checkpoint") < tip {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.send(true).expect("they run");
    for worker in workers {
        worker.await.expect("no panic").expect("a good end");
    }
    assert!(all_faults.iter().map(Faults::all_hits).sum::<usize>() > 20, "many calls were hit");

    as_alone(&calm, &log, &sources, EVENTS, &format!("seed {seed}")).await;
}
