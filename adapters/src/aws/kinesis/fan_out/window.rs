//! What a subscription gave and a reader may still want: the records from the position that the reader came with last
//! up to the newest one.
//!
//! A record stays until the reader comes with a later position. So a read whose caller went away, or failed behind
//! it, gets the same records again, and the stream goes on where it is. Nothing in here waits but
//! [`room`](Window::room) and [`wanted`](Window::wanted).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::types::Record;
use bytes::Bytes;
use ledgerline_domain::ids::SequenceNumber;
use ledgerline_domain::ports::{ReadBatch, ReadLimit, Sequenced};
use ledgerline_domain::{Error, Result};
use tokio::sync::Notify;

use crate::aws::kinesis::place::{fitting, sequenced};
use crate::aws::kinesis::settings::RECORD_OVERHEAD;

/// What a window has for a reader.
#[derive(Debug)]
pub(super) enum Answer {
    /// Records.
    Batch(ReadBatch),
    /// None, and the subscription is on: news will come.
    Quiet(ReadBatch),
    /// The subscription is on and has not come to the reader's position yet.
    Behind,
    /// Nothing, and nothing to wait for: ask with `GetRecords`.
    Nothing,
}

/// See the module.
pub(super) struct Window {
    state: Mutex<State>,
    /// For readers: something changed.
    pub news: Notify,
    /// For the subscription: a reader asked.
    asks: Notify,
}

struct State {
    /// Where the reader came from last; nothing up to here is kept.
    start: Option<SequenceNumber>,
    /// The last record that the stream gave.
    end: Option<SequenceNumber>,
    records: VecDeque<Sequenced<Bytes>>,
    bytes: usize,
    /// How late the end was when the last event said so; `None` before the first event of a subscription.
    late: Option<Duration>,
    on: bool,
    closed: bool,
    failed: Option<Error>,
    asked: Instant,
    /// When the last subscription ended or was refused.
    off_since: Option<Instant>,
}

impl Window {
    /// Of a reader that stands at a position.
    pub fn new(after: Option<SequenceNumber>) -> Self {
        let state = State {
            start: after.clone(),
            end: after,
            records: VecDeque::new(),
            bytes: 0,
            late: None,
            on: false,
            closed: false,
            failed: None,
            asked: Instant::now(),
            off_since: None,
        };
        Self { state: Mutex::new(state), news: Notify::new(), asks: Notify::new() }
    }

    /// What there is behind a reader's position. Errors: [`Data`](ledgerline_domain::ErrorKind::Data) once, when the
    /// stream gave what cannot be.
    pub fn ask(&self, after: Option<&SequenceNumber>, limit: ReadLimit) -> Result<Answer> {
        let mut state = self.lock();
        if after < state.start.as_ref() {
            // Another reader, or one that went back: these records are not kept.
            return Ok(Answer::Nothing);
        }
        state.asked = Instant::now();
        self.asks.notify_one();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        state.come_to(after);
        if !state.records.is_empty() {
            return Ok(Answer::Batch(state.give(limit)));
        }
        if state.closed || !state.on {
            return Ok(Answer::Nothing);
        }
        if state.end < state.start {
            return Ok(Answer::Behind);
        }
        Ok(Answer::Quiet(state.nothing()))
    }

    /// Where a subscription begins: behind all that the stream gave and the reader has.
    pub fn from(&self) -> Option<SequenceNumber> {
        let state = self.lock();
        state.end.clone().max(state.start.clone())
    }

    /// A subscription from there is on.
    pub fn began(&self, from: Option<SequenceNumber>) {
        let mut state = self.lock();
        // The reader may have gone on since by other ways.
        state.end = from;
        state.on = true;
        state.late = None;
        self.news.notify_waiters();
    }

    /// It is off, or did not come on.
    pub fn stopped(&self) {
        let mut state = self.lock();
        state.on = false;
        state.off_since = Some(Instant::now());
        self.news.notify_waiters();
    }

    /// The stream says that the shard is at its end, or will be.
    pub fn close(&self) {
        self.lock().closed = true;
        self.news.notify_waiters();
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Nobody wants the records any more.
    pub fn forget(&self) {
        let mut state = self.lock();
        state.records = VecDeque::new();
        state.bytes = 0;
    }

    /// Takes an event in; `late` is how far its end is behind the newest record. `false` when what it gave cannot be,
    /// which the next read hears.
    pub fn take_in(&self, records: Vec<Record>, late: Duration) -> bool {
        let mut state = self.lock();
        let is_news = !records.is_empty() || state.late.is_none();
        state.late = Some(late);
        for record in records {
            if let Err(error) = state.add(record) {
                state.failed = Some(error);
                break;
            }
        }
        if is_news {
            self.news.notify_waiters();
        }
        state.failed.is_none()
    }

    /// For how long no reader asked.
    pub fn unasked(&self) -> Duration {
        self.lock().asked.elapsed()
    }

    /// Waits until less than so many bytes are held; `false` when no reader asked for `unasked_max`.
    pub async fn room(&self, bytes_max: usize, unasked_max: Duration) -> bool {
        loop {
            let left = {
                let mut state = self.lock();
                if state.bytes < bytes_max {
                    return true;
                }
                // Who is not listening does not know that there is no more.
                state.late = state.late.filter(|late| !late.is_zero());
                unasked_max.saturating_sub(state.asked.elapsed())
            };
            if left.is_zero() {
                return false;
            }
            let _ = tokio::time::timeout(left, self.asks.notified()).await;
        }
    }

    /// Waits until a reader asks behind the end of the last subscription; `false` when none does for so long.
    pub async fn wanted(&self, unasked_max: Duration) -> bool {
        loop {
            let left = {
                let state = self.lock();
                if state.off_since.is_none_or(|since| state.asked >= since) {
                    return true;
                }
                unasked_max.saturating_sub(state.asked.elapsed())
            };
            if left.is_zero() {
                return false;
            }
            let _ = tokio::time::timeout(left, self.asks.notified()).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Forgets what the reader has.
    fn come_to(&mut self, after: Option<&SequenceNumber>) {
        self.start = after.cloned();
        while self.records.front().is_some_and(|record| Some(&record.sequence) <= self.start.as_ref()) {
            if let Some(had) = self.records.pop_front() {
                self.bytes -= weight(&had);
            }
        }
        if !self.on && self.end < self.start {
            self.end.clone_from(&self.start);
        }
    }

    fn add(&mut self, record: Record) -> Result<()> {
        let record = sequenced(record)?;
        if self.end.as_ref().is_some_and(|end| *end >= record.sequence) {
            // The service promises it, and everything behind stands on it.
            return Err(Error::data(format!("read {} behind {:?}: out of order", record.sequence, self.end)));
        }
        self.end = Some(record.sequence.clone());
        if self.start < self.end {
            self.bytes += weight(&record);
            self.records.push_back(record);
        }
        Ok(())
    }

    fn give(&self, limit: ReadLimit) -> ReadBatch {
        let count = fitting(&self.records, limit);
        let records: Vec<_> = self.records.iter().take(count).cloned().collect();
        let left = (self.records.len() - count) as u64;
        // What is held is as much later as it arrived before the newest that is held.
        let arrived = |record: Option<&Sequenced<Bytes>>| record.map_or(0, |record| record.arrived_at.nanos());
        let held = arrived(self.records.back()).saturating_sub(arrived(records.last()));
        let held = Duration::from_nanos(u64::try_from(held).unwrap_or_default());
        let nothing = self.nothing();
        ReadBatch { records, behind: nothing.behind + left, late: nothing.late.map(|late| late + held), ended: false }
    }

    fn nothing(&self) -> ReadBatch {
        // Before the first event it is not known whether there is more.
        let beyond = u64::from(self.late != Some(Duration::ZERO));
        ReadBatch { records: Vec::new(), behind: beyond, late: Some(self.late.unwrap_or_default()), ended: false }
    }
}

fn weight(record: &Sequenced<Bytes>) -> usize {
    record.value.len() + RECORD_OVERHEAD
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
