//! Whatever happens to an archive is found by `check`, with the object named and the place in it: every
//! byte flipped, every object removed, copied elsewhere, exchanged or cut short.

use std::sync::OnceLock;

use bytes::Bytes;
use ledgerline_domain::segment::BLOCK_BYTES;
use ledgerline_replay::chain::FaultKind;
use ledgerline_replay::check::{ArchiveReport, check};
use ledgerline_tests::vault::{HOUR_NANOS, Vault, archived};
use proptest::prelude::*;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
}

fn checked(vault: &Vault) -> ArchiveReport {
    wait(check(vault, &mut |_| ())).expect("it can be read")
}

/// Three segments of one shard over two hours, two manifests and a head.
fn small() -> Vault {
    static SMALL: OnceLock<Vault> = OnceLock::new();
    let made = SMALL.get_or_init(|| {
        let vault = wait(archived(1, &[1, 2, 3, HOUR_NANOS + 1], 2));
        vault.put("runs/main/1.json", "{\"version\":1}");
        vault
    });
    wait(Vault::copy_of(made))
}

/// Two shards, hours that step back, segments of several blocks.
fn larger() -> Vault {
    static LARGER: OnceLock<Vault> = OnceLock::new();
    let made = LARGER.get_or_init(|| {
        let arrivals: Vec<i64> = (0..1200).map(|n| [0, 5, 1, 6][n as usize / 300] * HOUR_NANOS + n).collect();
        wait(archived(2, &arrivals, 200))
    });
    wait(Vault::copy_of(made))
}

/// Whether a fault names the object, and where one gives a place, that it is the right one.
fn names(report: &ArchiveReport, key: &str, at: Option<u64>) -> bool {
    report.faults.iter().any(|fault| {
        let place = fault.bytes.zip(at).is_none_or(|(bytes, at)| bytes.first <= at && at <= bytes.last);
        fault.key == key && (at.is_none() || fault.bytes.is_some()) && place
    })
}

#[test]
fn a_sound_archive_is_clean() {
    let report = checked(&small());
    assert!(report.is_clean(), "{:?}", report.faults);
    assert_eq!((report.streams[0].shards[0].segments, report.streams[0].manifests, report.streams[0].heads), (3, 2, 1));
    assert_eq!((report.objects, report.statements), (7, 1));
    let report = checked(&larger());
    assert!(report.is_clean(), "{:?}", report.faults);
    assert_eq!(report.streams[0].shards.iter().map(|shard| shard.records).sum::<u64>(), 1200);
}

#[test]
fn every_flipped_byte_is_found_with_its_place() {
    let vault = small();
    let mut flipped = 0;
    for key in vault.keys() {
        if key.starts_with("runs/") {
            continue;
        }
        let good = vault.object(&key);
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << (at % 8);
            vault.put(&key, bad);
            let report = checked(&vault);
            assert!(names(&report, &key, Some(at as u64)), "byte {at} of {key}: {:?}", report.faults);
            let block = |fault: &ledgerline_replay::chain::Fault| {
                fault.bytes.is_some_and(|b| b.last - b.first < BLOCK_BYTES as u64) && fault.key == key
            };
            assert!(report.faults.iter().all(block), "byte {at} of {key}: {:?}", report.faults);
            assert!(report.faults.iter().all(|fault| !fault.fix.is_empty()));
            flipped += 1;
        }
        vault.put(&key, good);
    }
    assert!(checked(&vault).is_clean());
    println!("{flipped} bytes flipped, one at a time");
}

#[test]
fn every_removed_object_is_named() {
    for vault in [small(), larger()] {
        for key in vault.keys() {
            if key.starts_with("runs/") {
                continue;
            }
            let object = vault.objects().remove(&key).expect("it was there");
            let report = checked(&vault);
            let missing = report.faults.iter().any(|fault| fault.kind == FaultKind::Missing && fault.key == key);
            assert!(missing, "{key}: {:?}", report.faults);
            vault.put(&key, object);
        }
    }
}

#[test]
fn every_added_object_is_named() {
    let vault = small();
    for key in vault.keys() {
        let object = vault.object(&key);
        let parent = key.rsplit_once('/').expect("a folder").0;
        let name = key.rsplit_once('/').expect("a name").1;
        let elsewhere = [
            format!("{parent}/00000000000000000077.parquet"),
            format!("{parent}/copy of {name}"),
            format!("{parent}/x/{name}"),
            key.replace("shard-0000", "shard-0001"),
            key.replace("2026-11-24T13", "2026-11-24T12"),
            key.replace("main", "other"),
            name.to_owned(),
            format!("elsewhere/{name}"),
        ];
        for copy in elsewhere {
            if vault.keys().contains(&copy) || copy.starts_with("runs/") {
                continue;
            }
            vault.put(&copy, object.clone());
            let report = checked(&vault);
            assert!(names(&report, &copy, None), "{copy}: {:?}", report.faults);
            let accused = report.faults.iter().all(|fault| fault.key == copy || fault.key.contains("other"));
            assert!(accused, "{copy}: {:?}", report.faults);
            vault.objects().remove(&copy);
        }
    }
}

#[test]
fn what_should_be_json_and_is_not_is_named() {
    let vault = small();
    vault.put("closes/main/2026-11-24.json", "{\"version\":");
    assert!(names(&checked(&vault), "closes/main/2026-11-24.json", Some(3)));
}

#[test]
fn every_truncation_says_what_is_missing() {
    for vault in [small(), larger()] {
        for key in vault.keys() {
            let good = vault.object(&key);
            if key.starts_with("runs/") {
                continue;
            }
            for length in [0, 1, good.len() / 3, good.len() - 9, good.len() - 1] {
                vault.put(&key, good.slice(..length));
                let report = checked(&vault);
                assert!(names(&report, &key, None), "{key} cut at {length}: {:?}", report.faults);
                if key.starts_with("segments/") {
                    let fault = report.faults.iter().find(|fault| fault.key == key).expect("named");
                    let bytes = fault.bytes.expect("a place");
                    assert_eq!((bytes.first, bytes.last), (length as u64, good.len() as u64 - 1), "{}", fault.words);
                    assert!(fault.words.contains(&format!("{length} of {} bytes", good.len())), "{}", fault.words);
                }
            }
            vault.put(&key, good);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Any bytes, anywhere in a larger archive, at several places at once.
    #[test]
    fn any_change_is_found_with_its_block(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 1..=u8::MAX), 1..4),
    ) {
        let vault = larger();
        let keys = vault.keys();
        let mut changed: Vec<(String, usize)> = Vec::new();
        for (key, at, by) in changes {
            let key = &keys[key.index(keys.len())];
            let mut object = vault.object(key).to_vec();
            let at = at.index(object.len());
            if changed.iter().any(|(other, place)| other == key && *place == at) {
                continue;
            }
            object[at] ^= by;
            vault.put(key, Bytes::from(object));
            changed.push((key.clone(), at));
        }
        let report = checked(&vault);
        for (key, at) in &changed {
            // With a damaged footer nothing is known of the data part, so one of several may stand for all.
            let alone = changed.iter().filter(|(other, _)| other == key).count() == 1;
            prop_assert!(names(&report, key, alone.then_some(*at as u64)), "byte {at} of {key}: {:?}", report.faults);
        }
    }

    /// Two objects exchanged: both are named.
    #[test]
    fn exchanged_objects_are_named(one in any::<prop::sample::Index>(), two in any::<prop::sample::Index>()) {
        let vault = larger();
        let keys = vault.keys();
        let (one, two) = (&keys[one.index(keys.len())], &keys[two.index(keys.len())]);
        prop_assume!(one != two);
        let (first, second) = (vault.object(one), vault.object(two));
        vault.put(one, second);
        vault.put(two, first);
        let report = checked(&vault);
        prop_assert!(names(&report, one, None) && names(&report, two, None), "{one} {two}: {:?}", report.faults);
    }
}
