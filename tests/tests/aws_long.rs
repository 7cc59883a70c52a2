//! Histories of many items on DynamoDB: what a crash leaves, what a damaged table says, what is written and read, and
//! an entity whose history a processor makes long.

#![expect(clippy::expect_used, reason = "a broken promise ends the test")]

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use ledgerline_adapters::aws::dynamo::DynamoStore;
use ledgerline_adapters::memory::MemoryLog;
use ledgerline_domain::ErrorKind;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::fold::{Fate, apply as fold};
use ledgerline_domain::ids::{EntityKey, ShardId, SourceName};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::{Commit, Entities, EntityWrite, Log, ReadLimit, StoredPart};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::record::EntityRecord;
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use ledgerline_tests::aws::{Fault, Faults, LocalDynamo, quick_retries, reach, short_retries};
use ledgerline_tests::conformance::{event, extend, key};
use ledgerline_tests::sealed::record;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

/// A history of 3000 events, at even places from 2 on, in chunks.
async fn long(store: &Arc<DynamoStore>) -> (EntityKey, EntityRecord) {
    let key = key("shop", "order", 1);
    let events = (1..=3000_u64).map(|n| event(i64::try_from(n).expect("small") * 2, n, "open")).collect();
    let (record, _) = extend(store, &key, events).await;
    (key, record)
}

/// The entity's items: its head's key and those of its chunks.
async fn items(dynamo: &LocalDynamo) -> Vec<String> {
    let client = reach(dynamo.endpoints(), None).await.dynamodb();
    let (mut keys, mut next) = (Vec::new(), None);
    loop {
        let table = dynamo.store(None, quick_retries()).await.tables().records.clone();
        let page = client.scan().table_name(table).set_exclusive_start_key(next).send().await.expect("a page");
        keys.extend(page.items().iter().map(|item| item["key"].as_s().expect("a text").clone()));
        next = page.last_evaluated_key;
        if next.is_none() {
            return keys;
        }
    }
}

async fn load(store: &DynamoStore, key: &EntityKey) -> Option<EntityRecord> {
    store.load(std::slice::from_ref(key)).await.expect("an answer").pop().flatten()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_new_is_written_and_read() {
    let faults = Faults::none();
    let dynamo = LocalDynamo::start().await;
    let store = Arc::new(dynamo.store(Some(&faults), quick_retries()).await);
    let (key, _) = long(&store).await;
    let chunks = items(&dynamo).await.len() - 1;
    assert!(chunks > 10, "{chunks} chunks");
    let (puts, reads) = (faults.calls("PutItem"), faults.calls("BatchGetItem"));
    for n in 0..20 {
        extend(&store, &key, vec![event(10_000 + n, 3001 + n.unsigned_abs(), "open")]).await;
    }
    let (puts, reads) = (faults.calls("PutItem") - puts, faults.calls("BatchGetItem") - reads);
    assert!((20..=23).contains(&puts), "{puts} puts for 20 events: the heads, and few chunks");
    assert_eq!(reads, 20, "the heads; the chunks are known");
    let before = (faults.calls("PutItem"), items(&dynamo).await.len());
    let (record, fate) = extend(&store, &key, vec![event(3, 4000, "late")]).await;
    assert_eq!(fate, Fate::Merged);
    let changed = faults.calls("PutItem") - before.0;
    assert!((2..=5).contains(&changed), "{changed} puts: the chunk that it fell into, its group, the head");
    assert!(items(&dynamo).await.len() < before.1 + changed, "the head took no new item");
    // Who knows nothing of it reads each chunk once, and writes only what is new as well.
    let faults = Faults::none();
    let other = Arc::new(dynamo.store(Some(&faults), quick_retries()).await);
    assert!(load(&other, &key).await == Some(record.clone()));
    let third_faults = Faults::none();
    let third = Arc::new(dynamo.store(Some(&third_faults), quick_retries()).await);
    let write = EntityWrite {
        record: fold(&key, Some(record.clone()), [event(20_000, 5000, "x")]).0,
        expected_revision: record.revision,
    };
    let expected = write.record.clone();
    third.commit(batch(write)).await.expect("a commit without a load");
    assert!(third_faults.calls("PutItem") <= 3, "{} puts", third_faults.calls("PutItem"));
    assert!(load(&other, &key).await == Some(expected));
}

fn batch(write: EntityWrite) -> Commit {
    let checkpoint = write.record.through.clone();
    Commit { shard: ShardId::numbered(0), checkpoint, writes: vec![write], parked: Vec::new() }
}

/// The process ends when some of the chunks, or all of them, are written and the head is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_chunks_and_head_changes_nothing() {
    for lost in [Fault::Unreached, Fault::Lost] {
        for whole in 0..4 {
            let faults = Faults::none();
            let dynamo = LocalDynamo::start().await;
            let store = Arc::new(dynamo.store(None, quick_retries()).await);
            let (key, before) = long(&store).await;
            let crashing = dynamo.store(Some(&faults), short_retries()).await;
            let write = |order: i64| {
                let events = (0..200).map(|n| event(order + n * 2, 4000 + n.unsigned_abs(), "x"));
                EntityWrite { record: fold(&key, Some(before.clone()), events).0, expected_revision: before.revision }
            };
            // Into its middle and its end; then no call comes through.
            let first = write(5001);
            crashing.load(std::slice::from_ref(&key)).await.expect("what is there");
            faults.pass("PutItem", whole);
            faults.next("PutItem", [lost].into_iter().chain([Fault::Unreached; 10_000]));
            let error = crashing.commit(batch(first.clone())).await.expect_err("it died");
            assert_eq!(error.kind(), ErrorKind::Retry);
            let now = load(&store, &key).await.expect("a record");
            assert!(now == before || now == first.record, "the one or the other, {lost:?} after {whole}");
            // Whoever comes next, with other events or the same.
            let page = store.stored(StoredPart::ALL, None, 10).await.expect("a page");
            assert_eq!(page.records.len(), 1);
            let expected_revision = now.revision;
            let next = fold(&key, Some(now), (0..50).map(|n| event(3 + n * 2, 5000 + n.unsigned_abs(), "y"))).0;
            store.commit(batch(EntityWrite { record: next.clone(), expected_revision })).await.expect("a commit");
            assert!(load(&store, &key).await == Some(next.clone()));
            faults.stop();
            let late = crashing.commit(batch(first)).await.expect_err("it is too late");
            assert_eq!(late.kind(), ErrorKind::Conflict);
            assert!(load(&crashing, &key).await == Some(next));
        }
    }
}

#[tokio::test]
async fn a_missing_or_foreign_chunk_is_named_and_not_skipped() {
    let dynamo = LocalDynamo::start().await;
    let (key, record) = long(&Arc::new(dynamo.store(None, quick_retries()).await)).await;
    let fresh = async || dynamo.store(None, quick_retries()).await;
    let client = reach(dynamo.endpoints(), None).await.dynamodb();
    let table = fresh().await.tables().records.clone();
    let chunks: Vec<String> = items(&dynamo).await.into_iter().filter(|key| key.starts_with('#')).collect();
    let at = |n: usize| AttributeValue::S(chunks[n].clone());
    let kept = client.get_item().table_name(&table).key("key", at(0)).send().await.expect("a chunk").item;
    client.delete_item().table_name(&table).key("key", at(0)).send().await.expect("deleted");
    let error = fresh().await.load(std::slice::from_ref(&key)).await.expect_err("a hole");
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("shop/order/id_0001") && error.to_string().contains("missing"), "{error}");
    assert_eq!(fresh().await.stored(StoredPart::ALL, None, 10).await.expect_err("a hole").kind(), ErrorKind::Data);
    // Another one's content under its name.
    let mut foreign =
        client.get_item().table_name(&table).key("key", at(1)).send().await.expect("a chunk").item.expect("it");
    foreign.insert("key".into(), at(0));
    client.put_item().table_name(&table).set_item(Some(foreign)).send().await.expect("put");
    let error = fresh().await.load(std::slice::from_ref(&key)).await.expect_err("not what was written");
    assert!(error.to_string().contains("damaged"), "{error}");
    client.put_item().table_name(&table).set_item(kept).send().await.expect("put back");
    assert!(load(&fresh().await, &key).await == Some(record));
}

/// Not only events make a record long.
#[tokio::test]
async fn many_quarantined_events_do_not_stop_a_shard() {
    let dynamo = LocalDynamo::start().await;
    let store = dynamo.store(None, quick_retries()).await;
    let key = key("shop", "order", 7);
    let mut record = fold(&key, None, [event(1, 1, "open")]).0;
    record.quarantined = (0..40_000).map(|_| format!("{:032x}", rand::random::<u128>()).into()).collect();
    record.quarantined.sort();
    store.commit(batch(EntityWrite { record: record.clone(), expected_revision: 0 })).await.expect("a commit");
    assert!(load(&store, &key).await == Some(record));
}

const EVENTS: usize = 10_500;

/// A customer's object, changed `EVENTS` times. Ids do not compress.
fn body(n: usize) -> String {
    let id: u128 = rand::rngs::StdRng::seed_from_u64(n as u64).random();
    let created = 1_790_000_000 + n;
    format!(
        r#"{{"id":"evt_{id:032x}","object":"event","api_version":"2024-06-20","created":{created},"data":{{"object":{{"id":"pi_000000000000000000000001","object":"payment_intent","amount":{n},"amount_received":0,"currency":"eur","status":"requires_action"}}}},"livemode":true,"type":"payment_intent.requires_action"}}"#
    )
}

/// One entity with thousands of events through the processor, in bursts, some late, some twice, with faults and
/// processors that are killed: what one fold of the log gives, byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_a_history_past_the_item_limit_goes_on() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let sources = Arc::new(sources);
    let (log, dynamo) = (Arc::new(MemoryLog::new(1)), LocalDynamo::start().await);
    // The first hundred come last; a twentieth comes twice.
    let mut order: Vec<usize> = (100..EVENTS).collect();
    order.extend((0..EVENTS / 20).map(|_| random.random_range(100..EVENTS)));
    order[6000..].shuffle(&mut random);
    order.extend(0..100);
    for some in order.chunks(500) {
        let record = |n: &usize| record(&provider, &source, &Bytes::from(body(*n)));
        log.append(some.iter().map(record).collect()).await.expect("appended");
    }
    let settings = ApplySettings {
        batch_records_max: 350,
        wait: Duration::from_millis(5),
        backoff: (Duration::from_millis(1), Duration::from_millis(5)),
        ..ApplySettings::default()
    };
    let (stop, stopped) = watch::channel(false);
    let calm = dynamo.store(None, quick_retries()).await;
    let shard = log.shards().remove(0);
    let tip = log.tip(&shard).await.expect("a tip").expect("records");
    let (mut rounds, mut hits) = (0, 0);
    while calm.checkpoint(&shard).await.expect("a checkpoint").is_none_or(|at| at < tip) {
        let faults = Faults::by_chance(random.random(), 5);
        let store = Arc::new(dynamo.store(Some(&faults), short_retries()).await);
        let progress = Arc::new(Progress::default());
        let worker = apply::run(log.clone(), store, sources.clone(), settings.clone(), progress, stopped.clone());
        let worker = tokio::spawn(worker);
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1500))).await;
        worker.abort();
        rounds += 1;
        hits += faults.all_hits();
    }
    drop(stop);
    assert!(rounds > 1 && hits > 10, "{rounds} processors and {hits} faults");
    let limit = ReadLimit { records_max: usize::MAX, bytes_max: usize::MAX, wait: Duration::ZERO };
    let mut events = Vec::new();
    let mut entity = None;
    for record in log.read(&shard, None, limit).await.expect("a read").records {
        let envelope = Envelope::decode(&record.value).expect("an envelope");
        if let Reading::Event(event) = interpret(&sources, envelope, &record.sequence) {
            events.push(event.incoming);
            entity = Some(event.entity);
        }
    }
    let entity = entity.expect("events");
    let alone = fold(&entity, None, events).0;
    let live = load(&calm, &entity).await.expect("a record");
    assert_eq!(live.entries.len(), EVENTS);
    assert!(live.canonical() == alone.canonical(), "seed {seed}");
    assert!(live.entries == alone.entries, "seed {seed}: positions and copies are exact as well");
    let stored = calm.stored(StoredPart::ALL, None, 10).await.expect("a page").records;
    let revision = live.revision;
    assert!(stored[0].binary == EntityRecord { revision, ..alone }.encode().expect("encoded"));
    assert!(stored[0].binary.len() > 400 * 1024, "{} bytes", stored[0].binary.len());
}
