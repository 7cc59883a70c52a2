//! Appends on their way to the disk: a bounded queue between many callers and one writer.
//!
//! The bounds count what is being written too; past them an append is refused at once
//! ([`ErrorKind::Retry`](ledgerline_domain::ErrorKind::Retry)) and nothing of it is kept. Once the
//! disk has failed the queue takes nothing more.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use ledgerline_domain::{Error, Result};
use tokio::sync::oneshot;

use super::frame::HEADER_BYTES;

/// One append: all its records go into one batch.
pub(crate) struct Job {
    /// Shards and payloads.
    pub records: Vec<(u16, Bytes)>,
    /// Bytes of all its frames.
    pub bytes: usize,
    answer: oneshot::Sender<Result<Done>>,
}

/// What a caller gets back.
pub(crate) struct Done {
    /// The position of the first record; the others follow it without a gap.
    pub first: u64,
    /// The records: whoever made them frees them, which costs less than in the writer's thread.
    pub records: Vec<(u16, Bytes)>,
}

impl Job {
    /// An append and where its answer will come.
    pub fn new(records: Vec<(u16, Bytes)>) -> (Self, oneshot::Receiver<Result<Done>>) {
        let bytes = records.iter().map(|(_, data)| HEADER_BYTES + data.len()).sum();
        let (answer, receiver) = oneshot::channel();
        (Self { records, bytes, answer }, receiver)
    }

    /// Answers the caller, who may have gone.
    pub fn answer(self, result: Result<u64>) {
        let records = self.records;
        let _ = self.answer.send(result.map(|first| Done { first, records }));
    }
}

/// Bounds of a queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub records: usize,
    pub bytes: usize,
    pub batch_bytes: usize,
}

/// See the module.
pub(crate) struct Queue {
    bounds: Bounds,
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Default)]
struct Inner {
    jobs: VecDeque<Job>,
    /// Records and bytes that wait or are being written.
    records: usize,
    bytes: usize,
    /// The writer sleeps until so many jobs wait; 0 while it works.
    wake_at: usize,
    /// When the newest job came while it worked.
    newest: Option<Instant>,
    state: State,
}

#[derive(Default)]
enum State {
    #[default]
    Open,
    /// The log is being closed; what waits is still written.
    Closed,
    /// Nothing more can be written, and why.
    Failed(String),
}

/// What the writer takes in one go.
pub(crate) struct Batch {
    pub jobs: Vec<Job>,
    pub records: usize,
    pub bytes: usize,
}

impl Queue {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, inner: Mutex::default(), arrived: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job in, or refuses it.
    pub fn push(&self, job: Job) -> Result<()> {
        let mut inner = self.lock();
        match &inner.state {
            State::Open => {}
            State::Closed => return Err(Error::retry("append to the log: it is being closed")),
            State::Failed(why) => return Err(Error::retry(format!("append to the log: {why}"))),
        }
        let records = inner.records.saturating_add(job.records.len());
        let bytes = inner.bytes.saturating_add(job.bytes);
        if records > self.bounds.records || bytes > self.bounds.bytes {
            return Err(Error::retry(format!(
                "append to the log: its queue is full ({} records, {} bytes wait for the disk)",
                inner.records, inner.bytes
            )));
        }
        inner.records = records;
        inner.bytes = bytes;
        inner.jobs.push_back(job);
        let wake = inner.wake_at > 0 && inner.jobs.len() >= inner.wake_at;
        if wake {
            inner.wake_at = 0;
        } else if inner.wake_at == 0 {
            inner.newest = Some(Instant::now());
        }
        drop(inner);
        if wake {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits for jobs; with `expected` above 1 a little longer for more, as long as they keep
    /// coming: at most `gather_max`. `None` when the queue is closed and empty.
    pub fn take(&self, expected: usize, gather_max: Duration) -> Option<Batch> {
        let mut inner = self.lock();
        while inner.jobs.is_empty() {
            if !matches!(inner.state, State::Open) {
                return None;
            }
            inner.wake_at = 1;
            inner = self.arrived.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        if inner.jobs.len() < expected && !gather_max.is_zero() {
            inner = self.gather(inner, expected, gather_max);
        }
        inner.wake_at = 0;
        inner.newest = None;
        let mut batch = Batch { jobs: Vec::with_capacity(inner.jobs.len()), records: 0, bytes: 0 };
        while let Some(job) = inner.jobs.pop_front() {
            if !batch.jobs.is_empty() && batch.bytes + job.bytes > self.bounds.batch_bytes {
                inner.jobs.push_front(job);
                break;
            }
            batch.records += job.records.len();
            batch.bytes += job.bytes;
            batch.jobs.push(job);
        }
        Some(batch)
    }

    fn gather<'a>(
        &self,
        mut inner: MutexGuard<'a, Inner>,
        expected: usize,
        gather_max: Duration,
    ) -> MutexGuard<'a, Inner> {
        let until = Instant::now() + gather_max;
        // Each look costs two changes of thread, which a busy core feels.
        let slice = gather_max / 2;
        loop {
            let before = inner.jobs.len();
            let left = until.saturating_duration_since(Instant::now());
            if before >= expected || inner.bytes >= self.bounds.batch_bytes || left.is_zero() {
                return inner;
            }
            inner.wake_at = expected;
            let waited = self.arrived.wait_timeout(inner, slice.min(left)).unwrap_or_else(PoisonError::into_inner);
            inner = waited.0;
            // Nobody came: those who are expected do something else.
            if !matches!(inner.state, State::Open) || inner.jobs.len() == before {
                return inner;
            }
        }
    }

    /// Gives the room of a batch back. How many jobs wait already, and since when no further one came.
    pub fn done(&self, records: usize, bytes: usize) -> (usize, Option<Instant>) {
        let mut inner = self.lock();
        inner.records = inner.records.saturating_sub(records);
        inner.bytes = inner.bytes.saturating_sub(bytes);
        (inner.jobs.len(), inner.newest)
    }

    /// Takes nothing more; what waits is still written.
    pub fn close(&self) {
        let mut inner = self.lock();
        if matches!(inner.state, State::Open) {
            inner.state = State::Closed;
        }
        drop(inner);
        self.arrived.notify_one();
    }

    /// Takes nothing more and refuses what waits; the first reason stands.
    pub fn fail(&self, why: &str) {
        let mut inner = self.lock();
        if !matches!(inner.state, State::Failed(_)) {
            inner.state = State::Failed(why.to_owned());
        }
        let jobs = std::mem::take(&mut inner.jobs);
        drop(inner);
        for job in jobs {
            job.answer(Err(Error::retry(format!("append to the log: {why}"))));
        }
        self.arrived.notify_one();
    }

    /// Why nothing can be written any more, if so.
    pub fn failure(&self) -> Option<String> {
        match &self.lock().state {
            State::Failed(why) => Some(why.clone()),
            State::Open | State::Closed => None,
        }
    }

    /// Records and bytes that wait or are being written.
    pub fn waiting(&self) -> (usize, usize) {
        let inner = self.lock();
        (inner.records, inner.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(Bounds { records: 10, bytes: 1000, batch_bytes: 200 })
    }

    fn job(records: usize) -> Job {
        Job::new(vec![(0, Bytes::from_static(b"0123456789")); records]).0
    }

    #[test]
    fn full_in_records_or_bytes_is_refused_at_once() {
        let queue = queue();
        queue.push(job(10)).unwrap();
        assert!(queue.push(job(1)).unwrap_err().to_string().contains("full"));
        let batch = queue.take(1, Duration::ZERO).unwrap();
        assert!(queue.push(job(1)).is_err(), "what is being written counts");
        queue.done(batch.records, batch.bytes);
        assert!(queue.push(Job::new(vec![(0, Bytes::from(vec![0; 1000]))]).0).is_err(), "bytes");
        queue.push(job(1)).unwrap();
        assert_eq!(queue.waiting(), (1, 50));
    }

    #[test]
    fn it_tells_when_the_last_one_came_while_the_writer_worked() {
        let queue = queue();
        queue.push(job(1)).unwrap();
        let batch = queue.take(1, Duration::ZERO).unwrap();
        let before = Instant::now();
        queue.push(job(1)).unwrap();
        let (waiting, newest) = queue.done(batch.records, batch.bytes);
        assert!(waiting == 1 && newest.unwrap() >= before);
        let batch = queue.take(1, Duration::ZERO).unwrap();
        assert_eq!(queue.done(batch.records, batch.bytes), (0, None), "nobody came since");
    }

    #[test]
    fn batches_close_at_their_size_and_keep_order() {
        let queue = queue();
        for records in [2, 1, 1, 3] {
            queue.push(job(records)).unwrap();
        }
        let sizes = |batch: Batch| batch.jobs.iter().map(|j| j.records.len()).collect::<Vec<_>>();
        assert_eq!(sizes(queue.take(1, Duration::ZERO).unwrap()), [2, 1, 1]);
        assert_eq!(sizes(queue.take(1, Duration::ZERO).unwrap()), [3]);
    }

    #[test]
    fn gathers_no_longer_than_somebody_comes() {
        let queue = queue();
        queue.push(job(1)).unwrap();
        let began = Instant::now();
        let batch = queue.take(5, Duration::from_secs(4)).unwrap();
        assert_eq!(batch.jobs.len(), 1);
        assert!(began.elapsed() < Duration::from_secs(3), "half of the longest wait");
    }

    #[test]
    fn closed_gives_what_waits_and_then_none() {
        let queue = queue();
        queue.push(job(1)).unwrap();
        queue.close();
        assert!(queue.push(job(1)).is_err());
        assert!(queue.take(9, Duration::from_secs(9)).is_some());
        assert!(queue.take(1, Duration::ZERO).is_none());
    }

    #[test]
    fn failed_answers_everybody() {
        let queue = queue();
        let (job, mut answer) = Job::new(vec![(0, Bytes::new())]);
        queue.push(job).unwrap();
        queue.fail("the disk is gone");
        queue.fail("another reason");
        assert!(answer.try_recv().unwrap().err().unwrap().to_string().contains("the disk is gone"));
        assert_eq!(queue.failure().unwrap(), "the disk is gone");
        assert!(queue.take(1, Duration::ZERO).is_none());
    }
}
