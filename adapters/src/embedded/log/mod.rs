//! The log of one machine: a single stream of checksummed records in preallocated segment files.
//!
//! All shards share the stream, so one sync covers them all. A sequence number is the position in
//! the stream: increasing within a shard, with gaps where other shards' records lie. An append is
//! answered after the sync of the batch it is in; readers see durable records only.
//!
//! [`ErrorKind::Retry`](ledgerline_domain::ErrorKind::Retry): the queue is full, the disk is full,
//! or the disk failed (then [`EmbeddedLog::failure`] says so and only a restart helps).
//! [`ErrorKind::Data`](ledgerline_domain::ErrorKind::Data): a file is damaged or was released.

mod ahead;
mod direct;
mod frame;
mod gathering;
mod options;
mod pieces;
#[cfg(test)]
mod property_tests;
mod queue;
mod recover;
#[cfg(test)]
mod release_tests;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use ledgerline_domain::ids::{EntityKey, SequenceNumber, ShardId};
use ledgerline_domain::ports::{Appended, Clock, Log, LogRecord, ReadBatch, ReadLimit};
use ledgerline_domain::{Error, Result};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub use options::{DiskHook, DiskStep, LogOptions};

use self::pieces::Pieces;
use self::queue::{Bounds, Job, Queue};
use self::scan::Found;
use self::view::{Part, Plan, View};
use super::files::{blocking, create_dirs, remove_file, sync_dir};
use super::lock::DirectoryLock;
use crate::partition::shard_index;

/// What writer and readers share.
struct Shared {
    options: LogOptions,
    shards: Vec<ShardId>,
    queue: Queue,
    view: Mutex<View>,
    /// Per shard the newest durable position; readers wait on it.
    tips: Vec<watch::Sender<u64>>,
    /// What readers of files share.
    pieces: Pieces,
    /// One deletion of segments at a time, so that always the oldest goes first.
    releasing: Mutex<()>,
    batches: AtomicU64,
    records: AtomicU64,
}

impl Shared {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from files.
    fn read_disk(&self, shard: u16, parts: &[Part], mut found: Found) -> Result<Found> {
        let place = scan::disk(parts, &mut found, &self.pieces)?;
        if let (Some(place), Some(last)) = (place, found.last()) {
            self.view().remember(shard, last, place);
        }
        Ok(found)
    }
}

/// What a log has done and holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogStats {
    /// Batches written since the start, each with one sync.
    pub batches: u64,
    /// Records written since the start.
    pub records: u64,
    /// Segment files.
    pub segments: usize,
    /// Bytes of all segment files.
    pub disk_bytes: u64,
    /// Records that wait for the disk.
    pub waiting_records: usize,
}

/// The log. Dropping it writes what waits and gives the files back.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    _lock: Option<Arc<DirectoryLock>>,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or makes one. `shards` is what the data directory was made with.
    pub(crate) fn open(
        dir: &Path,
        shards: u32,
        options: LogOptions,
        clock: Arc<dyn Clock>,
        lock: Option<Arc<DirectoryLock>>,
    ) -> Result<Self> {
        options.check()?;
        create_dirs(dir)?;
        let mut segments = segment::list(dir, shards)?;
        if segments.is_empty() {
            let first = writer::first_segment(dir, shards as usize, options.segment_bytes, options.hook.as_ref())?;
            segments.push(first);
        }
        let segments: std::collections::VecDeque<_> = segments.into_iter().map(Arc::new).collect();
        let newest = segments.back().cloned().ok_or_else(|| Error::internal("open a log without a segment"))?;
        let recovered = recover::recover(&newest, options.segment_bytes)?;
        if recovered.cut_bytes > 0 {
            tracing::warn!(
                bytes = recovered.cut_bytes,
                segment = %newest.path.display(),
                "cut the torn tail of the log: an append that was never answered"
            );
        }
        let bounds = Bounds {
            records: options.queue_records_max,
            bytes: options.queue_bytes_max,
            batch_bytes: options.batch_bytes_max.min(options.append_bytes_max()),
        };
        let view = View::new(segments, recovered.position, recovered.shards.clone(), options.tail_bytes_max);
        let shared = Arc::new(Shared {
            shards: (0..shards).map(ShardId::numbered).collect(),
            queue: Queue::new(bounds),
            view: Mutex::new(view),
            tips: recovered.shards.iter().map(|s| watch::Sender::new(s.last)).collect(),
            pieces: Pieces::default(),
            releasing: Mutex::default(),
            batches: AtomicU64::default(),
            records: AtomicU64::default(),
            options,
        });
        let writer = writer::Writer {
            shared: shared.clone(),
            clock,
            dir: dir.to_owned(),
            segment: newest,
            file: recovered.file,
            offset: recovered.offset,
            begun_page: recovered.begun_page,
            next: recovered.position,
            shards: recovered.shards,
            ahead: None,
        };
        let thread = std::thread::Builder::new()
            .name("ledgerline-log".into())
            .spawn(move || writer.run())
            .map_err(|e| Error::internal("start the log's writer").because(e))?;
        Ok(Self { shared, writer: Some(thread), _lock: lock })
    }

    /// Why nothing can be appended any more, if so: the disk failed and the program must start
    /// again. For readiness checks.
    pub fn failure(&self) -> Option<String> {
        self.shared.queue.failure()
    }

    /// What it has done and holds.
    pub fn stats(&self) -> LogStats {
        let segments = self.shared.view().segments.len();
        LogStats {
            batches: self.shared.batches.load(Ordering::Relaxed),
            records: self.shared.records.load(Ordering::Relaxed),
            segments,
            disk_bytes: segments as u64 * self.shared.options.segment_bytes,
            waiting_records: self.shared.queue.waiting().0,
        }
    }

    /// The newest position of all shards; 0 when the log never held a record.
    pub fn newest(&self) -> u64 {
        self.shared.view().next - 1
    }

    fn index(&self, shard: &ShardId) -> Result<u16> {
        let at = self.shared.shards.iter().position(|s| s == shard);
        at.and_then(|at| u16::try_from(at).ok()).ok_or_else(|| {
            Error::invalid(format!("find {shard} in the log: it has {} shards from 0", self.shared.shards.len()))
        })
    }

    fn check(&self, records: &[LogRecord]) -> Result<()> {
        let bytes: usize = records.iter().map(|r| frame::HEADER_BYTES + r.data.len()).sum();
        let (bytes_max, records_max) = (self.shared.options.append_bytes_max(), self.shared.options.queue_records_max);
        if bytes > bytes_max || records.len() > records_max {
            return Err(Error::invalid(format!(
                "append {} records of {bytes} bytes at once: the log takes up to {records_max} of {bytes_max} bytes",
                records.len()
            )));
        }
        Ok(())
    }
}

/// The number behind a sequence number that this log gave.
fn number(sequence: &SequenceNumber) -> Result<u64> {
    let parsed = sequence.to_u64();
    parsed.ok_or_else(|| Error::invalid(format!("find position {sequence} in the log: it is not one of this log's")))
}

impl Log for EmbeddedLog {
    fn shards(&self) -> Vec<ShardId> {
        self.shared.shards.clone()
    }

    async fn append(&self, records: Vec<LogRecord>) -> Result<Vec<Appended>> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        self.check(&records)?;
        let count = u32::try_from(self.shared.shards.len()).unwrap_or(u32::MAX);
        let shard = |key: &EntityKey| u16::try_from(shard_index(key, count)).unwrap_or_default();
        let records: Vec<(u16, Bytes)> = records.into_iter().map(|r| (shard(&r.key), r.data)).collect();
        let (job, answer) = Job::new(records);
        self.shared.queue.push(job)?;
        let done = answer.await.unwrap_or_else(|_| Err(Error::retry("append to the log: its writer has stopped")))?;
        let mut places = Vec::with_capacity(done.records.len());
        places.extend(done.records.iter().zip(done.first..).filter_map(|((shard, _), position)| {
            let shard = self.shared.shards.get(usize::from(*shard))?.clone();
            Some(Appended { shard, sequence: SequenceNumber::from_u64(position) })
        }));
        Ok(places)
    }

    async fn read(&self, shard: &ShardId, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<ReadBatch> {
        let shard = self.index(shard)?;
        let after = after.map(number).transpose()?;
        let tip = self.shared.tips.get(usize::from(shard)).ok_or_else(|| Error::internal("find a shard's tip"))?;
        let mut tip = tip.subscribe();
        let until = Instant::now() + limit.wait;
        loop {
            // Seen before the plan is made: what comes after it wakes the wait below.
            tip.borrow_and_update();
            let (plan, known) = {
                let view = self.shared.view();
                (view.plan(shard, after)?, view.shard(shard).count)
            };
            let found = match plan {
                Plan::CaughtUp => match timeout_at(until, tip.changed()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) | Err(_) => return Ok(ReadBatch::default()),
                },
                Plan::Memory(after, blocks) => {
                    let mut found = Found::new(shard, after, limit);
                    scan::memory(&blocks, &mut found)?;
                    found
                }
                Plan::Disk(after, parts) => {
                    let found = Found::new(shard, after, limit);
                    let shared = self.shared.clone();
                    blocking(move || shared.read_disk(shard, &parts, found)).await?
                }
            };
            let behind = known.saturating_sub(found.ordinal);
            return Ok(ReadBatch { records: found.into_records(), behind, ..ReadBatch::default() });
        }
    }

    async fn tip(&self, shard: &ShardId) -> Result<Option<SequenceNumber>> {
        let last = self.shared.view().shard(self.index(shard)?).last;
        Ok((last > 0).then(|| SequenceNumber::from_u64(last)))
    }

    async fn release(&self, shard: &ShardId, through: &SequenceNumber) -> Result<()> {
        let (shard, through) = (self.index(shard)?, number(through)?);
        let shared = self.shared.clone();
        shared.view().release(shard, through);
        blocking(move || {
            let _one = shared.releasing.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let Some(segment) = shared.view().take_released() else { return Ok(()) };
                // The name must be gone for good before the next one goes: the rest stays a chain.
                let gone = remove_file(&segment.path).and_then(|_| segment.path.parent().map_or(Ok(()), sync_dir));
                if let Err(error) = gone {
                    shared.view().segments.push_front(segment);
                    return Err(error);
                }
            }
        })
        .await
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has failed the queue already.
            let _ = writer.join();
        }
    }
}

impl std::fmt::Debug for EmbeddedLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmbeddedLog({:?})", self.stats())
    }
}
