//! Segments come back exactly, prune what they may, and refuse everything that is not what was written.

use bytes::Bytes;
use compact_str::CompactString;
use proptest::prelude::*;

use super::*;
use crate::ErrorKind;
use crate::envelope::{Envelope, Identified, RequestPart};
use crate::ids::{EntityKey, SequenceNumber, ShardId};
use crate::order::{OrderClass, OrderKey};
use crate::ports::{End, Sequenced};
use crate::time::UnixNanos;

/// 2026-11-24T13:00:00Z.
const HOUR: i64 = 1_795_525_200_000_000_000;

fn place(after: Option<u64>) -> SegmentPlace {
    let link = || Link {
        key: "segments/stream=main/shard=shard-0000/hour=2026-11-24T12/0-origin.parquet".into(),
        sha256: "ab".repeat(32),
    };
    SegmentPlace {
        stream: "main".into(),
        shard: ShardId::numbered(0),
        after: after.map(|start| (SequenceNumber::from_u64(start), link())),
    }
}

fn record(number: u64, entity: &str, body: &[u8]) -> Sequenced<Envelope> {
    let event = Identified {
        id: format!("evt_{number}").into(),
        event_type: "charge.succeeded".into(),
        entity: EntityKey::parse(entity).unwrap(),
        order: OrderKey { class: OrderClass::Timestamp, value: HOUR },
        occurred_at: UnixNanos::from_seconds(HOUR / 1_000_000_000),
        body: Bytes::copy_from_slice(body),
        part: None,
        unreadable: None,
    };
    let headers = format!("stripe-signature: t=1,v1={number:064x}\n");
    let received_at = UnixNanos::from_nanos(HOUR + 17);
    Sequenced {
        sequence: SequenceNumber::from_u64(number),
        arrived_at: UnixNanos::from_nanos(HOUR + number as i64),
        value: Envelope::restore(event, received_at, "application/json".into(), "0a0b0c0d".into(), headers, None),
    }
}

fn written(after: Option<u64>, records: &[Sequenced<Envelope>]) -> Segment {
    let mut writer = SegmentWriter::new(place(after)).unwrap();
    records.iter().for_each(|r| writer.push(r).unwrap());
    writer.finish().unwrap()
}

fn read(bytes: &Bytes) -> crate::Result<Vec<Sequenced<Envelope>>> {
    SegmentReader::open(bytes.clone())?.rows().collect()
}

/// `count` records about `count / 3` entities, over several pages and row groups when they are many.
fn many(count: u64) -> Vec<Sequenced<Envelope>> {
    let body = |n: u64| format!(r#"{{"id":"evt_{n}","filler":"{}"}}"#, format!("{:x}", n * 77_777).repeat(40));
    (1..=count).map(|n| record(n, &format!("stripe/payment/pi_{}", n / 3), body(n).as_bytes())).collect()
}

#[test]
fn a_segment_says_what_it_is() {
    let segment = written(Some(4), &[record(7, "s/payment/a", b"{}"), record(9, "s/payment/b", b"\xff\x00")]);
    assert_eq!(
        segment.info.key(),
        "segments/stream=main/shard=shard-0000/hour=2026-11-24T13/00000000000000000004.parquet"
    );
    let reader = SegmentReader::open(segment.bytes.clone()).unwrap();
    assert_eq!(reader.info(), &segment.info);
    assert_eq!(reader.info().count, 2);
    assert_eq!(segment.sha256, digest(&segment.bytes));
    let first = written(None, &[record(1, "s/payment/a", b"{}")]);
    assert_eq!(first.info.key(), "segments/stream=main/shard=shard-0000/hour=2026-11-24T13/0-origin.parquet");
    assert_eq!(SegmentReader::open(first.bytes).unwrap().info().predecessor, None);
}

#[test]
fn the_same_records_give_the_same_bytes() {
    assert_eq!(written(None, &many(100)).sha256, written(None, &many(100)).sha256);
}

#[test]
fn many_rows_over_pages_and_row_groups_come_back() {
    let records = many(20_000);
    let segment = written(None, &records);
    assert_eq!(read(&segment.bytes).unwrap(), records);
    let bare: Vec<_> =
        SegmentReader::open(segment.bytes).unwrap().rows_without_evidence().map(Result::unwrap).collect();
    assert!(bare.iter().all(|row| row.value.signature_headers.is_empty() && row.value.key_id.is_empty()));
    assert!(bare.iter().zip(&records).all(|(a, b)| a.sequence == b.sequence && a.value.event == b.value.event));
}

#[test]
fn a_look_up_finds_exactly_the_rows_of_one_entity() {
    let records = many(20_000);
    let segment = written(None, &records);
    let reader = SegmentReader::open(segment.bytes).unwrap();
    for id in [0, 1, 2730, 2731, 3333, 6666] {
        let key = EntityKey::parse(&format!("stripe/payment/pi_{id}")).unwrap();
        let expected: Vec<_> = records.iter().filter(|r| r.value.event.entity == key).cloned().collect();
        assert_eq!(reader.rows_of(&key).unwrap(), expected, "{key}");
        assert!(reader.may_hold(&key).unwrap());
    }
    // Within the statistics' bounds, so the bloom filter decides.
    let hits = (0..1000)
        .filter(|id| reader.may_hold(&EntityKey::parse(&format!("stripe/payment/pi_1_{id}")).unwrap()).unwrap())
        .count();
    assert!(hits < 100, "{hits} of 1000 absent entities are not ruled out");
    for absent in ["a/payment/x", "zz/payment/x"] {
        let key = EntityKey::parse(absent).unwrap();
        assert!(!reader.may_hold(&key).unwrap() && reader.rows_of(&key).unwrap().is_empty());
    }
}

/// Looks `entities` up in a segment of which only what is asked for is given; gives the bytes given, too.
fn looked_up(object: &Bytes, entities: &[EntityKey]) -> crate::Result<(Vec<Sequenced<Envelope>>, usize)> {
    let end = |most: usize| End { size: object.len() as u64, bytes: object.slice(object.len().saturating_sub(most)..) };
    let mut given = 1000;
    let mut segment = loop {
        match SparseSegment::open(&end(given))? {
            Footer::Whole(segment) => break segment,
            Footer::Longer(more) => given = more as usize,
        }
    };
    for part in [SparseSegment::filters_wanted, SparseSegment::groups_wanted] {
        for range in part(&segment, entities)? {
            given += (range.end - range.start) as usize;
            segment.put(range.start, &object[range.start as usize..range.end as usize])?;
        }
    }
    Ok((segment.rows_of_any(entities)?, given))
}

#[test]
fn a_look_up_needs_footer_filters_and_its_row_groups_only() {
    let records = many(20_000);
    let object = written(None, &records).bytes;
    let key = |id: &str| EntityKey::parse(&format!("stripe/payment/pi_{id}")).unwrap();
    for ids in [&["0"][..], &["2730"], &["2731", "3333"], &["6666", "1_3", "nobody"], &[]] {
        let keys: Vec<_> = ids.iter().map(|id| key(id)).collect();
        let expected: Vec<_> = records.iter().filter(|r| keys.contains(&r.value.event.entity)).cloned().collect();
        assert_eq!(looked_up(&object, &keys).unwrap().0, expected, "{ids:?}");
    }
    let (_, absent) = looked_up(&object, &[EntityKey::parse("zz/payment/x").unwrap()]).unwrap();
    let (_, one) = looked_up(&object, &[key("6666")]).unwrap();
    assert!(absent < 16_000 && one < object.len() * 3 / 4, "{absent} and {one} of {} bytes", object.len());
    let Footer::Whole(segment) = SparseSegment::open(&End { size: object.len() as u64, bytes: object }).unwrap() else {
        panic!("all of it is there");
    };
    assert!(segment.rows_of_any(&[key("0")]).is_err(), "what was not read is not taken for nothing");
}

#[test]
fn damage_in_what_a_look_up_reads_is_found() {
    let object = written(None, &many(20_000)).bytes;
    let wanted = [EntityKey::parse("stripe/payment/pi_1").unwrap()];
    let (rows, _) = looked_up(&object, &wanted).unwrap();
    let mut found = 0;
    for at in (0..object.len()).step_by(object.len() / 97) {
        let mut bad = object.to_vec();
        bad[at] ^= 0x10;
        match looked_up(&bad.into(), &wanted) {
            Ok(same) => assert_eq!(same.0, rows, "byte {at}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Data);
                found += 1;
            }
        }
    }
    assert!(found > 20, "{found}");
    for cut in [1, 8, 100, object.len() / 2] {
        assert!(looked_up(&object.slice(..object.len() - cut), &wanted).is_err(), "cut by {cut}");
    }
}

#[test]
fn a_range_of_arrival_reads_the_row_groups_that_may_have_it() {
    let records = many(20_000);
    let reader = SegmentReader::open(written(None, &records).bytes).unwrap();
    let at = |nanos: i64| Some(UnixNanos::from_nanos(HOUR + nanos));
    // The times are nanoseconds apart: all of one microsecond count as one.
    let between = |from, to| -> Vec<_> { reader.rows_between(from, to).map(Result::unwrap).collect() };
    assert_eq!(between(None, None), records);
    let found = between(at(18_500), at(18_600));
    assert!(found.len() < 8192 && records[18_400..18_700].iter().all(|row| found.contains(row)));
    assert!(between(at(21_000), None).is_empty() && between(None, at(-1000)).is_empty());
    let (one, two) = (&records[5].value.event.entity, &records[15_000].value.event.entity);
    let expected: Vec<_> = records.iter().filter(|r| [one, two].contains(&&r.value.event.entity)).cloned().collect();
    assert_eq!(reader.rows_of_any(&[two.clone(), one.clone()]).unwrap(), expected);
    assert!(reader.rows_of_any(&[]).unwrap().is_empty());
}

#[test]
fn long_entities_are_found_though_statistics_cut_bounds_short() {
    let keys: Vec<String> = (0..3).map(|n| format!("s/payment/{}\u{10ffff}{n}", "é".repeat(60))).collect();
    let records: Vec<_> = (1..).zip(&keys).map(|(n, key)| record(n, key, b"{}")).collect();
    let reader = SegmentReader::open(written(None, &records).bytes).unwrap();
    for (key, record) in keys.iter().zip(&records) {
        assert_eq!(reader.rows_of(&EntityKey::parse(key).unwrap()).unwrap(), std::slice::from_ref(record));
    }
}

#[test]
fn the_writer_refuses_what_would_break_the_chain() {
    let mut writer = SegmentWriter::new(place(Some(4))).unwrap();
    assert!(writer.push(&record(4, "s/payment/a", b"{}")).is_err(), "the start is exclusive");
    writer.push(&record(6, "s/payment/a", b"{}")).unwrap();
    assert!(writer.push(&record(6, "s/payment/a", b"{}")).is_err(), "positions rise");
    let mut next_hour = record(7, "s/payment/a", b"{}");
    next_hour.arrived_at = UnixNanos::from_nanos(HOUR + 3_600_000_000_000);
    assert!(!writer.takes_hour_of(next_hour.arrived_at));
    assert!(writer.push(&next_hour).is_err(), "one hour");
    assert!(SegmentWriter::new(place(None)).unwrap().finish().is_err(), "at least one record");
    let strange = SegmentPlace { stream: "a/b".into(), ..place(None) };
    assert_eq!(SegmentWriter::new(strange).err().map(|e| e.kind()), Some(ErrorKind::Invalid));
}

/// The one damaged place of an object.
fn only_damage(object: Vec<u8>) -> Damage {
    let object = Bytes::from(object);
    let error = SegmentReader::open(object.clone()).expect_err("damage is seen");
    let Diagnosis::Damaged(mut damages) = diagnose(&object) else { panic!("{:?}", diagnose(&object)) };
    assert!(error.kind() == ErrorKind::Data && error.to_string().contains(&damages[0].to_string()), "{error}");
    assert_eq!(damages.len(), 1, "{damages:?}");
    damages.remove(0)
}

/// Where the footer begins, by Parquet's own trailer.
fn footer_of(object: &[u8]) -> usize {
    let length = object[object.len() - 8..object.len() - 4].try_into().unwrap();
    object.len() - 8 - u32::from_le_bytes(length) as usize
}

#[test]
fn every_flipped_bit_is_found_in_its_block_or_in_the_footer() {
    // A small one, every bit; a larger one of several blocks, here and there and all of the footer.
    for (records, step) in [(&many(20)[4..], 1), (&many(9_000)[4..], 997)] {
        let good = written(Some(4), records).bytes.to_vec();
        let footer = footer_of(&good);
        let places = (0..footer).step_by(step).chain(footer..good.len());
        for at in places {
            for bit in 0..8 {
                if step > 1 && bit != at % 8 {
                    continue;
                }
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                let damage = only_damage(bad);
                let bytes = damage.bytes.unwrap();
                assert!(bytes.first <= at as u64 && at as u64 <= bytes.last, "byte {at} of {footer}: {damage}");
                if at < footer {
                    assert!(bytes.last - bytes.first < BLOCK_BYTES as u64 && bytes.last < footer as u64, "{damage}");
                    assert_ne!(damage.place, "the footer", "byte {at}");
                } else {
                    assert_eq!((bytes.first, damage.place.as_str()), (footer as u64, "the footer"), "byte {at}");
                }
            }
        }
    }
}

#[test]
fn damage_names_row_group_and_column() {
    let good = written(None, &many(20_000)).bytes.to_vec();
    let footer = footer_of(&good);
    let middle = good.len() / 2;
    for (at, expected) in
        [(0, "row group 0, columns sequence to "), (footer - 1, "row group 2, bloom filter"), (middle, "row group 1")]
    {
        let mut bad = good.clone();
        bad[at] ^= 1;
        let damage = only_damage(bad);
        assert!(damage.place.contains(expected), "byte {at}: {damage}");
    }
    // Places apart are named apart, neighbouring blocks as one.
    let mut bad = good;
    for at in [0, BLOCK_BYTES, 3 * BLOCK_BYTES] {
        bad[at] ^= 1;
    }
    let Diagnosis::Damaged(damages) = diagnose(&bad.into()) else { panic!("it is damaged") };
    let ranges: Vec<_> = damages.iter().filter_map(|d| d.bytes).map(|b| (b.first, b.last)).collect();
    assert_eq!(ranges, [(0, 131_071), (196_608, footer as u64 - 1)]);
}

#[test]
fn every_truncation_and_everything_added_is_refused() {
    let good = written(Some(4), &many(20)[4..]).bytes.to_vec();
    for at in 0..good.len() {
        let error = read(&Bytes::copy_from_slice(&good[..at])).expect_err("truncation is seen");
        assert_eq!(error.kind(), ErrorKind::Data, "cut at {at}: {error}");
    }
    let mut longer = good;
    longer.push(0);
    assert_eq!(only_damage(longer).place, "the footer");
    for stranger in ["", "x", "PAR1PAR1", "ledgerline.crc32"] {
        assert!(only_damage(stranger.into()).place.contains("no segment of this program"), "{stranger:?}");
    }
}

#[test]
fn a_newer_segment_is_refused_with_the_fix() {
    let mut object = written(None, &many(3)).bytes.to_vec();
    // Key, Thrift header of a string and length 1, value.
    let mark = b"ledgerline.segment\x18\x012";
    let at = memchr::memmem::find(&object, mark).unwrap() + mark.len() - 1;
    object[at] = b'3';
    checksum::set(&mut object).unwrap();
    let object = Bytes::from(object);
    let error = SegmentReader::open(object.clone()).unwrap_err();
    assert_eq!((error.kind(), diagnose(&object)), (ErrorKind::Data, Diagnosis::Newer(3)));
    assert!(error.to_string().contains("version 3") && error.to_string().contains("newer"), "{error}");
}

#[test]
fn a_segment_says_what_its_records_span() {
    let mut records =
        vec![record(1, "a/payment/x", b"{}"), record(2, "b/payment/y", b"{}"), record(3, "a/payment/x", b"{}")];
    records[1].value.event.occurred_at = None;
    records[2].value.received_at = UnixNanos::from_nanos(HOUR - 5);
    let info = written(None, &records).info;
    let at = UnixNanos::from_nanos;
    assert_eq!(info.contents.arrived_at, TimeSpan { first: at(HOUR + 1), last: at(HOUR + 3) });
    assert_eq!(info.contents.received_at, TimeSpan { first: at(HOUR - 5), last: at(HOUR + 17) });
    assert_eq!(info.contents.occurred_at, Some(TimeSpan { first: at(HOUR), last: at(HOUR) }));
    assert_eq!(info.contents.sources, [("a".to_owned(), 2), ("b".to_owned(), 1)].into());
    assert!(
        info.contents.arrived_at.meets(Some(at(HOUR + 3)), None)
            && !info.contents.arrived_at.meets(None, Some(at(HOUR + 1)))
    );
    records.iter_mut().for_each(|r| r.value.event.occurred_at = None);
    assert_eq!(written(None, &records).info.contents.occurred_at, None);
}

fn any_text() -> impl Strategy<Value = CompactString> {
    prop_oneof!["\\PC{0,40}", "[a-z_.]{0,300}"].prop_map(CompactString::from)
}

prop_compose! {
    fn any_envelope()(
        (id, event_type, content_type, key_id) in (any_text(), any_text(), any_text(), any_text()),
        entity in "[a-z0-9][a-z0-9._-]{0,10}/[a-z]{1,8}/\\PC{1,30}",
        body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..400), Just(vec![b'x'; 200_000])],
        class in prop_oneof![
            any::<i64>().prop_map(|first| OrderClass::Contiguous { first }),
            Just(OrderClass::Monotonic), Just(OrderClass::Timestamp), Just(OrderClass::Arrival)
        ],
        (value, received_at, occurred_at) in (any::<i64>(), any::<i64>(), any::<Option<i64>>()),
        part in proptest::option::of((any_text(), 0..=i32::MAX as u32)),
        unreadable in proptest::option::of(".{0,80}"),
        signature_headers in ".{0,200}",
        redrive_run in proptest::option::of("[a-zA-Z0-9-]{1,40}"),
    ) -> Envelope {
        let part = part.map(|(digest, index)| RequestPart { digest, index });
        let event = Identified {
            id: id.into(), event_type, entity: EntityKey::parse(&entity).unwrap(), order: OrderKey { class, value },
            occurred_at: occurred_at.map(UnixNanos::from_nanos), body: body.into(), part, unreadable,
        };
        Envelope::restore(event, UnixNanos::from_nanos(received_at), content_type, key_id, signature_headers, redrive_run.map(Into::into))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// I7: whatever an envelope holds, it comes back.
    #[test]
    fn any_envelopes_come_back(envelopes in proptest::collection::vec((any_envelope(), 1..1000_u64, 0..3_600_000_000_000_i64), 1..30)) {
        let mut number = 0;
        let records: Vec<_> = envelopes.into_iter().map(|(value, step, nanos)| {
            number += step;
            Sequenced { sequence: SequenceNumber::from_u64(number), arrived_at: UnixNanos::from_nanos(HOUR + nanos), value }
        }).collect();
        let segment = written(None, &records);
        prop_assert_eq!(read(&segment.bytes).unwrap(), records.clone());
        let key = &records[0].value.event.entity;
        let expected: Vec<_> = records.iter().filter(|r| r.value.event.entity == *key).cloned().collect();
        prop_assert_eq!(SegmentReader::open(segment.bytes).unwrap().rows_of(key).unwrap(), expected);
    }

    /// Behind the checksum: bytes made to hurt give an error or rows, never a panic.
    #[test]
    fn damage_under_a_fitting_checksum_never_panics(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut object = written(Some(4), &many(40)[4..]).bytes.to_vec();
        for (at, value) in flips {
            let at = at.index(object.len());
            object[at] = value;
        }
        if checksum::set(&mut object).is_ok() && let Ok(reader) = SegmentReader::open(object.into()) {
            let _ = reader.rows().count();
            let _ = reader.rows_of(&EntityKey::parse("stripe/payment/pi_3").unwrap());
        }
    }
}
