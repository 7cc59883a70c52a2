//! The real route: signed events into the log at a steady rate, a processor with leases behind it, an archiver.
//! What they ask of AWS meanwhile is read from the meter.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ledgerline_adapters::aws::dynamo::{DynamoSettings, DynamoStore, tables};
use ledgerline_adapters::aws::kinesis::{KinesisLog, KinesisSettings};
use ledgerline_adapters::aws::leases::DynamoLeases;
use ledgerline_adapters::aws::meter::{Reading, units};
use ledgerline_adapters::aws::s3::{S3Archive, S3Settings};
use ledgerline_adapters::aws::{AwsConfig, RetrySettings};
use ledgerline_domain::ErrorKind;
use ledgerline_domain::ports::{Entities as _, Log, LogRecord, ReadLimit, StoredPart};
use ledgerline_processor::apply::{Applier, ApplySettings, Progress};
use ledgerline_processor::archiver::{ArchiverJob, ArchiverProgress, ArchiverSettings};
use ledgerline_processor::leases::{LeaseBoard, LeaseSettings, run_leases};
use tokio::task::JoinSet;

use super::traffic::{Doors, Planned};
use crate::exit::{Failure, Outcome};
use crate::output;
use crate::wiring::{SystemClock, Task};

/// Where the load goes: a stream, tables and a bucket that hold nothing else. Plain data.
#[derive(Clone, Debug)]
pub struct Places {
    /// The stream, and how it is used.
    pub stream: KinesisSettings,
    /// What the names of the tables begin with; those that are not there are made.
    pub tables: String,
    /// The bucket.
    pub bucket: String,
    /// Where in it.
    pub prefix: String,
}

/// How the load is put on. Plain data.
#[derive(Clone, Copy, Debug)]
pub struct LoadPlan {
    /// How many events.
    pub events: usize,
    /// How many in a second.
    pub per_second: f64,
    /// Seconds between two events of a payment, on average.
    pub gap: f64,
    /// How long everything runs afterwards without any event.
    pub idle: Duration,
    /// Seed of the made-up events.
    pub seed: u64,
    /// Limits of the processor.
    pub apply: Apply,
}

/// What is set of the processor.
#[derive(Clone, Copy, Debug)]
pub struct Apply {
    /// How long a batch gathers before it is committed.
    pub gather: Duration,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// Events that were sent and applied.
    pub events: usize,
    /// Open shards.
    pub shards: usize,
    /// Length of the load, until all was applied.
    pub applied_for: Duration,
    /// The same until all was archived as well.
    pub loaded_for: Duration,
    /// Calls meanwhile.
    pub loaded: Reading,
    /// Length of the rest behind it.
    pub idle_for: Duration,
    /// Calls meanwhile.
    pub idle: Reading,
    /// Bytes of the envelopes in the stream.
    pub stream_bytes: u64,
    /// Items of entities.
    pub items: u64,
    /// Their bytes, as DynamoDB counts them for storage, without indexes.
    pub item_bytes: u64,
    /// The largest one.
    pub item_bytes_max: u64,
}

/// Puts the load on and measures.
pub async fn run(aws: &AwsConfig, places: &Places, plan: LoadPlan, planned: Vec<Planned>) -> Outcome<Measured> {
    aws.meter().ask_for_capacity(true);
    let dynamo = DynamoSettings::new(&places.tables);
    tables::create(aws, &dynamo, 1).await?;
    let leases_table = format!("{}-leases", places.tables);
    let archiver_leases = format!("{leases_table}-archiver");
    for table in [&leases_table, &archiver_leases] {
        DynamoLeases::create_table(aws.dynamodb().config(), table).await?;
    }
    let doors = Doors::open()?;
    let kinesis = aws.kinesis();
    let log = Arc::new(KinesisLog::open(kinesis.config(), places.stream.clone()).await?);
    let store = Arc::new(DynamoStore::new(aws, &dynamo, 1)?);
    refuse_what_is_used(&log, &store, places).await?;
    let archive = Arc::new(S3Archive::new(aws, S3Settings::new(&places.bucket, &places.prefix))?);
    let leases = Arc::new(lease_table(aws, &leases_table).await?);

    // Readers of their own, as in processes of their own.
    let read = KinesisSettings { reads_per_second: places.stream.reads_per_second.min(2), ..places.stream.clone() };
    let applied = Arc::new(Progress::quiet());
    let to_apply = Arc::new(KinesisLog::open(kinesis.config(), read.clone()).await?);
    let settings = ApplySettings { gather: plan.apply.gather, ..ApplySettings::default() };
    let applier =
        Arc::new(Applier::new(to_apply.clone(), store.clone(), Arc::new(doors.sources()), settings, applied.clone()));
    let worker = LeaseSettings::new(worker_name());
    let board = Arc::new(LeaseBoard::default());
    let processor = Task::spawn("processor", |stop| run_leases(to_apply, leases, applier, worker, board, stop));
    let archived = Arc::new(ArchiverProgress::default());
    let to_archive = Arc::new(KinesisLog::open(kinesis.config(), read).await?);
    let settings = ArchiverSettings { stream: places.stream.stream.clone(), ..ArchiverSettings::default() };
    let clock = Arc::new(SystemClock);
    let job = Arc::new(ArchiverJob::new(to_archive.clone(), archive, clock, settings, archived.clone())?);
    let leases = Arc::new(lease_table(aws, &archiver_leases).await?);
    let (worker, board) = (LeaseSettings::new(worker_name()), Arc::new(LeaseBoard::default()));
    let archiver = Task::spawn("archiver", |stop| run_leases(to_archive, leases, job, worker, board, stop));
    // Leases are found and taken before the load begins.
    tokio::time::sleep(Duration::from_secs(6)).await;

    let (before, began) = (aws.meter().read(), Instant::now());
    let events = planned.len();
    let stream_bytes = send(&log, &doors, planned).await?;
    let bar = output::bar("waiting for processor and archiver", None);
    let deadline = Instant::now() + Duration::from_secs(300);
    let mut applied_for = None;
    while applied_for.is_none() || archived.records() < events as u64 {
        if applied_for.is_none() && taken(&applied) >= events as u64 {
            applied_for = Some(began.elapsed());
        }
        if Instant::now() > deadline {
            let (applied, archived) = (taken(&applied), archived.records());
            return Err(Failure::failed(format!("wait for {events} events: {applied} applied, {archived} archived")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bar.finish_and_clear();
    let (loaded_for, after) = (began.elapsed(), aws.meter().read());
    tokio::time::sleep(plan.idle).await;
    let rested = aws.meter().read();
    processor.stop().await?;
    archiver.stop().await?;
    let shards = log.lineage().await?.iter().filter(|shard| !shard.closed).count();
    let sizes = item_sizes(aws, &store.tables().records).await?;
    Ok(Measured {
        events,
        shards,
        applied_for: applied_for.unwrap_or(loaded_for),
        loaded_for,
        loaded: after.since(&before),
        idle_for: plan.idle,
        idle: rested.since(&after),
        stream_bytes,
        items: sizes.len() as u64,
        item_bytes: sizes.iter().sum(),
        item_bytes_max: sizes.iter().copied().max().unwrap_or_default(),
    })
}

/// Events that were folded, those too that came behind a later one of their payment.
fn taken(progress: &Progress) -> u64 {
    let counts = progress.counts();
    counts.appended + counts.merged
}

/// A live deployment must not get made-up payments.
async fn refuse_what_is_used(log: &KinesisLog, store: &DynamoStore, places: &Places) -> Outcome<()> {
    let look = ReadLimit { records_max: 1, bytes_max: usize::MAX, wait: Duration::ZERO };
    for shard in log.shards() {
        if !log.read(&shard, None, look).await?.records.is_empty() {
            let stream = &places.stream.stream;
            return Err(Failure::usage(format!(
                "price a load on the stream {stream}: it has records; give it a new one"
            )));
        }
    }
    if !store.stored(StoredPart::ALL, None, 1).await?.records.is_empty() {
        let tables = &places.tables;
        return Err(Failure::usage(format!(
            "price a load on the tables {tables}-…: they have items; give another --tables"
        )));
    }
    Ok(())
}

fn worker_name() -> String {
    format!("cost-{:016x}", rand::random::<u64>())
}

async fn lease_table(aws: &AwsConfig, table: &str) -> Outcome<DynamoLeases> {
    let deadline = Instant::now() + RetrySettings::default().give_up_after;
    loop {
        match DynamoLeases::open(aws.dynamodb().config(), table).await {
            Ok(leases) => return Ok(leases),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}

/// Sends every event at its time; gives the bytes of the envelopes.
async fn send(log: &Arc<KinesisLog>, doors: &Doors, planned: Vec<Planned>) -> Outcome<u64> {
    let bar = output::bar("events", Some(planned.len() as u64));
    let began = Instant::now();
    let mut appends = JoinSet::new();
    let mut bytes = 0;
    for event in planned {
        tokio::time::sleep_until((began + event.at).into()).await;
        let records = doors.receive(&event)?;
        bytes += records.iter().map(|record| record.data.len() as u64).sum::<u64>();
        appends.spawn(append(log.clone(), records));
        while let Some(ended) = appends.try_join_next() {
            ended.map_err(|e| Failure::failed(format!("append an event: {e}")))??;
            bar.inc(1);
        }
    }
    while let Some(ended) = appends.join_next().await {
        ended.map_err(|e| Failure::failed(format!("append an event: {e}")))??;
    }
    bar.finish_and_clear();
    Ok(bytes)
}

/// Appends as a provider would that sends again when it is told to come later.
async fn append(log: Arc<KinesisLog>, records: Vec<LogRecord>) -> Outcome<()> {
    for _ in 0..100 {
        match log.append(records.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Retry => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Failure::failed("append an event: the stream is away"))
}

/// Sizes of all items of a table, as DynamoDB counts them for storage: 100 bytes more than the item.
async fn item_sizes(aws: &AwsConfig, table: &str) -> Outcome<Vec<u64>> {
    let mut pages = aws.dynamodb().scan().table_name(table).into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|_| Failure::failed(format!("read the sizes of the items of {table}")))?;
        sizes.extend(page.items().iter().map(|item| units::item_bytes(item) as u64 + 100));
    }
    Ok(sizes)
}
