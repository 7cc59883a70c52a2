//! Archives one shard: read → cut → put, and start over behind what was put.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ledgerline_domain::envelope::Envelope;
use ledgerline_domain::ids::{SequenceNumber, ShardId};
use ledgerline_domain::ports::{Archive, Clock, Created, Log, ReadLimit, Sequenced};
use ledgerline_domain::segment::{Segment, SegmentPlace, SegmentSummary, SegmentWriter};
use ledgerline_domain::time::UnixNanos;
use ledgerline_domain::{Error, ErrorKind, Result};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::book::Book;
use super::chain::{self, Tip};
use super::job::Share;
use super::telling::Telling;
use super::{ArchiverProgress, ArchiverSettings};
use crate::leases::End;

/// Most bytes of one read.
const READ_BYTES_MAX: usize = 1024 * 1024;
/// Most records of one read.
const READ_RECORDS_MAX: usize = 4096;

/// One shard's archiver.
pub(super) struct ShardArchiver<L, A, C> {
    pub log: Arc<L>,
    pub archive: Arc<A>,
    pub clock: Arc<C>,
    pub settings: Arc<ArchiverSettings>,
    pub share: Share,
    pub progress: Arc<ArchiverProgress>,
    pub book: Arc<Book<L, A>>,
    pub shard: ShardId,
}

/// A segment under construction.
struct Building {
    writer: SegmentWriter,
    began: Instant,
    newest_arrival: UnixNanos,
    telling: Telling,
}

/// Where the work stands.
#[derive(Default)]
struct Work {
    tip: Tip,
    building: Option<Building>,
    /// Read and not yet in a segment.
    carry: VecDeque<Sequenced<Bytes>>,
    /// Position of the last record read.
    read: Option<SequenceNumber>,
    /// Records that the log held behind the last read.
    behind: u64,
    /// The last read was the shard's last.
    ended: bool,
    /// When a shutdown stops trying.
    give_up: Option<Instant>,
}

impl Work {
    /// Forgets what was read and not put: reading starts again behind `tip`.
    fn restart(&mut self, tip: Tip) {
        *self = Self { tip, give_up: self.give_up, ..Self::default() };
    }

    /// Whether all of a closed shard is in the archive.
    fn is_done(&self) -> bool {
        self.ended && self.building.is_none() && self.carry.is_empty()
    }

    /// Records known and not archived.
    fn waiting(&self) -> u64 {
        self.behind + self.carry.len() as u64 + self.building.as_ref().map_or(0, |b| b.writer.count())
    }
}

impl<L: Log, A: Archive, C: Clock> ShardArchiver<L, A, C> {
    /// Until it is told to stop, or the shard is closed and all of it is in the archive. Then everything that is
    /// known of the shard is written down, so that the next one can go on.
    pub(super) async fn run(self, shutdown: watch::Receiver<bool>) -> Result<End> {
        self.book.expect(&self.shard).await;
        let end = self.work(shutdown).await;
        self.book.close(&self.shard).await;
        self.progress.end(&self.shard);
        end.map_err(|error| Error::new(error.kind(), format!("archive {}", self.shard)).because(error))
    }

    async fn work(&self, mut shutdown: watch::Receiver<bool>) -> Result<End> {
        let mut pause = self.settings.backoff.0;
        let mut work = None;
        while !is_stopping(&shutdown) {
            let step = match &mut work {
                None => self.start().await.map(|started| work = Some(started)),
                Some(work) if work.is_done() => return Ok(End::ShardEnd),
                Some(work) => self.step(work, &mut shutdown).await,
            };
            match step {
                Ok(()) => pause = self.settings.backoff.0,
                Err(error) if is_passing(&error) => {
                    tracing::warn!(shard = %self.shard, %error, "the archiver pauses on a shard");
                    let _ = timeout(pause, stopping(&mut shutdown)).await;
                    pause = (pause * 2).min(self.settings.backoff.1);
                }
                Err(error) => return Err(error),
            }
        }
        match &mut work {
            Some(work) => self.finish(work, &mut shutdown).await,
            None => Ok(End::Stopped),
        }
    }

    /// Finds the chain's end, and checks that it is one of this log.
    async fn start(&self) -> Result<Work> {
        let found = chain::find(self.archive.as_ref(), &self.settings.stream, &self.shard).await?;
        let tip = found.tip();
        if let Some((archived, _)) = &tip {
            if !self.log.reaches(&self.shard, archived).await? {
                return Err(Error::data(format!(
                    "go on behind position {archived}: the log ends before it, so this archive belongs to another log; give each log a stream or archive of its own"
                )));
            }
            self.progress.note_position(&self.shard, archived);
        }
        self.book.open(&self.shard, found).await;
        Ok(Work { tip, ..Work::default() })
    }

    /// Reads once, fills the segment under construction, puts it if it is time.
    async fn step(&self, work: &mut Work, shutdown: &mut watch::Receiver<bool>) -> Result<()> {
        if work.carry.is_empty() && !work.ended {
            tokio::select! {
                read = self.read(work) => read?,
                () = stopping(shutdown) => return Ok(()),
            }
        }
        let cut = self.fill(work).await?;
        self.progress.note_waiting(&self.shard, work.waiting());
        let old = work.building.as_ref().is_some_and(|b| b.began.elapsed() >= self.settings.flush_after);
        // Of a closed shard nothing comes that could fill it.
        if cut || old || (work.ended && work.carry.is_empty()) {
            self.put(work, shutdown).await?;
        }
        Ok(())
    }

    /// Reads the next records into `carry`.
    async fn read(&self, work: &mut Work) -> Result<()> {
        let age_left = work.building.as_ref().map(|b| self.settings.flush_after.saturating_sub(b.began.elapsed()));
        let limit = ReadLimit {
            records_max: READ_RECORDS_MAX.min(self.settings.segment_records_max.max(1)),
            bytes_max: READ_BYTES_MAX.min(self.share.bytes_max()),
            wait: age_left.map_or(self.settings.wait, |left| left.min(self.settings.wait)),
        };
        let after = work.read.as_ref().or(work.tip.as_ref().map(|(last, _)| last));
        let asked_at = self.clock.now();
        match self.log.read(&self.shard, after, limit).await {
            Ok(batch) => {
                if batch.records.is_empty() && batch.behind == 0 && work.building.is_none() {
                    self.book.idle(&self.shard, asked_at).await;
                }
                work.behind = batch.behind;
                work.ended = batch.ended;
                if let Some(last) = batch.records.last() {
                    work.read = Some(last.sequence.clone());
                }
                work.carry = batch.records.into();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Data => {
                // The log may have forgotten what somebody else archived in the meantime.
                let (stream, tip) = (&self.settings.stream, work.tip.clone());
                let mut next = chain::follow(self.archive.as_ref(), stream, &self.shard, tip.clone()).await?;
                if next.is_empty() {
                    next = chain::follow_anywhere(self.archive.as_ref(), stream, &self.shard, tip).await?;
                }
                let Some(newest) = next.last() else { return Err(error) };
                let tip = chain::tip_of(newest);
                self.progress.note_position(&self.shard, &tip.0);
                work.restart(Some(tip));
                self.book.added(&self.shard, next, None).await;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Moves records from `carry` into the segment; true when it must be cut.
    async fn fill(&self, work: &mut Work) -> Result<bool> {
        if work.carry.is_empty() {
            return Ok(false);
        }
        let building = match work.building.take() {
            Some(building) => building,
            None => {
                let place = SegmentPlace {
                    stream: self.settings.stream.clone(),
                    shard: self.shard.clone(),
                    after: work.tip.clone(),
                };
                let newest_arrival = UnixNanos::from_nanos(0);
                let telling = Telling::new(&self.settings.traces);
                Building { writer: SegmentWriter::new(place)?, began: Instant::now(), newest_arrival, telling }
            }
        };
        let carry = std::mem::take(&mut work.carry);
        let (records_max, bytes_max) = (self.settings.segment_records_max, self.share.bytes_max());
        let (building, carry, cut) = blocking(move || fill(building, carry, records_max, bytes_max)).await?;
        work.building = Some(building);
        work.carry = carry;
        Ok(cut)
    }

    /// Puts the segment under construction, trying until it is in the archive. Only a shutdown ends
    /// the trying: after a while, with the last error; what was read is forgotten then.
    async fn put(&self, work: &mut Work, shutdown: &mut watch::Receiver<bool>) -> Result<()> {
        let Some(Building { writer, newest_arrival, telling, .. }) = work.building.take() else { return Ok(()) };
        let segment = blocking(move || writer.finish()).await?;
        let mut pause = self.settings.backoff.0;
        let (summary, mine) = loop {
            match self.try_put(&segment, &work.tip).await {
                Ok(put) => break put,
                Err(error) if is_passing(&error) => {
                    tracing::warn!(shard = %self.shard, %error, "a segment could not be put; trying again");
                    if is_stopping(shutdown) {
                        let give_up = *work.give_up.get_or_insert(Instant::now() + self.settings.shutdown_wait);
                        if Instant::now() + pause >= give_up {
                            // Nothing behind the segment may go on without it.
                            work.restart(work.tip.clone());
                            return Err(error);
                        }
                        sleep(pause).await;
                    } else {
                        let _ = timeout(pause, stopping(shutdown)).await;
                    }
                    pause = (pause * 2).min(self.settings.backoff.1);
                }
                Err(error) => return Err(error),
            }
        };
        let tip = chain::tip_of(&summary);
        self.progress.note_position(&self.shard, &tip.0);
        if mine {
            work.tip = Some(tip);
            self.progress.note_segment(summary.count, summary.bytes);
            telling.put(&self.shard, &summary);
            let delay = Duration::from_nanos(self.clock.now().since(newest_arrival).try_into().unwrap_or(0));
            metrics::gauge!("ledgerline_archiver_delay_seconds", "shard" => self.shard.to_string())
                .set(delay.as_secs_f64());
            self.book.added(&self.shard, vec![summary], Some(newest_arrival)).await;
        } else {
            // What it covers is dropped, what it does not cover is read again. It may have gone on already.
            tracing::info!(shard = %self.shard, key = summary.key, "another archiver was first; going on behind its segment");
            let more =
                chain::follow(self.archive.as_ref(), &self.settings.stream, &self.shard, Some(tip.clone())).await;
            let more = more.or_else(|error| if is_passing(&error) { Ok(Vec::new()) } else { Err(error) })?;
            let tip = more.last().map_or(tip, chain::tip_of);
            self.progress.note_position(&self.shard, &tip.0);
            work.restart(Some(tip));
            self.book.added(&self.shard, [vec![summary], more].concat(), None).await;
        }
        self.progress.note_waiting(&self.shard, work.waiting());
        Ok(())
    }

    /// One attempt; the segment that is in the archive now, and whether it is this one.
    async fn try_put(&self, segment: &Segment, tip: &Tip) -> Result<(SegmentSummary, bool)> {
        let key = segment.info.key();
        match self.archive.create(&key, segment.bytes.clone()).await? {
            Created::New => Ok((segment.summary(), true)),
            Created::Exists => {
                let gone = || Error::retry(format!("read {key}: the archive says it exists but does not have it"));
                let other = self.archive.get(&key).await?.ok_or_else(gone)?;
                if other == segment.bytes {
                    return Ok((segment.summary(), true));
                }
                let summary = chain::continues(&self.settings.stream, &self.shard, tip, &key, &other)?;
                Ok((summary, false))
            }
        }
    }

    /// Puts what is left when the process ends.
    async fn finish(&self, work: &mut Work, shutdown: &mut watch::Receiver<bool>) -> Result<End> {
        while self.fill(work).await? || work.building.is_some() {
            match self.put(work, shutdown).await {
                Ok(()) => {}
                Err(error) if is_passing(&error) => {
                    tracing::warn!(shard = %self.shard, %error, "some records stay in the log only; the next start archives them");
                    return Ok(End::Stopped);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(if work.is_done() { End::ShardEnd } else { End::Stopped })
    }
}

/// Pushes records until the segment must be cut; gives back what is left.
fn fill(
    mut building: Building,
    mut carry: VecDeque<Sequenced<Bytes>>,
    records_max: usize,
    bytes_max: usize,
) -> Result<(Building, VecDeque<Sequenced<Bytes>>, bool)> {
    let full = |writer: &SegmentWriter| writer.count() >= records_max as u64 || writer.raw_bytes() >= bytes_max;
    while let Some(record) = carry.front() {
        if building.writer.count() > 0 && (full(&building.writer) || !building.writer.takes_hour_of(record.arrived_at))
        {
            return Ok((building, carry, true));
        }
        let value = Envelope::decode(&record.value)
            .map_err(|e| Error::data(format!("read record {}", record.sequence)).because(e))?;
        let decoded = Sequenced { sequence: record.sequence.clone(), arrived_at: record.arrived_at, value };
        building.writer.push(&decoded)?;
        building.telling.read(&decoded);
        building.newest_arrival = building.newest_arrival.max(record.arrived_at);
        carry.pop_front();
    }
    let cut = full(&building.writer);
    Ok((building, carry, cut))
}

/// Ready when it is time to stop, which it is as well when nobody is left to say so.
async fn stopping(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn is_stopping(shutdown: &watch::Receiver<bool>) -> bool {
    *shutdown.borrow() || shutdown.has_changed().is_err()
}

/// Whether waiting can mend it.
fn is_passing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Retry | ErrorKind::Conflict)
}

/// Runs computing work where it does not hold up the runtime's other tasks.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.map_err(|e| Error::internal("write a segment").because(e))?
}
