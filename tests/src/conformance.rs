//! What every adapter promises, as tests that any of them can be put through.
//!
//! Each function takes a fresh, empty adapter and panics with what was broken. The memory adapters
//! pass as the reference; the others must not differ in anything that a role can see.

#![expect(clippy::panic, clippy::expect_used, reason = "a broken promise ends the test")]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId, SourceName};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::{
    Archive, Commit, Created, Entities, EntityFilter, EntityWrite, Log, LogRecord, Quarantine, Quarantined, ReadLimit,
    Stored,
};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind};

const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);
/// A limit that takes everything and does not wait.
pub const ALL: ReadLimit = ReadLimit { records_max: usize::MAX, bytes_max: usize::MAX, wait: Duration::ZERO };

fn ok<T>(result: Result<T, Error>) -> T {
    result.unwrap_or_else(|error| panic!("failed to {error}"))
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    match result {
        Ok(value) => panic!("expected an error, got {value:?}"),
        Err(error) => error.kind(),
    }
}

/// The key of entity `id`.
pub fn key(source: &str, kind: &str, id: u32) -> EntityKey {
    ok(EntityKey::parse(&format!("{source}/{kind}/id_{id:04}")))
}

fn record(id: u32, n: u32) -> LogRecord {
    LogRecord { key: key("shop", "order", id), data: Bytes::from(format!("{id} {n}")) }
}

/// The log keeps the order per key, answers place by place, and gives everything back.
pub async fn log_keeps_order_per_key<L: Log>(log: &Arc<L>) {
    let mut writers = Vec::new();
    for writer in 0..8_u32 {
        let log = log.clone();
        writers.push(tokio::spawn(async move {
            for n in 0..20 {
                // Each writer has entities of its own; some calls carry several records of one.
                let batch: Vec<_> =
                    (0..3).flat_map(|i| [record(writer * 3 + i, n * 2), record(writer * 3 + i, n * 2 + 1)]).collect();
                let places = ok(log.append(batch).await);
                assert_eq!(places.len(), 6, "one place per record");
                for pair in places.chunks(2) {
                    assert_eq!(pair[0].shard, pair[1].shard, "one key, one shard");
                    assert!(pair[0].sequence < pair[1].sequence, "in the given order");
                }
            }
        }));
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert_eq!(ok(log.append(Vec::new()).await), []);
    let mut next: HashMap<String, u32> = HashMap::new();
    for shard in log.shards() {
        let (mut after, mut behind) = (None, None);
        loop {
            let limit = ReadLimit { records_max: 17, ..ALL };
            let batch = ok(log.read(&shard, after.as_ref(), limit).await);
            let Some(last) = batch.records.last() else { break };
            if let Some(behind) = behind {
                assert_eq!(batch.behind + batch.records.len() as u64, behind, "behind is exact");
            }
            behind = Some(batch.behind);
            for pair in batch.records.windows(2) {
                assert!(pair[0].sequence < pair[1].sequence);
            }
            after = Some(last.sequence.clone());
            for found in batch.records {
                let text = String::from_utf8(found.value.to_vec()).expect("text");
                let (id, n) = text.split_once(' ').expect("two parts");
                let expected = next.entry(id.to_owned()).or_default();
                assert_eq!(n.parse(), Ok(*expected), "entity {id} in {shard}");
                *expected += 1;
            }
        }
        assert_eq!(behind.unwrap_or(0), 0);
        assert_eq!(ok(log.tip(&shard).await), after, "the tip is the last record");
    }
    assert_eq!(next.len(), 24);
    assert!(next.values().all(|n| *n == 40), "none lost, none twice");
}

/// Reads start strictly after a position and respect both limits; one record is always given.
pub async fn log_reads_after_a_position<L: Log>(log: &Arc<L>) {
    let places = ok(log.append((0..10).map(|n| record(1, n)).collect()).await);
    let shard = &places[0].shard;
    let all = ok(log.read(shard, None, ALL).await);
    assert_eq!(
        all.records.iter().map(|r| &r.sequence).collect::<Vec<_>>(),
        places.iter().map(|p| &p.sequence).collect::<Vec<_>>()
    );
    for (n, place) in places.iter().enumerate() {
        let batch = ok(log.read(shard, Some(&place.sequence), ALL).await);
        assert_eq!(batch.records, all.records[n + 1..]);
    }
    let two = ok(log.read(shard, Some(&places[2].sequence), ReadLimit { records_max: 2, ..ALL }).await);
    assert_eq!((two.records.as_slice(), two.behind), (&all.records[3..5], 5));
    // Every record has three bytes.
    for (bytes_max, records) in [(0, 1), (2, 1), (3, 1), (5, 1), (6, 2), (10, 3)] {
        let some = ok(log.read(shard, None, ReadLimit { bytes_max, ..ALL }).await);
        assert_eq!(some.records.len(), records, "{bytes_max} bytes");
    }
    for other in log.shards().iter().filter(|other| *other != shard) {
        assert_eq!(ok(log.tip(other).await), None);
        assert_eq!(ok(log.read(other, None, ALL).await).records, []);
    }
    assert_eq!(kind(log.read(&ShardId::new("no such shard"), None, ALL).await), ErrorKind::Invalid);
    assert_eq!(kind(log.tip(&ShardId::new("no such shard")).await), ErrorKind::Invalid);
}

/// A read that finds nothing waits, and wakes up for a record of its shard.
pub async fn log_wakes_readers<L: Log>(log: &Arc<L>) {
    let places = ok(log.append(vec![record(1, 0)]).await);
    let (shard, after) = (places[0].shard.clone(), places[0].sequence.clone());
    let began = Instant::now();
    let short = ReadLimit { wait: Duration::from_millis(50), ..ALL };
    let nothing = ok(log.read(&shard, Some(&after), short).await);
    assert_eq!((nothing.records.len(), nothing.behind), (0, 0));
    assert!(began.elapsed() >= Duration::from_millis(50), "it waited");
    let reader = tokio::spawn({
        let log = log.clone();
        async move {
            let began = Instant::now();
            let long = ReadLimit { wait: Duration::from_secs(30), ..ALL };
            (ok(log.read(&shard, Some(&after), long).await), began.elapsed())
        }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    ok(log.append(vec![record(1, 1)]).await);
    let (batch, waited) = reader.await.expect("the reader");
    assert_eq!(batch.records.len(), 1);
    assert_eq!(batch.records[0].value, "1 1");
    assert!(waited < Duration::from_secs(10), "it woke up");
}

/// Released records may be gone; what follows is still there, and numbers go on.
pub async fn log_releases<L: Log>(log: &Arc<L>) {
    let places = ok(log.append((0..10).map(|n| record(1, n)).collect()).await);
    let shard = &places[0].shard;
    ok(log.release(shard, &places[4].sequence).await);
    ok(log.release(shard, &places[1].sequence).await);
    let rest = ok(log.read(shard, Some(&places[4].sequence), ALL).await);
    assert_eq!(rest.records.len(), 5);
    ok(log.release(shard, &places[9].sequence).await);
    assert_eq!(ok(log.tip(shard).await).as_ref(), Some(&places[9].sequence), "the tip stays");
    let more = ok(log.append(vec![record(1, 10)]).await);
    assert!(more[0].sequence > places[9].sequence);
    let batch = ok(log.read(shard, Some(&places[9].sequence), ALL).await);
    assert_eq!(batch.records.len(), 1);
}

/// A record of entity `id` whose document has `status`; a second event at number `at`, if any.
fn entity(key: &EntityKey, before: Option<EntityRecord>, at: i64, status: &str) -> EntityWrite {
    let expected_revision = before.as_ref().map_or(0, |record| record.revision);
    let event = Incoming {
        id: format!("evt_{at}").into(),
        event_type: "order.updated".into(),
        order: OrderKey { class: OrderClass::Contiguous { first: 1 }, value: at },
        occurred_at: Some(AT),
        received_at: AT,
        sequence: SequenceNumber::from_u64(u64::try_from(at).expect("a number")),
        meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: Some(status.into()) }),
    };
    EntityWrite { record: apply(key, before, vec![event]).0, expected_revision }
}

fn commit(writes: Vec<EntityWrite>, checkpoint: u64) -> Commit {
    let checkpoint = SequenceNumber::from_u64(checkpoint);
    Commit { shard: ShardId::numbered(0), checkpoint, writes, parked: Vec::new() }
}

fn item(n: u32, reason: &str) -> Quarantined {
    Quarantined {
        id: format!("shard-0000:{n:020}"),
        source: ok(SourceName::new("shop")),
        entity: key("shop", "order", 1),
        event_id: format!("evt_{n}"),
        reason: reason.into(),
        received_at: AT,
        envelope: Bytes::from(vec![0, 159, 146, 150, u8::try_from(n).expect("small")]),
        released_at: None,
    }
}

/// Records come back equal; a conflict anywhere in a batch writes nothing of it.
pub async fn store_commits_whole_batches<S: Entities + Quarantine>(store: &Arc<S>) {
    let shard = ShardId::numbered(0);
    let keys: Vec<_> = (0..4).map(|id| key("shop", "order", id)).collect();
    assert_eq!(ok(store.load(&keys).await), vec![None; 4]);
    assert_eq!(ok(store.checkpoint(&shard).await), None);
    let first: Vec<_> = keys[..3].iter().map(|key| entity(key, None, 1, "open")).collect();
    ok(store.commit(commit(first.clone(), 10)).await);
    let asked = [keys[2].clone(), keys[3].clone(), keys[0].clone(), keys[2].clone()];
    let records = |places: &[Option<usize>]| -> Vec<Option<EntityRecord>> {
        places.iter().map(|at| at.map(|at| first[at].record.clone())).collect()
    };
    assert_eq!(ok(store.load(&asked).await), records(&[Some(2), None, Some(0), Some(2)]), "one place per key");

    // The second write is one revision late; so is a first write of a record that exists.
    let on = |at: usize| entity(&keys[at], Some(first[at].record.clone()), 2, "paid");
    ok(store.commit(commit(vec![on(1)], 11)).await);
    for late in [on(1), first[1].clone()] {
        let mut batch = commit(vec![on(0), late, entity(&keys[3], None, 1, "open")], 12);
        batch.parked = vec![item(1, "never seen")];
        assert_eq!(kind(store.commit(batch).await), ErrorKind::Conflict);
    }
    // A record that is expected to exist and does not.
    let mut orphan = entity(&keys[3], None, 1, "open");
    orphan.record.revision = 2;
    orphan.expected_revision = 1;
    assert_eq!(kind(store.commit(commit(vec![on(0), orphan], 12)).await), ErrorKind::Conflict);

    let now = ok(store.load(&keys).await);
    assert_eq!(now[0].as_ref(), Some(&first[0].record));
    assert_eq!(now[1].as_ref().map(|r| (r.revision, r.status().to_owned())), Some((2, "paid".into())));
    assert_eq!(now[3], None);
    assert_eq!(ok(store.checkpoint(&shard).await), Some(SequenceNumber::from_u64(11)));
    assert_eq!(ok(store.quarantined(true, None, 10).await), []);

    let mut wrong = on(0);
    wrong.record.revision = 7;
    assert_eq!(kind(store.commit(commit(vec![wrong], 12)).await), ErrorKind::Invalid);
    assert_eq!(kind(store.commit(commit(vec![on(0), on(0)], 12)).await), ErrorKind::Invalid, "one write per entity");
}

/// Many writers on one record: every revision is written once.
pub async fn store_revisions_are_won_once<S: Entities>(store: &Arc<S>) {
    let entity_key = key("shop", "order", 1);
    let mut writers = Vec::new();
    for _ in 0..8 {
        let (store, entity_key) = (store.clone(), entity_key.clone());
        writers.push(tokio::spawn(async move {
            let mut won = 0;
            while won < 5 {
                let before = ok(store.load(std::slice::from_ref(&entity_key)).await).remove(0);
                let at = before.as_ref().map_or(1, |r| i64::try_from(r.revision).expect("small") + 1);
                match store.commit(commit(vec![entity(&entity_key, before, at, "open")], 1)).await {
                    Ok(_) => won += 1,
                    Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
                }
            }
        }));
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    let record = ok(store.load(&[entity_key]).await).remove(0).expect("the record");
    assert_eq!((record.revision, record.entries.len()), (40, 40), "no write was lost");
}

/// A checkpoint moves forward only, each shard's by itself; a batch without records moves it too.
pub async fn store_checkpoints_never_move_back<S: Entities>(store: &Arc<S>) {
    for (shard, given, stands) in [(0, 5, 5), (0, 3, 5), (1, 2, 2), (0, 5, 5), (0, 100, 100), (0, 99, 100), (1, 9, 9)] {
        let batch = Commit { shard: ShardId::numbered(shard), ..commit(Vec::new(), given) };
        ok(store.commit(batch).await);
        assert_eq!(ok(store.checkpoint(&ShardId::numbered(shard)).await), Some(SequenceNumber::from_u64(stands)));
    }
}

/// Filters combine; pages follow each other in key order without gap or overlap.
pub async fn store_lists_by_filter<S: Entities>(store: &Arc<S>) {
    let mut all = Vec::new();
    for (source, kinds) in
        [("shop", ["order", "payment"]), ("shop-2", ["order", "ticket"]), ("zoo", ["order", "order2"])]
    {
        for kind in kinds {
            for id in 0..6_u32 {
                // A hole makes an event wait: the entity needs attention.
                let at = if id % 3 == 0 { 2 } else { 1 };
                all.push(entity(&key(source, kind, id), None, at, if id % 2 == 0 { "open" } else { "paid" }));
            }
        }
    }
    ok(store.commit(commit(all.clone(), 1)).await);
    let mut expected: Vec<EntityRecord> = all.into_iter().map(|write| write.record).collect();
    expected.sort_by(|a, b| a.key.cmp(&b.key));
    let some = |text: &str| Some(text.to_owned());
    for source in [None, some("shop"), some("shop-2"), some("sho"), some("shop/order")] {
        for kind in [None, some("order"), some("ticket"), some("ord")] {
            for status in [None, some("open"), some("paid"), some("held"), some("unheard of")] {
                for attention in [false, true] {
                    let filter =
                        EntityFilter { source: source.clone(), kind: kind.clone(), status: status.clone(), attention };
                    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|w| w == found);
                    let matching: Vec<_> = expected
                        .iter()
                        .filter(|r| is(&source, r.key.source()) && is(&kind, r.key.kind()) && is(&status, r.status()))
                        .filter(|r| !attention || r.needs_attention())
                        .cloned()
                        .collect();
                    let mut found: Vec<EntityRecord> = Vec::new();
                    loop {
                        let page = ok(store.list(&filter, found.last().map(|r| &r.key), 5).await);
                        assert!(page.len() <= 5);
                        if page.is_empty() {
                            break;
                        }
                        found.extend(page);
                    }
                    assert_eq!(found, matching, "{filter:?}");
                }
            }
        }
    }
    let held = EntityFilter { status: some("held"), ..EntityFilter::default() };
    assert_eq!(ok(store.list(&held, None, 100).await).len(), 12);
    assert_eq!(ok(store.list(&EntityFilter::default(), None, 0).await), []);
}

/// Pages of any size give every record once, as it is by now, in the form that reads back.
pub async fn store_gives_all_records<S: Entities>(store: &Arc<S>) {
    let all = async |size: usize| {
        let mut found: Vec<Stored> = Vec::new();
        let mut after = None;
        loop {
            let page = ok(store.stored(after.as_deref(), size).await);
            assert!(page.records.len() <= size);
            assert!(!page.records.is_empty() || page.next.is_none(), "an empty page is the last one");
            found.extend(page.records);
            after = page.next;
            if after.is_none() {
                return found;
            }
        }
    };
    assert_eq!(all(10).await, []);
    // Made out of key order, and some changed later: neither moves or repeats a record.
    let mut expected = HashMap::new();
    for id in [5, 2, 9, 1, 7, 3, 8] {
        let write = entity(&key("shop", "order", id), None, 1, "open");
        ok(store.commit(commit(vec![write.clone()], 1)).await);
        expected.insert(write.record.key.clone(), write.record);
    }
    for (id, at) in [(9, 2), (2, 2), (2, 3)] {
        let key = key("shop", "order", id);
        let write = entity(&key, expected.get(&key).cloned(), at, "paid");
        ok(store.commit(commit(vec![write.clone()], 2)).await);
        expected.insert(key, write.record);
    }
    for size in 1..=8 {
        let found = all(size).await;
        assert_eq!(found.len(), expected.len(), "pages of {size}");
        for stored in &found {
            let record = &expected[&stored.key];
            assert_eq!(stored.revision, record.revision);
            assert_eq!(stored.binary, ok(record.encode_binary(Vec::new())));
            assert_eq!(ok(EntityRecord::decode(&stored.binary)), *record);
        }
        let keys: HashSet<_> = found.iter().map(|stored| &stored.key).collect();
        assert_eq!(keys.len(), expected.len(), "each once");
    }
}

/// Items are put once, paged by id, and released once.
pub async fn store_quarantines<S: Entities + Quarantine>(store: &Arc<S>) {
    let park =
        async |items: Vec<Quarantined>| ok(store.commit(Commit { parked: items, ..commit(Vec::new(), 1) }).await);
    park(vec![item(3, "three"), item(1, "one")]).await;
    park(vec![item(2, "two"), item(1, "another reason"), item(3, "three")]).await;
    let ids = |items: &[Quarantined]| items.iter().map(|i| i.event_id.clone()).collect::<Vec<_>>();
    let all = ok(store.quarantined(false, None, 10).await);
    assert_eq!(all, [item(1, "one"), item(2, "two"), item(3, "three")], "the first put stands, bytes and all");
    let page = ok(store.quarantined(false, None, 2).await);
    assert_eq!(ids(&page), ["evt_1", "evt_2"]);
    let rest = ok(store.quarantined(false, Some(&page[1].id), 2).await);
    assert_eq!(ids(&rest), ["evt_3"]);
    assert_eq!(ok(store.quarantined_one(&all[1].id).await).as_ref(), Some(&all[1]));
    assert_eq!(ok(store.quarantined_one("shard-0000:9").await), None);

    assert!(ok(store.mark_released(&all[1].id, AT).await));
    let later = UnixNanos::from_nanos(AT.nanos() + 1);
    assert!(!ok(store.mark_released(&all[1].id, later).await), "once");
    assert!(!ok(store.mark_released("shard-0000:9", AT).await), "no such item");
    assert_eq!(ids(&ok(store.quarantined(false, None, 10).await)), ["evt_1", "evt_3"]);
    assert_eq!(ids(&ok(store.quarantined(true, None, 10).await)), ["evt_1", "evt_2", "evt_3"]);
    let released = ok(store.quarantined_one(&all[1].id).await).expect("the item");
    assert_eq!(released.released_at, Some(AT), "the first time stands");
    park(vec![item(2, "two")]).await;
    assert_eq!(ids(&ok(store.quarantined(false, None, 10).await)), ["evt_1", "evt_3"], "a re-read brings nothing back");
}

/// Of many that create one object at once exactly one wins, and its bytes stand.
pub async fn archive_creates_once<A: Archive>(archive: &Arc<A>) {
    for round in 0..8 {
        let key = format!("stream/shard-0000/2026-11-24T1{round}/{round:020}.parquet");
        let mut creators = Vec::new();
        for creator in 0..16_u8 {
            let (archive, key) = (archive.clone(), key.clone());
            creators
                .push(tokio::spawn(async move { ok(archive.create(&key, Bytes::from(vec![creator; 4096])).await) }));
        }
        let mut winners = Vec::new();
        for (creator, outcome) in (0..).zip(creators) {
            if outcome.await.expect("a creator") == Created::New {
                winners.push(creator);
            }
        }
        assert_eq!(winners.len(), 1, "one winner");
        assert_eq!(ok(archive.get(&key).await), Some(Bytes::from(vec![winners[0]; 4096])));
        assert_eq!(ok(archive.create(&key, Bytes::new()).await), Created::Exists);
    }
    assert_eq!(ok(archive.list("").await).len(), 8, "nothing but the objects");
}

/// Objects are found by prefix in byte order; derived ones can be replaced.
pub async fn archive_lists_and_replaces<A: Archive>(archive: &Arc<A>) {
    assert_eq!(ok(archive.list("").await), Vec::<String>::new());
    assert_eq!(ok(archive.get("a/b").await), None);
    let keys = ["a/b/2", "a/b/10", "a-b/1", "a/c", "b", "a/b.json"];
    for key in keys {
        assert_eq!(ok(archive.create(key, Bytes::from(key)).await), Created::New);
    }
    let mut sorted = keys;
    sorted.sort_unstable();
    for prefix in ["", "a", "a/", "a/b", "a/b/", "a/b/1", "b", "c", "a/b/2", "a/b/22"] {
        let expected: Vec<&str> = sorted.iter().copied().filter(|key| key.starts_with(prefix)).collect();
        assert_eq!(ok(archive.list(prefix).await), expected, "{prefix:?}");
        for from in ["", "a", "a-", "a/", "a/b", "a/b.", "a/b/10", "a/b/100", "a/b/2", "a/b0", "b", "bb"] {
            let expected: Vec<&str> = expected.iter().copied().filter(|key| *key >= from).collect();
            assert_eq!(ok(archive.list_from(prefix, from).await), expected, "{prefix:?} from {from:?}");
        }
    }
    ok(archive.replace("a/manifest.json", Bytes::from_static(b"one")).await);
    ok(archive.replace("a/manifest.json", Bytes::from_static(b"two")).await);
    assert_eq!(ok(archive.get("a/manifest.json").await), Some(Bytes::from_static(b"two")));
    assert_eq!(ok(archive.create("a/manifest.json", Bytes::new()).await), Created::Exists);
    for key in ["", "../x", "/x", "a//b", "a/../b"] {
        assert_eq!(kind(archive.create(key, Bytes::new()).await), ErrorKind::Invalid, "{key:?}");
        assert_eq!(kind(archive.get(key).await), ErrorKind::Invalid, "{key:?}");
    }
}
