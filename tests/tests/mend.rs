//! `replay redrive` and `replay repair` with the real program: the log gets its originals again and the
//! state stays what it is; a corrected provider file reaches the past. With interrupts and kills.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ledgerline_adapters::embedded::EmbeddedReader;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::provider::Provider;
use ledgerline_domain::segment::SegmentReader;
use ledgerline_tests::child::Served;
use ledgerline_tests::traffic::call;
use serde_json::Value;

fn program() -> &'static str {
    env!("CARGO_BIN_EXE_ledgerline-under-test")
}

/// Sends events until `count` are acknowledged.
fn traffic(served: &Served, next: &Arc<AtomicUsize>, count: usize) {
    let (acknowledged, stop) = (Arc::<Mutex<BTreeSet<usize>>>::default(), Arc::<AtomicBool>::default());
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (address, next) = (served.address.clone(), next.clone());
            let (acknowledged, stop) = (acknowledged.clone(), stop.clone());
            std::thread::spawn(move || call(&address, &next, &acknowledged, &stop, Duration::from_millis(1)))
        })
        .collect();
    while acknowledged.lock().unwrap().len() < count {
        std::thread::sleep(Duration::from_millis(5));
    }
    stop.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

fn run(served: &Served, code: i32, arguments: &[&str]) -> String {
    let (got, text) = served.run(arguments);
    assert_eq!(got, code, "{arguments:?}: {text}");
    text
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The state of every entity, as it is read.
fn state(served: &Served) -> Vec<Value> {
    lines(&run(served, 0, &["list", "--json", "--limit", "100000"]))
}

/// Waits until archive and state have all of so many records.
fn settle(served: &Served, records: u64) {
    let began = Instant::now();
    loop {
        let (code, text) = served.run(&["replay", "verify", "--json"]);
        let report: Value = serde_json::from_str(&text).unwrap_or_default();
        let counted = report["counts"]["records"].as_u64().unwrap_or(0);
        if code == 0 && counted >= records && report["ahead"] == 0 && report["not_yet_archived"] == 0 {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it does not settle: {code} {text}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn records(served: &Served) -> u64 {
    let report: Value = serde_json::from_str(&run(served, 0, &["replay", "verify", "--json"])).unwrap();
    report["counts"]["records"].as_u64().unwrap()
}

/// Archived records by the run that appended them.
fn archived(served: &Served) -> Vec<Option<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let reader = EmbeddedReader::open(&served.data).await.unwrap();
        let mut found = Vec::new();
        for key in reader.archive.list("segments/").await.unwrap() {
            let object = reader.archive.get(&key).await.unwrap().unwrap();
            let rows = SegmentReader::open(object).unwrap().rows();
            found.extend(rows.map(|row| row.unwrap().value.redrive_run.map(|run| run.to_string())));
        }
        found
    })
}

/// Interrupts a redrive once something of it is noted; gives the name of its run.
fn interrupted(served: &Served, rate: &str) -> String {
    let before = lines(&run(served, 0, &["replay", "runs", "--json"])).len();
    let mut child = served.spawn(&["replay", "redrive", "--yes", "--rate", rate, "--reason", "a test"]);
    let began = Instant::now();
    let name = loop {
        assert!(began.elapsed() < Duration::from_secs(60), "the run makes no progress");
        std::thread::sleep(Duration::from_millis(100));
        let runs = lines(&run(served, 0, &["replay", "runs", "--json"]));
        if runs.len() > before && runs[0]["progress"]["events"].as_u64().is_some_and(|events| events > 0) {
            break runs[0]["id"].as_str().unwrap().to_owned();
        }
    };
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    name
}

#[test]
fn a_redrive_survives_interrupts_and_changes_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::prepare(program(), folder.path());
    served.start();
    served.wait_ready();
    traffic(&served, &Arc::default(), 600);
    settle(&served, 600);
    let (before, originals) = (state(&served), records(&served));

    let plan = lines(&run(&served, 0, &["replay", "redrive", "--dry-run", "--json"]));
    assert_eq!(plan[0]["plan"]["data"]["events"].as_u64(), Some(originals));
    let none = run(&served, 0, &["replay", "redrive", "--dry-run", "--json", "--to", "2020-01-01"]);
    assert_eq!(lines(&none)[0]["plan"]["data"]["events"], 0);
    assert!(run(&served, 2, &["replay", "redrive", "--json"]).contains("--yes"), "nobody can be asked");
    assert_eq!(records(&served), originals, "a plan appends nothing");

    let name = interrupted(&served, "100");
    // The server is killed while the run goes on; what was not written down is appended once more.
    let mut resumed = served.spawn(&["replay", "redrive", "--yes", "--resume", &name]);
    std::thread::sleep(Duration::from_millis(1500));
    served.kill();
    let _ = resumed.kill();
    let _ = resumed.wait();
    served.start();
    served.wait_ready();
    let said = run(&served, 0, &["replay", "redrive", "--yes", "--resume", &name]);
    assert!(said.contains("the state does not change"), "{said}");
    run(&served, 5, &["replay", "redrive", "--yes", "--resume", &name]);
    settle(&served, 2 * originals);
    assert_eq!(state(&served), before);
    let copies = archived(&served).iter().filter(|run| run.as_ref() == Some(&name)).count() as u64;
    assert!((originals..originals + 500).contains(&copies), "{copies} copies of {originals}");

    // A second run appends the originals again, not the copies of the first. No server runs this time.
    served.stop();
    run(&served, 0, &["replay", "redrive", "--yes", "--rate", "100000", "--type", "charge.*"]);
    served.start();
    served.wait_ready();
    settle(&served, originals + copies + 1);
    assert_eq!(state(&served), before);
    let runs = lines(&run(&served, 0, &["replay", "runs", "--json"]));
    assert_eq!(
        (&runs[0]["status"], &runs[1]["status"], &runs[1]["reason"]),
        (&"done".into(), &"done".into(), &"a test".into())
    );
    let appended = runs[0]["result"]["events"].as_u64().unwrap();
    assert!(appended > 0 && appended < originals / 2, "a third of the events are charges: {appended}");
    assert_eq!(runs[0]["result"]["copies"].as_u64().unwrap() % appended, 0);
    served.stop();
}

#[test]
fn a_corrected_file_reaches_the_past_by_repair() {
    let folder = tempfile::tempdir().unwrap();
    let mut served = Served::prepare(program(), folder.path());
    served.start();
    served.wait_ready();
    let next = Arc::default();
    traffic(&served, &next, 200);
    settle(&served, 200);
    assert!(run(&served, 0, &["replay", "repair", "--yes"]).contains("nothing to repair"));

    let correction = "\n[[fact]]\ntypes = [\"charge.succeeded\"]\nkind = \"fee\"\n\
                      amount = [\"/data/object/amount_captured\"]\ncurrency = [\"/data/object/currency\"]\n";
    let text = Provider::built_in_text("stripe").unwrap().to_owned() + correction;
    std::fs::write(folder.path().join("stripe.toml"), text).unwrap();
    let settings = std::fs::read_to_string(&served.settings).unwrap();
    let named = settings.replacen("[limits]", "providers = [\"stripe.toml\"]\n[limits]", 1);
    std::fs::write(&served.settings, named).unwrap();
    // The running server reads the old way.
    assert!(run(&served, 5, &["replay", "repair", "--reinterpret", "--yes"]).contains("restart `serve`"));
    served.stop();
    served.start();
    served.wait_ready();
    traffic(&served, &next, 60);
    std::thread::sleep(Duration::from_secs(2));
    run(&served, 3, &["replay", "verify"]);

    let left = lines(&run(&served, 0, &["replay", "repair", "--json", "--dry-run"]));
    let found = &left[0]["plan"]["data"]["found"];
    assert!(found["differing"] == 0 && found["read_otherwise"].as_u64().unwrap() > 50, "{found}");
    let plan = lines(&run(&served, 0, &["replay", "repair", "--reinterpret", "--json", "--dry-run"]));
    let money = &plan[0]["plan"]["data"]["found"]["money"][0];
    assert_eq!((&money["figure"], &money["currency"]), (&"fees".into(), &"EUR".into()), "{money}");
    let narrow =
        ["replay", "repair", "--reinterpret", "--json", "--dry-run", "--type", "charge.*", "--source", "ledger"];
    assert_eq!(lines(&run(&served, 0, &narrow))[0]["plan"]["data"]["found"]["compared"], 0);

    let mut code = served.run(&["replay", "repair", "--reinterpret", "--yes", "--reason", "fees"]).0;
    // Entities with events that are not archived yet come later.
    for _ in 0..30 {
        if code == 0 {
            break;
        }
        assert_eq!(code, 6);
        std::thread::sleep(Duration::from_secs(1));
        code = served.run(&["replay", "repair", "--reinterpret", "--yes"]).0;
    }
    run(&served, 0, &["replay", "verify"]);
    let fees = state(&served)
        .iter()
        .filter(|entity| entity["state"]["fees"].is_string() || !entity["state"].is_null())
        .count();
    assert!(fees > 0);
    served.stop();
}
