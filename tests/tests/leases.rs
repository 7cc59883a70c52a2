//! Leases: what every table of them promises, workers that share shards out and replace each other, and the
//! whole way over a stream that splits and merges while workers die.

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

/// A worker that begins with a child, without any lease and with an empty store, applies the parents' events first:
/// behind the child's they would be taken for seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_is_never_applied_before_its_ancestors() {
    const EVENTS: usize = 60;
    let kinesis = LocalKinesis::start(1).await;
    let log = Arc::new(kinesis.log(quick_log(), None).await);
    let source = SourceName::new("stripe").expect("a name");
    let provider = Arc::new(Provider::built_in("stripe").expect("built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    // The three events of a payment in three generations of shards.
    for part in 0..3 {
        for n in (0..EVENTS).filter(|n| n % 3 == part) {
            log.append(vec![record(&provider, &source, &Bytes::from(body(n)))]).await.expect("appended");
        }
        if part < 2 {
            let open = log.lineage().await.expect("shards").into_iter().filter(|shard| !shard.closed);
            for shard in open.collect::<Vec<_>>() {
                kinesis.split(&shard.id).await;
            }
        }
    }
    let shards = log.lineage().await.expect("shards");
    assert_eq!(shards.len(), 7);
    let store = Arc::new(MemoryStore::new());
    let settings = ApplySettings { wait: Duration::from_millis(20), ..ApplySettings::default() };
    let progress = Arc::new(Progress::default());
    let job = Arc::new(Applier::new(log.clone(), store.clone(), Arc::new(sources), settings, progress));
    let (stop, stopped) = watch::channel(false);
    let open: Vec<_> = shards.iter().filter(|shard| !shard.closed).map(|shard| shard.id.clone()).collect();
    let running: Vec<_> = open
        .iter()
        .map(|shard| {
            let (job, shard, stopped) = (job.clone(), shard.clone(), stopped.clone());
            tokio::spawn(async move { job.run(shard, stopped).await })
        })
        .collect();
    let began = Instant::now();
    for shard in &open {
        let tip = log.tip(shard).await.expect("a tip");
        while store.checkpoint(shard).await.expect("a checkpoint") != tip {
            assert!(began.elapsed() < Duration::from_secs(30), "{shard}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.send(true).expect("they run");
    for job in running {
        assert_eq!(job.await.expect("no panic").expect("a good end"), End::Stopped);
    }
    let records = store.list(&EntityFilter::default(), None, 1000).await.expect("records");
    assert_eq!(records.iter().map(|record| record.entries.len()).sum::<usize>(), EVENTS);
    for shard in shards.iter().filter(|shard| shard.closed) {
        let at = store.checkpoint(&shard.id).await.expect("a checkpoint");
        assert_eq!(at, Some(SequenceNumber::shard_end()), "{}", shard.id);
    }
}

/// A stream that splits and merges, workers that die and one that is a zombie: every event is applied, and the
/// state is that of one worker alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn workers_follow_a_stream_that_splits_and_merges() {
    const EVENTS: usize = 400;
    let (kinesis, dynamo) = (LocalKinesis::start(2).await, LocalDynamo::start().await);
    let leases = Arc::new(dynamo_leases(&dynamo, None).await);
    let log = Arc::new(kinesis.log(quick_log(), None).await);
    let store = Arc::new(MemoryStore::new());
    let source = SourceName::new("stripe").expect("a name");
    let provider = Arc::new(Provider::built_in("stripe").expect("built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let sources = Arc::new(sources);
    let settings = ApplySettings {
        batch_records_max: 20,
        wait: Duration::from_millis(20),
        backoff: (Duration::from_millis(1), Duration::from_millis(20)),
        ..ApplySettings::default()
    };
    let job = |log: &Arc<KinesisLog>, store: &Arc<MemoryStore>| {
        Applier::new(log.clone(), store.clone(), sources.clone(), settings.clone(), Arc::new(Progress::default()))
    };
    let patient = |name: &str| LeaseSettings {
        lasts: Duration::from_secs(2),
        renew_every: Duration::from_millis(300),
        ..quick(name)
    };
    let mut workers: Vec<_> =
        (0..3).map(|n| start(&log, &leases, job(&log, &store), patient(&format!("w{n}")))).collect();
    let zombie_stop = watch::channel(false);

    let append = async |from: usize, to: usize| {
        for n in from..to {
            log.append(vec![record(&provider, &source, &Bytes::from(body(n)))]).await.expect("appended");
        }
    };
    append(0, 100).await;
    let open = async || -> Vec<ShardId> {
        let shards = log.lineage().await.expect("shards");
        let mut open: Vec<_> = shards.into_iter().filter(|shard| !shard.closed).collect();
        open.sort_by_key(|shard| shard.hash_range);
        open.into_iter().map(|shard| shard.id).collect()
    };
    kinesis.split(&open().await[0]).await;
    append(100, 200).await;
    // A worker stops, and a zombie works on a shard without a lease.
    let gone = workers.remove(0);
    gone.stop.send(true).expect("it runs");
    let zombie = tokio::spawn({
        let (zombie, shard, stop) = (job(&log, &store), open().await.remove(0), zombie_stop.1);
        async move { zombie.run(shard, stop).await }
    });
    let now = open().await;
    kinesis.merge(&now[1], &now[2]).await;
    append(200, 300).await;
    workers.push(start(&log, &leases, job(&log, &store), patient("w3")));
    kinesis.split(&open().await[1]).await;
    append(300, EVENTS).await;

    // Every closed shard is at its end, every open one at its tip.
    let began = Instant::now();
    loop {
        let shards = log.lineage().await.expect("shards");
        let held = leases.all().await.expect("leases");
        let mut left: BTreeMap<ShardId, String> = BTreeMap::new();
        for shard in &shards {
            let at = store.checkpoint(&shard.id).await.expect("a checkpoint");
            let wanted =
                if shard.closed { Some(SequenceNumber::shard_end()) } else { log.tip(&shard.id).await.expect("a tip") };
            let lease = held.iter().find(|lease| lease.shard == shard.id);
            let lease_ended = lease.is_some_and(|lease| lease.checkpoint.is_shard_end());
            if at != wanted || lease_ended != shard.closed {
                left.insert(shard.id.clone(), format!("at {at:?} of {wanted:?}, lease {lease:?}"));
            }
        }
        if left.is_empty() {
            assert_eq!(shards.len(), 7);
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "left: {left:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    until("no holes", || workers[0].board.holes().is_empty()).await;
    zombie_stop.0.send(true).expect("it runs");
    zombie.await.expect("no panic").expect("a good end");
    for worker in workers {
        worker.stop.send(true).expect("it runs");
        worker.task.await.expect("no panic").expect("a good end");
    }

    let alone = Arc::new(MemoryStore::new());
    let (one, one_log) = (Arc::new(MemoryLeases::new()), Arc::new(MemoryLog::new(1)));
    for n in 0..EVENTS {
        one_log.append(vec![record(&provider, &source, &Bytes::from(body(n)))]).await.expect("appended");
    }
    let worker = {
        let job = Applier::new(
            one_log.clone(),
            alone.clone(),
            sources.clone(),
            settings.clone(),
            Arc::new(Progress::default()),
        );
        start(&one_log, &one, job, quick("alone"))
    };
    let shard = one_log.shards().remove(0);
    while alone.checkpoint(&shard).await.expect("a checkpoint") != one_log.tip(&shard).await.expect("a tip") {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(worker);
    let states = async |store: &MemoryStore| {
        let records = store.list(&EntityFilter::default(), None, usize::MAX).await.expect("records");
        records
            .into_iter()
            .map(|record| {
                let events: Vec<_> = record.entries.iter().map(|entry| entry.id.to_string()).collect();
                (record.key.clone(), (record.status().to_owned(), events))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let (found, expected) = (states(&store).await, states(&alone).await);
    assert_eq!(found.values().map(|(_, events)| events.len()).sum::<usize>(), EVENTS, "each once");
    assert_eq!(found, expected);
}
