//! What was asked of the stream since the start: the figures behind a bill.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters. Read with [`snapshot`](Self::snapshot).
#[derive(Debug, Default)]
pub struct KinesisCounts {
    pub(super) put_calls: AtomicU64,
    pub(super) put_records: AtomicU64,
    pub(super) put_retries: AtomicU64,
    pub(super) put_throttles: AtomicU64,
    pub(super) read_calls: AtomicU64,
    pub(super) read_records: AtomicU64,
    pub(super) read_throttles: AtomicU64,
    pub(super) iterator_calls: AtomicU64,
}

/// The counters at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KinesisCounted {
    /// `PutRecords` calls.
    pub put_calls: u64,
    /// Records in them, repeated ones too.
    pub put_records: u64,
    /// Records that had to be sent again.
    pub put_retries: u64,
    /// Records and calls that were refused because too much was asked.
    pub put_throttles: u64,
    /// `GetRecords` calls.
    pub read_calls: u64,
    /// Records that they gave.
    pub read_records: u64,
    /// Reading calls that were refused because too much was asked.
    pub read_throttles: u64,
    /// `GetShardIterator` calls.
    pub iterator_calls: u64,
}

impl KinesisCounts {
    /// The counters now.
    pub fn snapshot(&self) -> KinesisCounted {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        KinesisCounted {
            put_calls: get(&self.put_calls),
            put_records: get(&self.put_records),
            put_retries: get(&self.put_retries),
            put_throttles: get(&self.put_throttles),
            read_calls: get(&self.read_calls),
            read_records: get(&self.read_records),
            read_throttles: get(&self.read_throttles),
            iterator_calls: get(&self.iterator_calls),
        }
    }
}
