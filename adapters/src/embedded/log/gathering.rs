//! How long the writer waits for more appends before it writes a batch.
//!
//! A sync costs processor time that a larger batch shares among more callers, and waiting costs
//! latency. So:
//!
//! - The appends of the last batch and those that came while it was synced are the callers that are
//!   about; when five in six of them wait again, the batch is closed. The others keep the processor
//!   busy while the disk works: with all of them in one batch, each would wait for the other.
//! - The busier the log, the longer the wait may be: the full `gather_max` at [`BUSY_JOBS`] appends
//!   within that time, with the square of the rate below it, so that at half the load latency is
//!   hardly touched, and nothing at all when idle.

use std::time::{Duration, Instant};

/// So many appends within `gather_max` make the longest wait worth it.
const BUSY_JOBS: f64 = 64.0;
/// Shorter waits than this are not worth a timer.
const SHORTEST: Duration = Duration::from_micros(50);
/// How much one batch counts in the rate.
const WEIGHT: f64 = 0.2;

/// What the writer saw so far.
#[derive(Debug)]
pub(crate) struct Gathering {
    /// Callers that are about.
    callers: usize,
    gather_max: Duration,
    jobs_per_second: f64,
    last: Option<Instant>,
}

impl Gathering {
    pub fn new(gather_max: Duration) -> Self {
        Self { callers: 1, gather_max, jobs_per_second: 0.0, last: None }
    }

    /// How many appends are worth waiting for.
    pub fn expected(&self) -> usize {
        self.callers - self.callers / 6
    }

    /// Longest wait for the next batch.
    pub fn longest(&self) -> Duration {
        let jobs = self.jobs_per_second * self.gather_max.as_secs_f64();
        let share = (jobs / BUSY_JOBS).min(1.0);
        let longest = self.gather_max.mul_f64(share * share);
        if longest < SHORTEST { Duration::ZERO } else { longest }
    }

    /// Notes a batch of `jobs` appends that ended at `now`, with `waiting` more behind it.
    pub fn note(&mut self, jobs: usize, waiting: usize, now: Instant) {
        // Follows upwards at once, downwards by an eighth.
        self.callers = (jobs + waiting).max(self.callers - self.callers.div_ceil(8)).max(1);
        if let Some(last) = self.last.replace(now) {
            let seconds = now.saturating_duration_since(last).as_secs_f64().max(1e-6);
            #[expect(clippy::cast_precision_loss, reason = "a rate; a batch holds thousands at most")]
            let rate = jobs as f64 / seconds;
            self.jobs_per_second += WEIGHT * (rate - self.jobs_per_second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: Duration = Duration::from_millis(2);

    /// After many batches of `jobs` appends, each `micros` after the one before.
    fn after(jobs: usize, waiting: usize, micros: u64) -> Gathering {
        let mut gathering = Gathering::new(MAX);
        let began = Instant::now();
        for n in 0..100 {
            gathering.note(jobs, waiting, began + Duration::from_micros(n * micros));
        }
        gathering
    }

    #[test]
    fn nobody_waits_when_idle() {
        assert_eq!(Gathering::new(MAX).longest(), Duration::ZERO);
        assert_eq!(after(1, 0, 300).longest(), Duration::ZERO, "3 300 a second, one at a time");
        assert_eq!(after(1, 0, 300).expected(), 1);
    }

    #[test]
    fn the_busier_the_longer() {
        let half = after(8, 8, 500).longest();
        assert!((Duration::from_micros(300)..Duration::from_micros(700)).contains(&half), "{half:?}");
        assert!(after(56, 20, 1700).longest() > Duration::from_micros(1900), "33 000 a second");
        assert_eq!(after(500, 500, 1000).longest(), MAX);
    }

    #[test]
    fn expects_those_it_saw_and_forgets_them_slowly() {
        let mut gathering = after(100, 28, 1000);
        assert_eq!(gathering.expected(), 107);
        let now = Instant::now();
        gathering.note(64, 0, now);
        assert_eq!(gathering.expected(), 94);
        for _ in 0..60 {
            gathering.note(1, 0, now);
        }
        assert_eq!(gathering.expected(), 1);
    }
}
