//! A close is proved whatever comes later, and nothing of its day can be changed unseen.

use std::collections::BTreeSet;
use std::sync::Arc;

use ledgerline_domain::provider::{Provider, Sources};
use ledgerline_domain::segment::keys::{SegmentKey, segments_of};
use ledgerline_domain::segment::{Manifest, ShardManifest};
use proptest::prelude::*;

use super::*;
use crate::adjustments::{self, Closed, Period, Summary};
use crate::doubles::*;
use crate::rebuild::rebuild;

/// Seconds after [`START`] at which the next day begins.
const MIDNIGHT: i64 = 39_600;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn day() -> Day {
    Day::parse("2026-11-24").unwrap()
}

fn close_day(archive: &Arc<TestArchive>, day: &Day, now: i64) -> Result<Stored> {
    let sources = sources();
    let order = Order {
        stream: STREAM,
        day,
        by: Some("M. Rossi".into()),
        made_at: at(now),
        sources: &sources,
        archived_until: Some(at(now)),
        rejected: None,
    };
    wait(make(archive, order, &mut |_| ()))
}

fn checked(archive: &Arc<TestArchive>, day: &Day) -> Checked {
    wait(check(archive, STREAM, day, &mut |_| ())).unwrap().unwrap()
}

/// Payments over the day, the next day and late events for the day.
fn events() -> (Vec<Made>, Vec<Made>) {
    let mut first = Vec::new();
    for payment in 0..10 {
        let begin = i64::from(payment) * 3000;
        first.push(made(payment, What::Captured(1000 + i64::from(payment)), begin + 5, begin + 6));
        first.push(made(payment, What::Created, begin, begin + 7));
        first.push(made(payment, What::Created, begin, begin + 8));
    }
    first.push(made(2, What::Unreadable, 30_000, 30_001));
    first.push(made(4, What::Refunded(100), 39_000, 39_001));
    // The same id with another amount.
    first.push(made(4, What::Refunded(700), 39_000, 39_050));
    // Just after midnight, and archived before the close.
    first.push(made(1, What::Refunded(50), MIDNIGHT - 1, MIDNIGHT + 5));
    let mut late = vec![
        made(3, What::Refunded(300), 20_000, MIDNIGHT + 9000),
        made(3, What::Refunded(500), MIDNIGHT + 100, MIDNIGHT + 9001),
        made(40, What::Captured(7000), 10_000, MIDNIGHT + 9002),
        made(0, What::Created, 0, MIDNIGHT + 9003),
    ];
    late.extend((50..60).map(|payment| made(payment, What::Captured(1), MIDNIGHT + 9100, MIDNIGHT + 9200)));
    (first, late)
}

fn all(events: &(Vec<Made>, Vec<Made>)) -> Vec<Made> {
    [events.0.as_slice(), events.1.as_slice()].concat()
}

fn figure<'a>(statement: &'a Statement, name: &str) -> (&'a str, &'a str, &'a str) {
    let figure = statement.content.sums[0].figures.iter().find(|f| f.figure == name).unwrap();
    (&figure.before, &figure.movement, &figure.end)
}

fn since(archive: &TestArchive, statement: &Statement, from: UnixNanos, until: UnixNanos) -> Summary {
    let rebuilt = wait(rebuild(archive, &input(&sources()), &mut |_| ())).unwrap();
    let closed = Closed::Through(&statement.positions, &shards_of);
    adjustments::find(&rebuilt, &Period { from, until, closed }, |_| Ok::<_, Error>(())).unwrap()
}

#[test]
fn a_statement_says_what_the_day_was() {
    let archive = Arc::new(TestArchive::of(&log(&events().0), 4));
    let Stored { key, statement, is_sound, .. } = close_day(&archive, &day(), MIDNIGHT + 300).unwrap();
    assert!(is_sound && statement.complete && key == "closes/main/2026-11-24.json", "{key}");
    let counts = statement.content.counts["stripe"];
    assert_eq!(
        counts,
        // The record after midnight is not of the day.
        DayCounts { received: 33, applied: 21, duplicates: 10, contradictions: 1, unreadable: 1, originals: 0 }
    );
    assert_eq!(figure(&statement, "captured"), ("0", "10045", "10045"));
    // The refund that happened on the day and came just after it counts: the close knew it.
    assert_eq!(figure(&statement, "refunded"), ("0", "150", "150"));
    assert_eq!((statement.content.sums[0].payments, statement.content.hours.len()), (10, 10));
    let next = Day::parse("2026-11-25").unwrap();
    let second = close_day(&archive, &next, MIDNIGHT + 90_000).unwrap().statement;
    assert_eq!(figure(&second, "captured"), ("10045", "0", "10045"));
    assert_eq!(second.content.counts["stripe"].received, 1);
    assert_eq!(second.previous.unwrap().key, key);
    for day in [day(), next] {
        assert!(checked(&archive, &day).proved);
    }
    assert_eq!(wait(check(&archive, STREAM, &day().before(), &mut |_| ())).unwrap(), None);
}

#[test]
fn later_traffic_does_not_disturb_the_proof_and_adjustments_are_the_difference() {
    let events = events();
    let archive = Arc::new(TestArchive::of(&log(&events.0), 4));
    let first = close_day(&archive, &day(), MIDNIGHT + 300).unwrap();
    archive.append(&log(&all(&events)), 3);
    let proved = checked(&archive, &day());
    assert!(proved.proved && proved.notes.is_empty() && proved.records == 33, "{proved:?}");
    let second = close_day(&archive, &day(), MIDNIGHT + 10_000).unwrap();
    assert_eq!((second.key.as_str(), second.statement.number), ("closes/main/2026-11-24.2.json", 2));
    assert_eq!(second.statement.corrects, Some(first.named()));
    let found = since(&archive, &first.statement, day().from(), day().until());
    assert_eq!((found.entities, found.changed, found.events), (2, 2, 2));
    let changes: Vec<_> = found.changes().into_iter().map(|c| (c.figure, c.difference)).collect();
    // A capture of Stripe's tells the authorised amount as well.
    assert_eq!(changes, [("requested", 100_000), ("authorized", 7000), ("captured", 7000), ("refunded", 300)]);
    for change in found.changes() {
        let end = |statement: &Statement| figure(statement, change.figure).2.parse::<i128>().unwrap();
        assert_eq!(end(&second.statement) - end(&first.statement), change.difference, "{}", change.figure);
    }
    assert!(checked(&archive, &day()).proved, "the second one too");
    assert_eq!(since(&archive, &second.statement, day().from(), day().until()).events, 0);
}

#[test]
fn every_flipped_byte_and_every_missing_segment_of_the_close_is_found_with_its_place() {
    let events = events();
    let archive = Arc::new(TestArchive::of(&log(&events.0), 4));
    close_day(&archive, &day(), MIDNIGHT + 300).unwrap();
    let of_the_close: BTreeSet<String> =
        archive.0.lock().unwrap().keys().filter(|k| k.starts_with(&segments_of(STREAM))).cloned().collect();
    archive.append(&log(&all(&events)), 3);
    for key in &of_the_close {
        let object = archive.take(key);
        let missing = checked(&archive, &day());
        let places: Vec<_> = missing.differences.iter().map(|d| d.place.as_str()).collect();
        let shard = SegmentKey::parse(key).unwrap().shard;
        assert!(!missing.proved, "{key} is missing");
        assert!(places.contains(&key.as_str()) || places.contains(&shard.as_str()), "{key}: {places:?}");
        for at in (0..object.len()).step_by(397) {
            let mut flipped = object.to_vec();
            flipped[at] ^= 1;
            archive.put(key, flipped.into());
            let found = checked(&archive, &day());
            assert!(!found.proved && found.differences.iter().any(|d| d.place == *key), "{key} at {at}: {found:?}");
        }
        archive.put(key, object);
    }
    assert!(checked(&archive, &day()).proved);
    // What came after the close is not its business.
    let later = archive.0.lock().unwrap().keys().rfind(|k| k.starts_with(&segments_of(STREAM))).cloned().unwrap();
    assert!(!of_the_close.contains(&later));
    archive.take(&later);
    assert!(checked(&archive, &day()).proved);
}

#[test]
fn a_forged_segment_with_a_chain_made_anew_is_found_by_sums_and_records() {
    let events = events();
    let archive = Arc::new(TestArchive::of(&log(&events.0), 4));
    let stored = close_day(&archive, &day(), MIDNIGHT + 300).unwrap();
    let mut forged = events.0.clone();
    forged[0] = made(0, What::Captured(9_999), 5, 6);
    let other = Arc::new(TestArchive::of(&log(&forged), 4));
    let kept: Vec<_> = archive
        .0
        .lock()
        .unwrap()
        .iter()
        .filter(|(k, _)| !k.starts_with("segments/"))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    kept.into_iter().for_each(|(key, object)| other.put(&key, object));
    let found = checked(&other, &day());
    let said: Vec<String> = found.differences.iter().map(|d| format!("{}: {}", d.place, d.words)).collect();
    let said = said.join("\n");
    assert!(!found.proved && said.contains("captured: stated 0 + 10045 = 10045, found 0 + 19044 = 19044"), "{said}");
    assert!(said.contains("and not the same ones") && said.contains("another object than the one stated"), "{said}");
    assert!(stored.statement.content.hours.iter().any(|h| h.segments.iter().any(|s| said.contains(&s.key))));
}

#[test]
fn the_same_records_in_other_segments_are_still_proved() {
    let events = events();
    let archive = Arc::new(TestArchive::of(&log(&events.0), 2));
    close_day(&archive, &day(), MIDNIGHT + 300).unwrap();
    let packed = Arc::new(TestArchive::of(&log(&events.0), 100));
    for (key, object) in archive.0.lock().unwrap().iter().filter(|(key, _)| !key.starts_with("segments/")) {
        packed.put(key, object.clone());
    }
    let found = checked(&packed, &day());
    assert!(found.proved && !found.notes.is_empty() && found.notes[0].contains("byte for byte"), "{found:?}");
}

#[test]
fn a_changed_statement_or_predecessor_is_found() {
    let archive = Arc::new(TestArchive::of(&log(&events().0), 4));
    let (first, next) = (day(), Day::parse("2026-11-25").unwrap());
    let one = close_day(&archive, &first, MIDNIGHT + 300).unwrap();
    close_day(&archive, &next, MIDNIGHT + 90_000).unwrap();
    let text = String::from_utf8(archive.object(&one.key).to_vec()).unwrap();
    for (from, to) in [("\"10045\"", "\"10046\""), ("M. Rossi", "N. Rossi"), ("\"received\": 33", "\"received\": 34")] {
        assert!(text.contains(from), "{text}");
        archive.put(&one.key, text.replace(from, to).into());
        let found = checked(&archive, &first);
        assert!(found.differences[0].words.contains("changed after it was made"), "{found:?}");
        let found = checked(&archive, &next);
        assert!(found.differences.iter().any(|d| d.place == one.key), "{found:?}");
    }
    archive.take(&one.key);
    assert!(!checked(&archive, &next).proved);
    archive.put(&one.key, text.replace("\"ledgerline_close\": 1", "\"ledgerline_close\": 2").into());
    let error = wait(check(&archive, STREAM, &first, &mut |_| ())).unwrap_err().to_string();
    assert!(error.contains("version 2") && error.contains("newer"), "{error}");
}

#[test]
fn the_check_reads_with_the_provider_files_of_the_close() {
    let events = events();
    let archive = Arc::new(TestArchive::of(&log(&events.0), 4));
    // A file of one's own, which reads no refunds.
    let text = Provider::built_in_text("stripe").unwrap();
    let other =
        text.replace("kind = \"refund\"", "kind = \"fee\"").replace("kind = \"dispute\"", "kind = \"requires_action\"");
    assert_ne!(text, other);
    let mut own = Sources::default();
    let name = ledgerline_domain::ids::SourceName::new("stripe").unwrap();
    own.insert(&name, Provider::parse("own.toml", &other).unwrap().into());
    let order = Order {
        stream: STREAM,
        day: &day(),
        by: None,
        made_at: at(MIDNIGHT + 300),
        sources: &own,
        archived_until: None,
        rejected: Some(Rejected::new()),
    };
    let stored = wait(make(&archive, order, &mut |_| ())).unwrap();
    assert!(!stored.statement.complete && figure(&stored.statement, "refunded").2 == "0", "{stored:?}");
    assert!(checked(&archive, &day()).proved, "with the file as it was, not as it is");
    let key = archive.0.lock().unwrap().keys().find(|key| key.starts_with("providers/")).cloned().unwrap();
    archive.put(&key, text.to_owned().into());
    let found = checked(&archive, &day());
    assert!(found.differences[0].words.contains("not the text"), "{found:?}");
}

#[test]
fn the_end_of_the_day_is_told_by_manifests_or_by_the_watermark() {
    let archive = TestArchive::of(&log(&events().0), 4);
    let positions = wait(positions(&archive, STREAM)).unwrap();
    let until = |archive: &TestArchive| wait(archived_until(archive, STREAM, &day(), &positions)).unwrap();
    assert_eq!(until(&archive), None);
    wait(note_archived_until(&archive, STREAM, at(MIDNIGHT + 119))).unwrap();
    assert!(!day().is_over_at(until(&archive).unwrap()));
    // Each shard's word counts, and the last to come decides.
    let say = |hour: &str, shard: u32, at: UnixNanos| {
        let mut manifest = Manifest::empty(STREAM, hour);
        let shard = ShardId::numbered(shard);
        let (watermark, archived_until) = (None, Some(at.to_string()));
        manifest.shards.push(ShardManifest { shard, watermark, archived_until, segments: Vec::new() });
        archive.put(&keys::manifest(STREAM, hour), manifest.encode().unwrap().into());
    };
    say("2026-11-25T03", 0, at(MIDNIGHT + 9000));
    assert_eq!(until(&archive), Some(at(MIDNIGHT + 119)));
    say("2026-11-25T04", 1, at(MIDNIGHT + 8000));
    assert_eq!(until(&archive), Some(at(MIDNIGHT + 8000)));
    assert!(day().is_over_at(until(&archive).unwrap()));
    assert!(day().is_over_at(at(MIDNIGHT + 120)) && !day().is_over_at(at(MIDNIGHT + 119)));
}

#[test]
fn rejections_add_up_over_restarts() {
    let archive = TestArchive::default();
    let more = |cause: &str, n| Rejected::from([("shop".to_owned(), BTreeMap::from([(cause.to_owned(), n)]))]);
    assert_eq!(wait(rejected(&archive, STREAM, &day())).unwrap(), None);
    for (cause, n) in [("missing", 2), ("mismatch", 1), ("missing", 3)] {
        wait(add_rejected(&archive, STREAM, &day(), None, &more(cause, n))).unwrap();
    }
    let all = wait(rejected(&archive, STREAM, &day())).unwrap().unwrap();
    assert_eq!(all["shop"], BTreeMap::from([("missing".to_owned(), 5), ("mismatch".to_owned(), 1)]));
    assert_eq!(wait(rejected(&archive, STREAM, &day().before())).unwrap(), None);
}

#[test]
fn days_are_days_of_utc() {
    assert!(Day::parse("2026-02-30").is_err() && Day::parse("2026-11").is_err() && Day::parse("26-11-24T").is_err());
    let day = day();
    assert_eq!((day.from().to_string().as_str(), day.before().name()), ("2026-11-24T00:00:00Z", "2026-11-23"));
    assert_eq!(day.until().to_string(), "2026-11-24T23:59:59.999999999Z");
    assert_eq!(Day::of(day.until()), day);
    assert!(day.holds_hour("2026-11-24T00") && !day.holds_hour("2026-11-25T00"));
}

fn any_event() -> impl Strategy<Value = Made> {
    let what = prop_oneof![
        Just(What::Created),
        (1..5_i64).prop_map(|n| What::Captured(n * 100)),
        (1..5_i64).prop_map(|n| What::Refunded(n * 50)),
        Just(What::Unreadable),
    ];
    (0..6_u32, what, 0..60_i64, 0..40_000_i64)
        .prop_map(|(payment, what, happened, late)| made(payment, what, happened * 1000, happened * 1000 + late))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever comes after a close: it is proved, and its adjustments are the second close less the first.
    #[test]
    fn closes_stay_proved_and_adjustments_are_their_difference(events in proptest::collection::vec(any_event(), 1..60), cut in 0..60_usize, records in 1..6_usize) {
        let cut = cut.min(events.len());
        let archive = Arc::new(TestArchive::of(&log(&events[..cut]), records));
        let first = close_day(&archive, &day(), MIDNIGHT + 300).unwrap();
        archive.append(&log(&events), records);
        let proved = checked(&archive, &day());
        prop_assert!(proved.proved, "{:?}", proved);
        let second = close_day(&archive, &day(), MIDNIGHT + 301).unwrap();
        let found = since(&archive, &first.statement, day().from(), day().until());
        let mut differences: BTreeMap<String, i128> = BTreeMap::new();
        for (sign, statement) in [(-1, &first.statement), (1, &second.statement)] {
            for figure in statement.content.sums.iter().filter(|s| s.currency == "EUR").flat_map(|s| &s.figures) {
                *differences.entry(figure.figure.clone()).or_default() += sign * figure.end.parse::<i128>().unwrap();
            }
        }
        differences.retain(|_, difference| *difference != 0);
        let adjusted: BTreeMap<String, i128> = found.changes().into_iter().map(|c| (c.figure.to_owned(), c.difference)).collect();
        prop_assert_eq!(adjusted, differences);
        let counted: u64 = second.statement.content.counts.values().map(|c| c.received).sum();
        prop_assert_eq!(counted, events.iter().filter(|e| e.received < MIDNIGHT).count() as u64);
    }
}
