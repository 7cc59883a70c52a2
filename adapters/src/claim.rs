//! Claim check: a log whose records may be larger than the log behind it takes.
//!
//! The body of an envelope that is too large goes to an archive first, under its day of receipt and its
//! digest; the log gets the envelope with a reference. Whoever reads through here gets the envelope as it was,
//! digest checked.
//!
//! The objects are needed as long as the log keeps the records, and until every reader is past them. The
//! archiver writes the bodies into its segments, so a lifecycle rule may delete `claims/` after the log's retention
//! and two days. An object is named by the day, so one that is about to be deleted is not taken for a new
//! event's.
//!
//! Errors beside the log's: what the archive gives; [`Data`](ledgerline_domain::ErrorKind::Data) when a body is
//! gone or another one. The reader stops there: the event was acknowledged, and the object must be restored.

use bytes::Bytes;
use ledgerline_domain::envelope::claim::{check_in, claim};
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Appended, Archive, Log, LogRecord, ReadBatch, ReadLimit, ShardInfo};
use ledgerline_domain::{Error, Result};

/// See the module.
#[derive(Debug)]
pub struct ClaimCheck<L, A> {
    log: L,
    archive: A,
    record_bytes_max: usize,
}

impl<L: Log, A: Archive> ClaimCheck<L, A> {
    /// Over a log that takes records of at most `record_bytes_max` bytes, key and data together.
    pub fn new(log: L, archive: A, record_bytes_max: usize) -> Self {
        Self { log, archive, record_bytes_max }
    }

    /// The log behind it.
    pub fn log(&self) -> &L {
        &self.log
    }

    async fn fetch(&self, text: Bytes) -> Result<Bytes> {
        let Some(claim) = claim(&text)? else { return Ok(text) };
        let body = self.archive.get(&claim.location).await?;
        let gone = || Error::data(format!("read the body {}: it is not there; restore the object", claim.location));
        claim.redeem(&body.ok_or_else(gone)?)
    }
}

impl<L: Log, A: Archive> Log for ClaimCheck<L, A> {
    fn shards(&self) -> Vec<ShardId> {
        self.log.shards()
    }

    async fn lineage(&self) -> Result<Vec<ShardInfo>> {
        self.log.lineage().await
    }

    async fn append(&self, mut records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        for record in &mut records {
            if record.key.as_str().len() + record.data.len() > self.record_bytes_max {
                let checked_in = check_in(&record.data)?;
                // One that exists has the same bytes: the digest is its name.
                self.archive.create(&checked_in.location, checked_in.body).await?;
                record.data = checked_in.text;
            }
        }
        self.log.append(records).await
    }

    /// As the log's; `bytes_max` counts the fetched bodies.
    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        let mut batch = self.log.read(shard, after, limit).await?;
        let mut bytes = 0_usize;
        let mut fitting = 0;
        for record in &mut batch.records {
            record.value = self.fetch(std::mem::take(&mut record.value)).await?;
            bytes = bytes.saturating_add(record.value.len());
            if fitting > 0 && bytes > limit.bytes_max {
                break;
            }
            fitting += 1;
        }
        let left = batch.records.split_off(fitting);
        batch.behind += left.len() as u64;
        // The end is behind what is left.
        batch.ended &= left.is_empty();
        Ok(batch)
    }

    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        self.log.tip(shard).await
    }

    async fn reaches(&self, shard: &ShardId, position: &SequenceNumber) -> Result<bool> {
        self.log.reaches(shard, position).await
    }

    async fn release(&self, shard: &ShardId, through: &SequenceNumber) -> Result<()> {
        self.log.release(shard, through).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ledgerline_domain::ErrorKind;
    use ledgerline_domain::ids::EntityKey;

    use super::*;
    use crate::memory::{MemoryArchive, MemoryLog};

    const ALL: ReadLimit = ReadLimit { records_max: 100, bytes_max: usize::MAX, wait: Duration::ZERO };

    fn record(id: u32, size: usize) -> LogRecord {
        let data = format!(
            r#"{{"specversion":"1.0","id":"evt_{id}","subject":"shop/order/1","ledgerlineversion":"1","receivedat":"2026-11-24T10:00:00.000000000Z","data":{{"x":"{}"}}}}"#,
            "y".repeat(size)
        );
        LogRecord { key: EntityKey::parse("shop/order/1").unwrap(), data: data.into() }
    }

    #[tokio::test]
    async fn large_bodies_go_their_own_way() {
        let log = ClaimCheck::new(MemoryLog::new(1), MemoryArchive::new(), 1000);
        let records = vec![record(1, 10), record(2, 5000), record(3, 5000), record(4, 20)];
        log.append(records.clone()).await.unwrap();
        // Both have the same body.
        assert_eq!(log.archive.list("").await.unwrap().len(), 1);
        let shard = log.shards().remove(0);
        let raw = log.log().read(&shard, None, ALL).await.unwrap();
        assert!(raw.records.iter().all(|record| record.value.len() < 1000));
        let read = log.read(&shard, None, ALL).await.unwrap();
        let datas: Vec<_> = read.records.iter().map(|record| record.value.clone()).collect();
        assert_eq!(datas, records.iter().map(|record| record.data.clone()).collect::<Vec<_>>());
        let some = log.read(&shard, None, ReadLimit { bytes_max: 6000, ..ALL }).await.unwrap();
        assert_eq!((some.records.len(), some.behind), (2, 2), "fetched bodies count");
        let one = log.read(&shard, Some(&read.records[0].sequence), ReadLimit { bytes_max: 1, ..ALL }).await.unwrap();
        assert_eq!(one.records.len(), 1);
    }

    /// A closed shard, whose last records come with its end.
    struct Ending(MemoryLog);

    impl Log for Ending {
        fn shards(&self) -> Vec<ShardId> {
            self.0.shards()
        }
        async fn lineage(&self) -> Result<Vec<ShardInfo>> {
            self.0.lineage().await
        }
        async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
            self.0.append(records).await
        }
        async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
            let batch = self.0.read(shard, after, limit).await?;
            Ok(ReadBatch { ended: batch.behind == 0, ..batch })
        }
        async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
            self.0.tip(shard).await
        }
        async fn release(&self, shard: &ShardId, through: &SequenceNumber) -> Result<()> {
            self.0.release(shard, through).await
        }
    }

    #[tokio::test]
    async fn a_shard_ends_behind_its_last_large_body() {
        let log = ClaimCheck::new(Ending(MemoryLog::new(1)), MemoryArchive::new(), 1000);
        log.append((0..4).map(|id| record(id, 5000 + id as usize)).collect()).await.unwrap();
        let shard = log.shards().remove(0);
        let (mut after, mut ends) = (None, Vec::new());
        while ends.last() != Some(&true) {
            let limit = ReadLimit { bytes_max: 6000, ..ALL };
            let batch = log.read(&shard, after.as_ref(), limit).await.unwrap();
            after = batch.records.last().map(|record| record.sequence.clone());
            assert_eq!(batch.records.len(), 1, "one body fits");
            ends.push(batch.ended);
        }
        assert_eq!(ends, [false, false, false, true]);
    }

    #[tokio::test]
    async fn nothing_is_appended_without_its_body_and_nothing_else_is_read() {
        let log = ClaimCheck::new(MemoryLog::new(1), MemoryArchive::new(), 1000);
        let shard = log.shards().remove(0);
        log.archive.faults().refuse_next(1);
        assert_eq!(log.append(vec![record(1, 5000)]).await.unwrap_err().kind(), ErrorKind::Retry);
        assert_eq!(log.tip(&shard).await.unwrap(), None);
        log.append(vec![record(1, 5000)]).await.unwrap();
        let location = log.archive.list("").await.unwrap().remove(0);
        log.archive.replace(&location, Bytes::from_static(b"other")).await.unwrap();
        assert_eq!(log.read(&shard, None, ALL).await.unwrap_err().kind(), ErrorKind::Data);
    }
}
