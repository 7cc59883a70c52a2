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
    let Embedded { log, store, archive, control, state } = Embedded::open(dir.path(), small()).await.unwrap();
    let refused = async || Embedded::open(dir.path(), small()).await.unwrap_err().to_string();
    assert!(refused().await.contains("is using it"));
    drop(log);
    assert!(refused().await.contains("is using it"));
    drop((store, state));
    assert!(refused().await.contains("is using it"));
    drop(control);
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

#[tokio::test]
async fn readers_follow_the_live_mark_and_a_retired_generation_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = Embedded::open(dir.path(), small()).await.unwrap();
    let shard = ShardId::numbered(0);
    let at = |n| Commit {
        shard: shard.clone(),
        checkpoint: SequenceNumber::from_u64(n),
        writes: Vec::new(),
        parked: Vec::new(),
    };
    let beside = EmbeddedReader::open(dir.path()).await.unwrap();
    let now = ledgerline_domain::time::UnixNanos::from_nanos(0);
    let number = beside.control.begin_generation(None, 1, ProviderTexts::new(), now).await.unwrap();
    let building = beside.building(number).await.unwrap();
    building.commit(at(0)).await.unwrap();
    drop(building);
    assert_eq!(data.make_live(number).await.unwrap_err().kind(), ErrorKind::Conflict, "it is being built");
    assert_eq!(data.store.pinned().0, 1);
    beside.control.part_done(number, 1).await.unwrap();
    beside.control.ready(number).await.unwrap();

    let holder = data.store.clone();
    data.make_live(number).await.unwrap();
    assert_eq!(holder.checkpoint(&shard).await.unwrap(), Some(SequenceNumber::from_u64(0)));
    assert_eq!(EmbeddedReader::open(dir.path()).await.unwrap().live, number);
    assert_eq!(data.retire(number).await.unwrap_err().kind(), ErrorKind::Conflict, "it is live");
    data.retire(1).await.unwrap();
    let names: Vec<_> = std::fs::read_dir(dir.path().join("state")).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name.to_string_lossy().starts_with("generation-0002.db")), "{names:?}");
    drop((data, holder));
    let again = Embedded::open(dir.path(), small()).await.unwrap();
    assert_eq!(again.store.pinned().0, number);
}
