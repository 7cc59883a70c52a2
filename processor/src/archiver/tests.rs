//! I6 and I10: crashes, lies, rivals and outages at every step leave one chain.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive as _, Log as _};
use ledgerline_domain::segment::{Head, Manifest, keys};
use ledgerline_domain::{ErrorKind, Result};
use proptest::prelude::*;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::doubles::*;
use super::*;

struct Running {
    stop: watch::Sender<bool>,
    handle: JoinHandle<Result<()>>,
    progress: Arc<ArchiverProgress>,
}

fn start(log: &Arc<TestLog>, archive: &Arc<TestArchive>, settings: ArchiverSettings) -> Running {
    start_at(log, archive, settings, &Arc::new(TestClock(AtomicI64::new(HOUR))))
}

fn start_at(
    log: &Arc<TestLog>,
    archive: &Arc<TestArchive>,
    settings: ArchiverSettings,
    clock: &Arc<TestClock>,
) -> Running {
    let (stop, stopped) = watch::channel(false);
    let progress = Arc::new(ArchiverProgress::default());
    let run = run_archiver(log.clone(), archive.clone(), clock.clone(), settings, progress.clone(), stopped);
    Running { stop, handle: tokio::spawn(run), progress }
}

impl Running {
    async fn stop(self) -> Result<()> {
        self.stop.send_replace(true);
        self.handle.await.unwrap()
    }

    async fn kill(self) {
        self.handle.abort();
        let _ = self.handle.await;
    }

    /// Waits until everything that the log holds is archived, as the positions say.
    async fn until_done(&self, log: &TestLog) {
        until(|| {
            let positions = self.progress.positions();
            log.shards().iter().all(|shard| log.records(shard).last().map(|r| &r.sequence) == positions.get(shard))
        })
        .await;
    }
}

async fn until(condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not come to an end");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn shard(number: u32) -> ShardId {
    ShardId::numbered(number)
}

fn check_all(log: &TestLog, archive: &TestArchive) {
    for shard in log.shards() {
        assert_eq!(check_chain(log, archive, &shard), log.records(&shard).len());
    }
}

#[tokio::test]
async fn archives_every_record_once_and_cuts_by_records_hour_and_age() {
    let log = TestLog::new(2);
    log.add(0, (0..25).map(|n| HOUR + n));
    log.add(1, [HOUR, HOUR + HOUR_NANOS, HOUR + HOUR_NANOS, HOUR]);
    let archive = TestArchive::new(Vec::new(), &log);
    let running = start(&log, &archive, quick(10));
    running.until_done(&log).await;
    assert_eq!(archive.keys(&keys::segments_of_shard(STREAM, &shard(0))).len(), 3, "10, 10 and by age 5");
    assert_eq!(archive.keys(&keys::segments_of_shard(STREAM, &shard(1))).len(), 3, "an hour that steps back cuts too");
    log.add(0, [HOUR + 99]);
    running.until_done(&log).await;
    assert_eq!((running.progress.segments(), running.progress.records(), running.progress.lag()), (7, 30, 0));
    running.stop().await.unwrap();
    check_all(&log, &archive);
}

#[tokio::test]
async fn cuts_by_bytes() {
    let log = TestLog::new(1);
    log.add(0, (0..2000).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    let settings =
        ArchiverSettings { buffer_bytes_max: 1, flush_after: Duration::from_millis(500), ..quick(1_000_000) };
    let running = start(&log, &archive, settings);
    running.until_done(&log).await;
    running.stop().await.unwrap();
    assert!((5..50).contains(&archive.keys("segments/").len()), "{:?}", archive.keys("segments/"));
    check_all(&log, &archive);
}

#[tokio::test]
async fn a_shutdown_puts_what_is_under_construction() {
    let log = TestLog::new(1);
    log.add(0, (0..7).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    let running = start(&log, &archive, ArchiverSettings { flush_after: Duration::from_secs(60), ..quick(100) });
    until(|| running.progress.lag() == 7).await;
    assert!(archive.keys("segments/").is_empty());
    running.stop().await.unwrap();
    check_all(&log, &archive);
}

#[tokio::test]
async fn a_shutdown_during_an_outage_ends_and_loses_nothing() {
    let log = TestLog::new(1);
    log.add(0, (0..30).map(|n| HOUR + n));
    let archive = TestArchive::new(vec![Some(Mischief::ErrorBefore); 10_000], &log);
    let running = start(&log, &archive, quick(10));
    tokio::time::sleep(Duration::from_millis(20)).await;
    running.stop().await.unwrap();
    assert!(archive.keys("segments/").is_empty());
    archive.script.lock().unwrap().clear();
    let running = start(&log, &archive, quick(10));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    check_all(&log, &archive);
}

#[tokio::test]
async fn every_mischief_at_every_step_leaves_one_chain() {
    let all = [
        Mischief::ErrorBefore,
        Mischief::ErrorAfter,
        Mischief::HangBefore,
        Mischief::HangAfter,
        Mischief::Rival(1),
        Mischief::Rival(9),
        Mischief::Rival(10),
        Mischief::Rival(17),
        Mischief::Rival(1000),
    ];
    for mischief in all {
        for step in 0..4 {
            let log = TestLog::new(1);
            log.add(0, (0..35).map(|n| HOUR + n / 20 * HOUR_NANOS + n));
            let mut script = vec![None; step];
            script.push(Some(mischief.clone()));
            let archive = TestArchive::new(script, &log);
            let running = start(&log, &archive, quick(10));
            if matches!(mischief, Mischief::HangBefore | Mischief::HangAfter) {
                until(|| archive.script.lock().unwrap().is_empty()).await;
                running.kill().await;
                // The next process cuts elsewhere.
                let running = start(&log, &archive, quick(7));
                running.until_done(&log).await;
                running.stop().await.unwrap();
            } else {
                running.until_done(&log).await;
                running.stop().await.unwrap();
            }
            check_all(&log, &archive);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_mended_ends_with_its_kind_and_the_shard() {
    let log = TestLog::new(1);
    log.add(0, [HOUR]);
    let archive = TestArchive::new(vec![Some(Mischief::Broken)], &log);
    let error = start(&log, &archive, quick(1)).handle.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("archive shard-0000"), "{error}");
}

#[tokio::test]
async fn an_archive_of_another_log_is_refused() {
    let (log, shorter) = (TestLog::new(1), TestLog::new(1));
    log.add(0, (0..9).map(|n| HOUR + n));
    shorter.add(0, (0..8).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    let running = start(&log, &archive, quick(10));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    let error = start(&shorter, &archive, quick(10)).handle.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("another log"), "{error}");
}

#[tokio::test]
async fn a_segment_that_does_not_follow_is_not_followed() {
    let log = TestLog::new(1);
    log.add(0, (0..20).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    let running = start(&log, &archive, quick(10));
    running.until_done(&log).await;
    running.kill().await;
    let segments = archive.keys("segments/");
    let second = archive.object(&segments[1]).unwrap();
    // The first segment is exchanged for one that ends at the same place.
    let other = TestLog::new(1);
    other.add(0, (0..10).map(|n| HOUR + n + 1));
    let other_archive = TestArchive::new(Vec::new(), &other);
    let running = start(&other, &other_archive, quick(10));
    running.until_done(&other).await;
    running.kill().await;
    let archive = TestArchive::new(Vec::new(), &log);
    let exchanged = other_archive.object(&segments[0]).unwrap();
    archive.objects.lock().unwrap().extend([(segments[0].clone(), exchanged), (segments[1].clone(), second)]);
    let found = chain::follow(archive.as_ref(), STREAM, &shard(0), None).await;
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Data);
}

#[tokio::test]
async fn the_newest_segment_is_found_without_listing_the_shard() {
    let log = TestLog::new(1);
    log.add(0, (0..100).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    let running = start(&log, &archive, quick(10));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    let whole = keys::segments_of_shard(STREAM, &shard(0));
    let newest = archive.keys(&whole).pop().unwrap();
    archive.listed.lock().unwrap().clear();
    let found = chain::find(archive.as_ref(), STREAM, &shard(0)).await.unwrap();
    assert_eq!(found.newest.unwrap().key, newest);
    assert!(!archive.listed.lock().unwrap().contains(&whole));
    // A damaged, a lying and a missing head cost a listing, nothing else.
    let head = keys::head(STREAM, &shard(0));
    let mut lying = Head::decode(&archive.object(&head).unwrap()).unwrap();
    lying.newest.last = SequenceNumber::from_u64(5);
    for bytes in [Some(b"{".to_vec()), Some(lying.encode().unwrap()), None] {
        match bytes {
            Some(bytes) => archive.replace(&head, bytes.into()).await.unwrap(),
            None => _ = archive.objects.lock().unwrap().remove(&head),
        }
        let found = chain::find(archive.as_ref(), STREAM, &shard(0)).await.unwrap();
        assert_eq!(found.newest.unwrap().key, newest);
    }
}

/// The log's clock stepped back by five hours, and the head is older than that.
#[tokio::test]
async fn a_successor_in_a_much_earlier_hour_is_found_by_collision_and_without_the_log_by_a_listing() {
    let log = TestLog::new(1);
    log.add(0, [HOUR + 5 * HOUR_NANOS, HOUR + 5 * HOUR_NANOS + 1]);
    let archive = TestArchive::new(Vec::new(), &log);
    let running = start(&log, &archive, quick(2));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    let stale = archive.object(&keys::head(STREAM, &shard(0))).unwrap();
    log.add(0, (0..6).map(|n| HOUR + n));
    *archive.no_replace.lock().unwrap() = true;
    let running = start(&log, &archive, quick(2));
    running.until_done(&log).await;
    running.kill().await;
    *archive.no_replace.lock().unwrap() = false;
    let found = chain::find(archive.as_ref(), STREAM, &shard(0)).await.unwrap();
    assert_eq!(found.newest, Some(Head::decode(&stale).unwrap().newest), "what follows is not near");
    // The next put shows what follows, though it is cut elsewhere.
    log.add(0, [HOUR + 5 * HOUR_NANOS + 9]);
    let running = start(&log, &archive, quick(3));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    check_all(&log, &archive);
    assert_eq!(archive.chain(&shard(0)).len(), 5);
    // Without the log nothing can be put, and all keys of the shard are looked through.
    archive.replace(&keys::head(STREAM, &shard(0)), stale).await.unwrap();
    log.release(&shard(0), &log.records(&shard(0)).last().unwrap().sequence).await.unwrap();
    log.add(0, [HOUR + 6 * HOUR_NANOS]);
    let running = start(&log, &archive, quick(2));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    check_all(&log, &archive);
}

#[tokio::test]
async fn what_a_rival_wrote_over_a_manifest_is_added_again_by_the_next_start() {
    let log = TestLog::new(1);
    log.add(0, (0..9).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    let running = start(&log, &archive, quick(3));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    let key = keys::manifest(STREAM, "2026-11-24T13");
    let whole = Manifest::decode(&archive.object(&key).unwrap()).unwrap();
    let mut older = whole.clone();
    older.shards[0].segments.truncate(1);
    older.totals = older.sums();
    archive.replace(&key, older.encode().unwrap().into()).await.unwrap();
    let running = start(&log, &archive, quick(3));
    running.until_done(&log).await;
    running.stop().await.unwrap();
    assert_eq!(Manifest::decode(&archive.object(&key).unwrap()).unwrap().totals, whole.totals);
}

#[tokio::test]
async fn a_lost_head_costs_no_manifest() {
    let log = TestLog::new(1);
    log.add(0, (0..4).map(|n| HOUR + n * HOUR_NANOS));
    log.add(0, [HOUR + HOUR_NANOS]);
    let archive = TestArchive::new(Vec::new(), &log);
    *archive.no_replace.lock().unwrap() = true;
    let running = start(&log, &archive, quick(2));
    running.until_done(&log).await;
    running.kill().await;
    *archive.no_replace.lock().unwrap() = false;
    let clock = Arc::new(TestClock(AtomicI64::new(HOUR + 9 * HOUR_NANOS)));
    let running = start_at(&log, &archive, quick(2), &clock);
    let complete = |hour: &str| {
        let text = archive.object(&keys::manifest(STREAM, hour))?;
        Some(Manifest::decode(&text).unwrap()).filter(|manifest| manifest.complete)
    };
    for (hour, records) in [("2026-11-24T13", 1), ("2026-11-24T14", 2), ("2026-11-24T15", 1), ("2026-11-24T16", 1)] {
        until(|| complete(hour).is_some()).await;
        assert_eq!(complete(hour).unwrap().records(), records, "{hour}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_log_that_forgot_what_another_archived_is_no_error() {
    let log = TestLog::new(1);
    log.add(0, (0..40).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    // The first archiver stands still behind its first segment, the second one archives the rest.
    archive.script.lock().unwrap().extend([None, Some(Mischief::ErrorBefore)]);
    let slow = ArchiverSettings { backoff: (Duration::from_millis(100), Duration::from_millis(100)), ..quick(10) };
    let slow = start(&log, &archive, slow);
    until(|| archive.script.lock().unwrap().is_empty()).await;
    let other = start(&log, &archive, quick(4));
    other.until_done(&log).await;
    other.stop().await.unwrap();
    let all = log.records(&shard(0)).last().unwrap().sequence.clone();
    log.release(&shard(0), &all).await.unwrap();
    slow.until_done(&log).await;
    slow.stop().await.unwrap();
    check_all(&log, &archive);
}

#[tokio::test]
async fn hours_get_complete_manifests_once_all_shards_are_past_them() {
    let log = TestLog::new(2);
    log.add(0, (0..25).map(|n| HOUR + n));
    log.add(0, [HOUR + HOUR_NANOS + 1]);
    log.add(1, (0..5).map(|n| HOUR + n));
    let archive = TestArchive::new(Vec::new(), &log);
    let clock = Arc::new(TestClock(AtomicI64::new(HOUR + HOUR_NANOS / 2)));
    let running = start_at(&log, &archive, quick(10), &clock);
    running.until_done(&log).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let read = |hour: &str| archive.object(&keys::manifest(STREAM, hour)).map(|text| Manifest::decode(&text).unwrap());
    assert!(read("2026-11-24T13").is_none_or(|manifest| !manifest.complete), "shard 1 is not past the hour");
    clock.0.store(HOUR + HOUR_NANOS + 200_000_000_000, Ordering::Relaxed);
    until(|| read("2026-11-24T13").is_some_and(|manifest| manifest.complete)).await;
    running.stop().await.unwrap();
    let manifest = read("2026-11-24T13").unwrap();
    assert_eq!(manifest.records(), 30);
    for part in &manifest.shards {
        let expected: Vec<String> = archive
            .keys(&keys::segments_of_shard(STREAM, &part.shard))
            .into_iter()
            .filter(|key| key.contains("T13"))
            .collect();
        assert_eq!(part.segments.iter().map(|s| s.key.clone()).collect::<Vec<_>>(), expected);
        for segment in &part.segments {
            let bytes = archive.object(&segment.key).unwrap();
            assert_eq!(
                (segment.sha256.clone(), segment.bytes),
                (ledgerline_domain::segment::digest(&bytes), bytes.len() as u64)
            );
        }
    }
    let next = read("2026-11-24T14").unwrap();
    assert!(!next.complete && next.records() == 1, "written on shutdown");
}

#[tokio::test]
async fn manifests_lose_no_segment_through_crashes() {
    let log = TestLog::new(1);
    let archive = TestArchive::new(Vec::new(), &log);
    for round in 0..20_usize {
        log.add(0, (0..7 + round as i64).map(|n| HOUR + n));
        *archive.no_replace.lock().unwrap() = round % 3 == 1;
        let running = start(&log, &archive, quick(2));
        running.until_done(&log).await;
        if round == 13 {
            archive.objects.lock().unwrap().remove(&keys::head(STREAM, &shard(0)));
        }
        if round % 4 == 3 { running.stop().await.unwrap() } else { running.kill().await }
    }
    *archive.no_replace.lock().unwrap() = false;
    let clock = Arc::new(TestClock(AtomicI64::new(HOUR + 2 * HOUR_NANOS)));
    let running = start_at(&log, &archive, quick(2), &clock);
    let key = keys::manifest(STREAM, "2026-11-24T13");
    let manifest = || archive.object(&key).map(|text| Manifest::decode(&text).unwrap());
    until(|| manifest().is_some_and(|manifest| manifest.complete)).await;
    running.stop().await.unwrap();
    assert_eq!(manifest().unwrap().records() as usize, log.records(&shard(0)).len());
    check_all(&log, &archive);
}

fn any_mischief() -> impl Strategy<Value = Option<Mischief>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Mischief::ErrorBefore)),
        1 => Just(Some(Mischief::ErrorAfter)),
        2 => (1..40_usize).prop_map(|n| Some(Mischief::Rival(n))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Any cuts, any mischief, two archivers at once, one of them killed and started again.
    #[test]
    fn any_number_of_archivers_make_one_chain(
        hours in proptest::collection::vec(0..7_i64, 1..120),
        (one, two, three) in (1..30_usize, 1..30_usize, 1..30_usize),
        script in proptest::collection::vec(any_mischief(), 0..20),
        kill_after_ms in 0..12_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let log = TestLog::new(1);
            log.add(0, hours.iter().map(|hour| HOUR + hour * HOUR_NANOS));
            let archive = TestArchive::new(script, &log);
            let first = start(&log, &archive, quick(one));
            let second = start(&log, &archive, quick(two));
            tokio::time::sleep(Duration::from_millis(kill_after_ms)).await;
            first.kill().await;
            let third = start(&log, &archive, quick(three));
            second.until_done(&log).await;
            third.until_done(&log).await;
            second.stop().await.unwrap();
            third.stop().await.unwrap();
            check_all(&log, &archive);
        });
    }
}
