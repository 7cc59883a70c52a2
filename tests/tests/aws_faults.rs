//! Faults at the SDK's connector, for every kind of call of DynamoDB and S3: nothing lost, nothing done twice.

#![expect(clippy::expect_used, reason = "a broken promise ends the test")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_adapters::aws::dynamo::{DynamoSettings, DynamoStore, tables};
use ledgerline_adapters::aws::s3::S3Settings;
use ledgerline_adapters::aws::{AwsOptions, Timeouts};
use ledgerline_adapters::control::{GenerationStatus, Generations as _, ProviderTexts};
use ledgerline_adapters::live::GenerationStore as _;
use ledgerline_domain::ErrorKind;
use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId, SourceName};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::{
    Archive, Commit, Created, Entities, EntityFilter, EntityWrite, Quarantine, Quarantined, StoredPart,
};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_tests::aws::{Fault, Faults, LocalDynamo, LocalS3, quick_retries, reach, reach_with, short_retries};

const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);

fn key(id: &str) -> EntityKey {
    EntityKey::parse(&format!("shop/order/{id}")).expect("a key")
}

/// Event `at` of an entity, on top of what is there.
fn write(key: &EntityKey, before: Option<EntityRecord>, at: i64, status: &str) -> EntityWrite {
    let expected_revision = before.as_ref().map_or(0, |record| record.revision);
    let event = Incoming {
        id: format!("evt_{at}").into(),
        event_type: "order.updated".into(),
        order: OrderKey { class: OrderClass::Contiguous { first: 1 }, value: at },
        occurred_at: Some(AT),
        received_at: AT,
        sequence: SequenceNumber::from_u64(at.unsigned_abs()),
        meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: Some(status.into()) }),
    };
    EntityWrite { record: apply(key, before, vec![event]).0, expected_revision }
}

fn batch(checkpoint: u64, writes: Vec<EntityWrite>, parked: Vec<Quarantined>) -> Commit {
    let checkpoint = SequenceNumber::from_u64(checkpoint);
    Commit { shard: ShardId::numbered(0), checkpoint, writes, parked }
}

fn parked(n: u32) -> Quarantined {
    Quarantined {
        id: format!("shard-0000:{n:020}"),
        source: SourceName::new("shop").expect("a name"),
        entity: key("a"),
        event_id: format!("evt_{n}"),
        reason: "no id".into(),
        received_at: AT,
        envelope: Bytes::from_static(b"{}"),
        released_at: None,
    }
}

/// Every method of the store once; whatever happens on the way, this is what comes out.
async fn all_of_the_store(store: &DynamoStore) {
    let (a, b) = (key("a"), key("b"));
    let first = write(&a, None, 1, "open");
    let committed = store.commit(batch(1, vec![first, write(&b, None, 1, "open")], vec![])).await;
    let mut committed = committed.expect("a commit");
    assert_eq!(committed.len(), 2);
    let second = write(&a, Some(committed.remove(0)), 2, "paid");
    store.commit(batch(2, vec![second.clone()], vec![parked(1)])).await.expect("a second commit");
    let loaded = store.load(&[a.clone(), b.clone(), key("c")]).await.expect("records");
    assert_eq!(loaded[0].as_ref(), Some(&second.record));
    assert_eq!((loaded[1].as_ref().map(|r| r.revision), &loaded[2]), (Some(1), &None));
    let checkpoint = store.checkpoint(&ShardId::numbered(0)).await.expect("a checkpoint");
    assert_eq!(checkpoint, Some(SequenceNumber::from_u64(2)));
    assert_eq!(store.stored(StoredPart::ALL, None, 10).await.expect("a page").records.len(), 2);
    let paid = EntityFilter { status: Some("paid".into()), ..EntityFilter::default() };
    assert_eq!(store.list(&paid, None, 10).await.expect("a page"), [second.record]);
    assert_eq!(store.quarantined(false, None, 10).await.expect("a page"), [parked(1)]);
    assert!(store.mark_released(&parked(1).id, AT).await.expect("released"), "by this call");
    assert!(!store.mark_released(&parked(1).id, AT).await.expect("an answer"), "not twice");
    let one = store.quarantined_one(&parked(1).id).await.expect("an answer").expect("an item");
    assert_eq!(one.released_at, Some(AT));
    let shard = ShardId::numbered(0);
    assert_eq!(store.checkpoints().await.expect("all"), [(shard, SequenceNumber::from_u64(2))]);
    assert_eq!(store.released().await.expect("all"), [(parked(1).id, AT)]);
    let stray = "shard-0000:none".to_owned();
    store.mark_all_released(vec![(parked(1).id, UnixNanos::from_nanos(1)), (stray, AT)]).await.expect("marked");
    assert_eq!(store.released().await.expect("all"), [(parked(1).id, AT)], "the first stands, and none is made");
    store.entities().await.expect("a count");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_dynamodb_survives_every_fault() {
    for call in ["PutItem", "UpdateItem", "GetItem", "BatchGetItem", "Query", "Scan", "DescribeTable"] {
        for fault in Fault::QUICK {
            let faults = Faults::none();
            faults.next(call, [fault; 3]);
            let store = LocalDynamo::start().await.store(Some(&faults), quick_retries()).await;
            all_of_the_store(&store).await;
            assert_eq!(faults.hits(call, fault), 3, "{call} was hit by {fault:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_s3_survives_every_fault() {
    let (short, long) = (Bytes::from(vec![7; 1000]), Bytes::from(vec![8; 6 * 1024 * 1024]));
    for call in [
        "PutObject",
        "HeadObject",
        "GetObject",
        "ListObjectsV2",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
    ] {
        for fault in Fault::QUICK {
            let faults = Faults::none();
            faults.next(call, [fault; 3]);
            let s3 = LocalS3::start(Duration::ZERO).await;
            let archive = s3.archive(Some(&faults), quick_retries()).await;
            let create = async |key, bytes: &Bytes| archive.create(key, bytes.clone()).await.expect("created");
            assert_eq!(create("a/short", &short).await, Created::New, "{call} {fault:?}");
            assert_eq!(create("a/short", &long.slice(..500)).await, Created::Exists);
            assert_eq!(create("a/long", &long).await, Created::New, "{call} {fault:?}");
            assert_eq!(create("a/long", &long).await, Created::Exists);
            archive.replace("a/other", short.clone()).await.expect("replaced");
            assert_eq!(archive.get("a/short").await.expect("an answer").as_ref(), Some(&short));
            assert!(archive.get("a/long").await.expect("an answer").as_ref() == Some(&long));
            assert_eq!(archive.get("a/none").await.expect("an answer"), None);
            assert_eq!(archive.list("a/").await.expect("a list"), ["a/long", "a/other", "a/short"]);
            assert_eq!(faults.hits(call, fault), 3, "{call} was hit by {fault:?}");
        }
    }
}

/// Archivers that create the same keys at once, with faults: one of them is told that it was first, and its
/// bytes stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_creates_with_faults_one_is_first() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let s3 = LocalS3::start(Duration::from_millis(1)).await;
    let mut archivers = Vec::new();
    for archiver in 0..6_u8 {
        let faults = Faults::by_chance(seed.wrapping_add(archiver.into()), 30);
        let archive = s3.archive(Some(&faults), quick_retries()).await;
        archivers.push(tokio::spawn(async move {
            let mut first = Vec::new();
            for n in 0..20 {
                let created = archive.create(&format!("chain/{n:020}"), Bytes::from(vec![archiver; 64])).await;
                if created.expect("an answer") == Created::New {
                    first.push(n);
                }
            }
            first
        }));
    }
    let mut firsts = std::collections::BTreeMap::new();
    for (archiver, ended) in (0_u8..).zip(archivers) {
        for n in ended.await.expect("an archiver") {
            assert_eq!(firsts.insert(n, archiver), None, "seed {seed}: two were first at {n}");
        }
    }
    assert_eq!(firsts.len(), 20, "seed {seed}");
    assert!(s3.conflicts() > 0, "some creates met each other");
    let archive = s3.archive(None, quick_retries()).await;
    for (n, archiver) in firsts {
        let found = archive.get(&format!("chain/{n:020}")).await.expect("an answer");
        assert_eq!(found, Some(Bytes::from(vec![archiver; 64])), "seed {seed}");
    }
}

#[tokio::test]
async fn patience_ends_with_retry() {
    let faults = Faults::none();
    let store = LocalDynamo::start().await.store(Some(&faults), short_retries()).await;
    faults.next("PutItem", [Fault::Throttled; 1000]);
    let error = store.commit(batch(1, vec![write(&key("a"), None, 1, "open")], vec![])).await.expect_err("no end");
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains("throttled") && error.to_string().contains("shop/order/a"), "{error}");
    assert_eq!(store.checkpoint(&ShardId::numbered(0)).await.expect("an answer"), None, "nothing is covered");
    faults.stop();
    store.commit(batch(1, vec![write(&key("a"), None, 1, "open")], vec![])).await.expect("a commit");
    let archive = LocalS3::start(Duration::ZERO).await.archive(Some(&faults), short_retries()).await;
    faults.next("PutObject", [Fault::Broken; 1000]);
    let error = archive.create("a/b", Bytes::new()).await.expect_err("no end");
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains("a/b"), "{error}");
}

#[tokio::test]
async fn a_throttled_item_holds_up_no_other() {
    let faults = Faults::none();
    let dynamo = LocalDynamo::start().await;
    let store = dynamo.store(Some(&faults), quick_retries()).await;
    faults.next("PutItem", [Fault::Throttled; 8]);
    let writes: Vec<_> = (0..16).map(|n| write(&key(&format!("{n}")), None, 1, "open")).collect();
    store.commit(batch(1, writes, vec![])).await.expect("a commit");
    assert_eq!(faults.calls("PutItem"), 16 + 8, "only what was throttled was sent again");
}

/// The two kinds of puts of a commit, each hit by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_and_parked_items_are_put_once() {
    for fault in Fault::QUICK {
        let faults = Faults::none();
        let store = LocalDynamo::start().await.store(Some(&faults), quick_retries()).await;
        faults.next("PutItem", [fault; 2]);
        let first = write(&key("a"), None, 1, "open");
        let mut committed = store.commit(batch(1, vec![first], vec![])).await.expect("a record");
        faults.next("PutItem", [fault; 2]);
        store.commit(batch(2, vec![], vec![parked(1)])).await.expect("an item");
        faults.next("PutItem", [fault; 2]);
        let second = write(&key("a"), committed.pop(), 2, "paid");
        store.commit(batch(3, vec![second.clone()], vec![])).await.expect("a second revision");
        assert_eq!(store.load(&[key("a")]).await.expect("records"), [Some(second.record)], "{fault:?}");
        assert_eq!(faults.hits("PutItem", fault), 6);
    }
}

/// A service that takes the connection and says nothing.
#[tokio::test]
async fn silence_ends_with_the_attempt() {
    let faults = Faults::none();
    let dynamo = LocalDynamo::start().await;
    let limit = Duration::from_millis(300);
    let options = AwsOptions {
        region: Some("eu-central-1".into()),
        endpoints: dynamo.endpoints(),
        timeouts: Timeouts { connect: limit, attempt: limit, operation: limit },
        local: true,
    };
    let aws = reach_with(options, Some(&faults)).await;
    let store = DynamoStore::new(&aws, &dynamo.settings(quick_retries()), 1).expect("a store");
    faults.next("GetItem", [Fault::Silent]);
    let began = Instant::now();
    assert_eq!(store.checkpoint(&ShardId::numbered(0)).await.expect("the second attempt"), None);
    assert!(began.elapsed() >= limit, "the first one took its time");
    assert_eq!(faults.calls("GetItem"), 2);
}

/// A write whose answer was lost, and on top of which somebody else wrote before it was sent again.
#[tokio::test]
async fn a_lost_write_that_was_written_over_is_a_conflict() {
    let faults = Faults::none();
    let dynamo = LocalDynamo::start().await;
    let (mine, other) = (dynamo.store(Some(&faults), short_retries()).await, dynamo.store(None, quick_retries()).await);
    let a = key("a");
    let first = write(&a, None, 1, "open");
    faults.next("PutItem", [Fault::Lost].into_iter().chain([Fault::Unreached; 1000]));
    let error = mine.commit(batch(1, vec![first.clone()], vec![])).await.expect_err("no answer came");
    assert_eq!(error.kind(), ErrorKind::Retry);
    faults.stop();
    other.commit(batch(2, vec![write(&a, Some(first.record.clone()), 2, "paid")], vec![])).await.expect("on top");
    let again = mine.commit(batch(1, vec![first], vec![])).await.expect_err("it is not the first any more");
    assert_eq!(again.kind(), ErrorKind::Conflict);
    assert_eq!(mine.load(&[a]).await.expect("the record")[0].as_ref().map(|r| r.revision), Some(2));
}

#[tokio::test]
async fn what_will_not_pass_says_what_to_do() {
    let dynamo = LocalDynamo::start().await;
    let aws = reach(dynamo.endpoints(), None).await;
    let elsewhere = DynamoStore::new(&aws, &DynamoSettings::new("elsewhere"), 1).expect("a store");
    let error = elsewhere.checkpoint(&ShardId::numbered(0)).await.expect_err("no table");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("there is no elsewhere-checkpoints-0001; create it"), "{error}");

    let s3 = LocalS3::start(Duration::ZERO).await;
    let elsewhere = s3.archive_with(None, S3Settings::new("elsewhere", "")).await;
    let error = elsewhere.list("").await.expect_err("no bucket");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("there is no elsewhere"), "{error}");
}

/// Whatever hits the calls on the control table: one generation is begun, by the first to come.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_of_the_generations_survives_every_fault() {
    for call in ["GetItem", "PutItem"] {
        for fault in Fault::QUICK {
            let faults = Faults::none();
            faults.next(call, [fault; 3]);
            let dynamo = LocalDynamo::start().await;
            let control = dynamo.control(Some(&faults), quick_retries()).await;
            assert_eq!(control.live().await.expect("an answer"), 1, "{call} {fault:?}");
            faults.next(call, [fault; 3]);
            let texts = [("shop".to_owned(), "a".to_owned())].into();
            let second = control.begin_generation(None, 1, texts, AT).await.expect("begun");
            faults.next(call, [fault; 3]);
            control.part_done(second, 1).await.expect("a part");
            control.ready(second).await.expect("all of it");
            faults.next(call, [fault; 3]);
            control.move_live(second).await.expect("promoted");
            let other = dynamo.control(None, quick_retries()).await;
            let found: Vec<_> = other.generations().await.expect("a list").iter().map(|g| g.status).collect();
            assert_eq!(found, [GenerationStatus::Previous, GenerationStatus::Live], "{call} {fault:?}");
            assert_eq!(other.live().await.expect("an answer"), 2);
            assert_eq!(faults.hits(call, fault), 12, "{call} was hit by {fault:?}");
        }
    }
}

/// A change whose answer was lost, and on top of which others changed something before it was sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_change_that_was_changed_on_top_is_not_made_twice() {
    let faults = Faults::none();
    let dynamo = LocalDynamo::start().await;
    let (mine, other) =
        (dynamo.control(Some(&faults), quick_retries()).await, dynamo.control(None, quick_retries()).await);
    let before = faults.calls("PutItem");
    faults.next("PutItem", [Fault::Lost].into_iter().chain([Fault::Unreached; 10_000]));
    let begin = tokio::spawn(async move { mine.begin_generation(None, 1, ProviderTexts::new(), AT).await });
    while faults.calls("PutItem") < before + 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for number in 3..=10 {
        assert_eq!(other.begin_generation(None, 1, ProviderTexts::new(), AT).await.expect("begun"), number);
    }
    faults.stop();
    assert_eq!(begin.await.expect("no panic").expect("begun"), 2);
    assert_eq!(other.generations().await.expect("a list").len(), 10);
}

#[tokio::test]
async fn generations_have_tables_of_their_own() {
    let dynamo = LocalDynamo::start().await;
    let aws = reach(dynamo.endpoints(), None).await;
    let settings = dynamo.settings(quick_retries());
    tables::create(&aws, &settings, 2).await.expect("tables of another generation");
    tables::create(&aws, &settings, 2).await.expect("they are there");
    let second = DynamoStore::new(&aws, &settings, 2).expect("a store");
    all_of_the_store(&second).await;
    tables::delete(&aws, &settings, 1).await.expect("deleted");
    tables::delete(&aws, &settings, 1).await.expect("they are gone");
    let gone = dynamo.store(None, quick_retries()).await;
    assert_eq!(
        gone.stored(StoredPart::ALL, None, 1).await.expect_err("its tables are gone").kind(),
        ErrorKind::Invalid
    );
    assert_eq!(second.stored(StoredPart::ALL, None, 9).await.expect("records").records.len(), 2);
}

/// Folder marks and whatever else lies in the bucket are not objects of the archive.
#[tokio::test]
async fn strangers_in_the_bucket_are_not_listed() {
    let s3 = LocalS3::start(Duration::ZERO).await;
    for name in ["ledger/one/", "ledger/one/a/", "ledger/one/a//b", "ledger/one2/a", "other", "ledger/one/.x"] {
        s3.put(name, b"x");
    }
    let archive = s3.archive(None, quick_retries()).await;
    archive.create("a/1", Bytes::from_static(b"one")).await.expect("created");
    assert_eq!(archive.list("").await.expect("a list"), ["a/1"]);
    assert!(s3.names().contains(&"ledger/one/a/1".to_owned()));
    assert_eq!(s3.open_uploads(), 0);
}
