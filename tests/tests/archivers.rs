//! I6 and I7 with two archivers at work on every shard of one log, killed and started again at random
//! moments: the chain is whole, every record is in it once, and its bytes are those of the log.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_adapters::SystemClock;
use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions};
use ledgerline_adapters::memory::{MemoryArchive, MemoryLog};
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{EntityKey, SourceName};
use ledgerline_domain::ports::{Archive, Clock, Log, LogRecord, ReadLimit};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::segment::SegmentReader;
use ledgerline_domain::segment::keys::chain_order;
use ledgerline_domain::time::UnixNanos;
use ledgerline_processor::archiver::{ArchiverProgress, ArchiverSettings, run_archiver};
use ledgerline_replay::check::check;
use ledgerline_replay::manifests;
use ledgerline_tests::bodies::body;
use ledgerline_tests::sealed::record;
use ledgerline_tests::vault::{HOUR, HOUR_NANOS, NanosClock};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const EVENTS: usize = 3_000;
const ARCHIVERS: usize = 2;

/// Archivers that are killed in turn.
struct Rivals<L, A> {
    log: Arc<L>,
    archive: Arc<A>,
    random: StdRng,
    stop: watch::Sender<bool>,
    running: Vec<(JoinHandle<ledgerline_domain::Result<()>>, Arc<ArchiverProgress>)>,
    kills: usize,
}

impl<L: Log, A: Archive> Rivals<L, A> {
    fn start(log: Arc<L>, archive: Arc<A>, seed: u64) -> Self {
        let mut rivals = Self {
            log,
            archive,
            random: StdRng::seed_from_u64(seed),
            stop: watch::Sender::new(false),
            running: Vec::new(),
            kills: 0,
        };
        rivals.running = (0..ARCHIVERS).map(|_| rivals.one()).collect();
        rivals
    }

    /// Each cuts in its own way, so that segments of the same start differ.
    fn one(&mut self) -> (JoinHandle<ledgerline_domain::Result<()>>, Arc<ArchiverProgress>) {
        let settings = ArchiverSettings {
            segment_records_max: self.random.random_range(3..60),
            flush_after: Duration::from_millis(self.random.random_range(1..20)),
            wait: Duration::from_millis(3),
            backoff: (Duration::from_millis(1), Duration::from_millis(5)),
            head_every: self.random.random_range(1..6),
            ..ArchiverSettings::default()
        };
        let progress = Arc::new(ArchiverProgress::default());
        let (log, archive, clock) = (self.log.clone(), self.archive.clone(), Arc::new(SystemClock));
        (tokio::spawn(run_archiver(log, archive, clock, settings, progress.clone(), self.stop.subscribe())), progress)
    }

    /// One of them dies wherever it is, and another takes its place.
    async fn kill(&mut self) {
        let victim = self.random.random_range(0..ARCHIVERS);
        self.running[victim].0.abort();
        let ended = (&mut self.running[victim].0).await;
        assert!(ended.as_ref().is_err_and(|error| error.is_cancelled()), "it ended by itself: {ended:?}");
        self.running[victim] = self.one();
        self.kills += 1;
    }

    async fn finish(mut self) {
        for shard in self.log.shards() {
            let tip = self.log.tip(&shard).await.expect("a tip");
            for (task, progress) in &self.running {
                while progress.positions().get(&shard) < tip.as_ref() {
                    assert!(!task.is_finished(), "an archiver ended by itself");
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            }
        }
        self.stop.send_replace(true);
        for (task, _) in std::mem::take(&mut self.running) {
            task.await.expect("no panic").expect("a good end");
        }
        // Rivals may write an older manifest over a newer one; a start alone adds what it lacks.
        self.stop = watch::Sender::new(false);
        let (task, progress) = self.one();
        for shard in self.log.shards() {
            let tip = self.log.tip(&shard).await.expect("a tip");
            while progress.positions().get(&shard) < tip.as_ref() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        self.stop.send_replace(true);
        task.await.expect("no panic").expect("a good end");
        whole_and_exact(&*self.log, &*self.archive, self.kills).await;
    }
}

/// The chain is whole and holds the log: every record once, at its position, with its exact bytes.
async fn whole_and_exact(log: &impl Log, archive: &impl Archive, kills: usize) {
    let report = check(archive, &mut |_| ()).await.expect("it can be read");
    let derived = |key: &str| key.starts_with("manifests/");
    assert!(report.faults.iter().all(|fault| derived(&fault.key)), "{:?}", report.faults);
    if !report.is_clean() {
        // An hour long complete, written over: derived, and written again by hand.
        println!("manifests mended: {:?}", report.faults);
        let renewal = manifests::renew(archive, "main").await.expect("sound segments");
        renewal.write(archive).await.expect("written");
        let report = check(archive, &mut |_| ()).await.expect("it can be read");
        assert!(report.is_clean(), "{:?}", report.faults);
    }
    let (segments, _) = chain_order(archive.list("segments/").await.expect("a list"));
    let (count, mut records) = (segments.len(), 0);
    let mut archived = Vec::new();
    for key in segments {
        let object = archive.get(&key.text()).await.expect("a read").expect("an object");
        for row in SegmentReader::open(object).expect("a segment").rows() {
            let row = row.expect("a row");
            archived.push((key.shard.clone(), row.sequence, row.arrived_at, Bytes::from(row.value.encode())));
        }
    }
    for shard in log.shards() {
        let limit = ReadLimit { records_max: usize::MAX, bytes_max: usize::MAX, wait: Duration::ZERO };
        let mut after = None;
        loop {
            let batch = log.read(&shard, after.as_ref(), limit).await.expect("a read").records;
            let Some(last) = batch.last() else { break };
            after = Some(last.sequence.clone());
            for record in batch {
                let found = &archived[records];
                assert_eq!((&found.0, &found.1, found.2), (&shard, &record.sequence, record.arrived_at));
                assert!(found.3 == record.value, "{} of {shard}: the bytes differ", record.sequence);
                let sealed = Envelope::decode(&record.value).expect("an envelope");
                assert_eq!(Envelope::decode(&found.3).expect("an envelope").event.body, sealed.event.body);
                records += 1;
            }
        }
    }
    assert_eq!((records, archived.len()), (EVENTS, EVENTS));
    println!("{kills} kills, {count} segments, {records} records, each once");
}

fn records(numbers: std::ops::Range<usize>) -> Vec<LogRecord> {
    let source = SourceName::new("stripe").expect("a good name");
    let provider = Provider::built_in("stripe").expect("stripe is built in");
    let record = |number| {
        let LogRecord { data, .. } = record(&provider, &source, &Bytes::from(body(number)));
        // Spread over the shards.
        LogRecord { key: EntityKey::parse(&format!("stripe/payment/{number}")).expect("a key"), data }
    };
    numbers.map(record).collect()
}

/// Memory, an archive that fails in a fifth of its writes before or after doing them, and a clock of the
/// log that jumps by hours to and fro.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i6_i7_rivals_killed_at_random_over_memory_with_faults() {
    let seed = rand::random();
    println!("seed {seed}");
    let clock = Arc::new(NanosClock(HOUR.into()));
    let log = Arc::new(MemoryLog::with_clock(2, clock.clone()));
    let archive = Arc::new(MemoryArchive::new());
    let mut random = StdRng::seed_from_u64(seed);
    let mut rivals = Rivals::start(log.clone(), archive.clone(), random.random());
    for begin in (0..EVENTS).step_by(30) {
        let hour: i64 = if random.random_bool(0.2) { random.random_range(-4..9) } else { begin as i64 / 600 };
        clock.0.store(HOUR + hour * HOUR_NANOS + begin as i64, std::sync::atomic::Ordering::SeqCst);
        assert!(clock.now() > UnixNanos::from_nanos(0));
        log.append(records(begin..begin + 30)).await.expect("appended");
        match random.random_range(0..6) {
            0 => archive.faults().refuse_next(random.random_range(1..4)),
            1 => archive.faults().lose_next(random.random_range(1..4)),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await;
        if random.random_bool(0.5) {
            rivals.kill().await;
        }
    }
    rivals.finish().await;
}

/// The data directory, with real files.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn i6_i7_rivals_killed_at_random_over_files() {
    let seed = rand::random();
    println!("seed {seed}");
    let dir = tempfile::tempdir().expect("a directory");
    let data = Embedded::open(dir.path(), EmbeddedOptions { shards: Some(2), ..EmbeddedOptions::default() });
    let data = data.await.expect("it opens");
    let mut random = StdRng::seed_from_u64(seed);
    let mut rivals = Rivals::start(data.log.clone(), data.archive.clone(), random.random());
    for begin in (0..EVENTS).step_by(30) {
        data.log.append(records(begin..begin + 30)).await.expect("appended");
        tokio::time::sleep(Duration::from_millis(random.random_range(0..8))).await;
        if random.random_bool(0.5) {
            rivals.kill().await;
        }
    }
    rivals.finish().await;
}
