//! The feed gives what the log gave, from anywhere to anywhere, or says where the chain is broken; the
//! comparison of two stores tells a real difference from one of position.

use ledgerline_domain::ErrorKind;
use ledgerline_domain::ports::Sequenced;

use super::*;
use crate::doubles::{Made, STREAM, TestArchive, TestEntities, What, key, log, made, shards_of};

/// Five payments of two shards, three events each, interleaved and over two hours.
fn events() -> Vec<Made> {
    let mut events = Vec::new();
    for (round, what) in [What::Created, What::Captured(90_000), What::Refunded(1_000)].into_iter().enumerate() {
        for payment in 0..5 {
            let at = i64::try_from(round).unwrap() * 2_000 + i64::from(payment);
            events.push(made(payment, what.clone(), at, at));
        }
    }
    events
}

async fn read(
    archive: &TestArchive,
    shard: u32,
    after: Option<&SequenceNumber>,
    through: &SequenceNumber,
) -> Result<Vec<Sequenced<Envelope>>> {
    let shard = ShardId::numbered(shard);
    let mut feed = Feed::open(archive, STREAM, &shard, after.cloned(), through.clone()).await?;
    let mut found = Vec::new();
    while let Some(rows) = feed.next().await? {
        assert!(!rows.is_empty());
        found.extend(rows);
    }
    Ok(found)
}

#[tokio::test]
async fn a_feed_gives_what_the_log_gave_from_anywhere_to_anywhere() {
    let log = log(&events());
    for records in [1, 2, 100] {
        let archive = TestArchive::of(&log, records);
        let ends = ends(&archive, STREAM).await.unwrap();
        for (number, (shard, rows)) in (0..).zip(&log) {
            assert_eq!(ends.get(shard), rows.last().map(|row| &row.sequence));
            for from in 0..=rows.len() {
                let after = from.checked_sub(1).map(|at| &rows[at].sequence);
                for to in from..rows.len() {
                    let found = read(&archive, number, after, &rows[to].sequence).await.unwrap();
                    assert_eq!(found, rows[from..=to], "{records} a segment, {from} to {to}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_broken_chain_is_named_and_not_passed_over() {
    let log = log(&events());
    let last = log[&ShardId::numbered(0)].last().unwrap().sequence.clone();
    let fails = async |spoil: &dyn Fn(&TestArchive, &[String])| {
        let archive = TestArchive::of(&log, 2);
        spoil(&archive, &archive.segments(0));
        let error = read(&archive, 0, None, &last).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        error.to_string()
    };
    let text = fails(&|archive, keys| drop(archive.take(&keys[0]))).await;
    assert!(text.contains("what is before it is missing"), "{text}");
    let text = fails(&|archive, keys| drop(archive.take(&keys[1]))).await;
    assert!(text.contains("not where this one starts"), "{text}");
    let text = fails(&|archive, keys| drop(archive.take(keys.last().unwrap()))).await;
    assert!(text.contains("it ends at"), "{text}");
    let text = fails(&|archive, keys| archive.put(&keys[1], archive.object(&keys[2]))).await;
    assert!(text.contains("the object under this key is"), "{text}");
    // Exchanged for a sound one of the same place.
    let mut other = events();
    other[0].what = What::Captured(5);
    let other = TestArchive::of(&crate::doubles::log(&other), 2);
    let text = fails(&|archive, keys| archive.put(&keys[0], other.object(&keys[0]))).await;
    assert!(text.contains("not the one that it was written after"), "{text}");
}

#[tokio::test]
async fn two_stores_are_compared_at_the_position_that_both_have_reached() {
    let all = events();
    let whole = TestEntities::of(&log(&all));
    let behind = TestEntities::of(&log(&all[..8]));
    let early = TestEntities::of(&log(&all[..3]));
    for (live, new) in [(&whole, &behind), (&behind, &whole), (&whole, &early), (&early, &whole), (&early, &behind)] {
        let report = difference(live, new, &shards_of).await.unwrap();
        assert_eq!(report.drift, []);
        assert_eq!((report.missing_in_live_total, report.missing_in_archive_total), (0, 0), "{report:?}");
    }
    assert_eq!(difference(&whole, &behind, &shards_of).await.unwrap().equal, 5);

    // One of them reads a refund otherwise, and lacks a payment that it must have.
    let mut corrected = all;
    corrected.iter_mut().filter(|e| e.payment == 3).for_each(|event| {
        if let What::Refunded(amount) = &mut event.what {
            *amount = 1_250;
        }
    });
    let new = TestEntities::of(&log(&corrected));
    new.records.lock().unwrap().remove(&key(1));
    let report = difference(&whole, &new, &shards_of).await.unwrap();
    assert_eq!((report.equal, report.drift_total, report.missing_in_archive_total), (3, 1, 1));
    assert_eq!(report.drift[0].entity, key(3));
    let refunds: Vec<_> = report.drift[0].money.iter().map(|m| (m.figure, m.live, m.archive)).collect();
    assert_eq!(refunds, [("refunded", 1_000, 1_250)]);
    assert_eq!(difference(&new, &whole, &shards_of).await.unwrap().missing_in_live, [key(1)]);
}
