//! The one thread that writes the log: take what waits, write it in one go, sync once, answer all.
//!
//! How long it gathers follows from what it saw ([`Gathering`]). One caller alone never waits for another.
//!
//! After a failed write or sync nobody can know what is on the disk, and a second sync that
//! succeeds proves nothing. So the log then takes nothing more until the process starts again and
//! recovers from what the file really holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use ledgerline_domain::ports::Clock;
use ledgerline_domain::{Error, ErrorKind, Result};

use super::Shared;
use super::ahead::{self, Ahead};
use super::direct::{PAGE_BYTES, Pages, SegmentFile};
use super::frame::Frame;
use super::gathering::{Gathering, Written};
use super::options::{DiskHook, DiskStep};
use super::queue::Batch;
use super::segment::{Before, HEADER_BYTES, Segment, prepare};
use super::view::Block;
use crate::embedded::files::file_error;

/// Name of a file that is about to become a segment.
const PREPARED_NAME: &str = "next.tmp";

/// From this size on readers get the memory that was written, with up to three pages of unused room;
/// smaller batches are copied.
const SHARED_BYTES_MIN: usize = 32 * 1024;

const _: () = assert!(HEADER_BYTES.is_multiple_of(PAGE_BYTES), "the first frame begins a page");

/// The thread's state.
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    pub clock: Arc<dyn Clock>,
    pub dir: PathBuf,
    /// The newest segment, its file and where the next frame goes.
    pub segment: Arc<Segment>,
    pub file: SegmentFile,
    pub offset: u64,
    /// What stands before that in its page: direct writes begin at the page.
    pub begun_page: Vec<u8>,
    /// The next position.
    pub next: u64,
    /// Per shard, everything written.
    pub shards: Vec<Before>,
    /// The next segment's file, being filled with zeros.
    pub ahead: Option<Ahead>,
}

/// Fails the queue however the thread ends, so that no caller waits for ever.
struct Farewell(Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        self.0.queue.fail("its writer has stopped; start the program again");
    }
}

impl Writer {
    /// Works until the queue is closed or the disk fails.
    pub fn run(mut self) {
        let farewell = Farewell(self.shared.clone());
        let mut gathering = Gathering::new(farewell.0.options.gather_max);
        while let Some(batch) = farewell.0.queue.take(gathering.expected(), gathering.longest()) {
            let (jobs, records, bytes) = (batch.jobs.len(), batch.records, batch.bytes);
            let began = Instant::now();
            let go_on = self.write(batch);
            let (waiting, newest) = farewell.0.queue.done(records, bytes);
            if !go_on {
                break;
            }
            let ended = Instant::now();
            gathering.note(&Written { jobs, waiting, began, newest: newest.unwrap_or(began), ended });
            self.prepare_ahead();
        }
    }

    /// Writes one batch and answers it; false when nothing more may be written.
    fn write(&mut self, batch: Batch) -> bool {
        let refuse = |batch: Batch, kind: ErrorKind, why: &str| {
            for job in batch.jobs {
                job.answer(Err(Error::new(kind, format!("append to the log: {why}"))));
            }
        };
        if self.offset + batch.bytes as u64 > self.shared.options.segment_bytes {
            if let Err(error) = self.prepared_file() {
                // Nothing was written: the next append may find room again.
                refuse(batch, error.kind(), &format!("failed to {error}"));
                return true;
            }
            if let Err(error) = self.roll() {
                // The new segment may or may not have its name: going on in the old one could
                // leave two files that claim the same positions.
                let why = self.fail(&error);
                refuse(batch, ErrorKind::Retry, &why);
                return false;
            }
        }
        let started_at = (self.offset, self.next);
        let (pages, lasts, firsts) = self.encode(&batch);
        let put = self.put(pages);
        let bytes = match put {
            Ok(bytes) => bytes,
            Err(error) => {
                let error = file_error(ErrorKind::Retry, "write the log segment", &self.segment.path, error);
                let why = self.fail(&error);
                refuse(batch, ErrorKind::Retry, &why);
                return false;
            }
        };
        self.segment.mark(started_at.1, started_at.0);
        self.publish(Block { first: started_at.1, bytes, lasts: lasts.into() });
        self.shared.batches.fetch_add(1, Ordering::Relaxed);
        self.shared.records.fetch_add(batch.records as u64, Ordering::Relaxed);
        for (job, first) in batch.jobs.into_iter().zip(firsts) {
            job.answer(Ok(first));
        }
        true
    }

    /// The begun page and the frames of a batch, the last position per shard (0: none), and each job's first.
    fn encode(&mut self, batch: &Batch) -> (Pages, Vec<u64>, Vec<u64>) {
        let arrived_at = self.clock.now().nanos();
        // Not one byte more, or the page boundary is lost.
        let room = (self.begun_page.len() + batch.bytes).next_multiple_of(PAGE_BYTES);
        let mut pages = Pages::with_capacity(room);
        pages.end().extend_from_slice(&self.begun_page);
        let mut lasts = vec![0; self.shards.len()];
        let mut firsts = Vec::with_capacity(batch.jobs.len());
        let mut batch_index = 0;
        for job in &batch.jobs {
            firsts.push(self.next);
            for (shard, data) in &job.records {
                // Shards come from `shard_index`, lengths are bounded by `append_bytes_max`.
                let index = usize::from(*shard);
                let (Some(before), Some(last)) = (self.shards.get_mut(index), lasts.get_mut(index)) else {
                    continue;
                };
                let frame = Frame {
                    length: u32::try_from(data.len()).unwrap_or(u32::MAX),
                    position: self.next,
                    ordinal: before.count + 1,
                    arrived_at,
                    batch_index,
                    shard: *shard,
                };
                frame.write(pages.end(), self.segment.salt, data);
                *before = Before { count: frame.ordinal, last: self.next };
                *last = self.next;
                self.next += 1;
                batch_index += 1;
            }
        }
        (pages, lasts, firsts)
    }

    /// Writes and syncs; gives the frames for readers.
    fn put(&mut self, mut pages: Pages) -> std::io::Result<Bytes> {
        let hook = self.shared.options.hook.as_ref();
        let (begun, end) = (self.begun_page.len(), pages.len());
        DiskHook::ask(hook, DiskStep::Write(end - begun))?;
        if self.file.is_direct() {
            pages.fill_page();
            self.file.write_pages(pages.bytes(), self.offset - begun as u64)?;
        } else {
            self.file.write(pages.bytes().get(begun..end).unwrap_or_default(), self.offset)?;
        }
        DiskHook::ask(hook, DiskStep::Sync)?;
        self.file.sync_data()?;
        self.offset += (end - begun) as u64;
        self.begun_page.clear();
        self.begun_page.extend_from_slice(pages.bytes().get(end - end % PAGE_BYTES..end).unwrap_or_default());
        let frames = begun..end;
        if frames.len() < SHARED_BYTES_MIN {
            return Ok(Bytes::copy_from_slice(pages.bytes().get(frames).unwrap_or_default()));
        }
        let (bytes, start) = pages.into_parts();
        Ok(Bytes::from(bytes).slice(start + frames.start..start + frames.end))
    }

    /// Lets readers see a batch.
    fn publish(&mut self, block: Block) {
        let lasts = block.lasts.clone();
        self.shared.view().add(block, self.next, &self.shards);
        for (tip, last) in self.shared.tips.iter().zip(lasts.iter()).filter(|(_, last)| **last > 0) {
            tip.send_replace(*last);
        }
    }

    /// The disk has failed: takes nothing more, and says why.
    fn fail(&self, error: &Error) -> String {
        tracing::error!(%error, "the log takes nothing more: start the program again once the disk is well");
        let why = format!("failed to {error}; start the program again once the disk is well");
        self.shared.queue.fail(&why);
        why
    }

    /// Makes sure that a file of zeros is ready; most often it was made ahead.
    fn prepared_file(&mut self) -> Result<()> {
        if self.ahead.take().is_none_or(|ahead| ahead.finish().is_err()) {
            let options = &self.shared.options;
            prepare(&self.dir.join(PREPARED_NAME), options.segment_bytes, at_once, options.hook.as_ref())?;
        }
        Ok(())
    }

    /// Goes on in a new segment.
    fn roll(&mut self) -> Result<()> {
        let segment = Arc::new(Segment::new(&self.dir, self.next, self.segment.first, self.shards.clone()));
        self.file = segment.create(&self.dir, &self.dir.join(PREPARED_NAME))?;
        self.shared.view().segments.push_back(segment.clone());
        self.segment = segment;
        self.offset = HEADER_BYTES as u64;
        self.begun_page.clear();
        Ok(())
    }

    /// Begins the next segment and lets it grow with this one.
    fn prepare_ahead(&mut self) {
        let options = &self.shared.options;
        if let Some(due) = ahead::due(self.offset, options.segment_bytes) {
            let begin = || Ahead::begin(self.dir.join(PREPARED_NAME), options.segment_bytes, options.hook.clone());
            self.ahead.get_or_insert_with(begin).step(due);
        }
    }
}

/// All zeros without a pause: somebody waits for the file.
fn at_once(_: u64) -> Option<u64> {
    Some(u64::MAX)
}

/// Makes the first segment of a new log.
pub(crate) fn first_segment(
    dir: &std::path::Path,
    shards: usize,
    bytes: u64,
    hook: Option<&DiskHook>,
) -> Result<Segment> {
    let prepared = dir.join(PREPARED_NAME);
    prepare(&prepared, bytes, at_once, hook)?;
    let segment = Segment::new(dir, 1, 0, vec![Before::default(); shards]);
    segment.create(dir, &prepared)?;
    Ok(segment)
}
