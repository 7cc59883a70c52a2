//! Histories that leave the warm set and come back, or that went to files, are what a plain fold of
//! their events is.

use std::collections::{BTreeMap, BTreeSet};

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

fn bounds(warm: usize, bytes: usize) -> Bounds {
    Bounds { warm, ..Bounds::new(bytes, 4, std::env::temp_dir()) }
}

const NO_BOUND: usize = usize::MAX;

/// Takes the events with room for `warm` records and `bytes` of cold ones, and compares with folding each
/// entity's at once. Gives how many bytes went to files.
fn equal_a_plain_fold(events: &[Made], warm: usize, bytes: usize) -> u64 {
    let mut histories = Histories::new(bounds(warm, bytes), foldhash::fast::RandomState::default());
    let mut plain: BTreeMap<EntityKey, Vec<Incoming>> = BTreeMap::new();
    for (position, made) in (1..).zip(events) {
        let (key, event) = (key(made.0), incoming(*made, position));
        plain.entry(key.clone()).or_default().push(event.clone());
        histories.take(histories.hash(&key), 7, key, event).unwrap();
        assert!(histories.warm.len() <= warm);
        assert!(bytes == NO_BOUND || histories.bytes() <= bytes);
        assert!(bytes != NO_BOUND || histories.len() == plain.len());
    }
    histories.finish().unwrap();
    let away = histories.bytes_away();
    let (mut expected, mut fates) = (Vec::new(), Counts::default());
    for (key, events) in plain {
        let (record, given) = apply(&key, None, events);
        given.into_iter().for_each(|fate| fates.count(fate));
        expected.push(EntityRecord { revision: 0, ..record }.encode_binary(Vec::new()).unwrap());
    }
    let mut tables = Vec::new();
    let counts = histories.into_tables(&mut |cold| {
        tables.push(cold);
        Ok(())
    });
    assert_eq!(counts.unwrap(), Fates { counts: fates, crossed: false });
    let sorted = crate::cold::sorted(&tables);
    assert!(sorted.iter().all(|lying| lying.shard == 7));
    assert!(sorted.iter().all(|lying| lying.key == lying.record().unwrap().key.as_str().as_bytes()));
    let folded: Vec<_> = sorted.into_iter().map(|lying| lying.binary).collect();
    assert_eq!(folded, expected, "byte for byte, in the order of the keys");
    away
}

/// Notes which entities were compared how, and that the right records were.
#[derive(Default)]
struct Noted {
    both: BTreeSet<String>,
    live: BTreeSet<String>,
    archived: BTreeSet<String>,
}

impl Compared for Noted {
    fn both(&mut self, key: &EntityKey, live: &[u8], archived: crate::cold::Lying<'_>) -> Result<()> {
        assert_eq!((live, archived.key), (archived.binary, key.as_str().as_bytes()));
        assert!(self.both.insert(key.to_string()));
        Ok(())
    }

    fn only_live(&mut self, key: &EntityKey, live: &[u8]) -> Result<()> {
        assert_eq!(live, b"live");
        assert!(self.live.insert(key.to_string()));
        Ok(())
    }

    fn only_archived(&mut self, archived: crate::cold::Lying<'_>) -> Result<()> {
        assert!(self.archived.insert(archived.record()?.key.to_string()));
        Ok(())
    }
}

/// Compares with a live state that has every entity but each third, and one of its own.
fn compares_with_a_live_state(events: &[Made], warm: usize, bytes: usize) {
    let mut histories = Histories::new(bounds(warm, bytes), foldhash::fast::RandomState::default());
    let mut plain: BTreeMap<EntityKey, Vec<Incoming>> = BTreeMap::new();
    for (position, made) in (1..).zip(events) {
        let (key, event) = (key(made.0), incoming(*made, position));
        plain.entry(key.clone()).or_default().push(event.clone());
        histories.take(histories.hash(&key), 7, key, event).unwrap();
    }
    histories.finish().unwrap();
    let in_memory = histories.len() as u64;
    let entities = plain.len();
    let (mut noted, mut expected) = (Noted::default(), Noted::default());
    for (n, (key, events)) in plain.into_iter().enumerate() {
        if n % 3 == 0 {
            expected.archived.insert(key.to_string());
            continue;
        }
        let record = EntityRecord { revision: 0, ..apply(&key, None, events).0 };
        let binary = record.encode_binary(Vec::new()).unwrap();
        histories.compare(histories.hash(&key), &key, &binary, &mut noted).unwrap();
        expected.both.insert(key.to_string());
    }
    let foreign = key(1_000_000);
    histories.compare(histories.hash(&foreign), &foreign, b"live", &mut noted).unwrap();
    expected.live.insert(foreign.to_string());
    let (_, in_files) = histories.finish_comparing(&mut noted).unwrap();
    assert_eq!(in_memory + in_files, entities as u64);
    assert_eq!((noted.both, noted.live, noted.archived), (expected.both, expected.live, expected.archived));
}

#[test]
fn more_entities_than_are_warm_with_late_events_for_all() {
    let entities = 3 * u32::try_from(WARM_MAX).unwrap() + 7;
    let early = (0..entities).map(|entity| (entity, 1, 20, 100));
    // A late one that belongs in front, a copy of the first and one behind, long after the record left.
    let late = (0..entities).flat_map(|entity| [(entity, 2, 10, 50), (entity, 1, 20, 100), (entity, 3, 30, 25)]);
    let events: Vec<_> = early.chain(late).collect();
    assert_eq!(equal_a_plain_fold(&events, WARM_MAX, NO_BOUND), 0);
    // Split once, and so small that what was split is split again.
    let split = equal_a_plain_fold(&events, WARM_MAX, 300 * 1024);
    assert!(split > 100_000 && equal_a_plain_fold(&events, WARM_MAX, 20 * 1024) > split);
    [NO_BOUND, 300 * 1024, 20 * 1024]
        .into_iter()
        .for_each(|bytes| compares_with_a_live_state(&events, WARM_MAX, bytes));
}

#[test]
fn a_history_that_is_stored_compressed_is_found_and_goes_on() {
    let long = |from: u32| (from..from + 100).flat_map(|n| [(1, n, i64::from(n), 1), (2, n, 5, 1)]);
    let others = (10..30).map(|entity| (entity, 1, 1, 1));
    let events: Vec<_> = long(0).chain(others.clone()).chain(long(100)).chain(others).chain(long(50)).collect();
    [NO_BOUND, 9000, 0].into_iter().for_each(|bytes| _ = equal_a_plain_fold(&events, 2, bytes));
}

#[test]
fn histories_that_cool_again_and_again_take_no_more_memory() {
    // Two hundred entities in turns, none of which is warm when its next event comes.
    let mut histories = Histories::new(bounds(1, NO_BOUND), foldhash::fast::RandomState::default());
    let mut after_first = 0;
    for (position, n) in (1..).zip(0..40_000_u32) {
        let (key, event) = (key(n % 200), incoming((n % 200, 1, 20, 100), position));
        histories.take(histories.hash(&key), 7, key, event).unwrap();
        if n == 5_000 {
            after_first = histories.bytes();
        }
    }
    assert!(histories.bytes() < after_first + 4 * 512 * 1024, "{} then {}", after_first, histories.bytes());
}

#[test]
fn a_directory_that_is_not_there_is_an_error_when_it_is_needed() {
    let nowhere = Bounds { dir: "/nowhere/at/all".into(), ..bounds(1, 0) };
    let mut histories = Histories::new(nowhere, foldhash::fast::RandomState::default());
    let mut take = |n: u32| {
        let key = key(n);
        histories.take(histories.hash(&key), 7, key, incoming((n, 1, 1, 1), u64::from(n) + 1))
    };
    let error = (0..10).find_map(|n| take(n).err()).unwrap();
    assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
}

proptest! {
    #[test]
    fn any_stream_with_any_room_equals_a_plain_fold(
        events in prop::collection::vec((0_u32..12, 0_u32..6, 0_i64..5, 10_i64..16), 0..120),
        warm in 1_usize..6,
        bytes in prop_oneof![Just(NO_BOUND), Just(0), 0..40_000_usize],
    ) {
        equal_a_plain_fold(&events, warm, bytes);
        compares_with_a_live_state(&events, warm, bytes);
    }
}
