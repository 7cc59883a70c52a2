//! Histories that are longer than what a store writes in one piece.

use std::sync::Arc;

use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Fate, Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::{Commit, Entities, EntityFilter, EntityWrite, Quarantine, Stored, StoredPart};
use ledgerline_domain::record::EntityRecord;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{AT, key, ok};

/// So many events take well over 400 KB, compressed.
const LONG: i64 = 12_000;

/// Event with the order number `order`, at place `sequence` of the log; ids that do not compress.
pub fn event(order: i64, sequence: u64, status: &str) -> Incoming {
    let mut random = StdRng::seed_from_u64(order.unsigned_abs());
    Incoming {
        id: format!("evt_{:032x}", random.random::<u128>()).into(),
        event_type: "order.updated".into(),
        order: OrderKey { class: OrderClass::Monotonic, value: order },
        occurred_at: Some(AT),
        received_at: AT,
        sequence: SequenceNumber::from_u64(sequence),
        meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: Some(status.into()) }),
    }
}

/// The events on top of the record that is stored. Gives the record that was committed, and the last fate.
pub async fn extend<S: Entities>(store: &Arc<S>, key: &EntityKey, events: Vec<Incoming>) -> (EntityRecord, Fate) {
    let checkpoint = events.last().map(|event| event.sequence.clone()).unwrap_or_else(|| panic!("no events"));
    let before = ok(store.load(std::slice::from_ref(key)).await).pop().flatten();
    let expected_revision = before.as_ref().map_or(0, |record| record.revision);
    let (record, fates) = apply(key, before, events);
    let writes = vec![EntityWrite { record, expected_revision }];
    let batch = Commit { shard: ShardId::numbered(0), checkpoint, writes, parked: Vec::new() };
    let committed = ok(store.commit(batch).await).remove(0);
    (committed, fates[fates.len() - 1])
}

async fn check<S: Entities>(store: &Arc<S>, expected: &EntityRecord) {
    let loaded = ok(store.load(std::slice::from_ref(&expected.key)).await).pop().flatten();
    assert!(loaded.as_ref() == Some(expected), "{} events", expected.entries.len());
}

/// A long history is extended, found again as it was, put in order, deduplicated and listed like any other.
pub async fn store_keeps_long_histories<S: Entities + Quarantine>(store: &Arc<S>) {
    let long = key("shop", "order", 1);
    let begin = (1..=LONG).map(|n| event(n * 2, n.unsigned_abs(), "open")).collect();
    let (record, _) = extend(store, &long, begin).await;
    check(store, &record).await;
    let mut sequence = LONG.unsigned_abs();
    let mut next = || {
        sequence += 1;
        sequence
    };
    // At the end, between the oldest, again, and at the end once more.
    let cases = [
        (LONG * 2 + 2, "paid", Fate::Appended),
        (3, "late", Fate::Merged),
        (2, "open", Fate::Duplicate),
        (LONG, "open", Fate::Duplicate),
        (1, "first", Fate::Merged),
        (LONG * 2 + 4, "shipped", Fate::Appended),
    ];
    for (order, status, expected) in cases {
        let (record, fate) = extend(store, &long, vec![event(order, next(), status)]).await;
        assert_eq!(fate, expected, "{order}");
        check(store, &record).await;
    }
    // Among short ones, by every way of reading.
    for id in [0, 2] {
        extend(store, &key("shop", "order", id), vec![event(1, next(), "open")]).await;
    }
    let all = ok(store.list(&EntityFilter::default(), None, 10).await);
    assert_eq!(all.iter().map(|record| record.entries.len()).collect::<Vec<_>>(), [1, 12_004, 1]);
    assert_eq!(all[1].status(), "shipped");
    let shipped = EntityFilter { status: Some("shipped".into()), ..EntityFilter::default() };
    assert!(ok(store.list(&shipped, None, 10).await) == all[1..2]);
    for limit in [1, 100] {
        let mut found = Vec::new();
        let mut after = None;
        loop {
            let page = ok(store.stored(StoredPart::ALL, after.as_deref(), limit).await);
            found.extend(page.records);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        let stored = |record: &EntityRecord| Stored {
            key: record.key.clone(),
            revision: record.revision,
            binary: ok(record.encode()),
        };
        assert!(found == all.iter().map(stored).collect::<Vec<_>>(), "byte for byte, each once");
    }
}
