//! Shards applied on demand over DynamoDB with faults: by many at once, children before parents, up to any record, for
//! moments, cut off in the middle. The state and the quarantine are those of one worker that nothing happens to.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::aws::dynamo::DynamoStore;
use ledgerline_adapters::memory::{MemoryLog, MemoryStore};
use ledgerline_domain::ErrorKind;
use ledgerline_domain::ids::{ShardId, SourceName};
use ledgerline_domain::ports::{Appended, Entities, Log};
use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_processor::apply::{Applier, ApplySettings, OnDemand, Progress};
use ledgerline_tests::alone::{as_alone, contradiction};
use ledgerline_tests::aws::{Faults, LocalDynamo, quick_retries, short_retries};
use ledgerline_tests::bodies::body;
use ledgerline_tests::sealed::record;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::Instant;

const EVENTS: usize = 600;
const CALLERS: u64 = 4;

/// What the callers have in common.
struct Stage {
    log: Arc<MemoryLog>,
    dynamo: LocalDynamo,
    calm: DynamoStore,
    sources: Arc<Sources>,
    appended: Mutex<Vec<Appended>>,
    stop: AtomicBool,
    reached: AtomicU32,
    short: AtomicU32,
}

impl Stage {
    async fn on_demand(&self, faults: Option<&Faults>) -> OnDemand<MemoryLog, DynamoStore> {
        let settings = ApplySettings {
            batch_records_max: 13,
            wait: Duration::from_millis(5),
            cache_records: 16,
            backoff: (Duration::from_millis(1), Duration::from_millis(5)),
            ..ApplySettings::default()
        };
        let store =
            Arc::new(self.dynamo.store(faults, if faults.is_some() { short_retries() } else { quick_retries() }).await);
        let progress = Arc::new(Progress::default());
        OnDemand::new(Arc::new(Applier::new(self.log.clone(), store, self.sources.clone(), settings, progress)))
    }
}

/// Who wakes it may know a child before the log lists it with its parents. Folded without them, it would lose theirs.
#[tokio::test]
async fn a_shard_that_is_not_listed_yet_is_waited_for() {
    let (log, store) = (Arc::new(MemoryLog::new(2)), Arc::new(MemoryStore::default()));
    let applier = Applier::new(log, store, Arc::default(), ApplySettings::default(), Arc::default());
    let mut on_demand = OnDemand::new(Arc::new(applier));
    let until = Instant::now() + Duration::from_millis(100);
    let reached = on_demand.apply(&ShardId::new("of tomorrow"), None, until).await;
    let short = reached.short.expect("it is not there");
    assert_eq!((short.kind(), reached.checkpoint), (ErrorKind::Retry, None), "{short}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_and_cut_off_they_lose_nothing() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Arc::new(Provider::built_in("stripe").expect("stripe is built in"));
    let mut sources = Sources::default();
    sources.insert(&source, provider.clone());
    let dynamo = LocalDynamo::start().await;
    let stage = Arc::new(Stage {
        log: Arc::new(MemoryLog::new(2)),
        calm: dynamo.store(None, quick_retries()).await,
        dynamo,
        sources: Arc::new(sources),
        appended: Mutex::default(),
        stop: AtomicBool::new(false),
        reached: AtomicU32::new(0),
        short: AtomicU32::new(0),
    });
    let callers: Vec<_> = (0..CALLERS).map(|n| tokio::spawn(call(stage.clone(), seed.wrapping_add(n)))).collect();

    let mut bodies: Vec<String> = (0..EVENTS).map(body).collect();
    bodies.extend((0..EVENTS / 5).map(|_| body(random.random_range(0..EVENTS))));
    bodies.extend((0..EVENTS / 20).map(|_| contradiction(random.random_range(0..EVENTS))));
    bodies.shuffle(&mut random);
    for chunk in bodies.chunks(25) {
        let record = |body: &String| record(&provider, &source, &Bytes::from(body.clone()));
        let appended = stage.log.append(chunk.iter().map(record).collect()).await.expect("appended");
        stage.appended.lock().expect("not poisoned").extend(appended);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let lineage = stage.log.lineage().await.expect("shards");
        let mut open: Vec<_> = lineage.iter().filter(|shard| !shard.closed).collect();
        open.sort_by_key(|shard| shard.hash_range);
        match random.random_range(0..4) {
            0 if open.len() < 6 => {
                drop(stage.log.split(&open[random.random_range(0..open.len())].id).expect("a split"))
            }
            1 if open.len() > 1 => {
                let at = random.random_range(1..open.len());
                stage.log.merge(&open[at - 1].id, &open[at].id).expect("a merge");
            }
            _ => {}
        }
    }
    // On a slow machine the calls go on until they had their turns.
    let counts = || (stage.reached.load(Ordering::Relaxed), stage.short.load(Ordering::Relaxed));
    let patience = Instant::now() + Duration::from_secs(60);
    while counts().0.min(counts().1) <= 5 && Instant::now() < patience {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stage.stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.expect("no panic");
    }
    let (reached, short) = counts();
    println!("{} shards, {reached} calls that reached their record, {short} that did not", stage.log.shards().len());
    assert!(reached > 5 && short > 5, "there was some of both");

    let mut last = stage.on_demand(None).await;
    for shard in stage.log.shards() {
        let reached = last.apply(&shard, None, Instant::now() + Duration::from_secs(20)).await;
        assert!(reached.short.is_none(), "seed {seed}: {reached:?}");
        assert!(reached.checkpoint >= stage.log.tip(&shard).await.expect("a tip"), "seed {seed}: {reached:?}");
    }
    as_alone(&stage.calm, &stage.log, &stage.sources, EVENTS, &format!("seed {seed}")).await;
}

/// Asks for shards up to some record of them, the newest more often, as long as the test runs.
async fn call(stage: Arc<Stage>, seed: u64) {
    let mut random = rand::rngs::StdRng::seed_from_u64(seed);
    let faults = Faults::by_chance(seed, 10);
    let mut on_demand = stage.on_demand(Some(&faults)).await;
    while !stage.stop.load(Ordering::Relaxed) {
        let asked = {
            let appended = stage.appended.lock().expect("not poisoned");
            let recent = &appended[appended.len().saturating_sub(60)..];
            recent.choose(&mut random).cloned()
        };
        let Some(Appended { shard, sequence }) = asked else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        if random.random_bool(0.1) {
            on_demand = stage.on_demand(Some(&faults)).await;
        }
        let until = Instant::now() + Duration::from_millis(random.random_range(2..200));
        let work = on_demand.apply(&shard, Some(&sequence), until);
        let killed = tokio::time::sleep(Duration::from_millis(random.random_range(20..400)));
        let reached = tokio::select! {
            reached = work => reached,
            () = killed => continue,
        };
        match &reached.short {
            None => {
                assert!(reached.checkpoint.as_ref() >= Some(&sequence), "{reached:?}");
                stage.reached.fetch_add(1, Ordering::Relaxed);
            }
            Some(error) => {
                assert_eq!(error.kind(), ErrorKind::Retry, "{error}");
                stage.short.fetch_add(1, Ordering::Relaxed);
            }
        }
        let there = stage.calm.checkpoint(&shard).await.expect("a checkpoint");
        assert!(there >= reached.checkpoint, "{shard}: it says {:?}, and the store {there:?}", reached.checkpoint);
    }
}
