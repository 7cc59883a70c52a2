//! Each kind of call on the log and on the leases meets each fault of the network, on purpose: nothing that was there is
//! missed or given twice, and what was to be written is written once. (State, archive and quarantine: `aws_faults.rs`.)

use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::aws::kinesis::KinesisLog;
use ledgerline_adapters::aws::leases::DynamoLeases;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::lease::{Lease, LeaseWrite, Leases as _, Refused, judge_refused, missing};
use ledgerline_domain::ports::{Log as _, LogRecord, ReadLimit, ShardInfo};
use ledgerline_domain::{ErrorKind, Result};
use ledgerline_tests::aws::{Fault, Faults, LocalDynamo, LocalKinesis, quick_log, reach};

const RECORDS: u32 = 12;
const ALL: ReadLimit = ReadLimit { records_max: 5, bytes_max: usize::MAX, wait: Duration::ZERO };

/// Tries again, as whoever asks log and leases does.
async fn again<T>(what: &str, mut act: impl AsyncFnMut() -> Result<T>) -> T {
    for _ in 0..20 {
        match act().await {
            Ok(done) => return done,
            Err(error) if matches!(error.kind(), ErrorKind::Retry | ErrorKind::Conflict) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{what}: failed to {error}"),
        }
    }
    panic!("{what}: twenty attempts");
}

/// Everything in the shard, by a reader that knows nothing yet.
async fn read_all(log: &KinesisLog, shard: &ShardId, what: &str) -> Vec<Bytes> {
    let (mut found, mut after) = (Vec::new(), None::<SequenceNumber>);
    loop {
        let batch = again(what, async || log.read(shard, after.as_ref(), ALL).await).await;
        let Some(last) = batch.records.last() else {
            if batch.behind == 0 {
                return found;
            }
            continue;
        };
        after = Some(last.sequence.clone());
        found.extend(batch.records.into_iter().map(|record| record.value));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_on_the_log_meets_each_fault() {
    let local = LocalKinesis::start(1).await;
    let key = EntityKey::parse("shop/order/1").expect("a key");
    let records: Vec<_> = (0..RECORDS).map(|n| Bytes::from(format!("record {n}"))).collect();
    let append = records.iter().map(|data| LogRecord { key: key.clone(), data: data.clone() }).collect();
    local.log(quick_log(), None).await.append(append).await.expect("appended");
    for call in ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"] {
        for fault in Fault::QUICK {
            let (what, faults) = (format!("{call} {fault:?}"), Faults::none());
            let log = local.log(quick_log(), Some(&faults)).await;
            faults.next(call, [fault]);
            again(&what, async || log.probe().await).await;
            let shards = again(&what, async || log.lineage().await).await;
            assert_eq!(shards.len(), 1, "{what}");
            assert_eq!(read_all(&log, &shards[0].id, &what).await, records, "{what}");
            assert_eq!(faults.hits(call, fault), 1, "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_on_the_leases_meets_each_fault() {
    const TABLE: &str = "leases";
    let local = LocalDynamo::start().await;
    let plain = reach(local.endpoints(), None).await;
    DynamoLeases::create_table(plain.dynamodb().config(), TABLE).await.expect("a table");
    let truth = DynamoLeases::open(plain.dynamodb().config(), TABLE).await.expect("it opens");
    let mut number = 0;
    for call in ["Scan", "PutItem", "UpdateItem", "DeleteItem"] {
        // There are no transactions that a write of a lease could meet.
        for fault in Fault::QUICK.into_iter().filter(|fault| *fault != Fault::Conflict) {
            let (what, faults) = (format!("{call} {fault:?}"), Faults::none());
            let aws = reach(local.endpoints(), Some(&faults)).await;
            let leases = DynamoLeases::open(aws.dynamodb().config(), TABLE).await.expect("it opens");
            faults.next(call, [fault]);
            number += 1;
            let new = missing(&[ShardInfo::first(ShardId::numbered(number))], &[]).remove(0);
            // Whether it was this attempt or one before, there is one.
            again(&what, async || leases.create(&new).await).await;
            assert_eq!(truth.all().await.expect("leases"), std::slice::from_ref(&new), "{what}");
            let taken = new.taken("worker");
            let mine = match again(&what, async || leases.write(&taken).await).await {
                LeaseWrite::Done => true,
                LeaseWrite::Refused(found) => judge_refused(&taken, found.as_ref()) == Refused::WasMine,
            };
            assert!(mine, "{what}");
            let found: Vec<Lease> = again(&what, async || leases.all().await).await;
            assert_eq!(found, std::slice::from_ref(&taken), "{what}");
            again(&what, async || leases.remove(&taken).await).await;
            assert_eq!(truth.all().await.expect("leases"), [], "{what}");
            assert_eq!(faults.hits(call, fault), 1, "{what}");
        }
    }
}
