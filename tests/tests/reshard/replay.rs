//! What replay makes of the archive of a stream that was split, merged and split again.

use ledgerline_domain::ids::EntityKey;
use ledgerline_domain::ports::{Sequenced, StoredPart};
use ledgerline_domain::record::{EntityRecord, same_but_for_revision};
use ledgerline_domain::time::UnixNanos;
use ledgerline_processor::fold_batch::Batch;
use ledgerline_replay::adjustments::{self, Closed, Period};
use ledgerline_replay::export::Cut;
use ledgerline_replay::generation::{Feed, difference, ends};
use ledgerline_replay::rebuild::{Input, Limits, Rebuilt, rebuild};
use ledgerline_replay::repair::Repair;
use ledgerline_replay::report::Report;
use ledgerline_replay::verify::verify;
use ledgerline_replay::within;

use super::*;

const PAYMENTS: usize = 60;

/// The events of all payments of which each has one in this part.
fn part(part: usize) -> impl Iterator<Item = usize> {
    (0..PAYMENTS).map(move |payment| payment * 3 + part)
}

impl World {
    async fn verify(&self, store: &MemoryStore, limits: Limits<'_>) -> Report {
        let input = Input { limits, ..Input::new(STREAM, &self.sources) };
        let shards_of = |key: &EntityKey| self.log.shards_of(key);
        verify(&*self.archive, store, &input, &shards_of, &mut |_| {}).await.unwrap()
    }

    async fn rebuild(&self, limits: Limits<'_>) -> Rebuilt {
        let input = Input { limits, ..Input::new(STREAM, &self.sources) };
        rebuild(&*self.archive, &input, &mut |_| {}).await.unwrap()
    }

    /// Fills a new generation from the archive, shard after shard.
    async fn fill(&self, children_first: bool) -> MemoryStore {
        let store = MemoryStore::new();
        let mut ends: Vec<_> = ends(&*self.archive, STREAM).await.unwrap().into_iter().collect();
        if children_first {
            ends.reverse();
        }
        for (shard, through) in ends {
            let mut feed = Feed::open(&*self.archive, STREAM, &shard, None, through).await.unwrap();
            while let Some(rows) = feed.next().await.unwrap() {
                let encoded = |row: Sequenced<ledgerline_domain::envelope::Envelope>| Sequenced {
                    sequence: row.sequence,
                    arrived_at: row.arrived_at,
                    value: row.value.encode().into(),
                };
                let rows = Arc::new(rows.into_iter().map(encoded).collect());
                let batch = Batch::read(&shard, rows, &self.sources).unwrap();
                let loaded = store.load(batch.keys()).await.unwrap();
                store.commit(batch.fold(loaded).unwrap().0).await.unwrap();
            }
        }
        store
    }

    async fn difference(&self, live: &MemoryStore, new: &MemoryStore) -> Report {
        difference(live, new, &|key: &EntityKey| self.log.shards_of(key)).await.unwrap()
    }
}

async fn stored(store: &MemoryStore) -> BTreeMap<EntityKey, Vec<u8>> {
    let page = store.stored(StoredPart::ALL, None, 10_000).await.unwrap();
    page.records.into_iter().map(|stored| (stored.key, stored.binary.into())).collect()
}

fn same(one: &BTreeMap<EntityKey, Vec<u8>>, other: &BTreeMap<EntityKey, Vec<u8>>) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|((a, one), (b, other))| a == b && same_but_for_revision(one, other))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replay_equals_live_over_splits_and_merges() {
    let world = World::new(2);
    let (store, behind) = (Arc::new(MemoryStore::new()), Arc::new(MemoryStore::new()));
    world.append(part(0)).await;
    let [_, right] = world.log.split(&ShardId::numbered(0)).unwrap();
    world.append(part(1)).await;
    world.apply(&store).await;
    world.apply(&behind).await;
    world.archive().await;
    let report = world.verify(&store, Limits::default()).await;
    assert!(report.is_clean() && report.equal == PAYMENTS as u64, "{report:#?}");
    let closed = within::positions(&*world.archive, STREAM).await.unwrap();

    // The live state is ahead of the archive on shards that the archive does not know.
    let merged = world.log.merge(&right, &ShardId::numbered(1)).unwrap();
    world.append(part(2)).await;
    world.apply(&store).await;
    let report = world.verify(&store, Limits::default()).await;
    assert!(report.is_clean() && report.ahead == PAYMENTS as u64, "{report:#?}");
    // And behind it, on shards that the state does not know.
    world.archive().await;
    let report = world.verify(&behind, Limits::default()).await;
    assert!(report.is_clean() && report.equal == PAYMENTS as u64, "{report:#?}");
    assert!(world.difference(&store, &behind).await.is_clean(), "compared where both are");

    // Copies of old events, and payments that begin now.
    world.log.split(&merged).unwrap();
    world.append(part(0).chain(PAYMENTS * 3..PAYMENTS * 3 + 30)).await;
    world.apply(&store).await;
    world.archive().await;
    let live = stored(&store).await;
    assert_eq!(live.len(), PAYMENTS + 10);
    let (one, two) = (Limits { threads: 1, ..Limits::default() }, Limits { threads: 2, ..Limits::default() });
    for limits in [one, two, Limits { memory_bytes: 20_000, ..one }, Limits { memory_bytes: 20_000, ..two }] {
        let report = world.verify(&store, limits).await;
        assert!(report.is_clean() && report.equal == live.len() as u64, "{limits:?} {report:#?}");
        assert_eq!((report.counts.events, report.counts.duplicates), (PAYMENTS as u64 * 3 + 30, PAYMENTS as u64));
        let folded: BTreeMap<EntityKey, Vec<u8>> = world
            .rebuild(limits)
            .await
            .records()
            .map(|record| record.unwrap())
            .map(|record| (record.key.clone(), record.encode_binary(Vec::new()).unwrap()))
            .collect();
        assert!(same(&live, &folded), "{limits:?}");
    }

    // A new generation by way of the feed.
    let new = world.fill(false).await;
    assert!(same(&live, &stored(&new).await));
    assert!(world.difference(&store, &new).await.is_clean());

    // Export as of a time: what the live records would say.
    let rebuilt = world.rebuild(two).await;
    let as_of = UnixNanos::from_nanos(1_790_000_001_500_000_000);
    let cut = Cut { as_of: Some(as_of), known_at: None };
    let then: Vec<EntityRecord> = rebuilt.at(cut).collect::<Result<_, _>>().unwrap();
    let records = live.values().map(|binary| EntityRecord::decode(binary).unwrap()).collect::<Vec<_>>();
    let expected: Vec<EntityRecord> =
        records.iter().filter_map(|record| cut.of(record).map(|cut| cut.into_owned())).collect();
    assert!(then.len() > 10 && then.len() < live.len(), "{} of {}", then.len(), live.len());
    assert_eq!(then.len(), expected.len());
    for (then, expected) in then.iter().zip(&expected) {
        assert_eq!((&then.key, &then.entries, &then.state), (&expected.key, &expected.entries, &expected.state));
    }

    // What a close knew: the events of parts 0 and 1.
    let shards_of = |key: &EntityKey| world.log.shards_of(key);
    let (from, until) = (UnixNanos::from_nanos(0), UnixNanos::from_nanos(i64::MAX));
    let period = Period { from, until, closed: Closed::Through(&closed, &shards_of) };
    let summary = adjustments::find(&rebuilt, &period, |_| Ok::<_, ledgerline_domain::Error>(())).unwrap();
    assert_eq!(summary.events, PAYMENTS as u64 + 30, "{summary:?}");
}

/// The wrong order loses events, which shows that the right one is needed; repair mends what it did.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn children_first_loses_events_and_repair_brings_them_back() {
    let world = World::new(1);
    let store = Arc::new(MemoryStore::new());
    world.append(part(0)).await;
    let [left, right] = world.log.split(&ShardId::numbered(0)).unwrap();
    world.append(part(1)).await;
    world.log.merge(&left, &right).unwrap();
    world.append(part(2)).await;
    world.apply(&store).await;
    world.archive().await;
    let wrong = world.fill(true).await;
    let report = world.difference(&store, &wrong).await;
    assert_eq!(report.drift_total, PAYMENTS as u64, "{report:#?}");
    let rebuilt = world.rebuild(Limits::default()).await;
    let repair = Repair {
        archive: &*world.archive,
        stream: STREAM,
        entities: &wrong,
        sources: &world.sources,
        shards_of: &|key: &EntityKey| world.log.shards_of(key),
        wanted: &|_| true,
        reinterpret: false,
        now: UnixNanos::from_nanos(HOUR),
    };
    let mended = repair.repair(&rebuilt, &mut |_| {}).await.unwrap();
    assert_eq!(
        (mended.differing, mended.repaired, mended.waiting),
        (PAYMENTS as u64, PAYMENTS as u64, 0),
        "{mended:?}"
    );
    assert!(same(&stored(&store).await, &stored(&wrong).await));
}
