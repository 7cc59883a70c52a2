//! What must hold of a small AWS after programs worked on it and were harassed: every acknowledged event is in the archive
//! and counts once in the state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledgerline_domain::ports::{Archive as _, Entities as _, EntityFilter};
use ledgerline_domain::segment::SegmentReader;
use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use super::{LocalCloud, quick_retries};
use crate::child::Served;

const OPEN_SHARDS_MAX: usize = 6;

/// `LEDGERLINE_TEST_SECONDS`, or what is enough for every run of the tests.
pub fn how_long(default_seconds: u64) -> Duration {
    let seconds = std::env::var("LEDGERLINE_TEST_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(default_seconds))
}

/// Splits an open shard, or merges two that lie side by side.
///
/// # Panics
/// When the stream cannot be resharded.
pub async fn reshard(cloud: &LocalCloud, random: &mut StdRng) -> &'static str {
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

/// Checks that all of it holds, and that `replay verify` and `archive check` find nothing.
///
/// # Panics
/// When something does not hold.
pub async fn everything_counts_once(cloud: &LocalCloud, acknowledged: &BTreeSet<usize>, program: &Served) {
    let (archived, folded, places) = find(cloud).await;
    for number in acknowledged {
        let id = format!("evt_{number:024}");
        assert!(archived.contains_key(&id), "{id} is not in the archive");
        assert!(folded.contains_key(&id), "{id} is not in the state; it was archived {:?}", places.get(&id));
    }
    let copies: u32 = archived.values().map(|copies| copies - 1).sum();
    println!("{} events archived, {copies} of them a second time after a lost answer", archived.len());
    assert_eq!(archived, folded, "each copy is seen once");
    for command in [&["replay", "verify"], &["archive", "check"]] {
        let (code, text) = program.run(command);
        println!("{text}");
        assert_eq!(code, 0, "{text}");
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
