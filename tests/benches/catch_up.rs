//! Catch-up of a backlog, embedded, three events per payment: the log is full, the state is empty, the
//! processor runs until its lag is 0; against parse + dedupe + fold by hand in memory, in the same run.
//!
//! One core: `taskset -c 0 cargo bench -p ledgerline-tests --bench catch_up`

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions};
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Entities, Log};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use ledgerline_tests::bodies::body;
use ledgerline_tests::limits::{Watch, median, parse_and_fold};
use ledgerline_tests::sealed::record;
use tokio::sync::watch;

const EVENTS: usize = 300_000;
const ROUNDS: usize = 5;

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let bodies: Vec<Bytes> = (0..EVENTS).map(|n| Bytes::from(body(n))).collect();
    let (mut limits, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let began = Watch::start();
        assert_eq!(parse_and_fold(bodies.iter().map(AsRef::as_ref)).0, EVENTS / 3);
        limits.push(EVENTS as f64 / began.seconds());
        ours.push(runtime.block_on(catch_up(&bodies)));
        println!("round {round}: limit {:.0}/s, catch-up {:.0}/s", limits[round], ours[round]);
    }
    let (limit, figure) = (median(limits), median(ours));
    println!("limit: parse + dedupe + fold by hand   {limit:>10.0} events/s");
    println!(
        "catch-up of a backlog                  {figure:>10.0} events/s   {:.2} of the limit (goal 0.30)",
        figure / limit
    );
}

async fn catch_up(bodies: &[Bytes]) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let data = Embedded::open(dir.path(), EmbeddedOptions::default()).await.expect("it opens");
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    for chunk in bodies.chunks(1000) {
        data.log.append(chunk.iter().map(|body| record(&provider, &source, body)).collect()).await.expect("appended");
    }
    let progress = Arc::new(Progress::default());
    let (stop, stopped) = watch::channel(false);
    let began = Watch::start();
    let running = tokio::spawn(apply::run(
        data.log.clone(),
        data.store.clone(),
        Arc::new(sources),
        settings(),
        progress.clone(),
        stopped,
    ));
    for shard in data.log.shards() {
        let tip = data.log.tip(&shard).await.expect("a tip");
        while data.store.checkpoint(&shard).await.expect("a checkpoint") < tip {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let rate = bodies.len() as f64 / began.seconds();
    stop.send(true).expect("it runs");
    running.await.expect("no panic").expect("a good end");
    assert_eq!(progress.counts().appended, bodies.len() as u64);
    rate
}

/// The defaults; the first argument is another number of records per batch.
fn settings() -> ApplySettings {
    let records = std::env::args().skip(1).find_map(|a| a.parse().ok());
    let default = ApplySettings::default();
    ApplySettings { batch_records_max: records.unwrap_or(default.batch_records_max), ..default }
}
