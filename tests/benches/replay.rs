//! Replay from the archive on one thread, against parse + dedupe + fold by hand in memory, in the same
//! run: rebuild (scan, interpret, fold) and verify (rebuild and compare with the live state), and the
//! look-up of one entity against the full scan. Where there are two cores, both on two threads as well, and the limit
//! too: a machine whose second core is not a whole one shows there.
//!
//! One thread: `taskset -c 0 cargo bench -p ledgerline-tests --bench replay`
//! Two threads: `cargo bench -p ledgerline-tests --bench replay`

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::SystemClock;
use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions};
use ledgerline_adapters::partition::shard_index;
use ledgerline_domain::ids::{EntityKey, ShardId, SourceName};
use ledgerline_domain::ports::{Entities, Log};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use ledgerline_processor::archiver::{ArchiverProgress, ArchiverSettings, STREAM_DEFAULT, run_archiver};
use ledgerline_replay::lookup::events_of;
use ledgerline_replay::rebuild::{Input, Limits, rebuild};
use ledgerline_replay::verify::verify;
use ledgerline_tests::bodies::body;
use ledgerline_tests::limits::{Watch, median, parse_and_fold};
use ledgerline_tests::sealed::record;
use tokio::sync::watch;

const EVENTS: usize = 300_000;
const ROUNDS: usize = 5;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(run());
}

async fn run() {
    let bodies: Vec<Bytes> = (0..EVENTS).map(|n| Bytes::from(body(n))).collect();
    let dir = tempfile::tempdir().expect("a directory");
    let data = Embedded::open(dir.path(), EmbeddedOptions::default()).await.expect("it opens");
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let sources = Arc::new(sources);
    fill(&data, &sources, &provider, &source, &bodies).await;

    let input_on = |threads| {
        let limits = Limits { threads, memory_bytes: 1024 * 1024 * 1024, spill_dir: Some(dir.path()) };
        Input { limits, ..Input::new(STREAM_DEFAULT, &sources) }
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let shards = u32::try_from(data.log.shards().len()).expect("few");
    let shards_of = |key: &EntityKey| vec![ShardId::numbered(shard_index(key, shards))];
    let wanted = EntityKey::parse("stripe/payment/pi_000000000000000000050000").expect("a key");
    let mut figures: [Vec<f64>; 7] = Default::default();
    for _ in 0..ROUNDS {
        let mut timed = |at: usize, began: Watch| figures[at].push(began.seconds());
        let began = Watch::start();
        assert_eq!(parse_and_fold(bodies.iter().map(AsRef::as_ref)).0, EVENTS / 3);
        timed(0, began);
        let began = Watch::start();
        std::thread::scope(|scope| {
            // Whole payments for each.
            for half in bodies.chunks(EVENTS / 2) {
                scope.spawn(|| assert_eq!(parse_and_fold(half.iter().map(AsRef::as_ref)).0, EVENTS / 6));
            }
        });
        timed(6, began);
        for threads in 1..=cores.min(2) {
            let input = input_on(threads);
            let began = Watch::start();
            let rebuilt = rebuild(&*data.archive, &input, &mut |_| {}).await.expect("rebuilt");
            timed([1, 4][threads - 1], began);
            assert_eq!(rebuilt.counts.records, EVENTS as u64);
            drop(rebuilt);
            let began = Watch::start();
            let report = verify(&*data.archive, &*data.store, &input, &shards_of, &mut |_| {}).await.expect("verified");
            timed([2, 5][threads - 1], began);
            assert!(report.is_clean());
        }
        let began = Watch::start();
        let found = events_of(&*data.archive, STREAM_DEFAULT, None, &wanted).await.expect("looked up");
        timed(3, began);
        assert_eq!(found.len(), 3);
    }
    let seconds = figures.map(median);
    let rate = |at: usize| EVENTS as f64 / seconds[at];
    println!("{EVENTS} events, medians of {ROUNDS} rounds");
    println!("limit: parse + dedupe + fold by hand   {:>10.0} events/s", rate(0));
    for (at, name) in [(1, "rebuild: scan + interpret + fold"), (2, "verify: rebuild + compare with the store")] {
        println!("{name:<42} {:>6.0} events/s   {:.2} of the limit (goal 0.60)", rate(at), rate(at) / rate(0));
    }
    let two = [(6, 0, "the limit on two threads"), (4, 1, "rebuild on two threads"), (5, 2, "verify on two threads")];
    for (at, one, name) in two.into_iter().filter(|_| cores > 1) {
        let goal = if one > 0 { " (goal 1.80)" } else { ": what this machine gives" };
        println!("{name:<42} {:>6.0} events/s   {:.2} times one thread{goal}", rate(at), rate(at) / rate(one));
    }
    println!(
        "look-up of one entity: {:.1} ms, {:.3} of the rebuild (goal 0.02)",
        seconds[3] * 1000.0,
        seconds[3] / seconds[1]
    );
}

/// Appends the bodies, folds and archives them.
async fn fill(data: &Embedded, sources: &Arc<Sources>, provider: &Provider, source: &SourceName, bodies: &[Bytes]) {
    for chunk in bodies.chunks(1000) {
        data.log.append(chunk.iter().map(|body| record(provider, source, body)).collect()).await.expect("appended");
    }
    let (stop, stopped) = watch::channel(false);
    let progress = Arc::new(ArchiverProgress::default());
    let (log, archive, clock) = (data.log.clone(), data.archive.clone(), Arc::new(SystemClock));
    let archiver =
        tokio::spawn(run_archiver(log, archive, clock, ArchiverSettings::default(), progress, stopped.clone()));
    let (log, store, settings) = (data.log.clone(), data.store.clone(), ApplySettings::default());
    let processor =
        tokio::spawn(apply::run(log, store, sources.clone(), settings, Arc::new(Progress::default()), stopped));
    for shard in data.log.shards() {
        let tip = data.log.tip(&shard).await.expect("a tip");
        while data.store.checkpoint(&shard).await.expect("a checkpoint") < tip {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    stop.send(true).expect("they run");
    archiver.await.expect("no panic").expect("a good end");
    processor.await.expect("no panic").expect("a good end");
}
