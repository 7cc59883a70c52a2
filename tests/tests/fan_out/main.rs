//! The log on Kinesis read by enhanced fan-out: the suite of every log, subscriptions that end in every way, shards that
//! split and merge, workers that take shards over from each other.
//!
//! The stand-in subscribes over HTTP/1.1 (`http2` is the test over TLS and HTTP/2). What it lacks is added in
//! `ledgerline_tests::aws::Subscriptions`, on whose clock five seconds are a few milliseconds.

mod http2;
mod takeover;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_adapters::aws::kinesis::{FanOutSettings, KinesisLog, KinesisSettings};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Appended, Log, LogRecord, ReadBatch, ReadLimit, ShardInfo};
use ledgerline_domain::{ErrorKind, Result};
use ledgerline_tests::aws::{LocalKinesis, StreamFault, quick_log};
use ledgerline_tests::conformance as suite;

/// Name of the consumer.
const CONSUMER: &str = "reader";
/// What five seconds are here.
const AGAIN_AFTER: Duration = Duration::from_millis(30);
/// Waits long enough for a subscription to say something.
const PATIENT: ReadLimit = ReadLimit { records_max: 1000, bytes_max: usize::MAX, wait: Duration::from_secs(1) };
const LONG: Duration = Duration::from_secs(300);

/// Limits on the stand-in's clock.
fn quick_fan_out() -> KinesisSettings {
    let fan_out = FanOutSettings {
        silence_max: Duration::from_secs(2),
        unasked_max: Duration::from_secs(2),
        subscribe_every: AGAIN_AFTER,
        backoff: (Duration::from_millis(5), Duration::from_millis(50)),
        ..FanOutSettings::default()
    };
    KinesisSettings { fan_out, ..quick_log() }
}

/// A log that appends, and the same read by fan-out.
async fn both(local: &LocalKinesis, settings: KinesisSettings) -> (KinesisLog, KinesisLog) {
    let log = local.log(settings, None).await;
    let fanned = log.fanned_out(CONSUMER).await.unwrap_or_else(|e| panic!("failed to {e}"));
    (log, fanned)
}

async fn start(shards: i32) -> LocalKinesis {
    let local = LocalKinesis::start_to_subscribe(shards, LONG, AGAIN_AFTER).await;
    local.register(CONSUMER).await;
    local
}

/// Reads that may wait for the subscription where the suite's do not.
struct Patient(KinesisLog);

impl Log for Patient {
    fn shards(&self) -> Vec<ShardId> {
        self.0.shards()
    }
    async fn lineage(&self) -> Result<Vec<ShardInfo>> {
        self.0.lineage().await
    }
    async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        self.0.append(records).await
    }
    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        let wait = if limit.wait.is_zero() { PATIENT.wait } else { limit.wait };
        self.0.read(shard, after, ReadLimit { wait, ..limit }).await
    }
    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        self.0.tip(shard).await
    }
    async fn release(&self, shard: &ShardId, through: &SequenceNumber) -> Result<()> {
        self.0.release(shard, through).await
    }
}

async fn conforming(shards: i32) -> KinesisLog {
    let local = LocalKinesis::start_or_other(shards).await;
    local.register(CONSUMER).await;
    both(&local, quick_fan_out()).await.1
}

macro_rules! conforms {
    ($($test:ident),+) => {
        mod conforms {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    suite::$test(&Arc::new(conforming(3).await)).await;
                }
            )+
        }
        mod conforms_through_subscriptions {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let log = Arc::new(Patient(conforming(3).await));
                    // Each is on before the suite begins.
                    let began = Instant::now();
                    while log.0.counts().subscriptions < 3 {
                        for shard in log.shards() {
                            let short = ReadLimit { wait: Duration::from_millis(100), ..PATIENT };
                            log.0.read(&shard, None, short).await.expect("a read");
                        }
                        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", log.0.counts());
                    }
                    suite::$test(&log).await;
                    used(&log.0).await;
                }
            )+
        }
    };
}
conforms!(log_keeps_order_per_key, log_reads_after_a_position, log_wakes_readers, log_releases);

/// Reads on until records came through a subscription: what a suite of few records read may have been polled.
async fn used(log: &KinesisLog) {
    let next = async || log.append(vec![record(0, 0)]).await.expect("appended").remove(0);
    let (mut after, began) = (next().await.sequence, Instant::now());
    while log.counts().subscription_records == 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", log.counts());
        let place = next().await;
        log.read(&place.shard, Some(&after), PATIENT).await.expect("a read");
        after = place.sequence;
    }
}

fn record(id: u32, n: u32) -> LogRecord {
    let key = EntityKey::parse(&format!("shop/order/{id}")).expect("a key");
    LogRecord { key, data: Bytes::from(format!("{id} {n}")) }
}

/// The entity and the number of a record.
fn parts(value: &Bytes) -> (u32, u32) {
    let text = std::str::from_utf8(value).expect("text");
    let (id, n) = text.split_once(' ').expect("two parts");
    (id.parse().expect("a number"), n.parse().expect("a number"))
}

/// A reader of one shard.
struct Reader {
    shard: ShardId,
    after: Option<SequenceNumber>,
    got: Vec<(u32, u32)>,
}

impl Reader {
    fn of(shard: ShardId) -> Self {
        Self { shard, after: None, got: Vec::new() }
    }

    /// One read; `true` at the shard's end. Every third one is dropped half way, as a worker's is that has more to do.
    async fn read(&mut self, log: &KinesisLog, turn: usize) -> bool {
        if turn % 3 == 2 {
            let short =
                tokio::time::timeout(Duration::from_millis(3), log.read(&self.shard, self.after.as_ref(), PATIENT));
            if let Ok(Ok(batch)) = short.await {
                // Its caller never heard of it.
                assert!(batch.records.len() <= PATIENT.records_max);
            }
        }
        let limit = ReadLimit { records_max: 1 + turn % 40, wait: Duration::from_millis(300), ..PATIENT };
        let batch = match log.read(&self.shard, self.after.as_ref(), limit).await {
            Ok(batch) => batch,
            Err(error) if error.kind() == ErrorKind::Retry => return false,
            Err(error) => panic!("failed to {error}"),
        };
        for record in &batch.records {
            assert!(self.after.as_ref() < Some(&record.sequence), "in order");
            self.after = Some(record.sequence.clone());
            self.got.push(parts(&record.value));
        }
        batch.ended
    }

    /// Reads until `count` records came.
    async fn until(&mut self, log: &KinesisLog, count: usize) {
        let began = Instant::now();
        for turn in 0.. {
            if self.got.len() >= count {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{} of {count} records", self.got.len());
            self.read(log, turn).await;
        }
    }
}

/// Appends records 0 to `count` of some entities, in many calls.
async fn write(log: &KinesisLog, entities: u32, count: u32, pause: Duration) {
    for n in 0..count {
        log.append((0..entities).map(|id| record(id, n)).collect()).await.expect("appended");
        tokio::time::sleep(pause).await;
    }
}

fn assert_all(got: impl IntoIterator<Item = (u32, u32)>, entities: u32, count: u32) {
    let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (id, n) in got {
        found.entry(id).or_default().push(n);
    }
    assert_eq!(found.len(), entities as usize);
    for (id, numbers) in found {
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "entity {id}: each once, in order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_come_through_the_subscription_and_nobody_polls() {
    let local = start(1).await;
    let (log, fanned) = both(&local, quick_fan_out()).await;
    let shard = log.shards().remove(0);
    let mut reader = Reader::of(shard);
    // The first reads poll until the subscription is on.
    write(&log, 1, 1, Duration::ZERO).await;
    reader.until(&fanned, 1).await;
    let began = Instant::now();
    while fanned.counts().subscription_events == 0 {
        reader.read(&fanned, 0).await;
        assert!(began.elapsed() < Duration::from_secs(10), "it comes on");
    }
    reader.read(&fanned, 0).await;
    let before = fanned.counts();
    let writer = tokio::spawn(async move {
        for n in 1..100 {
            log.append(vec![record(0, n)]).await.expect("appended");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    reader.until(&fanned, 100).await;
    writer.await.expect("the writer");
    let after = fanned.counts();
    assert_eq!(after.read_calls, before.read_calls, "no GetRecords");
    assert!(after.subscription_records >= before.subscription_records + 99, "{after:?}");
    assert_eq!((after.subscriptions, after.subscriptions_ended), (1, 0));
    assert_all(reader.got, 1, 100);
    let nothing = fanned.read(&reader.shard, reader.after.as_ref(), PATIENT).await.expect("a read");
    assert_eq!((nothing.records.len(), nothing.behind, nothing.late), (0, 0, Some(Duration::ZERO)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_may_end_in_every_way() {
    // The last one needs a limit to be noticed.
    for fault in StreamFault::QUICK.into_iter().chain([StreamFault::Silent]) {
        let local = start(1).await;
        let mut settings = quick_fan_out();
        settings.fan_out.silence_max = Duration::from_millis(400);
        let (log, fanned) = both(&local, settings).await;
        local.subscriptions().next([1, 2, 3, 5].map(|frames| (frames, fault)));
        let shard = log.shards().remove(0);
        let writing = tokio::spawn(async move { write(&log, 3, 150, Duration::from_millis(10)).await });
        let mut reader = Reader::of(shard);
        let began = Instant::now();
        while local.subscriptions().hits(fault) < 4 || reader.got.len() < 450 {
            reader.read(&fanned, reader.got.len()).await;
            let hits = local.subscriptions().hits(fault);
            assert!(began.elapsed() < Duration::from_secs(60), "{fault:?}: {hits} hits, {:?}", fanned.counts());
        }
        writing.await.expect("the writer");
        assert_all(reader.got, 3, 150);
        // One that breaks behind the greeting never was one.
        let counts = fanned.counts();
        assert!(counts.subscriptions_ended + counts.subscriptions_refused >= 4, "{fault:?}: {counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_split_and_merge_while_subscriptions_end() {
    for seed in [1, 2, 3] {
        let local = LocalKinesis::start_to_subscribe(2, Duration::from_millis(700), AGAIN_AFTER).await;
        local.register(CONSUMER).await;
        let (log, fanned) = both(&local, quick_fan_out()).await;
        local.subscriptions().by_chance(seed);
        let (entities, count) = (20, 120);
        let (log, fanned) = (Arc::new(log), Arc::new(fanned));
        let writing = tokio::spawn({
            let log = log.clone();
            async move { write(&log, entities, count, Duration::from_millis(15)).await }
        });
        let resharding = tokio::spawn({
            let log = log.clone();
            async move {
                let open = async || -> Vec<ShardId> {
                    let shards = log.lineage().await.expect("shards");
                    let mut open: Vec<_> = shards.into_iter().filter(|shard| !shard.closed).collect();
                    open.sort_by_key(|shard| shard.hash_range);
                    open.into_iter().map(|shard| shard.id).collect()
                };
                let pause = Duration::from_millis(400);
                tokio::time::sleep(pause).await;
                local.split(&open().await[0]).await;
                tokio::time::sleep(pause).await;
                let now = open().await;
                local.merge(&now[1], &now[2]).await;
                tokio::time::sleep(pause).await;
                local.split(&open().await[1]).await;
                local
            }
        });
        let got = follow_all(fanned.clone(), 7, usize::try_from(entities * count).expect("few")).await;
        writing.await.expect("the writer");
        let local = resharding.await.expect("the reshards");
        assert_all(got, entities, count);
        assert!(local.subscriptions().all_hits() >= 10, "{} hits", local.subscriptions().all_hits());
        assert!(fanned.counts().subscription_records > 0, "{:?}", fanned.counts());
    }
}

/// Reads all shards at once, children behind their parents, until so many shards were begun and so many records came.
/// Gives the records, parents' before children's.
async fn follow_all(log: Arc<KinesisLog>, shards_in_all: usize, records: usize) -> Vec<(u32, u32)> {
    let (mut got, mut count, mut begun) = (Vec::new(), 0, HashSet::new());
    let mut ended: HashSet<ShardId> = HashSet::new();
    let mut tasks = tokio::task::JoinSet::new();
    let total = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let stop = tokio::sync::watch::Sender::new(false);
    let began = Instant::now();
    loop {
        for shard in log.lineage().await.expect("shards") {
            if !begun.contains(&shard.id) && shard.parents.iter().all(|parent| ended.contains(parent)) {
                begun.insert(shard.id.clone());
                let (log, total, mut stop) = (log.clone(), total.clone(), stop.subscribe());
                tasks.spawn(async move {
                    let mut reader = Reader::of(shard.id);
                    for turn in 0.. {
                        let before = reader.got.len();
                        let is_end = reader.read(&log, turn).await;
                        total.fetch_add(reader.got.len() - before, std::sync::atomic::Ordering::Relaxed);
                        if is_end || *stop.borrow_and_update() {
                            return (reader, is_end);
                        }
                    }
                    unreachable!("turns do not end")
                });
            }
        }
        if begun.len() == shards_in_all && total.load(std::sync::atomic::Ordering::Relaxed) >= records {
            stop.send_replace(true);
        }
        match tokio::time::timeout(Duration::from_millis(50), tasks.join_next()).await {
            Ok(Some(done)) => {
                let (reader, is_end) = done.expect("a reader");
                count += reader.got.len();
                got.extend(reader.got);
                if is_end {
                    ended.insert(reader.shard);
                }
            }
            Ok(None) => {
                assert_eq!(count, records, "of {} shards", begun.len());
                return got;
            }
            Err(_) => {
                let so_far = total.load(std::sync::atomic::Ordering::Relaxed);
                let counts = log.counts();
                assert!(
                    began.elapsed() < Duration::from_secs(90),
                    "{so_far} of {records}, {} shards, {counts:?}",
                    begun.len()
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_the_stream_up_and_nothing_else() {
    let local = start(1).await;
    let mut settings = quick_fan_out();
    // The stand-in's events have seven records.
    settings.fan_out.buffer_bytes_max = 30 * 150;
    // Only the reader is slow here, however slow the machine is.
    (settings.fan_out.unasked_max, settings.fan_out.silence_max) = (LONG, LONG);
    let (log, fanned) = both(&local, settings).await;
    let mut reader = Reader::of(log.shards().remove(0));
    while fanned.counts().subscription_events == 0 {
        reader.read(&fanned, 0).await;
    }
    write(&log, 1, 300, Duration::ZERO).await;
    let held = fanned.counts().subscription_records;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let held = fanned.counts().subscription_records.max(held);
    assert!((20..=50).contains(&held), "{held} records are held");
    let began = Instant::now();
    reader.until(&fanned, 300).await;
    assert!(began.elapsed() < Duration::from_secs(30));
    assert_all(reader.got, 1, 300);
    assert_eq!(fanned.counts().subscriptions, 1, "the same subscription all the time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_missing_is_said_with_the_fix() {
    let local = LocalKinesis::start(1).await;
    let log = local.log(quick_log(), None).await;
    let error = log.fanned_out("nobody").await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for part in ["nobody", "there is none", "register-stream-consumer", "log.fan_out", "polling"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}
