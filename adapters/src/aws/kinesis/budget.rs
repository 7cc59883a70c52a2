//! At most so many calls in any second: the budget of a shard that all readers share.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The last calls of a window, also those that are promised and not made yet.
#[derive(Debug)]
pub(super) struct Budget {
    window: Duration,
    calls: VecDeque<Instant>,
    calls_max: usize,
}

impl Budget {
    /// `calls_max` in any second.
    pub fn per_second(calls_max: usize) -> Self {
        Self { window: Duration::from_secs(1), calls: VecDeque::new(), calls_max: calls_max.max(1) }
    }

    /// Promises a call and says when it may be made. Promises are kept in the order they were given.
    pub fn next(&mut self, now: Instant) -> Instant {
        let at = if self.calls.len() < self.calls_max {
            now
        } else {
            self.calls.pop_front().map_or(now, |first| now.max(first + self.window))
        };
        let at = self.calls.back().map_or(at, |last| at.max(*last));
        self.calls.push_back(at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_window_holds_more() {
        let start = Instant::now();
        let mut budget = Budget::per_second(5);
        let mut now = start;
        let mut made = Vec::new();
        for call in 0..200_u64 {
            // Bursts, and a rest now and then.
            now += Duration::from_millis(if call % 17 == 0 { 700 } else { call % 3 });
            made.push(budget.next(now));
        }
        assert!(made.is_sorted());
        for window in made.windows(6) {
            assert!(window[5] - window[0] >= Duration::from_secs(1), "six calls within a second");
        }
        let rested = *made.last().unwrap() + Duration::from_secs(3);
        assert!((0..5).all(|_| budget.next(rested) == rested), "a whole burst after a rest");
    }
}
