//! Spans that wait for their export: as many as there is room for, the rest is counted and gone.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ledgerline_domain::trace::{Span, SpanSink};
use metrics::Counter;

/// Shortest wait for a batch.
const DELAY_MIN: Duration = Duration::from_millis(1);

/// See the module.
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    waiting_max: usize,
    batch_max: usize,
    dropped: Counter,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Span>,
    /// Set when no more come: until when those that wait may be exported.
    until: Option<Instant>,
}

impl Queue {
    /// Room for `waiting_max` spans, taken out up to `batch_max` at a time.
    pub(super) fn new(waiting_max: usize, batch_max: usize) -> Self {
        let dropped = metrics::counter!("ledgerline_traces_dropped_total");
        Self { waiting: Mutex::default(), wake: Condvar::new(), waiting_max, batch_max, dropped }
    }

    /// Waits until there is a batch, `delay` is over, or no more come. Empty only when it is closed and nothing is left.
    pub(super) fn next(&self, delay: Duration) -> Vec<Span> {
        // Without a pause the lock would never be free.
        let delay = delay.max(DELAY_MIN);
        let mut waiting = self.lock();
        loop {
            let deadline = Instant::now() + delay;
            while waiting.until.is_none() && waiting.spans.len() < self.batch_max {
                let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                    break;
                };
                waiting = self.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
            }
            let spans = waiting.spans.len().min(self.batch_max);
            if spans > 0 || waiting.until.is_some() {
                return waiting.spans.drain(..spans).collect();
            }
        }
    }

    /// Pauses, and ends the pause early when it is closed. Says until when what is left may be exported, if it is closed.
    pub(super) fn pause(&self, pause: Duration) -> Option<Instant> {
        let deadline = Instant::now() + pause;
        let mut waiting = self.lock();
        while waiting.until.is_none() {
            let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            waiting = self.wake.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.until
    }

    /// Until when what is left may be exported, if no more come.
    pub(super) fn until(&self) -> Option<Instant> {
        self.lock().until
    }

    /// No more come, and those that wait may be exported until then.
    pub(super) fn close(&self, until: Instant) {
        self.lock().until.get_or_insert(until);
        self.wake.notify_all();
    }

    /// Gives up what waits.
    pub(super) fn give_up(&self) {
        let left = std::mem::take(&mut self.lock().spans);
        self.dropped.increment(left.len() as u64);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanSink for Queue {
    fn take(&self, span: Span) {
        let mut waiting = self.lock();
        if waiting.spans.len() >= self.waiting_max || waiting.until.is_some() {
            drop(waiting);
            self.dropped.increment(1);
            return;
        }
        waiting.spans.push_back(span);
        // Who waits is woken for a batch, not for every span.
        if waiting.spans.len() == self.batch_max {
            drop(waiting);
            self.wake.notify_one();
        }
    }

    fn random(&self) -> u128 {
        rand::random()
    }

    fn dropped(&self, spans: u64) {
        self.dropped.increment(spans);
    }
}

#[cfg(test)]
mod tests {
    use ledgerline_domain::trace::{Step, TraceId};

    use super::*;

    fn span(number: u128) -> Span {
        let now = Instant::now();
        Span {
            trace: TraceId::from_bytes(number.to_be_bytes()),
            id: None,
            parent: None,
            links: Vec::new(),
            delivery: None,
            began: now,
            ended: now,
            step: Step::Commit(1),
        }
    }

    #[test]
    fn it_holds_so_many_and_gives_batches() {
        let queue = Queue::new(10, 4);
        (1..=25).for_each(|number| queue.take(span(number)));
        let sizes: Vec<usize> = (0..3).map(|_| queue.next(Duration::from_millis(1)).len()).collect();
        assert_eq!(sizes, [4, 4, 2]);
        queue.take(span(1));
        queue.close(Instant::now());
        queue.take(span(2));
        assert_eq!(queue.next(Duration::from_secs(60)).len(), 1);
        assert!(queue.next(Duration::from_secs(60)).is_empty(), "closed and empty");
    }

    /// What `docs/traces.md` says of memory.
    #[test]
    fn a_span_takes_little() {
        let bytes = size_of::<Span>() + size_of::<ledgerline_domain::trace::Delivery>();
        assert!((200..=300).contains(&bytes), "{bytes}");
    }

    #[test]
    fn no_delay_leaves_the_queue_to_others() {
        let queue = std::sync::Arc::new(Queue::new(10, 4));
        let waiting = queue.clone();
        let exporter = std::thread::spawn(move || waiting.next(Duration::ZERO).len());
        std::thread::sleep(Duration::from_millis(20));
        let giving = queue.clone();
        let (done, given) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            giving.take(span(1));
            let _ = done.send(());
        });
        given.recv_timeout(Duration::from_secs(10)).expect("the lock is free now and then");
        assert_eq!(exporter.join().unwrap(), 1);
    }

    #[test]
    fn a_close_ends_every_wait() {
        let queue = std::sync::Arc::new(Queue::new(10, 4));
        let closing = queue.clone();
        let closed = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            closing.close(Instant::now());
        });
        let began = Instant::now();
        assert!(queue.pause(Duration::from_secs(60)).is_some());
        assert!(queue.next(Duration::from_secs(60)).is_empty());
        assert!(began.elapsed() < Duration::from_secs(10));
        closed.join().unwrap();
    }
}
