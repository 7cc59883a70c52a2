//! The log on Kinesis against the bare SDK client that does the same puts and gets, on the service in this process, in the
//! same run: producer (lanes, order per entity, an answer per record) and reader (places, order checked).
//!
//! `cargo bench -p ledgerline-tests --bench aws`   [-- RECORDS ROUNDS]

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use bytes::Bytes;
use ledgerline_adapters::aws::kinesis::{KinesisLog, KinesisSettings};
use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::{Log as _, LogRecord, ReadLimit};
use ledgerline_tests::aws::{LocalKinesis, quick_log};
use ledgerline_tests::limits::median;
use tokio::task::JoinSet;

const STREAM: &str = "events";
/// Requests at a time, on both sides.
const AT_ONCE: usize = 8;
/// Records of a request.
const BATCH: usize = 500;
/// Bytes of a record.
const RECORD_BYTES: usize = 1024;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let records = numbers.next().unwrap_or(20_000);
    let rounds = numbers.next().unwrap_or(3);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (mut raw_puts, mut puts, mut raw_gets, mut gets) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        runtime.block_on(async {
            let (raw, own) = (LocalKinesis::start(1).await, LocalKinesis::start(1).await);
            let log = Arc::new(own.log(settings(), None).await);
            // Who is first changes from round to round.
            if round % 2 == 0 {
                raw_puts.push(put_raw(&raw.client(), records).await);
                puts.push(put(&log, records).await);
                raw_gets.push(get_raw(&raw.client(), records).await);
                gets.push(get(&log, records).await);
            } else {
                puts.push(put(&log, records).await);
                raw_puts.push(put_raw(&raw.client(), records).await);
                gets.push(get(&log, records).await);
                raw_gets.push(get_raw(&raw.client(), records).await);
            }
        });
        println!(
            "round {round}: puts {:.0}/s of {:.0}/s, gets {:.0}/s of {:.0}/s",
            puts[round], raw_puts[round], gets[round], raw_gets[round]
        );
    }
    for (name, raw, own) in [("producer", raw_puts, puts), ("reader", raw_gets, gets)] {
        let ratios = raw.iter().zip(&own).map(|(raw, own)| own / raw).collect();
        println!(
            "{name:10} bare SDK {:>8.0} records/s, log {:>8.0} records/s, {:.2} of it (goal 0.80)",
            median(raw.clone()),
            median(own.clone()),
            median(ratios)
        );
    }
}

/// Requests as large as the bare client's, and no budget of reads.
fn settings() -> KinesisSettings {
    KinesisSettings { request_records_max: BATCH, requests_in_flight_max: AT_ONCE, ..quick_log() }
}

fn key(n: usize) -> String {
    format!("shop/payment/{n:012}")
}

async fn put_raw(client: &Client, records: usize) -> f64 {
    let data = Blob::new(vec![b'x'; RECORD_BYTES]);
    let began = Instant::now();
    let mut loops = JoinSet::new();
    for at in 0..AT_ONCE {
        let (client, data) = (client.clone(), data.clone());
        loops.spawn(async move {
            for batch in (at..records.div_ceil(BATCH)).step_by(AT_ONCE) {
                let numbers = batch * BATCH..records.min((batch + 1) * BATCH);
                let entry = |n| PutRecordsRequestEntry::builder().partition_key(key(n)).data(data.clone()).build();
                let entries = numbers.map(|n| entry(n).expect("an entry")).collect();
                let sent = client.put_records().stream_name(STREAM).set_records(Some(entries)).send().await;
                assert_eq!(sent.expect("an answer").failed_record_count, Some(0));
            }
        });
    }
    while let Some(ended) = loops.join_next().await {
        ended.expect("no panic");
    }
    records as f64 / began.elapsed().as_secs_f64()
}

/// One append per record, as the door makes them; as many wait as fill the requests twice.
async fn put(log: &Arc<KinesisLog>, records: usize) -> f64 {
    let data = Bytes::from(vec![b'x'; RECORD_BYTES]);
    let began = Instant::now();
    let mut appends = JoinSet::new();
    for n in 0..records {
        let record = LogRecord { key: EntityKey::parse(&key(n)).expect("a key"), data: data.clone() };
        let log = log.clone();
        appends.spawn(async move { log.append(vec![record]).await.expect("appended") });
        if appends.len() >= AT_ONCE * BATCH * 2 {
            appends.join_next().await.expect("one").expect("no panic");
        }
    }
    while let Some(ended) = appends.join_next().await {
        ended.expect("no panic");
    }
    records as f64 / began.elapsed().as_secs_f64()
}

async fn get_raw(client: &Client, records: usize) -> f64 {
    let shard = client.list_shards().stream_name(STREAM).send().await.expect("shards").shards()[0].shard_id.clone();
    let began = Instant::now();
    let first = client.get_shard_iterator().stream_name(STREAM).shard_id(shard);
    let first = first.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let (mut iterator, mut read) = (first.shard_iterator, 0);
    while read < records {
        let answer = client.get_records().set_shard_iterator(iterator).limit(10_000).send().await.expect("records");
        read += answer.records.len();
        iterator = answer.next_shard_iterator;
    }
    records as f64 / began.elapsed().as_secs_f64()
}

async fn get(log: &KinesisLog, records: usize) -> f64 {
    let shard = log.shards().remove(0);
    let limit = ReadLimit { records_max: 10_000, bytes_max: usize::MAX, wait: Duration::from_secs(1) };
    let began = Instant::now();
    let (mut after, mut read) = (None, 0);
    while read < records {
        let batch = log.read(&shard, after.as_ref(), limit).await.expect("records");
        read += batch.records.len();
        after = batch.records.last().map(|last| last.sequence.clone()).or(after);
    }
    records as f64 / began.elapsed().as_secs_f64()
}
