//! Leases: what every table of them promises, workers that share shards out and replace each other, and the
//! whole way over a stream that splits and merges while workers die.

mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use ledgerline_adapters::aws::kinesis::KinesisLog;
use ledgerline_adapters::aws::leases::DynamoLeases;
use ledgerline_adapters::memory::{MemoryLeases, MemoryLog, MemoryStore};
use ledgerline_domain::ids::{SequenceNumber, ShardId, SourceName};
use ledgerline_domain::lease::{Checkpoint, Lease, LeaseWrite, Leases, Refused, judge_refused, missing};
use ledgerline_domain::ports::{Entities, EntityFilter, HashRange, Log, ShardInfo};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::{ErrorKind, Result};
use ledgerline_processor::apply::{Applier, ApplySettings, Progress};
use ledgerline_processor::leases::{End, LeaseBoard, LeaseSettings, ShardJob, run_leases};
use ledgerline_tests::aws::{Fault, Faults, LocalDynamo, LocalKinesis, quick_log, reach};
use ledgerline_tests::bodies::body;
use ledgerline_tests::sealed::record;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const TABLE: &str = "leases";

async fn dynamo_leases(local: &LocalDynamo, faults: Option<&Faults>) -> DynamoLeases {
    let aws = reach(local.endpoints(), None).await;
    DynamoLeases::create_table(aws.dynamodb().config(), TABLE).await.unwrap_or_else(|e| panic!("failed to {e}"));
    let aws = reach(local.endpoints(), faults).await;
    DynamoLeases::open(aws.dynamodb().config(), TABLE).await.unwrap_or_else(|e| panic!("failed to {e}"))
}

fn new_lease(n: u32) -> Lease {
    let info = ShardInfo {
        parents: vec![ShardId::numbered(n + 100), ShardId::numbered(n + 101)],
        hash_range: Some(HashRange { first: u128::from(n), last: u128::MAX }),
        ..ShardInfo::first(ShardId::numbered(n))
    };
    missing(&[info], &[]).remove(0)
}

/// A position as Kinesis numbers them.
fn position(n: u64) -> Checkpoint {
    Checkpoint::At(SequenceNumber::new(format!("{n:056}")))
}

/// What every table of leases promises.
async fn conforms<S: Leases>(leases: &Arc<S>) {
    assert_eq!(leases.all().await.expect("leases"), []);
    for n in [2, 0, 1] {
        assert!(leases.create(&new_lease(n)).await.expect("a write"), "new");
    }
    let zero = new_lease(0);
    assert!(!leases.create(&zero.taken("b")).await.expect("a write"), "there is one");
    assert_eq!(leases.all().await.expect("leases"), [zero.clone(), new_lease(1), new_lease(2)]);

    let mine = zero.taken("a");
    assert_eq!(leases.write(&mine).await.expect("a write"), LeaseWrite::Done);
    assert_eq!(leases.write(&zero.taken("b")).await.expect("a write"), LeaseWrite::Refused(Some(mine.clone())));
    assert_eq!(leases.write(&new_lease(9).taken("a")).await.expect("a write"), LeaseWrite::Refused(None));
    let moved = mine.renewed(Some(&position(7)));
    assert_eq!(leases.write(&moved).await.expect("a write"), LeaseWrite::Done);
    assert_eq!(leases.all().await.expect("leases")[0], moved);
    let ended = moved.released(Some(&Checkpoint::shard_end()));
    assert_eq!(leases.write(&ended).await.expect("a write"), LeaseWrite::Done);
    assert_eq!(leases.all().await.expect("leases")[0], ended, "without an owner");

    leases.remove(&moved).await.expect("no failure");
    assert_eq!(leases.all().await.expect("leases").len(), 3, "not the one that was meant");
    leases.remove(&ended).await.expect("a write");
    leases.remove(&ended).await.expect("no failure");
    assert_eq!(leases.all().await.expect("leases").len(), 2);

    // Of many that take one lease at once, one does.
    let tasks: Vec<_> = (0..16)
        .map(|n| {
            let leases = leases.clone();
            tokio::spawn(async move { leases.write(&new_lease(1).taken(&format!("w{n}"))).await.expect("a write") })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += usize::from(task.await.expect("a worker") == LeaseWrite::Done);
    }
    assert_eq!(done, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_conform() {
    conforms(&Arc::new(MemoryLeases::new())).await;
    let local = LocalDynamo::start().await;
    conforms(&Arc::new(dynamo_leases(&local, None).await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_was_lost_is_known_as_ones_own() {
    let local = LocalDynamo::start().await;
    let faults = Faults::none();
    let leases = dynamo_leases(&local, Some(&faults)).await;
    leases.create(&new_lease(0)).await.expect("a write");
    let mut lease = new_lease(0);
    for fault in [Fault::Lost, Fault::LostLate, Fault::BrokenAfter, Fault::Unreached, Fault::Broken, Fault::Throttled] {
        faults.next("UpdateItem", [fault]);
        let wanted = lease.taken("a");
        let mine = match leases.write(&wanted).await.unwrap_or_else(|e| panic!("{fault:?}: failed to {e}")) {
            LeaseWrite::Done => true,
            LeaseWrite::Refused(found) => judge_refused(&wanted, found.as_ref()) == Refused::WasMine,
        };
        assert!(mine, "{fault:?}");
        assert_eq!(faults.hits("UpdateItem", fault), 1);
        lease = wanted;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_items_are_those_of_kcl_2_and_kcl_3_is_refused() {
    let local = LocalDynamo::start().await;
    let leases = dynamo_leases(&local, None).await;
    leases.create(&new_lease(0)).await.expect("a write");
    leases.write(&new_lease(0).taken("a").renewed(None)).await.expect("a call");
    leases.write(&new_lease(0).taken("a")).await.expect("a write");
    let client = reach(local.endpoints(), None).await.dynamodb();
    let found = client.scan().table_name(TABLE).send().await.expect("items").items.expect("items").remove(0);
    let text = |name: &str| found.get(name).and_then(|v| v.as_s().ok()).map(String::as_str);
    let number = |name: &str| found.get(name).and_then(|v| v.as_n().ok()).map(String::as_str);
    assert_eq!(text("leaseKey"), Some("shard-0000"));
    assert_eq!((text("leaseOwner"), number("leaseCounter")), (Some("a"), Some("1")));
    assert_eq!((text("checkpoint"), number("checkpointSubSequenceNumber")), (Some("TRIM_HORIZON"), Some("0")));
    assert_eq!(number("ownerSwitchesSinceCheckpoint"), Some("1"));
    assert_eq!(found["parentShardId"].as_ss().expect("a set").len(), 2);
    assert_eq!(text("startingHashKey"), Some("0"));

    let s = |text: &str| AttributeValue::S(text.to_owned());
    for (key, attribute, value) in
        [("leader", "entityType", "LEADER"), ("shard-0009", "checkpointOwner", "other"), ("1:s:2:shard-1", "x", "y")]
    {
        let put = client.put_item().table_name(TABLE).item("leaseKey", s(key)).item(attribute, s(value));
        put.send().await.expect("an item");
        let error = leases.all().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("table of its own"), "{error}");
        client.delete_item().table_name(TABLE).key("leaseKey", s(key)).send().await.expect("deleted");
    }
    assert_eq!(leases.all().await.expect("leases").len(), 1);
    let none = DynamoLeases::open(client.config(), "none").await.expect_err("no table");
    assert_eq!(none.kind(), ErrorKind::Invalid);
}

/// Notes which worker is at work on which shard.
#[derive(Default)]
struct Watched {
    at_work: Mutex<BTreeSet<ShardId>>,
    failures: AtomicUsize,
}

impl ShardJob for Watched {
    async fn run(&self, shard: ShardId, mut stop: watch::Receiver<bool>) -> Result<End> {
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            return Err(ledgerline_domain::Error::data("read a shard: on demand"));
        }
        self.at_work.lock().expect("a lock").insert(shard.clone());
        let _ = stop.wait_for(|stop| *stop).await;
        self.at_work.lock().expect("a lock").remove(&shard);
        Ok(End::Stopped)
    }

    fn progress(&self, _: &ShardId) -> Option<Checkpoint> {
        Some(position(5))
    }
}

fn quick(worker: &str) -> LeaseSettings {
    LeaseSettings {
        lasts: Duration::from_millis(600),
        renew_every: Duration::from_millis(100),
        seek_every: Duration::from_millis(60),
        failed_rest: Duration::from_secs(60),
        shutdown_wait: Duration::from_secs(5),
        ..LeaseSettings::new(worker)
    }
}

struct Worker<J> {
    job: Arc<J>,
    board: Arc<LeaseBoard>,
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<()>>,
}

fn start<L: Log, S: Leases, J: ShardJob>(log: &Arc<L>, leases: &Arc<S>, job: J, settings: LeaseSettings) -> Worker<J> {
    let (stop, stopped) = watch::channel(false);
    let (job, board) = (Arc::new(job), Arc::new(LeaseBoard::default()));
    let task = tokio::spawn(run_leases(log.clone(), leases.clone(), job.clone(), settings, board.clone(), stopped));
    Worker { job, board, stop, task }
}

impl Worker<Watched> {
    fn load(&self) -> usize {
        self.job.at_work.lock().expect("a lock").len()
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_share_the_shards_out_and_replace_each_other() {
    let (log, leases) = (Arc::new(MemoryLog::new(6)), Arc::new(MemoryLeases::new()));
    let a = start(&log, &leases, Watched::default(), quick("a"));
    until("one has all", || a.load() == 6).await;
    let b = start(&log, &leases, Watched::default(), quick("b"));
    until("three each", || a.load() == 3 && b.load() == 3).await;
    let c = start(&log, &leases, Watched::default(), quick("c"));
    until("two each", || a.load() == 2 && b.load() == 2 && c.load() == 2).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((a.load(), b.load(), c.load()), (2, 2, 2), "it stays");
    assert_eq!(a.board.leases().len(), 6);

    // Given back at once.
    b.stop.send(true).expect("it runs");
    b.task.await.expect("no panic").expect("a good end");
    let given_back = leases.all().await.expect("leases");
    assert_eq!(given_back.iter().filter(|lease| lease.owner.as_deref() == Some("b")).count(), 0);
    assert!(given_back.iter().any(|lease| lease.checkpoint == position(5)), "with its progress");
    until("three each again", || a.load() == 3 && c.load() == 3).await;

    // Gone without a word: the task of the keeper is a child of nobody, so the whole worker is stopped by its
    // leases being refused.
    leases.faults().refuse_next(0);
    let stolen = leases.all().await.expect("leases").into_iter().find(|l| l.owner.as_deref() == Some("a"));
    let stolen = stolen.expect("one of a");
    let mut taken = stolen.taken("zombie's heir");
    while let LeaseWrite::Refused(Some(now)) = leases.write(&taken).await.expect("a write") {
        taken = now.taken("zombie's heir");
    }
    until("its job stops", || !a.job.at_work.lock().expect("a lock").contains(&stolen.shard)).await;
    let waited = until("the heir never renews and loses it", || a.load() + c.load() == 6).await;
    assert!(waited > Duration::from_millis(300), "not before it expired: {waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_and_failed_jobs_cost_no_shard() {
    let (log, leases) = (Arc::new(MemoryLog::new(3)), Arc::new(MemoryLeases::new()));
    let a = start(&log, &leases, Watched::default(), quick("a"));
    until("it has all", || a.load() == 3).await;
    for _ in 0..4 {
        leases.faults().lose_next(2);
        tokio::time::sleep(Duration::from_millis(150)).await;
        leases.faults().refuse_next(2);
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(a.load(), 3, "no job stopped");
    }
    // The store is away for longer than a lease lasts: the jobs stop, and begin again.
    leases.faults().refuse_next(u32::MAX);
    until("the jobs stop", || a.load() == 0).await;
    leases.faults().refuse_next(0);
    until("they begin again", || a.load() == 3).await;
    a.stop.send(true).expect("it runs");
    a.task.await.expect("no panic").expect("a good end");

    // A job that fails gives its lease to others.
    let failing = Watched { failures: AtomicUsize::new(1), ..Watched::default() };
    let b = start(&log, &leases, failing, quick("b"));
    until("two of three", || b.load() == 2).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(b.load(), 2, "left to others for a while");
    let c = start(&log, &leases, Watched::default(), quick("c"));
    until("the other has it", || c.load() >= 1 && b.load() + c.load() == 3).await;
}
