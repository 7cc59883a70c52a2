//! I1 acknowledged is kept: the serving process is killed with SIGKILL at random moments under load,
//! again and again; afterwards every acknowledged event is in the archive and in the state exactly
//! once, the chain is whole and the replay agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ledgerline_adapters::embedded::EmbeddedReader;
use ledgerline_domain::ports::{Archive, Entities, EntityFilter};
use ledgerline_domain::segment::SegmentReader;
use ledgerline_tests::child::Served;
use ledgerline_tests::traffic::call;
use rand::{RngExt, SeedableRng};

const KILLS: usize = 50;
const CALLERS: usize = 8;

#[test]
fn i1_acknowledged_is_kept_through_fifty_kills() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut served = Served::prepare(env!("CARGO_BIN_EXE_ledgerline-under-test"), dir.path());
    let mut random = rand::rngs::StdRng::seed_from_u64(rand::random());
    let (next, acknowledged, stop) =
        (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(BTreeSet::new())), Arc::new(AtomicBool::new(false)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (address, next, acknowledged, stop) =
                (served.address.clone(), next.clone(), acknowledged.clone(), stop.clone());
            std::thread::spawn(move || call(&address, &next, &acknowledged, &stop, Duration::ZERO))
        })
        .collect();
    for _ in 0..KILLS {
        served.start();
        served.wait_ready();
        std::thread::sleep(Duration::from_millis(random.random_range(5..250)));
        served.kill();
    }
    // Once more, whole: it takes up what the crashes left and ends in good order.
    served.start();
    served.wait_ready();
    std::thread::sleep(Duration::from_millis(200));
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().expect("no panic");
    }
    std::thread::sleep(Duration::from_secs(2));
    served.stop();

    let acknowledged = acknowledged.lock().expect("not poisoned").clone();
    let sent = next.load(Ordering::Relaxed);
    println!("{KILLS} kills, {sent} sent, {} acknowledged", acknowledged.len());
    assert!(acknowledged.len() > KILLS * 10, "the load was too small to prove anything: {}", acknowledged.len());

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (archived, folded) = runtime.block_on(find(&served));
    for number in &acknowledged {
        let id = format!("evt_{number:024}");
        assert_eq!(archived.get(&id), Some(&1), "{id} in the archive");
        assert_eq!(folded.get(&id), Some(&1), "{id} in the state");
    }
    // What was never answered may be there, but not twice and not in one place only.
    assert_eq!(archived, folded);
    assert!(archived.values().all(|copies| *copies == 1));
    assert!(archived.len() <= sent);
    let (code, text) = served.run(&["replay", "verify"]);
    assert_eq!(code, 0, "{text}");
    println!("{text}");
}

/// How often each event id stands in the archive, and in the state.
async fn find(served: &Served) -> (BTreeMap<String, u32>, BTreeMap<String, u32>) {
    let reader = EmbeddedReader::open(&served.data).await.expect("it opens");
    let (mut archived, mut folded) = (BTreeMap::new(), BTreeMap::new());
    for key in reader.archive.list("segments/").await.expect("a list") {
        let Some(object) = reader.archive.get(&key).await.expect("an object") else { continue };
        if !key.ends_with(".parquet") {
            continue;
        }
        let segment = SegmentReader::open(object).expect("a segment");
        for row in segment.rows() {
            *archived.entry(row.expect("a row").value.event.id.to_string()).or_default() += 1;
        }
    }
    let mut after = None;
    loop {
        let page = reader.store.list(&EntityFilter::default(), after.as_ref(), 500).await.expect("a page");
        let Some(last) = page.last() else { return (archived, folded) };
        after = Some(last.key.clone());
        for entry in page.iter().flat_map(|record| &record.entries) {
            *folded.entry(entry.id.to_string()).or_default() += entry.delivery.copies;
        }
    }
}
