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

use ledgerline_tests::aws::LocalCloud;
use ledgerline_tests::aws::outcome::{everything_counts_once, how_long, reshard};
use ledgerline_tests::child::Served;
use ledgerline_tests::traffic::call;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

const WORKERS: usize = 3;
const CALLERS_PER_WORKER: usize = 4;
const SECONDS: u64 = 45;

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
    while began.elapsed() < how_long(SECONDS) {
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
    everything_counts_once(&cloud, &acknowledged, &workers[0]).await;
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
