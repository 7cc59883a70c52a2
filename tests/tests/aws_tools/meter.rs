//! The meter's units against a computation of its own from the items themselves, and against what DynamoDB says.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use ledgerline_adapters::aws::AwsConfig;
use ledgerline_adapters::aws::dynamo::{DynamoSettings, DynamoStore};
use ledgerline_adapters::aws::kinesis::KinesisLog;
use ledgerline_adapters::aws::meter::{CallKey, Counted, Outcome, units};
use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::{Commit, Entities as _, EntityWrite, Log as _, LogRecord};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_tests::aws::{Fault, Faults, LocalDynamo, LocalKinesis, quick_log, quick_retries, reach};

type Item = HashMap<String, AttributeValue>;

fn on(aws: &AwsConfig, operation: &str, outcome: Outcome) -> Counted {
    aws.meter().read().sum(|key: &CallKey| key.operation == operation && key.outcome == outcome)
}

/// Units of a put, from the item before and the item after: the larger one for the table; for an index one for a new
/// entry or a changed one, none where nothing of it changed.
fn own(before: Option<&Item>, after: &Item) -> (u64, u64) {
    let table = before.map_or(0, units::item_bytes).max(units::item_bytes(after));
    let entry = |item: &Item, hash: &str| {
        item.contains_key(hash).then(|| ["key", hash, "status"].map(|name| item.get(name).cloned()))
    };
    let index = |hash: &str| {
        let (before, after) = (before.and_then(|item| entry(item, hash)), entry(after, hash));
        u64::from(before != after)
    };
    (units::write_units(table), index("part") + index("attention"))
}

async fn item(aws: &AwsConfig, table: &str, key: &EntityKey) -> Option<Item> {
    let key = AttributeValue::S(key.as_str().to_owned());
    let got = aws.dynamodb().get_item().table_name(table).key("key", key).consistent_read(true).send().await;
    got.expect("an answer").item
}

fn event(n: u64, status: &str) -> Incoming {
    let at = UnixNanos::from_nanos(1_790_000_000_000_000_000 + i64::try_from(n).expect("small"));
    // Text that hardly packs, so that the item grows past a unit.
    let id = format!("{n}-{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>());
    Incoming {
        id: id.as_str().into(),
        event_type: "order.updated".into(),
        order: OrderKey { class: OrderClass::Monotonic, value: i64::try_from(n).expect("small") },
        occurred_at: Some(at),
        received_at: at,
        sequence: SequenceNumber::from_u64(n),
        meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: Some(status.into()) }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_units_are_those_of_the_item_and_its_indexes() {
    let dynamo = LocalDynamo::start().await;
    let aws = reach(dynamo.endpoints(), None).await;
    aws.meter().ask_for_capacity(true);
    let settings = dynamo.settings(quick_retries());
    let store = DynamoStore::new(&aws, &settings, 1).expect("settings that work");
    let table = store.tables().records.clone();
    let key = EntityKey::parse("shop/order/1").expect("a key");
    let mut record: Option<EntityRecord> = None;
    let (mut sizes, mut all) = (Vec::new(), (0, 0));
    for n in 1..=24_u64 {
        let status = if n % 5 == 0 { "closed" } else { "open" };
        let before = item(&aws, &table, &key).await;
        let told_before = on(&aws, "PutItem", Outcome::Ok);
        let expected_revision = record.as_ref().map_or(0, |record| record.revision);
        let (mut next, _) = apply(&key, record.take(), [event(n, status)].into_iter());
        next.revision = expected_revision + 1;
        let shard = ShardId::numbered(0);
        let write = EntityWrite { record: next, expected_revision };
        let commit = Commit { shard, checkpoint: SequenceNumber::from_u64(n), writes: vec![write], parked: Vec::new() };
        record = store.commit(commit).await.expect("a commit").pop();
        let after = item(&aws, &table, &key).await.expect("an item");
        let told = on(&aws, "PutItem", Outcome::Ok).since(told_before);
        let (units, index) = own(before.as_ref(), &after);
        assert_eq!((told.write_units, told.index_write_units), (units as f64, index as f64), "event {n}");
        sizes.push(units);
        all = (all.0 + units, all.1 + index);
    }
    assert!(sizes.first() == Some(&1) && sizes.last() > Some(&1), "sizes on both sides of a unit: {sizes:?}");
    assert_eq!(all.1, 9, "one for the new entry, and one for every change of the status");
    let line = on(&aws, "PutItem", Outcome::Ok);
    assert_eq!((line.calls, line.records), (24, 24));
    assert!(line.request_bytes > 24 * 300);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_are_told_apart() {
    let dynamo = LocalDynamo::start().await;
    let faults = Faults::none();
    let aws = reach(dynamo.endpoints(), Some(&faults)).await;
    let store = DynamoStore::new(&aws, &dynamo.settings(quick_retries()), 1).expect("settings that work");
    let shard = ShardId::numbered(0);
    faults.next("UpdateItem", [Fault::Throttled, Fault::Broken, Fault::Lost]);
    let commit = |n| Commit {
        shard: shard.clone(),
        checkpoint: SequenceNumber::from_u64(n),
        writes: Vec::new(),
        parked: Vec::new(),
    };
    store.commit(commit(2)).await.expect("a commit");
    store.commit(commit(1)).await.expect("behind it");
    let calls = |outcome| on(&aws, "UpdateItem", outcome).calls;
    assert_eq!((calls(Outcome::Throttled), calls(Outcome::Failed), calls(Outcome::Unanswered)), (1, 1, 1));
    // The lost one was done, so the next met it; then the one that was behind.
    assert_eq!((calls(Outcome::Ok), calls(Outcome::Condition)), (0, 2));
    assert_eq!(on(&aws, "UpdateItem", Outcome::Condition).write_units, 2.0, "a refused write is paid for");
    assert_eq!(on(&aws, "UpdateItem", Outcome::Throttled).write_units, 0.0);
    let missing = DynamoSettings::new("not-there");
    let none = DynamoStore::new(&aws, &missing, 1).expect("settings that work");
    none.checkpoint(&shard).await.expect_err("no table");
    assert_eq!(on(&aws, "GetItem", Outcome::Refused).calls, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_counted_by_payload_units() {
    let kinesis = LocalKinesis::start(1).await;
    let aws = reach(kinesis.endpoints(), None).await;
    let log = KinesisLog::open(aws.kinesis().config(), quick_log()).await.expect("a log");
    let record = |n: usize, bytes: usize| LogRecord {
        key: EntityKey::parse(&format!("shop/order/{n}")).expect("a key"),
        data: Bytes::from(vec![b'x'; bytes]),
    };
    log.append(vec![record(1, 1), record(2, 25 * 1024), record(3, 25 * 1024 + 1)]).await.expect("appended");
    let puts = on(&aws, "PutRecords", Outcome::Ok);
    assert_eq!((puts.records, puts.payload_units), (3, 4));
    let service = aws.meter().read().0.keys().map(|key| key.service.clone()).next();
    assert_eq!(service.as_deref(), Some("Kinesis"));
}
