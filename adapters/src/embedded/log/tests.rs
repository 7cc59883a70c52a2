//! The log against a disk that tears, rots, fills up and fails.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use ledgerline_domain::ErrorKind;

use super::frame::{Frame, HEADER_BYTES};
use super::*;
use crate::clock::SystemClock;

const NOW: Duration = Duration::ZERO;
pub(super) const ALL: ReadLimit = ReadLimit { records_max: usize::MAX, bytes_max: usize::MAX, wait: NOW };

pub(super) fn small() -> LogOptions {
    LogOptions { segment_bytes: 64 * 1024, ..LogOptions::default() }
}

pub(super) fn open(dir: &Path, shards: u32, options: LogOptions) -> Result<EmbeddedLog> {
    EmbeddedLog::open(dir, shards, options, Arc::new(SystemClock), None)
}

pub(super) fn record(id: usize, data: impl Into<Bytes>) -> LogRecord {
    LogRecord { key: EntityKey::parse(&format!("stripe-eu/payment/pi_{id}")).unwrap(), data: data.into() }
}

/// Everything of a shard, read by `limit` at a time.
pub(super) async fn read_all(log: &EmbeddedLog, shard: u32, limit: ReadLimit) -> Vec<(u64, Bytes)> {
    let shard = ShardId::numbered(shard);
    let mut after = None;
    let mut all = Vec::new();
    loop {
        let batch = log.read(&shard, after.as_ref(), limit).await.unwrap();
        let Some(last) = batch.records.last() else { return all };
        after = Some(last.sequence.clone());
        all.extend(batch.records.into_iter().map(|r| (r.sequence.to_u64().unwrap(), r.value)));
    }
}

async fn texts(log: &EmbeddedLog) -> Vec<String> {
    let all = read_all(log, 0, ALL).await;
    all.into_iter().map(|(_, data)| String::from_utf8(data.to_vec()).unwrap()).collect()
}

pub(super) async fn append(log: &EmbeddedLog, text: &str) -> u64 {
    let places = log.append(vec![record(1, text.to_owned())]).await.unwrap();
    places[0].sequence.to_u64().unwrap()
}

fn only_segment(dir: &Path) -> PathBuf {
    dir.join("00000000000000000001.log")
}

/// Offsets of the frames in the first segment.
pub(super) fn frames(dir: &Path) -> Vec<(usize, Frame)> {
    let bytes = fs::read(only_segment(dir)).unwrap();
    let mut at = segment::HEADER_BYTES;
    let mut found = Vec::new();
    while let Some(frame) = Frame::header(&bytes[at..]).filter(|f| f.position > 0) {
        found.push((at, frame));
        at += frame.bytes();
    }
    found
}

pub(super) fn edit(dir: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(only_segment(dir)).unwrap();
    change(&mut bytes);
    fs::write(only_segment(dir), bytes).unwrap();
}

async fn five(dir: &Path) {
    let log = open(dir, 1, small()).unwrap();
    for text in ["one", "two", "three", "four", "five!"] {
        append(&log, text).await;
    }
}

#[tokio::test]
async fn a_tail_torn_anywhere_is_cut_and_written_over() {
    let whole = tempfile::tempdir().unwrap();
    five(whole.path()).await;
    let (at, frame) = *frames(whole.path()).last().unwrap();
    for (cut, fill) in (at..at + frame.bytes()).flat_map(|cut| [(cut, 0), (cut, 0xAA)]) {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(only_segment(whole.path()), only_segment(dir.path())).unwrap();
        edit(dir.path(), |bytes| bytes[cut..at + frame.bytes() + 100].fill(fill));
        let log = open(dir.path(), 1, small()).unwrap();
        assert_eq!(texts(&log).await, ["one", "two", "three", "four"], "cut at {cut}");
        assert_eq!(append(&log, "new").await, 5);
        drop(log);
        let log = open(dir.path(), 1, small()).unwrap();
        assert_eq!(texts(&log).await, ["one", "two", "three", "four", "new"], "cut at {cut}");
    }
}

#[tokio::test]
async fn whole_frames_behind_a_torn_one_of_their_batch_never_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1, small()).unwrap();
    append(&log, "one").await;
    log.append(["aaa", "bbb", "ccc"].map(|t| record(1, t)).to_vec()).await.unwrap();
    drop(log);
    let (at, _) = frames(dir.path())[1];
    edit(dir.path(), |bytes| bytes[at + HEADER_BYTES] ^= 1);
    let log = open(dir.path(), 1, small()).unwrap();
    assert_eq!(texts(&log).await, ["one"], "the batch was never answered");
    // As long as the first of the lost batch: what stood behind it would now be next.
    assert_eq!(append(&log, "xxx").await, 2);
    drop(log);
    assert_eq!(texts(&open(dir.path(), 1, small()).unwrap()).await, ["one", "xxx"]);
}

#[tokio::test]
async fn damage_in_front_of_a_later_batch_is_never_cut() {
    for (victim, byte) in [(0, 0), (1, HEADER_BYTES), (2, 9), (3, 4)] {
        let dir = tempfile::tempdir().unwrap();
        five(dir.path()).await;
        let (at, _) = frames(dir.path())[victim];
        edit(dir.path(), |bytes| bytes[at + byte] ^= 0x10);
        let before = fs::read(only_segment(dir.path())).unwrap();
        let error = open(dir.path(), 1, small()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        let text = error.to_string();
        assert!(text.contains("00000000000000000001.log") && text.contains(&format!("offset {at}")), "{text}");
        assert_eq!(fs::read(only_segment(dir.path())).unwrap(), before, "nothing was changed");
    }
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let syncs = AtomicU32::new(0);
    let hook = DiskHook::new(move |step| match step {
        DiskStep::Sync if syncs.fetch_add(1, Ordering::SeqCst) == 1 => Err(io::Error::other("the disk is ill")),
        _ => Ok(()),
    });
    let log = open(dir.path(), 1, LogOptions { hook: Some(hook), ..small() }).unwrap();
    append(&log, "kept").await;
    assert_eq!(log.failure(), None);
    for _ in 0..3 {
        // The hook fails once; a later sync would succeed and prove nothing.
        let error = log.append(vec![record(1, "lost?")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Retry);
        assert!(error.to_string().contains("start the program again"), "{error}");
    }
    assert!(log.failure().unwrap().contains("the disk is ill"));
    assert_eq!(texts(&log).await, ["kept"], "what was not synced is not shown");
    drop(log);
    let log = open(dir.path(), 1, small()).unwrap();
    assert_eq!(texts(&log).await.first().unwrap(), "kept");
    append(&log, "new").await;
    assert_eq!(texts(&log).await.last().unwrap(), "new");
}

#[tokio::test]
async fn a_failed_write_poisons_too() {
    let dir = tempfile::tempdir().unwrap();
    let hook = DiskHook::new(|step| match step {
        DiskStep::Write(_) => Err(io::Error::other("no")),
        _ => Ok(()),
    });
    let log = open(dir.path(), 1, LogOptions { hook: Some(hook), ..small() }).unwrap();
    log.append(vec![record(1, "x")]).await.unwrap_err();
    assert!(log.failure().is_some());
    assert_eq!(log.tip(&ShardId::numbered(0)).await.unwrap(), None);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_keeps_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let hook = DiskHook::new({
        let gate = gate.clone();
        move |step| {
            if step == DiskStep::Sync {
                let closed = gate.0.lock().unwrap();
                drop(gate.1.wait_while(closed, |open| !*open).unwrap());
            }
            Ok(())
        }
    });
    let options = LogOptions { queue_records_max: 10, hook: Some(hook), ..small() };
    let log = Arc::new(open(dir.path(), 1, options).unwrap());
    let spawn = |id: usize| {
        let log = log.clone();
        tokio::spawn(async move { log.append(vec![record(id, "x")]).await })
    };
    let accepted: Vec<_> = (0..10).map(spawn).collect();
    while log.stats().waiting_records < 10 {
        tokio::task::yield_now().await;
    }
    let error = log.append(vec![record(1, "x")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains("full"), "{error}");
    *gate.0.lock().unwrap() = true;
    gate.1.notify_all();
    for append in accepted {
        append.await.unwrap().unwrap();
    }
    assert_eq!(texts(&log).await.len(), 10, "the refused one left nothing");
    log.append(vec![record(1, "x")]).await.unwrap();
}

#[tokio::test]
async fn what_can_never_fit_is_refused_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1, small()).unwrap();
    let error = log.append(vec![record(1, vec![0; 64 * 1024])]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let most = small().append_bytes_max() - HEADER_BYTES;
    log.append(vec![record(1, vec![7; most])]).await.unwrap();
    append(&log, "next").await;
    let all = read_all(&log, 0, ALL).await;
    assert_eq!((all[0].1.len(), all.len()), (most, 2));
}

#[tokio::test]
async fn no_room_for_a_segment_is_not_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let creates = Arc::new(AtomicU32::new(0));
    let hook = DiskHook::new({
        let creates = creates.clone();
        move |step| match step {
            DiskStep::Create if (1..=2).contains(&creates.fetch_add(1, Ordering::SeqCst)) => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    });
    let log = open(dir.path(), 1, LogOptions { hook: Some(hook), ..small() }).unwrap();
    let large = vec![7; 40_000];
    log.append(vec![record(1, large.clone())]).await.unwrap();
    let error = log.append(vec![record(1, large.clone())]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Retry);
    assert!(error.to_string().contains("free some disk space"), "{error}");
    assert_eq!(log.failure(), None);
    log.append(vec![record(1, large)]).await.unwrap();
    assert_eq!(read_all(&log, 0, ALL).await.len(), 2);
    assert!(creates.load(Ordering::SeqCst) >= 4);
}

#[tokio::test]
async fn what_was_read_from_files_before_hides_nothing_that_is_appended_since() {
    let dir = tempfile::tempdir().unwrap();
    // Nothing stays in memory, so every read goes through pieces that earlier reads left.
    let log = open(dir.path(), 2, LogOptions { tail_bytes_max: 0, ..small() }).unwrap();
    let mut expected: Vec<Vec<String>> = vec![Vec::new(); 2];
    for n in 0..150 {
        let text = format!("{n} {}", "x".repeat(n * 17 % 900));
        let places = log.append(vec![record(n % 5, text.clone())]).await.unwrap();
        let shard = log.index(&places[0].shard).unwrap();
        expected[usize::from(shard)].push(text);
        for (shard, expected) in (0..).zip(&expected) {
            let limit = ReadLimit { records_max: 1 + n % 40, ..ALL };
            let read = read_all(&log, shard, limit).await;
            let texts: Vec<_> = read.iter().map(|(_, data)| std::str::from_utf8(data).unwrap()).collect();
            assert_eq!(texts, *expected, "shard {shard} after {n}");
        }
    }
    assert!(log.stats().segments > 1);
}

#[tokio::test]
async fn a_lost_or_damaged_segment_shows() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 1, LogOptions { tail_bytes_max: 0, ..small() }).unwrap();
    for _ in 0..6 {
        log.append(vec![record(1, vec![7; 40_000])]).await.unwrap();
    }
    drop(log);
    let names: Vec<_> = (1..=6).map(|n| dir.path().join(format!("{n:020}.log"))).collect();
    let mut bytes = fs::read(&names[1]).unwrap();
    bytes[20_000] ^= 1;
    fs::write(&names[1], &bytes).unwrap();
    let log = open(dir.path(), 1, small()).unwrap();
    let from = Some(SequenceNumber::from_u64(1));
    let error = log.read(&ShardId::numbered(0), from.as_ref(), ALL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("00000000000000000002.log"), "{error}");
    drop(log);

    bytes[100] ^= 1;
    fs::write(&names[1], &bytes).unwrap();
    assert_eq!(open(dir.path(), 1, small()).unwrap_err().kind(), ErrorKind::Data, "a header");
    fs::remove_file(&names[1]).unwrap();
    let error = open(dir.path(), 1, small()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("restore 00000000000000000002.log"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_callers_share_few_syncs_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let options = LogOptions { segment_bytes: 256 * 1024, ..LogOptions::default() };
    let log = Arc::new(open(dir.path(), 4, options).unwrap());
    let caller = |id: usize| {
        let log = log.clone();
        tokio::spawn(async move {
            let mut places = Vec::new();
            for n in 0..40 {
                places.extend(log.append(vec![record(id, format!("{id} {n}"))]).await.unwrap());
            }
            assert!(places.windows(2).all(|p| p[0].shard == p[1].shard && p[0].sequence < p[1].sequence));
            places.into_iter().map(|p| p.sequence.to_u64().unwrap()).collect::<Vec<_>>()
        })
    };
    let callers: Vec<_> = (0..64).map(caller).collect();
    let mut positions = Vec::new();
    for caller in callers {
        positions.extend(caller.await.unwrap());
    }
    positions.sort_unstable();
    assert_eq!(positions, (1..=64 * 40).collect::<Vec<u64>>());
    let stats = log.stats();
    assert!(stats.batches < stats.records / 4, "{stats:?}");
    let mut seen = 0;
    for shard in 0..4 {
        let mut next = std::collections::HashMap::new();
        for (_, data) in read_all(&log, shard, ReadLimit { records_max: 37, ..ALL }).await {
            let text = String::from_utf8(data.to_vec()).unwrap();
            let (id, n) = text.split_once(' ').unwrap();
            let expected = next.entry(id.to_owned()).or_insert(0);
            assert_eq!(n.parse::<u32>().unwrap(), *expected);
            *expected += 1;
            seen += 1;
        }
    }
    assert_eq!(seen, 64 * 40);
}
