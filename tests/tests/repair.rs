//! Repair: corrected provider files reach the past, damage of the state is undone, a working processor
//! beside it loses nothing, and what needs no repair is left alone.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::SystemClock;
use ledgerline_adapters::memory::{MemoryArchive, MemoryLog, MemoryStore};
use ledgerline_domain::ids::{EntityKey, ShardId, SourceName};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, EntityWrite, Log, Quarantine};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_processor::apply::{self, ApplySettings, Progress};
use ledgerline_processor::archiver::{ArchiverProgress, ArchiverSettings, STREAM_DEFAULT, run_archiver};
use ledgerline_replay::rebuild::{Input, rebuild};
use ledgerline_replay::repair::{Repair, RepairReport};
use ledgerline_replay::report::Report;
use ledgerline_replay::verify::verify;
use ledgerline_tests::bodies::body;
use ledgerline_tests::sealed::record;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const SHARDS: u32 = 3;

struct World {
    log: Arc<MemoryLog>,
    store: Arc<MemoryStore>,
    archive: Arc<MemoryArchive>,
    source: SourceName,
    provider: Arc<Provider>,
}

impl World {
    fn new() -> Self {
        Self {
            log: Arc::new(MemoryLog::new(SHARDS)),
            store: Arc::default(),
            archive: Arc::default(),
            source: SourceName::new("shop").unwrap(),
            provider: Arc::new(Provider::built_in("stripe").unwrap()),
        }
    }

    fn sources(&self, provider: &Arc<Provider>) -> Arc<Sources> {
        let mut sources = Sources::default();
        sources.insert(&self.source, provider.clone());
        Arc::new(sources)
    }

    async fn append(&self, events: std::ops::Range<usize>) {
        let records = events.map(|n| record(&self.provider, &self.source, &Bytes::from(body(n)))).collect();
        self.log.append(records).await.unwrap();
    }

    fn processor(&self, stop: &watch::Receiver<bool>) -> JoinHandle<ledgerline_domain::Result<()>> {
        let settings = ApplySettings { wait: Duration::from_millis(10), batch_records_max: 16, ..Default::default() };
        let sources = self.sources(&self.provider);
        tokio::spawn(apply::run(
            self.log.clone(),
            self.store.clone(),
            sources,
            settings,
            Arc::new(Progress::default()),
            stop.clone(),
        ))
    }

    async fn is_folded(&self) -> bool {
        for shard in self.log.shards() {
            if self.store.checkpoint(&shard).await.unwrap() < self.log.tip(&shard).await.unwrap() {
                return false;
            }
        }
        true
    }

    /// Folds all there is.
    async fn fold(&self) {
        let (stop, stopped) = watch::channel(false);
        let processor = self.processor(&stopped);
        while !self.is_folded().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.send(true).unwrap();
        processor.await.unwrap().unwrap();
    }

    /// Archives all there is.
    async fn archive(&self) {
        let (stop, stopped) = watch::channel(false);
        let progress = Arc::new(ArchiverProgress::default());
        let (log, archive) = (self.log.clone(), self.archive.clone());
        let settings = ArchiverSettings { flush_after: Duration::from_millis(5), ..ArchiverSettings::default() };
        let archiver =
            tokio::spawn(run_archiver(log, archive, Arc::new(SystemClock), settings, progress.clone(), stopped));
        for shard in self.log.shards() {
            let tip = self.log.tip(&shard).await.unwrap();
            while progress.positions().get(&shard).cloned() < tip {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        stop.send(true).unwrap();
        archiver.await.unwrap().unwrap();
    }

    async fn repair(&self, provider: &Arc<Provider>, write: bool) -> RepairReport {
        let sources = self.sources(provider);
        let input = Input::new(STREAM_DEFAULT, &sources);
        let rebuilt = rebuild(&*self.archive, &input, &mut |_| {}).await.unwrap();
        assert!(rebuilt.chain.is_clean(), "{:?}", rebuilt.chain.faults);
        let repair = Repair {
            archive: &*self.archive,
            stream: STREAM_DEFAULT,
            entities: &*self.store,
            sources: &sources,
            shards_of: &shards_of,
            wanted: &|_| true,
            reinterpret: true,
            now: UnixNanos::from_nanos(1),
        };
        if write { repair.repair(&rebuilt, &mut |_| {}).await } else { repair.plan(&rebuilt).await }.unwrap()
    }

    async fn verify(&self, provider: &Arc<Provider>) -> Report {
        let sources = self.sources(provider);
        let input = Input::new(STREAM_DEFAULT, &sources);
        verify(&*self.archive, &*self.store, &input, &shards_of, &mut |_| {}).await.unwrap()
    }

    async fn records(&self) -> Vec<EntityRecord> {
        self.store.list(&EntityFilter::default(), None, 100_000).await.unwrap()
    }
}

fn shards_of(key: &EntityKey) -> Vec<ShardId> {
    shard_of(key).into_iter().collect()
}

fn shard_of(key: &EntityKey) -> Option<ShardId> {
    Some(ShardId::numbered(ledgerline_adapters::partition::shard_index(key, SHARDS)))
}

/// The Stripe file with some of its text exchanged.
fn changed(exchanges: &[(&str, &str)]) -> Arc<Provider> {
    let mut text = Provider::built_in_text("stripe").unwrap().to_owned();
    for (old, new) in exchanges {
        assert!(text.contains(old), "the file says {old}");
        text = text.replace(old, new);
    }
    Arc::new(Provider::parse("stripe.toml", &text).unwrap())
}

/// A file that reads other captured sums, and one that cannot read the charges.
fn other_captures() -> Arc<Provider> {
    changed(&[
        (r#"amount = ["/data/object/amount_captured", "/data/object/amount"]"#, r#"amount = ["/created"]"#),
        (
            "kind = \"captured\"\namount = [\"/data/object/amount_received\"]",
            "kind = \"captured\"\namount = [\"/created\"]",
        ),
    ])
}

fn unreadable_charges() -> Arc<Provider> {
    changed(&[(r#"amount = ["/data/object/amount_captured", "/data/object/amount"]"#, r#"amount = ["/type"]"#)])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_file_reaches_the_past_and_the_difference_is_told_in_money() {
    let world = World::new();
    world.append(0..600).await;
    world.fold().await;
    world.archive().await;
    let right = world.provider.clone();
    assert_eq!(world.repair(&right, true).await.differing, 0, "nothing to do");

    let other = other_captures();
    let plan = world.repair(&other, false).await;
    assert_eq!((plan.compared, plan.differing, plan.repaired), (200, 200, 0));
    let captured = plan.money.iter().find(|m| m.figure == "captured").unwrap();
    let paid: i128 = (0..200).map(|payment| 100 + payment).sum();
    assert_eq!(captured.live, paid);
    assert_ne!(captured.archive, paid);
    assert!(world.verify(&right).await.is_clean(), "a plan changes nothing");

    let done = world.repair(&other, true).await;
    assert_eq!((done.differing, done.repaired, done.waiting), (200, 200, 0));
    assert_eq!(done.money, plan.money);
    assert!(world.verify(&other).await.is_clean());
    assert!(!world.verify(&right).await.is_clean());
    // And back again.
    assert_eq!(world.repair(&right, true).await.repaired, 200);
    assert!(world.verify(&right).await.is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_no_longer_be_read_is_parked_and_what_can_be_again_is_released() {
    let world = World::new();
    world.append(0..60).await;
    world.fold().await;
    world.archive().await;
    let done = world.repair(&unreadable_charges(), true).await;
    assert_eq!((done.repaired, done.parked, done.released), (20, 20, 0));
    assert!(world.verify(&unreadable_charges()).await.is_clean());
    let parked = world.store.quarantined(false, None, 100).await.unwrap();
    assert_eq!(parked.len(), 20);
    assert!(parked.iter().all(|item| item.source == world.source && !item.envelope.is_empty()), "{parked:?}");
    assert!(world.records().await.iter().all(EntityRecord::needs_attention));

    let done = world.repair(&world.provider, true).await;
    assert_eq!((done.repaired, done.parked, done.released), (20, 0, 20));
    assert!(world.verify(&world.provider).await.is_clean());
    assert!(world.store.quarantined(false, None, 100).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_of_the_state_is_undone_and_the_rest_is_not_touched() {
    let world = World::new();
    world.append(0..300).await;
    world.fold().await;
    world.archive().await;
    let sound = world.records().await;
    for record in sound.iter().step_by(7) {
        let mut record = record.clone();
        let expected_revision = record.revision;
        record.entries.pop();
        record.folded = record.entries.len();
        record.revision += 1;
        let shard = shard_of(&record.key).unwrap();
        let checkpoint = world.store.checkpoint(&shard).await.unwrap().unwrap();
        let writes = vec![EntityWrite { record, expected_revision }];
        world.store.commit(Commit { shard, checkpoint, writes, parked: Vec::new() }).await.unwrap();
    }
    let damaged = u64::try_from(sound.iter().step_by(7).count()).unwrap();
    assert_eq!(world.verify(&world.provider).await.drift_total, damaged);
    let done = world.repair(&world.provider, true).await;
    assert_eq!((done.differing, done.repaired), (damaged, damaged));
    assert!(world.verify(&world.provider).await.is_clean());
    for (before, after) in sound.iter().zip(world.records().await) {
        assert_eq!(before.canonical(), after.canonical());
        let written = if before.key == after.key { after.revision - before.revision } else { u64::MAX };
        assert!(written == 0 || written == 2, "only what was damaged was written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entities_without_a_live_record_are_made_again() {
    let world = World { store: Arc::default(), ..World::new() };
    world.append(0..90).await;
    world.archive().await;
    for shard in world.log.shards() {
        let checkpoint = world.log.tip(&shard).await.unwrap().unwrap();
        let nothing = Commit { shard, checkpoint, writes: Vec::new(), parked: Vec::new() };
        world.store.commit(nothing).await.unwrap();
    }
    assert_eq!(world.verify(&world.provider).await.missing_in_live_total, 30);
    assert_eq!(world.repair(&world.provider, true).await.repaired, 30);
    assert!(world.verify(&world.provider).await.is_clean());
}

/// The other file's processor works all the time; repairs with the right file race with it for the same
/// records. In the end the right processor folds the rest and one more repair leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn beside_a_working_processor_nothing_is_lost() {
    let mut world = World::new();
    let right = world.provider.clone();
    let mut waited = 0;
    for round in 0..6 {
        world.provider = if round < 5 { other_captures() } else { right.clone() };
        let (stop, stopped) = watch::channel(false);
        let processor = world.processor(&stopped);
        let begin = round * 300;
        for at in (begin..begin + 300).step_by(30) {
            world.append(at..at + 29).await;
            if at % 90 == 0 {
                world.archive().await;
            }
            // The last event of a payment comes when the others are archived; time for the processor.
            world.append(at + 29..at + 30).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            waited += world.repair(&right, true).await.waiting;
        }
        while !world.is_folded().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        stop.send(true).unwrap();
        processor.await.unwrap().unwrap();
    }
    assert!(waited > 0, "the test must meet entities with events that are not archived");
    world.archive().await;
    let last = world.repair(&right, true).await;
    assert_eq!(last.waiting, 0);
    let report = world.verify(&right).await;
    assert!(report.is_clean(), "{report:#?}");
    let events: usize = world.records().await.iter().map(|record| record.entries.len()).sum();
    assert_eq!(events, 1800, "every event once");
}
