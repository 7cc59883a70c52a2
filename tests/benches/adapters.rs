//! The embedded adapters by themselves: durable appends by so many callers, eight readers of four
//! shards, commits of new and of changed records. Figures per second, medians of five rounds.
//!
//! `cargo bench -p ledgerline-tests --bench adapters`

#![expect(clippy::expect_used, clippy::print_stdout, reason = "a benchmark prints, and ends when something is wrong")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_adapters::embedded::{Embedded, EmbeddedOptions};
use ledgerline_domain::fact::Meaning;
use ledgerline_domain::fold::{Incoming, apply};
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::order::{OrderClass, OrderKey};
use ledgerline_domain::ports::{Commit, Entities, EntityWrite, Log, LogRecord, ReadLimit};
use ledgerline_domain::record::EntityRecord;
use ledgerline_domain::time::UnixNanos;
use ledgerline_tests::limits::median;

const ROUNDS: usize = 5;
const RECORD_BYTES: usize = 1500;
const AT: UnixNanos = UnixNanos::from_nanos(1_790_000_000_000_000_000);

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    for callers in [1, 8, 32, 128] {
        let (mut rates, mut waits, mut batches) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (rate, wait, batch) = runtime.block_on(appends(callers));
            rates.push(rate);
            waits.push(wait);
            batches.push(batch);
        }
        println!(
            "{callers:>4} callers, one record each: {:>8.0} appends/s, p99 {:>6.2} ms, {:>5.1} a sync",
            median(rates),
            median(waits),
            median(batches)
        );
    }
    let rates = (0..ROUNDS).map(|_| runtime.block_on(reads())).collect();
    println!("   8 readers of 4 shards, files:  {:>8.0} records/s in all", median(rates));
    let (mut inserts, mut updates) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (insert, update) = runtime.block_on(commits());
        inserts.push(insert);
        updates.push(update);
    }
    println!("     commits of 2000, new:        {:>8.0} records/s", median(inserts));
    println!("     commits of 2000, changed:    {:>8.0} records/s", median(updates));
}

fn key(id: usize) -> EntityKey {
    // Spread like a provider's random ids.
    let spread = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    EntityKey::parse(&format!("stripe/payment/pi_{spread:016x}")).expect("a good key")
}

fn record(id: usize) -> LogRecord {
    LogRecord { key: key(id), data: Bytes::from(vec![b'x'; RECORD_BYTES]) }
}

/// Appends per second, the 99th percentile of their times in ms, and records per sync.
async fn appends(callers: usize) -> (f64, f64, f64) {
    let dir = tempfile::tempdir().expect("a directory");
    let data = Embedded::open(dir.path(), EmbeddedOptions::default()).await.expect("it opens");
    let began = Instant::now();
    let until = began + Duration::from_millis(700);
    let mut tasks = Vec::new();
    for caller in 0..callers {
        let log = data.log.clone();
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < until {
                let one = Instant::now();
                log.append(vec![record(caller)]).await.expect("appended");
                times.push(one.elapsed().as_secs_f64() * 1e3);
            }
            times
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.expect("a caller"));
    }
    let took = began.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let stats = data.log.stats();
    (times.len() as f64 / took, times[times.len() * 99 / 100], stats.records as f64 / stats.batches as f64)
}

/// Two readers per shard read a log of 200 000 records from its beginning.
async fn reads() -> f64 {
    const RECORDS: usize = 200_000;
    let dir = tempfile::tempdir().expect("a directory");
    let data = Embedded::open(dir.path(), EmbeddedOptions::default()).await.expect("it opens");
    for chunk in 0..RECORDS / 1000 {
        data.log.append((0..1000).map(|n| record(chunk * 1000 + n)).collect()).await.expect("appended");
    }
    let began = Instant::now();
    let mut readers = Vec::new();
    for shard in data.log.shards().into_iter().flat_map(|shard| [shard.clone(), shard]) {
        let log = data.log.clone();
        readers.push(tokio::spawn(async move {
            let limit = ReadLimit { records_max: 4096, bytes_max: 8 * 1024 * 1024, wait: Duration::ZERO };
            let (mut after, mut seen) = (None, 0);
            loop {
                let batch = log.read(&shard, after.as_ref(), limit).await.expect("read");
                let Some(last) = batch.records.last() else { return seen };
                after = Some(last.sequence.clone());
                seen += batch.records.len();
            }
        }));
    }
    let mut seen = 0;
    for reader in readers {
        seen += reader.await.expect("a reader");
    }
    assert_eq!(seen, RECORDS * 2);
    seen as f64 / began.elapsed().as_secs_f64()
}

/// New and then changed records per second: 50 000 entities, committed 2000 at a time.
async fn commits() -> (f64, f64) {
    const ENTITIES: usize = 50_000;
    let dir = tempfile::tempdir().expect("a directory");
    let data = Embedded::open(dir.path(), EmbeddedOptions::default()).await.expect("it opens");
    let mut records: Vec<Option<EntityRecord>> = vec![None; ENTITIES];
    let mut rates = Vec::new();
    for number in 1..=2 {
        let mut took = Duration::ZERO;
        for start in (0..ENTITIES).step_by(2000) {
            let write = |id: usize, before: Option<EntityRecord>| -> EntityWrite {
                let expected_revision = before.as_ref().map_or(0, |r| r.revision);
                EntityWrite { record: apply(&key(id), before, vec![event(number)]).0, expected_revision }
            };
            let writes: Vec<_> = (start..start + 2000).map(|id| write(id, records[id].take())).collect();
            for write in &writes {
                let at = records[start..].iter().position(Option::is_none).expect("a place");
                records[start + at] = Some(write.record.clone());
            }
            let commit = Commit {
                shard: ShardId::numbered(0),
                checkpoint: SequenceNumber::from_u64(0),
                writes,
                parked: Vec::new(),
            };
            let began = Instant::now();
            data.store.commit(commit).await.expect("committed");
            took += began.elapsed();
        }
        rates.push(ENTITIES as f64 / took.as_secs_f64());
    }
    (rates[0], rates[1])
}

fn event(number: u64) -> Incoming {
    Incoming {
        id: format!("evt_{number:024}").into(),
        event_type: "payment_intent.succeeded".into(),
        order: OrderKey { class: OrderClass::Timestamp, value: i64::try_from(number).expect("small") },
        occurred_at: Some(AT),
        received_at: AT,
        sequence: SequenceNumber::from_u64(number),
        meaning: Some(Meaning { rank: 1, facts: Vec::new(), status: None }),
    }
}
