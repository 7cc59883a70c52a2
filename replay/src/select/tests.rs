//! A selection is the filter of all rows in the order of the chains, and reads no more than it must.

use ledgerline_domain::segment::keys;
use proptest::prelude::*;

use super::*;
use crate::doubles::*;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn selected(archive: &TestArchive, selector: &Selector) -> (Vec<Sequenced<Envelope>>, SelectionReport) {
    wait(async {
        let mut selection = Selection::begin(archive, STREAM, selector).await.unwrap();
        let mut rows = Vec::new();
        while let Some((shard, row)) = selection.next().await.unwrap() {
            assert_eq!(shard_of(&row.value.event.entity), Some(shard));
            rows.push(row);
        }
        (rows, selection.finish())
    })
}

/// Ten payments an hour over eight hours; what happened a day before arrives late.
fn events() -> Vec<Made> {
    let payment = |n: i64| made(n as u32 % 40, What::Captured(100 + n), n * 360 - 86_400 * (n % 7 / 6), n * 360);
    (0..80).map(payment).collect()
}

#[test]
fn a_range_of_arrival_reads_its_hours_and_segments_only() {
    let log = log(&events());
    let archive = TestArchive::of(&log, 2);
    let selector = Selector { from: Some(at(2 * 3600)), to: Some(at(2 * 3600 + 720)), ..Selector::default() };
    let (rows, report) = selected(&archive, &selector);
    assert_eq!((rows.len(), report.rows), (2, 2));
    assert!(report.segments_read <= 2 && report.segments_skipped() >= 38, "{report:?}");
    // Without manifests the hours alone decide.
    archive.0.lock().unwrap().retain(|key, _| !key.starts_with("manifests/"));
    let (same, report) = selected(&archive, &selector);
    assert_eq!((same, report.segments_read, report.segments_looked_into), (rows, 6, 4));
}

#[test]
fn one_entity_decodes_its_own_rows_only() {
    let log = log(&events());
    let archive = TestArchive::of(&log, 10);
    let selector = Selector { entities: vec![key(3)], ..Selector::default() };
    let (rows, report) = selected(&archive, &selector);
    assert_eq!((rows.len(), report.rows_read), (2, 2));
    let elsewhere = Selector { sources: vec!["shop".into()], ..Selector::default() };
    let (rows, report) = selected(&archive, &elsewhere);
    assert_eq!((rows.len(), report.segments_read), (0, 0), "manifests know the sources");
}

#[test]
fn one_entity_in_a_long_segment_is_read_in_parts() {
    // Long enough for several row groups and many blocks.
    let events: Vec<Made> = (0..30_000_i64).map(|n| made(n as u32, What::Captured(n * n + 1), 0, n / 10)).collect();
    let log = log(&events);
    let archive = TestArchive::of(&log, 100_000);
    // It lies in the last row group of its segment alone.
    let wanted = key(29_999);
    let (rows, report) = selected(&archive, &Selector { entities: vec![wanted.clone()], ..Selector::default() });
    let expected: Vec<_> = log.values().flatten().filter(|row| row.value.event.entity == wanted).cloned().collect();
    assert_eq!(rows, expected);
    let (_, all) = selected(&archive, &Selector::default());
    assert!(report.is_clean() && report.bytes_read < all.bytes_read / 2, "{report:?} {all:?}");
    assert!(all.bytes_read > 1_000_000 && rows.len() == 1, "{all:?}");
}

#[test]
fn damage_is_a_fault_and_stops_nothing() {
    let log = log(&events());
    let archive = TestArchive::of(&log, 5);
    let (damaged, missing) = (archive.segments(0).remove(1), archive.segments(1).remove(2));
    let mut bad = archive.object(&damaged).to_vec();
    bad[99] ^= 1;
    archive.put(&damaged, bad.into());
    archive.take(&missing);
    archive.put(&keys::manifest(STREAM, "2026-11-24T20"), "{".into());
    let selector = Selector { from: Some(at(0)), ..Selector::default() };
    let (rows, report) = selected(&archive, &selector);
    let faults: Vec<_> = report.faults.iter().map(|f| (f.kind, f.key.as_str(), f.bytes.map(|b| b.first))).collect();
    let manifest = keys::manifest(STREAM, "2026-11-24T20");
    assert_eq!(
        faults,
        [
            (FaultKind::Manifest, manifest.as_str(), Some(0)),
            (FaultKind::Missing, missing.as_str(), None),
            (FaultKind::Damaged, damaged.as_str(), Some(0)),
        ]
    );
    assert!(rows.len() >= 70 && !report.is_clean());
}

fn any_selector() -> impl Strategy<Value = Selector> {
    let time = || proptest::option::of((-90_000..35_000_i64).prop_map(at));
    let by = prop_oneof![Just(TimeOf::Arrival), Just(TimeOf::Occurred)];
    let sources = prop_oneof![Just(vec![]), Just(vec!["stripe".to_owned()]), Just(vec!["shop".to_owned()])];
    let types =
        prop_oneof![Just(vec![]), Just(vec!["charge.*".to_owned()]), Just(vec!["payment_intent.created".to_owned()])];
    (time(), time(), by, sources, proptest::collection::vec((0..45_u32).prop_map(key), 0..4), types)
        .prop_map(|(from, to, by, sources, entities, types)| Selector { from, to, by, sources, entities, types })
}

fn any_event() -> impl Strategy<Value = Made> {
    let what =
        prop_oneof![Just(What::Created), (1..9_i64).prop_map(What::Captured), (1..9_i64).prop_map(What::Refunded)];
    // Hours step back.
    (0..40_u32, what, -86_400..30_000_i64, 0..30_000_i64)
        .prop_map(|(payment, what, happened, received)| made(payment, what, happened, received))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_selection_is_the_filter_of_all_rows(
        events in proptest::collection::vec(any_event(), 0..60),
        records in 1..7_usize,
        selector in any_selector(),
    ) {
        let log = log(&events);
        let archive = TestArchive::of(&log, records);
        let (rows, report) = selected(&archive, &selector);
        let expected: Vec<_> = log.values().flatten().filter(|row| selector.takes(row)).cloned().collect();
        prop_assert!(report.is_clean(), "{:?}", report);
        prop_assert_eq!(report.rows, expected.len() as u64);
        prop_assert_eq!(rows, expected);
    }
}
