//! Archivers that share a stream by leases, killed at random while its shards split and merge.

use std::sync::atomic::Ordering;

use ledgerline_adapters::memory::MemoryLeases;
use ledgerline_domain::lease::Leases;
use ledgerline_domain::ports::Archive;
use ledgerline_domain::segment::{Manifest, keys};
use ledgerline_processor::archiver::ArchiverJob;
use ledgerline_processor::leases::{LeaseBoard, LeaseSettings, run_leases};
use ledgerline_replay::{check, within};
use ledgerline_tests::vault::HOUR_NANOS;
use tokio::runtime::{Builder, Runtime};

use super::*;

/// A process with leases of the archiver.
struct Process {
    runtime: Runtime,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<ledgerline_domain::Result<()>>,
}

impl Process {
    fn start(world: &World, leases: &Arc<MemoryLeases>, name: String) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (log, archive, clock) = (world.log.clone(), world.archive.clone(), world.clock.clone());
        let job = ArchiverJob::new(log.clone(), archive, clock, archiver(), Arc::default()).unwrap();
        let settings = LeaseSettings {
            lasts: Duration::from_millis(300),
            renew_every: Duration::from_millis(60),
            seek_every: Duration::from_millis(20),
            failed_rest: Duration::from_millis(100),
            shutdown_wait: Duration::from_secs(5),
            ..LeaseSettings::new(name)
        };
        let (stop, stopped) = watch::channel(false);
        let run = run_leases(log, leases.clone(), Arc::new(job), settings, Arc::new(LeaseBoard::default()), stopped);
        Self { task: runtime.spawn(run), runtime, stop }
    }

    /// Without a word, wherever it stands.
    fn kill(self) {
        self.runtime.shutdown_background();
    }

    async fn end(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap().unwrap();
        self.runtime.shutdown_background();
    }
}

/// Numbers by chance, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

async fn manifests(world: &World) -> Vec<Manifest> {
    let mut found = Vec::new();
    for key in world.archive.list(&keys::manifests_of(STREAM)).await.unwrap() {
        found.push(Manifest::decode(&world.archive.get(&key).await.unwrap().unwrap()).unwrap());
    }
    found
}

/// Whatever dies: one chain per shard without a hole, parents archived to their ends, every hour complete and
/// every segment named.
async fn survives(seed: u64) {
    const ROUNDS: usize = 14;
    const PER_ROUND: usize = 23;
    let world = World::new(2);
    let leases = Arc::new(MemoryLeases::new());
    let mut dice = Dice(seed);
    let mut processes: Vec<_> = (0..2).map(|n| Process::start(&world, &leases, format!("archiver-{n}"))).collect();
    for round in 0..ROUNDS {
        world.append(round * PER_ROUND..(round + 1) * PER_ROUND).await;
        world.clock.0.fetch_add(HOUR_NANOS / 3, Ordering::SeqCst);
        let mut open: Vec<_> = world.log.lineage().await.unwrap().into_iter().filter(|s| !s.closed).collect();
        open.sort_by_key(|shard| shard.hash_range);
        match dice.roll(4) {
            0 if open.len() < 6 => {
                let at = dice.roll(open.len() as u64) as usize;
                world.log.split(&open[at].id).unwrap();
            }
            1 if open.len() > 1 => {
                let at = dice.roll(open.len() as u64 - 1) as usize;
                world.log.merge(&open[at].id, &open[at + 1].id).unwrap();
            }
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(dice.roll(60))).await;
        if dice.roll(2) == 0 {
            let gone = processes.remove(dice.roll(2) as usize);
            if dice.roll(3) == 0 {
                gone.end().await
            } else {
                gone.kill()
            }
            processes.push(Process::start(&world, &leases, format!("archiver-{seed}-{round}")));
        }
    }
    // An open shard too is past the last hour once nothing is left of it.
    world.clock.0.fetch_add(2 * HOUR_NANOS, Ordering::SeqCst);
    let tips = world.tips().await;
    until("all is archived", async || within::positions(&*world.archive, STREAM).await.unwrap() == tips).await;
    until("every hour is complete", async || manifests(&world).await.iter().all(|manifest| manifest.complete)).await;
    for process in processes {
        process.end().await;
    }

    let report = check::check(&*world.archive, &mut |_| {}).await.unwrap();
    assert!(report.is_clean(), "seed {seed}: {:#?}", report.faults);
    let records: u64 = report.streams[0].shards.iter().map(|chain| chain.records).sum();
    assert_eq!(records as usize, ROUNDS * PER_ROUND, "seed {seed}");
    let (all, segments) = (manifests(&world).await, world.archive.list(&keys::segments_of(STREAM)).await.unwrap());
    let mut named: Vec<_> = all.iter().flat_map(Manifest::segments).map(|segment| segment.key.clone()).collect();
    named.sort_unstable();
    assert_eq!(named, segments, "seed {seed}: every segment is named, once");
    // Each closed shard's lease says that it is done, or is gone because its children are under way.
    let leases = leases.all().await.unwrap();
    for shard in world.log.lineage().await.unwrap() {
        let ended = leases.iter().find(|lease| lease.shard == shard.id).map(|lease| lease.checkpoint.is_shard_end());
        assert!(ended.is_none_or(|ended| ended == shard.closed), "seed {seed}: {}", shard.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn archivers_that_die_leave_whole_chains_and_complete_hours() {
    for seed in 1..=6 {
        survives(seed).await;
    }
}

/// Archivers of one shard each, which know nothing of each other but by the manifests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_is_complete_only_when_the_others_say_so_too() {
    let world = World::new(2);
    world.append(0..40).await;
    let job = || {
        let (log, archive, clock) = (world.log.clone(), world.archive.clone(), world.clock.clone());
        Arc::new(ArchiverJob::new(log, archive, clock, archiver(), Arc::default()).unwrap())
    };
    let (stop, stopped) = watch::channel(false);
    let run = |job: Arc<ArchiverJob<_, _, _>>, shard: u32| {
        let stopped = stopped.clone();
        tokio::spawn(async move { job.run(ShardId::numbered(shard), stopped).await })
    };
    let first = run(job(), 0);
    let tips = world.tips().await;
    let (zero, one) = (ShardId::numbered(0), ShardId::numbered(1));
    let archived =
        async |shard: &ShardId| within::positions(&*world.archive, STREAM).await.unwrap().get(shard).cloned();
    until("one shard is archived", async || archived(&zero).await.as_ref() == tips.get(&zero)).await;
    world.clock.0.fetch_add(2 * HOUR_NANOS, Ordering::SeqCst);
    until("it says that it is past the hour", async || {
        let found = manifests(&world).await;
        found.iter().flat_map(|m| &m.shards).any(|part| part.until().is_some_and(|at| at.nanos() >= HOUR + HOUR_NANOS))
    })
    .await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(manifests(&world).await.iter().all(|manifest| !manifest.complete), "the other shard is not");
    let second = run(job(), 1);
    until("complete", async || manifests(&world).await.iter().all(|manifest| manifest.complete)).await;
    assert_eq!(archived(&one).await.as_ref(), tips.get(&one));
    assert_eq!(manifests(&world).await[0].records(), 40);
    stop.send_replace(true);
    for job in [first, second] {
        job.await.unwrap().unwrap();
    }
}
