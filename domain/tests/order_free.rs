//! I3 order-free, I4 idempotent for ever, I8 (the fold half): for every ordering class, any
//! permutation with any duplication and any split into batches gives byte-identical records.
#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

use compact_str::CompactString;
use ledgerline_domain::fact::{AmountBasis, Fact, FactKind, Meaning, SubStatus};
use ledgerline_domain::fold::{Fate, Incoming, apply, cmp_entries, refold};
use ledgerline_domain::ids::{EntityKey, SequenceNumber};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use proptest::prelude::*;

fn payment() -> EntityKey {
    EntityKey::parse("src/payment/pi_1").unwrap()
}

fn fact() -> impl Strategy<Value = Fact> {
    let kind = prop_oneof![
        Just(FactKind::Requested),
        Just(FactKind::RequiresAction),
        Just(FactKind::Processing),
        Just(FactKind::Failed),
        Just(FactKind::Authorized),
        Just(FactKind::Captured),
        Just(FactKind::Canceled),
        Just(FactKind::Refund),
        Just(FactKind::Dispute),
        Just(FactKind::CaptureFailed),
        Just(FactKind::Fee),
    ];
    let status = prop_oneof![
        Just(None),
        Just(Some(SubStatus::Pending)),
        Just(Some(SubStatus::Succeeded)),
        Just(Some(SubStatus::Failed)),
        Just(Some(SubStatus::Open)),
        Just(Some(SubStatus::Won)),
        Just(Some(SubStatus::Lost)),
    ];
    let currency = prop_oneof![9 => Just(Some("EUR")), 1 => Just(Some("USD")), 1 => Just(None)];
    (kind, proptest::option::of(0_i64..2_000), currency, any::<bool>(), proptest::option::of(0_u8..3), status).prop_map(
        |(kind, amount, currency, each, reference, status)| Fact {
            kind,
            amount,
            currency: currency.map(CompactString::from),
            basis: if each { AmountBasis::Each } else { AmountBasis::Total },
            reference: reference.map(|r| format!("ref_{r}").into()),
            status,
        },
    )
}

/// A set of events with distinct ids; few order values and ranks, so that ties are common.
fn events(class: OrderClass) -> impl Strategy<Value = Vec<Incoming>> {
    let event = (0_i64..6, 0_u16..3, proptest::collection::vec(fact(), 0..3), 0_i64..1_000, 0_u8..4);
    proptest::collection::vec(event, 1..9).prop_map(move |events| {
        let event = |(n, (value, rank, facts, received, kind)): (usize, (i64, u16, Vec<Fact>, i64, u8))| Incoming {
            // Ids that do not sort as the events do.
            id: format!("evt_{}", (n * 7 + 3) % 11).into(),
            event_type: CompactString::from(format!("type.{kind}")),
            order: OrderKey { class, value: if class == OrderClass::Arrival { 0 } else { value + 1 } },
            occurred_at: UnixNanos::from_seconds(value),
            received_at: UnixNanos::from_nanos(received),
            sequence: SequenceNumber::from_u64(0),
            meaning: Some(Meaning { rank, facts, status: None }),
        };
        events.into_iter().enumerate().map(event).collect()
    })
}

/// A delivery of the set: every event at least once, in any order, some again, cut into batches.
fn delivery(class: OrderClass) -> impl Strategy<Value = (Vec<Incoming>, Vec<Incoming>, Vec<usize>)> {
    events(class).prop_flat_map(|set| {
        let n = set.len();
        let again = proptest::collection::vec(0..n, 0..=n);
        (Just(set), again, proptest::collection::vec(1_usize..4, 1..12)).prop_flat_map(|(set, again, cuts)| {
            let mut all = set.clone();
            all.extend(again.into_iter().map(|at| set[at].clone()));
            (Just(set), Just(all).prop_shuffle(), Just(cuts))
        })
    })
}

/// Gives the events the positions of the order in which they come.
fn logged(events: &[Incoming]) -> Vec<Incoming> {
    (1..).zip(events).map(|(at, e)| Incoming { sequence: SequenceNumber::from_u64(at), ..e.clone() }).collect()
}

fn fold_in_batches(key: &EntityKey, events: &[Incoming], cuts: &[usize]) -> EntityRecord {
    let (mut record, mut rest, mut cut) = (None, events, cuts.iter().cycle());
    while !rest.is_empty() {
        let (batch, behind) = rest.split_at(rest.len().min(*cut.next().unwrap()));
        record = Some(apply(key, record, batch.to_vec()).0);
        // Through the stored form, as every store keeps it.
        record = record.map(|r| EntityRecord::decode(&r.encode().unwrap()).unwrap());
        rest = behind;
    }
    record.unwrap()
}

fn check(key: &EntityKey, set: &[Incoming], delivered: &[Incoming], cuts: &[usize]) {
    let plain = apply(key, None, logged(set)).0;
    let other = fold_in_batches(key, &logged(delivered), cuts);
    assert_eq!(plain.canonical(), other.canonical());
    assert_eq!(plain.state_json(), other.state_json());
    // I4: the whole delivery once more changes the copies and nothing else.
    let twice: Vec<_> = delivered.iter().chain(delivered).cloned().collect();
    assert_eq!(fold_in_batches(key, &logged(&twice), cuts).canonical(), plain.canonical());
    // A second worker that reads the same log records again changes nothing at all.
    let (again, fates) = apply(key, Some(other.clone()), logged(delivered));
    assert_eq!(again, other);
    assert!(fates.iter().all(|f| *f == Fate::Seen));
    // The incremental fold is the fold from the start.
    assert_eq!(refold(&other, |_| true).state, other.state);
    assert!(other.entries.windows(2).all(|w| cmp_entries(&w[0], &w[1]).is_lt()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn i3_contiguous((set, delivered, cuts) in delivery(OrderClass::Contiguous { first: 1 })) {
        check(&payment(), &set, &delivered, &cuts);
    }

    #[test]
    fn i3_monotonic((set, delivered, cuts) in delivery(OrderClass::Monotonic)) {
        check(&payment(), &set, &delivered, &cuts);
    }

    #[test]
    fn i3_timestamp((set, delivered, cuts) in delivery(OrderClass::Timestamp)) {
        check(&payment(), &set, &delivered, &cuts);
        check(&EntityKey::parse("src/invoice/in_1").unwrap(), &set, &delivered, &cuts);
    }

    /// Only the log orders these events: duplicates and batches may not matter, permutations do.
    #[test]
    fn i3_arrival((set, _, cuts) in delivery(OrderClass::Arrival), again in proptest::collection::vec(0_usize..8, 0..8)) {
        let mut delivered = set.clone();
        delivered.extend(again.into_iter().filter_map(|at| set.get(at).cloned()));
        check(&payment(), &set, &delivered, &cuts);
    }

    /// Amounts that are cumulative never fall as more events become known, whatever their order, but
    /// by the one statement whose meaning is that a capture did not go through.
    #[test]
    fn totals_never_fall((set, ..) in delivery(OrderClass::Monotonic)) {
        let full = apply(&payment(), None, logged(&set)).0;
        let mut before = 0;
        for n in 0..=full.entries.len() {
            let kept: Vec<_> = full.entries[..n].iter().map(|e| e.id.clone()).collect();
            let ledgerline_domain::record::State::Payment(p) = refold(&full, |e| kept.contains(&e.id)).state else { unreachable!() };
            let takes_back = n.checked_sub(1).is_some_and(|last| {
                full.entries[last].meaning.facts.iter().any(|fact| fact.kind == FactKind::CaptureFailed)
            });
            prop_assert!(takes_back || p.captured() >= before);
            before = p.captured();
        }
    }
}

fn contiguous(id: &str, number: i64, amount: i64) -> Incoming {
    Incoming {
        id: id.into(),
        event_type: "payment.captured".into(),
        order: OrderKey { class: OrderClass::Contiguous { first: 1 }, value: number },
        occurred_at: None,
        received_at: UnixNanos::from_nanos(number),
        sequence: SequenceNumber::from_u64(0),
        meaning: Some(Meaning {
            rank: 500,
            facts: vec![Fact {
                kind: FactKind::Captured,
                amount: Some(amount),
                currency: Some("EUR".into()),
                basis: AmountBasis::Each,
                reference: None,
                status: None,
            }],
            status: None,
        }),
    }
}

fn captured(record: &EntityRecord) -> i128 {
    match &record.state {
        ledgerline_domain::record::State::Payment(payment) => payment.captured(),
        ledgerline_domain::record::State::Document(_) => unreachable!(),
    }
}

#[test]
fn a_hole_holds_what_follows_until_it_closes() {
    let (record, _) = apply(&payment(), None, logged(&[contiguous("c", 3, 100), contiguous("a", 1, 1)]));
    assert_eq!((captured(&record), record.held(), record.needs_attention()), (1, 1, true));
    assert!(record.state_json().contains(r#""hole":{"from":2,"to":2}"#), "{}", record.state_json());
    let mut late = contiguous("b", 2, 10);
    late.sequence = SequenceNumber::from_u64(9);
    let (record, fates) = apply(&payment(), Some(record), vec![late]);
    assert_eq!((captured(&record), record.held(), fates), (111, 0, vec![Fate::Merged]));
    let (only, _) = apply(&payment(), None, logged(&[contiguous("c", 3, 100)]));
    assert_eq!((only.status(), only.held()), ("held", 1));
}

#[test]
fn the_same_id_with_other_facts_is_a_contradiction_and_the_first_stands() {
    let (record, fates) = apply(&payment(), None, logged(&[contiguous("a", 1, 5), contiguous("a", 1, 6)]));
    assert_eq!((captured(&record), fates), (5, vec![Fate::Appended, Fate::Contradiction]));
    assert_eq!(record.quarantined.len(), 1);
    // Released under the id that was noted, it is an event of its own and the note goes away.
    let mut released = contiguous("a", 1, 6);
    released.id = record.quarantined[0].clone();
    released.sequence = SequenceNumber::from_u64(7);
    let (record, fates) = apply(&payment(), Some(record), vec![released]);
    assert_eq!((captured(&record), fates[0], record.quarantined.len()), (11, Fate::Appended, 0));
}

#[test]
fn an_unreadable_event_marks_its_entity_until_it_is_released() {
    let mut blind = contiguous("a", 1, 5);
    blind.meaning = None;
    let (record, fates) = apply(&payment(), None, logged(&[blind]));
    assert_eq!((record.status(), fates[0], record.needs_attention()), ("unread", Fate::Unreadable, true));
    let mut read = contiguous("a", 1, 5);
    read.sequence = SequenceNumber::from_u64(7);
    let (record, _) = apply(&payment(), Some(record), vec![read]);
    assert_eq!((captured(&record), record.needs_attention()), (5, true), "captured without an authorisation");
    assert!(record.quarantined.is_empty());
}
