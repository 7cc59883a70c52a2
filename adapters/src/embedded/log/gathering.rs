//! How long the writer waits for more appends before it writes a batch.
//!
//! A sync costs processor time that a larger batch shares among more callers, and waiting costs
//! latency. So:
//!
//! - The appends of the last batch and those that came while it was written are the callers that are
//!   about. A batch is not closed before they wait again, but for those whom the processor can serve
//!   while the disk works ([`Gathering::left_out`]): with all of them in one batch, each would wait
//!   for the other.
//! - The more callers are about, the longer the wait may be: the full `gather_max` from
//!   [`MANY_CALLERS`] on, with the square of their number below it, so that at half the load latency
//!   is hardly touched, and nothing at all when idle. How many are about is rate times latency, on a
//!   quick machine and on a slow one.

use std::time::{Duration, Instant};

/// From so many callers on the longest wait is worth it.
const MANY_CALLERS: f64 = 64.0;
/// Shorter waits than this are not worth a timer.
const SHORTEST: Duration = Duration::from_micros(50);
/// How much one batch counts in what was seen.
const WEIGHT: f64 = 0.2;

/// What the writer saw so far.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// Callers that are about.
    callers: usize,
    gather_max: Duration,
    /// Seconds that a batch takes on the disk.
    disk: f64,
    /// Seconds that the processor takes for one caller.
    serving: f64,
    last: Option<Instant>,
}

/// A batch as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Written {
    /// Appends in it.
    pub jobs: usize,
    /// Appends that came meanwhile,
    pub waiting: usize,
    /// and when the newest of them came.
    pub newest: Instant,
    pub began: Instant,
    pub ended: Instant,
}

impl Gathering {
    pub fn new(gather_max: Duration) -> Self {
        Self { callers: 1, gather_max, disk: 0.0, serving: f64::INFINITY, last: None }
    }

    /// How many appends are worth waiting for.
    pub fn expected(&self) -> usize {
        self.callers - self.left_out()
    }

    /// How many callers a batch should not wait for: those that keep the processor busy while it is
    /// written, at most half of them. A disk that is slower than the processor is for all of them
    /// decides alone how quick the log is: then the fewer batches the better.
    fn left_out(&self) -> usize {
        let callers = as_f64(self.callers);
        let served_meanwhile = self.disk / self.serving / callers;
        let share = if served_meanwhile < 1.0 { served_meanwhile.min(0.5) } else { 1.0 - served_meanwhile / 2.0 };
        // Between nothing and half of the callers.
        (callers * share.max(0.0)) as usize
    }

    /// Longest wait for the next batch.
    pub fn longest(&self) -> Duration {
        let share = (as_f64(self.callers) / MANY_CALLERS).min(1.0);
        let longest = self.gather_max.mul_f64(share * share);
        if longest < SHORTEST { Duration::ZERO } else { longest }
    }

    /// Notes a batch.
    pub fn note(&mut self, written: &Written) {
        let Written { jobs, waiting, newest, began, ended } = *written;
        // Follows upwards at once, downwards by an eighth.
        self.callers = (jobs + waiting).max(self.callers - self.callers.div_ceil(8)).max(1);
        let Some(last) = self.last.replace(ended) else { return };
        let between = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64();
        // Nobody came any more: the processor had nothing to do.
        let idle = between(newest.max(began), ended);
        let serving = (between(last, ended) - idle).max(1e-6) / as_f64(jobs.max(1));
        if self.serving.is_finite() {
            self.serving += WEIGHT * (serving - self.serving);
            self.disk += WEIGHT * (between(began, ended) - self.disk);
        } else {
            (self.serving, self.disk) = (serving, between(began, ended));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "callers and appends of a batch: thousands at most")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_millis(4);

    const fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    /// After many batches of `jobs` appends, one each `cycle`, of which `disk` on the disk; the
    /// `waiting` came one after the other in the first `busy` of that.
    fn after(jobs: usize, waiting: usize, [cycle, disk, busy]: [u64; 3]) -> Gathering {
        let mut gathering = Gathering::new(MAX);
        let start = Instant::now();
        for n in 0..100 {
            let began = start + micros(n * cycle);
            gathering.note(&Written {
                jobs,
                waiting,
                newest: began + micros(busy),
                began,
                ended: began + micros(disk),
            });
        }
        gathering
    }

    #[test]
    fn nobody_waits_when_idle() {
        assert_eq!(Gathering::new(MAX).longest(), Duration::ZERO);
        assert_eq!(Gathering::new(MAX).expected(), 1);
        let one = after(1, 0, [300, 150, 0]);
        assert_eq!((one.longest(), one.expected()), (Duration::ZERO, 1), "3 300 a second, one at a time");
    }

    #[test]
    fn the_more_callers_the_longer() {
        let half = after(12, 12, [500, 150, 150]).longest();
        assert!((micros(300)..micros(700)).contains(&half), "{half:?}");
        assert_eq!(after(60, 20, [1700, 200, 200]).longest(), MAX);
        assert_eq!(after(500, 500, [1000, 500, 500]).longest(), MAX);
    }

    #[test]
    fn the_processor_is_left_with_as_many_as_it_serves_while_the_disk_works() {
        // 20 µs each, 400 µs on the disk.
        assert_eq!(after(100, 28, [2000, 400, 400]).expected(), 128 - 20);
        // Two fifths of the disk's time nobody came: each took less.
        assert_eq!(after(100, 12, [2000, 400, 240]).expected(), 112 - 21);
        // The disk takes longer than half of the callers, and then longer than all of them.
        assert_eq!(after(64, 64, [1280, 1280, 640]).expected(), 64);
        assert_eq!(after(64, 64, [4000, 4000, 640]).expected(), 128);
    }

    #[test]
    fn expects_those_it_saw_and_forgets_them_slowly() {
        let mut gathering = after(100, 28, [2000, 400, 400]);
        let now = Instant::now() + Duration::from_secs(1);
        let written = |jobs| Written { jobs, waiting: 0, newest: now, began: now, ended: now };
        gathering.note(&written(64));
        assert_eq!(gathering.callers, 112);
        for _ in 0..60 {
            gathering.note(&written(1));
        }
        assert_eq!(gathering.expected(), 1);
    }
}
