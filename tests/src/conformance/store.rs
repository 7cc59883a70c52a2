//! Entity records, checkpoints and quarantine.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use ledgerline_domain::ErrorKind;
use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId, SourceName};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::{
    Commit, Entities, EntityFilter, EntityWrite, Quarantine, Quarantined, Stored, StoredPart,
};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;

use super::{AT, key, kind, ok};

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

/// Records come back equal, one place per key, and batches that cannot be right are refused.
pub async fn store_gives_back_what_was_committed<S: Entities + Quarantine>(store: &Arc<S>) {
    let shard = ShardId::numbered(0);
    let keys: Vec<_> = (0..4).map(|id| key("shop", "order", id)).collect();
    assert_eq!(ok(store.load(&[]).await), vec![]);
    assert_eq!(ok(store.load(&keys).await), vec![None; 4]);
    assert_eq!(ok(store.checkpoint(&shard).await), None);
    let first: Vec<_> = keys[..3].iter().map(|key| entity(key, None, 1, "open")).collect();
    let committed = ok(store.commit(commit(first.clone(), 10)).await);
    assert_eq!(committed, first.iter().map(|write| write.record.clone()).collect::<Vec<_>>());
    let asked = [keys[2].clone(), keys[3].clone(), keys[0].clone(), keys[2].clone()];
    let records = |places: &[Option<usize>]| -> Vec<Option<EntityRecord>> {
        places.iter().map(|at| at.map(|at| first[at].record.clone())).collect()
    };
    assert_eq!(ok(store.load(&asked).await), records(&[Some(2), None, Some(0), Some(2)]), "one place per key");
    let on = |at: usize| entity(&keys[at], Some(first[at].record.clone()), 2, "paid");
    let mut wrong = on(0);
    wrong.record.revision = 7;
    assert_eq!(kind(store.commit(commit(vec![on(1), wrong], 12)).await), ErrorKind::Invalid);
    assert_eq!(kind(store.commit(commit(vec![on(0), on(0)], 12)).await), ErrorKind::Invalid, "one write per entity");
    assert_eq!(ok(store.load(&keys[..1]).await), records(&[Some(0)]));
    assert_eq!(ok(store.load(&keys[1..2]).await), records(&[Some(1)]), "what cannot be right is not begun");
    assert_eq!(ok(store.checkpoint(&shard).await), Some(SequenceNumber::from_u64(10)));
    // More than any store takes in one call of its own.
    let many: Vec<_> = (100..350).map(|id| key("shop", "order", id)).collect();
    let writes: Vec<_> = many.iter().map(|key| entity(key, None, 1, "open")).collect();
    let expected: Vec<_> = writes.iter().map(|write| Some(write.record.clone())).collect();
    ok(store.commit(commit(writes, 13)).await);
    assert_eq!(ok(store.load(&many).await), expected);
}

/// The batches of [`conflicting`] and what they meet.
struct Conflicts {
    keys: Vec<EntityKey>,
    first: Vec<EntityWrite>,
    batches: Vec<Commit>,
}

/// Three entities of which the second was written on by somebody else, and batches that do not know it.
async fn conflicting<S: Entities>(store: &Arc<S>) -> Conflicts {
    let keys: Vec<_> = (0..4).map(|id| key("shop", "order", id)).collect();
    let first: Vec<_> = keys[..3].iter().map(|key| entity(key, None, 1, "open")).collect();
    ok(store.commit(commit(first.clone(), 10)).await);
    let on = |at: usize| entity(&keys[at], Some(first[at].record.clone()), 2, "paid");
    ok(store.commit(commit(vec![on(1)], 11)).await);
    // One revision late; a first write of a record that exists; a record that should exist and does not.
    let mut orphan = entity(&keys[3], None, 1, "open");
    orphan.record.revision = 2;
    orphan.expected_revision = 1;
    let batches = [on(1), first[1].clone(), orphan].map(|late| Commit {
        parked: vec![item(1, "put by a batch that met a conflict")],
        ..commit(vec![on(0), late, on(2)], 12)
    });
    Conflicts { keys, first, batches: batches.into() }
}

/// A conflict leaves the records that it was about, and the checkpoint, as they were; loading and committing
/// again ends as if there had been none.
pub async fn store_conflicts_lose_nothing<S: Entities + Quarantine>(store: &Arc<S>) {
    let Conflicts { keys, batches, .. } = conflicting(store).await;
    for batch in batches {
        assert_eq!(kind(store.commit(batch).await), ErrorKind::Conflict);
        let now = ok(store.load(&keys).await);
        assert_eq!(now[1].as_ref().map(|r| (r.revision, r.status().to_owned())), Some((2, "paid".into())));
        assert_eq!(now[3], None, "what did not fit is not written");
        assert_eq!(ok(store.checkpoint(&ShardId::numbered(0)).await), Some(SequenceNumber::from_u64(11)));
    }
    // As the processor goes on: what a record has seen already changes nothing in it.
    let now = ok(store.load(&keys).await);
    let again = keys.iter().zip(now).map(|(key, before)| entity(key, before, 2, "paid"));
    let again = again.filter(|write| write.record.revision > write.expected_revision).collect();
    ok(store.commit(Commit { parked: vec![item(1, "put again")], ..commit(again, 12) }).await);
    let now = ok(store.load(&keys[..3]).await);
    for record in now.into_iter().flatten() {
        assert_eq!((record.revision, record.entries.len(), record.status()), (2, 2, "paid"), "{}", record.key);
    }
    assert_eq!(ok(store.quarantined(true, None, 10).await).len(), 1, "parked once");
    assert_eq!(ok(store.checkpoint(&ShardId::numbered(0)).await), Some(SequenceNumber::from_u64(12)));
}

/// Of the stores that commit a batch in one transaction: a conflict anywhere writes nothing of it.
pub async fn store_commits_whole_batches<S: Entities + Quarantine>(store: &Arc<S>) {
    let Conflicts { keys, first, batches } = conflicting(store).await;
    for batch in batches {
        assert_eq!(kind(store.commit(batch).await), ErrorKind::Conflict);
    }
    let now = ok(store.load(&keys).await);
    assert_eq!(now[0].as_ref(), Some(&first[0].record));
    assert_eq!(now[2].as_ref(), Some(&first[2].record));
    assert_eq!(ok(store.quarantined(true, None, 10).await), []);
}

/// Many writers on one record: every revision is written once.
pub async fn store_revisions_are_won_once<S: Entities>(store: &Arc<S>) {
    assert_eq!(race(store).await, 40, "no write was lost, and none was done that its writer was not told of");
}

/// The same where answers get lost: a write that was done and then written over looks like a conflict to its
/// writer, so there may be more writes than their writers know of, and never fewer.
pub async fn store_revisions_are_never_lost<S: Entities>(store: &Arc<S>) {
    assert!(race(store).await >= 40, "no write was lost");
}

/// Eight writers that each win five times on one record. Gives the record's revision: the number of its events.
async fn race<S: Entities>(store: &Arc<S>) -> u64 {
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
    assert_eq!(record.entries.len() as u64, record.revision, "one event per write");
    record.revision
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

/// Pages of any size, and of any number of parts together, give every record once, as it is by now, in the form that
/// reads back.
pub async fn store_gives_all_records<S: Entities>(store: &Arc<S>) {
    let all_of = async |of: u32, size: usize| {
        let mut found: Vec<Stored> = Vec::new();
        for number in 0..of {
            let mut after = None;
            loop {
                let page = ok(store.stored(StoredPart { number, of }, after.as_deref(), size).await);
                assert!(page.records.len() <= size);
                assert!(!page.records.is_empty() || page.next.is_none(), "an empty page is the last one");
                found.extend(page.records);
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        found
    };
    let all = async |size: usize| all_of(1, size).await;
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
    for (of, size) in (1..=8).map(|size| (1, size)).chain([(2, 1), (3, 2), (16, 5)]) {
        let found = all_of(of, size).await;
        assert_eq!(found.len(), expected.len(), "{of} parts in pages of {size}");
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
    let envelope = (0..1_500_000_u32).map(|n| n.to_le_bytes()[usize::from(n % 3 == 0)]).collect();
    let long = Quarantined { envelope, ..item(4, "longer than any bound") };
    park(vec![long.clone()]).await;
    assert_eq!(ok(store.quarantined(false, Some(&all[2].id), 10).await), std::slice::from_ref(&long));
    assert_eq!(ok(store.quarantined_one(&long.id).await), Some(long));
}
