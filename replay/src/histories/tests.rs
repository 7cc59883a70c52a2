//! Histories that leave the warm set and come back are what a plain fold of their events is.

use std::collections::{BTreeMap, HashMap};

use ledgerline_domain::fact::{AmountBasis, Fact, FactKind, Meaning};
use ledgerline_domain::fold::apply;
use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::time::UnixNanos;
use proptest::prelude::*;

use super::*;

/// An event of one of `entities`: which, its id, its place in time, its amount.
type Made = (u32, u32, i64, i64);

fn key(entity: u32) -> EntityKey {
    // Payments and documents, short keys and long ones.
    let kind = if entity.is_multiple_of(3) { "order" } else { "payment" };
    let id = "x".repeat(if entity.is_multiple_of(5) { 150 } else { 1 });
    EntityKey::parse(&format!("shop/{kind}/{id}{entity}")).unwrap()
}

fn incoming((_, id, time, amount): Made, position: u64) -> Incoming {
    let fact = Fact {
        kind: FactKind::Captured,
        amount: Some(amount),
        currency: Some("EUR".into()),
        basis: AmountBasis::Each,
        reference: Some(format!("ch_{id}").into()),
        status: None,
    };
    let readable = amount != 13;
    Incoming {
        id: format!("evt_{id}").into(),
        event_type: "captured".into(),
        order: OrderKey { class: OrderClass::Timestamp, value: time },
        occurred_at: Some(UnixNanos::from_nanos(time)),
        received_at: UnixNanos::from_nanos(1000 - time),
        sequence: SequenceNumber::from_u64(position),
        meaning: readable.then(|| Meaning { rank: 1, facts: vec![fact], status: Some("open".into()) }),
    }
}

/// Takes the events with room for `warm` records and compares with folding each entity's at once.
fn equal_a_plain_fold(events: &[Made], warm: usize) {
    let mut histories = Histories { warm_max: warm, ..Histories::default() };
    let shard = histories.shard(&ShardId::numbered(7));
    let mut plain: BTreeMap<EntityKey, Vec<Incoming>> = BTreeMap::new();
    let mut fates: HashMap<EntityKey, Vec<Fate>> = HashMap::new();
    for (position, made) in (1..).zip(events) {
        let (key, event) = (key(made.0), incoming(*made, position));
        plain.entry(key.clone()).or_default().push(event.clone());
        fates.entry(key.clone()).or_default().push(histories.take(shard, key, event).unwrap());
        assert!(histories.young.len() <= warm && histories.old.len() <= warm);
        assert_eq!(histories.len(), plain.len());
    }
    histories.finish().unwrap();
    let mut expected = Vec::new();
    for (key, events) in plain {
        let (record, given) = apply(&key, None, events);
        assert_eq!(fates[&key], given, "{key}");
        let record = EntityRecord { revision: 0, ..record };
        assert_eq!(histories.get(&key).unwrap().unwrap(), record);
        expected.push(record);
    }
    assert!(histories.get(&key(1_000_000)).is_none());
    let sorted: Vec<_> = histories.sorted().map(Result::unwrap).collect();
    assert_eq!(sorted, expected);
    if let Some(taken) = expected.pop() {
        let (shard, binary) = histories.remove(&taken.key).unwrap();
        assert_eq!((shard, EntityRecord::decode(&binary).unwrap()), (ShardId::numbered(7), taken.clone()));
        assert!(histories.remove(&taken.key).is_none());
    }
    let left: Vec<_> = histories.into_sorted().map(|(_, record)| record.unwrap()).collect();
    assert_eq!(left, expected);
}

#[test]
fn more_entities_than_are_warm_with_late_events_for_all() {
    let entities = 3 * u32::try_from(WARM_MAX).unwrap() + 7;
    let early = (0..entities).map(|entity| (entity, 1, 20, 100));
    // A late one that belongs in front, a copy of the first and one behind, long after the record left.
    let late = (0..entities).flat_map(|entity| [(entity, 2, 10, 50), (entity, 1, 20, 100), (entity, 3, 30, 25)]);
    equal_a_plain_fold(&early.chain(late).collect::<Vec<_>>(), WARM_MAX);
}

#[test]
fn a_history_that_is_stored_compressed_is_found_and_goes_on() {
    let long = |from: u32| (from..from + 100).flat_map(|n| [(1, n, i64::from(n), 1), (2, n, 5, 1)]);
    let others = (10..30).map(|entity| (entity, 1, 1, 1));
    let events: Vec<_> = long(0).chain(others.clone()).chain(long(100)).chain(others).chain(long(50)).collect();
    equal_a_plain_fold(&events, 2);
}

proptest! {
    #[test]
    fn any_stream_with_any_room_equals_a_plain_fold(
        events in prop::collection::vec((0_u32..12, 0_u32..6, 0_i64..5, 10_i64..16), 0..120),
        warm in 1_usize..6,
    ) {
        equal_a_plain_fold(&events, warm);
    }
}
