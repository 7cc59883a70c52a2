//! The program on AWS, whole: three processes share the work, and are killed (SIGKILL), stopped and woken up again as
//! zombies (SIGSTOP, SIGCONT) and restarted in good order, while the stream is split and merged and its limits are
//! enforced. Two of them read by enhanced fan-out, one by polling. Afterwards every acknowledged event is in the archive
//! and counts once in the state, the chains are whole and the replay agrees.
//!
//! `LEDGERLINE_TEST_SECONDS` says for how long; the default is short enough for every run of the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ledgerline_domain::ports::{Archive as _, Entities as _, EntityFilter};
use ledgerline_domain::segment::SegmentReader;
use ledgerline_tests::aws::{LocalCloud, quick_retries};
use ledgerline_tests::child::Served;
use ledgerline_tests::traffic::call;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

const WORKERS: usize = 3;
const CALLERS_PER_WORKER: usize = 4;
const OPEN_SHARDS_MAX: usize = 6;

fn how_long() -> Duration {
    let seconds = std::env::var("LEDGERLINE_TEST_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(45))
}

/// A worker with settings and a port of its own; it reads by enhanced fan-out, or by polling.
fn worker(cloud: &LocalCloud, dir: &Path, fans_out: bool) -> Served {
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let address = format!("127.0.0.1:{port}");
    let settings =
        if fans_out { cloud.write_settings_with_fan_out(dir, &address) } else { cloud.write_settings(dir, &address) };
    Served::on(env!("CARGO_BIN_EXE_ledgerline-under-test"), &settings, &address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_through_kills_zombies_and_resharding() {
    let cloud = LocalCloud::start(1).await;
    let dir = tempfile::tempdir().expect("a directory");
    let mut workers: Vec<Served> =
        (0..WORKERS).map(|n| worker(&cloud, &dir.path().join(format!("worker-{n}")), n > 0)).collect();
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let (next, acknowledged, stop) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    for worker in &mut workers {
        worker.start();
        worker.wait_ready();
    }
    let mut callers = Vec::new();
    for worker in &workers {
        for _ in 0..CALLERS_PER_WORKER {
            let (address, next, acknowledged, stop) =
                (worker.address.clone(), next.clone(), acknowledged.clone(), stop.clone());
            let pause = Duration::from_millis(2);
            callers.push(std::thread::spawn(move || call(&address, &next, &acknowledged, &stop, pause)));
        }
    }

    let began = Instant::now();
    let mut done: BTreeMap<&str, u32> = BTreeMap::new();
    while began.elapsed() < how_long() {
        tokio::time::sleep(Duration::from_millis(random.random_range(200..1200))).await;
        let at = random.random_range(0..WORKERS);
        let what = match random.random_range(0..10) {
            0..=3 => {
                workers[at].kill();
                workers[at].start();
                workers[at].wait_ready();
                "SIGKILL"
            }
            4..=5 => {
                workers[at].signal("STOP");
                // Longer than its leases last: others take its shards, and it wakes up as a zombie.
                tokio::time::sleep(Duration::from_millis(random.random_range(500..4000))).await;
                workers[at].signal("CONT");
                "SIGSTOP"
            }
            6 => {
                workers[at].stop();
                workers[at].start();
                workers[at].wait_ready();
                "SIGTERM"
            }
            _ => reshard(&cloud, &mut random).await,
        };
        *done.entry(what).or_default() += 1;
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().expect("no panic");
    }
    let subscriptions = cloud.kinesis.subscriptions().begun();
    println!("in {:.0} s: {done:?}, {subscriptions} subscriptions", began.elapsed().as_secs_f64());
    assert!(subscriptions > 5, "two of the workers read by enhanced fan-out");
    until_done(&workers[0]).await;
    let (code, text) = workers[0].run(&["shards"]);
    println!("{text}");
    assert_eq!(code, 0, "everything is held: {text}");
    for worker in &mut workers {
        worker.stop();
    }

    let acknowledged = acknowledged.lock().expect("not poisoned").clone();
    println!("{} sent, {} acknowledged", next.load(Ordering::Relaxed), acknowledged.len());
    assert!(acknowledged.len() > 1000, "the load was too small to prove anything: {}", acknowledged.len());
    let (archived, folded, places) = find(&cloud).await;
    for number in &acknowledged {
        let id = format!("evt_{number:024}");
        assert!(archived.contains_key(&id), "{id} is not in the archive");
        assert!(folded.contains_key(&id), "{id} is not in the state; it was archived {:?}", places.get(&id));
    }
    let copies: u32 = archived.values().map(|copies| copies - 1).sum();
    println!("{} events archived, {copies} of them a second time after a lost answer", archived.len());
    assert_eq!(archived, folded, "each copy is seen once");
    for command in [&["replay", "verify"], &["archive", "check"]] {
        let (code, text) = workers[0].run(command);
        println!("{text}");
        assert_eq!(code, 0, "{text}");
    }
}

/// Splits an open shard, or merges two that lie side by side.
async fn reshard(cloud: &LocalCloud, random: &mut rand::rngs::StdRng) -> &'static str {
    let mut open = cloud.kinesis.open_shards().await;
    open.sort_by_key(|(_, first, _)| *first);
    if open.len() < OPEN_SHARDS_MAX && (open.len() < 2 || random.random_bool(0.6)) {
        let (shard, ..) = open.choose(random).expect("a shard");
        cloud.kinesis.split(shard).await;
        return "split";
    }
    let at = random.random_range(1..open.len());
    cloud.kinesis.merge(&open[at - 1].0, &open[at].0).await;
    "merge"
}

/// Waits until everything that the stream holds is folded and archived.
async fn until_done(worker: &Served) {
    let began = Instant::now();
    loop {
        let (_, text) = worker.run(&["shards", "--json"]);
        let shards: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let is_done = |shard: &Value| {
            let ended = |role: &str| shard[role]["ended"].as_bool() == Some(true);
            let at = |role: &str| shard[role]["checkpoint"].as_str().map(str::to_owned);
            let folded = ended("processor") || shard["waiting_seconds"].is_null();
            folded && (ended("archiver") || (!ended("processor") && at("archiver") == at("processor")))
        };
        if !shards.is_empty() && shards.iter().all(is_done) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "it is never done:\n{text}\n{}", worker.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// How often each event id stands in the archive, how many copies of it the state knows, under one entry, and where it
/// is archived.
async fn find(cloud: &LocalCloud) -> (BTreeMap<String, u32>, BTreeMap<String, u32>, BTreeMap<String, String>) {
    let (mut archived, mut folded, mut places) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let archive = cloud.s3.archive(None, quick_retries()).await;
    for key in archive.list("segments/").await.expect("a list") {
        let bytes = archive.get(&key).await.expect("an object").expect("it is there");
        for row in SegmentReader::open(bytes).expect("a segment").rows() {
            let row = row.expect("a row");
            let id = row.value.event.id.to_string();
            *archived.entry(id.clone()).or_default() += 1;
            places.insert(id, format!("in {key} at {}", row.sequence));
        }
    }
    let store = cloud.dynamo.store(None, quick_retries()).await;
    let mut after = None;
    loop {
        let page = store.list(&EntityFilter::default(), after.as_ref(), 500).await.expect("a page");
        for record in &page {
            for entry in &record.entries {
                let twice = folded.insert(entry.id.to_string(), entry.delivery.copies);
                assert_eq!(twice, None, "{} counts once", entry.id);
            }
        }
        match page.last() {
            Some(last) => after = Some(last.key.clone()),
            None => return (archived, folded, places),
        }
    }
}
