//! A data directory as a whole.

use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive as _, Commit};

use super::*;

fn small() -> EmbeddedOptions {
    let log = LogOptions { segment_bytes: 64 * 1024, ..LogOptions::default() };
    EmbeddedOptions { shards: None, log }
}

#[tokio::test]
async fn opens_anew_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made/on/the/way");
    let data = Embedded::open(&dir, small()).await.unwrap();
    assert_eq!(data.log.shards().len(), 4);
    drop(data);
    let data = Embedded::open(&dir, EmbeddedOptions { shards: Some(4), ..small() }).await.unwrap();
    drop(data);
    let error = Embedded::open(&dir, EmbeddedOptions { shards: Some(5), ..small() }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("made with 4"), "{error}");
}

#[tokio::test]
async fn one_user_at_a_time_until_the_last_part_is_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let Embedded { log, store, archive } = Embedded::open(dir.path(), small()).await.unwrap();
    let refused = async || Embedded::open(dir.path(), small()).await.unwrap_err().to_string();
    assert!(refused().await.contains("is using it"));
    drop(log);
    assert!(refused().await.contains("is using it"));
    drop(store);
    assert!(refused().await.contains("is using it"));
    drop(archive);
    Embedded::open(dir.path(), small()).await.unwrap();
}

#[tokio::test]
async fn newer_data_is_refused_by_everybody() {
    let dir = tempfile::tempdir().unwrap();
    drop(Embedded::open(dir.path(), small()).await.unwrap());
    let format = dir.path().join("format");
    let text = std::fs::read_to_string(&format).unwrap();
    std::fs::write(&format, text.replace(":2,", ":3,")).unwrap();
    for error in
        [Embedded::open(dir.path(), small()).await.unwrap_err(), EmbeddedReader::open(dir.path()).await.unwrap_err()]
    {
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("version 3"), "{error}");
    }
}

#[tokio::test]
async fn a_reader_needs_no_lock_and_makes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let error = EmbeddedReader::open(dir.path()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let data = Embedded::open(dir.path(), small()).await.unwrap();
    data.archive.create("a/b", "x".into()).await.unwrap();
    let reader = EmbeddedReader::open(dir.path()).await.unwrap();
    assert_eq!(reader.archive.get("a/b").await.unwrap().unwrap(), "x");
    assert_eq!(reader.store.checkpoint(&ShardId::numbered(0)).await.unwrap(), None);
}

#[tokio::test]
async fn state_ahead_of_the_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = Embedded::open(dir.path(), small()).await.unwrap();
    let checkpoint = SequenceNumber::from_u64(9);
    let commit = Commit { shard: ShardId::numbered(2), checkpoint, writes: Vec::new(), parked: Vec::new() };
    data.store.commit(commit).await.unwrap();
    drop(data);
    let error = Embedded::open(dir.path(), small()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("shard-0002"), "{error}");
}

#[tokio::test]
async fn wrong_options_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("data");
    let log = LogOptions { segment_bytes: 1, ..LogOptions::default() };
    assert_eq!(
        Embedded::open(&dir, EmbeddedOptions { shards: None, log }).await.unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert!(!dir.exists());
}
