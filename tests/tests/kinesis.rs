//! The log on Kinesis, over the real SDK and a stand-in in this process: the suite of every log, order
//! under faults and throttling, limits, shards that split and merge.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_adapters::aws::kinesis::{KinesisLog, KinesisSettings};
use ledgerline_adapters::aws::{AwsConfig, AwsOptions, Timeouts};
use ledgerline_domain::ErrorKind;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::lease::{holes, missing};
use ledgerline_domain::ports::{Log, LogRecord, ReadLimit};
use ledgerline_tests::aws::{Fault, Faults, LocalKinesis, quick_log, switched_to_auto};
use ledgerline_tests::conformance as suite;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

macro_rules! conforms {
    ($($test:ident),+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $test() {
            let local = LocalKinesis::start_or_other(3).await;
            suite::$test(&Arc::new(local.log(quick_log(), None).await)).await;
        }
    )+};
}
conforms!(log_keeps_order_per_key, log_reads_after_a_position, log_wakes_readers, log_releases);

const ALL: ReadLimit = ReadLimit { records_max: 1000, bytes_max: usize::MAX, wait: Duration::ZERO };

fn record(id: u32, text: impl ToString) -> LogRecord {
    let key = EntityKey::parse(&format!("shop/order/{id}")).expect("a key");
    LogRecord { key, data: Bytes::from(format!("{id} {}", text.to_string())) }
}

/// Everything in the log, shard by shard, parents before children, split at the first space.
async fn all(log: &KinesisLog) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    let mut shards = log.lineage().await.expect("shards");
    let mut read: HashSet<ShardId> = HashSet::new();
    while !shards.is_empty() {
        let ready = shards.iter().position(|shard| shard.parents.iter().all(|parent| read.contains(parent)));
        let shard = shards.remove(ready.expect("a shard whose parents are read"));
        let mut after: Option<SequenceNumber> = None;
        loop {
            let batch = log.read(&shard.id, after.as_ref(), ALL).await.expect("a read");
            let Some(last) = batch.records.last() else {
                assert_eq!(batch.ended, shard.closed, "{} ends if it is closed", shard.id);
                break;
            };
            after = Some(last.sequence.clone());
            found.extend(batch.records.iter().map(|record| {
                let text = String::from_utf8(record.value.to_vec()).expect("text");
                let (id, rest) = text.split_once(' ').expect("two parts");
                (id.parse().expect("a number"), rest.to_owned())
            }));
        }
        read.insert(shard.id);
    }
    found
}

/// Appends `count` records of each of `entities` by writers that each own some, in calls of random sizes, and
/// says an append again until it is accepted. Gives how many of the calls were refused.
async fn append_all(log: &Arc<KinesisLog>, entities: u32, count: u32, pad: usize) -> usize {
    let writers = 4;
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(u64::from(writer) + 7);
                let mut refused = 0;
                let mine: Vec<u32> = (0..entities).filter(|id| id % writers == writer).collect();
                let mut next = 0;
                while next < count {
                    // A run of each of its entities in one call: several records of one entity at once.
                    let run = random.random_range(1..=4).min(count - next);
                    let padding = "x".repeat(random.random_range(0..=pad));
                    let records: Vec<_> = mine
                        .iter()
                        .flat_map(|id| (next..next + run).map(|n| record(*id, format!("{n:06} {padding}"))))
                        .collect();
                    loop {
                        match log.append(records.clone()).await {
                            Ok(places) => break assert_eq!(places.len(), records.len()),
                            Err(error) if error.kind() == ErrorKind::Retry => refused += 1,
                            Err(error) => panic!("failed to {error}"),
                        }
                    }
                    next += run;
                }
                refused
            })
        })
        .collect();
    let mut refused = 0;
    for task in tasks {
        refused += task.await.expect("a writer");
    }
    refused
}

/// Per entity the numbers in the order of the log.
async fn numbers(log: &KinesisLog) -> BTreeMap<u32, Vec<u32>> {
    let mut found: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (id, rest) in all(log).await {
        found.entry(id).or_default().push(rest[..6].parse().expect("a number"));
    }
    found
}

/// Order of the log is order of append; a record may stand there again at once, never later. Gives the
/// number of those.
fn assert_in_order(found: BTreeMap<u32, Vec<u32>>, entities: u32, count: u32) -> usize {
    assert_eq!(found.len(), entities as usize);
    let mut doubles = 0;
    for (id, mut numbers) in found {
        let before = numbers.len();
        numbers.dedup();
        doubles += before - numbers.len();
        assert_eq!(numbers, (0..count).collect::<Vec<_>>(), "entity {id}");
    }
    doubles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_per_entity_survives_every_fault_of_the_network() {
    let local = LocalKinesis::start(2).await;
    for seed in [1, 2] {
        let faults = Faults::none();
        let log = Arc::new(local.log(quick_log(), Some(&faults)).await);
        let (entities, count) = (40, 30);
        faults.next("PutRecords", Fault::QUICK);
        let chance = Faults::by_chance(seed, 25);
        let local = LocalKinesis::start(2).await;
        let noisy = loop {
            // Opening may meet a fault too.
            let aws = ledgerline_tests::aws::reach(local.endpoints(), Some(&chance)).await;
            if let Ok(log) = KinesisLog::open(aws.kinesis().config(), quick_log()).await {
                break Arc::new(log);
            }
        };
        let refused = append_all(&noisy, entities, count, 20).await;
        assert_eq!(refused, 0, "the time of an append is longer than any of these faults lasts");
        assert!(chance.all_hits() > 10, "{} hits", chance.all_hits());
        chance.stop();
        let doubles = assert_in_order(numbers(&noisy).await, entities, count);
        let lost: usize = [Fault::Lost, Fault::LostLate, Fault::Cut, Fault::BrokenAfter]
            .iter()
            .map(|fault| chance.hits("PutRecords", *fault))
            .sum();
        assert!(lost == 0 || doubles > 0, "an answer that was lost makes doubles: {lost}, {doubles}");
        // And each kind of fault once, on purpose.
        log.append(vec![record(1000 + u32::try_from(seed).expect("small"), "000000 ")]).await.expect("appended");
        assert!(Fault::QUICK.iter().all(|fault| faults.hits("PutRecords", *fault) == 1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_per_entity_survives_throttling_and_partial_failures() {
    let local = LocalKinesis::start_with_limits(2).await;
    let settings = KinesisSettings {
        backoff: (Duration::from_millis(20), Duration::from_millis(200)),
        append_timeout: Duration::from_secs(60),
        ..quick_log()
    };
    let log = Arc::new(local.log(settings, None).await);
    let (entities, count) = (200, 20);
    append_all(&log, entities, count, 1500).await;
    let counted = log.counts();
    assert!(counted.put_throttles > 0, "the limits were met: {counted:?}");
    assert!(counted.put_records > u64::from(entities * count), "{counted:?}");
    let doubles = assert_in_order(numbers(&log).await, entities, count);
    assert_eq!(doubles, 0, "only what failed was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_keeps_both_limits_and_one_record_per_entity() {
    let local = LocalKinesis::start(2).await;
    let faults = Faults::none();
    let settings = KinesisSettings {
        request_records_max: 50,
        request_bytes_max: 20_000,
        record_bytes_max: 8_000,
        requests_in_flight_max: 1,
        ..quick_log()
    };
    let log = local.log(settings, Some(&faults)).await;
    let places = log.append((0..201).map(|id| record(id, "x")).collect()).await.expect("appended");
    assert_eq!(places.len(), 201);
    assert_eq!(faults.calls("PutRecords"), 5, "by count");
    log.append((0..8).map(|id| record(id, "x".repeat(5_000))).collect()).await.expect("appended");
    assert_eq!(faults.calls("PutRecords"), 5 + 3, "by bytes: three fit");
    log.append((0..6).map(|n| record(1, n)).collect()).await.expect("appended");
    assert_eq!(faults.calls("PutRecords"), 8 + 6, "one of an entity at a time");
    let large = log.append(vec![record(1, "x".repeat(8_000))]).await.expect_err("too large");
    assert_eq!(large.kind(), ErrorKind::Invalid);
    assert!(large.to_string().contains("record_bytes_max"), "{large}");
    assert_eq!(faults.calls("PutRecords"), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_a_stream_that_is_away_gives_up_in_time() {
    let local = LocalKinesis::start(1).await;
    let faults = Faults::none();
    let settings = KinesisSettings {
        queue_records_max: 10,
        attempt_timeout: Duration::from_millis(100),
        append_timeout: Duration::from_millis(400),
        ..quick_log()
    };
    let log = Arc::new(local.log(settings, Some(&faults)).await);
    faults.next("PutRecords", [Fault::Silent; 1000]);
    let waiting = tokio::spawn({
        let log = log.clone();
        async move { log.append((0..8).map(|id| record(id, "x")).collect()).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let full = log.append((0..3).map(|id| record(id, "y")).collect()).await.expect_err("no room");
    assert_eq!(full.kind(), ErrorKind::Retry);
    assert!(full.to_string().contains("full"), "{full}");
    assert_eq!(
        log.append((0..11).map(|id| record(id, "y")).collect()).await.expect_err("ever").kind(),
        ErrorKind::Invalid
    );
    let late = waiting.await.expect("the append").expect_err("no answer");
    assert_eq!(late.kind(), ErrorKind::Retry);
    faults.stop();
    let began = Instant::now();
    while let Err(error) = log.append((0..10).map(|id| record(id, "z")).collect()).await {
        assert_eq!(error.kind(), ErrorKind::Retry);
        assert!(began.elapsed() < Duration::from_secs(5), "the room comes back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ignores_partition_keys_is_refused() {
    let local = LocalKinesis::start(1).await;
    let log = local.log(quick_log(), None).await;
    assert!(log.probe().await.is_ok());
    let options = AwsOptions {
        region: Some("eu-central-1".into()),
        endpoints: local.endpoints(),
        timeouts: Timeouts::default(),
        local: true,
    };
    let aws = AwsConfig::load_with(&options, switched_to_auto()).await.expect("a region");
    let error = KinesisLog::open(aws.kinesis().config(), quick_log()).await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    for part in ["AUTO", "order", "USER_PARTITION_KEY", "deny"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let missing = KinesisSettings { stream: "none".into(), ..quick_log() };
    let error = KinesisLog::open(local.client().config(), missing).await.err().expect("no stream");
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_split_and_merge_while_records_come() {
    let local = LocalKinesis::start_or_other(2).await;
    let log = Arc::new(local.log(quick_log(), None).await);
    let (entities, count) = (30, 60);
    let writing = tokio::spawn({
        let log = log.clone();
        async move { append_all(&log, entities, count, 10).await }
    });
    let open = async || -> Vec<ShardId> {
        let shards = log.lineage().await.expect("shards");
        let mut open: Vec<_> = shards.into_iter().filter(|shard| !shard.closed).collect();
        open.sort_by_key(|shard| shard.hash_range);
        open.into_iter().map(|shard| shard.id).collect()
    };
    local.split(&open().await[0]).await;
    let now = open().await;
    local.merge(&now[1], &now[2]).await;
    local.split(&open().await[1]).await;
    writing.await.expect("the writers");
    let shards = log.lineage().await.expect("shards");
    assert_eq!(shards.len(), 7);
    assert_eq!(shards.iter().filter(|shard| shard.parents.len() == 2).count(), 1, "one merge");
    assert_eq!(shards.iter().filter(|shard| shard.closed).count(), 4);
    let mut leases = missing(&shards, &[]);
    leases.retain(|lease| !shards.iter().any(|shard| shard.id == lease.shard && shard.closed));
    assert_eq!(holes(&leases), []);
    let doubles = assert_in_order(numbers(&log).await, entities, count);
    assert_eq!(doubles, 0);
}

/// What is told of the order across shards stands on it: an event of a parent that came behind one of a child would be
/// taken for one that was seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_of_children_are_above_their_parents() {
    let local = LocalKinesis::start_or_other(1).await;
    let log = Arc::new(local.log(quick_log(), None).await);
    let mut newest = None;
    // Past the sixteenth shard, where a digit of the stand-in's numbers begins anew.
    for n in 0..10 {
        let (place, shard) = {
            let place = log.append(vec![record(1, n)]).await.expect("appended").remove(0);
            (place.sequence, place.shard)
        };
        assert!(newest.as_ref() < Some(&place), "{place} in {shard} is not above {newest:?}");
        newest = Some(place);
        local.split(&shard).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_outlive_expired_iterators_and_faults() {
    let local = LocalKinesis::start_forgetful(1).await;
    let faults = Faults::none();
    let log = local.log(quick_log(), Some(&faults)).await;
    let shard = log.shards().remove(0);
    let first = log.append(vec![record(1, "a")]).await.expect("appended").remove(0);
    assert_eq!(log.read(&shard, None, ALL).await.expect("a read").records.len(), 1);
    tokio::time::sleep(Duration::from_millis(1300)).await;
    log.append(vec![record(1, "b")]).await.expect("appended");
    let before = log.counts().iterator_calls;
    let batch = log.read(&shard, Some(&first.sequence), ALL).await.expect("a read");
    assert_eq!(batch.records.len(), 1, "b and nothing else");
    assert_eq!(log.counts().iterator_calls, before + 1, "one new iterator");

    let patient = ReadLimit { wait: Duration::from_secs(5), ..ALL };
    faults.next("GetRecords", [Fault::Throttled; 5]);
    let batch = log.read(&shard, Some(&first.sequence), patient).await.expect("a read");
    assert_eq!(batch.records.len(), 1);
    assert_eq!(log.counts().read_throttles, 5);
    for fault in Fault::QUICK {
        faults.next("GetRecords", [fault]);
        let error = log.read(&shard, Some(&first.sequence), ALL).await.expect_err("a fault");
        assert_eq!(error.kind(), ErrorKind::Retry, "{fault:?}");
        let batch = log.read(&shard, Some(&first.sequence), ALL).await.expect("a read");
        assert_eq!(batch.records.len(), 1, "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_readers_keep_the_budget_of_a_shard() {
    let local = LocalKinesis::start(1).await;
    let faults = Faults::none();
    let settings = KinesisSettings { reads_per_second: 5, idle_poll: Duration::from_millis(1), ..quick_log() };
    let log = Arc::new(local.log(settings, Some(&faults)).await);
    let shard = log.shards().remove(0);
    let wait = ReadLimit { wait: Duration::from_millis(2200), ..ALL };
    let began = Instant::now();
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (log, shard) = (log.clone(), shard.clone());
            tokio::spawn(async move { log.read(&shard, None, wait).await.expect("a read") })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.expect("a reader").records.is_empty());
    }
    // Seconds that began, five calls each.
    let most = (began.elapsed().as_millis() / 1000 + 1) * 5;
    let calls = faults.calls("GetRecords") as u128;
    assert!(calls <= most && calls >= 8, "{calls} calls, at most {most}");
}
