//! A new generation beside the live one, with the real program: rebuilt with a changed provider file while
//! payments come in all the time, promoted, rolled back, promoted again, the old one retired; and all of
//! that with processes killed at random moments. After every step the replay agrees with the state, and at
//! the end every acknowledged event is in every generation exactly once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use ledgerline_adapters::embedded::{EmbeddedReader, EmbeddedStore};
use ledgerline_domain::ports::{Entities, EntityFilter};
use ledgerline_domain::provider::Provider;
use ledgerline_tests::bodies::EVENTS_PER_PAYMENT;
use ledgerline_tests::child::Served;
use ledgerline_tests::traffic::call;
use rand::{RngExt, SeedableRng};
use serde_json::Value;

const CALLERS: usize = 3;
/// Between two payments' events of one caller: the traffic never stops, and leaves the machine room.
const PAUSE: Duration = Duration::from_millis(25);

/// What the corrected file adds: a created intent counts as being processed, and a charge costs what it
/// captures.
const CORRECTION: &str = r#"
[[fact]]
types = ["payment_intent.created"]
kind = "processing"

[[fact]]
types = ["charge.succeeded"]
kind = "fee"
amount = ["/data/object/amount_captured"]
currency = ["/data/object/currency"]
"#;

/// Payments that come in all the time.
struct Traffic {
    next: Arc<AtomicUsize>,
    acknowledged: Arc<Mutex<BTreeSet<usize>>>,
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<()>>,
}

impl Traffic {
    fn start(served: &Served) -> Self {
        let (next, acknowledged, stop) = (Arc::default(), Arc::default(), Arc::default());
        let mut traffic = Self { next, acknowledged, stop, callers: Vec::new() };
        for _ in 0..CALLERS {
            let (address, next) = (served.address.clone(), traffic.next.clone());
            let (acknowledged, stop) = (traffic.acknowledged.clone(), traffic.stop.clone());
            let caller = std::thread::spawn(move || call(&address, &next, &acknowledged, &stop, PAUSE));
            traffic.callers.push(caller);
        }
        traffic
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().expect("not poisoned").len()
    }

    fn end(self) -> BTreeSet<usize> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.join().expect("no panic");
        }
        self.acknowledged.lock().expect("not poisoned").clone()
    }
}

/// Writes the correction beside the settings and names it there; who runs already keeps what it read.
fn correct(served: &Served) {
    let text = Provider::built_in_text("stripe").expect("built in").to_owned() + CORRECTION;
    std::fs::write(served.settings.with_file_name("stripe.toml"), text).expect("a provider file");
    let settings = std::fs::read_to_string(&served.settings).expect("settings");
    let named = settings.replacen("[limits]", "providers = [\"stripe.toml\"]\n[limits]", 1);
    std::fs::write(&served.settings, named).expect("settings");
}

fn done(served: &Served, arguments: &[&str]) -> String {
    let (code, text) = served.run(arguments);
    assert_eq!(code, 0, "{arguments:?}: {text}");
    text
}

/// The archive folds to the live state.
fn verified(served: &Served) {
    done(served, &["replay", "verify"]);
}

/// Number and status of each generation.
fn generations(served: &Served) -> Vec<(u64, String)> {
    let text = done(served, &["replay", "generations", "--json"]);
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .map(|g| (g["generation"].as_u64().expect("a number"), g["status"].as_str().expect("a status").to_owned()))
        .collect()
}

fn statuses(served: &Served) -> Vec<String> {
    generations(served).into_iter().map(|(_, status)| status).collect()
}

/// The amount of payment `number`, as the bodies have it.
fn amount(number: usize) -> i64 {
    i64::try_from(100 + number % 90_000).expect("small")
}

/// What the plan of the rebuild says is what the correction does: for each payment by itself, and in sum.
fn expect_difference(difference: &Value) {
    let changed = difference["changed"].as_u64().expect("a number");
    let entities = difference["entities"].as_array().expect("a list");
    assert!(changed > 10 && changed == entities.len() as u64, "{changed} changed, {} named", entities.len());
    let mut fees = 0;
    let mut statuses: BTreeMap<(String, String), u64> = BTreeMap::new();
    for entity in entities {
        let key = entity["entity"].as_str().expect("a key");
        let number: usize = key.rsplit('_').next().and_then(|n| n.parse().ok()).expect("a number");
        for money in entity["money"].as_array().expect("a list") {
            assert_eq!((&money["figure"], &money["currency"]), (&"fees".into(), &"EUR".into()), "{entity}");
            assert_eq!(money["change"].as_i64(), Some(amount(number)), "{entity}");
            fees += amount(number);
        }
        if let Some(status) = entity["status"].as_object() {
            let name = |side: &str| status[side].as_str().expect("a status").to_owned();
            *statuses.entry((name("live"), name("new"))).or_default() += 1;
        }
    }
    assert!(fees > 0);
    let sum = &difference["money"][0];
    assert_eq!((sum["live"].as_i64(), sum["change"].as_i64(), sum["new"].as_i64()), (Some(0), Some(fees), Some(fees)));
    assert_eq!(difference["money"].as_array().map(Vec::len), Some(1), "{}", difference["money"]);
    let told: BTreeMap<(String, String), u64> = difference["statuses"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| {
            let name = |side: &str| s[side].as_str().expect("a status").to_owned();
            ((name("live"), name("new")), s["entities"].as_u64().expect("a number"))
        })
        .collect();
    assert_eq!(told, statuses);
}

/// Each event id of a generation with how often it counts.
async fn folded(store: &EmbeddedStore) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    let mut after = None;
    loop {
        let page = store.list(&EntityFilter::default(), after.as_ref(), 500).await.expect("a page");
        let Some(last) = page.last() else { return found };
        after = Some(last.key.clone());
        for entry in page.iter().flat_map(|record| &record.entries) {
            *found.entry(entry.id.to_string()).or_default() += entry.delivery.copies;
        }
    }
}

/// Every acknowledged event is in every complete generation, exactly once, and all hold the same events.
fn exactly_once_everywhere(data: &Path, acknowledged: &BTreeSet<usize>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        loop {
            let reader = EmbeddedReader::open(data).await.expect("it opens");
            let mut all = Vec::new();
            for generation in reader.control.generations().await.expect("a list") {
                if generation.status.is_complete() {
                    let store = reader.generation(generation.number).await.expect("it opens");
                    all.push((generation.number, folded(&store).await));
                }
            }
            let lacks = |found: &BTreeMap<String, u32>| {
                acknowledged.iter().map(|n| format!("evt_{n:024}")).find(|id| found.get(id) != Some(&1))
            };
            let first = all.iter().find_map(|(number, found)| Some((*number, lacks(found)?)));
            if first.is_none() && all.windows(2).all(|pair| pair[0].1 == pair[1].1) {
                assert!(all.iter().all(|(_, found)| found.values().all(|copies| *copies == 1)));
                println!("{} acknowledged events in {} generations", acknowledged.len(), all.len());
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "generation and event: {first:?}");
            sleep(Duration::from_millis(200));
        }
    });
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} does not come");
        sleep(Duration::from_millis(50));
    }
}

/// Must show 2 of the replay engine.
#[test]
fn a_corrected_provider_file_goes_live_and_back_under_traffic() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut served = Served::prepare(env!("CARGO_BIN_EXE_ledgerline-under-test"), dir.path());
    served.start();
    served.wait_ready();
    let traffic = Traffic::start(&served);
    let more = |events: usize| {
        let before = traffic.acknowledged();
        wait_for("traffic", || traffic.acknowledged() >= before + events);
    };
    more(100);
    // So many of them are archived that the plan has something to say.
    wait_for("the archive", || {
        let (code, text) = served.run(&["replay", "verify", "--json"]);
        let report: Value = serde_json::from_str(&text).unwrap_or_default();
        code == 0 && report["entities"].as_u64() >= Some(25)
    });
    correct(&served);
    verified(&served);

    let plan = done(&served, &["replay", "rebuild", "--dry-run", "--json"]);
    let plan: Value = serde_json::from_str(plan.lines().next().expect("a line")).expect("JSON");
    expect_difference(&plan["plan"]["data"]["difference"]);
    assert_eq!(statuses(&served), ["live"], "a dry run makes nothing");

    println!("{}", done(&served, &["replay", "rebuild", "--yes", "--reason", "a charge has a fee"]));
    verified(&served);
    let showed = |served: &Served| done(served, &["show", &format!("shop/payment/pi_{:024}", 1)]);
    assert!(!showed(&served).contains("fees"));
    more(50);

    println!("{}", done(&served, &["replay", "promote", "--yes"]));
    assert_eq!(statuses(&served), ["previous", "live"]);
    verified(&served);
    assert!(showed(&served).contains("fees"), "{}", showed(&served));
    more(50);
    verified(&served);

    println!("{}", done(&served, &["replay", "rollback", "--yes"]));
    assert_eq!(statuses(&served), ["live", "previous"]);
    verified(&served);
    assert!(!showed(&served).contains("fees"));
    more(50);

    done(&served, &["replay", "promote", "--yes"]);
    verified(&served);
    more(50);
    let (code, text) = served.run(&["replay", "retire", "--generation", "2", "--yes"]);
    assert_eq!(code, 5, "the live one: {text}");

    let acknowledged = traffic.end();
    assert!(acknowledged.len() > 300 && acknowledged.len() / EVENTS_PER_PAYMENT < 90_000);
    exactly_once_everywhere(&served.data, &acknowledged);
    done(&served, &["replay", "retire", "--yes"]);
    assert_eq!(statuses(&served), ["retired", "live"]);
    assert!(!served.data.join("state/generation-0001.db").exists());
    verified(&served);
    // A restart reads the corrected file, which is what the live generation is folded with already.
    served.stop();
    served.start();
    served.wait_ready();
    verified(&served);
    let runs = done(&served, &["replay", "runs"]);
    assert!(runs.contains("a charge has a fee") && runs.contains("-promote-") && runs.contains("-retire-"), "{runs}");
    served.stop();
    verified(&served);
    exactly_once_everywhere(&served.data, &acknowledged);
}

#[test]
fn kills_at_any_moment_leave_one_live_generation_and_every_event_in_each() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut served = Served::prepare(env!("CARGO_BIN_EXE_ledgerline-under-test"), dir.path());
    let mut random = rand::rngs::StdRng::seed_from_u64(rand::random());
    served.start();
    served.wait_ready();
    let traffic = Traffic::start(&served);
    wait_for("traffic", || traffic.acknowledged() >= 200);
    wait_for("the archive", || served.run(&["replay", "verify"]).0 == 0);
    correct(&served);

    // The rebuild dies again and again, slowed so that it dies in the middle of it.
    let mut killed = 0;
    while !statuses(&served).contains(&"ready".to_owned()) {
        let building = generations(&served).into_iter().find(|(_, status)| status == "building");
        let number = building.map(|(number, _)| number.to_string());
        let mut arguments = vec!["replay", "rebuild", "--yes"];
        if killed < 12 {
            arguments.extend(["--rate", "150"]);
        }
        if let Some(number) = &number {
            arguments.extend(["--generation", number]);
        }
        if killed >= 12 {
            done(&served, &arguments);
            break;
        }
        let mut child = served.spawn(&arguments);
        sleep(Duration::from_millis(random.random_range(20..700)));
        child.kill().expect("killed");
        child.wait().expect("it ended");
        killed += 1;
        assert_eq!(statuses(&served).iter().filter(|status| *status == "live").count(), 1);
    }
    assert_eq!(statuses(&served).len(), 2, "it went on with the one that it had begun");
    verified(&served);

    // The server dies around the switch, there and back.
    let (mut moved, mut live) = (0, 1);
    for _ in 0..12 {
        let mut switch =
            served.spawn(&["replay", if live == 1 { "promote" } else { "rollback" }, "--yes", "--wait", "2"]);
        sleep(Duration::from_millis(random.random_range(0..1500)));
        served.kill();
        served.start_when_free();
        switch.wait().expect("it ended");
        let now = generations(&served);
        let lives: Vec<u64> = now.iter().filter(|(_, status)| status == "live").map(|(n, _)| *n).collect();
        assert_eq!(lives.len(), 1, "{now:?}");
        assert_eq!(now.len(), 2);
        moved += u32::from(lives[0] != live);
        live = lives[0];
    }
    println!("{killed} kills of the rebuild, 12 of the server; the live mark moved {moved} times");
    verified(&served);
    let acknowledged = traffic.end();
    exactly_once_everywhere(&served.data, &acknowledged);
    // Both generations are what the archive folds to, each with its own files.
    wait_for("the archive", || served.run(&["replay", "verify"]).0 == 0);
    done(&served, &["replay", if live == 1 { "promote" } else { "rollback" }, "--yes"]);
    verified(&served);
    served.stop();
    verified(&served);
}
