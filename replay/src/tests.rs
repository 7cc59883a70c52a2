//! I8 and I6 from the archive's side: clean where all is well, and every kind of wrong is named.

use ledgerline_domain::fold::{apply, refold};
use ledgerline_domain::interpret::{Interpreted, Reading, interpret};
use ledgerline_domain::record::{EntityRecord, State};
use ledgerline_domain::segment::{Manifest, SegmentReader, keys};
use proptest::prelude::*;

use crate::adjustments::{self, Adjustment, Closed, Period, Summary};
use crate::chain::{self, ChainReport, FaultKind};
use crate::doubles::*;
use crate::export::{Cut, Row, write_csv, write_csv_heading, write_json_line};
use crate::rebuild::{Rebuilt, rebuild};
use crate::report::Report;
use crate::{lookup, manifests, verify};

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn verified(archive: &TestArchive, live: &TestEntities) -> Report {
    let sources = sources();
    wait(verify::verify(archive, live, &input(&sources), &shards_of, &mut |_| ())).unwrap()
}

fn rebuilt(archive: &TestArchive) -> Rebuilt {
    wait(rebuild(archive, &input(&sources()), &mut |_| ())).unwrap()
}

fn adjusted(rebuilt: &Rebuilt, until: i64, closed_at: i64) -> (Vec<Adjustment>, Summary) {
    let period = Period { from: at(0), until: at(until), closed: Closed::At(at(closed_at)) };
    let mut found = Vec::new();
    let summary = adjustments::find(rebuilt, &period, |a| -> ledgerline_domain::Result<()> {
        found.push(a);
        Ok(())
    });
    (found, summary.unwrap())
}

fn checked(archive: &TestArchive) -> ChainReport {
    wait(chain::check(archive, STREAM, &mut |_| ())).unwrap()
}

/// Twelve payments over two hours, some refunded, one with a late refund, duplicates among them.
fn events() -> Vec<Made> {
    let mut events = Vec::new();
    for payment in 0..12 {
        let at = i64::from(payment) * 600;
        events.push(made(payment, What::Captured(1000 + i64::from(payment)), at + 5, at + 6));
        events.push(made(payment, What::Created, at, at + 7));
        events.push(made(payment, What::Created, at, at + 8));
        if payment % 3 == 0 {
            events.push(made(payment, What::Refunded(400), at + 60, at + 61));
        }
    }
    events.push(made(3, What::Refunded(900), 2000, 9000));
    events
}

fn kinds(chain: &ChainReport) -> Vec<(FaultKind, &str)> {
    chain.faults.iter().map(|fault| (fault.kind, fault.key.as_str())).collect()
}

#[test]
fn a_sound_archive_and_its_live_state_agree() {
    let log = log(&events());
    let (archive, live) = (TestArchive::of(&log, 5), TestEntities::of(&log));
    let mut last = Default::default();
    let sources = sources();
    let report = wait(verify::verify(&archive, &live, &input(&sources), &shards_of, &mut |p| last = p)).unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.entities, report.equal, report.counts.records), (12, 12, 41));
    assert_eq!((report.counts.events, report.counts.duplicates), (29, 12));
    assert_eq!(report.signatures.as_ref().unwrap().good, 41);
    assert_eq!((last.segments, last.records), (last.segments_total, 41));
    assert!(report.chain.hours_complete >= 2);
    assert_eq!(checked(&archive), report.chain);
    assert!(serde_json::to_string(&report).unwrap().contains("\"drift\":[]"));
}

#[test]
fn a_changed_live_record_is_named_with_the_money() {
    let log = log(&events());
    let (archive, live) = (TestArchive::of(&log, 5), TestEntities::of(&log));
    // Somebody took one event out, and hid another change in the state alone.
    live.change(6, |record| *record = refold(record, |entry| !entry.event_type.contains("refunded")));
    let other = live.records.lock().unwrap()[&key(4)].state.clone();
    live.change(5, |record| record.state = other);
    let report = verified(&archive, &live);
    assert!(!report.is_clean() && report.drift_total == 2);
    let of = |payment| report.drift.iter().find(|drift| drift.entity == key(payment)).unwrap();
    let (words, money) = (of(6).words.join("\n"), &of(6).money[0]);
    assert!(
        words.contains("refunded is not in the live state")
            && words.contains("refunded: live 0.00 EUR, archive 4.00 EUR"),
        "{words}"
    );
    assert!(words.contains("status: live \"captured\", archive \"partially_refunded\""), "{words}");
    assert_eq!((money.figure, money.live, money.archive, money.difference), ("refunded", 0, 400, -400));
    assert!(of(5).words.iter().any(|word| word.contains("not what its own events fold to")), "{:?}", of(5));
    let sums: Vec<_> = report.money.iter().map(|m| (m.currency.as_str(), m.figure, m.difference)).collect();
    assert_eq!(sums, [("EUR", "authorized", -1), ("EUR", "captured", -1), ("EUR", "refunded", -400)]);
}

#[test]
fn changed_times_copies_and_quarantine_marks_are_drift_too() {
    let log = log(&events());
    let archive = TestArchive::of(&log, 5);
    type Change = fn(&mut EntityRecord);
    let changes: [(&str, Change); 4] = [
        ("time of receipt", |record| record.entries[0].received_at = at(1)),
        ("delivery", |record| record.entries[0].delivery.copies += 1),
        ("quarantine", |record| record.quarantined.push("evt_x".into())),
        ("held", |record| {
            *record = {
                let mut r = record.clone();
                r.folded = 0;
                r
            }
        }),
    ];
    for (word, change) in changes {
        let live = TestEntities::of(&log);
        live.change(1, change);
        let report = verified(&archive, &live);
        assert_eq!(report.drift_total, 1);
        assert!(report.drift[0].words.join(" ").contains(word), "{word}: {:?}", report.drift[0].words);
    }
}

#[test]
fn missing_records_on_either_side_are_named() {
    let log = log(&events());
    let (archive, live) = (TestArchive::of(&log, 5), TestEntities::of(&log));
    live.records.lock().unwrap().remove(&key(2));
    let mut foreign = live.records.lock().unwrap()[&key(0)].clone();
    foreign.key = key(100);
    live.records.lock().unwrap().insert(key(100), foreign);
    let report = verified(&archive, &live);
    assert_eq!((report.missing_in_live, report.missing_in_archive), (vec![key(2)], vec![key(100)]));
    let captured = report.money.iter().find(|m| m.figure == "captured").unwrap();
    assert_eq!(captured.difference, 1000 - 1002);
}

#[test]
fn a_live_state_ahead_of_the_archive_or_behind_it_is_no_drift() {
    let events = events();
    for cut in 0..events.len() {
        let (part, whole) = (log(&events[..cut]), log(&events));
        let ahead = verified(&TestArchive::of(&part, 5), &TestEntities::of(&whole));
        assert!(ahead.is_clean(), "archive of {cut}: {ahead:?}");
        assert_eq!(ahead.equal + ahead.not_yet_archived, 12);
        let behind = verified(&TestArchive::of(&whole, 5), &TestEntities::of(&part));
        assert!(behind.is_clean(), "state of {cut}: {behind:?}");
        assert_eq!(behind.equal + behind.not_yet_folded, 12);
    }
}

#[test]
fn drift_is_found_while_the_live_state_is_ahead_or_behind() {
    let events = events();
    let (part, whole) = (log(&events[..events.len() - 1]), log(&events));
    for (archive, live) in [(&part, &whole), (&whole, &part)] {
        let (archive, live) = (TestArchive::of(archive, 5), TestEntities::of(live));
        live.change(3, |record| *record = refold(record, |entry| !entry.event_type.contains("succeeded")));
        let report = verified(&archive, &live);
        assert_eq!(report.drift_total, 1, "{report:?}");
        live.change(3, |record| record.state = State::empty("payment"));
        assert_eq!(verified(&archive, &live).drift_total, 1);
    }
}

#[test]
fn a_hole_is_named() {
    let archive = TestArchive::of(&log(&events()), 5);
    let segments = archive.segments(1);
    archive.take(&segments[1]);
    let chain = checked(&archive);
    assert_eq!(kinds(&chain), [(FaultKind::Hole, segments[2].as_str()), (FaultKind::Missing, segments[1].as_str())]);
    assert!(chain.faults[0].words.contains("shard-0001 after"), "{}", chain.faults[0].words);
    assert!(!verified(&archive, &TestEntities::of(&log(&events()))).is_clean());
}

#[test]
fn a_missing_beginning_is_named() {
    let archive = TestArchive::of(&log(&events()), 5);
    let segments = archive.segments(0);
    archive.take(&segments[0]);
    let chain = checked(&archive);
    assert_eq!(
        kinds(&chain),
        [(FaultKind::Headless, segments[1].as_str()), (FaultKind::Missing, segments[0].as_str())]
    );
}

#[test]
fn an_exchanged_segment_is_named() {
    let mut others = events();
    // The same positions and times, another amount.
    others[0].what = What::Captured(99_999);
    let (archive, other) = (TestArchive::of(&log(&events()), 5), TestArchive::of(&log(&others), 5));
    let first = archive.segments(0).remove(0);
    archive.put(&first, other.object(&first));
    assert_eq!(kinds(&checked(&archive)), [(FaultKind::Changed, first.as_str())]);
    let report = verified(&archive, &TestEntities::of(&log(&events())));
    assert_eq!((report.drift_total, report.drift[0].entity.clone()), (1, key(0)));
    // The newest segment has no successor; the manifest names it.
    let last = archive.segments(0).pop().unwrap();
    let mut others = events();
    others.iter_mut().rev().find(|e| e.payment % 2 == 0).unwrap().received += 1;
    let (archive, other) = (TestArchive::of(&log(&events()), 5), TestArchive::of(&log(&others), 5));
    archive.put(&last, other.object(&last));
    assert_eq!(kinds(&checked(&archive)), [(FaultKind::Changed, last.as_str())]);
}

#[test]
fn swapped_stray_and_overlapping_segments_are_named() {
    let archive = TestArchive::of(&log(&events()), 5);
    let segments = archive.segments(0);
    let (one, two) = (archive.object(&segments[1]), archive.object(&segments[2]));
    archive.put(&segments[1], two);
    archive.put(&segments[2], one);
    let misplaced = |k: &(FaultKind, &str)| k.0 == FaultKind::Misplaced;
    assert_eq!(kinds(&checked(&archive)).iter().filter(|k| misplaced(k)).count(), 2);

    let (archive, coarse) = (TestArchive::of(&log(&events()), 5), TestArchive::of(&log(&events()), 7));
    archive.put(&segments[0], coarse.object(&segments[0]));
    archive.put("segments/stream=main/shard=shard-0000/readme.txt", "x".into());
    let chain = checked(&archive);
    let expected = [
        (FaultKind::Stray, "segments/stream=main/shard=shard-0000/readme.txt"),
        (FaultKind::Overlap, segments[1].as_str()),
        (FaultKind::Changed, segments[0].as_str()),
    ];
    assert_eq!(kinds(&chain), expected);
    // Records that lie in two segments are folded once.
    assert!(rebuilt(&archive).counts.repeated > 0);
}

#[test]
fn every_flipped_byte_of_a_segment_is_named() {
    let archive = TestArchive::of(&log(&events()), 5);
    let segment = archive.segments(1).remove(1);
    let good = archive.object(&segment);
    for byte in (0..good.len()).step_by(37) {
        let mut bad = good.to_vec();
        bad[byte] ^= 0x10;
        archive.put(&segment, bad.into());
        assert_eq!(kinds(&checked(&archive)), [(FaultKind::Damaged, segment.as_str())], "byte {byte}");
    }
}

#[test]
fn wrong_manifests_are_named_and_can_be_made_again() {
    let archive = TestArchive::of(&log(&events()), 5);
    let key = keys::manifest(STREAM, "2026-11-24T13");
    let good = Manifest::decode(&archive.object(&key)).unwrap();
    assert_eq!(wait(manifests::rebuild(&archive, STREAM, "2026-11-24T13")).unwrap(), good);
    let wrong: [fn(&mut Manifest); 5] = [
        |m| m.totals.bytes += 1,
        |m| {
            m.shards[0].segments[0].count += 1;
            m.totals = m.sums();
        },
        |m| {
            m.shards[0].segments.pop();
            m.totals = m.sums();
        },
        |m| m.hour = "2026-11-24T14".into(),
        |m| m.version = 99,
    ];
    for change in wrong {
        let mut manifest = good.clone();
        change(&mut manifest);
        archive.put(&key, manifest.encode().unwrap().into());
        assert_eq!(kinds(&checked(&archive)), [(FaultKind::Manifest, key.as_str())]);
    }
}

#[test]
fn a_forged_row_is_a_bad_signature() {
    let log = log(&events());
    let archive = TestArchive::of(&log, 5);
    let sources = sources();
    let refuse = |envelope: &ledgerline_domain::envelope::Envelope| {
        Some(if envelope.event.entity == key(3) { Err("it does not fit".to_owned()) } else { Ok(()) })
    };
    let input = crate::rebuild::Input { recheck: Some(&refuse), ..input(&sources) };
    let report = wait(verify::verify(&archive, &TestEntities::of(&log), &input, &shards_of, &mut |_| ())).unwrap();
    let signatures = report.signatures.as_ref().unwrap();
    assert_eq!((signatures.bad_total, signatures.good), (5, 36));
    assert!(!report.is_clean() && signatures.bad.iter().all(|bad| bad.entity == key(3)));
}

#[test]
fn unreadable_events_are_counted_and_agree() {
    let mut events = events();
    events.push(made(2, What::Unreadable, 70, 9001));
    events.push(made(50, What::Unreadable, 71, 9002));
    let log = log(&events);
    let report = verified(&TestArchive::of(&log, 5), &TestEntities::of(&log));
    assert!(report.is_clean() && report.counts.unreadable == 2, "{report:?}");
}

#[test]
fn an_entity_is_found_in_the_archive() {
    let log = log(&events());
    let archive = TestArchive::of(&log, 3);
    let expected: Vec<_> = log.values().flatten().filter(|r| r.value.event.entity == key(3)).cloned().collect();
    for shard in [shard_of(&key(3)), None] {
        let found = wait(lookup::events_of(&archive, STREAM, shard.as_ref(), &key(3))).unwrap();
        assert_eq!(found.into_iter().map(|(_, row)| row).collect::<Vec<_>>(), expected);
    }
    let segment = SegmentReader::open(archive.object(&archive.segments(1)[0])).unwrap();
    assert!(segment.info().predecessor.is_none());
}

#[test]
fn a_close_sees_what_was_known_and_later_what_came_late() {
    let rebuilt = rebuilt(&TestArchive::of(&log(&events()), 5));
    let row = |cut| rebuilt.at(cut).map(|r| Row::of(&r.unwrap())).find(|row| row.id == "pi_3").unwrap();
    let close = Cut { as_of: Some(at(3000)), known_at: Some(at(4000)) };
    assert_eq!(row(close).refunded, Some(400), "the second refund was not known");
    assert_eq!(row(Cut { known_at: None, ..close }).refunded, Some(900));
    assert_eq!(row(Cut { as_of: Some(at(1801)), known_at: None }).status, "pending");
    let (adjustments, summary) = adjusted(&rebuilt, 3000, 4000);
    assert_eq!((adjustments.len(), summary.entities, summary.changed, summary.events), (1, 1, 1, 1));
    let changes: Vec<_> =
        summary.changes().into_iter().map(|c| (c.source, c.currency, c.figure, c.difference)).collect();
    assert_eq!(changes, [("stripe".to_owned(), "EUR".to_owned(), "refunded", 500)]);
    let adjustment = &adjustments[0];
    assert_eq!((adjustment.entity.as_str(), adjustment.late.len()), (key(3).as_str(), 1));
    let money = &adjustment.money[0];
    assert_eq!((money.figure, money.archive, money.live, money.difference), ("refunded", 400, 900, 500));
    let (mut csv, mut jsonl) = (Vec::new(), Vec::new());
    adjustments::write_csv(adjustment, &mut csv).unwrap();
    write_json_line(adjustment, &mut jsonl).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.contains("stripe/payment/pi_3,partially_refunded,partially_refunded,EUR,refunded,400,900,500,evt_3_2000_charge.refunded"), "{csv}");
    assert!(String::from_utf8(jsonl).unwrap().contains(r#""then":400,"now":900"#));
}

#[test]
fn rows_are_flat_and_quoted() {
    let rebuilt = rebuilt(&TestArchive::of(&log(&[made(1, What::Refunded(500), 2, 3)]), 5));
    let rows: Vec<Row> =
        rebuilt.at(Cut::default()).map(|r| Row { id: "a,\"b\"".into(), ..Row::of(&r.unwrap()) }).collect();
    let mut csv = Vec::new();
    write_csv_heading(&mut csv).unwrap();
    rows.into_iter().for_each(|row| write_csv(row, &mut csv).unwrap());
    assert_eq!(csv.iter().filter(|b| **b == b'\n').count(), csv.windows(2).filter(|w| w == b"\r\n").count());
    let csv = String::from_utf8(csv).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("entity,source,kind,id,status,currency,requested,"), "{csv}");
    assert!(lines[1].starts_with(r#"stripe/payment/pi_1,stripe,payment,"a,""b""","#), "{csv}");
    assert_eq!(lines.len(), 2);
}

fn any_event() -> impl Strategy<Value = Made> {
    let what = prop_oneof![
        Just(What::Created),
        (1..5_i64).prop_map(|n| What::Captured(n * 100)),
        (1..5_i64).prop_map(|n| What::Refunded(n * 50)),
        Just(What::Unreadable),
    ];
    (0..6_u32, what, 0..40_i64, 0..250_i64)
        .prop_map(|(payment, what, happened, late)| made(payment, what, happened * 200, happened * 200 + late))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// I8 for any events, cuts and lags, contradictions and duplicates among them.
    #[test]
    fn replay_equals_live(events in proptest::collection::vec(any_event(), 0..60), records in 1..9_usize, lag in 0..60_usize) {
        let (whole, part) = (log(&events), log(&events[..events.len() - lag.min(events.len())]));
        let clean = verified(&TestArchive::of(&whole, records), &TestEntities::of(&whole));
        prop_assert!(clean.is_clean() && clean.equal == clean.entities, "{:?}", clean);
        let ahead = verified(&TestArchive::of(&part, records), &TestEntities::of(&whole));
        prop_assert!(ahead.is_clean(), "{:?}", ahead);
        let behind = verified(&TestArchive::of(&whole, records), &TestEntities::of(&part));
        prop_assert!(behind.is_clean(), "{:?}", behind);
    }

    /// An export without bounds is the live state; one with bounds is the fold of the events within.
    #[test]
    fn exports_are_folds_of_the_events_within(events in proptest::collection::vec(any_event(), 0..40), as_of in 0..8000_i64, known_at in 0..8000_i64) {
        let log = log(&events);
        let rebuilt = rebuilt(&TestArchive::of(&log, 4));
        let live: Vec<_> = TestEntities::of(&log).records.into_inner().unwrap().into_values().filter(|r| !r.entries.is_empty()).collect();
        let canonical = |records: &[EntityRecord]| records.iter().map(|r| r.canonical()).collect::<Vec<_>>();
        let far = Cut { as_of: Some(at(1_000_000)), known_at: Some(at(1_000_000)) };
        for unbounded in [Cut::default(), far] {
            prop_assert_eq!(canonical(&rebuilt.at(unbounded).map(Result::unwrap).collect::<Vec<_>>()), canonical(&live));
        }
        let cut = Cut { as_of: Some(at(as_of)), known_at: Some(at(known_at)) };
        let then: Vec<_> = rebuilt.at(cut).map(Result::unwrap).collect();
        prop_assert!(then.iter().flat_map(|r| &r.entries).all(|e| e.occurred_at <= cut.as_of && Some(e.received_at) <= cut.known_at));
        // By hand: only the events whose accepted copy lies within, in the order of the log.
        let sources = sources();
        for record in &then {
            let within = log.values().flatten().filter(|r| r.value.event.entity == record.key);
            let within = within.filter_map(|r| match interpret(&sources, r.value.clone(), &r.sequence) {
                Reading::Event(Interpreted { incoming, .. }) if record.entries.iter().any(|e| e.id == incoming.id && e.meaning.digest(&e.event_type, &e.order) == incoming.meaning.as_ref().map(|m| m.digest(&incoming.event_type, &incoming.order)).unwrap_or_default()) => Some(incoming),
                _ => None,
            });
            let (by_hand, _) = apply(&record.key, None, within);
            prop_assert_eq!(by_hand.canonical(), record.canonical());
        }
        let late = usize::try_from(adjusted(&rebuilt, as_of, known_at).1.events).unwrap();
        let counted = |cut| rebuilt.at(cut).map(|r| r.unwrap().entries.len()).sum::<usize>();
        prop_assert_eq!(counted(cut) + late, counted(Cut { known_at: None, ..cut }));
    }
}
