//! The archiver: reads each shard and chains the signed originals into the archive.
//!
//! It is a reader of its own, beside the one that folds, and has no checkpoint: **the chain is the
//! checkpoint**. At the start it finds a shard's last segment and reads the log after it. A segment
//! is cut at a number of records, a number of bytes, a change of the arrival hour, or an age, so a
//! quiet shard is archived too. Putting it is create-only under a key that the log decides, so any
//! number of archivers of one shard make one chain (I6, I10):
//!
//! | the put says | then |
//! | --- | --- |
//! | new | go on after it |
//! | exists, the same bytes | it was put by an earlier attempt: go on after it |
//! | exists, another segment | somebody else's: check that it continues the chain, go on after *its* last record |
//! | an error to retry | put the same bytes again, later |
//!
//! It runs over all shards of one machine ([`run_archiver`]), or as a job of leases ([`ArchiverJob`]), with a table of
//! leases of its own: several processes then share the shards of a stream, and its manifests.
//!
//! Memory: the segments under construction, bounded over all shards, and one read per shard.
//!
//! Errors: [`Data`](ledgerline_domain::ErrorKind::Data) when log and archive do not fit together,
//! or a record or segment is damaged. The archiver stops then rather than write a wrong chain;
//! nothing is lost, because the log keeps what is not archived.

mod book;
mod chain;
mod hours;
mod job;
mod shard;
mod telling;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::trace::Traces;
use tokio::sync::watch;

pub use job::{ArchiverJob, run_archiver};

/// Name of the stream of a machine that has only one.
pub const STREAM_DEFAULT: &str = "main";

/// Limits of the archiver. Plain data.
#[derive(Clone, Debug)]
pub struct ArchiverSettings {
    /// The stream: first part of all keys.
    pub stream: String,
    /// Most records per segment.
    pub segment_records_max: usize,
    /// Raw bytes of the segments under construction of all shards at work together, about; each shard
    /// has an equal part of it.
    pub buffer_bytes_max: usize,
    /// Oldest record that waits for its segment to fill.
    pub flush_after: Duration,
    /// Longest wait for new records before asking again.
    pub wait: Duration,
    /// First and longest pause after an error to retry.
    pub backoff: (Duration, Duration),
    /// How long a shutdown tries to put what is under construction. What it leaves stays in the log.
    pub shutdown_wait: Duration,
    /// Segments of a shard between two notes of its head.
    pub head_every: u64,
    /// How long after its end an hour counts as over: arrival times may step back this much, and what a log said of
    /// its end (a subscription's last event) may be this old.
    pub hour_grace: Duration,
    /// Time between two looks for hours that other archivers of the stream have begun.
    pub look_every: Duration,
    /// Tells what is archived.
    pub traces: Traces,
}

impl Default for ArchiverSettings {
    fn default() -> Self {
        Self {
            stream: STREAM_DEFAULT.to_owned(),
            segment_records_max: 65_536,
            buffer_bytes_max: 8 * 1024 * 1024,
            flush_after: Duration::from_secs(60),
            wait: Duration::from_millis(500),
            backoff: (Duration::from_millis(20), Duration::from_secs(5)),
            shutdown_wait: Duration::from_secs(10),
            head_every: 16,
            hour_grace: Duration::from_secs(120),
            look_every: Duration::from_secs(60),
            traces: Traces::default(),
        }
    }
}

/// Archived up to where, by shard.
pub type Positions = HashMap<ShardId, SequenceNumber>;

/// What the archiver did and how far it is; shared with whoever shows it or releases the log.
#[derive(Debug, Default)]
pub struct ArchiverProgress {
    positions: watch::Sender<Positions>,
    segments: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    waiting: Mutex<BTreeMap<ShardId, u64>>,
}

impl ArchiverProgress {
    /// Follows the archived positions. Records up to them are durable in the archive.
    pub fn subscribe(&self) -> watch::Receiver<Positions> {
        self.positions.subscribe()
    }

    /// The archived positions now.
    pub fn positions(&self) -> Positions {
        self.positions.borrow().clone()
    }

    /// Segments that this process put.
    pub fn segments(&self) -> u64 {
        self.segments.load(Ordering::Relaxed)
    }

    /// Records in them.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes of them, compressed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records not yet archived, as far as the log knew at the last reads.
    pub fn lag(&self) -> u64 {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    fn note_waiting(&self, shard: &ShardId, records: u64) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(shard.clone(), records);
        #[expect(clippy::cast_precision_loss, reason = "a gauge; exact below 2^53 records")]
        metrics::gauge!("ledgerline_archiver_behind_records", "shard" => shard.to_string()).set(records as f64);
    }

    fn note_position(&self, shard: &ShardId, archived: &SequenceNumber) {
        self.positions.send_modify(|positions| {
            positions.insert(shard.clone(), archived.clone());
        });
    }

    /// What waits on a shard is another's from here on; what is archived of it stays so.
    fn end(&self, shard: &ShardId) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(shard);
    }

    fn note_segment(&self, records: u64, bytes: u64) {
        for (counter, by, name) in [
            (&self.segments, 1, "ledgerline_archiver_segments_total"),
            (&self.records, records, "ledgerline_archiver_records_total"),
            (&self.bytes, bytes, "ledgerline_archiver_bytes_total"),
        ] {
            counter.fetch_add(by, Ordering::Relaxed);
            metrics::counter!(name).increment(by);
        }
    }
}

#[cfg(test)]
mod doubles;
#[cfg(test)]
mod tests;
