//! The ordered log.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_domain::ErrorKind;
use ledgerline_domain::ids::ShardId;
use ledgerline_domain::ports::{Log, LogRecord, ReadLimit};

use super::{key, kind, ok};

/// A limit that takes everything and does not wait.
pub const ALL: ReadLimit = ReadLimit { records_max: usize::MAX, bytes_max: usize::MAX, wait: Duration::ZERO };

fn record(id: u32, n: u32) -> LogRecord {
    LogRecord { key: key("shop", "order", id), data: Bytes::from(format!("{id} {n}")) }
}

/// The log keeps the order per key, answers place by place, and gives everything back.
pub async fn log_keeps_order_per_key<L: Log>(log: &Arc<L>) {
    let mut writers = Vec::new();
    for writer in 0..8_u32 {
        let log = log.clone();
        writers.push(tokio::spawn(async move {
            for n in 0..20 {
                // Each writer has entities of its own; some calls carry several records of one.
                let batch: Vec<_> =
                    (0..3).flat_map(|i| [record(writer * 3 + i, n * 2), record(writer * 3 + i, n * 2 + 1)]).collect();
                let places = ok(log.append(batch).await);
                assert_eq!(places.len(), 6, "one place per record");
                for pair in places.chunks(2) {
                    assert_eq!(pair[0].shard, pair[1].shard, "one key, one shard");
                    assert!(pair[0].sequence < pair[1].sequence, "in the given order");
                }
            }
        }));
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert_eq!(ok(log.append(Vec::new()).await), []);
    let mut next: HashMap<String, u32> = HashMap::new();
    for shard in log.shards() {
        let (mut after, mut behind) = (None, None);
        loop {
            let limit = ReadLimit { records_max: 17, ..ALL };
            let batch = ok(log.read(&shard, after.as_ref(), limit).await);
            let Some(last) = batch.records.last() else {
                assert_eq!(batch.behind, 0, "caught up");
                break;
            };
            if let Some(behind) = behind {
                let now = batch.behind + batch.records.len() as u64;
                // A log that tells it by time may have said so before it heard of these.
                assert!(now == behind || batch.late.is_some(), "behind is exact where records are counted");
            }
            behind = Some(batch.behind);
            for pair in batch.records.windows(2) {
                assert!(pair[0].sequence < pair[1].sequence);
            }
            after = Some(last.sequence.clone());
            for found in batch.records {
                let text = String::from_utf8(found.value.to_vec()).expect("text");
                let (id, n) = text.split_once(' ').expect("two parts");
                let expected = next.entry(id.to_owned()).or_default();
                assert_eq!(n.parse(), Ok(*expected), "entity {id} in {shard}");
                *expected += 1;
            }
        }
        assert_eq!(ok(log.tip(&shard).await), after, "the tip is the last record");
    }
    assert_eq!(next.len(), 24);
    assert!(next.values().all(|n| *n == 40), "none lost, none twice");
}

/// Reads start strictly after a position and respect both limits; one record is always given.
pub async fn log_reads_after_a_position<L: Log>(log: &Arc<L>) {
    let places = ok(log.append((0..10).map(|n| record(1, n)).collect()).await);
    let shard = &places[0].shard;
    let mut all = ok(log.read(shard, None, ALL).await);
    while all.late.is_some() && all.records.len() < places.len() {
        // What is pushed may come in parts.
        let after = all.records.last().map(|record| record.sequence.clone());
        let more = ok(log.read(shard, after.as_ref(), ALL).await);
        assert!(!more.records.is_empty(), "{} records of {}", all.records.len(), places.len());
        all.records.extend(more.records);
    }
    assert_eq!(
        all.records.iter().map(|r| &r.sequence).collect::<Vec<_>>(),
        places.iter().map(|p| &p.sequence).collect::<Vec<_>>()
    );
    for (n, place) in places.iter().enumerate() {
        let batch = ok(log.read(shard, Some(&place.sequence), ALL).await);
        assert_eq!(batch.records, all.records[n + 1..]);
    }
    let two = ok(log.read(shard, Some(&places[2].sequence), ReadLimit { records_max: 2, ..ALL }).await);
    assert_eq!(two.records, all.records[3..5]);
    assert!(two.behind == 5 || two.late.is_some() && (1..=5).contains(&two.behind), "{}", two.behind);
    // Every record has three bytes.
    for (bytes_max, records) in [(0, 1), (2, 1), (3, 1), (5, 1), (6, 2), (10, 3)] {
        let some = ok(log.read(shard, None, ReadLimit { bytes_max, ..ALL }).await);
        assert_eq!(some.records.len(), records, "{bytes_max} bytes");
    }
    for other in log.shards().iter().filter(|other| *other != shard) {
        assert_eq!(ok(log.tip(other).await), None);
        assert_eq!(ok(log.read(other, None, ALL).await).records, []);
    }
    assert_eq!(kind(log.read(&ShardId::new("no such shard"), None, ALL).await), ErrorKind::Invalid);
    assert_eq!(kind(log.tip(&ShardId::new("no such shard")).await), ErrorKind::Invalid);
}

/// A read that finds nothing waits, and wakes up for a record of its shard.
pub async fn log_wakes_readers<L: Log>(log: &Arc<L>) {
    let places = ok(log.append(vec![record(1, 0)]).await);
    let (shard, after) = (places[0].shard.clone(), places[0].sequence.clone());
    let began = Instant::now();
    let short = ReadLimit { wait: Duration::from_millis(50), ..ALL };
    let nothing = ok(log.read(&shard, Some(&after), short).await);
    assert_eq!((nothing.records.len(), nothing.behind), (0, 0));
    assert!(began.elapsed() >= Duration::from_millis(50), "it waited");
    let reader = tokio::spawn({
        let log = log.clone();
        async move {
            let began = Instant::now();
            let long = ReadLimit { wait: Duration::from_secs(30), ..ALL };
            (ok(log.read(&shard, Some(&after), long).await), began.elapsed())
        }
    });
    tokio::time::sleep(Duration::from_millis(30)).await;
    ok(log.append(vec![record(1, 1)]).await);
    let (batch, waited) = reader.await.expect("the reader");
    assert_eq!(batch.records.len(), 1);
    assert_eq!(batch.records[0].value, "1 1");
    assert!(waited < Duration::from_secs(10), "it woke up");
}

/// Released records may be gone; what follows is still there, and numbers go on.
pub async fn log_releases<L: Log>(log: &Arc<L>) {
    let places = ok(log.append((0..10).map(|n| record(1, n)).collect()).await);
    let shard = &places[0].shard;
    ok(log.release(shard, &places[4].sequence).await);
    ok(log.release(shard, &places[1].sequence).await);
    let rest = ok(log.read(shard, Some(&places[4].sequence), ALL).await);
    assert_eq!(rest.records.len(), 5);
    ok(log.release(shard, &places[9].sequence).await);
    assert_eq!(ok(log.tip(shard).await).as_ref(), Some(&places[9].sequence), "the tip stays");
    let more = ok(log.append(vec![record(1, 10)]).await);
    assert!(more[0].sequence > places[9].sequence);
    let batch = ok(log.read(shard, Some(&places[9].sequence), ALL).await);
    assert_eq!(batch.records.len(), 1);
}
