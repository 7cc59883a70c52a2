//! What the log forgets, and what it never does.

use std::fs;

use ledgerline_domain::ErrorKind;

use super::tests::{ALL, open, read_all, record, small};
use super::*;
use crate::partition::shard_index;

fn id_in(shard: u32) -> usize {
    (0..).find(|id| shard_index(&record(*id, "").key, 2) == shard).unwrap()
}

fn segments(dir: &Path) -> Vec<u64> {
    let mut first: Vec<u64> = fs::read_dir(dir)
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().to_str().unwrap().strip_suffix(".log").map(|n| n.parse().unwrap()))
        .collect();
    first.sort_unstable();
    first
}

/// Segments 1, 3, 5, 7: shard 0 has positions 1, 2, 3, 5, 6, 7; shard 1 has 4 and 8.
async fn four_segments(dir: &Path) -> EmbeddedLog {
    let log = open(dir, 2, small()).unwrap();
    for shard in [0, 0, 0, 1, 0, 0, 0, 1] {
        log.append(vec![record(id_in(shard), vec![9; 25_000])]).await.unwrap();
    }
    assert_eq!(segments(dir), [1, 3, 5, 7]);
    log
}

fn at(position: u64) -> SequenceNumber {
    SequenceNumber::from_u64(position)
}

#[tokio::test]
async fn a_segment_goes_when_every_shard_let_it_go() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path()).await;
    let (zero, one) = (ShardId::numbered(0), ShardId::numbered(1));
    log.release(&one, &at(8)).await.unwrap();
    assert_eq!(segments(dir.path()), [1, 3, 5, 7], "shard 0 let nothing go");
    log.release(&zero, &at(1)).await.unwrap();
    assert_eq!(segments(dir.path()), [1, 3, 5, 7], "position 2 is still needed");
    log.release(&zero, &at(3)).await.unwrap();
    assert_eq!(segments(dir.path()), [5, 7]);
    log.release(&zero, &at(2)).await.unwrap();
    log.release(&zero, &at(7)).await.unwrap();
    assert_eq!(segments(dir.path()), [7], "the one that is being written stays");
    assert_eq!(log.stats().segments, 1);
}

#[tokio::test]
async fn a_shard_without_records_in_a_segment_does_not_hold_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path()).await;
    log.release(&ShardId::numbered(0), &at(3)).await.unwrap();
    assert_eq!(segments(dir.path()), [3, 5, 7], "shard 1 has nothing before position 4");
}

#[tokio::test]
async fn who_is_behind_is_told_and_who_missed_nothing_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path()).await;
    let (zero, one) = (ShardId::numbered(0), ShardId::numbered(1));
    log.release(&zero, &at(6)).await.unwrap();
    log.release(&one, &at(4)).await.unwrap();
    for log in [log, open(dir.path(), 2, small()).unwrap_or_else(|e| panic!("{e}"))] {
        assert_eq!(segments(dir.path()), [7]);
        let error = log.read(&zero, Some(&at(3)), ALL).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("archive"), "{error}");
        assert_eq!(log.read(&zero, Some(&at(6)), ALL).await.unwrap().records.len(), 1);
        assert_eq!(log.read(&one, Some(&at(4)), ALL).await.unwrap().records.len(), 1, "4 was its last before");
        assert_eq!(log.read(&one, Some(&at(3)), ALL).await.unwrap_err().kind(), ErrorKind::Data);
        let positions: Vec<_> = read_all(&log, 0, ALL).await.into_iter().map(|(p, _)| p).collect();
        assert_eq!(positions, [7], "from the oldest kept one");
        let beyond = log.read(&zero, Some(&at(99)), ALL).await.unwrap_err();
        assert_eq!(beyond.kind(), ErrorKind::Data);
    }
}

#[tokio::test]
async fn positions_go_on_after_everything_was_released() {
    let dir = tempfile::tempdir().unwrap();
    let log = four_segments(dir.path()).await;
    for shard in 0..2 {
        log.release(&ShardId::numbered(shard), &at(8)).await.unwrap();
    }
    drop(log);
    let log = open(dir.path(), 2, small()).unwrap();
    assert_eq!(log.tip(&ShardId::numbered(0)).await.unwrap(), Some(at(7)));
    assert_eq!(log.tip(&ShardId::numbered(1)).await.unwrap(), Some(at(8)));
    let places = log.append(vec![record(id_in(1), "x")]).await.unwrap();
    assert_eq!(places[0].sequence, at(9));
    let batch = log.read(&ShardId::numbered(1), Some(&at(4)), ALL).await.unwrap();
    assert_eq!(batch.records.len() as u64 + batch.behind, 2, "8 and 9; a read may stop between file and memory");
}

#[tokio::test]
async fn strangers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path(), 2, small()).unwrap();
    let kinds = [
        log.read(&ShardId::numbered(2), None, ALL).await.unwrap_err().kind(),
        log.read(&ShardId::numbered(0), Some(&SequenceNumber::new("x")), ALL).await.unwrap_err().kind(),
        log.tip(&ShardId::new("shard-x")).await.unwrap_err().kind(),
        log.release(&ShardId::numbered(0), &SequenceNumber::new("")).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [ErrorKind::Invalid; 4]);
}
