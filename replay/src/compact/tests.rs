//! Compacted objects hold what they replace, and a crash between any two of them leaves nothing wrong.

use super::*;
use crate::check::{ArchiveReport, check};
use crate::doubles::*;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// Two shards, three hours, segments of three records.
fn archive() -> TestArchive {
    let events: Vec<_> = (0..60).map(|n| made(n as u32 % 20, What::Captured(n + 1), n * 170, n * 170)).collect();
    TestArchive::of(&log(&events), 3)
}

fn planned(archive: &TestArchive, bytes_max: u64) -> CompactionPlan {
    wait(plan_with(archive, STREAM, |_| true, bytes_max)).unwrap()
}

fn checked(archive: &TestArchive) -> ArchiveReport {
    wait(check(archive, &mut |_| ())).unwrap()
}

/// Faults besides the heads, which this archive has none of.
fn faults(report: &ArchiveReport) -> Vec<(FaultKind, &str)> {
    let faults = report.faults.iter().map(|fault| (fault.kind, fault.key.as_str()));
    faults.filter(|(_, key)| !key.starts_with("heads/")).collect()
}

fn compacted(archive: &TestArchive) -> Vec<String> {
    archive.0.lock().unwrap().keys().filter(|key| key.starts_with("compacted/")).cloned().collect()
}

#[test]
fn compacted_objects_hold_every_record_and_are_proved() {
    let archive = archive();
    let before: Vec<_> = archive.0.lock().unwrap().clone().into_iter().collect();
    let plan = planned(&archive, RUN_BYTES_MAX);
    assert_eq!((plan.runs.len(), plan.records(), plan.hours), (6, 60, 3), "one for each shard and hour");
    assert_eq!(wait(write(&archive, &plan, &mut |_| ())).unwrap(), 6);
    let report = checked(&archive);
    assert_eq!((faults(&report), report.compacted), (Vec::new(), 6));
    let keys = compacted(&archive);
    assert!(keys.iter().all(|key| SegmentKey::parse_compacted(key).is_some()), "{keys:?}");
    let records: u64 = keys.iter().map(|key| SegmentReader::open(archive.object(key)).unwrap().info().count).sum();
    assert_eq!(records, 60);
    // The originals are untouched, and there is nothing left to do.
    assert!(before.iter().all(|(key, object)| archive.object(key) == *object));
    assert!(planned(&archive, RUN_BYTES_MAX).runs.is_empty());
}

#[test]
fn a_crash_between_any_two_objects_leaves_nothing_wrong() {
    let whole = archive();
    let bytes_max = whole.object(&whole.segments(0)[0]).len() as u64 * 2;
    let plan = planned(&whole, bytes_max);
    assert!(plan.runs.len() > 6, "several for an hour");
    wait(write(&whole, &plan, &mut |_| ())).unwrap();
    for done in 0..plan.runs.len() {
        let archive = archive();
        let part = CompactionPlan { runs: plan.runs[..done].to_vec(), ..plan.clone() };
        wait(write(&archive, &part, &mut |_| ())).unwrap();
        assert_eq!(faults(&checked(&archive)), [], "after {done}");
        let rest = planned(&archive, bytes_max);
        assert_eq!(rest.runs.len(), plan.runs.len() - done);
        // Another one may have been faster: what is there stays.
        assert_eq!(wait(write(&archive, &plan, &mut |_| ())).unwrap() as usize, plan.runs.len() - done);
        assert_eq!(*archive.0.lock().unwrap(), *whole.0.lock().unwrap());
    }
}

#[test]
fn incomplete_hours_wait_and_late_segments_follow() {
    let archive = archive();
    let key = keys::manifest(STREAM, "2026-11-24T14");
    let whole = Manifest::decode(&archive.object(&key)).unwrap();
    let mut part = whole.clone();
    part.complete = false;
    archive.put(&key, part.encode().unwrap().into());
    let plan = planned(&archive, RUN_BYTES_MAX);
    assert_eq!((plan.hours_incomplete, plan.runs.len()), (1, 4));
    // Complete but for its last segments, which join later.
    part.complete = true;
    part.shards.iter_mut().for_each(|shard| _ = shard.segments.pop());
    part.totals = part.sums();
    archive.put(&key, part.encode().unwrap().into());
    wait(write(&archive, &planned(&archive, RUN_BYTES_MAX), &mut |_| ())).unwrap();
    archive.put(&key, whole.encode().unwrap().into());
    let late = planned(&archive, RUN_BYTES_MAX);
    assert_eq!((late.runs.len(), late.segments()), (2, 2));
    wait(write(&archive, &late, &mut |_| ())).unwrap();
    assert_eq!((faults(&checked(&archive)), compacted(&archive).len()), (Vec::new(), 8));
}

#[test]
fn what_is_not_as_it_was_is_named() {
    let archive = archive();
    wait(write(&archive, &planned(&archive, RUN_BYTES_MAX), &mut |_| ())).unwrap();
    let keys = compacted(&archive);
    let good = archive.object(&keys[0]);
    for at in (0..good.len()).step_by(211) {
        let mut bad = good.to_vec();
        bad[at] ^= 1;
        archive.put(&keys[0], bad.into());
        assert_eq!(faults(&checked(&archive)), [(FaultKind::Damaged, keys[0].as_str())], "byte {at}");
    }
    archive.put(&keys[0], archive.object(&keys[1]));
    assert_eq!(faults(&checked(&archive)), [(FaultKind::Misplaced, keys[0].as_str())]);
    // Sound, and of other events at the same place.
    let others: Vec<_> = (0..60).map(|n| made(n as u32 % 20, What::Captured(n + 2), n * 170, n * 170)).collect();
    let other = TestArchive::of(&log(&others), 3);
    wait(write(&other, &planned(&other, RUN_BYTES_MAX), &mut |_| ())).unwrap();
    archive.put(&keys[0], other.object(&keys[0]));
    assert_eq!(faults(&checked(&archive)), [(FaultKind::Compacted, keys[0].as_str())]);
    archive.put(&keys[0], good);
    // A segment that is gone is missed by the compacted object too.
    let segment = archive.segments(0).remove(0);
    archive.take(&segment);
    let report = checked(&archive);
    assert!(faults(&report).contains(&(FaultKind::Compacted, keys[0].as_str())), "{:?}", report.faults);
    archive.put("compacted/x", "x".into());
    assert!(faults(&checked(&archive)).contains(&(FaultKind::Stray, "compacted/x")));
}
