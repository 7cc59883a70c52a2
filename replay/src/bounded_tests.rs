//! Whatever memory and threads a replay may use, and whatever part of the entities it is asked for, it
//! gives the same.

use std::collections::BTreeMap;

use ledgerline_domain::fold::{Incoming, apply, refold};
use ledgerline_domain::ids::{EntityKey, ShardId};
use ledgerline_domain::interpret::{Reading, interpret};
use ledgerline_domain::ports::Sequenced;
use ledgerline_domain::record::EntityRecord;
use proptest::prelude::*;

use crate::doubles::*;
use crate::export::Cut;
use crate::partition::Partition;
use crate::rebuild::{Input, Limits, Rebuilt, rebuild};
use crate::report::Report;
use crate::verify::verify;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

const LIMITS: [(usize, usize); 5] = [(1, 1 << 30), (1, 0), (2, 1 << 30), (2, 9_000), (3, 0)];

fn within((threads, memory_bytes): (usize, usize), input: Input<'_>) -> Input<'_> {
    Input { limits: Limits { threads, memory_bytes, spill_dir: None }, ..input }
}

fn rebuilt(archive: &TestArchive, input: Input<'_>) -> Rebuilt {
    wait(rebuild(archive, &input, &mut |_| ())).unwrap()
}

fn verified(archive: &TestArchive, live: &TestEntities, input: Input<'_>) -> Report {
    wait(verify(archive, live, &input, &shards_of, &mut |_| ())).unwrap()
}

fn stored(rebuilt: &Rebuilt) -> Vec<(ShardId, Vec<u8>)> {
    rebuilt.stored().map(|r| r.unwrap()).map(|r| (r.shard.clone(), r.binary.into_owned())).collect()
}

/// The same for all limits: records byte for byte and in the same order, counts, signatures and chain.
fn same_rebuild_within_all_limits(archive: &TestArchive) -> Rebuilt {
    let sources = sources();
    let first = rebuilt(archive, within(LIMITS[0], input(&sources)));
    for limits in LIMITS {
        let other = rebuilt(archive, within(limits, input(&sources)));
        assert_eq!(stored(&other), stored(&first), "{limits:?}");
        assert_eq!((other.counts, other.entities()), (first.counts, first.entities()), "{limits:?}");
        assert_eq!((&other.signatures, &other.chain), (&first.signatures, &first.chain), "{limits:?}");
        let close = Cut { as_of: Some(at(3000)), known_at: Some(at(4000)) };
        let rows = |r: &Rebuilt| r.at(close).map(|r| r.unwrap().canonical()).collect::<Vec<_>>();
        assert_eq!(rows(&other), rows(&first), "{limits:?}");
        for record in first.records().take(3).map(Result::unwrap) {
            assert_eq!(other.record(&record.key).unwrap().unwrap(), record);
        }
        assert!(other.record(&key(1_000_000)).is_none());
    }
    first
}

/// Events of every kind: late ones, copies, contradictions, unreadable ones.
fn any_event() -> impl Strategy<Value = Made> {
    let what = prop_oneof![
        Just(What::Created),
        (1..5_i64).prop_map(|n| What::Captured(n * 100)),
        (1..5_i64).prop_map(|n| What::Refunded(n * 50)),
        Just(What::Unreadable),
    ];
    (0..9_u32, what, 0..40_i64, 0..250_i64)
        .prop_map(|(payment, what, happened, late)| made(payment, what, happened * 200, happened * 200 + late))
}

/// The log of a stream that was split up anew in the middle: events of one entity lie in two shards, the
/// later ones in the later shard.
fn resharded(events: &[Made]) -> BTreeMap<ShardId, Vec<Sequenced<ledgerline_domain::envelope::Envelope>>> {
    let all: Vec<_> = log(events).into_values().flatten().collect();
    let mut split: BTreeMap<ShardId, Vec<_>> = BTreeMap::new();
    for record in all {
        let late = record.sequence.to_u64().unwrap() > events.len() as u64 / 2;
        split.entry(ShardId::numbered(u32::from(late))).or_default().push(record);
    }
    split.values_mut().for_each(|log| log.sort_by(|a, b| a.sequence.cmp(&b.sequence)));
    split
}

/// Each entity's events in the order of the log, folded at once.
fn by_hand(log: &BTreeMap<ShardId, Vec<Sequenced<ledgerline_domain::envelope::Envelope>>>) -> Vec<EntityRecord> {
    let sources = sources();
    let mut events: BTreeMap<EntityKey, Vec<Incoming>> = BTreeMap::new();
    for record in log.values().flatten() {
        if let Reading::Event(event) = interpret(&sources, record.value.clone(), &record.sequence) {
            events.entry(event.entity).or_default().push(event.incoming);
        }
    }
    let fold = |(key, events)| EntityRecord { revision: 0, ..apply(&key, None, events).0 };
    events.into_iter().map(fold).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn limits_change_nothing(events in prop::collection::vec(any_event(), 0..80), records in 1..9_usize, lag in 0..40_usize) {
        let (whole, part) = (log(&events), log(&events[..events.len() - lag.min(events.len())]));
        let archive = TestArchive::of(&whole, records);
        let rebuilt = same_rebuild_within_all_limits(&archive);
        prop_assert_eq!(rebuilt.records().map(Result::unwrap).collect::<Vec<_>>(), by_hand(&whole));
        let sources = sources();
        // A live state that is behind, and one in which somebody changed something.
        let behind = TestEntities::of(&part);
        let changed = TestEntities::of(&whole);
        for (n, record) in changed.records.lock().unwrap().values_mut().enumerate() {
            if n % 3 == 1 {
                *record = refold(record, |entry| !entry.event_type.contains("succeeded"));
            }
        }
        changed.records.lock().unwrap().remove(&key(3));
        for live in [&behind, &changed] {
            let first = verified(&archive, live, within(LIMITS[0], input(&sources)));
            for limits in LIMITS {
                prop_assert_eq!(&verified(&archive, live, within(limits, input(&sources))), &first, "{:?}", limits);
            }
        }
        prop_assert!(verified(&archive, &behind, within(LIMITS[4], input(&sources))).is_clean());
    }

    #[test]
    fn an_entity_in_two_shards_is_folded_in_the_order_of_the_archive(events in prop::collection::vec(any_event(), 0..60), records in 1..9_usize) {
        let log = resharded(&events);
        let rebuilt = same_rebuild_within_all_limits(&TestArchive::of(&log, records));
        prop_assert_eq!(rebuilt.records().map(Result::unwrap).collect::<Vec<_>>(), by_hand(&log));
        prop_assert_eq!(rebuilt.counts.records, events.len() as u64);
        let sources = sources();
        let (archive, live) = (TestArchive::of(&log, records), TestEntities::of(&log));
        let first = verified(&archive, &live, within(LIMITS[0], input(&sources)));
        for limits in LIMITS {
            prop_assert_eq!(&verified(&archive, &live, within(limits, input(&sources))), &first, "{:?}", limits);
        }
    }

    #[test]
    fn parts_make_up_the_whole(events in prop::collection::vec(any_event(), 0..60), count in 1..5_u32) {
        let log = log(&events);
        let (archive, live) = (TestArchive::of(&log, 4), TestEntities::of(&log));
        let sources = sources();
        let whole = rebuilt(&archive, input(&sources));
        let (mut parts, mut compared) = (Vec::new(), 0);
        for index in 1..=count {
            let partition = Partition::new(index, count).unwrap();
            let only = |entity: &EntityKey| partition.holds(entity);
            let part = rebuilt(&archive, within(LIMITS[index as usize], Input { only: Some(&only), ..input(&sources) }));
            prop_assert_eq!(part.counts.records, whole.counts.records);
            prop_assert_eq!(part.signatures.as_ref().unwrap().good + part.counts.skipped, whole.counts.records);
            prop_assert_eq!(&part.chain, &whole.chain);
            parts.extend(part.records().map(Result::unwrap));
            let report = verified(&archive, &live, Input { only: Some(&only), ..input(&sources) });
            prop_assert!(report.is_clean());
            prop_assert_eq!(report.equal + report.not_compared, whole.entities() as u64);
            compared += report.equal;
        }
        parts.sort_by(|a, b| a.key.cmp(&b.key));
        prop_assert_eq!(parts, whole.records().map(Result::unwrap).collect::<Vec<_>>());
        prop_assert_eq!(compared, whole.entities() as u64);
    }
}

#[test]
fn damage_in_the_middle_stops_nothing_else() {
    let events: Vec<Made> = (0..40).map(|n| made(n, What::Created, i64::from(n), i64::from(n))).collect();
    let archive = TestArchive::of(&log(&events), 4);
    let damaged = archive.segments(1).remove(2);
    let mut bytes = archive.object(&damaged).to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    archive.put(&damaged, bytes.into());
    let rebuilt = same_rebuild_within_all_limits(&archive);
    assert_eq!((rebuilt.entities(), rebuilt.counts.records), (36, 36));
    assert_eq!(rebuilt.chain.faults.iter().map(|f| f.key.as_str()).collect::<Vec<_>>(), [damaged.as_str()]);
}

#[test]
fn a_directory_that_is_not_there_is_an_error_that_names_it() {
    let events: Vec<Made> = (0..2000).map(|n| made(n, What::Created, 1, 1)).collect();
    let archive = TestArchive::of(&log(&events), 500);
    let sources = sources();
    for threads in [1, 2] {
        let nowhere = std::path::Path::new("/nowhere/at/all");
        let limits = Limits { threads, memory_bytes: 0, spill_dir: Some(nowhere) };
        let error = wait(rebuild(&archive, &Input { limits, ..input(&sources) }, &mut |_| ())).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at/all"), "{error}");
    }
}
