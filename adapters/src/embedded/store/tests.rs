//! What is particular to the SQLite store; what every store does is in the conformance suite.

use std::path::Path;

use bytes::Bytes;
use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::SourceName;
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::EntityWrite;

use super::*;

const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);

fn key(id: usize) -> EntityKey {
    EntityKey::parse(&format!("shop/order/o_{id:06}")).unwrap()
}

/// A record with one event that gives its status.
fn write(id: usize, status: &str) -> EntityWrite {
    let event = Incoming {
        id: "evt_1".into(),
        event_type: "order.updated".into(),
        order: OrderKey { class: OrderClass::Monotonic, value: 1 },
        occurred_at: Some(AT),
        received_at: AT,
        sequence: SequenceNumber::from_u64(1),
        meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: Some(status.into()) }),
    };
    EntityWrite { record: apply(&key(id), None, vec![event]).0, expected_revision: 0 }
}

fn batch(writes: Vec<EntityWrite>, checkpoint: u64) -> Commit {
    let checkpoint = SequenceNumber::from_u64(checkpoint);
    Commit { shard: ShardId::numbered(0), checkpoint, writes, parked: Vec::new() }
}

fn parked(id: &str) -> Quarantined {
    Quarantined {
        id: id.into(),
        source: SourceName::new("shop").unwrap(),
        entity: key(1),
        event_id: "evt_9".into(),
        reason: "read the order: it has no id".into(),
        received_at: AT,
        envelope: Bytes::from_static(b"{}"),
        released_at: None,
    }
}

fn open(dir: &Path) -> EmbeddedStore {
    EmbeddedStore::open(&dir.join("state.db"), None).unwrap()
}

fn sql(dir: &Path, text: &str) {
    Connection::open(dir.join("state.db")).unwrap().execute_batch(text).unwrap();
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_for_a_reader_beside() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut commit = batch(vec![write(1, "open"), write(2, "paid")], 7);
    commit.parked = vec![parked("shard-0000:5")];
    store.commit(commit.clone()).await.unwrap();
    let beside = EmbeddedStore::open_read_only(&dir.path().join("state.db")).unwrap();
    let check = async |store: &EmbeddedStore| {
        let loaded = store.load(&[key(2), key(3), key(1)]).await.unwrap();
        let expected = [Some(&commit.writes[1].record), None, Some(&commit.writes[0].record)];
        assert_eq!(loaded.iter().map(Option::as_ref).collect::<Vec<_>>(), expected);
        assert_eq!(store.checkpoint(&ShardId::numbered(0)).await.unwrap(), Some(SequenceNumber::from_u64(7)));
        assert_eq!(store.quarantined(false, None, 9).await.unwrap(), [parked("shard-0000:5")]);
    };
    check(&beside).await;
    store.commit(batch(vec![write(3, "open")], 8)).await.unwrap();
    assert!(beside.load(&[key(3)]).await.unwrap()[0].is_some(), "a reader sees what was written later");
    let error = beside.commit(batch(Vec::new(), 9)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    drop((store, beside));
    let store = open(dir.path());
    assert_eq!(store.checkpoint(&ShardId::numbered(0)).await.unwrap(), Some(SequenceNumber::from_u64(8)));
    drop(store);
    // Nobody serves, and the database was closed in order.
    let alone = EmbeddedStore::open_read_only(&dir.path().join("state.db")).unwrap();
    assert!(alone.load(&[key(3)]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn a_durable_checkpoint_survives_without_a_checkpointed_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let shard = ShardId::numbered(0);
    assert_eq!(store.durable_checkpoint(&shard).await.unwrap(), None);
    store.commit(batch(vec![write(1, "open")], 7)).await.unwrap();
    assert_eq!(store.durable_checkpoint(&shard).await.unwrap(), Some(SequenceNumber::from_u64(7)));
    // What is on the disk now, as after a power loss: the database and its log of writes.
    let lost = tempfile::tempdir().unwrap();
    for name in ["state.db", "state.db-wal"] {
        std::fs::copy(dir.path().join(name), lost.path().join(name)).unwrap();
    }
    let again = open(lost.path());
    assert_eq!(again.checkpoint(&shard).await.unwrap(), Some(SequenceNumber::from_u64(7)));
    assert!(again.load(&[key(1)]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn newer_tables_and_other_programs_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()));
    sql(dir.path(), "PRAGMA user_version = 3");
    for error in [
        EmbeddedStore::open(&dir.path().join("state.db"), None).unwrap_err(),
        EmbeddedStore::open_read_only(&dir.path().join("state.db")).unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.to_string().contains("use the newer program"), "{error}");
    }
    sql(dir.path(), "PRAGMA user_version = 2; PRAGMA application_id = 5");
    let error = EmbeddedStore::open(&dir.path().join("state.db"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);

    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("state.db"), vec![b'x'; 4096]).unwrap();
    let error = EmbeddedStore::open(&other.path().join("state.db"), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    let error = EmbeddedStore::open_read_only(&other.path().join("none.db")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
}

#[tokio::test]
async fn a_damaged_record_names_its_entity() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(batch(vec![write(1, "open")], 1)).await.unwrap();
    sql(dir.path(), "UPDATE entities SET record = x'0100ff'");
    let error = store.load(&[key(1)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("shop/order/o_000001"), "{error}");
    assert_eq!(store.list(&EntityFilter::default(), None, 9).await.unwrap_err().kind(), ErrorKind::Data);
}

#[tokio::test]
async fn rare_and_common_statuses_give_the_same_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let writes = (0..12_000).map(|id| write(id, if id % 1000 == 3 { "rare" } else { "common" })).collect();
    store.commit(batch(writes, 1)).await.unwrap();
    let ids = async |status: &str, after: Option<usize>, limit| -> Vec<String> {
        let filter = EntityFilter { status: Some(status.into()), ..EntityFilter::default() };
        let found = store.list(&filter, after.map(key).as_ref(), limit).await.unwrap();
        found.iter().map(|r| r.key.id().to_owned()).collect()
    };
    assert_eq!(ids("rare", Some(8000), 3).await, ["o_008003", "o_009003", "o_010003"]);
    assert_eq!(ids("common", Some(8001), 3).await, ["o_008002", "o_008004", "o_008005"]);
    assert_eq!(ids("other", None, 3).await, Vec::<String>::new());
}

#[tokio::test]
async fn wrong_revisions_are_a_bug_of_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut wrong = write(1, "open");
    wrong.expected_revision = 5;
    assert_eq!(store.commit(batch(vec![wrong], 1)).await.unwrap_err().kind(), ErrorKind::Invalid);
    let twice = batch(vec![write(1, "open"), write(1, "paid")], 1);
    assert_eq!(store.commit(twice).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.checkpoint(&ShardId::numbered(0)).await.unwrap(), None);
}

#[tokio::test]
async fn parts_share_many_records_out_evenly_whatever_is_added_meanwhile() {
    const RECORDS: usize = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    store.commit(batch((0..RECORDS).map(|id| write(id, "open")).collect(), 1)).await.unwrap();
    for (of, limit) in [(1, 999), (2, 1000), (3, 4096), (5, 5000), (7, 100_000)] {
        let mut found = Vec::new();
        for number in 0..of {
            let (mut after, before) = (None, found.len());
            loop {
                let page = store.stored(StoredPart { number, of }, after.as_deref(), limit).await.unwrap();
                found.extend(page.records.into_iter().map(|stored| stored.key));
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            // No part has more than one block of 4096 rows more than another.
            assert!((found.len() - before).abs_diff(RECORDS / of as usize) <= 4096, "part {number} of {of}");
        }
        found.sort();
        assert!(found.iter().eq((0..RECORDS).map(key).collect::<Vec<_>>().iter()), "{of} parts in pages of {limit}");
    }
    let half = StoredPart { number: 0, of: 2 };
    let page = store.stored(half, None, 100).await.unwrap();
    store.commit(batch((RECORDS..2 * RECORDS).map(|id| write(id, "open")).collect(), 2)).await.unwrap();
    let rest = store.stored(half, page.next.as_deref(), 100_000).await.unwrap();
    assert!((RECORDS - 4096..=RECORDS + 4096).contains(&(rest.records.len() + 100)));
}

/// The tables that version 1 made, with a record in them.
#[tokio::test]
async fn a_database_of_version_1_is_read_and_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let record = write(1, "open").record;
    drop(open(dir.path()));
    sql(
        dir.path(),
        "DROP INDEX entities_by_status; DROP INDEX entities_for_attention; DROP TABLE entities;
         CREATE TABLE entities (
           id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, revision INTEGER NOT NULL, source TEXT NOT NULL,
           kind TEXT NOT NULL, status TEXT NOT NULL, attention INTEGER NOT NULL, last_at INTEGER,
           state TEXT NOT NULL, record BLOB NOT NULL
         );
         CREATE INDEX entities_by_status ON entities (status);
         CREATE INDEX entities_for_attention ON entities (key) WHERE attention = 1;
         PRAGMA user_version = 1;",
    );
    let connection = Connection::open(dir.path().join("state.db")).unwrap();
    let text = "INSERT INTO entities VALUES (7, ?1, 1, 'shop', 'order', 'open', 0, 5, '{}', ?2)";
    connection.execute(text, params![record.key.as_str(), record.encode().unwrap()]).unwrap();
    drop(connection);
    let found = [Some(record.clone())];
    let beside = EmbeddedStore::open_read_only(&dir.path().join("state.db")).unwrap();
    assert_eq!(beside.load(std::slice::from_ref(&record.key)).await.unwrap(), found, "read as it is");
    drop(beside);
    for _ in 0..2 {
        let store = open(dir.path());
        assert_eq!(store.load(std::slice::from_ref(&record.key)).await.unwrap(), found);
        let filter =
            EntityFilter { status: Some("open".into()), kind: Some("order".into()), ..EntityFilter::default() };
        assert_eq!(store.list(&filter, None, 9).await.unwrap(), std::slice::from_ref(&record));
        let version: i64 =
            store.read("ask", |c| Ok(c.pragma_query_value(None, "user_version", |r| r.get(0)).unwrap())).await.unwrap();
        assert_eq!(version, 2);
    }
    open(dir.path()).commit(batch(vec![write(2, "paid")], 1)).await.unwrap();
}
