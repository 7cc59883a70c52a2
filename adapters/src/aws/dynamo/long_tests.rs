//! What long histories cost, by DynamoDB's rule: a write costs a unit per kilobyte, begun ones too.

use std::collections::HashSet;

use ledgerline_domain::fact::{AmountBasis, Fact, FactKind, Meaning};
use ledgerline_domain::ids::{EntityKey, SequenceNumber};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::EntityWrite;
use ledgerline_domain::record::{Delivery, EntityRecord, Entry};
use ledgerline_domain::time::UnixNanos;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use super::chunks::Name;
use super::item::{Row, size};

/// A record of so many events that look like Stripe's, in a log with numbers as Kinesis gives them.
fn record(events: u64) -> EntityRecord {
    let mut random = StdRng::seed_from_u64(7);
    let key = EntityKey::parse("stripe-eu/payment/pi_3MtwBwLkdIwHu7ix28a3tqPa").unwrap();
    let mut record = EntityRecord::empty(key);
    let signs: Vec<char> = ('0'..='9').chain('a'..='z').chain('A'..='Z').collect();
    let mut at = 1_790_000_000_000_000_000;
    for n in 0..events {
        at += random.random_range(1..60_000_000_000_i64);
        let id: String = (0..24).map(|_| signs[random.random_range(0..signs.len())]).collect();
        let mut digest = [0; 8];
        random.fill_bytes(&mut digest);
        let fact = Fact {
            kind: FactKind::Captured,
            amount: Some(random.random_range(100..1_000_000)),
            currency: Some("EUR".into()),
            basis: AmountBasis::Total,
            reference: None,
            status: None,
        };
        record.entries.push(Entry {
            id: format!("evt_{id}").into(),
            event_type: "charge.captured".into(),
            order: OrderKey { class: OrderClass::Monotonic, value: at / 1_000_000_000 },
            occurred_at: Some(UnixNanos::from_nanos(at / 1_000_000_000 * 1_000_000_000)),
            received_at: UnixNanos::from_nanos(at),
            meaning: Meaning { rank: 30, facts: vec![fact], status: None },
            digest,
            delivery: Delivery { sequence: kinesis(n, &mut random), copies: 1 },
        });
    }
    record.folded = record.entries.len();
    record
}

fn kinesis(n: u64, random: &mut StdRng) -> SequenceNumber {
    let low: u64 = random.random_range(0..10_u64.pow(12));
    SequenceNumber::new(format!("49680498583892636000170124018144575611{:06}{low:012}", n % 1_000_000))
}

/// The write of the first `events` entries.
fn write(full: &EntityRecord, events: usize) -> Row {
    let entries = full.entries[..events].to_vec();
    let through = entries.last().unwrap().delivery.sequence.clone();
    let record = EntityRecord { entries, folded: events, through, revision: events as u64, ..full.clone() };
    Row::encode(&EntityWrite { expected_revision: record.revision - 1, record }).unwrap()
}

fn units(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

struct Cost {
    head_bytes: usize,
    chunks: usize,
    chunk_bytes: usize,
    /// Of one event that is added, on average.
    units: f64,
    /// Of one that is put in front of all others.
    units_late: usize,
}

/// A chunk's item: its content compressed, its key, and the names of the two attributes.
fn new_units(row: &Row, known: &mut HashSet<Name>) -> usize {
    let new = row.chunks.iter().filter(|chunk| known.insert(chunk.name));
    new.map(|chunk| units(zstd::bulk::compress(&chunk.plain, 3).unwrap().len() + 34 + row.key.as_str().len() + 8)).sum()
}

fn cost(full: &EntityRecord, events: usize, samples: usize) -> Cost {
    let first = write(full, events);
    let mut known = HashSet::new();
    let chunk_units = new_units(&first, &mut known);
    let (mut spent, mut head_bytes) = (0, 0);
    for more in 1..=samples {
        let row = write(full, events + more);
        spent += units(size(&row.item)) + new_units(&row, &mut known);
        head_bytes += size(&row.item);
    }
    let mut late = full.clone();
    late.entries.swap(0, events + samples);
    let late = write(&late, events + samples);
    let units_late = units(size(&late.item)) + new_units(&late, &mut known);
    Cost {
        head_bytes: head_bytes / samples,
        chunks: first.chunks.len(),
        chunk_bytes: chunk_units * 1024,
        units: spent as f64 / samples as f64,
        units_late,
    }
}

#[test]
fn a_long_history_costs_what_is_new() {
    let full = record(10_400);
    println!("| events | head, bytes | chunks | in them, bytes | units per new event | units of a late one |");
    for (events, most) in [(10, 4.0), (100, 9.0), (1000, 6.0), (10_000, 6.0)] {
        let Cost { head_bytes, chunks, chunk_bytes, units, units_late } = cost(&full, events, (events / 5).min(200));
        println!("| {events} | {head_bytes} | {chunks} | {chunk_bytes} | {units:.1} | {units_late} |");
        assert!(units <= most && units_late <= 40, "{events} events: {units} and {units_late}");
    }
}

/// The same for a hundred thousand, which takes a while: `cargo test -p ledgerline-adapters --features aws --release
/// hundred_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn a_history_of_a_hundred_thousand_costs_what_is_new() {
    let full = record(100_400);
    let Cost { head_bytes, chunks, chunk_bytes, units, units_late } = cost(&full, 100_000, 200);
    println!("| 100000 | {head_bytes} | {chunks} | {chunk_bytes} | {units:.1} | {units_late} |");
    let began = std::time::Instant::now();
    for _ in 0..10 {
        write(&full, 100_000);
    }
    println!("{} ms to lay it out, the copy of its entries included", began.elapsed().as_millis() / 10);
    assert!(units < 8.0 && units_late < 40);
}
