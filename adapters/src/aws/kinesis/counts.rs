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
    pub(super) subscriptions: AtomicU64,
    pub(super) subscriptions_refused: AtomicU64,
    pub(super) subscriptions_ended: AtomicU64,
    pub(super) subscription_events: AtomicU64,
    pub(super) subscription_records: AtomicU64,
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
    /// Subscriptions to a shard that were begun.
    pub subscriptions: u64,
    /// `SubscribeToShard` calls that failed.
    pub subscriptions_refused: u64,
    /// Subscriptions that ended, for whatever reason.
    pub subscriptions_ended: u64,
    /// Events that they gave, also those without records.
    pub subscription_events: u64,
    /// Records in them.
    pub subscription_records: u64,
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
            subscriptions: get(&self.subscriptions),
            subscriptions_refused: get(&self.subscriptions_refused),
            subscriptions_ended: get(&self.subscriptions_ended),
            subscription_events: get(&self.subscription_events),
            subscription_records: get(&self.subscription_records),
        }
    }
}
