//! The function behind a mapping, with a door and an archiver beside it, and the proof afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ledgerline_adapters::aws::kinesis::KinesisLog;
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::ports::{Entities as _, EntityFilter, Log as _};
use ledgerline_domain::provider::Provider;
use ledgerline_tests::aws::lambda::{Function, Mapping, MappingSettings};
use ledgerline_tests::aws::outcome::{everything_counts_once, how_long, reshard};
use ledgerline_tests::aws::{LocalCloud, flaky, quick_log, quick_retries};
use ledgerline_tests::bodies::body;
use ledgerline_tests::child::Served;
use ledgerline_tests::sealed::record;
use ledgerline_tests::traffic::call;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::PROGRAM;

const SECONDS: u64 = 20;
const CALLERS: usize = 4;
/// Longest wait for DynamoDB.
const SLOW: Duration = Duration::from_millis(10);
/// Events of the batches that are too long, and of each of them; the function works in parts of a thousand.
const LONG_EVENTS: usize = 6000;
const LONG_BATCH: usize = 2500;
/// Roles that run beside the function.
const BESIDE: [&str; 3] = ["serve", "--role", "ingest,archiver"];

struct Stage {
    cloud: LocalCloud,
    door: Served,
    function: Arc<Function>,
    next: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<BTreeSet<usize>>>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Stage {
    /// A stream of `shards` shards, and a function whose DynamoDB takes up to `slow` a call and fails at times.
    async fn set(shards: i32, dir: &Path, slow: Duration, harass: impl FnOnce(Function) -> Function) -> Self {
        let cloud = LocalCloud::start(shards).await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let settings = cloud.write_settings(dir, &address);
        let door = Served::on(PROGRAM, &settings, &address);
        let dynamodb = cloud.endpoints().dynamodb.expect("an address");
        let slow = flaky(&dynamodb, 4, slow).await;
        let text = cloud.settings_text(&address).replace(&dynamodb, &slow);
        let function = Arc::new(harass(Function::new(PROGRAM, text, dir)));
        let (next, acknowledged, stop) = (Arc::default(), Arc::default(), Arc::default());
        Self { cloud, door, function, next, acknowledged, stop, callers: Vec::new() }
    }

    /// Begins to send webhooks to the door.
    fn send(&mut self) {
        for _ in 0..CALLERS {
            let (next, acknowledged, stop) = (self.next.clone(), self.acknowledged.clone(), self.stop.clone());
            let address = self.door.address.clone();
            let pause = Duration::from_millis(4);
            self.callers.push(std::thread::spawn(move || call(&address, &next, &acknowledged, &stop, pause)));
        }
    }

    async fn map(&self, settings: MappingSettings) -> Mapping {
        let store = self.cloud.dynamo.store(None, quick_retries()).await;
        Mapping::start(&self.cloud.kinesis, store, self.function.clone(), settings).await
    }

    fn stop_sending(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers.drain(..) {
            caller.join().expect("no panic");
        }
    }

    /// Waits until everything that the stream holds is archived, and folded where that is awaited too.
    async fn until_done(&self, mapping: Option<&Mapping>) {
        let began = Instant::now();
        let log = self.cloud.kinesis.log(quick_log(), None).await;
        loop {
            assert!(mapping.is_none_or(Mapping::is_at_work), "the mapping found a broken promise");
            let (folded, archived) = (self.is_folded(&log).await, self.is_archived(&log).await);
            if archived && (folded || mapping.is_none()) {
                return;
            }
            let late = began.elapsed() > Duration::from_secs(120);
            assert!(!late, "never done: folded {folded}, archived {archived}\n{}", tail(&self.function.log()));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn is_folded(&self, log: &KinesisLog) -> bool {
        let store = self.cloud.dynamo.store(None, quick_retries()).await;
        for shard in log.lineage().await.expect("shards") {
            let tip = log.tip(&shard.id).await.expect("a tip");
            if store.checkpoint(&shard.id).await.expect("a checkpoint") < tip {
                return false;
            }
        }
        true
    }

    /// By what the archiver's leases say.
    async fn is_archived(&self, log: &KinesisLog) -> bool {
        let (_, text) = self.door.run(&["shards", "--json"]);
        let shards: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        for shard in log.lineage().await.expect("shards") {
            let tip = log.tip(&shard.id).await.expect("a tip");
            let Some(said) = shards.iter().find(|said| said["shard"] == shard.id.as_str()) else { return false };
            let at = said["archiver"]["checkpoint"].as_str();
            if tip.is_some_and(|tip| said["archiver"]["ended"] != true && at.is_none_or(|at| at < tip.as_str())) {
                return false;
            }
        }
        true
    }

    /// Ends what runs, and proves the outcome.
    async fn prove(&mut self) {
        self.door.stop();
        let acknowledged = self.acknowledged.lock().expect("not poisoned").clone();
        println!("{} sent, {} acknowledged", self.next.load(Ordering::Relaxed), acknowledged.len());
        assert!(acknowledged.len() > 300, "the load was too small to prove anything: {}", acknowledged.len());
        everything_counts_once(&self.cloud, &acknowledged, &self.door).await;
    }
}

/// The settings of `docs/aws.md`, and everything that AWS and the network may do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_kills_freezes_faults_and_resharding() {
    let dir = tempfile::tempdir().expect("a directory");
    let (short, long) = (Duration::from_millis(400), Duration::from_secs(4));
    let mut stage = Stage::set(1, dir.path(), SLOW, |function| function.harassed(15, short, long)).await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    stage.door.start_with(&BESIDE);
    stage.door.wait_ready();
    stage.send();
    let mapping = stage.map(MappingSettings { twice_per_cent: 10, ..MappingSettings::default() }).await;
    let began = Instant::now();
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    while began.elapsed() < how_long(SECONDS) {
        tokio::time::sleep(Duration::from_millis(random.random_range(300..1500))).await;
        let what = match random.random_range(0..10) {
            0 => {
                stage.function.end_idle();
                "new environments"
            }
            1 => {
                stage.door.stop();
                stage.door.start_with(&BESIDE);
                stage.door.wait_ready();
                "restart of the door"
            }
            _ => reshard(&stage.cloud, &mut random).await,
        };
        *done.entry(what).or_default() += 1;
        assert!(mapping.is_at_work(), "the mapping found a broken promise");
    }
    stage.stop_sending();
    println!("in {:.0} s: {done:?}, {:?}", began.elapsed().as_secs_f64(), stage.function.counts);
    stage.until_done(Some(&mapping)).await;
    drop(mapping);
    let counts = &stage.function.counts;
    let of = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
    let counted = [
        ("done", of(&counts.done)),
        ("partial or failed", of(&counts.partial) + of(&counts.failed)),
        ("killed", of(&counts.killed)),
    ];
    for (what, count) in counted {
        assert!(count > 0, "no invocation was {what}");
    }
    assert!(stage.function.log().contains(r#""ledgerline_lambda_invocations_total":"#), "metrics were told");
    stage.prove().await;
}

/// Batches for which the time is not enough: each answer says how far it is, and the rest comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_batches_are_done_in_parts() {
    let dir = tempfile::tempdir().expect("a directory");
    let stage = Stage::set(1, dir.path(), Duration::from_millis(100), |function| {
        function.harassed(0, Duration::from_millis(800), Duration::from_secs(2))
    })
    .await;
    let source = SourceName::new("shop").expect("a good name");
    let provider = Provider::built_in("stripe").expect("built in");
    let records: Vec<_> = (0..LONG_EVENTS).map(|n| record(&provider, &source, &body(n).into())).collect();
    let log = stage.cloud.kinesis.log(quick_log(), None).await;
    for records in records.chunks(500) {
        log.append(records.to_vec()).await.expect("appended");
    }
    let mapping = stage.map(MappingSettings { batch_records_max: LONG_BATCH, ..MappingSettings::default() }).await;
    let began = Instant::now();
    while !stage.is_folded(&log).await {
        assert!(mapping.is_at_work(), "the mapping found a broken promise");
        assert!(began.elapsed() < Duration::from_secs(120), "never done\n{}", tail(&stage.function.log()));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    println!("{:?}", stage.function.counts);
    assert!(stage.function.counts.partial.load(Ordering::Relaxed) > 0, "the time was enough");
    let (mut events, mut after) = (0, None);
    let store = stage.cloud.dynamo.store(None, quick_retries()).await;
    loop {
        let page = store.list(&EntityFilter::default(), after.as_ref(), 500).await.expect("a page");
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        events += page.iter().map(|record| record.entries.len()).sum::<usize>();
        assert!(page.iter().all(|record| record.entries.iter().all(|entry| entry.delivery.copies == 1)));
    }
    assert_eq!(events, LONG_EVENTS);
}

/// A mapping that begins at LATEST beside an older checkpoint, runs several batches of a shard at once, gives batches up and
/// filters: all that `docs/aws.md` says not to do. Processors were at work before, nobody for a while, and another
/// generation is built and promoted. A schedule's event brings what no batch announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_mapping_leaves_out_is_not_lost() {
    let dir = tempfile::tempdir().expect("a directory");
    let (short, long) = (Duration::from_millis(400), Duration::from_secs(4));
    let mut stage = Stage::set(2, dir.path(), SLOW, |function| function.harassed(5, short, long)).await;
    let mut random = StdRng::seed_from_u64(rand::random());
    let mut pause = async |stage: &Stage, rounds: usize| {
        for _ in 0..rounds {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            reshard(&stage.cloud, &mut random).await;
        }
    };
    stage.door.start();
    stage.door.wait_ready();
    stage.send();
    pause(&stage, 3).await;
    stage.door.stop();
    stage.door.start_with(&BESIDE);
    stage.door.wait_ready();
    pause(&stage, 2).await;
    let bad = MappingSettings {
        from_latest: true,
        parallel: 3,
        given_up_per_cent: 50,
        filtered_per_cent: 10,
        ..MappingSettings::default()
    };
    let mapping = stage.map(bad).await;
    pause(&stage, 2).await;
    done(&stage.door, &["replay", "rebuild", "--yes", "--reason", "to change over beside a function"]);
    pause(&stage, (how_long(8).as_secs() / 2) as usize).await;
    stage.stop_sending();
    assert!(mapping.is_at_work(), "the mapping found a broken promise");
    println!("{:?}, {} batches given up", stage.function.counts, mapping.given_up.load(Ordering::Relaxed));
    drop(mapping);
    let mut tries = 0;
    while let Err(why) = stage.function.invoke(r#"{"source":"aws.events"}"#.to_owned()).await {
        tries += 1;
        assert!(tries < 60, "it is never done: {why}\n{}", tail(&stage.function.log()));
    }
    println!("everything was brought at try {}", tries + 1);
    let log = stage.cloud.kinesis.log(quick_log(), None).await;
    assert!(stage.is_folded(&log).await, "it said so");
    stage.until_done(None).await;
    done(&stage.door, &["replay", "promote", "--yes", "--wait", "0"]);
    done(&stage.door, &["replay", "verify"]);
    done(&stage.door, &["replay", "rollback", "--yes", "--wait", "0"]);
    stage.prove().await;
}

/// Runs a command that must succeed.
fn done(program: &Served, arguments: &[&str]) {
    let (code, text) = program.run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {text}");
}

fn tail(text: &str) -> &str {
    let from = text.len().saturating_sub(6000);
    (from..text.len()).find_map(|from| text.get(from..)).unwrap_or(text)
}
