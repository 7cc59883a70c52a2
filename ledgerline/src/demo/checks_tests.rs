//! The checks hold for what should come of a plan, and each of them notices what it is there for.

use std::collections::BTreeMap;

use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, SourceName};
use ledgerline_domain::provider::Provider;
use ledgerline_domain::request::RawRequest;
use ledgerline_domain::time::UnixNanos;

use super::super::plan::{Delivery, SOURCES};
use super::*;
use crate::payments::Shape;

/// What the door answers and what the fold makes of all of `plan`; `also` is taken for genuine.
fn world(plan: &Plan, also: Option<Kind>) -> (Tally, Vec<EntityRecord>) {
    let providers = SOURCES.map(|(_, shape)| match shape {
        Shape::Stripe => Provider::built_in("stripe").unwrap(),
        Shape::Plain => Provider::built_in("generic").unwrap(),
    });
    let mut tally = Tally::default();
    let mut groups: BTreeMap<EntityKey, Vec<Incoming>> = BTreeMap::new();
    let deliveries: Vec<&Delivery> = plan.deliveries.iter().chain(&plan.contradictions).collect();
    for (delivery, n) in deliveries.into_iter().zip(1..) {
        *tally.answers.entry((delivery.kind, delivery.kind.answer())).or_default() += 1;
        if delivery.kind == Kind::Genuine {
            *tally.acknowledged.entry(delivery.id.clone()).or_default() += 1;
        }
        let folds = matches!(delivery.kind, Kind::Genuine | Kind::BadAmount | Kind::Contradiction);
        if !folds && Some(delivery.kind) != also {
            continue;
        }
        let provider = providers.get(delivery.source).unwrap();
        let source = SourceName::new(SOURCES.get(delivery.source).unwrap().0).unwrap();
        let headers: Vec<(String, String)> = Vec::new();
        let received_at = UnixNanos::from_nanos(n);
        let raw = RawRequest { headers: &headers, body: &delivery.body, received_at };
        let found = provider.identify(&source, raw).remove(0);
        let meaning = provider.interpret(&found.event_type, found.entity.kind(), &found.body).ok();
        groups.entry(found.entity).or_default().push(Incoming {
            id: found.id,
            event_type: found.event_type,
            order: found.order,
            occurred_at: found.occurred_at,
            received_at,
            sequence: SequenceNumber::from_u64(n as u64),
            meaning,
        });
    }
    let records = groups.into_iter().map(|(key, events)| apply(&key, None, events).0).collect();
    (tally, records)
}

fn failing(plan: &Plan, tally: &Tally, records: &[EntityRecord], quarantined: u64) -> Vec<usize> {
    let checks = check_state(plan, tally, records, quarantined as usize);
    let failed = checks.iter().enumerate().filter(|(_, check)| !check.holds);
    failed
        .map(|(at, check)| {
            assert!(!check.faults.is_empty());
            at
        })
        .collect()
}

const ANSWERS: usize = 0;
const ONCE: usize = 1;
const STRANGERS: usize = 2;
const TRUTHS: usize = 3;
const WAITING: usize = 4;
const PARKED: usize = 5;

#[test]
fn all_checks_hold_when_all_is_well() {
    for seed in 1..6 {
        let plan = Plan::new(80, seed);
        let (tally, records) = world(&plan, None);
        assert_eq!(failing(&plan, &tally, &records, plan.quarantined()), [0; 0], "seed {seed}");
    }
}

#[test]
fn each_check_notices_what_it_is_for() {
    let plan = Plan::new(80, 1);
    let (tally, records) = world(&plan, None);
    let parked = plan.quarantined();

    let mut wrong = tally.clone();
    wrong.answers.insert((Kind::Forged, 200), 1);
    assert_eq!(failing(&plan, &wrong, &records, parked), [ANSWERS]);

    assert_eq!(failing(&plan, &tally, &records, parked - 1), [PARKED]);

    // An event that was acknowledged is lost with its record.
    assert_eq!(failing(&plan, &tally, &records[1..], parked), [ONCE, TRUTHS]);

    // A copy is lost.
    let mut fewer = records.clone();
    fewer.iter_mut().flat_map(|r| &mut r.entries).find(|e| e.delivery.copies > 1).unwrap().delivery.copies -= 1;
    assert_eq!(failing(&plan, &tally, &fewer, parked), [ONCE]);

    // The state says something else than its events.
    let mut other = records.clone();
    let state = other.iter().find(|r| r.status() == "captured").unwrap().state.clone();
    other.iter_mut().find(|r| r.status() == "canceled").unwrap().state = state;
    assert!(failing(&plan, &tally, &other, parked).contains(&TRUTHS));

    // Held events are forgotten.
    let mut forgotten = records.clone();
    let held = forgotten.iter_mut().find(|r| r.held() > 0).unwrap();
    held.entries.truncate(held.folded);
    assert_eq!(failing(&plan, &tally, &forgotten, parked), [ONCE, WAITING]);
}

#[test]
fn a_forged_event_that_got_in_would_be_seen() {
    for kind in [Kind::Forged, Kind::Tampered, Kind::Stale, Kind::Future, Kind::Unsigned] {
        let plan = Plan::new(80, 2);
        let (tally, records) = world(&plan, Some(kind));
        assert!(failing(&plan, &tally, &records, plan.quarantined()).contains(&STRANGERS), "{kind:?}");
    }
}
